"""The training of one network: epochs of compiled steps, in chunks short enough that a word to stop is soon obeyed.

fit -> _epoch -> _train (the steps, chunk by chunk) -> _validate -> the callbacks. Meanings are `Model.fit`'s. Where the
training is, is always known as a `Position`, and a checkpoint of it can be written between any two chunks.
"""

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import keras
import tensorflow as tf

from service.architecture.fitting import Fitting
from service.training.callbacks import Callbacks
from service.training.checkpoint import Position
from service.training.kept import Kept
from service.training.loop import Loop
from service.training.rows import Array, Memory, Rows, Stream, epoch_order, feed, stored_order

#: About how long a chunk of steps takes, in seconds: the time in which a stop, a progress or a deadline is seen to.
CHUNK_SECONDS = 0.15


class Watch(Protocol):
    """Whoever looks on between two chunks; `look` and `epoch_ended` may raise to end the training there."""

    def look(self, position: Position) -> None:
        """Called after each chunk of training steps: all that `position` says has been done, and no more."""

    def epoch_ended(self, position: Position, row: dict[str, float | None], *, last: bool) -> None:
        """Called after each epoch with its metrics; `position` is at the start of the next one, if there is one."""

    def stopping(self) -> bool:
        """Asked after each chunk of validation: whether `look` would now raise."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Training:
    """A compiled model, built for its data by `prepare`, and all that `fit` needs."""

    model: keras.Model
    fitting: Fitting
    seed: int
    rows: Rows
    validation: Rows | None
    jit_compile: bool
    memory_bytes: int
    kept: Kept

    @property
    def steps(self) -> int:
        """Steps in an epoch."""
        return math.ceil(len(self.rows) / self.fitting.batch_size)


def prepare(model: keras.Model, rows: Rows, batch_size: int) -> None:
    """Make every variable that the training will have, and change none; needs `compile` to have been called."""
    model._symbolic_build(data_batch=rows.layout.pack(rows.part(0, min(batch_size, len(rows))).take(slice(None))))


def fit(training: Training, callbacks: Callbacks, position: Position, watch: Watch) -> Position:
    """Train from `position` to the end, and return where that is.

    The model must be in the state that belongs to the position. What `watch` raises comes through, with the model in
    the state of the position that it was told last.
    """
    run = _Fit(training, callbacks, watch)
    try:
        return run.fit(position)
    finally:
        run.close()


class _Fit:
    def __init__(self, training: Training, callbacks: Callbacks, watch: Watch) -> None:
        model, fitting = training.model, training.fitting
        self._training = training
        self._model = model
        self._callbacks = callbacks
        self._watch = watch
        self._train_pass = self._pass(model.train_step, training.rows, fitting.batch_size)
        self._validation_pass: _Pass | None = None
        if training.validation is not None:
            size = fitting.validation_batch_size or fitting.batch_size
            self._validation_pass = self._pass(model.test_step, training.validation, size)
        self._metrics = Reset(model)
        # Recurrent layers with dropout draw random numbers in a validation too, where they use none.
        self._draws = Handles(model.non_trainable_variables)

    def _pass(self, step: Any, rows: Rows, size: int) -> "_Pass":
        training = self._training
        loop = Loop(
            self._model,
            step,
            rows.layout,
            size,
            training.kept,
            jit_compile=training.jit_compile,
            even=len(rows) % size == 0,
            ends_on_nan=self._callbacks.ends_on_nan and step == self._model.train_step,
        )
        return _Pass(loop, feed(rows, size, training.memory_bytes), len(rows), size)

    def close(self) -> None:
        self._train_pass.close()
        if self._validation_pass is not None:
            self._validation_pass.close()

    def fit(self, position: Position) -> Position:
        fitting = self._training.fitting
        self._model.stop_training = False
        while position.epoch < fitting.epochs and not position.ended:
            position = self._epoch(position)
            self._watch.epoch_ended(position, position.row or {}, last=position.ended)
        self._model.optimizer.finalize_variable_values(self._model.trainable_weights)
        return position

    def _epoch(self, position: Position) -> Position:
        """Run the rest of an epoch, and say where the training then is."""
        epoch = position.epoch
        if position.step == 0:
            self._metrics.reset()
            self._callbacks.begin_epoch(epoch)
        logs = self._train(position)
        if self._validation_pass is not None and (epoch + 1) % self._training.fitting.validation_freq == 0:
            logs |= self._validate(position, self._validation_pass)
        self._callbacks.end_epoch(epoch, logs)
        row = {name: finite_or_none(value) for name, value in logs.items()}
        ended = self._model.stop_training or epoch + 1 == self._training.fitting.epochs
        return Position(epoch=epoch + 1, row=row, ended=ended)

    def _train(self, position: Position) -> dict[str, float]:
        order = self._order(position.epoch)
        while True:
            position.step += self._train_pass.run(order, position.step)
            if self._callbacks.ends_on_nan and not math.isfinite(self._results()["loss"]):
                self._model.stop_training = True
                break
            if position.step >= self._training.steps:
                break
            self._watch.look(position)
        return self._results()

    def _validate(self, position: Position, validation: "_Pass") -> dict[str, float]:
        before, drawn = self._metrics.values(), self._draws.values()
        self._metrics.reset()
        step = 0
        while True:
            step += validation.run(validation.stored_order, step)
            if step >= validation.steps:
                return {f"val_{name}": value for name, value in self._results().items()}
            if self._watch.stopping():
                # The position is the end of the epoch's steps: what half a validation has changed is no part of it.
                self._metrics.assign(before)
                self._draws.assign(drawn)
                self._watch.look(position)

    def _results(self) -> dict[str, float]:
        """Keras's metrics since they were last reset, read and sorted as `fit` does at the end of an epoch."""
        return {name: float(value) for name, value in sorted(self._model.get_metrics_result().items())}

    def _order(self, epoch: int) -> Array:
        if not self._training.fitting.shuffle:
            return self._train_pass.stored_order
        return epoch_order(self._training.seed, epoch, len(self._training.rows))


