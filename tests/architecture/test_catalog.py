"""The catalog is Keras's own, closed, and says exactly what is wrong."""

import json
from typing import Any

import keras
import pytest

from service.architecture import catalog
from service.architecture.generate_catalog import TARGET, dump, generate
from service.architecture.network import Layer
from service.errors import Fault

REQUIRED = {
    "activation": "relu",
    "axes": 1,
    "boundaries": [10],
    "decay_rate": 0.5,
    "decay_steps": 10,
    "dims": [2, 1],
    "equation": "ab,bc->ac",
    "factor": 0.1,
    "filters": 4,
    "first_decay_steps": 10,
    "head_dim": 2,
    "height": 4,
    "height_factor": 0.1,
    "initial_learning_rate": 0.1,
    "input_dim": 5,
    "kernel_size": 3,
    "key_dim": 2,
    "layer": {"type": "LSTM", "units": 2},
    "n": 2,
    "num_classes": 3,
    "num_heads": 2,
    "num_key_value_heads": 1,
    "num_query_heads": 2,
    "num_tokens": 3,
    "output_dim": 3,
    "output_shape": [4],
    "pool_size": 2,
    "precision": 0.5,
    "rate": 0.5,
    "recall": 0.5,
    "scale": 0.5,
    "sensitivity": 0.5,
    "specificity": 0.5,
    "stddev": 0.1,
    "target_class_ids": [0],
    "target_shape": [2, -1],
    "units": 4,
    "values": [0.1, 0.01],
    "width": 4,
    "width_factor": 0.1,
}
MODULES = {
    "layer": keras.layers,
    "initializer": keras.initializers,
    "regularizer": keras.regularizers,
    "constraint": keras.constraints,
    "loss": keras.losses,
    "optimizer": keras.optimizers,
    "schedule": keras.optimizers.schedules,
    "metric": keras.metrics,
    "callback": keras.callbacks,
}
CLASSES = [
    one for one in catalog.entries() if one.kind != "activation" and one.type not in ("accuracy", "crossentropy")
]


def checked(kind: str, value: object) -> tuple[Any, list[Fault]]:
    faults: list[Fault] = []
    return catalog.check(kind, value, "/p", faults), faults


def required(entry: catalog.Entry) -> dict[str, Any]:
    given = {one.name: REQUIRED[one.name] for one in entry.arguments if one.required}
    return given | ({"layer": {"type": "Dense", "units": 2}} if entry.type == "SpectralNormalization" else {})


def build(entry: catalog.Entry, arguments: dict[str, Any]) -> Any:
    nested = {
        name: build(found, one.arguments) if (found := catalog.find("layer", one.type)) else None
        for name, one in arguments.items()
        if isinstance(one, Layer)
    }
    choices = {
        one.name: from_choice(one.type, arguments[one.name])
        for one in entry.arguments
        if one.type in MODULES and one.type != "layer"
    }
    # Keras's ModelCheckpoint needs a place for its file, which no client may give.
    place = {"filepath": "best.keras"} if entry.type == "ModelCheckpoint" else {}
    return getattr(MODULES[entry.kind], entry.type)(**arguments | nested | choices | place)


def from_choice(kind: str, value: Any) -> Any:
    return MODULES[kind].get(value) if isinstance(value, str) else value


def test_the_file_is_what_the_installed_keras_says() -> None:
    """A new Keras that changes a name or a default makes this fail; regenerating the file mends it."""
    assert TARGET.read_text(encoding="utf-8") == dump(generate())


@pytest.mark.parametrize("entry", CLASSES, ids=lambda entry: f"{entry.kind}-{entry.type}")
def test_keras_takes_the_normal_form_of_every_entry(entry: catalog.Entry) -> None:
    """Names, defaults and spread lists are such that Keras's constructor takes all of them."""
    faults: list[Fault] = []
    arguments = catalog.check_arguments(entry, required(entry), "", faults)
    assert faults == []
    assert build(entry, arguments) is not None


@pytest.mark.parametrize("entry", CLASSES, ids=lambda entry: f"{entry.kind}-{entry.type}")
def test_the_normal_form_is_read_as_itself(entry: catalog.Entry) -> None:
    """Checking what a check returned changes nothing, so a stored form can be read again."""
    faults: list[Fault] = []
    once = catalog.check_arguments(entry, required(entry), "", faults)
    plain = {name: value for name, value in once.items() if not isinstance(value, Layer)}
    again = catalog.check_arguments(entry, {**required(entry), **plain}, "", faults)
    assert (again, faults) == (once, [])


