"""Shapes of the layers that multiply by one matrix, look up a table, or act on each number alone."""

import re
from collections.abc import Sequence
from math import prod

from service.architecture.network import Layer, Shape
from service.architecture.shapes.rule import (
    LayerShape,
    Rule,
    ShapeError,
    expect_axes,
    expect_rank_at_least,
    known,
    same,
    sample_axes,
    show,
)

_EQUATION = re.compile(
    r"(?P<left>\.\.\.)?(?P<x>[a-zA-Z]+)(?P<right>\.\.\.)?,(?P<w>[a-zA-Z]+)"
    r"->(?P<left_out>\.\.\.)?(?P<y>[a-zA-Z]+)(?P<right_out>\.\.\.)?"
)


def _dense(layer: Layer, shape: Shape) -> LayerShape:
    expect_rank_at_least(layer, shape, 1, "(features,)")
    units = layer.arguments["units"]
    features = known(layer, shape, -1, "number of features")
    return LayerShape(
        output_shape=(*shape[:-1], units),
        trainable=units * (features + int(layer.arguments["use_bias"])),
    )


def _embedding(layer: Layer, shape: Shape) -> LayerShape:
    rows, width = layer.arguments["input_dim"], layer.arguments["output_dim"]
    return LayerShape(output_shape=(*shape, width), trainable=rows * width)


def _prelu(layer: Layer, shape: Shape) -> LayerShape:
    shared = layer.arguments["shared_axes"] or ()
    shared = (shared,) if isinstance(shared, int) else tuple(shared)
    for axis in shared:
        # Keras counts a negative axis here from one place too early, so only the plain ones are served.
        if not 1 <= axis <= len(shape):
            raise ShapeError(
                f"PReLU got shared_axes={list(shared)} for samples of shape {show(shape)}; "
                f"each must be from 1 to {len(shape)}.",
                "shared_axes",
            )
    count = 1
    for index in range(len(shape)):
        if index + 1 not in shared:
            count *= known(layer, shape, index, f"size of axis {index + 1}, unless shared_axes names it,")
    return LayerShape(output_shape=shape, trainable=count)


def _softmax(layer: Layer, shape: Shape) -> LayerShape:
    sample_axes(layer, shape)
    return same(layer, shape)


def _dropout(layer: Layer, shape: Shape) -> LayerShape:
    noise = layer.arguments.get("noise_shape")
    if noise is not None:
        _check_noise(layer, shape, noise)
    return same(layer, shape)


def _check_noise(layer: Layer, shape: Shape, noise: Sequence[int | None]) -> None:
    whole = (None, *shape)
    fits = len(noise) == len(whole) and all(n in (None, 1) or n == size for n, size in zip(noise, whole, strict=True))
    if not fits:
        raise ShapeError(
            f"{layer.type} got noise_shape={list(noise)} for samples of shape {show(shape)}; it expects "
            f"{len(whole)} entries, the rows first, each null, 1, or that axis's own size.",
            "noise_shape",
        )


def _spatial_dropout(*axes: str) -> Rule:
    def rule(layer: Layer, shape: Shape) -> LayerShape:
        expect_axes(layer, shape, axes)
        return same(layer, shape)

    return rule


def _einsum_dense(layer: Layer, shape: Shape) -> LayerShape:
    output, sizes = _einsum_sizes(layer, shape)
    bias_axes = layer.arguments["bias_axes"] or ""
    for letter in bias_axes:
        if letter not in sizes["output"]:
            raise ShapeError(
                f"EinsumDense got bias_axes={bias_axes!r}, but {letter!r} is not in the output of "
                f"{layer.arguments['equation']!r}; name letters of the output.",
                "bias_axes",
            )
    bias = prod(_letter_size(layer, letter, sizes["output"][letter]) for letter in set(bias_axes)) if bias_axes else 0
    return LayerShape(output_shape=output, trainable=prod(einsum_kernel(layer, shape)) + bias)


def einsum_kernel(layer: Layer, shape: Shape) -> tuple[int, ...]:
    """Give the shape of the kernel of an EinsumDense for samples of this shape."""
    _, sizes = _einsum_sizes(layer, shape)
    return tuple(_letter_size(layer, letter, size) for letter, size in sizes["kernel"].items())


def _einsum_sizes(layer: Layer, shape: Shape) -> tuple[Shape, dict[str, dict[str, int | None]]]:
    """Give the output's shape without the batch, and the size of each letter of the output and of the kernel."""
    x, w, y, left, hidden = _read_equation(layer, shape)
    output = _einsum_output(layer, shape, y, hidden, left)
    skipped = hidden if left else 0
    sizes_in = dict(zip(x, (None, *shape)[skipped:], strict=False))
    sizes_out = dict(zip(y, output[skipped:], strict=False))
    _check_shared(layer, sizes_in, sizes_out)
    kernel = {letter: sizes_out.get(letter, sizes_in.get(letter)) for letter in w}
    return tuple(output[1:]), {"output": sizes_out, "kernel": kernel}


