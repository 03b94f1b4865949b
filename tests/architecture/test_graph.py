"""Architectures are read in all their forms, and every mistake has its place."""

from dataclasses import replace
from typing import Any

import keras
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.architecture import catalog
from service.architecture.arguments import at
from service.architecture.graph import MAX_LAYERS, read_architecture, write_architecture
from service.architecture.network import Layer, Network
from service.errors import Fault

DENSE = {"type": "Dense", "units": 3}


def read(value: object) -> tuple[Network | None, list[Fault]]:
    faults: list[Fault] = []
    return read_architecture(value, "/architecture", faults), faults


def network(value: object) -> Network:
    found, faults = read(value)
    assert faults == []
    assert found is not None
    return found


def without_pointers(layer: Layer) -> Layer:
    nested = {key: without_pointers(one) for key, one in layer.arguments.items() if isinstance(one, Layer)}
    return replace(layer, arguments={**layer.arguments, **nested}, pointer="")


def bare(found: Network) -> Network:
    inputs = tuple(replace(one, pointer="") for one in found.inputs)
    return replace(found, inputs=inputs, layers=tuple(without_pointers(layer) for layer in found.layers))


def test_layers_in_a_row_feed_each_other() -> None:
    """A sequential architecture begins at an input called `x` whose shape the data decide."""
    found = network({"layers": [DENSE, DENSE, {"type": "Dense", "units": 1, "name": "score"}]})
    assert [(one.name, one.shape, one.dtype) for one in found.inputs] == [("x", None, "float32")]
    assert [(layer.name, layer.inputs) for layer in found.layers] == [
        ("dense", ("x",)),
        ("dense_1", ("dense",)),
        ("score", ("dense_1",)),
    ]
    assert found.outputs == ("score",)
    assert found.layers[1].pointer == "/architecture/layers/1"


def test_an_input_may_come_first() -> None:
    """An Input says its shape and type, and may have a name."""
    found = network({"layers": [{"type": "Input", "shape": [None, 4], "dtype": "int32", "name": "words"}, DENSE]})
    assert [(one.name, one.shape, one.dtype) for one in found.inputs] == [("words", (None, 4), "int32")]
    assert found.layers[0].inputs == ("words",)


def test_a_graph_is_put_in_order() -> None:
    """Layers may be sent in any order; each comes after all that feed it."""
    found = network(
        {
            "inputs": ["a", {"name": "b", "shape": [2]}],
            "layers": [
                {"type": "Add", "name": "sum", "inputs": ["left", "right"]},
                DENSE | {"name": "left", "inputs": "a"},
                DENSE | {"name": "right", "inputs": ["b"]},
            ],
            "outputs": "sum",
        }
    )
    assert [layer.name for layer in found.layers] == ["left", "right", "sum"]
    assert [(one.name, one.shape) for one in found.inputs] == [("a", None), ("b", (2,))]
    assert found.outputs == ("sum",)


def test_inputs_may_stand_among_the_layers() -> None:
    """An Input layer in a graph is an input, and the top-level `inputs` may name it."""
    layers = [{"type": "Input", "name": "a", "shape": [2]}, DENSE | {"inputs": "a"}]
    assert bare(network({"layers": layers})) == bare(network({"layers": layers, "inputs": ["a"]}))


def test_outputs_default_to_the_last_layers() -> None:
    """Where `outputs` is left out, the layers that feed no other are the outputs."""
    layers = [DENSE | {"name": "one", "inputs": "x"}, DENSE | {"name": "two", "inputs": "x"}]
    assert network({"inputs": ["x"], "layers": layers}).outputs == ("one", "two")


@pytest.mark.parametrize("entry", catalog.entries("layer"), ids=lambda entry: entry.type)
def test_unnamed_layers_have_keras_s_names(entry: catalog.Entry) -> None:
    """The default name is what Keras's own naming makes of the class."""
    assert catalog.default_name(entry.type) == keras.src.utils.naming.to_snake_case(entry.type)


