"""`.keras` files as clients have them: of networks built by Keras alone, and such files with one thing changed."""

import io
import json
import zipfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np

from service.architecture.plan import Limits
from service.training.import_request import Imported, ImportRequest
from service.training.importing import import_model

#: What a size that is not fixed is in the rows that are compared.
OPEN = 6
ROWS = 3

_WEIGHTS = "model.weights.h5"
_CONFIG = "config.json"
#: Where Keras has the class for what an argument names by an object with `type`.
_HOMES = (keras.layers, keras.regularizers, keras.initializers, keras.constraints)


def small() -> keras.Model:
    """A compiled network of two layers with weights."""
    layers = [
        keras.layers.Dense(3, "relu", name="hidden"),
        keras.layers.Dropout(0.5, name="drop"),
        keras.layers.Dense(2, name="out"),
    ]
    model = keras.Sequential([keras.Input((4,), name="x"), *layers])
    model.compile("adam", "mse", metrics=["mae"])
    randomize(model)
    return model


def of_cases(type_name: str, cases: Sequence[tuple[Any, ...]]) -> keras.Model:
    """A network in which each case, arguments and the shapes of inputs, is a layer with inputs of its own."""
    inputs, outputs = [], []
    for arguments, *shapes in cases:
        dtype = "int32" if _looks_up(type_name, arguments) else "float32"
        own = [keras.Input(shape, dtype=dtype) for shape in shapes]
        inputs.extend(own)
        outputs.append(_call(type_name, _raw({"type": type_name, **arguments}), own))
    return keras.Model(inputs, outputs)


def randomize(model: keras.Model, seed: int = 1) -> None:
    """Give a model weights that no initializer gives; none is negative, as some are variances."""
    draw = np.random.default_rng(seed)
    for layer in model.layers:
        layer.set_weights([_drawn(draw, weight) for weight in layer.get_weights()])
        if isinstance(layer, keras.layers.Normalization):
            layer.finalize_state()


def rows(model: keras.Model, count: int = ROWS) -> list[np.ndarray[Any, Any]]:
    """Rows for each of a model's inputs."""
    draw = np.random.default_rng(2)
    shapes = [(count, *(size or OPEN for size in tensor.shape[1:])) for tensor in model.inputs]
    return [
        draw.integers(0, 3, shape).astype("int32") if tensor.dtype == "int32" else draw.random(shape, np.float32)
        for tensor, shape in zip(model.inputs, shapes, strict=True)
    ]


def answers(model: keras.Model, given: Sequence[np.ndarray[Any, Any]]) -> list[np.ndarray[Any, Any]]:
    """What a model answers, its outputs in a list."""
    found = model(given[0] if len(given) == 1 else list(given), training=False)
    return [np.asarray(one) for one in keras.tree.flatten(found)]


def saved(model: keras.Model, folder: Path) -> Path:
    """The model's file, as Keras writes it."""
    path = folder / "model.keras"
    model.save(path)
    return path


def members(path: Path) -> dict[str, bytes]:
    """What is in a file, by name."""
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def zipped(path: Path, content: Mapping[str, bytes], method: int = zipfile.ZIP_STORED) -> Path:
    """Write a file anew with other members."""
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, data in content.items():
            archive.writestr(name, data)
    return path


def with_config(path: Path, change: Callable[[Any], Any]) -> Path:
    """Change a file's configuration."""
    content = members(path)
    config = json.loads(content[_CONFIG])
    changed = change(config)
    return zipped(path, content | {_CONFIG: json.dumps(config if changed is None else changed).encode()})


def with_weights(path: Path, change: Callable[[Any], None]) -> Path:
    """Change a file's weights, by a function of the open HDF5 file."""
    content = members(path)
    buffer = io.BytesIO(content[_WEIGHTS])
    with h5py.File(buffer, "r+") as file:
        change(file)
    return zipped(path, content | {_WEIGHTS: buffer.getvalue()})


def bring(path: Path, folder: Path, limits: Limits | None = None) -> Imported:
    """Import a file into a new folder, by way of JSON as an errand does."""
    folder.mkdir()
    request = ImportRequest(file=path, folder=folder, limits=limits or Limits())
    return Imported.from_json(json.loads(json.dumps(import_model(json.loads(json.dumps(request.to_json()))))))


def _looks_up(type_name: str, arguments: dict[str, Any]) -> bool:
    return {type_name, arguments.get("layer", {}).get("type")} & {"Embedding", "CategoryEncoding"} != set()


def _raw(value: Any) -> Any:
    """The object of Keras for an object with `type`, built by Keras's own constructor."""
    if not isinstance(value, dict):
        return value
    arguments = {name: _raw(one) for name, one in value.items() if name not in ("type", "trainable")}
    made = next(getattr(home, value["type"]) for home in _HOMES if hasattr(home, value["type"]))(**arguments)
    if "trainable" in value:
        made.trainable = value["trainable"]
    return made


def _call(type_name: str, layer: Any, inputs: list[Any]) -> Any:
    if type_name in ("MultiHeadAttention", "GroupQueryAttention"):
        return layer(*inputs)
    return layer(inputs if len(inputs) > 1 else inputs[0])


def _drawn(draw: np.random.Generator, weight: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    if weight.dtype.kind != "f":
        return weight
    return draw.uniform(0.1, 1.0, weight.shape).astype(weight.dtype)


def arrays(path: Path) -> list[str]:
    """The places of all arrays among a file's weights."""
    found: list[str] = []

    def note(name: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset):
            found.append(name)

    with h5py.File(io.BytesIO(members(path)[_WEIGHTS])) as file:
        file.visititems(note)
    return found


def external_link(path: str) -> Any:
    """A link to something in another file."""
    return h5py.ExternalLink(path, "x")
