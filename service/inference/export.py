"""A trained model as an ONNX file that is proved to answer as Keras does; runs in the job's child process.

`export` converts, then gives the same rows to ONNX Runtime and to Keras. Where the conversion fails or the answers
differ, the file is removed and the version is left to the TensorFlow process: never a reason for a job to fail.

ONNX Runtime is imported inside a function only: its import starts a thread, and a fork after that would hang.
"""

import contextlib
import io
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import onnx
import tensorflow as tf
import tf2onnx
from onnx import numpy_helper

from service.inference.signature import Engine, Signature, TensorSpec
from service.inference.template import Template

Arrays = dict[str, np.ndarray[Any, Any]]
Answer = Callable[..., dict[str, Any]]

#: Answers are the same where |difference| <= tolerance + tolerance * |Keras's answer|.
_TOLERANCE = 1e-5
_BATCHES = (1, 2, 33)


@dataclass(frozen=True, slots=True, kw_only=True)
class Exported:
    """Which engine will serve the version; `reason` says why it is not ONNX Runtime.

    `max_difference` is the largest absolute difference from Keras's answers; None where there was nothing to compare.
    `converted` is the ONNX model if it was converted anew, and not made from a template.
    """

    engine: Engine
    reason: str | None
    max_difference: float | None
    converted: Any = None


class _RefusedError(Exception):
    """The conversion does not hold; the message is the reason in one sentence."""

    def __init__(self, reason: str, max_difference: float | None = None) -> None:
        super().__init__(reason)
        self.max_difference = max_difference


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
            onnx.save(template.fill([np.asarray(weight) for weight in model.weights]), path)
            return Exported(
                engine="onnxruntime", reason=None, max_difference=_verify(model, signature, answer, x, path)
            )
    try:
        with _silence():
            converted = convert(compiled, signature)
            onnx.save(converted, path)
            difference = _verify(model, signature, answer, x, path)
    except _RefusedError as refusal:
        path.unlink(missing_ok=True)
        return Exported(engine="tensorflow", reason=str(refusal), max_difference=refusal.max_difference)
    except Exception as error:
        # Converters and runtimes raise whatever they like; a version is served by TensorFlow then.
        path.unlink(missing_ok=True)
        return Exported(engine="tensorflow", reason=_sentence(error), max_difference=None)
    return Exported(engine="onnxruntime", reason=None, max_difference=difference, converted=converted)


def convert(compiled: Answer, signature: Signature) -> Any:
    """Convert what `forward` gives to an ONNX model with the signature's names; raises where that cannot be."""
    _check_names(signature)
    return _convert(compiled, signature)


def forward(model: keras.Model, signature: Signature) -> Any:
    """Give a compiled function of the inputs' tensors, in the signature's order, to a dict of outputs by name.

    The outputs of `model` are in the signature's order, or bear its names. The batch may be of any size; one trace
    serves them all.
    """
    by_name = {tensor.name: tensor for tensor in model.inputs}
    inputs = [by_name[spec.name] for spec in signature.inputs]
    outputs = dict(zip(_output_names(model, signature), model.outputs, strict=True))
    # A flat copy is called with lists, whatever structure the model was built with; it shares the layers.
    flat = keras.Model(inputs, [outputs[spec.name] for spec in signature.outputs])

    @tf.function(input_signature=specs(signature), autograph=False)  # type: ignore[untyped-decorator,unused-ignore]
    def answer(*tensors: Any) -> dict[str, Any]:
        answers = flat(list(tensors), training=False)
        return dict(zip((spec.name for spec in signature.outputs), keras.tree.flatten(answers), strict=True))

    return answer


def specs(signature: Signature) -> list[Any]:
    """What the inputs' tensors are: any number of rows."""
    return [tf.TensorSpec((None, *spec.shape), spec.dtype, name=spec.name) for spec in signature.inputs]


def _output_names(model: keras.Model, signature: Signature) -> list[str]:
    """Name the model's outputs: by their layers where those are the signature's names, or else by their order."""
    names = [spec.name for spec in signature.outputs]
    own = list(getattr(model, "output_names", ()))
    return own if sorted(own) == sorted(names) else names