def test_a_default_name_gives_way() -> None:
    """A name that the client has used is not given again."""
    found = network({"layers": [DENSE, DENSE | {"name": "dense"}, {"type": "Dense", "units": 1, "name": "x"}]})
    assert [one.name for one in (*found.inputs, *found.layers)] == ["x_1", "dense_1", "dense", "x"]


GRAPH: dict[str, Any] = {"inputs": ["x"], "outputs": ["out"]}
OUT = DENSE | {"name": "out", "inputs": "x"}


@pytest.mark.parametrize(
    ("value", "pointer", "words"),
    [
        (3, "", "expects an object with `layers`"),
        ([], "", "a list of 0 came"),
        ({}, "", "`layers` is null"),
        ({"layers": []}, "/layers", "1 to 512 layers"),
        ({"layers": [DENSE] * (MAX_LAYERS + 1)}, "/layers", "1 to 512 layers"),
        ({"layers": ["Dense"]}, "/layers/0", "expects a layer"),
        ({"layers": [DENSE], "layer": 1}, "/layer", "Did you mean `layers`"),
        ({"layers": [{"units": 3}]}, "/layers/0", "no `type`"),
        ({"layers": [{"type": "Dence", "units": 3}]}, "/layers/0/type", "Did you mean `Dense`"),
        ({"layers": [{"type": "Dense"}]}, "/layers/0", "lacks `units`"),
        ({"layers": [{"type": "Input", "shape": [3]}]}, "/layers", "no layer after it"),
        ({"layers": [DENSE, {"type": "Input", "shape": [3]}]}, "/layers/1", "only be the first"),
        ({"layers": [DENSE, {"type": "Add"}]}, "/layers/1", "at least 2 inputs"),
        ({"layers": [DENSE | {"input_shape": [3]}]}, "/layers/0/input_shape", '{"type": "Input"'),
        ({"layers": [DENSE | {"name": "a b"}]}, "/layers/0/name", "cannot be used"),
        ({"layers": [DENSE | {"name": "a"}, DENSE | {"name": "a"}]}, "/layers/1/name", "taken by"),
        ({"layers": [{"type": "Input", "shape": [0]}, DENSE]}, "/layers/0/shape", "The batch is not counted"),
        ({"layers": [{"type": "Input", "shape": 4}, DENSE]}, "/layers/0/shape", "a list of at most 8"),
        ({"layers": [{"type": "Input", "dtype": "string"}, DENSE]}, "/layers/0/dtype", "float32, int32"),
        ({"layers": [{"type": "Input", "size": 3}, DENSE]}, "/layers/0/size", "It takes name, shape and dtype"),
        (GRAPH | {"layers": [DENSE | {"name": "out"}]}, "/layers/0", "does not say what feeds it"),
        (GRAPH | {"layers": [OUT | {"inputs": "y"}]}, "/layers/0/inputs", 'called "y"'),
        (GRAPH | {"layers": [OUT | {"inputs": ["x", "y"]}]}, "/layers/0/inputs/1", 'called "y"'),
        (GRAPH | {"layers": [OUT | {"inputs": 3}]}, "/layers/0/inputs", "a list of names"),
        (GRAPH | {"layers": [OUT], "inputs": 3}, "/inputs", "a list of names"),
        (GRAPH | {"layers": [OUT], "inputs": ["x", 3]}, "/inputs/1", "expects a name"),
        (GRAPH | {"layers": [OUT], "inputs": ["x", "y"]}, "/inputs/1", "leads to no output"),
        (GRAPH | {"layers": [OUT], "outputs": "x"}, "/outputs", 'called "x"'),
        (GRAPH | {"layers": [OUT], "outputs": ["out", "out"]}, "/outputs/1", "came twice"),
        (GRAPH | {"layers": [OUT, DENSE | {"inputs": "x"}]}, "/layers/1", "leads to no output"),
        (GRAPH | {"layers": [OUT | {"type": "LSTM"}, OUT | {"name": "b"}]}, "/layers/1", "leads to no output"),
        (
            GRAPH | {"layers": [{"type": "Dot", "axes": 1, "name": "out", "inputs": ["x"]}]},
            "/layers/0/inputs",
            "takes 2",
        ),
    ],
)
def test_a_fault_names_the_place_and_the_way_out(value: object, pointer: str, words: str) -> None:
    """Each kind of mistake has one fault at its own pointer."""
    found, faults = read(value)
    assert found is None
    assert [fault.pointer for fault in faults][:1] == [f"/architecture{pointer}"]
    assert words in faults[0].detail


