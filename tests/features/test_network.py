"""The layers in front of a client's: what they are, what they calculate, and what a client can do wrong with them."""

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from service.architecture import catalog
from service.architecture.build import build
from service.architecture.graph import read_architecture, write_architecture
from service.architecture.network import Network
from service.architecture.plan import Plan, make_plan
from service.data.fault_list import FaultList
from service.errors import Fault
from service.features.columns import of_records
from service.features.encode import encode_inputs
from service.features.network import Tensor, tensors, with_features
from service.features.preparation import Preparation
from service.inference.conversion import signature_of
from service.inference.export import export
from service.inference.runtime import Session
from tests.features.features import category, date, hashed, image, number, preparation, sequence, text

#: One of each, with all that can be in the vector.
ALL = preparation(
    number(indicator=True, fill=3.0),
    category(),
    date(),
    category("job", enters="embedding", output_dim=3),
    hashed(),
    text(),
    text("title", enters="tokens"),
    image(),
    sequence(),
)
VECTOR = preparation(number(), category())
GRAPH = {
    "layers": [
        {"type": "Embedding", "name": "words", "input_dim": 4, "output_dim": 2, "inputs": "title"},
        {"type": "Flatten", "name": "flat_words", "inputs": "words"},
        {"type": "Flatten", "name": "flat_photo", "inputs": ["photo"]},
        {"type": "GRU", "name": "rhythm", "units": 2, "inputs": "pulse"},
        {"type": "Concatenate", "name": "all", "inputs": ["features", "flat_words", "flat_photo", "rhythm"]},
        {"type": "Dense", "name": "out", "units": 1, "inputs": "all"},
    ]
}
RECORD: dict[str, Any] = {
    "age": 5,
    "town": "Oslo",
    "born": "2010-03-01",
    "job": "Bergen",
    "street": "Main",
    "note": "no, yes",
    "title": "yes?",
    "pulse": [[7, 0.5]],
}


def in_front(architecture: Any, of: Preparation) -> tuple[Any, list[Fault]]:
    faults: list[Fault] = []
    return with_features(architecture, of, "/architecture", faults), faults


def planned(architecture: Any, of: Preparation) -> Plan:
    """The plan of what a client sent, without a fault."""
    made, faults = in_front(architecture, of)
    network = read_architecture(made, "/architecture", faults)
    assert faults == []
    assert network is not None
    plan = make_plan(network, [], faults)
    assert faults == []
    assert plan is not None
    return plan


def built(architecture: Any, of: Preparation) -> tuple[keras.Model, Network]:
    plan = planned(architecture, of)
    return build(plan.network, plan.input_shapes), plan.network


def fault_of(architecture: Any, of: Preparation) -> Fault:
    made, faults = in_front(architecture, of)
    assert made is None
    (fault,) = faults
    return fault


def encoded(of: Preparation, *records: dict[str, Any]) -> dict[str, np.ndarray[Any, Any]]:
    faults = FaultList()
    return encode_inputs(of_records(records, of, "", faults), of, faults)


def vector_of(of: Preparation, *records: dict[str, Any]) -> np.ndarray[Any, Any]:
    """What the layers in front make of records."""
    model, _ = built({"layers": [{"type": "Identity"}]}, of)
    arrays = list(encoded(of, *records).values())
    return np.asarray(model(arrays if len(arrays) > 1 else arrays[0]))


def test_tensors_are_what_a_network_begins_with() -> None:
    """One vector of all that is none of its own, then words in order, images and sequences."""
    assert tensors(ALL) == (
        Tensor(name="features", shape=(2 + 3 + 2 + 3 + 10 + 4,), kind="vector", vocabulary=None),
        Tensor(name="title", shape=(4,), kind="tokens", vocabulary=4),
        Tensor(name="photo", shape=(2, 3, 1), kind="image", vocabulary=None),
        Tensor(name="pulse", shape=(3, 2), kind="sequence", vocabulary=None),
    )
    assert tensors(preparation(image())) == (Tensor(name="photo", shape=(2, 3, 1), kind="image", vocabulary=None),)


def test_the_tensors_have_the_shapes_that_are_told() -> None:
    """The plan of the layers in front has each tensor as `tensors` names it; inputs are the preparation's."""
    plan = planned(GRAPH, ALL)
    shapes = {layer.name: layer.output_shape for layer in plan.layers}
    assert {one.name: shapes[one.name] for one in tensors(ALL)} == {one.name: one.shape for one in tensors(ALL)}
    assert [(one.name, one.shape, one.dtype) for one in plan.network.inputs] == [
        (one.name, one.shape, one.dtype) for one in ALL.inputs
    ]


