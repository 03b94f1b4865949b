"""Callbacks are Keras's own in what they do, and know after a restart what they knew before it."""

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from service.training.callbacks import Callbacks
from tests.training.trainings import by_engine, by_keras, case, checked, make, ready

DENSE = {"type": "Dense", "units": 3, "activation": "tanh"}
#: Steps so large that the loss goes up and down.
WILD = {"type": "SGD", "learning_rate": 1.1}
MODES = [
    {"monitor": "val_loss"},
    {"monitor": "loss", "mode": "max"},
    {"monitor": "val_mae", "mode": "min", "initial_value_threshold": 9.0},
]


def wild(*callbacks: Any, **changes: Any) -> Any:
    given = {"epochs": 8, "validation_split": 0.3, "optimizer": WILD, "metrics": (("mae",),), **changes}
    return case((3,), DENSE, rows=12, callbacks=list(callbacks), **given)


@pytest.mark.parametrize("arguments", MODES, ids=lambda one: "-".join(map(str, one.values())))
def test_the_best_weights_are_those_of_keras(tmp_path: Path, arguments: dict[str, Any]) -> None:
    """ModelCheckpoint ends the training with the weights of the file that Keras writes."""
    file = tmp_path / "best.weights.h5"
    theirs = keras.callbacks.ModelCheckpoint(file, save_best_only=True, save_weights_only=True, **arguments)
    by_keras(wild(), [theirs])
    best = make(wild())
    best.load_weights(file)
    ours = by_engine(wild({"type": "ModelCheckpoint", "save_best_only": True, **arguments}))
    kept = dict(ours.variables)
    assert best.weights
    for weight in best.weights:
        assert np.array_equal(weight.numpy(), kept[weight.path])


def test_an_epoch_without_the_monitored_value_is_passed_over() -> None:
    """With validation_freq 2, only epochs that were validated can be the best."""
    one = wild({"type": "ModelCheckpoint", "monitor": "val_loss", "save_best_only": True}, validation_freq=2, epochs=4)
    training, callbacks = ready(one)
    callbacks.end_epoch(0, {"loss": 0.1})
    assert callbacks.restore_best() is None
    callbacks.end_epoch(1, {"loss": 0.3, "val_loss": 0.2})
    training.model.trainable_weights[0].assign(training.model.trainable_weights[0] * 0.0)
    callbacks.end_epoch(2, {"loss": 0.0})
    assert callbacks.end(3) == 2
    assert np.any(training.model.trainable_weights[0].numpy())


@pytest.mark.parametrize(
    ("patiences", "most", "likely"),
    [([], 500, 500), ([20], 500, 100), ([20, 90], 500, 100), ([90], 500, 180), ([400], 500, 500), ([0], 3, 1)],
)
def test_a_training_that_may_stop_early_is_not_reckoned_whole(patiences: list[int], most: int, likely: int) -> None:
    """What is tried to make a training faster must be worth its time in the epochs that there will be."""
    early = [{"type": "EarlyStopping", "monitor": "loss", "patience": patience} for patience in patiences]
    _, callbacks = ready(wild(*early))
    assert callbacks.likely_epochs(most) == likely


@pytest.mark.parametrize("restores", [True, False])
def test_the_epoch_of_the_weights_is_told(restores: bool) -> None:
    """It is the best one where a callback restores it, and the last one otherwise."""
    early = {"type": "EarlyStopping", "monitor": "loss", "patience": 9, "restore_best_weights": restores}
    _, callbacks = ready(wild(early))
    for epoch, loss in enumerate([3.0, 1.0, 2.0]):
        callbacks.end_epoch(epoch, {"loss": loss, "val_loss": loss})
    assert callbacks.end(3) == (2 if restores else 3)


def test_without_a_callback_the_best_are_kept_all_the_same() -> None:
    """For a job that is cancelled with keep=best: by val_loss, or by loss where nothing is validated."""
    validated = wild()
    training, callbacks = ready(validated)
    first = training.model.trainable_weights[0].numpy()
    callbacks.end_epoch(0, {"loss": 9.0, "val_loss": 1.0})
    training.model.trainable_weights[0].assign(first + 1)
    callbacks.end_epoch(1, {"loss": 1.0, "val_loss": 2.0})
    # The end of a training leaves the weights as they are.
    assert callbacks.end(2) == 2
    assert np.array_equal(training.model.trainable_weights[0].numpy(), first + 1)
    assert callbacks.restore_best() == 1
    assert np.array_equal(training.model.trainable_weights[0].numpy(), first)
    _, unvalidated = ready(wild(validation_split=0.0))
    unvalidated.end_epoch(0, {"loss": 9.0})
    unvalidated.end_epoch(1, {"loss": 1.0})
    assert unvalidated.restore_best() == 2


