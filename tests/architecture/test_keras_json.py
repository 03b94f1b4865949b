"""What Keras writes with `to_json` is read as the same architecture, and nothing else is."""

import json
from typing import Any

import keras
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import layers

from service.architecture import catalog
from service.architecture.graph import read_architecture
from service.architecture.network import Network
from service.errors import Fault
from tests.architecture.test_catalog import build, required


def read(value: object) -> tuple[Network | None, list[Fault]]:
    faults: list[Fault] = []
    return read_architecture(value, "/architecture", faults), faults


def network(model: keras.Model) -> Network:
    text = model.to_json()
    found, faults = read(text)
    assert faults == []
    assert found is not None
    assert read(json.loads(text)) == (found, [])
    return found


def stack() -> Any:
    rows = [layers.Dense(4, activation="relu", kernel_initializer=keras.initializers.HeNormal(seed=3)), layers.Dense(1)]
    return keras.Sequential([keras.Input((3,), name="x"), *rows])


def parsed() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(stack().to_json())
    return found


def test_a_sequential_model_is_read() -> None:
    """Layers, names, input and nested initializers come over; pointers lead into the client's own JSON."""
    found = network(stack())
    assert [(one.name, one.shape) for one in found.inputs] == [("x", (3,))]
    first = found.layers[0]
    assert (first.type, first.inputs, first.arguments["units"]) == ("Dense", ("x",), 4)
    assert first.arguments["kernel_initializer"] == {"type": "HeNormal", "seed": 3}
    assert first.pointer == "/architecture/config/layers/1"


def test_a_sequential_model_without_an_input_is_read() -> None:
    """The data decide the shape of a model that was never built."""
    assert network(keras.Sequential([layers.Dense(2)])).inputs[0].shape is None


def test_a_functional_model_with_two_branches_is_read() -> None:
    """Branches, several inputs and several outputs keep their names and their order."""
    a, b = keras.Input((4,), name="a"), keras.Input((2,), name="b")
    left, right = layers.Dense(3, name="left")(a), layers.Dense(3, name="right")(b)
    both = layers.Concatenate(name="both")([right, left])
    model = keras.Model([a, b], [layers.Dense(1, name="one")(both), layers.Dense(2, name="two")(both)])
    found = network(model)
    assert [one.name for one in found.inputs] == ["a", "b"]
    assert {layer.name: layer.inputs for layer in found.layers}["both"] == ("right", "left")
    assert found.outputs == ("one", "two")


def test_a_recurrent_model_with_a_mask_is_read() -> None:
    """The mask that Embedding makes is not an operation of the client, and is made again; regularizers come over."""
    words = keras.Input((5,), name="words")
    found = layers.Embedding(7, 4, mask_zero=True)(words)
    found = layers.LSTM(3, kernel_regularizer=keras.regularizers.L1L2(0.5, 0.25), recurrent_dropout=0.5)(found)
    read_back = network(keras.Model(words, layers.Dense(1)(found)))
    assert [layer.type for layer in read_back.layers] == ["Embedding", "LSTM", "Dense"]
    assert read_back.layers[1].arguments["kernel_regularizer"] == {"type": "L1L2", "l1": 0.5, "l2": 0.25}
    assert read_back.layers[2].pointer == "/architecture/config/layers/4"


def test_a_masking_layer_is_read() -> None:
    """The two operations of Masking's mask are left out as well."""
    rows = keras.Input((5, 2), name="rows")
    model = keras.Model(rows, layers.GRU(2)(layers.Masking()(rows)))
    assert [layer.type for layer in network(model).layers] == ["Masking", "GRU"]


def test_attention_is_read() -> None:
    """Query, value and key keep their order, however they were passed."""
    x = keras.Input((5, 4), name="x")
    q, v = layers.Dense(4, name="q")(x), layers.Dense(4, name="v")(x)
    attended = layers.MultiHeadAttention(2, 2, name="attend")(q, value=v)
    found = network(keras.Model(x, attended))
    assert {layer.name: layer.inputs for layer in found.layers}["attend"] == ("q", "v")


def test_wrappers_are_read() -> None:
    """Wrapped layers come over with their arguments."""
    rows = [layers.Bidirectional(layers.LSTM(2, return_sequences=True)), layers.TimeDistributed(layers.Dense(3))]
    found = network(keras.Sequential([keras.Input((5, 2)), *rows]))
    assert found.layers[0].arguments["layer"].arguments["units"] == 2
    assert found.layers[1].arguments["layer"].type == "Dense"


