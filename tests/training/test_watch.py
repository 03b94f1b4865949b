"""Between two chunks of steps: what is obeyed, what is told and when, and when a checkpoint is due."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from service.training import checkpoint, watch
from service.training.assembly import assemble
from service.training.callbacks import Callbacks
from service.training.checkpoint import Position
from service.training.choice import Choice
from service.training.kept import Kept
from service.training.messages import CheckpointWritten, EpochEnded, ExecutionChosen, ProgressMade, Stop, StopReason
from service.training.watch import CHECKPOINT_SHARE, REPORT_SECONDS, Interrupted, Watcher
from tests.training.assignments import COMPILE, Heard, assignment

#: Four steps an epoch: 30 rows, eight at a time.
FIT = {"epochs": 5, "batch_size": 8, "validation_split": 0.25}
PAUSE = Stop(reason=StopReason.PAUSE)


class Clock:
    """Time stands still until a test lets it pass."""

    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(watch, "time", clock)
    return clock


class Watched:
    """A watcher of a real job, and what was heard of it."""

    def __init__(self, folder: Path, *, start: Position | None = None, **changes: Any) -> None:
        self.heard = Heard()
        job = assignment(folder, fit=FIT, **changes)
        assembled = assemble(job)
        choice = Choice(job, assembled, Kept(job.cache_folder, assembled.model, {}))
        training = choice.training(None)
        self.model = assembled.model
        self.folder = job.checkpoint_folder
        callbacks = Callbacks(job.fitting, assembled.model)
        self.watcher = Watcher(self.heard, job, training, callbacks, start or Position(), choice)

    def look(self, epoch: int, step: int) -> None:
        self.watcher.look(Position(epoch=epoch, step=step))

    def end(self, epoch: int, *, last: bool = False) -> None:
        """The epoch of that number, counted from 1, ends."""
        row = {"loss": 1.0 / epoch}
        self.watcher.epoch_ended(Position(epoch=epoch, row=row, ended=last), row, last=last)

    @property
    def progress(self) -> list[ProgressMade]:
        return self.heard.of(ProgressMade)

    @property
    def written(self) -> list[tuple[int, int]]:
        return [(one.epoch, one.step) for one in self.heard.of(CheckpointWritten)]


def test_how_it_is_run_is_told_once_and_first(tmp_path: Path, clock: Clock) -> None:
    """Before the first progress; and with the first look there is nothing to tell yet."""
    one = Watched(tmp_path)
    one.look(0, 1)
    assert one.heard.messages == []
    for step in (2, 3):
        clock.now += REPORT_SECONDS
        one.look(0, step)
    assert [type(message) for message in one.heard.messages] == [ExecutionChosen, ProgressMade, ProgressMade]


def test_progress_is_told_now_and_then(tmp_path: Path, clock: Clock) -> None:
    """At most so often; and what it says is worked out from rows, the last batch being smaller."""
    one = Watched(tmp_path)
    clock.now += 2.0
    one.look(0, 4)
    clock.now += REPORT_SECONDS / 2
    one.look(1, 1)
    assert len(one.progress) == 1
    (told,) = one.progress
    # The epoch's steps are done, and its validation is not.
    assert (told.epoch, told.step, told.epochs, told.steps) == (1, 4, 5, 4)
    assert (told.percent, told.samples_per_second, told.eta_seconds) == (20.0, 15.0, 8.0)
    assert told.ended == ()


def test_a_resumed_job_is_as_fast_as_it_is_now(tmp_path: Path, clock: Clock) -> None:
    """Rows of attempts before count for the percentage, and not for the speed."""
    one = Watched(tmp_path, start=Position(epoch=2, step=1))
    clock.now += 1.0
    one.look(2, 2)
    (told,) = one.progress
    assert (told.epoch, told.step, told.percent) == (3, 2, round(100 * 76 / 150, 2))
    assert told.samples_per_second == 8.0


def test_without_time_there_is_no_speed(tmp_path: Path, clock: Clock) -> None:
    """Nothing is divided by nothing."""
    one = Watched(tmp_path)
    one.end(1, last=True)
    (told,) = one.progress
    assert told.samples_per_second is told.eta_seconds is None


def test_each_epoch_is_told_once(tmp_path: Path, clock: Clock) -> None:
    """With the next progress, all that have ended since; the last one without delay."""
    one = Watched(tmp_path)
    one.end(1)
    one.end(2)
    assert one.progress == []
    clock.now += REPORT_SECONDS
    one.end(3)
    one.end(4)
    one.end(5, last=True)
    assert [[ended.epoch for ended in told.ended] for told in one.progress] == [[1, 2, 3], [4, 5]]
    assert one.progress[0].ended[1] == EpochEnded(epoch=2, row={"loss": 0.5})
    assert one.progress[0].step == one.progress[0].steps
    assert one.progress[1].percent == 100


def test_checkpoints_after_epochs(tmp_path: Path, clock: Clock) -> None:
    """After so many epochs since the last one, at the end of an epoch alone."""
    one = Watched(tmp_path, checkpoint_epochs=2)
    for epoch in range(4):
        one.look(epoch, 2)
        one.end(epoch + 1)
    assert one.written == [(2, 0), (4, 0)]


def test_checkpoints_after_seconds(tmp_path: Path, clock: Clock) -> None:
    """Also inside an epoch; what a checkpoint stands on has been told before it."""
    one = Watched(tmp_path, checkpoint_seconds=10.0)
    clock.now += 9.0
    one.end(1)
    clock.now += 1.0
    one.look(1, 3)
    clock.now += 9.0
    one.look(1, 4)
    assert one.written == [(1, 3)]
    kinds = [type(message) for message in one.heard.messages]
    assert kinds.index(CheckpointWritten) == 3
    assert one.progress[-1].ended == ()
    assert sum(len(told.ended) for told in one.progress[:2]) == 1


def test_checkpoints_take_a_small_part_of_the_time(
    tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that took long makes the pause to the next one longer than was asked for."""
    write = checkpoint.write

    def slow(*given: Any) -> Any:
        clock.now += 3.0
        return write(*given)

    monkeypatch.setattr("service.training.checkpoint.write", slow)
    one = Watched(tmp_path, checkpoint_seconds=10.0)
    clock.now += 10.0
    one.look(0, 1)
    clock.now += 3.0 / CHECKPOINT_SHARE - 1
    one.look(0, 2)
    assert one.written == [(0, 1)]
    clock.now += 1.0
    one.look(0, 3)
    assert one.written == [(0, 1), (0, 3)]


