"""A checked network becomes a Keras model; no client JSON ever reaches Keras's own deserialisation."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from service.architecture import catalog
from service.architecture.network import Layer, Network, Shape

_CLASSES = {
    "layer": keras.layers,
    "initializer": keras.initializers,
    "regularizer": keras.regularizers,
    "constraint": keras.constraints,
    "loss": keras.losses,
    "optimizer": keras.optimizers,
    "schedule": keras.optimizers.schedules,
    "metric": keras.metrics,
    "callback": keras.callbacks,
}
#: Names of these stay strings: Keras has one function for each, and picks some by the shape of the targets.
_NAMED = ("activation", "loss", "metric")
#: Of these Keras has a class, but does not find it by its name.
_ONLY_CLASSES = ("CategoricalGeneralizedCrossEntropy",)
_ASKING = ("MultiHeadAttention", "GroupQueryAttention")
_LISTING = (
    *("Attention", "AdditiveAttention", "Concatenate", "Dot"),
    *("Add", "Subtract", "Multiply", "Average", "Maximum", "Minimum"),
)
_ADAPT_ROWS = 4096


def build(network: Network, input_shapes: Mapping[str, Shape]) -> keras.Model:
    """Build the functional model of a planned network; `input_shapes` come from its plan, without the batch.

    Inputs and outputs are one tensor when there is one, and otherwise lists in the network's order. Layers have the
    network's names.
    """
    tensors = {
        one.name: keras.Input(shape=input_shapes[one.name], dtype=one.dtype, name=one.name) for one in network.inputs
    }
    for layer in network.layers:
        tensors[layer.name] = _connect(layer, [tensors[name] for name in layer.inputs])
    return keras.Model(
        inputs=_one_or_all([tensors[one.name] for one in network.inputs]),
        outputs=_one_or_all([tensors[name] for name in network.outputs]),
    )


def make(kind: str, value: Any) -> Any:
    """Make the Keras object for a name, or for an object with `type`, in the catalog's normal form; None stays None.

    `kind` is a kind of the catalog. Names of activations, losses and metrics stay strings, which Keras resolves.
    Raises ValueError for what is not in the catalog.
    """
    if value is None or (kind in _NAMED and isinstance(value, str) and value not in _ONLY_CLASSES):
        return value
    arguments = {} if isinstance(value, str) else {key: value[key] for key in value if key != "type"}
    return _construct(kind, value if isinstance(value, str) else value["type"], arguments)


def adapt(model: keras.Model, network: Network, x: Mapping[str, NDArray[Any]]) -> None:
    """Set mean and variance of each Normalization that was given none, from the training rows in `x` (by input name).

    Call it before the model has run: a graph that Keras has traced keeps the numbers of its time.
    """
    for layer in network.layers:
        if layer.type == "Normalization" and layer.arguments["mean"] is None:
            normalization = model.get_layer(layer.name)
            before = keras.Model(inputs=_one_or_all(model.inputs), outputs=normalization.input)
            arrays = [x[one.name] for one in network.inputs]
            normalization.adapt(_batches(before, arrays))


def _batches(before: keras.Model, arrays: Sequence[NDArray[Any]]) -> Iterator[NDArray[np.float32]]:
    """Yield what reaches a layer, some rows at a time, so that no second copy of the data is ever in memory."""
    for start in range(0, len(arrays[0]), _ADAPT_ROWS):
        rows = [array[start : start + _ADAPT_ROWS] for array in arrays]
        yield np.asarray(before(_one_or_all(rows), training=False), dtype=np.float32)


def constants(model: keras.Model) -> list[Any]:
    """The tensors, besides its variables, with which a model calculates: what Normalization has made of its weights."""
    return [
        tensor
        for layer in model.layers
        if isinstance(layer, keras.layers.Normalization)
        for tensor in (layer.mean, layer.variance)
    ]


def _connect(layer: Layer, tensors: Sequence[Any]) -> Any:
    built = _build_layer(layer)
    if layer.type in _LISTING:
        # One input alone is query and value of a self-attention.
        return built([*tensors, *tensors] if len(tensors) == 1 else list(tensors))
    if layer.type in _ASKING:
        return built(tensors[0], *(tensors[1:] or tensors))
    return built(tensors[0])


def _build_layer(layer: Layer) -> Any:
    given = {name: value for name, value in layer.arguments.items() if name != "trainable"}
    built = _construct("layer", layer.type, {**given, "name": layer.name})
    # Not every constructor takes `trainable`, and every layer has it.
    built.trainable = layer.arguments.get("trainable", True)
    return built


def _construct(kind: str, type_name: str, given: dict[str, Any]) -> Any:
    entry = catalog.find(kind, type_name)
    if entry is None:
        raise ValueError(f"{type_name!r} came as a {kind}, but the catalog has no such entry; check it first.")
    kinds = {argument.name: argument.type for argument in entry.arguments}
    arguments = {name: _argument(kinds.get(name, ""), value) for name, value in given.items()}
    return getattr(_CLASSES[kind], entry.type)(**arguments)


def _argument(kind: str, value: Any) -> Any:
    if isinstance(value, Layer):
        return _build_layer(value)
    if kind in catalog.KINDS:
        return make(kind, value)
    if kind == "number or schedule" and isinstance(value, str | dict):
        return make("schedule", value)
    return value


def _one_or_all(values: list[Any]) -> Any:
    return values[0] if len(values) == 1 else values
