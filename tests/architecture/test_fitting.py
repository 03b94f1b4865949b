"""`fit` becomes one checked value with Keras's defaults, or the list of all its faults."""

import json
from typing import Any

import keras
import numpy as np
import pytest

from service.architecture import catalog
from service.architecture.compilation import Compilation
from service.architecture.fitting import Fitting, check_fit, reported_names, training_rows
from service.data.arrays import ArrayFacts
from service.errors import Fault

ROWS = 100


def targets(*sample: int, low: float = 0, high: float = 2, integral: bool = True) -> ArrayFacts:
    shape = (ROWS, *sample)
    return ArrayFacts(part="y", name=None, shape=shape, dtype="float32", minimum=low, maximum=high, integral=integral)


def compiled(**metrics: tuple[Any, ...]) -> Compilation:
    """A compilation with these metrics for each output; a single output without any when none are given."""
    by_output = {output: tuple(map(normal, given)) for output, given in (metrics or {"out": ()}).items()}
    losses = dict.fromkeys(by_output, "MeanSquaredError")
    return Compilation(optimizer="SGD", loss=losses, metrics=by_output, loss_weights=dict.fromkeys(by_output, 1.0))


def normal(metric: Any) -> Any:
    return metric if isinstance(metric, str) else catalog.check("metric", metric, "/metric", [])


def check(
    value: object,
    rows: int | None = ROWS,
    compilation: Compilation | None = None,
    y: tuple[ArrayFacts, ...] = (),
    **named: bool,
) -> tuple[Fitting | None, list[Fault]]:
    faults: list[Fault] = []
    return check_fit(value, rows, compilation or compiled(), y, "/fit", faults, **named), faults


def accepted(*arguments: Any, **named: Any) -> Fitting:
    fitting, faults = check(*arguments, **named)
    assert faults == []
    assert fitting is not None
    return fitting


def the_fault(*arguments: Any, **named: Any) -> Fault:
    fitting, faults = check(*arguments, **named)
    assert fitting is None
    assert len(faults) == 1, faults
    return faults[0]


def test_the_defaults_are_those_of_keras() -> None:
    """An empty fit trains one epoch in batches of 32, shuffled, without validation."""
    assert accepted({}) == Fitting()
    assert Fitting().to_json() == {
        "epochs": 1,
        "batch_size": 32,
        "validation_split": 0.0,
        "validation_data": None,
        "validation_batch_size": None,
        "validation_freq": 1,
        "shuffle": True,
        "class_weight": None,
        "callbacks": [],
    }


def test_null_stands_for_none() -> None:
    """The arguments that are None in Keras may be sent as null."""
    assert accepted(dict.fromkeys(("validation_data", "validation_batch_size", "class_weight"))) == Fitting()


def test_a_fitting_survives_json() -> None:
    """What is written as JSON is read back equal, class numbers included."""
    value = {"class_weight": {"0": 1, "1": 2.5}, "validation_split": 0.25, "callbacks": ["EarlyStopping"], "epochs": 9}
    fitting = accepted(value, y=(targets(),))
    assert Fitting.from_json(json.loads(json.dumps(fitting.to_json()))) == fitting
    assert fitting.class_weight == {0: 1.0, 1: 2.5}


