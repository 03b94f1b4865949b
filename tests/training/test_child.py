"""A job in a child: from its assignment to its outcome, whatever happens on the way."""

import dataclasses
import hashlib
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from service.architecture import build, stored
from service.data.store import load
from service.training.child import run_job
from service.training.messages import (
    Assignment,
    CheckpointWritten,
    ExecutionChosen,
    Failed,
    InitialWeights,
    ProgressMade,
    Stop,
    Stopped,
    StopReason,
)
from tests.training.assignments import COMPILE, DENSE, FIT, Heard, assignment


def run(job: Assignment, *words: Any) -> Heard:
    """Run a job that is told these words, one at each look."""
    heard = Heard()
    heard.words = list(words)
    run_job(heard, job)
    return heard


def by_keras(job: Assignment) -> str:
    """Train the same network by `Model.fit`, as a script would, and return the hash of its weights."""
    keras.utils.set_random_seed(job.seed)
    network = stored.read_canonical(job.architecture)
    model = build.build(network, {name: tuple(shape) for name, shape in job.input_shapes.items()})
    model.compile(optimizer="adam", loss="binary_crossentropy", metrics=["accuracy"], jit_compile=False)
    x, y = (load(job.data.folder, job.data.arrays, part)[None] for part in ("x", "y"))
    fitting = job.fitting
    model.fit(
        x,
        y,
        epochs=fitting.epochs,
        batch_size=fitting.batch_size,
        validation_split=fitting.validation_split,
        shuffle=False,
        verbose=0,
    )
    digest = hashlib.sha256()
    for weight in model.weights:
        digest.update(np.ascontiguousarray(weight.numpy()).tobytes())
    return digest.hexdigest()


def test_a_job_has_the_bits_of_a_script(tmp_path: Path) -> None:
    """From the seed to the last step, dropout included, a job computes what `Model.fit` does."""
    job = assignment(tmp_path, fit={**FIT, "shuffle": False})
    assert run(job).finished.weights_sha256 == by_keras(job)


def test_the_rows_come_in_an_order_of_the_seed(tmp_path: Path) -> None:
    """The same seed gives the same weights, another seed others."""
    first, again, other = (run(assignment(tmp_path, seed=seed)).finished.weights_sha256 for seed in (1, 1, 2))
    assert first == again
    assert first != other


def test_everything_is_told_before_the_outcome(tmp_path: Path) -> None:
    """How it is run, then each epoch once and in order, then the outcome."""
    heard = run(assignment(tmp_path))
    assert isinstance(heard.messages[0], ExecutionChosen)
    ended = [one.epoch for progress in heard.of(ProgressMade) for one in progress.ended]
    assert ended == [1, 2, 3]
    assert heard.of(ProgressMade)[-1].percent == 100
    assert set(heard.finished.metrics) == {"loss", "accuracy", "val_loss", "val_accuracy"}


@pytest.mark.parametrize("looks", [1, 2, 4, 6])
@pytest.mark.parametrize("reason", [StopReason.PAUSE, StopReason.SHUTDOWN])
def test_a_stopped_job_goes_on_to_the_same_bits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, looks: int, reason: StopReason
) -> None:
    """It ends with a checkpoint at the next look, and a new process ends as one that was never stopped."""
    monkeypatch.setattr("service.training.engine.CHUNK_SECONDS", 1e-9)
    undisturbed = run(assignment(tmp_path)).finished
    job = assignment(tmp_path)
    stopped = run(job, *[None] * (looks - 1), Stop(reason=reason))
    assert stopped.messages[-1] == Stopped(reason=reason)
    (written,) = stopped.of(CheckpointWritten)
    resumed = run(dataclasses.replace(job, checkpoint=written.name, attempt=2)).finished
    assert resumed.weights_sha256 == undisturbed.weights_sha256
    assert resumed.metrics == undisturbed.metrics


