"""Warm starts: the weights of a stored version, given to the layers of the same names."""

from typing import Any

import keras

from service.architecture import build, stored
from service.training.messages import InitialWeights


def fill(model: keras.Model, initial: InitialWeights, optimizer: Any) -> None:
    """Give each layer of `model` the weights of the stored layer of its name; other layers keep their own.

    With `optimizer_state`, the model's optimizer, made from `optimizer`, goes on from where the stored one was: both
    networks are then the same. That weights fit was checked when the job was submitted.
    """
    fresh = build.make("optimizer", optimizer) if initial.optimizer_state else None
    _, source = stored.load(initial.folder, fresh)
    for layer in source.layers:
        if layer.weights and layer.name in (own.name for own in model.layers):
            _copy(layer, model.get_layer(layer.name))
    if fresh is not None:
        for variable, value in zip(model.optimizer.variables, fresh.variables, strict=True):
            variable.assign(value)


def _copy(source: keras.Layer, target: keras.Layer) -> None:
    target.set_weights(source.get_weights())
    if isinstance(target, keras.layers.Normalization):
        # It calculates with constants that it has made from its weights.
        target.finalize_state()