@pytest.mark.parametrize("reason", StopReason)
def test_a_word_to_stop_is_obeyed_with_a_checkpoint(tmp_path: Path, clock: Clock, reason: StopReason) -> None:
    """At the next look, with the reason and the place."""
    one = Watched(tmp_path)
    one.look(0, 1)
    one.heard.words = [Stop(reason=reason)]
    with pytest.raises(Interrupted) as interrupted:
        one.look(0, 2)
    assert interrupted.value.reason is reason
    assert interrupted.value.position == Position(epoch=0, step=2)
    assert one.written == [(0, 2)]
    assert [file.name for file in one.folder.iterdir()] == [one.heard.of(CheckpointWritten)[0].name]


def test_the_last_word_counts(tmp_path: Path, clock: Clock) -> None:
    """A cancel that comes right behind a pause is what the client wants; other messages say nothing about a stop."""
    one = Watched(tmp_path)
    one.heard.words = ["nothing of interest", PAUSE, Stop(reason=StopReason.KEEP_BEST)]
    assert one.watcher.stopping()
    with pytest.raises(Interrupted) as interrupted:
        one.end(1)
    assert interrupted.value.reason is StopReason.KEEP_BEST
    assert [ended.epoch for told in one.progress for ended in told.ended] == [1]


def test_a_place_has_one_checkpoint(tmp_path: Path, clock: Clock) -> None:
    """A pause right after one, or before the first step of a resumed job, needs no other."""
    one = Watched(tmp_path, checkpoint_epochs=1)
    one.end(1)
    one.heard.words = [PAUSE]
    with pytest.raises(Interrupted):
        one.look(1, 0)
    assert one.written == [(1, 0)]
    resumed = Watched(tmp_path, start=Position(epoch=3, step=2))
    resumed.heard.words = [PAUSE]
    with pytest.raises(Interrupted):
        resumed.look(3, 2)
    assert resumed.written == []


def test_what_is_finished_is_not_stopped(tmp_path: Path, clock: Clock) -> None:
    """After the last epoch there is nothing to pause."""
    one = Watched(tmp_path)
    one.heard.words = [PAUSE]
    one.end(5, last=True)
    assert one.written == []
    assert one.progress[-1].percent == 100


def test_time_that_is_over_is_a_stop_without_a_reason(tmp_path: Path, clock: Clock) -> None:
    """Not a moment before, and with a checkpoint."""
    one = Watched(tmp_path, seconds_left=5.0)
    clock.now += 5.0
    one.look(0, 1)
    clock.now += 0.01
    with pytest.raises(Interrupted) as interrupted:
        one.look(0, 2)
    assert interrupted.value.reason is None
    assert one.written == [(0, 2)]


def test_weights_that_are_not_finite_leave_no_checkpoint(tmp_path: Path, clock: Clock) -> None:
    """The stop is obeyed all the same, and the one before stays the last."""
    one = Watched(tmp_path, checkpoint_epochs=1)
    one.end(1)
    one.model.trainable_weights[0].assign(np.full(one.model.trainable_weights[0].shape, np.inf, "float32"))
    one.end(2)
    one.heard.words = [PAUSE]
    with pytest.raises(Interrupted):
        one.look(2, 1)
    assert one.written == [(1, 0)]


def test_nothing_is_told_while_a_job_may_start_again(tmp_path: Path, clock: Clock) -> None:
    """Until it is chosen how it is run, there is neither progress nor a checkpoint; a stop settles the choice."""
    auto = {**COMPILE, "jit_compile": "auto"}
    one = Watched(tmp_path, compile_=auto, threads_requested=False, checkpoint_epochs=1, checkpoint_seconds=1.0)
    clock.now += 100.0
    one.look(0, 1)
    one.end(1)
    assert one.heard.messages == []
    one.heard.words = [PAUSE]
    with pytest.raises(Interrupted):
        one.look(1, 1)
    kinds = [type(message) for message in one.heard.messages]
    assert kinds == [ExecutionChosen, ProgressMade, CheckpointWritten]
    assert one.heard.messages[0].execution.chosen_by == "default"
    assert one.progress[0].ended == (EpochEnded(epoch=1, row={"loss": 1.0}),)
