"""The seam at which a network meets its data: `fit` trains a compiled network and reports as it goes.

This is the only file that knows how epochs are run.
"""

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from service.architecture.fitting import Fitting
from service.training.messages import EpochEnded, ProgressMade

#: The least time between two reports of progress, in seconds.
REPORT_INTERVAL = 0.25

Arrays = Any  # one array, or a list of them in the network's own order


@dataclass(frozen=True, slots=True, kw_only=True)
class FitData:
    """Arrays as `Model.fit` takes them: each a NumPy array, or a list in the order of the network's inputs or outputs.

    `rows` is the number of training rows, the validation split's part already taken off.
    """

    x: Arrays
    y: Arrays
    sample_weight: np.ndarray | None
    validation: tuple[Any, ...] | None
    rows: int


def fit(
    model: keras.Model,
    data: FitData,
    fitting: Fitting,
    callbacks: list[keras.callbacks.Callback],
    report: Callable[[ProgressMade | EpochEnded], None],
) -> dict[str, float | None]:
    """Train, and return the last epoch's metrics under Keras's names.

    Meanings are `Model.fit`'s: the validation split takes the last rows before any shuffling.
    """
    reporter = Reporter(data.rows, fitting, report)
    model.fit(
        data.x,
        data.y,
        batch_size=fitting.batch_size,
        epochs=fitting.epochs,
        verbose=0,
        callbacks=[*callbacks, reporter],
        validation_split=fitting.validation_split,
        validation_data=data.validation,
        shuffle=fitting.shuffle,
        class_weight=fitting.class_weight,
        sample_weight=data.sample_weight,
        validation_batch_size=fitting.validation_batch_size,
        validation_freq=fitting.validation_freq,
    )
    return reporter.newest


class Reporter(keras.callbacks.Callback):  # type: ignore[misc]
    """Turns Keras's callbacks into messages: each epoch's row, and progress at most four times a second."""

    def __init__(self, rows: int, fitting: Fitting, report: Callable[[ProgressMade | EpochEnded], None]) -> None:
        super().__init__()
        self.newest: dict[str, float | None] = {}
        self._rows = rows
        self._epochs = fitting.epochs
        self._steps = math.ceil(rows / fitting.batch_size)
        self._batch_size = fitting.batch_size
        self._report = report
        self._epoch = 0
        self._started = self._reported = time.monotonic()

    def on_train_begin(self, logs: Mapping[str, Any] | None = None) -> None:
        self._started = time.monotonic()

    def on_epoch_begin(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        self._epoch = epoch

    def on_train_batch_end(self, batch: int, logs: Mapping[str, Any] | None = None) -> None:
        if time.monotonic() - self._reported >= REPORT_INTERVAL:
            self._send(batch + 1)

    def on_epoch_end(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        self.newest = {name: finite_or_none(value) for name, value in (logs or {}).items()}
        self._report(EpochEnded(epoch=epoch + 1, row=self.newest))
        if time.monotonic() - self._reported >= REPORT_INTERVAL or epoch + 1 == self._epochs:
            self._send(self._steps)

    def _send(self, step: int) -> None:
        self._reported = time.monotonic()
        elapsed = self._reported - self._started
        samples = self._epoch * self._rows + min(step * self._batch_size, self._rows)
        share = samples / (self._epochs * self._rows)
        self._report(
            ProgressMade(
                epoch=self._epoch + 1,
                epochs=self._epochs,
                step=step,
                steps=self._steps,
                percent=round(100 * share, 2),
                samples_per_second=round(samples / elapsed, 1) if elapsed > 0 else None,
                eta_seconds=round(elapsed * (1 - share) / share, 1) if share > 0 else None,
            )
        )


def finite_or_none(value: Any) -> float | None:
    """A float that JSON can carry: NaN and the infinities become None."""
    number = float(value)
    return number if math.isfinite(number) else None
