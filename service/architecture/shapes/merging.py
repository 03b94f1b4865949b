"""Shapes of the layers that join several inputs into one."""

from collections.abc import Sequence
from functools import reduce

from service.architecture.network import Layer, Shape
from service.architecture.shapes.rule import JoiningRule, LayerShape, ShapeError, axis_index, show


def _several(layer: Layer, shapes: Sequence[Shape], exactly: int | None = None) -> None:
    if len(shapes) < 2 or (exactly is not None and len(shapes) != exactly):
        wanted = f"exactly {exactly}" if exactly else "two or more"
        raise ShapeError(
            f"{layer.type} got {len(shapes)} input{'s' * (len(shapes) != 1)}; it expects {wanted}: "
            "name the layers that feed it in inputs."
        )


def _all_shown(shapes: Sequence[Shape]) -> str:
    return ", ".join(show(shape) for shape in shapes)


def _elementwise(layer: Layer, shapes: Sequence[Shape]) -> LayerShape:
    _several(layer, shapes, 2 if layer.type == "Subtract" else None)
    output = reduce(lambda one, other: _broadcast(layer, one, other, shapes), shapes)
    return LayerShape(output_shape=output)


def _broadcast(layer: Layer, one: Shape, other: Shape, shapes: Sequence[Shape]) -> Shape:
    longer, shorter = (one, other) if len(one) >= len(other) else (other, one)
    lead = len(longer) - len(shorter)
    return (
        *longer[:lead],
        *(_broadcast_size(layer, a, b, shapes) for a, b in zip(longer[lead:], shorter, strict=True)),
    )


def _broadcast_size(layer: Layer, a: int | None, b: int | None, shapes: Sequence[Shape]) -> int | None:
    if a is None or b is None:
        return None
    if a != b and 1 not in (a, b):
        raise ShapeError(
            f"{layer.type} got inputs of shape {_all_shown(shapes)}; it expects equal sizes (or 1) on each axis, "
            "counted from the last: put a Dense or a Reshape before one of them, or use Concatenate."
        )
    return b if a == 1 else a


def _concatenate(layer: Layer, shapes: Sequence[Shape]) -> LayerShape:
    _several(layer, shapes)
    first, axis = shapes[0], layer.arguments["axis"]
    index = axis_index(layer, first, axis, "axis")
    for shape in shapes[1:]:
        if len(shape) != len(first) or not all(
            at == index or a is None or b is None or a == b for at, (a, b) in enumerate(zip(first, shape, strict=True))
        ):
            raise ShapeError(
                f"Concatenate got inputs of shape {_all_shown(shapes)}; it expects equal sizes on each axis but "
                f"axis={axis}: put a Reshape or a Flatten before one of them, or choose another axis."
            )
    joined = [shape[index] for shape in shapes]
    total = None if None in joined else sum(size for size in joined if size is not None)
    return LayerShape(output_shape=(*first[:index], total, *first[index + 1 :]))


def _dot(layer: Layer, shapes: Sequence[Shape]) -> LayerShape:
    _several(layer, shapes, 2)
    axes = layer.arguments["axes"]
    pair = (axes, axes) if isinstance(axes, int) else tuple(axes)
    left, right = (axis_index(layer, shape, axis, "axes") for shape, axis in zip(shapes, pair, strict=True))
    if shapes[0][left] != shapes[1][right]:
        raise ShapeError(
            f"Dot got inputs of shape {_all_shown(shapes)} whose axes={axes} differ in size; "
            "choose axes of equal size, or put a Dense before one of them.",
            "axes",
        )
    rest = (*shapes[0][:left], *shapes[0][left + 1 :], *shapes[1][:right], *shapes[1][right + 1 :])
    return LayerShape(output_shape=rest or (1,))


RULES: dict[str, JoiningRule] = {
    **dict.fromkeys(("Add", "Subtract", "Multiply", "Average", "Maximum", "Minimum"), _elementwise),
    "Concatenate": _concatenate,
    "Dot": _dot,
}