@pytest.mark.parametrize("kind", ["LSTM", "GRU", "SimpleRNN"])
def test_a_stop_inside_the_validation_leaves_no_trace(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """Recurrent layers with dropout draw numbers also where they use none; those of half a validation are undone."""
    monkeypatch.setattr("service.training.engine.CHUNK_SECONDS", 1e-9)
    recurrent = {"type": kind, "units": 3, "dropout": 0.2, "recurrent_dropout": 0.2}
    architecture = {"layers": [recurrent, {"type": "Dense", "units": 1, "activation": "sigmoid"}]}
    x = np.random.default_rng(3).normal(size=(40, 4, 1))
    undisturbed = run(assignment(tmp_path, architecture=architecture, x=x)).finished
    job = assignment(tmp_path, architecture=architecture, x=x)
    stopped = run(job, *[None] * 3, Stop(reason=StopReason.PAUSE))
    (written,) = stopped.of(CheckpointWritten)
    assert (written.epoch, written.step) == (0, 4)
    resumed = run(dataclasses.replace(job, checkpoint=written.name, attempt=2)).finished
    assert resumed.weights_sha256 == undisturbed.weights_sha256


def test_a_checkpoint_that_cannot_be_read_costs_only_time(tmp_path: Path) -> None:
    """The job starts anew, and comes to the same."""
    undisturbed = run(assignment(tmp_path)).finished
    job = assignment(tmp_path)
    (job.checkpoint_folder / "broken.npz").write_bytes(b"PK\x03\x04 and nothing more")
    assert run(dataclasses.replace(job, checkpoint="broken.npz")).finished.weights_sha256 == undisturbed.weights_sha256


def test_time_that_is_over_ends_a_job_with_a_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`reason` None is the word for it, and what was done is kept."""
    monkeypatch.setattr("service.training.engine.CHUNK_SECONDS", 1e-9)
    heard = run(assignment(tmp_path, seconds_left=0.0))
    assert heard.messages[-1] == Stopped(reason=None)
    assert heard.of(CheckpointWritten)


def test_checkpoints_come_when_they_are_due(tmp_path: Path) -> None:
    """After so many epochs, or so many seconds, each under a name of its own."""
    heard = run(assignment(tmp_path, checkpoint_epochs=1))
    assert [(one.epoch, one.step) for one in heard.of(CheckpointWritten)] == [(1, 0), (2, 0)]


def test_the_best_weights_become_a_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A job that is to end with its best weights saves those of the epoch with the least val_loss so far."""
    monkeypatch.setattr("service.training.engine.CHUNK_SECONDS", 1e-9)
    fit = {**FIT, "epochs": 50}
    compile_ = {**COMPILE, "optimizer": {"type": "SGD", "learning_rate": 30.0}}
    job = assignment(tmp_path, fit=fit, compile_=compile_)
    heard = run(job, *[None] * 40, Stop(reason=StopReason.KEEP_BEST))
    rows = {one.epoch: one.row for progress in heard.of(ProgressMade) for one in progress.ended}
    best = min(rows, key=lambda epoch: (rows[epoch]["val_loss"], epoch))
    assert heard.finished.weights_epoch == best
    _, model = stored.load(job.work_folder)
    part = slice(30, 40)
    x, y = (load(job.data.folder, job.data.arrays, name)[None][part] for name in ("x", "y"))
    model.compile(loss="binary_crossentropy")
    assert model.evaluate(x, y, verbose=0) == pytest.approx(rows[best]["val_loss"], rel=1e-5)


@pytest.mark.parametrize("resumes", [False, True], ids=["without a checkpoint", "from a checkpoint"])
def test_the_best_of_what_was_told_is_trained_again(tmp_path: Path, resumes: bool) -> None:
    """A child that takes over from one that was lost trains what clients have heard of, and no further."""
    fit = {**FIT, "epochs": 50}
    compile_ = {**COMPILE, "optimizer": {"type": "SGD", "learning_rate": 30.0}}
    before = assignment(tmp_path, fit={**fit, "epochs": 6}, compile_=compile_, checkpoint_epochs=3)
    whole = run(before)
    rows = {one.epoch: one.row for progress in whole.of(ProgressMade) for one in progress.ended}
    best = min(rows, key=lambda epoch: (rows[epoch]["val_loss"], epoch))
    (written,) = whole.of(CheckpointWritten)
    job = assignment(
        tmp_path,
        fit=fit,
        compile_=compile_,
        keep_best_after=6,
        checkpoint=written.name if resumes else None,
        checkpoint_folder=before.checkpoint_folder,
    )
    kept = run(job)
    assert kept.finished.weights_epoch == best
    assert [one.epoch for progress in kept.of(ProgressMade) for one in progress.ended][-1] == 6
    alone = run(assignment(tmp_path, fit={**fit, "epochs": best}, compile_=compile_)).finished
    assert kept.finished.weights_sha256 == alone.weights_sha256


def test_without_an_epoch_there_is_nothing_to_keep(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A job that is cancelled in its first epoch says that it has stopped, and makes no version."""
    monkeypatch.setattr("service.training.engine.CHUNK_SECONDS", 1e-9)
    heard = run(assignment(tmp_path), Stop(reason=StopReason.KEEP_BEST))
    assert heard.messages[-1] == Stopped(reason=StopReason.KEEP_BEST)
    again = run(assignment(tmp_path, keep_best_after=0))
    assert again.messages == [Stopped(reason=StopReason.KEEP_BEST)]


def test_a_diverging_loss_is_a_failure_with_advice(tmp_path: Path) -> None:
    """Of weights that are not numbers there is neither a version nor a checkpoint."""
    compile_ = {**COMPILE, "loss": "mse", "optimizer": {"type": "SGD", "learning_rate": 1000.0}}
    linear = {"layers": [{"type": "Dense", "units": 1}]}
    heard = run(assignment(tmp_path, architecture=linear, compile_=compile_, checkpoint_epochs=1, fit={"epochs": 40}))
    failed = heard.messages[-1]
    assert isinstance(failed, Failed)
    assert (failed.code, failed.retryable) == ("nan_loss", False)
    assert "learning_rate" in failed.advice


def test_what_goes_wrong_inside_is_told(tmp_path: Path) -> None:
    """An error of our own is a failure with its name, and no traceback on the wire."""
    job = assignment(tmp_path)
    failed = run(dataclasses.replace(job, work_folder=tmp_path / "missing")).messages[-1]
    assert isinstance(failed, Failed)
    assert failed.code == "internal"
    assert "Error" in failed.message


def test_streamed_rows_come_to_the_same_bits(tmp_path: Path) -> None:
    """Data that may not be held in memory give the weights of data that are."""
    held = run(assignment(tmp_path)).finished
    streamed = run(assignment(tmp_path, data_memory_bytes=1)).finished
    assert streamed.weights_sha256 == held.weights_sha256


def test_a_warm_start_goes_on_from_stored_weights(tmp_path: Path) -> None:
    """With the optimizer's state, three epochs and three more are six: the order of rows aside, nothing is lost."""
    plain = {"layers": [layer for layer in DENSE["layers"] if layer["type"] != "Dropout"]}
    fit = {"epochs": 3, "batch_size": 8, "shuffle": False}
    first = assignment(tmp_path, architecture=plain, fit=fit)
    run(first)
    initial = InitialWeights(folder=first.work_folder, optimizer_state=True)
    second = run(assignment(tmp_path, architecture=plain, fit=fit, initial=initial)).finished
    whole = run(assignment(tmp_path, architecture=plain, fit={**fit, "epochs": 6})).finished
    assert second.weights_sha256 == whole.weights_sha256


def test_frozen_layers_keep_stored_weights(tmp_path: Path) -> None:
    """With trainable false they are after the training what they were before, and a new layer starts fresh."""
    first = assignment(tmp_path)
    run(first)
    tuned = {
        "layers": [
            {"type": "Dense", "units": 5, "activation": "relu", "trainable": False},
            {"type": "Dropout", "rate": 0.2},
            {"type": "Dense", "name": "head", "units": 1, "activation": "sigmoid"},
        ]
    }
    initial = InitialWeights(folder=first.work_folder, optimizer_state=False)
    second = assignment(tmp_path, architecture=tuned, initial=initial)
    run(second)
    (_, before), (_, after) = stored.load(first.work_folder), stored.load(second.work_folder)
    for own, other in zip(before.layers[1].get_weights(), after.layers[1].get_weights(), strict=True):
        assert np.array_equal(own, other)
    assert not np.array_equal(before.layers[-1].get_weights()[0], after.get_layer("head").get_weights()[0])