@pytest.mark.parametrize(
    ("kind", "module"), [("loss", keras.losses), ("metric", keras.metrics), ("optimizer", keras.optimizers)]
)
def test_keras_knows_every_alias(kind: str, module: Any) -> None:
    """No alias is kerasd's own, apart from Lamb, which Keras offers as a class and does not find by name."""
    for entry in catalog.entries(kind):
        for alias in set(entry.aliases) - {"lamb", "acc", "categorical_generalized_cross_entropy"}:
            if not any(argument.required for argument in entry.arguments):
                assert module.get(alias) is not None


@pytest.mark.parametrize(
    ("kind", "name", "canonical"),
    [
        ("loss", "mse", "MeanSquaredError"),
        ("loss", "mean_squared_error", "MeanSquaredError"),
        ("loss", "KLD", "KLDivergence"),
        ("optimizer", "sgd", "SGD"),
        ("optimizer", "ADAM", "Adam"),
        ("metric", "acc", "accuracy"),
        ("metric", "accuracy", "accuracy"),
        ("metric", "mae", "MeanAbsoluteError"),
        ("regularizer", "l1_l2", "L1L2"),
        ("initializer", "he_normal", "HeNormal"),
        ("activation", "swish", "silu"),
        ("constraint", "non_neg", "NonNeg"),
    ],
)
def test_names_become_the_entry_s_type(kind: str, name: str, canonical: str) -> None:
    """Keras's aliases all lead to one name."""
    assert checked(kind, name) == (canonical, [])


def test_an_object_is_completed_with_defaults() -> None:
    """Arguments that were not sent have Keras's defaults, and whole numbers become floats where Keras wants these."""
    form, faults = checked("optimizer", {"type": "adam", "learning_rate": 1})
    assert faults == []
    assert form["type"] == "Adam"
    assert isinstance(form["learning_rate"], float)
    assert form["beta_1"] == 0.9


def test_a_schedule_stands_for_a_learning_rate() -> None:
    """`learning_rate` takes a number or a schedule."""
    schedule = {"type": "ExponentialDecay", "initial_learning_rate": 0.1, "decay_steps": 100, "decay_rate": 0.9}
    form, faults = checked("optimizer", {"type": "SGD", "learning_rate": schedule})
    assert faults == []
    assert form["learning_rate"] == schedule | {"staircase": False}


@pytest.mark.parametrize(
    ("kind", "value", "pointer", "words"),
    [
        ("loss", "mean_squared_eror", "/p", "Did you mean `mean_squared_error`"),
        ("loss", 3, "/p", "the name of a loss"),
        ("metric", "MeanIoU", "/p", "lacks `num_classes`"),
        ("optimizer", {"learning_rate": 1}, "/p", "no `type`"),
        ("optimizer", {"type": 1}, "/p/type", "Send it as a string"),
        ("optimizer", {"type": "SGD", "lr": 1}, "/p/lr", "It takes `learning_rate`"),
        ("optimizer", {"type": "SGD", "momentum": 2}, "/p/momentum", "from 0 to 1"),
        ("optimizer", {"type": "SGD", "learning_rate": float("nan")}, "/p/learning_rate", "NaN"),
        ("optimizer", {"type": "SGD", "learning_rate": float("inf")}, "/p/learning_rate", "Infinity"),
        ("optimizer", {"type": "SGD", "nesterov": 1}, "/p/nesterov", "true or false"),
        ("optimizer", {"type": "SGD", "clipnorm": 1, "clipvalue": 1}, "/p/clipvalue", "Keras takes one"),
        ("optimizer", {"type": "Muon", "exclude_layers": ["(a+)+"]}, "/p/exclude_layers", "does not offer"),
        ("layer", {"type": "Dense", "units": True}, "/p/units", "an integer from 1"),
        ("layer", {"type": "Dense", "units": 6.0}, "/p/units", "an integer from 1"),
        ("layer", {"type": "Dense", "units": 10**5000}, "/p/units", "more than 128 bits"),
        ("layer", {"type": "Dense", "units": 0}, "/p/units", "an integer from 1"),
        ("layer", {"type": "Dense", "units": 1, "input_shape": [3]}, "/p/input_shape", '"type": "Input"'),
        ("layer", {"type": "Dense", "units": 1, "a/b~": 1}, "/p/a~1b~0", "no argument"),
        (
            "layer",
            {"type": "Dense", "units": 1, "kernel_initializer": {"type": "X"}},
            "/p/kernel_initializer/type",
            "X",
        ),
        ("layer", {"type": "Lambda", "function": "x"}, "/p/type", "There is no layer"),
        ("layer", {"type": "Conv2D", "filters": 4, "kernel_size": [3]}, "/p/kernel_size", "a list of 2"),
        ("layer", {"type": "Conv2D", "filters": 4, "kernel_size": [3, 0]}, "/p/kernel_size/1", "from 1 to 1024"),
        ("layer", {"type": "Conv2D", "filters": 4, "kernel_size": 3, "groups": 3}, "/p/groups", "divisor"),
        ("layer", {"type": "Permute", "dims": [1, 3]}, "/p/dims", "each of 1 to 2 once"),
        ("layer", {"type": "Reshape", "target_shape": [-1, -1]}, "/p/target_shape", "-1 at most once"),
        ("layer", {"type": "TimeDistributed", "layer": {"type": "Add"}}, "/p/layer/type", "an object with the `type`"),
        ("layer", {"type": "EinsumDense", "equation": "ab", "output_shape": 4}, "/p/equation", "matches"),
        ("layer", {"type": "Normalization", "mean": 1}, "/p/variance", "together"),
        ("schedule", {"type": "PiecewiseConstantDecay", "boundaries": [1], "values": [1]}, "/p/values", "2 `values`"),
    ],
)
def test_a_fault_names_the_place_and_the_way_out(kind: str, value: object, pointer: str, words: str) -> None:
    """Each kind of mistake has one fault at its own pointer."""
    form, faults = checked(kind, value)
    assert form is None
    assert [fault.pointer for fault in faults] == [pointer]
    assert words in faults[0].detail