def _convert(answer: Any, signature: Signature) -> Any:
    """Make the ONNX model whose inputs and outputs have the signature's names."""
    converted, _ = tf2onnx.convert.from_function(
        answer, specs(signature), custom_op_handlers={"Erfc": (_erfc, []), "Expm1": (_expm1, [])}
    )
    _bind_captures(
        converted.graph, answer.get_concrete_function(*specs(signature)), {spec.name for spec in signature.inputs}
    )
    _check_graph(converted.graph, signature)
    _check_operations(converted)
    return converted


def _erfc(context: Any, node: Any, name: str, args: Any) -> None:
    """Erfc(x) = 1 - Erf(x): `gelu` needs it."""
    erf = context.make_node("Erf", list(node.input))
    _replace(context, node, "Sub", [_one(context, node), erf.output[0]])


def _expm1(context: Any, node: Any, name: str, args: Any) -> None:
    """Expm1(x) = Exp(x) - 1: `celu` needs it."""
    exp = context.make_node("Exp", list(node.input))
    _replace(context, node, "Sub", [exp.output[0], _one(context, node)])


def _one(context: Any, node: Any) -> str:
    dtype = tf2onnx.utils.map_onnx_to_numpy_type(context.get_dtype(node.input[0]))
    constant: str = context.make_const(tf2onnx.utils.make_name("one"), np.array(1, dtype)).output[0]
    return constant


def _replace(context: Any, node: Any, operation: str, inputs: list[str]) -> None:
    shape, dtype = context.get_shape(node.output[0]), context.get_dtype(node.output[0])
    context.remove_node(node.name)
    context.make_node(operation, inputs, outputs=node.output, name=node.name, shapes=[shape], dtypes=[dtype])


def _bind_captures(graph: Any, concrete: Any, names: set[str]) -> None:
    """Turn constants that the layers hold as tensors (Normalization's mean) from further inputs into initializers."""
    values = {placeholder.name: tensor for tensor, placeholder in concrete.graph.captures}
    for given in [given for given in graph.input if given.name not in names and given.name in values]:
        graph.initializer.append(numpy_helper.from_array(values[given.name].numpy(), given.name))
        graph.input.remove(given)


def _check_names(signature: Signature) -> None:
    """Refuse a network whose output is named as an input: an ONNX graph has one space of names."""
    names = [spec.name for spec in (*signature.inputs, *signature.outputs)]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise _RefusedError(
            f"An ONNX file needs each name once, and {', '.join(twice)} is both an input and an output."
        )


def _check_graph(graph: Any, signature: Signature) -> None:
    came = sorted(tensor.name for tensor in (*graph.input, *graph.output))
    due = sorted(spec.name for spec in (*signature.inputs, *signature.outputs))
    if came != due:
        raise _RefusedError(f"The ONNX file's inputs and outputs came out as {came} and should be {due}.")


def _check_operations(converted: Any) -> None:
    """Refuse what tf2onnx only passed on: it reports an operation that it cannot convert by leaving it in."""
    version = {opset.domain: opset.version for opset in converted.opset_import}.get("", 1)
    unknown = sorted(
        {
            node.op_type
            for node in converted.graph.node
            if not node.domain and not onnx.defs.has(node.op_type, version, "")
        }
    )
    if unknown:
        raise _RefusedError(f"TensorFlow's operation {', '.join(unknown)} has no conversion to ONNX.")


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
        raise _RefusedError(
            f"ONNX Runtime answers output {name!r} with the shape {got.shape}, Keras with {expected.shape}."
        )
    # Equal infinities and two NaN are the same answer, although their difference is NaN.
    same = (got == expected) | (np.isnan(got) & np.isnan(expected))
    with np.errstate(invalid="ignore"):
        differences = np.where(same, 0.0, np.abs(got.astype(np.float64) - expected))
        held = same | (differences <= _TOLERANCE + _TOLERANCE * np.abs(expected))
    if not np.isfinite(differences).all():
        raise _RefusedError("ONNX Runtime and Keras differ in which answers are infinite or not a number.")
    largest = float(differences.max(initial=0.0))
    if not held.all():
        raise _RefusedError(f"ONNX Runtime's answers differ from Keras's by up to {largest:.3g}.", largest)
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


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    """Keep the converter's prints and logs out of the service's log: `reason` says all that a reader needs."""
    logger = logging.getLogger("tf2onnx")
    level = logger.level
    logger.setLevel(logging.CRITICAL + 1)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        logger.setLevel(level)
