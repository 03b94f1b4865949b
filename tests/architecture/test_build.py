"""The builder makes Keras objects of catalog entries alone, and adapts what learns from the data."""

import json
from typing import Any

import keras
import numpy as np
import pytest

from service.architecture import catalog
from service.architecture.build import adapt, build, make
from service.architecture.network import Input, Layer, Network
from service.errors import Fault
from tests.architecture.shape_cases import layer


def named(name: str, type_name: str, arguments: dict[str, Any], *inputs: str) -> Layer:
    """A complete layer with this name and these inputs."""
    plain = layer(type_name, arguments)
    return Layer(name=name, type=type_name, arguments=plain.arguments, inputs=inputs, pointer="/architecture")


def network(inputs: str, layers: list[Layer], *outputs: str) -> Network:
    """A network whose inputs have these names, one letter each."""
    made = tuple(Input(name=name, shape=None, dtype="float32", pointer="") for name in inputs)
    return Network(inputs=made, layers=tuple(layers), outputs=outputs)


def test_one_input_and_one_output_are_single_tensors() -> None:
    """The model is called with an array and gives an array, and layers have the network's names."""
    model = build(network("x", [named("first-layer", "Dense", {"units": 3}, "x")], "first-layer"), {"x": (4,)})
    assert [tensor.name for tensor in model.inputs] == ["x"]
    assert model.output_names == ["first-layer"]
    assert model(np.zeros((2, 4), "float32")).shape == (2, 3)


def test_several_inputs_and_outputs_are_lists_in_the_networks_order() -> None:
    """Inputs and outputs keep the order of the network, not that of the graph."""
    layers = [named("one", "Dense", {"units": 1}, "b"), named("both", "Concatenate", {}, "a", "b")]
    model = build(network("ba", layers, "both", "one"), {"a": (2,), "b": (3,)})
    assert [tensor.name for tensor in model.inputs] == ["b", "a"]
    assert [tuple(tensor.shape) for tensor in model.inputs] == [(None, 3), (None, 2)]
    assert model.output_names == ["both", "one"]


def test_arguments_become_keras_objects() -> None:
    """Initializers, regularizers, constraints and the layer inside a wrapper are made; activations stay names."""
    dense = {
        "type": "Dense",
        "units": 3,
        "activation": "relu",
        "kernel_initializer": {"type": "Constant", "value": 0.5},
        "kernel_regularizer": {"type": "L2", "l2": 0.25},
        "bias_constraint": "NonNeg",
        "name": "inner",
    }
    model = build(network("x", [named("outer", "TimeDistributed", {"layer": dense}, "x")], "outer"), {"x": (2, 4)})
    inner = model.get_layer("outer").layer
    assert inner.name == "inner"
    assert inner.activation is keras.activations.relu
    assert np.all(np.asarray(inner.kernel) == 0.5)
    assert inner.kernel_regularizer.l2 == 0.25
    assert isinstance(inner.bias_constraint, keras.constraints.NonNeg)


def test_attention_with_three_inputs_reads_query_value_key() -> None:
    """The inputs stand in Keras's order for both families of attention."""
    heads = named("heads", "MultiHeadAttention", {"num_heads": 1, "key_dim": 2}, "q", "v", "k")
    plain = named("plain", "Attention", {}, "q", "v", "k")
    model = build(network("qvk", [heads, plain], "heads", "plain"), {"q": (4, 3), "v": (5, 2), "k": (5, 3)})
    assert [tuple(output.shape) for output in model.outputs] == [(None, 4, 3), (None, 4, 2)]
    assert tuple(model.get_layer("heads").value_dense.kernel.shape) == (2, 1, 2)


def test_a_type_outside_the_catalog_is_never_built() -> None:
    """Keras has a Lambda layer and a function registry; the builder reaches neither."""
    lambda_layer = Layer(name="l", type="Lambda", arguments={"function": "x"}, inputs=("x",), pointer="")
    with pytest.raises(ValueError, match="no such entry"):
        build(network("x", [lambda_layer], "l"), {"x": (4,)})
    with pytest.raises(ValueError, match="no such entry"):
        make("optimizer", {"type": "LossScaleOptimizer", "inner_optimizer": "SGD"})


