"""The configuration in a `.keras` file: planned within the catalog, or refused with every fault."""

import json
from collections.abc import Callable
from copy import deepcopy
from typing import Any

import keras
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import layers

from service.architecture.compilation import Compilation
from service.architecture.keras_model import KerasModel, plan_model
from service.architecture.plan import Limits
from service.errors import Fault, Invalid


def mine(y: Any, predicted: Any = 0.0) -> Any:
    """A loss, a metric or an activation of a client's own."""
    return y - predicted


def config_of(model: keras.Model) -> dict[str, Any]:
    """What Keras writes into config.json of a model."""
    config: dict[str, Any] = json.loads(json.dumps(keras.saving.serialize_keras_object(model)))
    return config


def network(*more: Any, name: str = "out") -> keras.Model:
    return keras.Sequential([keras.Input((4,), name="x"), *more, layers.Dense(2, name=name)])


def compiled(**changes: Any) -> dict[str, Any]:
    """A configuration whose compilation is made of these arguments."""
    model = network()
    model.compile(**{"optimizer": "sgd", "loss": "mse"} | changes)
    return config_of(model)


def plan(config: dict[str, Any], **limits: Any) -> KerasModel:
    return plan_model(config, Limits(**limits))


def faults_of(config: dict[str, Any], **limits: Any) -> list[Fault]:
    with pytest.raises(Invalid) as refused:
        plan(config, **limits)
    return list(refused.value.faults)


def attempt(config: dict[str, Any]) -> tuple[tuple[Fault, ...], KerasModel | None]:
    try:
        return (), plan(config)
    except Invalid as refused:
        return refused.faults, None


def at_layer(index: int, *path: str) -> str:
    return "/".join(["/config.json/config/layers", str(index), *path])


def test_a_sequential_model_is_planned() -> None:
    """Shapes, names and parameters are those of Keras."""
    found = plan(config_of(network(layers.Dense(3, "relu", name="hidden"))))
    assert [(one.name, one.output_shape, one.parameters) for one in found.plan.layers] == [
        ("hidden", (3,), 15),
        ("out", (2,), 8),
    ]
    assert found.layer_names == ("x", "hidden", "out")
    assert found.plan.input_shapes == {"x": (4,)}


def test_the_layers_of_a_graph_are_those_that_have_weights() -> None:
    """The operations that make a mask are none."""
    words = keras.Input((5,), dtype="int32", name="words")
    embedded = layers.Embedding(7, 4, mask_zero=True, name="embedded")(words)
    model = keras.Model(words, layers.LSTM(2, name="read")(embedded))
    found = plan(config_of(model))
    assert sorted(found.layer_names) == ["embedded", "read", "words"]


@pytest.mark.parametrize(
    ("layer", "pointer", "words"),
    [
        (lambda: layers.Lambda(lambda x: x), "class_name", 'no layer "Lambda"'),
        (lambda: layers.Discretization([0.0, 1.0]), "class_name", "no layer"),
        (lambda: keras.Sequential([layers.Dense(3)]), "class_name", "Put its layers in its place"),
        (lambda: layers.Dense(3, dtype="mixed_float16"), "config/dtype", "calculates in float32"),
        (lambda: layers.Dense(3, dtype="float64"), "config/dtype", "calculates in float32"),
        (lambda: layers.Dense(3, activation=mine), "config/activation", "Use a part of Keras"),
        (lambda: layers.Dense(3, name="a" * 65), "config/name", "names are"),
        (lambda: layers.Dense(3, name="über"), "config/name", "names are"),
    ],
)
def test_what_the_catalog_has_not_is_a_fault(layer: Callable[[], Any], pointer: str, words: str) -> None:
    """Each fault points into config.json."""
    (fault,) = faults_of(config_of(network(layer())))
    assert fault.pointer == at_layer(1, pointer)
    assert words in fault.detail


