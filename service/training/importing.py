"""A client's `.keras` file becomes a version's files and facts; runs in a child process of its own.

read the file -> plan its network -> build it -> give it the weights -> save -> export. Only the first and the fourth
touch what the client sent, and what is built comes from the catalog alone.
"""

import hashlib
import importlib.metadata
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import keras
import numpy as np

from service.architecture import catalog, keras_file, keras_weights, stored
from service.architecture.build import build
from service.architecture.graph import write_architecture
from service.architecture.keras_model import KerasModel, plan_model
from service.architecture.network import Network
from service.architecture.plan import summary
from service.data.store import storage_full
from service.inference.conversion import signature_of
from service.inference.export import export
from service.inference.signature import Signature, TensorSpec
from service.training.import_request import Imported, ImportRequest
from service.training.results import COMPARED_ROWS, LIBRARIES, weights_sha256
from service.training.rows import Array

#: What a size that is not fixed is in the rows on which the export is compared with Keras.
_OPEN_SIZE = 32
#: Integers that no layer looks up stay below this.
_INTEGERS = 10


def import_model(request: dict[str, Any]) -> dict[str, Any]:
    """Do what an `ImportRequest`, as JSON, asks for, and return an `Imported` as JSON.

    Raises what is wrong with the file: MalformedRequest, TooLarge, or Invalid with all faults; and StorageFull.
    """
    asked = ImportRequest.from_json(request)
    with storage_full():
        return _import(asked).to_json()


def _import(asked: ImportRequest) -> Imported:
    theirs = asked.folder / "theirs.weights.h5"
    try:
        file = keras_file.read(asked.file, theirs, asked.max_bytes)
        planned = plan_model(file.config, asked.limits)
        model = build(planned.plan.network, planned.plan.input_shapes)
        _take_weights(model, theirs, planned, asked.folder)
    finally:
        theirs.unlink(missing_ok=True)
    network = planned.plan.network
    stored.save(model, write_architecture(network), planned.plan.input_shapes, asked.folder)
    signature = signature_of(model, network)
    exported = export(model, signature, _made_up_rows(network, signature), asked.folder / "model.onnx")
    return Imported(
        architecture=write_architecture(network),
        compile=None if planned.compilation is None else planned.compilation.to_json(),
        compile_reason=planned.compile_reason,
        summary=summary(planned.plan),
        parameters=model.count_params(),
        inputs=[spec.to_json() for spec in signature.inputs],
        outputs=[spec.to_json() for spec in signature.outputs],
        weights_sha256=weights_sha256(model),
        engine=exported.engine,
        engine_reason=exported.reason,
        max_difference=exported.max_difference,
        libraries={name: importlib.metadata.version(name) for name in LIBRARIES},
        keras_version=file.keras_version,
        saved_at=file.saved_at,
        file_sha256=_sha256(asked.file),
    )


def _take_weights(model: keras.Model, theirs: Path, planned: KerasModel, folder: Path) -> None:
    """Let Keras write the fresh weights, put the client's in their place, array by array, and let Keras read them."""
    ours = folder / "ours.weights.h5"
    try:
        model.save_weights(ours)
        layers = {layer.name: layer for layer in model.layers}
        own_places = _places(layers.values())
        # Whatever is no layer of the model that was built has no weights either.
        their_places = _places(layers[name] for name in planned.layer_names if name in layers)
        keras_weights.fill(theirs, ours, {own_places[name]: place for name, place in their_places.items()})
        model.load_weights(ours)
    finally:
        ours.unlink(missing_ok=True)


def _places(layers: Iterable[keras.Layer]) -> dict[str, str]:
    """Return what Keras calls each of a model's layers, in its order, among the weights that it saves.

    It goes by the class and counts, because names are often made up anew: the second Dense is `dense_1`.
    """
    counts: Counter[str] = Counter()
    places = {}
    for layer in layers:
        snake = catalog.default_name(type(layer).__name__)
        places[layer.name] = f"{snake}_{counts[snake]}" if counts[snake] else snake
        counts[snake] += 1
    return places


def _made_up_rows(network: Network, signature: Signature) -> dict[str, Array]:
    """Rows for the comparison of the export with Keras; the same for each import, since no data came with the model."""
    draw = np.random.default_rng(0)
    bounds = _index_bounds(network)
    return {spec.name: _rows(spec, bounds.get(spec.name), draw) for spec in signature.inputs}


def _rows(spec: TensorSpec, bound: int | None, draw: np.random.Generator) -> Array:
    shape = (COMPARED_ROWS, *(size or _OPEN_SIZE for size in spec.shape))
    if spec.dtype == "bool":
        return draw.integers(0, 2, shape).astype(np.bool_)
    if bound is not None or spec.dtype != "float32":
        return draw.integers(0, bound or _INTEGERS, shape).astype(spec.dtype)
    return draw.standard_normal(shape, np.float32)


def _index_bounds(network: Network) -> dict[str, int]:
    """For each input by which rows of an Embedding are looked up, directly or on some way, how many rows there are."""
    bounds: dict[str, int] = {}
    for layer in reversed(network.layers):
        inner = layer.arguments.get("layer", layer)
        found = [int(inner.arguments["input_dim"])] if inner.type == "Embedding" else []
        found += [bounds[layer.name]] if layer.name in bounds else []
        for name in layer.inputs if found else ():
            bounds[name] = min(found + ([bounds[name]] if name in bounds else []))
    return bounds


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