@pytest.mark.parametrize(
    ("value", "pointer"),
    [
        ([], "/fit"),
        ({"epoch": 3}, "/fit/epoch"),
        ({"epochs": 0}, "/fit/epochs"),
        ({"epochs": 100_001}, "/fit/epochs"),
        ({"epochs": True}, "/fit/epochs"),
        ({"epochs": 2.0}, "/fit/epochs"),
        ({"epochs": None}, "/fit/epochs"),
        ({"batch_size": 0}, "/fit/batch_size"),
        ({"batch_size": 1_048_577}, "/fit/batch_size"),
        ({"validation_batch_size": "32"}, "/fit/validation_batch_size"),
        ({"validation_split": 1}, "/fit/validation_split"),
        ({"validation_split": -0.1}, "/fit/validation_split"),
        ({"validation_split": float("nan")}, "/fit/validation_split"),
        ({"validation_data": ""}, "/fit/validation_data"),
        ({"validation_data": [1]}, "/fit/validation_data"),
        ({"shuffle": "batch"}, "/fit/shuffle"),
        ({"class_weight": {}}, "/fit/class_weight"),
        ({"class_weight": [1, 2]}, "/fit/class_weight"),
        ({"class_weight": {"-1": 1}}, "/fit/class_weight/-1"),
        ({"class_weight": {"a/b": 1}}, "/fit/class_weight/a~1b"),
        ({"class_weight": {"1": -1}}, "/fit/class_weight/1"),
        ({"class_weight": {"1": float("inf")}}, "/fit/class_weight/1"),
        ({"callbacks": "EarlyStopping"}, "/fit/callbacks"),
        ({"callbacks": ["TerminateOnNaN"] * 17}, "/fit/callbacks"),
        ({"callbacks": ["TerminateOnNaN", "nope"]}, "/fit/callbacks/1/type"),
        ({"validation_split": 0.2, "validation_data": "some-id"}, "/fit/validation_split"),
        ({"validation_split": 0.2, "validation_freq": 2}, "/fit/validation_freq"),
    ],
)
def test_a_wrong_value_is_refused_at_its_place(value: object, pointer: str) -> None:
    """Each value out of type or bounds gives one fault, at its place."""
    assert the_fault(value).pointer == pointer


def test_all_faults_come_at_once() -> None:
    """A client learns of every fault in one answer."""
    value = {"epochs": 0, "batch_size": 0, "shuffle": 1, "class_weight": {"x": 1, "0": -1}, "callbacks": ["nope"]}
    fitting, faults = check(value)
    assert fitting is None
    assert len(faults) == 6


def test_a_faulty_argument_is_not_blamed_twice() -> None:
    """A refused value does not make further faults of what depends on it."""
    early = {"type": "EarlyStopping", "monitor": "val_loss"}
    assert the_fault({"validation_split": 2, "callbacks": [early]}).pointer == "/fit/validation_split"
    assert the_fault({"epochs": 0, "validation_split": 0.2, "validation_freq": 5}).pointer == "/fit/epochs"


def test_without_a_compilation_the_monitors_wait() -> None:
    """When `compile` is faulty, what `fit` monitors is not held against it."""
    faults: list[Fault] = []
    assert check_fit({"callbacks": ["EarlyStopping"]}, ROWS, None, (), "/fit", faults) is not None
    assert faults == []


@pytest.mark.parametrize(("rows", "split"), [(100, 0.2), (10, 0.33), (3, 0.5), (7, 0.1), (1000, 0.07)])
def test_the_split_is_that_of_keras(rows: int, split: float) -> None:
    """Keras keeps as many of the first rows for training."""
    from keras.src.trainers.data_adapters.array_slicing import train_validation_split

    (train,), _ = train_validation_split((np.zeros((rows, 1)),), validation_split=split)
    assert training_rows(rows, split) == len(train)


@pytest.mark.parametrize(("rows", "split"), [(1, 0.5), (3, 0.9), (100, 1e-18)])
def test_a_split_leaves_rows_on_both_sides(rows: int, split: float) -> None:
    """A split that leaves no row to train or to validate on is refused, as in Keras."""
    assert the_fault({"validation_split": split}, rows).pointer == "/fit/validation_split"


def test_a_dry_run_without_data_checks_no_rows() -> None:
    """Without rows, the split and the steps are only checked for their bounds."""
    assert accepted({"validation_split": 0.999, "epochs": 100_000, "batch_size": 1}, None).epochs == 100_000


