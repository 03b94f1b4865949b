"""Every layer's output shape and parameter count, worked out without Keras and equal to Keras's."""

from collections.abc import Sequence

from service.architecture.network import Layer, Shape
from service.architecture.shapes import (
    attention,
    convolution,
    dense,
    merging,
    normalization,
    preprocessing,
    recurrent,
    reshaping,
    wrapping,
)
from service.architecture.shapes.rule import JoiningRule, LayerShape, Rule, ShapeError, reject_channels_first

__all__ = ["JOINING_RULES", "RULES", "WRAPPING_RULES", "LayerShape", "ShapeError", "infer"]

#: Layers of one input.
RULES: dict[str, Rule] = {
    **dense.RULES,
    **convolution.RULES,
    **recurrent.RULES,
    **normalization.RULES,
    **reshaping.RULES,
    **preprocessing.RULES,
}
#: Layers of several inputs.
JOINING_RULES: dict[str, JoiningRule] = {**attention.RULES, **merging.RULES}
#: Layers around another layer.
WRAPPING_RULES = wrapping.RULES


def infer(layer: Layer, shapes: Sequence[Shape]) -> LayerShape:
    """Work out what a layer gives for inputs of these shapes; raise ShapeError when it does not fit them.

    `shapes` has one entry for each input, without the batch. A layer whose `trainable` is false counts all its
    parameters as non-trainable, as Keras does.
    """
    reject_channels_first(layer)
    inferred = _apply_rule(layer, shapes)
    if layer.arguments.get("trainable", True):
        return inferred
    return LayerShape(output_shape=inferred.output_shape, non_trainable=inferred.trainable + inferred.non_trainable)


def _apply_rule(layer: Layer, shapes: Sequence[Shape]) -> LayerShape:
    if layer.type in JOINING_RULES:
        return JOINING_RULES[layer.type](layer, shapes)
    if len(shapes) != 1:
        raise ShapeError(
            f"{layer.type} got {len(shapes)} inputs; it expects one: join them by a Concatenate or an Add before it."
        )
    if layer.type in WRAPPING_RULES:
        return WRAPPING_RULES[layer.type](layer, shapes[0], infer)
    return RULES[layer.type](layer, shapes[0])
