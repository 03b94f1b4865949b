"""Rows that are made up suit the network."""

from typing import Any

import numpy as np
import pytest

from service.architecture.graph import read_architecture
from service.inference.sample import MAX_BYTES, make_up
from service.inference.signature import Signature, TensorSpec

EMBEDDING = {"type": "Embedding", "input_dim": 3, "output_dim": 2}


def made_up(layers: list[dict[str, Any]], *specs: TensorSpec) -> dict[str, np.ndarray[Any, Any]]:
    inputs = [{"name": spec.name, "shape": list(spec.shape), "dtype": spec.dtype} for spec in specs]
    network = read_architecture({"inputs": inputs, "layers": layers}, "", [])
    assert network is not None
    return make_up(network, Signature(inputs=specs, outputs=()))


def spec(name: str, *shape: int | None, dtype: str = "float32") -> TensorSpec:
    return TensorSpec(name=name, shape=shape, dtype=dtype)


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
def test_words_are_in_the_vocabulary(looking_up: list[dict[str, Any]]) -> None:
    """Whatever is on the way to the Embedding, and of several the smallest counts; other inputs have any numbers."""
    other = {"name": "other", "type": "Dense", "units": 1, "inputs": "numbers"}
    rows = made_up([*looking_up, other], spec("words", 4), spec("numbers", 2))
    assert set(np.unique(rows["words"])) == {0, 1, 2}
    assert rows["numbers"].min() < 0


def test_rows_have_the_type_and_the_shape() -> None:
    """Sizes that are not fixed get one, and of very large rows there are few."""
    flat = {"name": "y", "type": "Flatten", "inputs": "x"}
    assert made_up([flat], spec("x", None, 3, dtype="bool"))["x"].shape == (33, 32, 3)
    large = made_up([flat], spec("x", MAX_BYTES, dtype="int64"))["x"]
    assert (large.shape, large.dtype) == ((1, MAX_BYTES), np.int64)
    again = made_up([flat], spec("x", 5))["x"]
    np.testing.assert_array_equal(made_up([flat], spec("x", 5))["x"], again)
