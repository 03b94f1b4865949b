"""Shapes of the layers that hold another layer; each rule is handed `infer` for the one inside."""

from collections.abc import Callable

from service.architecture.network import Layer, Shape
from service.architecture.shapes.rule import Infer, LayerShape, ShapeError, show

WrapperRule = Callable[[Layer, Shape, Infer], LayerShape]

_RECURRENT = ("SimpleRNN", "LSTM", "GRU")
_WITH_KERNEL = ("Dense", "EinsumDense", "Embedding")


def _inner(layer: Layer) -> Layer:
    inner = layer.arguments["layer"]
    assert isinstance(inner, Layer)
    return inner


def _bidirectional(layer: Layer, shape: Shape, infer: Infer) -> LayerShape:
    inner = _inner(layer)
    if inner.type not in _RECURRENT and not inner.type.startswith("ConvLSTM"):
        raise ShapeError(
            f"Bidirectional got the layer {inner.type}; it expects a recurrent one, such as LSTM or GRU.", "layer"
        )
    if inner.arguments["go_backwards"]:
        raise ShapeError("Bidirectional runs both ways by itself; leave go_backwards out of its layer.", "layer")
    one_way = infer(inner, [shape])
    output = one_way.output_shape
    if layer.arguments["merge_mode"] is None:
        raise ShapeError(
            'Bidirectional got merge_mode null, which gives two outputs and is not served; choose "concat", "sum", '
            '"mul" or "ave".',
            "merge_mode",
        )
    if layer.arguments["merge_mode"] == "concat" and output[-1] is not None:
        output = (*output[:-1], 2 * output[-1])
    return LayerShape(output_shape=output, trainable=2 * one_way.trainable, non_trainable=2 * one_way.non_trainable)


def _time_distributed(layer: Layer, shape: Shape, infer: Infer) -> LayerShape:
    if len(shape) < 2:
        raise ShapeError(
            f"TimeDistributed expects samples of at least (timesteps, features), got {show(shape)}; "
            "put a Reshape before it, or send x as (rows, timesteps, features)."
        )
    one_step = infer(_inner(layer), [shape[1:]])
    return LayerShape(
        output_shape=(shape[0], *one_step.output_shape),
        trainable=one_step.trainable,
        non_trainable=one_step.non_trainable,
    )


def _spectral_normalization(layer: Layer, shape: Shape, infer: Infer) -> LayerShape:
    inner = _inner(layer)
    width = _kernel_width(inner, shape)
    inside = infer(inner, [shape])
    return LayerShape(
        output_shape=inside.output_shape,
        trainable=inside.trainable,
        non_trainable=inside.non_trainable + width,
    )


def _kernel_width(inner: Layer, shape: Shape) -> int:
    """Give the last size of the kernel of the wrapped layer: the length of the vector that is kept."""
    arguments = inner.arguments
    if inner.type == "Dense":
        return int(arguments["units"])
    if inner.type == "Embedding":
        return int(arguments["output_dim"])
    if inner.type.startswith("DepthwiseConv"):
        return int(arguments["depth_multiplier"])
    if inner.type.startswith("Conv") and inner.type.endswith("DTranspose"):
        return shape[-1] or 0 if shape else 0
    if inner.type.startswith("Conv") and not inner.type.startswith("ConvLSTM"):
        return int(arguments["filters"])
    raise ShapeError(
        f"SpectralNormalization got the layer {inner.type}; it expects one with a kernel, such as Dense or Conv2D.",
        "layer",
    )


RULES: dict[str, WrapperRule] = {
    "Bidirectional": _bidirectional,
    "TimeDistributed": _time_distributed,
    "SpectralNormalization": _spectral_normalization,
}