def test_weights_that_were_kept_do_not_move() -> None:
    """What was read stays, though the variables that it was read from go on."""
    training, callbacks = ready(wild())
    callbacks.end_epoch(0, {"loss": 1.0, "val_loss": 1.0})
    before = [weight.numpy() for weight in training.model.weights]
    for weight in training.model.trainable_weights:
        weight.value.assign_add(weight.value.read_value() + 1.0)
    callbacks.restore_best()
    for weight, was in zip(training.model.weights, before, strict=True):
        assert np.array_equal(weight.numpy(), was)


LOSSES = [1.0, 0.9, 0.95, 0.97, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0]
STATEFUL = [
    {"type": "EarlyStopping", "monitor": "loss", "patience": 4, "restore_best_weights": True},
    {"type": "ReduceLROnPlateau", "monitor": "loss", "factor": 0.5, "patience": 1, "cooldown": 1},
    {"type": "ModelCheckpoint", "monitor": "loss", "save_best_only": True},
]


def told(callbacks: Callbacks, model: keras.Model, epochs: range) -> list[float]:
    """Each epoch's learning rate after the callbacks; those after a stop are not told any more."""
    rates = []
    for epoch in epochs:
        if model.stop_training:
            break
        callbacks.begin_epoch(epoch)
        callbacks.end_epoch(epoch, {"loss": LOSSES[epoch], "val_loss": LOSSES[epoch]})
        rates.append(float(model.optimizer.learning_rate))
    return rates


@pytest.mark.parametrize("parted_at", range(1, 9))
def test_what_they_know_survives_a_resume(parted_at: int) -> None:
    """Waits, cool-downs and bests go on where they were, so that rates fall and the training stops when they would."""
    training, callbacks = ready(wild(*STATEFUL))
    whole = told(callbacks, training.model, range(len(LOSSES)))
    assert len(whole) == 9
    assert len(set(whole)) > 2
    training, callbacks = ready(wild(*STATEFUL))
    before = told(callbacks, training.model, range(parted_at))
    states, arrays = callbacks.state()
    resumed, others = ready(wild(*STATEFUL))
    resumed.model.optimizer.learning_rate = before[-1]
    others.restore_state(states, arrays)
    assert before + told(others, resumed.model, range(parted_at, len(LOSSES))) == whole


def test_states_are_ready_for_json_and_arrays_for_a_file() -> None:
    """Numbers are Python's own, and the arrays are referred to by their place."""
    _, callbacks = ready(wild(*STATEFUL, {"type": "TerminateOnNaN"}))
    callbacks.end_epoch(0, {"loss": np.float32(0.5), "val_loss": np.float32(0.5)})
    (early, reduce, best, nan), arrays = callbacks.state()
    weights = len(early["best_weights"]["arrays"])
    assert early == {
        "wait": 0,
        "stopped_epoch": 0,
        "best": 0.5,
        "best_epoch": 0,
        "best_weights": {"arrays": list(range(weights))},
    }
    assert reduce == {"wait": 0, "best": 0.5, "cooldown_counter": 0}
    assert best["best_weights"] == {"arrays": list(range(weights, 2 * weights))}
    assert nan == {}
    assert len(arrays) == 2 * weights
    assert all(type(one["best"]) is float for one in (early, reduce, best))


def test_only_terminate_on_nan_ends_on_nan() -> None:
    """Without it a training goes on, as in Keras."""
    assert ready(wild({"type": "TerminateOnNaN"}))[1].ends_on_nan
    assert not ready(wild(*STATEFUL))[1].ends_on_nan


def test_arguments_of_the_catalog_reach_keras() -> None:
    """What the catalog takes for ModelCheckpoint is what Keras's own is made with."""
    given = checked("callback", {"type": "ModelCheckpoint", "monitor": "mae", "mode": "max", "save_best_only": True})
    _, callbacks = ready(wild(given))
    callbacks.end_epoch(0, {"mae": 1.0})
    callbacks.end_epoch(1, {"mae": 2.0})
    callbacks.end_epoch(2, {"mae": 1.5})
    assert callbacks.restore_best() == 2
