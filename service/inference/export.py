"""A trained model as an ONNX file that is proved to answer as Keras does; runs in the job's child process.

`export` converts, then gives the same rows to ONNX Runtime and to Keras. Where the conversion fails or the answers
differ, the file is removed and the version is left to the TensorFlow process: never a reason for a job to fail.

ONNX Runtime is imported inside a function only: its import starts a thread, and a fork after that would hang.
"""

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import onnx
import tensorflow as tf

from service.inference.conversion import RefusedError, convert, forward
from service.inference.signature import Engine, Signature, TensorSpec
from service.inference.template import Template, weights_of

Arrays = dict[str, np.ndarray[Any, Any]]
Answer = Callable[..., dict[str, Any]]

#: Answers are the same where |difference| <= tolerance + tolerance * |Keras's answer|.
_TOLERANCE = 1e-5
_BATCHES = (1, 2, 33)


@dataclass(frozen=True, slots=True, kw_only=True)
class Exported:
    """Which engine will serve the version; `reason` says why it is not ONNX Runtime.

    `max_difference` is the largest absolute difference from Keras's answers; None where there was nothing to compare.
    `from_template` says that the file was made from one, so that others can be.
    """

    engine: Engine
    reason: str | None
    max_difference: float | None
    from_template: bool = False


def export(
    model: keras.Model,
    signature: Signature,
    x: Arrays,
    path: Path,
    compiled: Answer | None = None,
    answer: Answer | None = None,
    template: Template | None = None,
) -> Exported:
    """Write the model to `path` as ONNX if it can be shown to answer as Keras does.

    `x` holds sample rows by input name, (rows, *shape), from 1 row up. `compiled` is what `forward` gives, and `answer`
    something that answers as it does, if they are there already; a `template` of the same network saves the conversion.
    Never raises for a conversion that fails.
    """
    compiled = compiled or forward(model, signature)
    answer = answer or compiled
    if template is not None:
        # Whatever is wrong with a template, the conversion itself is still to be tried.
        with contextlib.suppress(Exception):
            onnx.save(template.fill(weights_of(model)), path)
            difference = _verify(model, signature, answer, x, path)
            return Exported(engine="onnxruntime", reason=None, max_difference=difference, from_template=True)
    try:
        onnx.save(convert(compiled, signature), path)
        difference = _verify(model, signature, answer, x, path)
    except RefusedError as refusal:
        path.unlink(missing_ok=True)
        return Exported(engine="tensorflow", reason=str(refusal), max_difference=refusal.max_difference)
    except Exception as error:
        # Converters and runtimes raise whatever they like; a version is served by TensorFlow then.
        path.unlink(missing_ok=True)
        return Exported(engine="tensorflow", reason=_sentence(error), max_difference=None)
    return Exported(engine="onnxruntime", reason=None, max_difference=difference)


def _verify(model: keras.Model, signature: Signature, answer: Any, x: Arrays, path: Path) -> float:
    """Give the largest difference between ONNX Runtime's and Keras's answers, or refuse.

    Keras's side is the traced function: an eager call of a recurrent layer costs a second a hundred steps.
    """
    from service.inference.runtime import Session

    session, largest = Session(path), 0.0
    for batch in _batches(model, signature, x):
        expected = answer(*(tf.constant(batch[spec.name]) for spec in signature.inputs))
        got = session.run(batch)
        for spec in signature.outputs:
            largest = max(largest, _difference(got[spec.name], expected[spec.name].numpy(), spec.name))
    return largest


def _difference(got: np.ndarray[Any, Any], expected: np.ndarray[Any, Any], name: str) -> float:
    if got.shape != expected.shape:
        raise RefusedError(
            f"ONNX Runtime answers output {name!r} with the shape {got.shape}, Keras with {expected.shape}."
        )
    # Equal infinities and two NaN are the same answer, although their difference is NaN.
    same = (got == expected) | (np.isnan(got) & np.isnan(expected))
    with np.errstate(invalid="ignore"):
        differences = np.where(same, 0.0, np.abs(got.astype(np.float64) - expected))
        held = same | (differences <= _TOLERANCE + _TOLERANCE * np.abs(expected))
    if not np.isfinite(differences).all():
        raise RefusedError("ONNX Runtime and Keras differ in which answers are infinite or not a number.")
    largest = float(differences.max(initial=0.0))
    if not held.all():
        raise RefusedError(f"ONNX Runtime's answers differ from Keras's by up to {largest:.3g}.", largest)
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


def _repeated(array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    return np.resize(array, (max(_BATCHES), *array.shape[1:]))


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


def _sentence(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return f"The conversion to ONNX failed with {type(error).__name__}: {lines[0][:200] if lines else 'no message'}"
