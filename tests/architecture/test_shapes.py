"""The shape rules give what Keras gives, for every layer of the catalog."""

from math import prod
from typing import Any

import keras
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.architecture import catalog
from service.architecture.build import build
from service.architecture.network import Input, Layer, Network, Shape
from service.architecture.shapes import JOINING_RULES, RULES, WRAPPING_RULES, LayerShape, ShapeError, infer
from tests.architecture.shape_cases import CASES, CONV, DENSE, LSTM, layer


def by_keras(one: Layer, shapes: tuple[Shape, ...]) -> LayerShape:
    """Build the layer in Keras, and read its shape and counts."""
    inputs = tuple(Input(name=name, shape=None, dtype="float32", pointer="") for name in one.inputs)
    network = Network(inputs=inputs, layers=(one,), outputs=("it",))
    built = build(network, dict(zip(one.inputs, shapes, strict=True))).get_layer("it")
    trainable = sum(prod(weight.shape) for weight in built.trainable_weights)
    return LayerShape(
        output_shape=tuple(built.output.shape[1:]), trainable=trainable, non_trainable=built.count_params() - trainable
    )


@pytest.mark.parametrize(
    ("type_name", "case"), [pytest.param(name, case, id=name) for name, cases in CASES.items() for case in cases]
)
def test_each_layer_is_as_in_keras(type_name: str, case: tuple[Any, ...]) -> None:
    """Output shape and both parameter counts are Keras's own."""
    arguments, *shapes = case
    one = layer(type_name, arguments, inputs=len(shapes))
    assert infer(one, shapes) == by_keras(one, tuple(shapes))


def test_every_layer_of_the_catalog_has_a_rule_and_three_cases() -> None:
    """A layer that joins the catalog needs a rule, and cases here that hold it equal to Keras."""
    types = {entry.type for entry in catalog.entries("layer")}
    assert types == RULES.keys() | JOINING_RULES.keys() | WRAPPING_RULES.keys()
    assert {name for name, cases in CASES.items() if len(cases) >= 3} == types


@st.composite
def windows(draw: st.DrawFn) -> tuple[str, dict[str, Any], Shape]:
    """A convolution or pooling with any small arguments, and samples that may be too small for it."""
    rank = draw(st.integers(1, 3))
    kind = draw(st.sampled_from(["Conv{}D", "Conv{}DTranspose", "MaxPooling{}D", "AveragePooling{}D"]))
    each = st.lists(st.integers(1, 4), min_size=rank, max_size=rank)
    arguments: dict[str, Any] = {"padding": draw(st.sampled_from(["valid", "same"])), "strides": draw(each)}
    if "Conv" in kind:
        arguments |= {"filters": draw(st.integers(1, 3)), "kernel_size": draw(each)}
        if max(arguments["strides"]) == 1:
            arguments["dilation_rate"] = draw(each)
        elif "Transpose" in kind and (arguments["padding"] == "valid" or all(k % 2 for k in arguments["kernel_size"])):
            arguments["output_padding"] = [draw(st.integers(0, stride - 1)) for stride in arguments["strides"]]
    else:
        arguments["pool_size"] = draw(each)
    sizes = draw(st.lists(st.integers(1, 12) | st.none(), min_size=rank, max_size=rank))
    return kind.format(rank), arguments, (*sizes, draw(st.integers(1, 3)))


@settings(max_examples=300, deadline=None)
@given(windows())
def test_windows_slide_as_in_keras(drawn: tuple[str, dict[str, Any], Shape]) -> None:
    """Any arguments give the shape that Keras works out, and are refused when Keras refuses them."""
    type_name, arguments, shape = drawn
    one = layer(type_name, arguments)
    keras_layer = getattr(keras.layers, type_name)(**one.arguments)
    try:
        expected = tuple(keras_layer.compute_output_shape((None, *shape)))[1:]
    except ValueError:
        with pytest.raises(ShapeError):
            infer(one, [shape])
    else:
        assert infer(one, [shape]).output_shape == expected