def _read_equation(layer: Layer, shape: Shape) -> tuple[str, str, str, bool, int]:
    """Give the letters of input, weights and output, whether a leading `...` stands, and how many axes dots hide."""
    equation = layer.arguments["equation"]
    match = _EQUATION.fullmatch(equation.replace(" ", ""))
    if match is None or match["left"] != match["left_out"] or match["right"] != match["right_out"]:
        raise _equation_error(layer, "it expects the form ab,bc->ac, ...b,bc->...c or ab...,bc->ac...")
    x, w, y = match["x"], match["w"], match["y"]
    if any(len(set(part)) != len(part) for part in (x, w, y)):
        raise _equation_error(layer, "a letter stands twice in one part; use each once")
    unknown = sorted(set(y) - set(x) - set(w)) or sorted(set(w) - set(x) - set(y))
    if unknown or (match["left"] and match["right"]):
        raise _equation_error(layer, f"each letter must stand in two parts, but {', '.join(unknown) or '...'} does not")
    hidden = len(shape) + 1 - len(x)
    dots = bool(match["left"] or match["right"])
    if hidden < 0 or (hidden and not dots) or (match["left"] and not hidden):
        raise _equation_error(
            layer, f"its input has {len(x)} letters for samples of shape {show(shape)}; give the rows and each axis one"
        )
    _check_batch_letter(layer, x, w, y, bool(match["left"]))
    return x, w, y, bool(match["left"]), hidden


def _check_batch_letter(layer: Layer, x: str, w: str, y: str, left: bool) -> None:
    if not left and (x[0] != y[0] or x[0] in w):
        raise _equation_error(
            layer, "the first letter is the rows: it must be first in input and output, and no weight"
        )


def _equation_error(layer: Layer, detail: str) -> ShapeError:
    return ShapeError(f"EinsumDense got equation {layer.arguments['equation']!r}; {detail}.", "equation")


def _einsum_output(layer: Layer, shape: Shape, y: str, skipped: int, left: bool) -> list[int | None]:
    """Give the output's shape with the batch, the axes behind the dots put where Keras puts them."""
    given = layer.arguments["output_shape"]
    given = [given] if isinstance(given, int) else list(given)
    if len(given) != len(y) - (0 if left else 1):
        raise ShapeError(
            f"EinsumDense got output_shape={given} for the output {y!r}; it expects one size for each letter"
            + ("." if left else " but the first, which is the rows."),
            "output_shape",
        )
    if left:
        hidden = shape[: skipped - 1]
        if len(set(hidden)) > 1:
            # Keras puts several such axes into its output shape in the reverse order.
            raise _equation_error(layer, "its dots stand for several axes of unlike size; write a letter for each")
        return [None, *hidden, *given]
    return [None, *given, *shape[len(shape) - skipped :]]


def _check_shared(layer: Layer, sizes_in: dict[str, int | None], sizes_out: dict[str, int | None]) -> None:
    for letter, size in sizes_in.items():
        wanted = sizes_out.get(letter)
        if wanted is not None and wanted != size:
            raise ShapeError(
                f"EinsumDense got output_shape {layer.arguments['output_shape']}, where {letter!r} is {wanted}, but "
                f"the input's {letter!r} is {size}; make them equal, or give null for it.",
                "output_shape",
            )


def _letter_size(layer: Layer, letter: str, size: int | None) -> int:
    if size is None:
        raise ShapeError(
            f"EinsumDense needs a fixed size for {letter!r}, because weights depend on it; "
            "give it in output_shape, or fix it in the Input's shape.",
            "output_shape",
        )
    return size


RULES: dict[str, Rule] = {
    "Dense": _dense,
    "EinsumDense": _einsum_dense,
    "Embedding": _embedding,
    "PReLU": _prelu,
    "Softmax": _softmax,
    "Dropout": _dropout,
    "AlphaDropout": _dropout,
    "SpatialDropout1D": _spatial_dropout("timesteps", "channels"),
    "SpatialDropout2D": _spatial_dropout("height", "width", "channels"),
    "SpatialDropout3D": _spatial_dropout("depth", "height", "width", "channels"),
    **dict.fromkeys(
        (
            "Activation",
            "ActivityRegularization",
            "ELU",
            "GaussianDropout",
            "GaussianNoise",
            "Identity",
            "LeakyReLU",
            "Masking",
            "ReLU",
        ),
        same,
    ),
}
