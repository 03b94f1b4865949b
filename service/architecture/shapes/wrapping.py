"""Shapes of the layers that hold another layer; each rule is handed `infer` for the one inside."""

from collections.abc import Callable

from service.architecture.network import Layer, Shape
from service.architecture.shapes.dense import einsum_kernel
from service.architecture.shapes.rule import Infer, LayerShape, ShapeError, show

WrapperRule = Callable[[Layer, Shape, Infer], LayerShape]


def _inside(layer: Layer, argument: str, shape: Shape, infer: Infer) -> LayerShape:
    """Infer the wrapped layer; the argument that it blames is then looked for inside this one's."""
    try:
        return infer(layer.arguments[argument], [shape])
    except ShapeError as error:
        raise ShapeError(error.detail, f"{argument}/{error.argument}" if error.argument else argument) from error


def _bidirectional(layer: Layer, shape: Shape, infer: Infer) -> LayerShape:
    forward = _inside(layer, "layer", shape, infer)
    backward = forward
    if layer.arguments.get("backward_layer") is not None:
        backward = _inside(layer, "backward_layer", shape, infer)
    elif layer.arguments["layer"].arguments["go_backwards"]:
        raise ShapeError("Bidirectional reads both ways by itself; leave go_backwards out of its layer.", "layer")
    if backward.output_shape != forward.output_shape:
        raise ShapeError(
            f"Bidirectional got layers that give {show(forward.output_shape)} and {show(backward.output_shape)}; "
            "give both the same units.",
            "backward_layer",
        )
    output = forward.output_shape
    if layer.arguments["merge_mode"] == "concat":
        output = (*output[:-1], 2 * (output[-1] or 0))
    return LayerShape(
        output_shape=output,
        trainable=forward.trainable + backward.trainable,
        non_trainable=forward.non_trainable + backward.non_trainable,
    )


def _time_distributed(layer: Layer, shape: Shape, infer: Infer) -> LayerShape:
    if len(shape) < 2:
        raise ShapeError(
            f"TimeDistributed expects samples of at least (timesteps, features), got {show(shape)}; "
            "put a Reshape before it, or send x as (rows, timesteps, features)."
        )
    one_step = _inside(layer, "layer", shape[1:], infer)
    return LayerShape(
        output_shape=(shape[0], *one_step.output_shape),
        trainable=one_step.trainable,
        non_trainable=one_step.non_trainable,
    )


def _spectral_normalization(layer: Layer, shape: Shape, infer: Infer) -> LayerShape:
    inside = _inside(layer, "layer", shape, infer)
    return LayerShape(
        output_shape=inside.output_shape,
        trainable=inside.trainable,
        non_trainable=inside.non_trainable + _kernel_width(layer.arguments["layer"], shape, inside.output_shape),
    )


def _kernel_width(inner: Layer, shape: Shape, output_shape: Shape) -> int:
    """Give the last size of the wrapped layer's kernel, which is the length of the vector that Keras keeps for it."""
    if inner.type == "EinsumDense":
        return einsum_kernel(inner, shape)[-1]
    if inner.type.startswith("DepthwiseConv"):
        return int(inner.arguments["depth_multiplier"])
    if inner.type.startswith("Conv") and inner.type.endswith("DTranspose"):
        return shape[-1] or 0
    if inner.type in ("Dense", "Embedding", "Conv1D", "Conv2D", "Conv3D"):
        return output_shape[-1] or 0
    raise ShapeError(
        f"SpectralNormalization got the layer {inner.type}; it expects one with a single kernel, such as Dense, "
        "Conv2D or DepthwiseConv2D.",
        "layer",
    )


RULES: dict[str, WrapperRule] = {
    "Bidirectional": _bidirectional,
    "TimeDistributed": _time_distributed,
    "SpectralNormalization": _spectral_normalization,
}
