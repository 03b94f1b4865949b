"""ONNX files without their weights: what does not depend on the training is made beside it, and kept for later jobs.

The network is converted with its weights as inputs; when they are known, they become the file's initializers. What is
made from a template is compared with Keras as every export is.

LSTM layers are left to the conversion with all weights in their places: only so do they become ONNX's own operation,
which answers several times as fast as a loop over the steps.
"""

import io
import json
import os
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import onnx
import tensorflow as tf
from onnx import numpy_helper

from service.architecture.build import constants
from service.inference.conversion import (
    RefusedError,
    by_name,
    check_graph,
    convert_function,
    flatten,
    specs,
    take_inputs,
)
from service.inference.signature import Signature

Array = np.ndarray[Any, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Template:
    """An ONNX file without weights; `names` has the name of each in the file, or None if the file has no use for it."""

    model: bytes
    names: tuple[str | None, ...]

    def fill(self, weights: Sequence[Array]) -> Any:
        """Make the ONNX model of what `weights_of` has read."""
        model = onnx.ModelProto.FromString(self.model)
        pairs = zip(weights, self.names, strict=True)
        model.graph.initializer.extend(numpy_helper.from_array(array, name) for array, name in pairs if name)
        return model


@dataclass(frozen=True, slots=True, kw_only=True)
class Traced:
    """A model's answer as a function of inputs and weights; `captured` numbers the weights that are no arguments."""

    function: Any
    given: list[Any]
    captured: dict[str, int]
    weights: int


def can_draft(model: keras.Model) -> bool:
    """Whether a file without weights is as good as one that was converted with them."""
    return not any(isinstance(layer, keras.layers.LSTM) for layer in model._flatten_layers())


def trace(model: keras.Model, signature: Signature) -> Traced:
    """Trace the answer with the weights as inputs; nothing else may call the model's layers meanwhile."""
    flat = flatten(model, signature)
    inputs = specs(signature)
    weights = [
        tf.TensorSpec(weight.shape, weight.dtype, name=f"weight_{number}")
        for number, weight in enumerate(model.weights)
    ]
    given = [*inputs, *weights]

    @tf.function(input_signature=given, autograph=False)  # type: ignore[untyped-decorator,unused-ignore]
    def answer(*tensors: Any) -> dict[str, Any]:
        rows, values = tensors[: len(inputs)], tensors[len(inputs) :]
        with keras.StatelessScope(state_mapping=list(zip(model.weights, values, strict=True))):
            return by_name(signature, flat(list(rows), training=False))

    places = {id(tensor): len(weights) + number for number, tensor in enumerate(constants(model))}
    captures = answer.get_concrete_function(*given).graph.captures
    captured = {placeholder.name: places[id(tensor)] for tensor, placeholder in captures if id(tensor) in places}
    return Traced(function=answer, given=given, captured=captured, weights=len(weights) + len(places))


def draft(traced: Traced, signature: Signature) -> Template:
    """Convert what was traced; raises where that cannot be."""
    places = {spec.name: number for number, spec in enumerate(traced.given[len(signature.inputs) :])}
    if any(spec.name in places for spec in (*signature.inputs, *signature.outputs)):
        raise RefusedError("An input or output has the name of a weight.")
    places |= traced.captured
    converted = convert_function(traced.function, traced.given, signature)
    names: list[str | None] = [None] * traced.weights
    for name in take_inputs(converted.graph, places):
        names[places[name]] = name
    check_graph(converted.graph, signature)
    return Template(model=converted.SerializeToString(), names=tuple(names))


def weights_of(model: keras.Model) -> list[Array]:
    """Read what a template is filled with: the weights, and the constants that layers have made from theirs."""
    return [np.asarray(weight.value) for weight in model.weights] + [tensor.numpy() for tensor in constants(model)]


def read(path: Path) -> Template | None:
    """Read a kept template; None if there is none, or none that can be read."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = json.loads(archive.read("names.json"))
            return Template(model=archive.read("model.onnx"), names=tuple(names))
    except (OSError, zipfile.BadZipFile, KeyError, ValueError):
        return None


def write(template: Template, path: Path) -> None:
    """Keep a template; a reader finds all of it or nothing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr("names.json", json.dumps(template.names))
        archive.writestr("model.onnx", template.model)
    unfinished = path.with_suffix(f".{os.getpid()}.tmp")
    unfinished.write_bytes(content.getvalue())
    unfinished.rename(path)
