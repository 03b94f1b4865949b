"""Shapes of the layers that prepare numbers and images."""

from service.architecture.network import Layer, Shape
from service.architecture.shapes.convolution import AXES
from service.architecture.shapes.rule import LayerShape, Rule, ShapeError, expect_axes, same, show


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


RULES: dict[str, Rule] = {
    "Rescaling": _rescaling,
    "Resizing": _resized_image,
    "CenterCrop": _resized_image,
    **dict.fromkeys(
        ("RandomFlip", "RandomRotation", "RandomZoom", "RandomTranslation", "RandomContrast", "RandomBrightness"),
        _image,
    ),
}