@pytest.mark.parametrize("entry", catalog.entries("layer"), ids=lambda entry: entry.type)
def test_every_layer_s_own_json_is_read(entry: catalog.Entry) -> None:
    """Keras's config of each layer has nothing that kerasd trips over."""
    faults: list[Fault] = []
    arguments = catalog.check_arguments(entry, required(entry), "", faults)
    layer = keras.saving.serialize_keras_object(build(entry, arguments))
    found, faults = read({"class_name": "Sequential", "config": {"layers": [json.loads(json.dumps(layer))]}})
    arity = [fault for fault in faults if "at least 2 inputs" in fault.detail]
    assert faults == arity
    assert (found is None) == (entry.inputs[0] > 1)


def test_a_wrong_value_is_told_where_it_stands() -> None:
    """Pointers lead to the value in Keras's JSON, also inside nested objects."""
    model = parsed()
    rows = model["config"]["layers"]
    rows[0]["config"]["batch_shape"] = [None, 0]
    rows[1]["config"]["units"] = -1
    rows[1]["config"]["kernel_initializer"]["config"]["seed"] = "no"
    rows[2]["class_name"] = "Dence"
    assert {fault.pointer for fault in read(model)[1]} == {
        "/architecture/config/layers/0/config/batch_shape",
        "/architecture/config/layers/1/config/units",
        "/architecture/config/layers/1/config/kernel_initializer/config/seed",
        "/architecture/config/layers/2/class_name",
    }


def change(path: tuple[Any, ...], value: object) -> dict[str, Any]:
    model = parsed()
    node: Any = model
    for key in path[:-1]:
        node = node[key]
    node[path[-1]] = value
    return model


LAYER = ("config", "layers", 1)


@pytest.mark.parametrize(
    ("value", "pointer", "words"),
    [
        ("{", "", "not JSON"),
        ("[" * 100_000, "", "not JSON"),
        ("[]", "", "expects an object"),
        ({"class_name": "Evil"}, "/class_name", "Sequential and Functional"),
        ({"class_name": "Sequential"}, "/config", "list of at most 2048 layers"),
        ({"class_name": "Functional", "config": {"layers": []}}, "/config/input_layers", "[name, 0, 0]"),
        (change((*LAYER, "module"), "mine"), "/config/layers/1", "comes from"),
        (change((*LAYER, "module"), "keras.src.ops.numpy"), "/config/layers/1", "comes from"),
        (change((*LAYER, "registered_name"), "mine>Dense"), "/config/layers/1", "comes from"),
        (change((*LAYER, "config"), "x"), "/config/layers/1", "no `config`"),
        (change((*LAYER, "class_name"), "Lambda"), "/config/layers/1/class_name", "There is no layer"),
        (change((*LAYER, "class_name"), "Sequential"), "/config/layers/1/class_name", "stands here as a layer"),
        (change((*LAYER, "config", "use_bias"), 1), "/config/layers/1/config/use_bias", "true or false"),
        (change(("config", "layers", 0, "config", "sparse"), True), "/config/layers/0/config/sparse", "dense arrays"),
        (
            change((*LAYER, "config", "activation"), {"module": "builtins", "class_name": "function", "config": "f"}),
            "/config/layers/1/config/activation",
            "Use a part of Keras",
        ),
        (
            change((*LAYER, "config", "activation"), {"module": "os", "class_name": "system", "config": {}}),
            "/config/layers/1/config/activation",
            "comes from",
        ),
    ],
)
def test_what_keras_did_not_write_is_a_fault(value: object, pointer: str, words: str) -> None:
    """Custom classes, code and broken structure are refused at their place."""
    found, faults = read(value)
    assert found is None
    assert faults[0].pointer == f"/architecture{pointer}"
    assert words in faults[0].detail


def test_a_shared_layer_is_a_fault() -> None:
    """A layer that is called twice has weights in two places, which kerasd does not build."""
    x, shared = keras.Input((3,), name="x"), layers.Dense(3, name="shared")
    _, faults = read(keras.Model(x, layers.Add()([shared(x), shared(shared(x))])).to_json())
    assert any("is called" in fault.detail for fault in faults)
    assert all(
        fault.pointer.startswith("/architecture/config/layers/1") for fault in faults if "called" in fault.detail
    )


def test_arithmetic_between_layers_is_a_fault() -> None:
    """`x * 2 + 1` is an operation and no layer."""
    x = keras.Input((3,), name="x")
    _, faults = read(keras.Model(x, layers.Dense(1)(x * 2 + 1)).to_json())
    assert {fault.pointer for fault in faults} == {"/architecture/config/layers/1", "/architecture/config/layers/2"}