def test_numbers_are_scaled_and_categories_become_ones() -> None:
    """Numbers, whether they were missing, parts of dates, and then a one for each category, 0 being for others."""
    made = preparation(number(indicator=True, fill=3.0), category(), date(), hashed(num_bins=1))
    nothing: dict[str, Any] = {"born": "2000-06-01"}
    values = vector_of(made, {"age": 5, "town": "Oslo", "born": "2010-03-01", "street": "x"}, nothing)
    assert values.tolist() == [[2, 0, 1, -1, 0, 0, 1, 0, 1], [1, 1, 0, 0, 1, 0, 0, 1, 0]]


@pytest.mark.parametrize(("center", "spread"), [(1e12, 2.0), (1e-9, 1e-9), (0.0, 1e30), (-3e4, 1.0), (5.0, 2.0)])
def test_a_number_is_scaled_once(center: float, spread: float) -> None:
    """By the network, or before it where that would lose too much."""
    made = preparation(number(center=center, spread=spread))
    values = vector_of(made, {"age": center}, {"age": center + spread}, {"age": center - 3 * spread})
    np.testing.assert_allclose(values, [[0], [1], [-3]], rtol=1e-5, atol=1e-6)


def test_words_of_a_bag_become_ones() -> None:
    """The first place is that of no word, the second that of unknown ones."""
    values = vector_of(preparation(text()), {"note": "No, no, never"}, {"note": "yes no yes no"}, {})
    assert values.tolist() == [[1, 1, 0, 1], [1, 0, 1, 1], [1, 0, 0, 0]]


def test_what_does_not_vary_keeps_its_scale() -> None:
    """A number that was the same in all training rows is not divided by nothing."""
    assert vector_of(preparation(number(spread=0.0)), {"age": 4}).tolist() == [[3]]


def test_steps_that_are_filled_up_are_zeros() -> None:
    """A sequence is scaled by channel; where it has no steps, the network sees zeros."""
    assert vector_of(preparation(sequence()), {"pulse": [[7, 0.5]]}).tolist() == [[[1, 0], [0, 0], [0, 0]]]


def test_more_features_than_one_layer_joins() -> None:
    """A hundred embeddings make one vector all the same."""
    made = preparation(*(category(f"c{n}", enters="embedding", output_dim=2) for n in range(100)))
    assert planned({"layers": [{"type": "Dense", "units": 1}]}, made).output_shapes == {"dense": (1,)}


@pytest.mark.parametrize(
    "layers",
    [
        [{"type": "Dense", "units": 2}, {"type": "Dense", "units": 1}],
        [{"type": "Input", "shape": [4]}, {"type": "Dense", "units": 2}, {"type": "Dense", "units": 1}],
        [{"type": "Input", "name": "x"}, {"type": "Dense", "units": 2}, {"type": "Dense", "units": 1}],
    ],
    ids=["alone", "with a shape", "with a name"],
)
def test_a_list_of_layers_begins_with_the_only_tensor(layers: list[dict[str, Any]]) -> None:
    """Its layers have the names that they have without features; an Input that says the same is no matter."""
    network = planned({"layers": layers}, VECTOR).network
    fed = {layer.name: layer.inputs for layer in network.layers}
    assert (fed["dense"], fed["dense_1"], network.outputs) == (("features",), ("dense",), ("dense_1",))


def test_a_graph_can_name_a_tensor_as_an_input() -> None:
    """Among the layers or at the top, with the shape and type that the tensor has."""
    dense = {"type": "Dense", "name": "out", "units": 1, "inputs": "features"}
    among = {"layers": [{"type": "Input", "name": "features", "shape": [None]}, dense]}
    above = {"inputs": [{"name": "features", "shape": [4], "dtype": "float32"}], "layers": [dense]}
    named = {"inputs": "features", "layers": [dense], "outputs": ["out"]}
    networks = [planned(one, VECTOR).network for one in (among, above, named, {"layers": [dense]})]
    assert len({str(write_architecture(one)["inputs"]) for one in networks}) == 1
    assert {one.outputs for one in networks} == {("out",)}


def test_a_fault_is_found_where_the_client_wrote_it() -> None:
    """Layers keep their places, whatever stands in front of them."""
    made, faults = in_front({"layers": [{"type": "Input"}, {"type": "Dense", "units": -1}]}, VECTOR)
    assert read_architecture(made, "/architecture", faults) is None
    assert [fault.pointer for fault in faults] == ["/architecture/layers/1/units"]