class _Pass:
    """A compiled loop with the rows that it goes over, and the pace that it keeps."""

    def __init__(self, loop: Loop, source: Memory | Stream, rows: int, batch_size: int) -> None:
        self._loop = loop
        self._source = source
        self._pace = 1
        #: The order in which the rows lie, made once.
        self.stored_order = stored_order(rows)
        self.steps = math.ceil(rows / batch_size)

    def run(self, order: Array, start: int) -> int:
        """Run a chunk of the steps from `start` on, all of one block, and return how many; none if none are left."""
        per_block = self._source.steps_per_block or self.steps
        number = min(start, self.steps - 1) // per_block
        first = number * per_block
        last = min(start + self._pace, first + per_block, self.steps)
        began = time.perf_counter()
        ran = self._loop.run(self._source.block(order, number), start - first, last - first)
        self._keep_pace(last - start, time.perf_counter() - began)
        return ran

    def _keep_pace(self, steps: int, seconds: float) -> None:
        """Aim at chunks of `CHUNK_SECONDS`, from below: the first call also does what is done only once."""
        if steps:
            self._pace = max(1, min(8 * steps, round(CHUNK_SECONDS * steps / max(seconds, 1e-9))))

    def close(self) -> None:
        self._source.close()


class Handles:
    """Variables that are read and set without a detour through Keras."""

    def __init__(self, variables: Sequence[Any]) -> None:
        self._handles = [variable.value for variable in variables]

    def values(self) -> list[Any]:
        return [handle.read_value() for handle in self._handles]

    def assign(self, values: list[Any]) -> None:
        for handle, value in zip(self._handles, values, strict=True):
            tf.raw_ops.AssignVariableOp(resource=handle.handle, value=value)


class Reset(Handles):
    """The metrics' variables, which can be set to zero."""

    def __init__(self, model: keras.Model) -> None:
        super().__init__(model.metrics_variables)
        before = self.values()
        model.reset_metrics()
        self._zeros = self.values()
        self.assign(before)

    def reset(self) -> None:
        """Do what Keras's `reset_metrics` does."""
        self.assign(self._zeros)


def finite_or_none(value: Any) -> float | None:
    """A float that JSON can carry: NaN and the infinities become None."""
    number = float(value)
    return number if math.isfinite(number) else None
