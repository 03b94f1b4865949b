"""A trained model becomes a version's files and facts."""

import hashlib
import importlib.metadata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from service.architecture import stored
from service.architecture.network import Network
from service.inference import template
from service.inference.export import convert, export, forward, specs
from service.inference.signature import Signature, TensorSpec
from service.training.assembly import Assembled
from service.training.kept import Kept
from service.training.machine import describe_machine
from service.training.messages import Assignment, Finished
from service.training.rows import Array

#: Rows on which the export is compared with Keras.
COMPARED_ROWS = 33

#: Networks of more parameters are converted each time: there the conversion is the lesser part.
LARGEST_TEMPLATE = 5_000_000

#: Packages whose versions a result depends on.
LIBRARIES = ("keras", "tensorflow", "numpy", "onnx", "onnxruntime", "tf2onnx")


@dataclass(frozen=True, slots=True, kw_only=True)
class Saved:
    """A version's files, written; `compiled` and `converted` are what they were made with, if that was made anew."""

    finished: Finished
    compiled: Any
    converted: Any


def save(
    assembled: Assembled, assignment: Assignment, kept: Kept, metrics: dict[str, float | None], weights_epoch: int
) -> Saved:
    """Write the version's files into the work folder and say what is in them."""
    model, folder = assembled.model, assignment.work_folder
    stored.save(model, assignment.architecture, assignment.input_shapes, folder)
    signature = _signature(model, assembled.network)
    compiled = forward(model, signature)
    answer = kept.function("forward", compiled, specs(signature), jit=False)
    sample = _sample(signature, assembled.rows.arrays)
    exported = export(
        model, signature, sample, folder / "model.onnx", compiled, answer, template.read(kept.path("export"))
    )
    finished = Finished(
        parameters=model.count_params(),
        metrics=metrics,
        inputs=[spec.to_json() for spec in signature.inputs],
        outputs=[spec.to_json() for spec in signature.outputs],
        weights_sha256=weights_sha256(model),
        weights_epoch=weights_epoch,
        engine=exported.engine,
        engine_reason=exported.reason,
        max_difference=exported.max_difference,
        libraries={name: importlib.metadata.version(name) for name in LIBRARIES},
        machine=describe_machine(),
    )
    return Saved(finished=finished, compiled=compiled, converted=exported.converted)


def keep_template(assembled: Assembled, kept: Kept, saved: Saved) -> None:
    """Leave for later jobs an export without its weights; the model has other weights afterwards."""
    model = assembled.model
    # Its numbers are not all weights, so that no comparison of two conversions shows which are.
    adapted = any(isinstance(layer, keras.layers.Normalization) for layer in model.layers)
    if saved.converted is None or adapted or model.count_params() > LARGEST_TEMPLATE:
        return
    before = [weight.numpy() for weight in model.weights]
    random = np.random.default_rng(0)
    after = [random.standard_normal(values.shape).astype(values.dtype) for values in before]
    for weight, values in zip(model.weights, after, strict=True):
        weight.assign(values)
    again = convert(saved.compiled, _signature(model, assembled.network))
    made = template.make(saved.converted, before, again, after)
    if made is not None:
        template.write(made, kept.path("export"))


def _sample(signature: Signature, arrays: Sequence[Array]) -> dict[str, Array]:
    """The first rows of each input; the inputs come first among the arrays."""
    return {
        spec.name: np.asarray(array[:COMPARED_ROWS], dtype=spec.dtype)
        for spec, array in zip(signature.inputs, arrays, strict=False)
    }


def _signature(model: keras.Model, network: Network) -> Signature:
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


def weights_sha256(model: keras.Model) -> str:
    """SHA-256 over the bytes of `model.weights`, in that order, each C-contiguous and little-endian."""
    digest = hashlib.sha256()
    for weight in model.weights:
        digest.update(np.ascontiguousarray(weight.numpy()).tobytes())
    return digest.hexdigest()