def test_a_call_s_own_arguments_are_a_fault() -> None:
    """What is said at the call and not in the layer would be lost, so it is refused."""
    x = keras.Input((3, 2), name="x")
    attended = layers.MultiHeadAttention(1, 2)(x, x, use_causal_mask=True)
    _, faults = read(keras.Model(x, attended).to_json())
    assert [fault.pointer for fault in faults] == [
        "/architecture/config/layers/1/inbound_nodes/0/kwargs/use_causal_mask"
    ]


def test_what_keras_says_at_a_call_by_itself_is_no_fault() -> None:
    """Keras writes `training=True` at calls of layers that change images; that of any other layer is the client's."""
    x = keras.Input((8, 8, 3), name="x")
    assert read(keras.Model(x, layers.Resizing(4, 4)(layers.RandomFlip()(x))).to_json())[1] == []
    _, faults = read(keras.Model(x, layers.Dropout(0.5)(x, training=True)).to_json())
    assert [fault.pointer for fault in faults] == ["/architecture/config/layers/1/inbound_nodes/0/kwargs/training"]


def test_a_call_s_own_arguments_by_place_are_a_fault() -> None:
    """Said without a name, `training=True` would be lost just the same; Keras itself writes tensors only."""
    x = keras.Input((3,), name="x")
    model = json.loads(keras.Model(x, layers.Dropout(0.5, name="drop")(x)).to_json())
    args = model["config"]["layers"][1]["inbound_nodes"][0]["args"]
    args.append(False)
    assert read(model)[1] == []
    args.append(True)
    assert [fault.pointer for fault in read(model)[1]] == ["/architecture/config/layers/1/inbound_nodes/0/args"]


def test_a_model_in_a_model_is_a_fault() -> None:
    """Its layers would have to be put in its place, which is said."""
    inner = keras.Sequential([keras.Input((3,)), layers.Dense(2)])
    _, faults = read(keras.Sequential([keras.Input((3,)), inner]).to_json())
    assert [fault.pointer for fault in faults] == ["/architecture/config/layers/1/class_name"]
    assert "Put its layers in its place" in faults[0].detail


def test_a_mask_of_the_client_s_own_is_a_fault() -> None:
    """A mask that no layer makes by itself would be lost."""
    x, mask = keras.Input((3, 2), name="x"), keras.Input((3,), name="mask", dtype="bool")
    _, faults = read(keras.Model([x, mask], layers.LSTM(2)(x, mask=mask)).to_json())
    assert any(fault.pointer.endswith("/kwargs/mask") for fault in faults)


def test_half_a_character_can_be_told() -> None:
    """JSON can hold what no text can, and the pointer that comes back is whole."""
    model = parsed()
    model["config"]["layers"][1]["config"]["\ud800"] = 1
    _, faults = read(json.dumps(model))
    assert [fault.pointer for fault in faults] == ["/architecture/config/layers/1/config/?"]
    assert [fault.detail.encode() for fault in faults]


def test_a_wrapper_in_a_wrapper_without_end_is_a_fault() -> None:
    """Depth is bounded before anything is built."""
    inner: dict[str, Any] = parsed()["config"]["layers"][1]
    for _ in range(200):
        inner = {"module": "keras.layers", "class_name": "TimeDistributed", "config": {"layer": inner}}
    found, faults = read({"class_name": "Sequential", "config": {"layers": [inner]}})
    assert found is None
    assert faults


def paths(node: Any, before: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    children = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    below = [path for key, child in children for path in paths(child, (*before, key))]
    return [before, *below] if before else below


def masked() -> str:
    words = keras.Input((5,), name="words")
    embedded = layers.Embedding(7, 4, mask_zero=True)(words)
    found = layers.Bidirectional(layers.LSTM(2, return_sequences=True))(embedded)
    text: str = keras.Model(words, layers.Add()([found, layers.MultiHeadAttention(1, 2)(found, found)])).to_json()
    return text


MASKED = masked()
JUNK = st.sampled_from(
    [None, True, 3, -1.5, "x", "dense", [], [[]], ["a", 0, 0], {}, {"class_name": "Dense", "config": {}}]
)


@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_damaged_json_ends_in_faults_and_not_in_an_error(data: st.DataObject) -> None:
    """Whatever is changed in Keras's JSON, the answer is a network or a list of faults, each below the root."""
    model = json.loads(MASKED)
    for path in data.draw(st.lists(st.sampled_from(paths(model)), min_size=1, max_size=3)):
        node: Any = model
        try:
            for key in path[:-1]:
                node = node[key]
            node[path[-1]] = data.draw(JUNK)
        except (KeyError, IndexError, TypeError):
            continue
    found, faults = read(model)
    assert (found is None) == bool(faults)
    assert all(fault.pointer.startswith("/architecture") for fault in faults)
