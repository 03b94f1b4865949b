"""What the supervisor and a job's child say to each other: this file is their whole protocol.

The supervisor says one thing, the `Assignment`, when it starts the child. The child answers with any number of
`ProgressMade` and `EpochEnded`, and last with one `Finished` or one `Failed`. A child that ends without either has
died, and its exit code tells the supervisor why.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from service.architecture.compilation import Compilation
from service.architecture.fitting import Fitting
from service.data.arrays import ArrayFacts


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredArrays:
    """A data set on disk: its folder and what is in it."""

    folder: Path
    arrays: tuple[ArrayFacts, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Assignment:
    """All that a child needs to train one model; it reads nothing else but these files.

    `architecture` is the canonical form. The child writes only below `work_folder`.
    """

    job: str
    attempt: int
    architecture: dict[str, Any]
    input_shapes: dict[str, list[int | None]]
    compilation: Compilation
    fitting: Fitting
    seed: int
    threads: int
    data: StoredArrays
    validation_data: StoredArrays | None
    work_folder: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class ProgressMade:
    """How far the training is: `step` of `steps` in `epoch` of `epochs`, counted from 1."""

    epoch: int
    epochs: int
    step: int
    steps: int
    percent: float
    samples_per_second: float | None
    eta_seconds: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class EpochEnded:
    """An epoch's metrics under Keras's names; a value that is not finite is None."""

    epoch: int
    row: dict[str, float | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """The trained model lies in `work_folder`, ready to be published; these are its facts."""

    parameters: int
    metrics: dict[str, float | None]
    inputs: list[dict[str, Any]]
    outputs: list[dict[str, Any]]
    weights_sha256: str
    engine: Literal["onnxruntime", "tensorflow"]
    engine_reason: str | None
    max_difference: float | None
    libraries: dict[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed:
    """The training ended without a model; `message` says what to do about it."""

    code: str
    message: str
    retryable: bool


Message = ProgressMade | EpochEnded | Finished | Failed
