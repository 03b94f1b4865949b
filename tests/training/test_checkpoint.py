"""A checkpoint is all of a training: whoever goes on from one ends with the bits of an undisturbed run."""

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from service.training import checkpoint, engine
from service.training.callbacks import Callbacks
from service.training.checkpoint import Position, UnreadableError
from service.training.engine import Training
from tests.training.trainings import Case, Noted, Outcome, assert_same, by_engine, case, ready, run, state

DENSE = {"type": "Dense", "units": 4, "activation": "tanh"}
DROPOUT = {"type": "Dropout", "rate": 0.4}
CALLBACKS = [
    {"type": "ReduceLROnPlateau", "monitor": "val_loss", "factor": 0.5, "patience": 0, "min_delta": 0.1},
    {"type": "EarlyStopping", "monitor": "val_loss", "patience": 2, "restore_best_weights": True},
    {"type": "ModelCheckpoint", "monitor": "val_mae", "save_best_only": True},
]


def disturbed(shape: tuple[int | None, ...], *layers: dict[str, Any], **changes: Any) -> Case:
    """Four steps an epoch, in an order that is another in each, with everything that has a state."""
    optimizer = {"type": "SGD", "learning_rate": 0.5, "momentum": 0.9, "use_ema": True, "ema_overwrite_frequency": 5}
    return case(
        shape,
        *layers,
        rows=20,
        shuffle=True,
        epochs=4,
        validation_split=0.3,
        optimizer=optimizer,
        metrics=(("mae", "AUC"),),
        y=((np.arange(20) % 3 == 0).astype("float32")[:, None],),
        callbacks=CALLBACKS,
        **changes,
    )


NETWORKS: dict[str, Case] = {
    "Dense with Dropout": disturbed((3,), DENSE, DROPOUT, {"type": "Dense", "units": 1, "activation": "sigmoid"}),
    "LSTM with dropouts": disturbed(
        (3, 2),
        {"type": "LSTM", "units": 3, "dropout": 0.3, "recurrent_dropout": 0.2},
        {"type": "Dense", "units": 1, "activation": "sigmoid"},
    ),
    "Conv2D with BatchNormalization": disturbed(
        (5, 5, 1),
        {"type": "Conv2D", "filters": 2, "kernel_size": 3},
        {"type": "BatchNormalization"},
        {"type": "Flatten"},
        {"type": "Dense", "units": 1, "activation": "sigmoid"},
    ),
}


class Keeping(Noted):
    """Writes a checkpoint at each look, and notes how many epochs had ended then."""

    def __init__(self, folder: Path, training: Training, callbacks: Callbacks) -> None:
        super().__init__()
        self._folder, self._training, self._callbacks = folder, training, callbacks
        self.written: list[tuple[str, int]] = []

    def look(self, position: Position) -> None:
        super().look(position)
        name = checkpoint.write(self._folder, 1, position, self._training.model, self._callbacks)
        assert name is not None
        self.written.append((name, len(self.rows)))

    def epoch_ended(self, position: Position, row: dict[str, float | None], *, last: bool) -> None:
        super().epoch_ended(position, row, last=last)
        if not last:
            self.look(position)


def resumed(one: Case, path: Path, rows: list[dict[str, float | None]]) -> Outcome:
    """What a new process makes of a checkpoint; `rows` are those of the epochs before it."""
    training, callbacks = ready(one.but(seed=one.seed))
    position = checkpoint.restore(path, training.model, callbacks)
    outcome = run(training, callbacks, position, Noted())
    return Outcome(rows=[*rows, *outcome.rows], variables=outcome.variables)


@pytest.mark.parametrize("name", NETWORKS)
def test_from_any_point_the_same_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """After the first step, inside an epoch, at its last step and between two: weights, state and metrics agree."""
    monkeypatch.setattr(engine, "CHUNK_SECONDS", 1e-9)
    one = NETWORKS[name]
    training, callbacks = ready(one)
    keeping = Keeping(tmp_path, training, callbacks)
    whole = run(training, callbacks, Position(), keeping)
    names = dict(keeping.written)
    by_step = {checkpoint_of(name): name for name in names}
    assert (0, 1) in by_step
    assert (1, 0) in by_step
    for place in [(0, 1), (0, 3), (1, 0), (2, 2)]:
        if place in by_step:
            file = by_step[place]
            assert_same(whole, resumed(one, tmp_path / file, whole.rows[: names[file]]))


def checkpoint_of(name: str) -> tuple[int, int]:
    """The epoch and the step in a checkpoint's name."""
    _, epoch, step = name.removesuffix(".npz").split("-")
    return int(epoch), int(step)


def written(tmp_path: Path, position: Position) -> tuple[Path, Any, Callbacks]:
    training, callbacks = ready(NETWORKS["Dense with Dropout"])
    name = checkpoint.write(tmp_path, 3, position, training.model, callbacks)
    assert name is not None
    return tmp_path / name, training.model, callbacks


