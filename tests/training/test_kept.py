"""What is kept from one job to the next saves time and changes nothing."""

import dataclasses
from pathlib import Path

import pytest

from service.training.child import run_job
from service.training.messages import Assignment
from tests.training.assignments import COMPILE, DENSE, Heard, assignment

CONVOLUTION = {
    "layers": [
        {"type": "Reshape", "target_shape": [6, 6, 1]},
        {"type": "Conv2D", "filters": 3, "kernel_size": 3, "activation": "relu"},
        {"type": "BatchNormalization"},
        {"type": "Flatten"},
        {"type": "Dense", "units": 1, "activation": "sigmoid"},
    ]
}
RECURRENT = {
    "layers": [
        {"type": "Reshape", "target_shape": [6, 6]},
        {"type": "LSTM", "units": 3, "dropout": 0.2},
        {"type": "Dense", "units": 1, "activation": "sigmoid"},
    ]
}
NORMALIZED = {
    "layers": [{"type": "Normalization"}, {"type": "Dense", "units": 1, "activation": "sigmoid"}],
}
PIXELS = [[(row * column) % 7 - 3.0 for column in range(36)] for row in range(24)]


def train(job: Assignment) -> str:
    """Run the job and return the hash of its weights."""
    line = Heard()
    run_job(line, job)
    return line.finished.weights_sha256


def cached(folder: Path) -> set[str]:
    return {path.name for path in (folder / "cache").iterdir()}


@pytest.mark.parametrize("architecture", [CONVOLUTION, RECURRENT, NORMALIZED], ids=["conv", "lstm", "normalization"])
def test_a_kept_graph_gives_the_bits_of_a_traced_one(tmp_path: Path, architecture: dict) -> None:
    """A job that finds its graphs in the cache has the weights of one that traces them, also with another seed."""
    facts = {"architecture": architecture, "x": PIXELS, "y": [row % 2 for row in range(24)], "fit": {"epochs": 2}}
    train(assignment(tmp_path, **facts))
    kept = cached(tmp_path)
    again = train(assignment(tmp_path, **facts, seed=5))
    assert cached(tmp_path) == kept
    fresh = train(assignment(tmp_path, **facts, seed=5, cache_folder=tmp_path / "empty"))
    assert again == fresh


@pytest.mark.parametrize("architecture", [DENSE, NORMALIZED], ids=["dense", "normalization"])
def test_an_export_from_a_kept_template_is_that_of_the_first_job(tmp_path: Path, architecture: dict) -> None:
    """The second job of a network gets its ONNX file from the template, and it is the file a new one would make."""
    import onnx

    from service.inference import template

    facts = {"architecture": architecture, "x": PIXELS, "y": [row % 2 for row in range(24)]}
    first, second = assignment(tmp_path, **facts), assignment(tmp_path, **facts, seed=12)
    new = assignment(tmp_path, **facts, seed=12, cache_folder=tmp_path / "empty")
    lines = [Heard(), Heard(), Heard()]
    for line, job in zip(lines, (first, second, new), strict=True):
        run_job(line, job)
    assert any(template.read(path) is not None for path in (tmp_path / "cache").iterdir())
    files = [onnx.load(job.work_folder / "model.onnx") for job in (second, new)]
    values = [[(one.name, one.raw_data) for one in file.graph.initializer] for file in files]
    assert values[0] == values[1]
    assert lines[1].finished.engine == "onnxruntime"
    assert lines[1].finished.max_difference is not None


def test_a_template_that_no_longer_fits_is_not_believed(tmp_path: Path) -> None:
    """A template whose numbers are wrong is found out by the comparison with Keras, and the network converted."""
    import onnx

    from service.inference import template

    train(assignment(tmp_path))
    path = next(path for path in (tmp_path / "cache").iterdir() if template.read(path) is not None)
    good = template.read(path)
    assert good is not None
    template.write(dataclasses.replace(good, names=(*good.names[:-1], "another")), path)
    line = Heard()
    job = assignment(tmp_path, seed=12)
    run_job(line, job)
    assert line.finished.engine == "onnxruntime"
    onnx.checker.check_model(onnx.load(job.work_folder / "model.onnx"))


def test_a_damaged_file_is_traced_anew(tmp_path: Path) -> None:
    """Files of the cache that cannot be read cost time and nothing else."""
    before = train(assignment(tmp_path))
    for path in (tmp_path / "cache").iterdir():
        path.write_bytes(path.read_bytes()[:40])
    assert train(assignment(tmp_path)) == before


def test_what_a_graph_depends_on_is_not_mixed_up(tmp_path: Path) -> None:
    """Another optimizer or another batch size is another graph."""
    train(assignment(tmp_path))
    kept = cached(tmp_path)
    train(assignment(tmp_path, fit={"epochs": 1, "batch_size": 4}))
    assert len(cached(tmp_path)) > len(kept)
    kept = cached(tmp_path)
    slow = {**COMPILE, "optimizer": {"type": "Adam", "beta_1": 0.5}}
    plain = train(assignment(tmp_path, compile_=slow))
    assert len(cached(tmp_path)) > len(kept)
    assert plain == train(assignment(tmp_path, compile_=slow, cache_folder=tmp_path / "empty"))


def test_the_least_used_files_go_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The cache is bounded."""
    monkeypatch.setattr("service.training.kept.MOST_KEPT", 4)
    for batch_size in (3, 4, 5):
        train(assignment(tmp_path, fit={"epochs": 1, "batch_size": batch_size}))
    assert len([path for path in (tmp_path / "cache").iterdir() if not path.suffix]) <= 6