def test_a_class_of_the_clients_own_is_a_fault() -> None:
    """Its code is not here, and would not be run."""

    @keras.saving.register_keras_serializable("mine")
    class Mine(layers.Dense):  # type: ignore[misc,unused-ignore]
        pass

    (fault,) = faults_of(config_of(network(Mine(3))))
    assert (fault.pointer, "comes from" in fault.detail) == (at_layer(1), True)


def test_all_faults_come_at_once() -> None:
    """Layers, arguments and dtypes are told together."""
    model = network(layers.Lambda(lambda x: x), layers.Dense(3, dtype="float16"), layers.Dropout(0.5))
    config = config_of(model)
    config["config"]["layers"][3]["config"]["rate"] = 7
    pointers = {fault.pointer for fault in faults_of(config)}
    assert {at_layer(1, "class_name"), at_layer(2, "config", "dtype"), at_layer(3, "config", "rate")} <= pointers


@pytest.mark.parametrize(
    ("class_name", "arguments"),
    [
        ("TFSMLayer", {"filepath": "/etc/passwd"}),
        ("StringLookup", {"vocabulary": "/etc/passwd"}),
        ("TextVectorization", {"vocabulary": "/etc/passwd"}),
        ("TorchModuleWrapper", {"module": "gAN="}),
        ("JaxLayer", {"call_fn": "os.system"}),
        ("Dense", {"units": 3, "kernel_initializer": {"module": "os", "class_name": "system", "config": {"x": "id"}}}),
        ("Dense", {"units": 3, "activation": {"class_name": "__lambda__", "config": {"value": "4wEA"}}}),
        ("Embedding", {"input_dim": 3, "output_dim": 2, "weights": "/etc/passwd"}),
    ],
)
def test_what_reads_files_or_runs_code_is_a_fault(class_name: str, arguments: dict[str, Any]) -> None:
    """No path and no code of a client's has a meaning here."""
    config = config_of(network(layers.Dropout(0.5, name="there")))
    layer = config["config"]["layers"][1]
    layer["class_name"], layer["config"] = class_name, {"name": "there"} | arguments
    assert all(fault.pointer.startswith(at_layer(1)) for fault in faults_of(config))


def test_a_wrapped_layers_dtype_counts_too() -> None:
    """The policy stands inside the wrapper."""
    inner = layers.Dense(3, dtype="bfloat16")
    model = keras.Sequential([keras.Input((5, 4)), layers.TimeDistributed(inner)])
    (fault,) = faults_of(config_of(model))
    assert fault.pointer == at_layer(1, "config", "layer", "config", "dtype")


def test_two_names_of_one_layer_are_a_fault() -> None:
    """Weights are found by one, and the graph by the other."""
    x = keras.Input((4,), name="x")
    config = config_of(keras.Model(x, layers.Dense(2, name="out")(x)))
    config["config"]["layers"][1]["config"]["name"] = "other"
    assert at_layer(1, "name") in [fault.pointer for fault in faults_of(config)]


@pytest.mark.filterwarnings("ignore:You are saving a model that has not yet been built")
def test_a_model_that_was_never_built_is_a_fault() -> None:
    """It has no weights."""
    (fault,) = faults_of(config_of(keras.Sequential([layers.Dense(2)])))
    assert "before it was built" in fault.detail


def test_limits_hold_before_anything_is_built() -> None:
    """A network that is too large is told as one fault of the whole configuration."""
    config = config_of(network(layers.Dense(3)))
    config["config"]["layers"][1]["config"]["units"] = 1_000_000
    (fault,) = faults_of(config, max_parameters=1_000_000)
    assert (fault.pointer, "parameters" in fault.detail) == ("/config.json", True)
    (fault,) = faults_of(config, max_layers=1)
    assert (fault.pointer, "layers" in fault.detail) == ("/config.json", True)


@pytest.mark.parametrize("config", [{}, {"config": 3}, {"module": "keras"}])
def test_what_is_no_model_is_a_fault(config: dict[str, Any]) -> None:
    """It has no class."""
    assert faults_of(config)[0].detail.startswith("This is no model")