def test_a_name_sorts_by_attempt_and_place(tmp_path: Path) -> None:
    """The order of names is the order in time."""
    path, _, _ = written(tmp_path, Position(epoch=12, step=345))
    assert path.name == "000003-000012-000000345.npz"
    assert [one.name for one in tmp_path.iterdir()] == [path.name]


def test_the_place_and_the_last_epochs_metrics_come_back(tmp_path: Path) -> None:
    """A metric that was not finite comes back as None."""
    position = Position(epoch=2, step=1, row={"loss": 0.25, "mae": None})
    path, model, callbacks = written(tmp_path, position)
    assert checkpoint.restore(path, model, callbacks) == position


def test_weights_that_are_not_finite_are_not_kept(tmp_path: Path) -> None:
    """From such a checkpoint no training would ever recover."""
    training, callbacks = ready(NETWORKS["Dense with Dropout"])
    training.model.weights[0].assign(np.full(training.model.weights[0].shape, np.nan, "float32"))
    assert checkpoint.write(tmp_path, 1, Position(), training.model, callbacks) is None
    assert list(tmp_path.iterdir()) == []


def damaged(path: Path, how: str) -> None:
    content = bytearray(path.read_bytes())
    match how:
        case "missing":
            path.unlink()
        case "empty":
            path.write_bytes(b"")
        case "cut":
            path.write_bytes(content[: len(content) // 2])
        case "a bit of an array":
            middle = content.index(b"\x93NUMPY", content.index(b"0.npy")) + 130
            content[middle] ^= 1
            path.write_bytes(content)
        case "another file":
            path.write_text(json.dumps({"position": {}}))


@pytest.mark.parametrize("how", ["missing", "empty", "cut", "a bit of an array", "another file"])
def test_a_damaged_checkpoint_is_refused_and_changes_nothing(tmp_path: Path, how: str) -> None:
    """Checksums tell; the model is what it was."""
    path, model, callbacks = written(tmp_path, Position(epoch=1))
    for variable in model.weights:
        if variable.dtype == "float32":
            variable.assign(variable + 1.0)
    before = state(model)
    damaged(path, how)
    with pytest.raises(UnreadableError, match=path.name):
        checkpoint.restore(path, model, callbacks)
    for (_, was), (_, is_now) in zip(before, state(model), strict=True):
        assert np.array_equal(was, is_now)


def test_no_single_byte_is_trusted(tmp_path: Path) -> None:
    """Whatever byte is wrong, a checkpoint is refused or, where the byte means nothing, read as it was written."""
    path, model, callbacks = written(tmp_path, Position(epoch=1))
    content, before = path.read_bytes(), state(model)
    for place in range(0, len(content), 41):
        changed = bytearray(content)
        changed[place] ^= 0xFF
        path.write_bytes(changed)
        with suppress(UnreadableError):
            assert checkpoint.restore(path, model, callbacks) == Position(epoch=1)
        for (_, was), (_, is_now) in zip(before, state(model), strict=True):
            assert np.array_equal(was, is_now)


def test_a_checkpoint_of_another_network_is_refused(tmp_path: Path) -> None:
    """The number of variables tells."""
    path, _, _ = written(tmp_path, Position(epoch=1))
    training, callbacks = ready(case((3,), DENSE))
    with pytest.raises(UnreadableError, match="variables, and the network"):
        checkpoint.restore(path, training.model, callbacks)


def test_an_interrupted_write_leaves_the_one_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file under a checkpoint's name is always whole: a write that fails leaves none."""
    path, model, callbacks = written(tmp_path, Position(epoch=1))

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("service.training.checkpoint.os.fsync", full)
    with pytest.raises(OSError, match="No space"):
        checkpoint.write(tmp_path, 3, Position(epoch=2), model, callbacks)
    assert [one.name for one in tmp_path.glob("*.npz")] == [path.name]


def test_an_undisturbed_run_writes_nothing_that_it_does_not_know(tmp_path: Path) -> None:
    """Looking on does not change the bits."""
    one = NETWORKS["Dense with Dropout"]
    training, callbacks = ready(one)
    assert_same(by_engine(one), run(training, callbacks, Position(), Keeping(tmp_path, training, callbacks)))


def test_best_weights_are_in_the_checkpoint(tmp_path: Path) -> None:
    """Those of EarlyStopping and of ModelCheckpoint each, as arrays that a new process gives back."""
    one = NETWORKS["Dense with Dropout"]
    training, callbacks = ready(one)
    keras.utils.set_random_seed(one.seed)
    callbacks.begin_epoch(0)
    callbacks.end_epoch(0, {"loss": 1.0, "mae": 1.0, "val_loss": 0.5, "val_mae": 0.5})
    best = [weight.numpy() for weight in training.model.weights]
    name = checkpoint.write(tmp_path, 1, Position(epoch=1), training.model, callbacks)
    assert name is not None
    fresh, others = ready(one)
    checkpoint.restore(tmp_path / name, fresh.model, others)
    for weight in fresh.model.trainable_weights:
        weight.assign(weight * 0.0)
    assert others.restore_best() == 1
    for weight, was in zip(fresh.model.weights, best, strict=True):
        assert np.array_equal(weight.numpy(), was)
