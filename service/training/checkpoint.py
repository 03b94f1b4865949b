"""Checkpoints: all that a training is at the end of a step, in one file that is either whole or not there.

The file is a NumPy archive: `state.json` as bytes, and the arrays that it refers to by number. Its name tells the
attempt that wrote it and how far that was.
"""

import json
import os
import zipfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np

from service.training.callbacks import Callbacks

Array = np.ndarray[Any, Any]


@dataclass(slots=True, kw_only=True)
class Position:
    """How far a training is: `epoch` whole epochs, the last with the metrics `row`, and `step` steps of the next one.

    `ended` says that there is no next one: all epochs are done, or a callback has stopped the training.
    """

    epoch: int = 0
    step: int = 0
    row: dict[str, float | None] | None = None
    ended: bool = False


def write(folder: Path, attempt: int, position: Position, model: keras.Model, callbacks: Callbacks) -> str | None:
    """Write a checkpoint into `folder` and return its name; once this returns, no loss of power undoes it.

    A model with weights that are not finite is not worth going on with: nothing is written, and None returned.
    """
    name = f"{attempt:06d}-{position.epoch:06d}-{position.step:09d}.npz"
    states, kept = callbacks.state()
    variables = [np.asarray(variable.value) for variable in _variables(model)]
    if not all(_finite(variable) for variable in variables):
        return None
    state = {"position": asdict(position), "variables": len(variables), "callbacks": states}
    _write_durably(folder / name, state, [*variables, *kept])
    return name


def restore(path: Path, model: keras.Model, callbacks: Callbacks) -> Position:
    """Make the model, its optimizer, its metrics and the callbacks what they were, and say where that was.

    Raises:
        UnreadableError: the file is not there or is damaged; nothing has changed then.
    """
    state, arrays = _read(path)
    count = state["variables"]
    variables = _variables(model)
    if count != len(variables):
        raise UnreadableError(f"{path.name} has {count} variables, and the network {len(variables)}.")
    for variable, array in zip(variables, arrays, strict=False):
        variable.assign(array)
    callbacks.restore_state(state["callbacks"], arrays[count:])
    return Position(**state["position"])


class UnreadableError(Exception):
    """A checkpoint cannot be used."""


def _variables(model: keras.Model) -> list[Any]:
    """Weights, seed generators, the optimizer's state and the metrics': no more is needed for the same bits."""
    return [*model.variables, *model.optimizer.variables, *model.metrics_variables]


def _finite(array: Array) -> bool:
    return array.dtype.kind != "f" or bool(np.isfinite(array).all())


def _write_durably(path: Path, state: dict[str, Any], arrays: Sequence[Array]) -> None:
    unfinished = path.with_suffix(f".{os.getpid()}.tmp")
    text = np.frombuffer(json.dumps(state).encode(), np.uint8)
    with unfinished.open("wb") as file:
        named = {"state.json": text} | {f"{number}": array for number, array in enumerate(arrays)}
        np.savez(file, allow_pickle=False, **named)
        file.flush()
        os.fsync(file.fileno())
    unfinished.rename(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _read(path: Path) -> tuple[dict[str, Any], list[Array]]:
    # The archive has a checksum for each array, which reading compares. Flipped bits in its own fields can also tell of
    # a way to pack that zipfile does not know, of a password, or of an end that is not there.
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            state = json.loads(archive["state.json"].tobytes())
            return state, [archive[f"{number}"] for number in range(len(archive.files) - 1)]
    except (OSError, EOFError, ValueError, KeyError, RuntimeError, zipfile.BadZipFile) as error:
        raise UnreadableError(f"{path.name} cannot be read: {error}") from error
