"""Whether an export answers as Keras does, on the same rows; runs in children."""

from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from service.inference.conversion import RefusedError
from service.inference.signature import Signature, TensorSpec

Arrays = dict[str, np.ndarray[Any, Any]]
Answer = Callable[..., dict[str, Any]]

#: Answers are the same where |difference| <= tolerance + tolerance * |Keras's answer|.
TOLERANCE = 1e-5
_BATCHES = (1, 2, 33)


def compare(
    by: str, given: Callable[[Arrays], Arrays], model: keras.Model, signature: Signature, answer: Answer, x: Arrays
) -> float:
    """Return the largest absolute difference between the answers that are `given`, `by` whom, and Keras's.

    `given` takes and gives arrays by name. `answer` is what `forward` gives of `model`: an eager call of a recurrent
    layer costs a second a hundred steps. `x` holds sample rows by input name, from 1 row up. Raises RefusedError where
    the answers are not the same.
    """
    largest = 0.0
    for batch in _batches(model, signature, x):
        expected = answer(*(tf.constant(batch[spec.name]) for spec in signature.inputs))
        got = given(batch)
        for spec in signature.outputs:
            largest = max(largest, _difference(by, got[spec.name], expected[spec.name].numpy(), spec.name))
    return largest


def _difference(by: str, got: np.ndarray[Any, Any], expected: np.ndarray[Any, Any], name: str) -> float:
    if got.shape != expected.shape:
        raise RefusedError(f"{by} answers output {name!r} with the shape {got.shape}, Keras with {expected.shape}.")
    # Equal infinities and two NaN are the same answer, although their difference is NaN.
    same = (got == expected) | (np.isnan(got) & np.isnan(expected))
    with np.errstate(invalid="ignore"):
        differences = np.where(same, 0.0, np.abs(got.astype(np.float64) - expected))
        held = same | (differences <= TOLERANCE + TOLERANCE * np.abs(expected))
    if not np.isfinite(differences).all():
        raise RefusedError(f"{by} and Keras differ in which answers are infinite or not a number.")
    largest = float(differences.max(initial=0.0))
    if not held.all():
        raise RefusedError(f"The answers of {by} differ from Keras's by up to {largest:.3g}.", largest)
    return largest


def _batches(model: keras.Model, signature: Signature, x: Arrays) -> Iterator[Arrays]:
    """Yield batches of 1, 2 and 33 rows, then such as masks and unfixed sizes could tell apart."""
    rows = {
        spec.name: np.resize(x[spec.name], (33, *x[spec.name].shape[1:])).astype(spec.dtype)
        for spec in signature.inputs
    }
    for size in _BATCHES:
        yield {name: array[:size] for name, array in rows.items()}
    mask_value = _mask_value(model)
    if mask_value is not None:
        yield {name: _padded(array, mask_value) for name, array in rows.items()}
    if any(None in spec.shape for spec in signature.inputs):
        yield {spec.name: _doubled(rows[spec.name], spec) for spec in signature.inputs}


def _mask_value(model: keras.Model) -> float | None:
    for layer in model.layers:
        if isinstance(layer, keras.layers.Masking):
            return float(layer.mask_value)
        if isinstance(layer, keras.layers.Embedding) and layer.mask_zero:
            return 0.0
    return None


def _padded(array: np.ndarray[Any, Any], value: float) -> np.ndarray[Any, Any]:
    """Fill the last steps of each row with the mask's value; rows differ in how many they keep, from none to all."""
    if array.ndim < 2:
        return array
    padded = array.copy()
    for row in range(len(padded)):
        padded[row, row % (padded.shape[1] + 1) :] = value
    return padded


def _doubled(array: np.ndarray[Any, Any], spec: TensorSpec) -> np.ndarray[Any, Any]:
    """Give two rows whose unfixed sizes are twice as large, so that no size is frozen into the file."""
    return np.tile(array[:2], (1, *(2 if size is None else 1 for size in spec.shape)))
