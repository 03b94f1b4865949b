"""A client's `.keras` file becomes a version's files and facts; runs in a child process of its own.

read the file -> plan its network -> build it -> give it the weights -> save -> export. Only the first and the fourth
touch what the client sent, and what is built comes from the catalog alone.
"""

import contextlib
import hashlib
import importlib.metadata
import json
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import keras

from service.architecture import catalog, keras_file, keras_weights, stored
from service.architecture.build import build
from service.architecture.graph import write_architecture
from service.architecture.keras_model import KerasModel, check_masks, plan_model
from service.architecture.network import Plan
from service.architecture.plan import summary
from service.data.store import storage_full
from service.inference import sample, template
from service.inference.conversion import signature_of
from service.inference.export import export
from service.inference.signature import Signature
from service.training.import_request import Imported, ImportRequest
from service.training.results import LIBRARIES, weights_sha256

#: A file of weights has no more bytes than this, and than these for each layer and for each of its numbers; of the
#: last, an optimizer keeps five at most.
_FILE_BYTES, _LAYER_BYTES, _NUMBER_BYTES = 2**20, 2**17, 4 * (1 + 5)


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
        file = keras_file.read(asked.file)
        planned = plan_model(file.config, asked.limits)
        keras_file.unpack_weights(asked.file, theirs, _most_bytes(planned.plan))
        model = build(planned.plan.network, planned.plan.input_shapes)
        check_masks(file.config, json.loads(model.to_json()))
        _take_weights(model, theirs, planned, asked.folder)
    finally:
        theirs.unlink(missing_ok=True)
    network = planned.plan.network
    stored.save(model, write_architecture(network), planned.plan.input_shapes, asked.folder)
    signature = signature_of(model, network)
    rows = sample.make_up(network, signature)
    exported = export(model, signature, rows, asked.folder / "model.onnx", template=_template(model, signature))
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


def _most_bytes(plan: Plan) -> int:
    """How large a file of weights can be: the layers' numbers, an optimizer's for each, and their places."""
    return _FILE_BYTES + _LAYER_BYTES * len(plan.layers) + _NUMBER_BYTES * sum(one.parameters for one in plan.layers)


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


def _template(model: keras.Model, signature: Signature) -> template.Template | None:
    """The export without its weights, which converts many times faster than with them; None where it cannot be made."""
    if not template.can_draft(model):
        return None
    # Converters raise whatever they like; the export then converts the network with its weights.
    with contextlib.suppress(Exception):
        return template.draft(template.trace(model, signature), signature)
    return None


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
