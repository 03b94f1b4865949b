"""Rows that are kept beside a version's weights, and those that stand for them."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from service.architecture.stored import read_canonical
from service.inference import sample
from service.inference.signature import Signature, TensorSpec

EMBEDDING = {"type": "Embedding", "input_dim": 3, "output_dim": 2}


def signature(*specs: TensorSpec) -> Signature:
    return Signature(inputs=specs, outputs=())


def test_the_first_rows_come_back(tmp_path: Path) -> None:
    """Each input's own, in its own type, also under a name that NumPy's functions have for something else."""
    rows = {"file": np.arange(80.0, dtype="float32").reshape(40, 2), "words": np.arange(40, dtype="int32")}
    sample.write(rows, tmp_path)
    read = sample.read(tmp_path)
    assert read is not None
    assert read.keys() == rows.keys()
    for name, array in rows.items():
        np.testing.assert_array_equal(read[name], array[: sample.COMPARED_ROWS])
        assert read[name].dtype == array.dtype


@pytest.mark.parametrize(("values", "kept"), [(2**18, 4), (2**21, 1)])
def test_of_large_rows_there_are_fewer(tmp_path: Path, values: int, kept: int) -> None:
    """They take about 4 MiB at most, or one row."""
    sample.write({"x": np.zeros((33, values), "float32")}, tmp_path)
    read = sample.read(tmp_path)
    assert read is not None
    assert len(read["x"]) == kept


def test_an_older_version_has_none(tmp_path: Path) -> None:
    """Its rows are made up."""
    assert sample.read(tmp_path) is None


def test_rows_are_made_up_of_the_right_shapes_and_types() -> None:
    """Always the same ones; a size that is not fixed gets one."""
    network = read_canonical({"layers": [{"type": "Dense", "units": 1}]})
    given = signature(TensorSpec(name="x", shape=(None, 3), dtype="float32"))
    rows, again = (sample.make_up(network, given) for _ in range(2))
    assert (rows["x"].shape, rows["x"].dtype) == ((33, 32, 3), np.float32)
    np.testing.assert_array_equal(rows["x"], again["x"])


@pytest.mark.parametrize(
    "looking_up",
    [{"type": "Embedding", "input_dim": 5, "output_dim": 2}, {"type": "CategoryEncoding", "num_tokens": 5}],
    ids=lambda one: one["type"],
)
def test_words_that_are_made_up_are_known(looking_up: dict[str, Any]) -> None:
    """Where a network looks words up, rows hold numbers that the smallest vocabulary has, whatever their type."""
    layers = [looking_up]
    given = signature(TensorSpec(name="x", shape=(9,), dtype="float32"))
    rows = sample.make_up(read_canonical({"layers": layers}), given)["x"]
    assert sorted(set(rows.ravel().tolist())) == [0, 1, 2, 3, 4]


@pytest.mark.parametrize(
    "looking_up",
    [
        [{"name": "a", "inputs": "words", **EMBEDDING}],
        [
            {"name": "b", "type": "Reshape", "target_shape": [4], "inputs": "words"},
            {"name": "a", "inputs": "b", **EMBEDDING},
        ],
        [{"name": "a", "type": "SpectralNormalization", "layer": EMBEDDING, "inputs": "words"}],
        [{"name": "a", "inputs": "words", **EMBEDDING, "input_dim": 9}, {"name": "b", "inputs": "words", **EMBEDDING}],
    ],
)
def test_words_are_known_wherever_they_are_looked_up(looking_up: list[dict[str, Any]]) -> None:
    """Whatever is on the way to the Embedding, and of several the smallest counts; other inputs have any numbers."""
    other = {"name": "other", "type": "Dense", "units": 1, "inputs": "numbers"}
    specs = [TensorSpec(name=name, shape=(4,), dtype="float32") for name in ("words", "numbers")]
    inputs = [{"name": spec.name, "shape": [4]} for spec in specs]
    network = read_canonical({"inputs": inputs, "layers": [*looking_up, other]})
    rows = sample.make_up(network, signature(*specs))
    assert set(np.unique(rows["words"])) == {0, 1, 2}
    assert rows["numbers"].min() < 0
