"""A trained model becomes a version's files and facts."""

import hashlib
import importlib.metadata
from collections.abc import Sequence

import keras
import numpy as np

from service.architecture import stored
from service.inference import sample
from service.inference.export import export
from service.inference.signature import Signature
from service.training.assembly import Assembled
from service.training.draft import Draft
from service.training.machine import describe_machine
from service.training.messages import Assignment, Finished
from service.training.rows import Array

#: Packages whose versions a result depends on.
LIBRARIES = ("keras", "tensorflow", "numpy", "onnx", "onnxruntime", "tf2onnx")


def save(
    assembled: Assembled, assignment: Assignment, draft: Draft, metrics: dict[str, float | None], weights_epoch: int
) -> Finished:
    """Write the version's files into the work folder and say what is in them."""
    model, folder = assembled.model, assignment.work_folder
    stored.save(model, assignment.architecture, assignment.input_shapes, folder)
    drafted = draft.result()
    signature = drafted.signature
    compared = _first_rows(signature, assembled.rows.arrays)
    sample.write(compared, folder)
    exported = export(
        model, signature, compared, folder / "model.onnx", drafted.compiled, drafted.answer, drafted.template
    )
    if exported.from_template:
        draft.approve()
    return Finished(
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


def _first_rows(signature: Signature, arrays: Sequence[Array]) -> dict[str, Array]:
    """The first rows of each input; the inputs come first among the arrays."""
    return {
        spec.name: np.asarray(array[: sample.COMPARED_ROWS], dtype=spec.dtype)
        for spec, array in zip(signature.inputs, arrays, strict=False)
    }


def weights_sha256(model: keras.Model) -> str:
    """SHA-256 over the bytes of `model.weights`, in that order, each C-contiguous and little-endian."""
    digest = hashlib.sha256()
    for weight in model.weights:
        digest.update(np.ascontiguousarray(weight.numpy()).tobytes())
    return digest.hexdigest()
