"""From Keras to ONNX: a model's answer as one function of tensors, and that function as an ONNX file.

The converter is tf2onnx. What it leaves undone is done or refused here: operations that it does not know (in
`operations`), tensors that layers hold as constants, and operations that it only passes on.
"""

import contextlib
import io
import logging
from collections.abc import Iterator, Sequence
from typing import Any

import keras
import onnx
import tensorflow as tf
import tf2onnx
from onnx import numpy_helper

from service.architecture.network import Network
from service.inference.operations import HANDLERS
from service.inference.signature import Signature, TensorSpec


class RefusedError(Exception):
    """The conversion does not hold; the message is the reason in one sentence."""

    def __init__(self, reason: str, max_difference: float | None = None) -> None:
        super().__init__(reason)
        self.max_difference = max_difference


def signature_of(model: keras.Model, network: Network) -> Signature:
    """Name what the model of a network takes and gives."""
    return Signature(
        inputs=tuple(
            TensorSpec(name=node.name, shape=tuple(tensor.shape[1:]), dtype=node.dtype)
            for node, tensor in zip(network.inputs, model.inputs, strict=True)
        ),
        outputs=tuple(
            TensorSpec(name=name, shape=tuple(tensor.shape[1:]), dtype=str(tensor.dtype))
            for name, tensor in zip(network.outputs, model.outputs, strict=True)
        ),
    )


def forward(model: keras.Model, signature: Signature) -> Any:
    """Give a compiled function of the inputs' tensors, in the signature's order, to a dict of outputs by name.

    The outputs of `model` are in the signature's order, or bear its names. The batch may be of any size; one trace
    serves them all.
    """
    flat = flatten(model, signature)

    @tf.function(input_signature=specs(signature), autograph=False)  # type: ignore[untyped-decorator,unused-ignore]
    def answer(*tensors: Any) -> dict[str, Any]:
        return by_name(signature, flat(list(tensors), training=False))

    return answer


def flatten(model: keras.Model, signature: Signature) -> keras.Model:
    """Give a copy that takes a list of inputs, whatever structure `model` was built with; the layers are shared."""
    named = {tensor.name: tensor for tensor in model.inputs}
    outputs = dict(zip(_output_names(model, signature), model.outputs, strict=True))
    return keras.Model(
        [named[spec.name] for spec in signature.inputs], [outputs[spec.name] for spec in signature.outputs]
    )


def by_name(signature: Signature, answers: Any) -> dict[str, Any]:
    """Name what a flat model has answered."""
    return dict(zip((spec.name for spec in signature.outputs), keras.tree.flatten(answers), strict=True))


def specs(signature: Signature) -> list[Any]:
    """What the inputs' tensors are: any number of rows."""
    return [tf.TensorSpec((None, *spec.shape), spec.dtype, name=spec.name) for spec in signature.inputs]


def convert(answer: Any, signature: Signature) -> Any:
    """Convert what `forward` gives to an ONNX model with the signature's names; raises where that cannot be."""
    given = specs(signature)
    converted = convert_function(answer, given, signature)
    values = {placeholder.name: tensor for tensor, placeholder in answer.get_concrete_function(*given).graph.captures}
    graph = converted.graph
    # Layers hold some constants as tensors (Normalization its mean), which become further inputs.
    for name in take_inputs(graph, values):
        graph.initializer.append(numpy_helper.from_array(values[name].numpy(), name))
    check_graph(graph, signature)
    return converted


def convert_function(function: Any, given: Sequence[Any], signature: Signature) -> Any:
    """Convert a compiled function of tensors that are as `given` says; an operation without a conversion is refused."""
    _check_names(signature)
    with _silence():
        converted, _ = tf2onnx.convert.from_function(function, given, custom_op_handlers=HANDLERS)
    _check_operations(converted)
    return converted


def take_inputs(graph: Any, names: Any) -> list[str]:
    """Take the inputs that are in `names` from the graph, and return theirs."""
    taken = [given for given in graph.input if given.name in names]
    for given in taken:
        graph.input.remove(given)
    return [given.name for given in taken]


def check_graph(graph: Any, signature: Signature) -> None:
    """Refuse a graph whose inputs and outputs are not the signature's."""
    came = sorted(tensor.name for tensor in (*graph.input, *graph.output))
    due = sorted(spec.name for spec in (*signature.inputs, *signature.outputs))
    if came != due:
        raise RefusedError(f"The ONNX file's inputs and outputs came out as {came} and should be {due}.")


def _output_names(model: keras.Model, signature: Signature) -> list[str]:
    """Name the model's outputs: by their layers where those are the signature's names, or else by their order."""
    names = [spec.name for spec in signature.outputs]
    own = list(getattr(model, "output_names", ()))
    return own if sorted(own) == sorted(names) else names


def _check_names(signature: Signature) -> None:
    """Refuse a network whose output is named as an input: an ONNX graph has one space of names."""
    names = [spec.name for spec in (*signature.inputs, *signature.outputs)]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise RefusedError(f"An ONNX file needs each name once, and {', '.join(twice)} is both an input and an output.")


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
        raise RefusedError(f"TensorFlow's operation {', '.join(unknown)} has no conversion to ONNX.")


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    """Keep the converter's prints and logs out of the service's log: a reason says all that a reader needs."""
    logger = logging.getLogger("tf2onnx")
    level = logger.level
    logger.setLevel(logging.CRITICAL + 1)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        logger.setLevel(level)