def test_the_steps_of_a_job_are_bounded() -> None:
    """A job may ask for a hundred million steps and not one more."""
    accepted({"epochs": 100_000, "batch_size": 1}, 1000)
    fault = the_fault({"epochs": 100_000, "batch_size": 1}, 1001)
    assert fault.pointer == "/fit/epochs"
    assert "100100000 steps" in fault.detail


@pytest.mark.parametrize("y", [targets(), targets(1), targets(3, high=1)], ids=["flat", "column", "one-hot"])
def test_class_weights_take_classes_and_may_leave_some_out(y: ArrayFacts) -> None:
    """Class numbers and one-hot rows have classes; Keras gives a class without a weight the weight 1."""
    assert accepted({"class_weight": {"2": 5}}, y=(y,)).class_weight == {2: 5.0}


@pytest.mark.parametrize(
    ("y", "words"),
    [
        ((targets(),), "0 to 2"),
        ((targets(3, high=1),), "0 to 2"),
        ((targets(integral=False),), "one class for each row"),
        ((targets(low=-1),), "one class for each row"),
        ((targets(4, 5),), "one class for each row"),
        ((targets(), targets()), "several outputs"),
    ],
)
def test_class_weights_without_their_classes_are_refused(y: tuple[ArrayFacts, ...], words: str) -> None:
    """A weight needs a class that y has, and y one class for each row of one output."""
    fault = the_fault({"class_weight": {"3": 1}}, y=y)
    assert fault.pointer == "/fit/class_weight"
    assert words in fault.detail


def test_class_weights_of_a_dry_run_need_no_data() -> None:
    """Without targets, class weights are only checked for their form and for a single output."""
    accepted({"class_weight": {"7": 1}}, None)
    assert "several outputs" in the_fault({"class_weight": {"7": 1}}, None, compiled(a=(), b=())).detail


def test_class_weights_exclude_sample_weights() -> None:
    """Keras takes only one of the two."""
    assert "sample_weight" in the_fault({"class_weight": {"1": 1}}, y=(targets(),), sample_weighted=True).detail


def test_callbacks_come_back_with_all_their_arguments() -> None:
    """A name alone becomes the callback with its defaults."""
    (callback,) = accepted({"callbacks": ["EarlyStopping"], "validation_split": 0.2}).callbacks
    assert (callback["type"], callback["monitor"], callback["patience"]) == ("EarlyStopping", "val_loss", 0)


def test_a_callback_without_arguments_monitors_nothing() -> None:
    """TerminateOnNaN has nothing to fill in, and is an object like the others; `shuffle` may be turned off."""
    fitting = accepted({"callbacks": ["TerminateOnNaN"], "shuffle": False})
    assert fitting.callbacks == ({"type": "TerminateOnNaN"},)
    assert not fitting.shuffle


@pytest.mark.parametrize("monitor", ["loss", "val_loss", "accuracy", "val_accuracy", "auc", "val_auc_3"])
def test_a_reported_metric_may_be_monitored(monitor: str) -> None:
    """Any name of the history will do, also one that Keras numbers itself."""
    callback = {"type": "EarlyStopping", "monitor": monitor}
    metrics = compiled(out=("accuracy", {"type": "AUC"}))
    accepted({"callbacks": [callback], "validation_split": 0.2}, ROWS, metrics)


@pytest.mark.parametrize(
    ("callback", "metrics", "words"),
    [
        ("EarlyStopping", compiled(), "give validation_split"),
        ({"type": "EarlyStopping", "monitor": "acc"}, compiled(out=("accuracy",)), "'loss', 'accuracy'"),
        ({"type": "ReduceLROnPlateau", "monitor": "a_mae"}, compiled(a=("mae",), b=()), '"min" or "max"'),
        ({"type": "EarlyStopping", "monitor": "true_positives"}, compiled(out=("true_positives",)), '"min" or "max"'),
    ],
    ids=["no validation", "another name", "several outputs", "no direction"],
)
def test_a_callback_that_could_not_follow_its_monitor_is_refused(
    callback: object, metrics: Compilation, words: str
) -> None:
    """What Keras would only warn of, or fail on after the first epoch, is a fault before the job starts."""
    fault = the_fault({"callbacks": [callback]}, ROWS, metrics)
    assert fault.pointer == "/fit/callbacks/0"
    assert words in fault.detail