@pytest.mark.parametrize("given", [None, 3, {}, {"layers": []}, {"layers": [3]}, {"layers": "Dense"}])
def test_what_is_no_architecture_is_left_to_its_reader(given: Any) -> None:
    """There is one place that says what an architecture is."""
    assert in_front(given, VECTOR) == (given, [])


@pytest.mark.parametrize(
    ("given", "of", "pointer", "words"),
    [
        (
            {"layers": [{"type": "Dense", "units": 1}]},
            ALL,
            "/layers",
            ("'features' shape [24]", "'title'", "Concatenate"),
        ),
        ({"layers": [{"type": "Input", "shape": [5]}, {"type": "Flatten"}]}, VECTOR, "/layers/0/shape", ("[5]", "[4]")),
        ({"layers": [{"type": "Input", "shape": 4}, {"type": "Flatten"}]}, VECTOR, "/layers/0/shape", ("4", "[4]")),
        (
            {"layers": [{"type": "Input", "dtype": "int32"}, {"type": "Flatten"}]},
            VECTOR,
            "/layers/0/dtype",
            ("int32", "float32"),
        ),
        (
            {"layers": [{"type": "Dense", "name": "features", "units": 1}]},
            VECTOR,
            "/layers/0/name",
            ("'features'", "taken"),
        ),
        (
            {"inputs": ["feature"], "layers": [{"type": "Dense", "units": 1, "inputs": "features"}]},
            VECTOR,
            "/inputs/0",
            ("feature", "Did you mean 'features'?"),
        ),
        (
            {"layers": [{"type": "Flatten", "inputs": "photo"}]},
            preparation(image(), number()),
            "/layers",
            ("'features'", "not used", "leave out"),
        ),
        (keras.Sequential([keras.layers.Dense(1)]).to_json(), VECTOR, "", ("to_json", '{"layers": [...]}')),
        ({"class_name": "Sequential", "config": {}}, VECTOR, "", ("to_json",)),
    ],
)
def test_what_does_not_fit_the_features_is_told(
    given: Any, of: Preparation, pointer: str, words: tuple[str, ...]
) -> None:
    """Where it stands, what the features make, and what to send instead."""
    fault = fault_of(given, of)
    assert fault.pointer == f"/architecture{pointer}"
    assert [word for word in words if word not in fault.detail] == []


def test_names_are_those_that_graphs_have_without_features() -> None:
    """A layer without a name is called here as it would be without features."""
    for entry in catalog.entries("layer"):
        made, _ = in_front({"layers": [{"type": entry.type}]}, VECTOR)
        assert made["layers"][0]["name"] == catalog.default_name(entry.type)


def test_a_network_of_all_features_learns_and_converts(tmp_path: Path) -> None:
    """It trains a step, and ONNX Runtime answers as Keras does, from one row to 33."""
    of = preparation(*(one for one in ALL.features if one.column != "photo"))
    layers = [layer for layer in GRAPH["layers"] if layer["name"] != "flat_photo"]
    layers[-2] = {**layers[-2], "inputs": ["features", "flat_words", "rhythm"]}
    model, network = built({"layers": layers}, of)
    records = [{**RECORD, "age": None if age % 3 else age, "town": [None, "Oslo"][age % 2]} for age in range(33)]
    rows = encoded(of, *records)
    model.compile("sgd", "mse")
    before = model.get_weights()
    model.train_on_batch(list(rows.values()), np.ones((33, 1), np.float32))
    assert all(np.isfinite(weight).all() for weight in model.get_weights())
    assert any((new != old).any() for new, old in zip(model.get_weights(), before, strict=True))
    signature = signature_of(model, network)
    result = export(model, signature, rows, tmp_path / "model.onnx")
    assert (result.engine, result.reason) == ("onnxruntime", None)
    session = Session(tmp_path / "model.onnx")
    for size in (1, 2, 33):
        batch = {name: array[:size] for name, array in rows.items()}
        due = model.predict_on_batch(list(batch.values()))
        np.testing.assert_allclose(session.run(batch)["out"], due, rtol=1e-5, atol=1e-6)


def test_images_enter_between_0_and_1() -> None:
    """The network's first layer brings pixels of 0 to 255 there."""
    model, _ = built({"layers": [{"type": "Identity"}]}, preparation(image()))
    pixels = np.array([0, 51, 102, 153, 204, 255], np.float32).reshape(1, 2, 3, 1)
    np.testing.assert_allclose(np.asarray(model(pixels)).ravel(), [0, 0.2, 0.4, 0.6, 0.8, 1], rtol=1e-6)
