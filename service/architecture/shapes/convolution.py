"""Shapes of the layers that slide a window: convolutions, transposed ones, and pooling."""

from math import prod

from service.architecture.network import Layer, Shape
from service.architecture.shapes.rule import LayerShape, Rule, ShapeError, expect_axes, known, show, tuple_of

AXES = {
    1: ("timesteps", "channels"),
    2: ("height", "width", "channels"),
    3: ("depth", "height", "width", "channels"),
}


def slid(layer: Layer, spatial: Shape, window: tuple[int, ...], strides: tuple[int, ...], argument: str) -> Shape:
    """Give the sizes after a window (dilation counted in) has slid over `spatial`; None stays None.

    `argument` is the one to blame when the window is larger than what it slides over.
    """
    if layer.arguments["padding"] != "valid":
        return tuple(
            None if size is None else (size - 1) // step + 1 for size, step in zip(spatial, strides, strict=True)
        )
    for size, reach in zip(spatial, window, strict=True):
        if size is not None and size < reach:
            raise ShapeError(
                f"{layer.type} got samples of {show(spatial)} steps or pixels, below its window of {show(window)}; "
                f'lower {argument}, take padding "same", or use fewer such layers before it.',
                argument,
            )
    return tuple(
        None if size is None else (size - reach) // step + 1
        for size, reach, step in zip(spatial, window, strides, strict=True)
    )


def kernel_reach(layer: Layer, rank: int) -> tuple[int, ...]:
    """Give how far the kernel reaches along each axis, its dilation counted in."""
    kernel = tuple_of(layer, "kernel_size", rank)
    dilation = tuple_of(layer, "dilation_rate", rank)
    return tuple((size - 1) * rate + 1 for size, rate in zip(kernel, dilation, strict=True))


def convolved(layer: Layer, spatial: Shape) -> Shape:
    """Give the sizes after a convolution over `spatial`, which leaves the channels out."""
    rank = len(spatial)
    strides = tuple_of(layer, "strides", rank)
    return slid(layer, spatial, kernel_reach(layer, rank), strides, "kernel_size")


def _convolution(rank: int) -> Rule:
    def rule(layer: Layer, shape: Shape) -> LayerShape:
        expect_axes(layer, shape, AXES[rank])
        channels, filters = known(layer, shape, -1, "number of channels"), layer.arguments["filters"]
        groups = layer.arguments["groups"]
        _check_groups(layer, channels, groups)
        kernel = prod(tuple_of(layer, "kernel_size", rank)) * channels // groups
        return LayerShape(
            output_shape=(*convolved(layer, shape[:-1]), filters),
            trainable=filters * (kernel + int(layer.arguments["use_bias"])),
        )

    return rule


def _check_groups(layer: Layer, channels: int, groups: int) -> None:
    if channels % groups:
        raise ShapeError(
            f"{layer.type} got groups={groups}, but {channels} channels come in; "
            f"choose groups that divides {channels}.",
            "groups",
        )


def _transposed(rank: int) -> Rule:
    def rule(layer: Layer, shape: Shape) -> LayerShape:
        expect_axes(layer, shape, AXES[rank])
        channels, filters = known(layer, shape, -1, "number of channels"), layer.arguments["filters"]
        kernel = prod(tuple_of(layer, "kernel_size", rank)) * channels
        return LayerShape(
            output_shape=(*_spread(layer, shape[:-1]), filters),
            trainable=filters * (kernel + int(layer.arguments["use_bias"])),
        )

    return rule


def _spread(layer: Layer, spatial: Shape) -> Shape:
    """Give the sizes after a transposed convolution; a given `output_padding` has its own formula."""
    rank = len(spatial)
    reach, strides = kernel_reach(layer, rank), tuple_of(layer, "strides", rank)
    if layer.arguments["output_padding"] is None:
        return tuple(
            None if size is None else _spread_plain(layer, size, window, step)
            for size, window, step in zip(spatial, reach, strides, strict=True)
        )
    extra = tuple_of(layer, "output_padding", rank)
    if not _is_valid(layer) and any(window % 2 + more == 0 for window, more in zip(reach, extra, strict=True)):
        # Keras plans a size here that TensorFlow then refuses to run, for it is one step too small.
        raise ShapeError(
            f'{layer.type} got output_padding={show(extra)} with padding "same" and the even window {show(reach)}; '
            "there it must be at least 1: leave output_padding out, or choose an odd kernel_size.",
            "output_padding",
        )
    return tuple(
        None if size is None else (size - 1) * step + (window if _is_valid(layer) else window % 2) + more
        for size, window, step, more in zip(spatial, reach, strides, extra, strict=True)
    )


def _spread_plain(layer: Layer, size: int, window: int, step: int) -> int:
    return (size - 1) * step + max(window, step) if _is_valid(layer) else size * step


def _is_valid(layer: Layer) -> bool:
    return bool(layer.arguments["padding"] == "valid")


def _separable(rank: int) -> Rule:
    def rule(layer: Layer, shape: Shape) -> LayerShape:
        expect_axes(layer, shape, AXES[rank])
        channels, filters = known(layer, shape, -1, "number of channels"), layer.arguments["filters"]
        deep = channels * layer.arguments["depth_multiplier"]
        return LayerShape(
            output_shape=(*convolved(layer, shape[:-1]), filters),
            trainable=prod(tuple_of(layer, "kernel_size", rank)) * deep
            + filters * (deep + int(layer.arguments["use_bias"])),
        )

    return rule


def _depthwise(rank: int) -> Rule:
    def rule(layer: Layer, shape: Shape) -> LayerShape:
        expect_axes(layer, shape, AXES[rank])
        deep = known(layer, shape, -1, "number of channels") * layer.arguments["depth_multiplier"]
        kernel = prod(tuple_of(layer, "kernel_size", rank))
        return LayerShape(
            output_shape=(*convolved(layer, shape[:-1]), deep),
            trainable=deep * (kernel + int(layer.arguments["use_bias"])),
        )

    return rule


def _pooling(rank: int) -> Rule:
    def rule(layer: Layer, shape: Shape) -> LayerShape:
        expect_axes(layer, shape, AXES[rank])
        window = tuple_of(layer, "pool_size", rank)
        strides = window if layer.arguments["strides"] is None else tuple_of(layer, "strides", rank)
        return LayerShape(output_shape=(*slid(layer, shape[:-1], window, strides, "pool_size"), shape[-1]))

    return rule


def _global_pooling(rank: int) -> Rule:
    def rule(layer: Layer, shape: Shape) -> LayerShape:
        expect_axes(layer, shape, AXES[rank])
        kept = (1,) * rank if layer.arguments["keepdims"] else ()
        return LayerShape(output_shape=(*kept, shape[-1]))

    return rule


RULES: dict[str, Rule] = {
    **{f"Conv{rank}D": _convolution(rank) for rank in AXES},
    **{f"Conv{rank}DTranspose": _transposed(rank) for rank in AXES},
    **{f"SeparableConv{rank}D": _separable(rank) for rank in (1, 2)},
    **{f"DepthwiseConv{rank}D": _depthwise(rank) for rank in (1, 2)},
    **{f"{kind}Pooling{rank}D": _pooling(rank) for kind in ("Max", "Average") for rank in AXES},
    **{f"Global{kind}Pooling{rank}D": _global_pooling(rank) for kind in ("Max", "Average") for rank in AXES},
}
