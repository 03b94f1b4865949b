"""Keras's callbacks, with a state that outlives the process: what they know is part of a checkpoint."""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from service.architecture import build
from service.architecture.fitting import Fitting

#: What each callback has learned so far, by attribute. The way in which its metric improves is not part of it: Keras
#: works that out anew.
_STATE = {
    "EarlyStopping": ("wait", "stopped_epoch", "best", "best_epoch", "best_weights"),
    "ReduceLROnPlateau": ("wait", "best", "cooldown_counter"),
    "TerminateOnNaN": (),
    "KeepBest": ("best", "best_epoch", "best_weights"),
}


#: Which part of the epochs that they may have most trainings need that can stop early.
_EARLY_SHARE = 5


class KeepBest(keras.callbacks.ModelCheckpoint):  # type: ignore[misc]
    """Keras's ModelCheckpoint with save_best_only, which keeps the weights in memory instead of in a file.

    With `restores` the model has the best weights at the end, as the file would. An epoch that does not report the
    monitored value (validation can be less frequent) is passed over.
    """

    def __init__(self, *, restores: bool, **arguments: Any) -> None:
        super().__init__("best.keras", save_best_only=True, **arguments)
        self.best_weights: list[Any] | None = None
        self.best_epoch = 0
        self.restores = restores

    def _save_model(self, epoch: int, batch: int | None, logs: dict[str, Any]) -> None:
        if self.monitor in logs and self._should_save_model(epoch, batch, logs, self.filepath):
            self.best_epoch = epoch
            # A tensor that was read keeps its numbers: a later step that changes the variable copies it first.
            self.best_weights = [weight.value.read_value() for weight in self.model.weights]

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        if self.restores:
            self.restore()

    def restore(self) -> bool:
        """Give the model its best weights; False if no epoch has ended yet."""
        if self.best_weights is None:
            return False
        for weight, best in zip(self.model.weights, self.best_weights, strict=True):
            weight.assign(best)
        return True


class Callbacks:
    """The callbacks of one job, called as `Model.fit` calls them, the one that keeps the best weights always last."""

    def __init__(self, fitting: Fitting, model: keras.Model) -> None:
        self._callbacks = [_make(callback) for callback in fitting.callbacks]
        self._best = next((one for one in self._callbacks if isinstance(one, KeepBest)), None)
        if self._best is None:
            self._best = KeepBest(restores=False, monitor="val_loss" if fitting.validates else "loss", mode="min")
            self._callbacks.append(self._best)
        for callback in self._callbacks:
            callback.set_model(model)
            callback.on_train_begin()

    @property
    def ends_on_nan(self) -> bool:
        """Whether a loss that is not finite ends the training."""
        return any(isinstance(one, keras.callbacks.TerminateOnNaN) for one in self._callbacks)

    def likely_epochs(self, most: int) -> int:
        """How many epochs of at most so many a training is likely to have; one that may stop early seldom has all."""
        stops = [one.patience for one in self._callbacks if isinstance(one, keras.callbacks.EarlyStopping)]
        return min(most, max(most // _EARLY_SHARE, 2 * min(stops), 1)) if stops else most

    def begin_epoch(self, epoch: int) -> None:
        for callback in self._callbacks:
            callback.on_epoch_begin(epoch)

    def end_epoch(self, epoch: int, logs: dict[str, Any]) -> None:
        """Tell all of the epoch, counted from 0; they may add to `logs`, change the model, and stop the training."""
        for callback in self._callbacks:
            callback.on_epoch_end(epoch, logs)

    def end(self, epochs: int) -> int:
        """Let them finish; returns how many epochs were trained for the weights that the model then has."""
        weights_epoch = epochs
        for callback in self._callbacks:
            callback.on_train_end()
            if _has_restored(callback):
                weights_epoch = callback.best_epoch + 1
        return weights_epoch

    def restore_best(self) -> int | None:
        """Give the model its best weights so far and return their epoch, counted from 1; None if there are none."""
        assert self._best is not None
        return self._best.best_epoch + 1 if self._best.restore() else None

    def state(self) -> tuple[list[dict[str, Any]], list[np.ndarray[Any, Any]]]:
        """What they know, ready for JSON, and the arrays that it refers to by number."""
        arrays: list[np.ndarray[Any, Any]] = []
        return [_state(callback, arrays) for callback in self._callbacks], arrays

    def restore_state(self, states: Sequence[dict[str, Any]], arrays: Sequence[np.ndarray[Any, Any]]) -> None:
        """Make them know what they knew when `state` was called."""
        for callback, state in zip(self._callbacks, states, strict=True):
            for name, value in state.items():
                is_arrays = isinstance(value, dict)
                setattr(callback, name, [arrays[number] for number in value["arrays"]] if is_arrays else value)


def _make(callback: dict[str, Any]) -> keras.callbacks.Callback:
    if callback["type"] == "ModelCheckpoint":
        given = {name: callback[name] for name in callback if name not in ("type", "save_best_only")}
        return KeepBest(restores=True, **given)
    return build.make("callback", callback)


def _has_restored(callback: keras.callbacks.Callback) -> bool:
    if isinstance(callback, keras.callbacks.EarlyStopping):
        return bool(callback.restore_best_weights) and callback.best_weights is not None
    return isinstance(callback, KeepBest) and callback.restores and callback.best_weights is not None


def _state(callback: keras.callbacks.Callback, arrays: list[np.ndarray[Any, Any]]) -> dict[str, Any]:
    state: dict[str, Any] = {}
    for name in _STATE[type(callback).__name__]:
        value = getattr(callback, name)
        if isinstance(value, list):
            first = len(arrays)
            arrays.extend(np.asarray(one) for one in value)
            state[name] = {"arrays": list(range(first, len(arrays)))}
        else:
            state[name] = value if value is None or isinstance(value, int) else float(value)
    return state