def test_all_faults_are_told_at_once() -> None:
    """A client mends everything in one go."""
    _, faults = checked("layer", {"type": "LSTM", "units": "6", "activation": "relo", "dropout": 1, "stateful": True})
    assert sorted(fault.pointer for fault in faults) == ["/p/activation", "/p/dropout", "/p/stateful", "/p/units"]


def test_strides_and_dilation_exclude_each_other() -> None:
    """Keras refuses both above 1 in all convolutions, and so does the catalog, before a layer is built."""
    _, faults = checked("layer", {"type": "Conv1D", "filters": 1, "kernel_size": 2, "strides": 2, "dilation_rate": 2})
    assert [fault.pointer for fault in faults] == ["/p/dilation_rate"]


def test_nesting_is_bounded() -> None:
    """A wrapper in a wrapper in a wrapper ... ends in a fault, not in a deep recursion."""
    value: dict[str, Any] = {"type": "Dense", "units": 1}
    for _ in range(500):
        value = {"type": "TimeDistributed", "layer": value}
    form, faults = checked("layer", value)
    assert form is None
    assert len(faults) == 1


def test_a_long_wrong_list_has_few_faults() -> None:
    """A list of a thousand wrong values does not make a thousand faults."""
    _, faults = checked("layer", {"type": "Permute", "dims": [0] * 1000})
    assert len(faults) == 8


def test_a_wrapped_layer_is_a_layer() -> None:
    """A wrapper's `layer` comes back as a Layer that nothing feeds, complete with defaults."""
    form, faults = checked("layer", {"type": "Bidirectional", "layer": {"type": "GRU", "units": 3}})
    assert faults == []
    assert (form["layer"].name, form["layer"].inputs, form["layer"].pointer) == ("gru", (), "/p/layer")
    assert form["layer"].arguments["reset_after"] is True


def test_entries_are_ready_for_json() -> None:
    """What the catalog shows is JSON, and shows nothing that is not offered."""
    rows = [entry.to_json() for entry in catalog.entries()]
    assert json.loads(json.dumps(rows)) == rows
    assert {row["kind"] for row in rows} == set(catalog.KINDS)
    assert "left_out" not in json.dumps(rows)


def test_entries_of_one_kind() -> None:
    """`entries` with a kind returns that kind alone."""
    assert {entry.kind for entry in catalog.entries("schedule")} == {"schedule"}


def test_names_are_case_sensitive_apart_from_optimizers() -> None:
    """Keras finds `aDaM` and does not find `dense`."""
    assert catalog.find("optimizer", "aDaM") is not None
    assert catalog.find("layer", "dense") is None
