"""Shapes of the layers that move, cut or repeat numbers without changing them."""

from collections.abc import Callable
from math import prod

from service.architecture.network import Layer, Shape
from service.architecture.shapes.convolution import AXES
from service.architecture.shapes.rule import LayerShape, Rule, ShapeError, expect_axes, show, tuple_of


def _reshape(layer: Layer, shape: Shape) -> LayerShape:
    target = tuple(layer.arguments["target_shape"])
    if None in shape or None in target:
        return LayerShape(output_shape=tuple(None if size == -1 else size for size in target))
    total = prod(size for size in shape if size is not None)
    fixed = prod(size for size in target if size != -1)
    if total % fixed if -1 in target and fixed else total != fixed:
        raise ShapeError(
            f"Reshape got samples of shape {show(shape)}, {total} numbers, which target_shape={list(target)} does not "
            f"hold; choose sizes whose product is {total}, or one of them -1.",
            "target_shape",
        )
    return LayerShape(output_shape=tuple(total // fixed if size == -1 else size for size in target))


def _flatten(layer: Layer, shape: Shape) -> LayerShape:
    return LayerShape(output_shape=(None if None in shape else prod(size for size in shape if size is not None),))


def _repeat_vector(layer: Layer, shape: Shape) -> LayerShape:
    expect_axes(layer, shape, ("features",))
    return LayerShape(output_shape=(layer.arguments["n"], *shape))


def _permute(layer: Layer, shape: Shape) -> LayerShape:
    dims = layer.arguments["dims"]
    if sorted(dims) != list(range(1, len(shape) + 1)):
        raise ShapeError(
            f"Permute got dims={list(dims)} for samples of shape {show(shape)}; "
            f"it expects each of 1 to {len(shape)} once.",
            "dims",
        )
    return LayerShape(output_shape=tuple(shape[axis - 1] for axis in dims))


def _changes(layer: Layer, argument: str, rank: int) -> list[int]:
    """Read how much is cut or added on each axis in all, from a pair or one number for each axis."""
    value = layer.arguments[argument]
    # With one axis the list is the pair itself.
    pairs = [value] if rank == 1 else value
    return [2 * pair if isinstance(pair, int) else sum(pair) for pair in pairs]


def _cropping(rank: int) -> Rule:
    def rule(layer: Layer, shape: Shape) -> LayerShape:
        expect_axes(layer, shape, AXES[rank])
        cut = _changes(layer, "cropping", rank)
        if any(size is not None and less >= size for size, less in zip(shape, cut, strict=False)):
            raise ShapeError(
                f"{layer.type} got cropping={layer.arguments['cropping']}, which leaves nothing of samples of shape "
                f"{show(shape)}; cut less.",
                "cropping",
            )
        return LayerShape(output_shape=_resized(shape, lambda size, axis: size - cut[axis]))

    return rule


def _zero_padding(rank: int) -> Rule:
    def rule(layer: Layer, shape: Shape) -> LayerShape:
        expect_axes(layer, shape, AXES[rank])
        added = _changes(layer, "padding", rank)
        return LayerShape(output_shape=_resized(shape, lambda size, axis: size + added[axis]))

    return rule


def _up_sampling(rank: int) -> Rule:
    def rule(layer: Layer, shape: Shape) -> LayerShape:
        expect_axes(layer, shape, AXES[rank])
        factors = tuple_of(layer, "size", rank)
        return LayerShape(output_shape=_resized(shape, lambda size, axis: size * factors[axis]))

    return rule


def _resized(shape: Shape, change: Callable[[int, int], int]) -> Shape:
    """Change the size of each axis but the channels; None stays None."""
    return (*(None if size is None else change(size, axis) for axis, size in enumerate(shape[:-1])), shape[-1])


RULES: dict[str, Rule] = {
    "Reshape": _reshape,
    "Flatten": _flatten,
    "RepeatVector": _repeat_vector,
    "Permute": _permute,
    **{f"Cropping{rank}D": _cropping(rank) for rank in AXES},
    **{f"ZeroPadding{rank}D": _zero_padding(rank) for rank in AXES},
    **{f"UpSampling{rank}D": _up_sampling(rank) for rank in AXES},
}