def test_a_mode_makes_any_metric_a_monitor() -> None:
    """With "min" or "max" Keras need not guess the direction."""
    callback = {"type": "EarlyStopping", "monitor": "a_mae", "mode": "min"}
    accepted({"callbacks": [callback]}, ROWS, compiled(a=("mae",), b=()))


@pytest.mark.parametrize(
    "metrics",
    [
        ("acc", "mae", "MeanSquaredError", {"type": "MeanAbsoluteError"}, {"type": "LogCoshError"}),
        (
            {"type": "AUC"},
            {"type": "RootMeanSquaredError", "name": "error"},
            {"type": "FBetaScore"},
            {"type": "F1Score"},
        ),
        ("mae", "mae", "mae"),
    ],
)
def test_names_of_one_output_are_those_of_keras(metrics: tuple[Any, ...]) -> None:
    """What is foretold is what Keras's history has, with and without validation."""
    inputs = keras.Input((4,))
    model = keras.Model(inputs, keras.layers.Dense(1, activation="sigmoid", name="out")(inputs))
    assert set(reported_names(compiled(out=metrics), True)) == set(history(model, {"out": metrics}))


def test_names_of_several_outputs_are_those_of_keras() -> None:
    """With several outputs, Keras adds each output's loss and puts the output before each metric."""
    metrics = {"a": ("mae", "accuracy"), "b": ({"type": "MeanSquaredError"},)}
    inputs = keras.Input((4,))
    outputs = [keras.layers.Dense(1, name=name)(inputs) for name in metrics]
    model = keras.Model(inputs, outputs)
    assert set(reported_names(compiled(**metrics), True)) == set(history(model, metrics))


def history(model: keras.Model, metrics: dict[str, tuple[Any, ...]]) -> list[str]:
    """Train one epoch in Keras itself and return the names that its history has."""
    keras.backend.clear_session()
    made = {output: [made_metric(metric) for metric in given] for output, given in metrics.items()}
    model.compile("sgd", loss=dict.fromkeys(metrics, "mse"), metrics=made)
    y = [np.zeros((8, 1), "float32") for _ in metrics]
    trained = model.fit(np.zeros((8, 4), "float32"), y if len(y) > 1 else y[0], validation_split=0.5, verbose=0)
    return list(trained.history)


def made_metric(metric: Any) -> Any:
    if isinstance(metric, str):
        return metric
    arguments = {key: value for key, value in metric.items() if key != "type"}
    return getattr(keras.metrics, metric["type"])(**arguments)


@pytest.mark.parametrize("given", [{}, {"save_best_only": False}])
def test_a_model_checkpoint_must_be_for_the_best(given: dict[str, Any]) -> None:
    """Weights of every epoch would have no place to be: only the best are kept, for the version."""
    faults: list[Fault] = []
    callback = {"type": "ModelCheckpoint", "monitor": "loss", **given}
    assert check_fit({"callbacks": [callback]}, 10, None, (), "/fit", faults) is None
    assert [fault.pointer for fault in faults] == ["/fit/callbacks/0/save_best_only"]


def test_a_model_checkpoint_for_the_best_is_taken() -> None:
    """With save_best_only it is one of Keras's callbacks like the others."""
    callback = {"type": "ModelCheckpoint", "monitor": "loss", "save_best_only": True}
    fitting = check_fit({"callbacks": [callback]}, 10, None, (), "/fit", [])
    assert fitting is not None
    assert fitting.callbacks[0]["mode"] == "auto"
