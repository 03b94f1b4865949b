"""Shapes of the layers that bring numbers to one scale."""

from collections.abc import Sequence
from math import prod
from typing import Any

from service.architecture.network import Layer, Shape
from service.architecture.shapes.rule import LayerShape, Rule, ShapeError, known, same, sample_axes, show


def _kept_sizes(layer: Layer, shape: Shape) -> list[int]:
    return [known(layer, shape, index, f"size of axis {index + 1}") for index in sample_axes(layer, shape)]


def _scale_and_center(layer: Layer) -> int:
    return int(layer.arguments["scale"]) + int(layer.arguments["center"])


def _batch(layer: Layer, shape: Shape) -> LayerShape:
    size = prod(_kept_sizes(layer, shape))
    return LayerShape(
        output_shape=shape,
        trainable=size * _scale_and_center(layer),
        non_trainable=size * (5 if layer.arguments.get("renorm") else 2),
    )


def _layer(layer: Layer, shape: Shape) -> LayerShape:
    return LayerShape(output_shape=shape, trainable=prod(_kept_sizes(layer, shape)) * _scale_and_center(layer))


def _group(layer: Layer, shape: Shape) -> LayerShape:
    size, groups = prod(_kept_sizes(layer, shape)), layer.arguments["groups"]
    if groups != -1 and (groups > size or size % groups):
        raise ShapeError(
            f"GroupNormalization got groups={groups} for {size} channels; "
            f"choose groups that divides {size}, or -1 for one group to each channel.",
            "groups",
        )
    return LayerShape(output_shape=shape, trainable=size * _scale_and_center(layer))


def _rms(layer: Layer, shape: Shape) -> LayerShape:
    return LayerShape(output_shape=shape, trainable=prod(_kept_sizes(layer, shape)))


def _unit(layer: Layer, shape: Shape) -> LayerShape:
    sample_axes(layer, shape)
    return same(layer, shape)


def _normalization(layer: Layer, shape: Shape) -> LayerShape:
    sizes = [known(layer, shape, index, f"size of axis {index + 1}") for index in sorted(sample_axes(layer, shape))]
    mean = layer.arguments["mean"]
    if mean is None:
        # Keras also counts a weight that says how many rows were seen.
        return LayerShape(output_shape=shape, non_trainable=2 * prod(sizes) + 1)
    for argument in ("mean", "variance"):
        _check_constant(layer, argument, sizes)
    return LayerShape(output_shape=shape)


def _check_constant(layer: Layer, argument: str, sizes: Sequence[int]) -> None:
    dimensions = _dimensions(layer.arguments[argument])
    tail = sizes[len(sizes) - len(dimensions) :]
    fits = len(dimensions) <= len(sizes) and all(have in (1, size) for have, size in zip(dimensions, tail, strict=True))
    if not fits:
        raise ShapeError(
            f"Normalization got {argument} of shape {show(dimensions)} for axes of size {show(sizes)}; "
            "give one number, or one for each of them.",
            argument,
        )


def _dimensions(value: Any) -> tuple[int, ...]:
    return (len(value), *(_dimensions(value[0]) if value else ())) if isinstance(value, list | tuple) else ()


RULES: dict[str, Rule] = {
    "BatchNormalization": _batch,
    "LayerNormalization": _layer,
    "GroupNormalization": _group,
    "RMSNormalization": _rms,
    "UnitNormalization": _unit,
    "Normalization": _normalization,
}
