"""What a shape rule takes and gives, and the checks that many rules share."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import isqrt, prod

from service.architecture.network import Layer, Shape


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerShape:
    """What one layer gives: its output's shape without the batch, and how many numbers it trains and merely keeps."""

    output_shape: Shape
    trainable: int = 0
    non_trainable: int = 0


class ShapeError(Exception):
    """A layer does not fit what feeds it; `argument` names the argument to blame, when it is one alone."""

    def __init__(self, detail: str, argument: str | None = None) -> None:
        super().__init__(detail)
        self.detail = detail
        self.argument = argument


#: A rule for a layer of one input, and one for a layer of several.
Rule = Callable[[Layer, Shape], LayerShape]
JoiningRule = Callable[[Layer, Sequence[Shape]], LayerShape]
#: What a wrapper's rule calls for the layer that it wraps.
Infer = Callable[[Layer, Sequence[Shape]], LayerShape]


def show(shape: Sequence[int | None]) -> str:
    """Write a shape as clients read it: `(28, 28, 1)`, `(None, 8)`, `(20,)`."""
    return str(tuple(shape))


def tuple_of(layer: Layer, argument: str, length: int) -> tuple[int, ...]:
    """Read an argument that is one whole number for all axes, or a list with one for each; `length` is how many."""
    value = layer.arguments[argument]
    return (value,) * length if isinstance(value, int) else tuple(value)


def expect_axes(layer: Layer, shape: Shape, axes: Sequence[str]) -> None:
    """Raise ShapeError unless the samples have just these axes; the sentence suggests a Reshape where one would do."""
    if len(shape) != len(axes):
        wanted = f"({', '.join(axes)})" if len(axes) > 1 else f"({axes[0]},)"
        raise ShapeError(
            f"{layer.type} expects samples of shape {wanted}, got {show(shape)}; {_how_to_fit(shape, axes)}."
        )


def _how_to_fit(shape: Shape, axes: Sequence[str]) -> str:
    sizes = ("rows", *axes)
    send = f"send x as ({', '.join(sizes)})"
    target = _reshaped(shape, len(axes), axes[-1] == "channels")
    if target is None:
        return f"put a Reshape before it, or {send}"
    return f'put {{"type": "Reshape", "target_shape": {target}}} before it, or {send}'


def _reshaped(shape: Shape, rank: int, image: bool) -> list[int] | None:
    """Guess a target shape of `rank` axes for samples whose every size is known; None when there is no good one."""
    sizes = [size for size in shape if size is not None]
    if not sizes or len(sizes) < len(shape):
        return None
    if len(sizes) == rank - 1:
        return [*sizes, 1]
    if len(sizes) == 1 and image and rank == 3:
        return _square(sizes[0])
    if len(sizes) > rank and not image:
        return [*sizes[: rank - 1], prod(sizes[rank - 1 :])]
    return None


def _square(size: int) -> list[int] | None:
    """The sides of a square image of one or three channels with `size` numbers."""
    for channels in (1, 3):
        side = isqrt(size // channels)
        if side > 1 and side * side * channels == size:
            return [side, side, channels]
    return None


def expect_rank_at_least(layer: Layer, shape: Shape, least: int, axes: str) -> None:
    """Raise ShapeError when the samples have fewer than `least` axes; `axes` shows what is expected."""
    if len(shape) < least:
        raise ShapeError(
            f"{layer.type} expects samples of at least {least} axes, such as {axes}, got {show(shape)}; "
            "put a Reshape before it, or send x with one more pair of brackets around each row."
        )


def known(layer: Layer, shape: Shape, index: int, what: str) -> int:
    """Give the size of one axis, which must be fixed because weights depend on it; `what` names the axis."""
    size = shape[index]
    if size is None:
        raise ShapeError(
            f"{layer.type} needs a fixed {what}, got {show(shape)} where None is not fixed; "
            "give that size in the Input's shape, or send data in which all rows have one shape."
        )
    return size


def sample_axes(layer: Layer, shape: Shape, argument: str = "axis") -> tuple[int, ...]:
    """Turn Keras's axes (which count the batch as 0) into indexes into a sample's shape; each at most once."""
    value = layer.arguments[argument]
    axes = [value] if isinstance(value, int) else list(value or ())
    indexes = [axis_index(layer, shape, axis, argument) for axis in axes]
    if len(set(indexes)) != len(indexes):
        raise ShapeError(f"{layer.type} got {argument}={axes}, which names one axis twice; name each once.", argument)
    return tuple(indexes)


def axis_index(layer: Layer, shape: Shape, axis: int, argument: str) -> int:
    """Turn one of Keras's axes (1 is a sample's first, -1 its last) into an index into the sample's shape."""
    rank = len(shape)
    if 1 <= axis <= rank:
        return axis - 1
    if -rank <= axis <= -1:
        return axis + rank
    allowed = f"1 to {rank}, or -{rank} to -1" if rank else "none, for these samples have no axes"
    raise ShapeError(
        f"{layer.type} got {argument}={axis} for samples of shape {show(shape)}; "
        f"it may be {allowed} (0 would be the rows themselves).",
        argument,
    )


def reject_channels_first(layer: Layer) -> None:
    """Raise ShapeError for channels_first, in which most of these layers cannot run without a GPU."""
    if layer.arguments.get("data_format") == "channels_first":
        raise ShapeError(
            f'{layer.type} got data_format "channels_first", which is not served; expected "channels_last": '
            "put a Permute before it that moves the channels to the end.",
            "data_format",
        )


def same(layer: Layer, shape: Shape) -> LayerShape:
    """The rule of layers that change neither the shape nor keep weights."""
    return LayerShape(output_shape=shape)