def test_a_compilation_comes_along() -> None:
    """Optimizer, loss and metrics become what a job's `compile` is, with Keras's numbers."""
    schedule = keras.optimizers.schedules.ExponentialDecay(0.1, 10, 0.9)
    found = plan(
        compiled(
            optimizer=keras.optimizers.SGD(schedule, momentum=0.5),
            loss=keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=0.1),
            metrics=["mae", keras.metrics.AUC(name="area", curve="PR")],
        )
    )
    assert found.compile_reason is None
    assert found.compilation is not None
    loss, optimizer = found.compilation.loss["out"], found.compilation.optimizer
    assert (loss["type"], loss["from_logits"], loss["label_smoothing"]) == ("CategoricalCrossentropy", True, 0.1)
    assert (optimizer["type"], optimizer["momentum"]) == ("SGD", 0.5)
    assert (optimizer["learning_rate"]["type"], optimizer["learning_rate"]["decay_rate"]) == ("ExponentialDecay", 0.9)
    assert found.compilation.metrics["out"][0] == "mae"
    assert found.compilation.metrics["out"][1]["name"] == "area"
    assert Compilation.from_json(json.loads(json.dumps(found.compilation.to_json()))) == found.compilation


def test_a_compilation_by_output_comes_along() -> None:
    """Losses, weights and metrics stay with the output that they are for."""
    x = keras.Input((4,), name="x")
    model = keras.Model(x, {"a": layers.Dense(1, name="a")(x), "b": layers.Dense(2, name="b")(x)})
    model.compile("adam", {"a": "mse", "b": "mae"}, loss_weights={"a": 1.0, "b": 0.5}, metrics={"b": ["mse"]})
    found = plan(config_of(model)).compilation
    assert found is not None
    assert found.loss == {"a": "MeanSquaredError", "b": "MeanAbsoluteError"}
    assert found.loss_weights == {"a": 1.0, "b": 0.5}
    assert found.metrics == {"a": (), "b": ("mse",)}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"loss": mine}, "/config.json/compile_config/loss"),
        ({"loss": "binary_crossentropy"}, "expects probabilities"),
        ({"metrics": [mine]}, "/config.json/compile_config/metrics/0"),
        ({"weighted_metrics": ["mae"]}, "does not offer"),
        ({"loss": None}, "no loss"),
    ],
)
def test_a_compilation_that_is_not_offered_is_left_out(changes: dict[str, Any], words: str) -> None:
    """The model is imported all the same, and the reason says what was left out."""
    found = plan(compiled(**changes))
    assert found.compilation is None
    assert words in str(found.compile_reason)


def test_a_file_without_a_compilation_says_so() -> None:
    """Keras writes an empty one."""
    found = plan(config_of(network()))
    assert (found.compilation, found.compile_reason) == (None, "The file has no compilation.")


def paths(node: Any, before: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    children = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    below = [path for key, child in children for path in paths(child, (*before, key))]
    return [before, *below] if before else below


WHOLE = json.dumps(compiled(metrics=["mae", keras.metrics.MeanSquaredError(name="own")]))
JUNK = st.sampled_from([None, True, 3, -1.5, "x", [], [[]], ["a", 0, 0], {}, {"class_name": "Dense", "config": {}}])


@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_damaged_configurations_end_in_faults_and_not_in_an_error(data: st.DataObject) -> None:
    """Whatever is changed in it, the answer is a plan or a list of faults, each in config.json."""
    config = json.loads(WHOLE)
    for path in data.draw(st.lists(st.sampled_from(paths(config)), min_size=1, max_size=3)):
        node: Any = config
        try:
            for key in path[:-1]:
                node = node[key]
            # JSON has no other keys, and what is drawn must not be changed for later examples.
            if isinstance(node, dict) and not isinstance(path[-1], str):
                continue
            node[path[-1]] = deepcopy(data.draw(JUNK))
        except (KeyError, IndexError, TypeError):
            continue
    faults, found = attempt(config)
    assert (found is None) == bool(faults)
    assert all(fault.pointer.startswith("/config.json") for fault in faults)
    assert found is None or (found.compilation is None) == (found.compile_reason is not None)