def test_an_arity_fault_says_how_many() -> None:
    """Two inputs to a layer that takes one are refused."""
    value = {"inputs": ["x", "y"], "layers": [OUT | {"inputs": ["x", "y"]}], "outputs": "out"}
    assert "it takes 1" in read(value)[1][0].detail


def test_a_cycle_is_told_at_each_of_its_layers() -> None:
    """Layers that wait for each other are named."""
    layers = [
        {"type": "Add", "name": "a", "inputs": ["x", "b"]},
        DENSE | {"name": "b", "inputs": "a"},
        DENSE | {"name": "out", "inputs": "b"},
    ]
    _, faults = read({"inputs": ["x"], "layers": layers, "outputs": "out"})
    assert [fault.pointer for fault in faults][:2] == ["/architecture/layers/0/inputs", "/architecture/layers/1/inputs"]
    assert "a cycle" in faults[0].detail


def test_all_faults_are_told_at_once() -> None:
    """Mistakes in several layers come together."""
    layers = [{"type": "Dence"}, {"type": "Dense", "units": 0, "activation": "relo"}, {"type": "Add"}]
    pointers = {fault.pointer for fault in read({"layers": layers})[1]}
    expected = [("layers", 0, "type"), ("layers", 1, "units"), ("layers", 1, "activation"), ("layers", 2)]
    assert pointers == {at("/architecture", *keys) for keys in expected}


SMALL = st.sampled_from(
    [
        DENSE,
        {"type": "Dense", "units": 2, "activation": "swish", "kernel_regularizer": {"type": "l2", "l2": 1}},
        {"type": "Conv2D", "filters": 2, "kernel_size": 3, "kernel_initializer": "he_normal"},
        {"type": "ZeroPadding2D", "padding": [1, [0, 2]]},
        {"type": "Bidirectional", "layer": {"type": "LSTM", "units": 2}, "merge_mode": "sum"},
        {"type": "TimeDistributed", "layer": {"type": "Dense", "units": 2, "name": "inner"}},
        {"type": "Normalization"},
        {"type": "RandomZoom", "height_factor": [0, 0.5]},
        {"type": "Add"},
    ]
)


@st.composite
def graphs(draw: st.DrawFn) -> dict[str, Any]:
    """A small graph in which each layer is fed by any that come before it, sent in any order."""
    rows: list[dict[str, Any]] = []
    shape = draw(st.none() | st.lists(st.none() | st.integers(1, 9), max_size=3))
    for index, row in enumerate(draw(st.lists(SMALL, min_size=1, max_size=7))):
        earlier = st.sampled_from(["x", *(f"n{before}" for before in range(index))])
        fed = draw(st.lists(earlier, min_size=2, max_size=3)) if row["type"] == "Add" else draw(earlier)
        rows.append(row | {"name": f"n{index}", "inputs": fed})
    dtype = draw(st.sampled_from(["float32", "int64"]))
    return {"inputs": [{"name": "x", "shape": shape, "dtype": dtype}], "layers": draw(st.permutations(rows))}


@settings(max_examples=100, deadline=None)
@given(value=graphs())
def test_what_is_written_is_read_as_the_same_network(value: dict[str, Any]) -> None:
    """The canonical form loses nothing."""
    found = network(value)
    assert bare(network(write_architecture(found))) == bare(found)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["layers", "inputs", "type", "name", "config", "class_name", "z"]), inner)
    ),
    max_leaves=12,
)


@settings(max_examples=200, deadline=None)
@given(value=JSON, row=JSON)
def test_any_json_ends_in_faults_and_not_in_an_error(value: object, row: object) -> None:
    """Whatever a client sends, the answer is a network or a list of faults."""
    for sent in (value, {"layers": [row, DENSE], "outputs": value}, {"class_name": "Functional", "config": value}):
        found, faults = read(sent)
        assert (found is None) == bool(faults)