KINDS = ("initializer", "regularizer", "constraint", "loss", "optimizer", "schedule", "metric", "callback")
#: What has to be given where Keras has no default.
REQUIRED: dict[str, Any] = {
    "initial_learning_rate": 0.1,
    "decay_steps": 10,
    "first_decay_steps": 10,
    "decay_rate": 0.5,
    "boundaries": [5],
    "values": [0.1, 0.01],
    "num_classes": 3,
    "target_class_ids": [0, 1],
    "recall": 0.5,
    "precision": 0.5,
    "specificity": 0.5,
    "sensitivity": 0.5,
}

#: What keeps the best weights is made for a job, by training/callbacks: Keras's own wants a file to write.
KEEPING = catalog.find("callback", "ModelCheckpoint")


@pytest.mark.parametrize(
    ("kind", "type_name"),
    [(kind, entry.type) for kind in KINDS for entry in catalog.entries(kind) if entry.arguments and entry != KEEPING],
)
def test_everything_in_the_catalog_can_be_made(kind: str, type_name: str) -> None:
    """Each entry with all its defaults becomes an object of the Keras class of that name."""
    entry = catalog.find(kind, type_name)
    assert entry is not None
    given = {one.name: REQUIRED[one.name] for one in entry.arguments if one.required}
    faults: list[Fault] = []
    value = catalog.check(kind, {"type": type_name, **given}, "", faults)
    assert faults == []
    assert type(make(kind, json.loads(json.dumps(value)))).__name__ == type_name


def test_names_of_losses_and_metrics_stay_for_keras_to_resolve() -> None:
    """Keras picks "accuracy" by the shape of the targets, so the string goes through; None stays None."""
    assert make("metric", "accuracy") == "accuracy"
    assert make("loss", "MeanSquaredError") == "MeanSquaredError"
    assert make("regularizer", None) is None
    assert isinstance(make("optimizer", "adam"), keras.optimizers.Adam)


def test_an_optimizer_takes_a_schedule() -> None:
    """The schedule inside an optimizer is made too."""
    schedule = {"type": "ExponentialDecay", "initial_learning_rate": 0.5, "decay_steps": 10, "decay_rate": 0.5}
    made = make("optimizer", {"type": "SGD", "learning_rate": schedule})
    assert float(made.learning_rate) == 0.5


def test_a_model_that_was_built_trains() -> None:
    """Compile and fit take what `make` gives."""
    model = build(network("x", [named("out", "Dense", {"units": 1}, "x")], "out"), {"x": (2,)})
    model.compile(optimizer=make("optimizer", "SGD"), loss=make("loss", "MeanSquaredError"), metrics=["mae"])
    history = model.fit(np.ones((8, 2)), np.ones((8, 1)), epochs=2, verbose=0).history
    assert history["loss"][1] < history["loss"][0]


def test_adapt_learns_in_graph_order_in_batches() -> None:
    """Each Normalization learns from all rows, seen through the layers before it; one with numbers keeps them."""
    rows = np.random.default_rng(1).normal([3, -2], [2, 5], (10_000, 2)).astype("float32")
    layers = [
        named("half", "Rescaling", {"scale": 0.5}, "x"),
        named("first", "Normalization", {}, "half"),
        named("given", "Normalization", {"mean": 1.0, "variance": 4.0}, "first"),
        named("second", "Normalization", {}, "given"),
        named("out", "Dense", {"units": 1}, "second"),
    ]
    net = network("xz", [*layers, named("other", "Dense", {"units": 1}, "z")], "out", "other")
    model = build(net, {"x": (2,), "z": (1,)})
    adapt(model, net, {"x": rows, "z": np.zeros((10_000, 1), "float32")})
    first, second = model.get_layer("first"), model.get_layer("second")
    np.testing.assert_allclose(np.asarray(first.adapt_mean), rows.mean(0) / 2, rtol=1e-4)
    np.testing.assert_allclose(np.asarray(first.adapt_variance), rows.var(0) / 4, rtol=1e-4)
    np.testing.assert_allclose(np.asarray(second.adapt_mean), [-0.5, -0.5], atol=1e-4)
    np.testing.assert_allclose(np.asarray(second.adapt_variance), [0.25, 0.25], rtol=1e-3)
