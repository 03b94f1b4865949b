"""Small Keras models, with their signatures and rows that suit them, for the tests of inference."""

from typing import Any

import keras
import numpy as np
from keras import layers

from service.inference.signature import Signature, TensorSpec


def sequential(shape: tuple[int | None, ...], *stack: Any, dtype: str = "float32") -> keras.Model:
    """A model with the one input `x`."""
    given = tensor = keras.Input(shape, dtype=dtype, name="x")
    for layer in stack:
        tensor = layer(tensor)
    return keras.Model(given, tensor)


def signature_of(model: keras.Model) -> Signature:
    """The signature whose outputs are named by the layers that make them."""
    return Signature(
        inputs=tuple(_spec(tensor.name, tensor) for tensor in model.inputs),
        outputs=tuple(_spec(name, tensor) for name, tensor in zip(model.output_names, model.outputs, strict=True)),
    )


def rows_for(signature: Signature, rows: int = 5, seed: int = 0) -> dict[str, np.ndarray]:
    """Rows by input name: normal floats, or integers from 1 to 9; an unfixed size is 6."""
    random = np.random.default_rng(seed)
    return {spec.name: _rows(random, spec, rows) for spec in signature.inputs}


def answers(model: keras.Model, x: np.ndarray) -> np.ndarray:
    """What Keras itself answers, of a model with one input and one output."""
    return np.asarray(model(x, training=False))


def dense(activation: str = "relu") -> keras.Model:
    """Four numbers in, three out of the layer `y`."""
    return sequential((4,), layers.Dense(5, activation=activation), layers.Dense(3, name="y"))


def two_by_two() -> keras.Model:
    """Inputs `left` and `right`, outputs `sum` and `both`."""
    left, right = keras.Input((4,), name="left"), keras.Input((4,), name="right")
    total = layers.Add(name="sum")([left, right])
    return keras.Model([left, right], [total, layers.Concatenate(name="both")([left, right])])


def _spec(name: str, tensor: Any) -> TensorSpec:
    return TensorSpec(name=name, shape=tuple(tensor.shape[1:]), dtype=str(tensor.dtype))


def _rows(random: np.random.Generator, spec: TensorSpec, rows: int) -> np.ndarray:
    shape = (rows, *(6 if size is None else size for size in spec.shape))
    if spec.dtype.startswith("int"):
        return random.integers(1, 10, size=shape).astype(spec.dtype)
    return random.normal(size=shape).astype(spec.dtype)
