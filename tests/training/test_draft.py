"""An export is drafted beside the training, and what comes of it is that of one made afterwards."""

import threading
from pathlib import Path

import pytest

from service.inference import template
from service.training.assembly import assemble
from service.training.draft import Draft
from service.training.kept import Kept
from tests.training.assignments import assignment

NORMALIZED = {"layers": [{"type": "Normalization"}, {"type": "Dense", "units": 1, "activation": "sigmoid"}]}
RECURRENT = {
    "layers": [
        {"type": "Reshape", "target_shape": [2, 2]},
        {"type": "LSTM", "units": 3},
        {"type": "Dense", "units": 1, "activation": "sigmoid"},
    ]
}


def begun(folder: Path, architecture: dict = NORMALIZED) -> tuple[Draft, Kept]:
    job = assignment(folder, architecture=architecture)
    assembled = assemble(job)
    kept = Kept(job.cache_folder, assembled.model, {})
    return Draft(assembled.model, assembled.network, kept), kept


def test_it_begins_with_the_first_graph(tmp_path: Path) -> None:
    """Nothing is drafted before there is a graph to run, and then in a thread of its own, once."""
    draft, kept = begun(tmp_path)
    assert "draft" not in {thread.name for thread in threading.enumerate()}
    import tensorflow as tf

    spec = tf.TensorSpec((), tf.float32)
    for name in ("one", "two"):
        kept.function(name, lambda x: {"y": x + 1}, [spec], jit=False)
    drafted = draft.result()
    assert drafted.template is not None
    assert {spec.name for spec in drafted.signature.inputs} == {"x"}


def test_it_is_made_when_asked_for_at_the_latest(tmp_path: Path) -> None:
    """A job that ends without a step has its export all the same."""
    draft, _ = begun(tmp_path)
    assert draft.result().template is not None


def test_only_what_has_proved_good_is_kept(tmp_path: Path) -> None:
    """Without the word that an export from it was right, a template is for this job alone."""
    draft, kept = begun(tmp_path)
    draft.result()
    draft.keep()
    assert not kept.path("export").exists()
    draft.approve()
    draft.keep()
    assert template.read(kept.path("export")) == draft.result().template


def test_an_lstm_has_no_template(tmp_path: Path) -> None:
    """Its export is a conversion with its weights."""
    draft, _ = begun(tmp_path, RECURRENT)
    assert draft.result().template is None


def test_a_converter_that_breaks_leaves_no_template(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever it raises, the job goes on without one."""

    def broken(*_: object, **__: object) -> None:
        raise KeyError("boom")

    monkeypatch.setattr("service.inference.conversion.tf2onnx.convert.from_function", broken)
    draft, _ = begun(tmp_path)
    assert draft.result().template is None


def test_an_answer_that_cannot_be_traced_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What goes wrong in the thread is raised to whoever asks for the result."""

    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("no graph")

    monkeypatch.setattr("service.training.draft.forward", broken)
    draft, _ = begun(tmp_path)
    with pytest.raises(RuntimeError, match="no graph"):
        draft.result()