#: With this TensorFlow would fail only when it runs.
EVEN = {"filters": 1, "kernel_size": 2, "strides": 2, "padding": "same", "output_padding": 0}
#: A layer, its arguments, its inputs' shapes, the argument to blame, and words of the sentence.
REFUSED: list[tuple[str, dict[str, Any], list[Shape], str | None, tuple[str, ...]]] = [
    ("LSTM", {"units": 3}, [(20,)], None, ("(timesteps, features)", "(20,)", "[20, 1]")),
    ("Conv2D", {"filters": 1, "kernel_size": 3}, [(28, 28)], None, ("[28, 28, 1]",)),
    ("Conv2D", {"filters": 1, "kernel_size": 3}, [(784,)], None, ("[28, 28, 1]",)),
    ("Conv2D", {"filters": 1, "kernel_size": 3}, [(3072,)], None, ("[32, 32, 3]",)),
    ("Conv1D", {"filters": 1, "kernel_size": 3}, [(None,)], None, ("Reshape", "(rows, timesteps, channels)")),
    ("GRU", {"units": 3}, [(5, 4, 3)], None, ("[5, 12]",)),
    ("Conv2D", {"filters": 1, "kernel_size": 3}, [(2, 8, 1)], "kernel_size", ("(2, 8)", "(3, 3)", '"same"')),
    ("Conv1DTranspose", EVEN, [(4, 1)], "output_padding", ("at least 1",)),
    ("EinsumDense", {"equation": "...ab,bc->ac", "output_shape": 3}, [(4,)], "equation", ("the form",)),
    ("Attention", {}, [(4, 5)] * 4, None, ("4 inputs",)),
    ("LSTM", {"units": 3}, [()], None, ("(rows, timesteps, features)",)),
    ("Conv2D", {"filters": 1, "kernel_size": 3}, [(7,)], None, ("put a Reshape",)),
    ("Conv2D", {"filters": 1, "kernel_size": 3}, [(2, 8, 8, 1)], None, ("put a Reshape",)),
    ("Conv3D", {"filters": 1, "kernel_size": 3}, [(7,)], None, ("put a Reshape",)),
    ("MaxPooling1D", {"pool_size": 5}, [(4, 1)], "pool_size", ("(5,)",)),
    ("Conv2D", {"filters": 4, "kernel_size": 3, "groups": 2}, [(8, 8, 3)], "groups", ("3 channels",)),
    ("Conv2D", {"filters": 1, "kernel_size": 3, "data_format": "channels_first"}, [(1, 8, 8)], "data_format", ()),
    ("Dense", {"units": 3}, [()], None, ("(features,)",)),
    ("Dense", {"units": 3}, [(None,)], None, ("fixed number of features",)),
    ("Dense", {"units": 3}, [(5,), (5,)], None, ("2 inputs", "Concatenate")),
    ("EinsumDense", {"equation": "ab,bc->ac", "output_shape": 3}, [(4, 5)], "equation", ("2 letters",)),
    ("EinsumDense", {"equation": "ab,cd->ac", "output_shape": 3}, [(4,)], "equation", ("d",)),
    ("EinsumDense", {"equation": "aa,bc->ac", "output_shape": 3}, [(4,)], "equation", ("twice",)),
    ("EinsumDense", {"equation": "ab,bc->ca", "output_shape": 3}, [(4,)], "equation", ("first letter",)),
    ("EinsumDense", {"equation": "abc,cd->abd", "output_shape": [7, 3]}, [(4, 5)], "output_shape", ("'b' is 7",)),
    ("EinsumDense", {"equation": "ab,bc->ac", "output_shape": [3, 4]}, [(4,)], "output_shape", ("[3, 4]",)),
    ("EinsumDense", {"equation": "ab,bc->ac", "output_shape": [None]}, [(4,)], "output_shape", ("'c'",)),
    ("EinsumDense", {"equation": "...x,xy->...y", "output_shape": 4}, [(2, 3, 5)], "equation", ("unlike size",)),
    ("EinsumDense", {"equation": "ab,bc->ac", "output_shape": 3, "bias_axes": "z"}, [(4,)], "bias_axes", ("'z'",)),
    ("PReLU", {"shared_axes": [3]}, [(4, 5)], "shared_axes", ("1 to 2",)),
    ("Softmax", {"axis": 2}, [(4,)], "axis", ("axis=2",)),
    ("LayerNormalization", {"axis": [1, -1]}, [(4,)], "axis", ("twice",)),
    ("Dropout", {"rate": 0.5, "noise_shape": [None, 2]}, [(4,)], "noise_shape", ("2 entries",)),
    ("ConvLSTM2D", {"filters": 1, "kernel_size": 2}, [(3, None, 4, 1)], None, ("fixed size",)),
    ("GroupNormalization", {"groups": 3}, [(4,)], "groups", ("divides 4",)),
    ("Normalization", {"mean": [1.0, 2.0], "variance": [1.0, 2.0]}, [(3,)], "mean", ("(2,)", "(3,)")),
    ("Rescaling", {"scale": [1.0, 2.0]}, [(3,)], "scale", ("2 numbers",)),
    ("CategoryEncoding", {"num_tokens": 4}, [(3, 2)], "output_mode", ("(3, 2)", "one_hot")),
    ("CategoryEncoding", {"num_tokens": 4, "output_mode": "one_hot"}, [(None,)], None, ("fixed",)),
    ("CategoryEncoding", {"num_tokens": 4, "output_mode": "one_hot"}, [()], "output_mode", ("(categories,)",)),
    ("Attention", {}, [(4, 5), (6, 7)], None, ("equal features",)),
    ("Attention", {}, [(4, 5), (6, 5), (7, 5)], None, ("equal timesteps",)),
    ("MultiHeadAttention", {"num_heads": 1, "key_dim": 1}, [(5,), (5,)], None, ("(timesteps, features)",)),
    (
        "MultiHeadAttention",
        {"num_heads": 1, "key_dim": 1, "attention_axes": 2},
        [(4, 6, 5), (3, 6, 5)],
        "attention_axes",
        ("axis 1",),
    ),
    (
        "GroupQueryAttention",
        {"head_dim": 1, "num_query_heads": 2, "num_key_value_heads": 1},
        [(4, 5), (4, 6)],
        None,
        ("equal features",),
    ),
    ("Reshape", {"target_shape": [2, 4]}, [(6,)], "target_shape", ("6 numbers",)),
    ("Reshape", {"target_shape": [-1, 4]}, [(6,)], "target_shape", ("6 numbers",)),
    ("Permute", {"dims": [2, 1]}, [(6,)], "dims", ("(6,)",)),
    ("Cropping2D", {"cropping": [[2, 2], [0, 0]]}, [(4, 4, 1)], "cropping", ("leaves nothing",)),
    ("Add", {}, [(4,), (5,)], None, ("(4,), (5,)", "Concatenate")),
    ("Add", {}, [(4,)], None, ("1 input;",)),
    ("Concatenate", {}, [(4, 1), (5, 1)], None, ("(4, 1), (5, 1)",)),
    ("Dot", {"axes": 1}, [(4,), (5,)], "axes", ("differ in size",)),
    ("TimeDistributed", {"layer": DENSE}, [(4,)], None, ("(timesteps, features)",)),
    ("TimeDistributed", {"layer": {**CONV, "kernel_size": 9}}, [(2, 4, 4, 1)], "layer/kernel_size", ("(9, 9)",)),
    ("Bidirectional", {"layer": {**LSTM, "go_backwards": True}}, [(4, 1)], "layer", ("go_backwards",)),
    (
        "Bidirectional",
        {"layer": LSTM, "backward_layer": {**LSTM, "units": 4, "go_backwards": True}},
        [(4, 1)],
        "backward_layer",
        ("same units",),
    ),
    (
        "SpectralNormalization",
        {"layer": {"type": "SeparableConv1D", "filters": 1, "kernel_size": 1}},
        [(4, 1)],
        "layer",
        ("SeparableConv1D",),
    ),
]


@pytest.mark.parametrize(("type_name", "arguments", "shapes", "argument", "words"), REFUSED)
def test_what_does_not_fit_is_refused_in_words(
    type_name: str, arguments: dict[str, Any], shapes: list[Shape], argument: str | None, words: tuple[str, ...]
) -> None:
    """The sentence names what came and how to mend it, and the argument to blame is named when it is one alone."""
    with pytest.raises(ShapeError) as raised:
        infer(layer(type_name, arguments, inputs=len(shapes)), shapes)
    assert raised.value.argument == argument
    for word in words:
        assert word in raised.value.detail
