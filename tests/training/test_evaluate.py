"""Evaluations as a child makes them, on versions and data on disk."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from service.architecture.compilation import Compilation
from service.data.arrays import ArrayFacts
from service.data.readers import read_value
from service.errors import Conflict, Invalid, NotFound
from service.training import evaluate
from service.training.evaluate import evaluate_version
from tests.inference.stored_versions import layer, store

RANDOM = np.random.default_rng(4)
X = RANDOM.normal(size=(50, 4)).round(3)
Y = (X.sum(axis=1) > 0).astype(int)
DENSE = [layer("Dense", units=1, activation="sigmoid", name="out")]


def compilation(output: str = "out", loss: str = "BinaryCrossentropy") -> dict[str, Any]:
    made = Compilation(
        optimizer="adam", loss={output: loss}, metrics={output: ("accuracy",)}, loss_weights={output: 1.0}
    )
    return json.loads(json.dumps(made.to_json()))  # type: ignore[no-any-return]


@pytest.fixture
def request_for(tmp_path: Path) -> Callable[..., dict[str, Any]]:
    """What the web process asks, of data that were read as a client's are."""

    def make(data: dict[str, Any], **change: Any) -> dict[str, Any]:
        folder = tmp_path / "data"
        folder.mkdir()
        arrays: tuple[ArrayFacts, ...] = read_value(data, folder)
        return {
            "folder": str(tmp_path / "version"),
            "compile": compilation(),
            "data_folder": str(folder),
            "arrays": [facts.to_json() for facts in arrays],
            "batch_size": 32,
            "threshold": 0.5,
        } | change

    return make


def data(x: Any = X, y: Any = Y, **more: Any) -> dict[str, Any]:
    return {"x": np.asarray(x).tolist(), "y": np.asarray(y).tolist(), **more}


@pytest.mark.parametrize("batch_size", [1, 25, 32, 64])
def test_metrics_are_keras_whatever_the_batch(
    tmp_path: Path, request_for: Callable[..., dict[str, Any]], batch_size: int
) -> None:
    """To the bit, with full batches alone and with a last one that is not full."""
    _, model, _ = store(tmp_path / "version", DENSE, (4,))
    model.compile(loss="binary_crossentropy", metrics=["accuracy"])
    due = model.evaluate(X.astype("float32"), Y.astype("int32"), batch_size=batch_size, return_dict=True, verbose=0)
    answer = evaluate_version(request_for(data(), batch_size=batch_size))
    assert answer["metrics"] == due
    assert (answer["rows"], answer["reports"]["out"]["places"]) == (50, 50)


def test_without_a_loss_there_is_only_the_report(tmp_path: Path, request_for: Callable[..., dict[str, Any]]) -> None:
    """A network that came from elsewhere has none."""
    store(tmp_path / "version", DENSE, (4,))
    answer = evaluate_version(request_for(data(sample_weight=[1.0] * 50), compile=None))
    assert answer["metrics"] == {}
    assert answer["reports"]["out"]["task"] == "binary"


def test_predictions_that_take_too_much_memory_have_no_report(
    tmp_path: Path, request_for: Callable[..., dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The metrics are there all the same."""
    store(tmp_path / "version", DENSE, (4,))
    request = request_for(data())
    metrics = evaluate_version(request)["metrics"]
    monkeypatch.setattr(evaluate, "MOST_BYTES", 100)
    answer = evaluate_version(request)
    assert answer["metrics"] == metrics
    assert answer["reports"]["out"]["task"] is None
    assert "Evaluate on fewer rows" in answer["reports"]["out"]["reasons"]["task"]


def test_sizes_that_are_not_fixed_are_those_of_the_data(
    tmp_path: Path, request_for: Callable[..., dict[str, Any]]
) -> None:
    """A network of steps without number has a place for each step that came."""
    layers = [layer("GRU", units=2, return_sequences=True), layer("Dense", units=1, activation="sigmoid", name="out")]
    store(tmp_path / "version", layers, (None, 2))
    x, y = RANDOM.normal(size=(6, 3, 2)), RANDOM.integers(0, 2, size=(6, 3, 1))
    answer = evaluate_version(request_for(data(x, y)))
    assert answer["reports"]["out"]["places"] == 18


def test_a_metric_that_is_no_number_is_null(tmp_path: Path, request_for: Callable[..., dict[str, Any]]) -> None:
    """Weights that training has ruined."""
    _, model, _ = store(tmp_path / "version", DENSE, (4,))
    model.set_weights([np.full_like(weight, np.nan) for weight in model.get_weights()])
    model.save(tmp_path / "version" / "model.keras")
    answer = evaluate_version(request_for(data()))
    assert answer["metrics"]["loss"] is None
    assert "not finite" in answer["reports"]["out"]["reasons"]["task"]


def test_words_that_are_unknown_are_invalid(tmp_path: Path, request_for: Callable[..., dict[str, Any]]) -> None:
    """Where only the model finds that out, its own words are the message."""
    layers = [layer("Embedding", input_dim=5, output_dim=2), layer("Flatten"), *DENSE]
    store(tmp_path / "version", layers, (3,))
    with pytest.raises(Invalid, match=r"cannot work on these data: indices\[.*\] = 9 is not in \[0, 5\)"):
        evaluate_version(request_for(data([[1, 2, 9], [1, 2, 3]], [0, 1])))


def test_what_is_gone_is_said(tmp_path: Path, request_for: Callable[..., dict[str, Any]]) -> None:
    """The version is not found; data that are deleted meanwhile are a conflict."""
    request = request_for(data())
    with pytest.raises(NotFound):
        evaluate_version(request)
    store(tmp_path / "version", DENSE, (4,))
    (tmp_path / "data" / "y.npy").unlink()
    with pytest.raises(Conflict, match="deleted meanwhile"):
        evaluate_version(request)


def test_a_softmax_layer_is_an_activation(tmp_path: Path, request_for: Callable[..., dict[str, Any]]) -> None:
    """Without a loss it tells classes from numbers."""
    layers = [layer("Dense", units=2), layer("Softmax", name="out")]
    store(tmp_path / "version", layers, (4,))
    answer = evaluate_version(request_for(data(), compile=None))
    assert answer["reports"]["out"]["task"] == "multiclass"


def test_keras_is_asked_as_its_own_model() -> None:
    """A class that only looks on changes nothing of what Keras calls the outputs."""
    given = keras.Input((2,), name="x")
    model = keras.Model(given, keras.layers.Dense(1, name="out")(given))
    assert evaluate.Observed(model.inputs[0], model.outputs[0]).output_names == model.output_names
