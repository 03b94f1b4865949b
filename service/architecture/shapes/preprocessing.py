"""Shapes of the layers that prepare numbers and images."""

from service.architecture.network import Layer, Shape
from service.architecture.shapes.convolution import AXES
from service.architecture.shapes.rule import LayerShape, Rule, ShapeError, expect_axes, known, same, show


def _image(layer: Layer, shape: Shape) -> LayerShape:
    expect_axes(layer, shape, AXES[2])
    return same(layer, shape)


def _resized_image(layer: Layer, shape: Shape) -> LayerShape:
    expect_axes(layer, shape, AXES[2])
    return LayerShape(output_shape=(layer.arguments["height"], layer.arguments["width"], shape[-1]))


def _rescaling(layer: Layer, shape: Shape) -> LayerShape:
    for argument in ("scale", "offset"):
        value = layer.arguments[argument]
        if isinstance(value, list | tuple) and (not shape or len(value) not in (1, shape[-1])):
            raise ShapeError(
                f"Rescaling got {len(value)} numbers as {argument} for samples of shape {show(shape)}; "
                "give one number, or one for each size of the last axis.",
                argument,
            )
    return same(layer, shape)


def _category_encoding(layer: Layer, shape: Shape) -> LayerShape:
    mode, tokens = layer.arguments["output_mode"], layer.arguments["num_tokens"]
    if mode == "one_hot" and shape:
        # Keras drops a last axis of one number, and asks for its size to do so.
        kept = shape[:-1] if known(layer, shape, -1, "number of categories a sample") == 1 else shape
        return LayerShape(output_shape=(*kept, tokens))
    if len(shape) != 1:
        # Of more axes, Keras plans a shape that it then does not compute.
        raise ShapeError(
            f"CategoryEncoding with the output_mode {mode!r} got samples of shape {show(shape)}; it expects a list of "
            'numbers, (categories,): put a Reshape or a Flatten before it, or take output_mode "one_hot".',
            "output_mode",
        )
    return LayerShape(output_shape=(tokens,))


RULES: dict[str, Rule] = {
    "Rescaling": _rescaling,
    "Resizing": _resized_image,
    "CenterCrop": _resized_image,
    "CategoryEncoding": _category_encoding,
    **dict.fromkeys(
        ("RandomFlip", "RandomRotation", "RandomZoom", "RandomTranslation", "RandomContrast", "RandomBrightness"),
        _image,
    ),
}
