"""What a child does between two chunks of steps: obey, keep the time, write checkpoints, and say how far it is."""

import time

import keras

from service.training import checkpoint
from service.training.callbacks import Callbacks
from service.training.checkpoint import Position
from service.training.choice import Choice
from service.training.engine import Training
from service.training.line import Line
from service.training.messages import (
    Assignment,
    CheckpointWritten,
    EpochEnded,
    ExecutionChosen,
    ProgressMade,
    Stop,
    StopReason,
)

#: The least time between two reports of progress, in seconds.
REPORT_SECONDS = 0.25
#: At most this part of the time goes into writing checkpoints.
CHECKPOINT_SHARE = 0.05


class Interrupted(Exception):
    """The training ends at `position`, of which there is a checkpoint; `reason` None says that the time is over."""

    def __init__(self, reason: StopReason | None, position: Position) -> None:
        super().__init__(reason)
        self.reason = reason
        self.position = position


class Watcher:
    """Looks on while a job of `assignment` trains from `start` on."""

    def __init__(
        self,
        line: Line,
        assignment: Assignment,
        training: Training,
        callbacks: Callbacks,
        start: Position,
        choice: Choice,
    ) -> None:
        self._line = line
        self._assignment = assignment
        self._model: keras.Model = training.model
        self._callbacks = callbacks
        self._rows = len(training.rows)
        self._steps = training.steps
        self._fitting = training.fitting
        self._began = self._reported = self._written = time.monotonic()
        self._write_seconds = 0.0
        self._before = self._samples(start)
        self._kept = (start.epoch, start.step)
        self._kept_epoch = start.epoch
        self._ended: list[EpochEnded] = []
        self._asked: StopReason | None = None
        self._choice = choice
        self._told = False

    def look(self, position: Position) -> None:
        """Raise Interrupted if the training is to end; otherwise do what is due.

        A stop that came while the training was going on is obeyed with a checkpoint. Until it is chosen how the job
        is run, nothing is told, since it may still start again.
        """
        if self.stopping() or self._has_been_cancelled_at(position):
            self._checkpoint(position)
            raise Interrupted(self._asked, position)
        if self._choice.execution is None:
            done = position.epoch * self._steps + position.step
            likely = self._callbacks.likely_epochs(self._fitting.epochs) * self._steps
            self._choice.consider(done, max(0, likely - done))
        elif self._checkpoint_is_due(position):
            self._checkpoint(position)
        elif time.monotonic() - self._reported >= REPORT_SECONDS:
            self._report(position)

    def epoch_ended(self, position: Position, row: dict[str, float | None], *, last: bool) -> None:
        """Note the epoch's metrics; what is finished is not stopped any more."""
        self._ended.append(EpochEnded(epoch=position.epoch, row=row))
        if last:
            self._report(position)
        else:
            self.look(position)

    def stopping(self) -> bool:
        while (message := self._line.received()) is not None:
            self._asked = message.reason if isinstance(message, Stop) else self._asked
        left = self._assignment.seconds_left
        return self._asked is not None or (left is not None and time.monotonic() - self._began > left)

    def _has_been_cancelled_at(self, position: Position) -> bool:
        """Whether an attempt before this one came so far, and the job is now to end with its best weights."""
        last = self._assignment.keep_best_after
        if last is None or position.epoch < last:
            return False
        self._asked = StopReason.KEEP_BEST
        return True

    def _checkpoint_is_due(self, position: Position) -> bool:
        every = self._assignment.checkpoint_epochs
        if every is not None and position.step == 0 and position.epoch - self._kept_epoch >= every:
            return True
        pause = max(self._assignment.checkpoint_seconds, self._write_seconds / CHECKPOINT_SHARE)
        return time.monotonic() - self._written >= pause

    def _checkpoint(self, position: Position) -> None:
        """Write one unless there is one of this very moment; what it stands on is reported before it."""
        self._report(position)
        began = time.monotonic()
        if self._kept != (position.epoch, position.step):
            name = checkpoint.write(
                self._assignment.checkpoint_folder, self._assignment.attempt, position, self._model, self._callbacks
            )
            if name is not None:
                self._line.send(CheckpointWritten(name=name, epoch=position.epoch, step=position.step))
                self._kept, self._kept_epoch = (position.epoch, position.step), position.epoch
        self._written = time.monotonic()
        self._write_seconds = self._written - began

    def _report(self, position: Position) -> None:
        """Say how far the training is, and pass on the metrics of the epochs that have ended since."""
        self._tell_choice()
        self._reported = time.monotonic()
        elapsed = self._reported - self._began
        samples = self._samples(position)
        total = self._fitting.epochs * self._rows
        rate = (samples - self._before) / elapsed if elapsed > 0 else 0.0
        whole = position.step == 0 and position.epoch > 0
        self._line.send(
            ProgressMade(
                epoch=position.epoch if whole else position.epoch + 1,
                epochs=self._fitting.epochs,
                step=self._steps if whole else position.step,
                steps=self._steps,
                percent=round(100 * samples / total, 2),
                samples_per_second=round(rate, 1) if rate > 0 else None,
                eta_seconds=round((total - samples) / rate, 1) if rate > 0 else None,
                ended=tuple(self._ended),
            )
        )
        self._ended = []

    def _tell_choice(self) -> None:
        if not self._told:
            self._told = True
            self._choice.settle()
            assert self._choice.execution is not None
            chosen = ExecutionChosen(execution=self._choice.execution, measurements=self._choice.measurements)
            self._line.send(chosen)

    def _samples(self, position: Position) -> int:
        return position.epoch * self._rows + min(position.step * self._fitting.batch_size, self._rows)
