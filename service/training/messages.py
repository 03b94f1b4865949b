"""What the supervisor and a job's child say to each other: this file is their whole protocol.

The supervisor says what to do, the `Assignment`, when it starts the child or when one that stood by is `Ready`, and
later at most one `Stop`. The child
answers with any number of `ProgressMade`, `CheckpointWritten` and `ExecutionChosen`, and last with one outcome:
`Finished`, `Stopped`, `StartAgain` or `Failed`. A child that ends without one has died, and its exit code tells the
supervisor why.
"""

from dataclasses import dataclass
from enum import StrEnum
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
class Execution:
    """How a job's steps are run, which its bits depend on: compiled by XLA or not, and by how many threads.

    `chosen_by` says why: "request", "measurement", "earlier job" (of the same network on this server) or "default"
    (too little work to measure).
    """

    jit_compile: bool
    threads: int
    chosen_by: Literal["request", "measurement", "earlier job", "default"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """Seconds that a step took, and that the rest of the job would take, under one way to run it."""

    jit_compile: bool
    threads: int
    step_seconds: float
    total_seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class InitialWeights:
    """A stored version to start from: its folder, and whether its optimizer's state is to be taken too."""

    folder: Path
    optimizer_state: bool


class StopReason(StrEnum):
    """Why a child is to stop at the next end of a chunk of steps."""

    #: A client paused the job: write a checkpoint, and end.
    PAUSE = "pause"
    #: The service goes down: the same.
    SHUTDOWN = "shutdown"
    #: A client cancelled the job with keep=best: make a version of the best weights so far.
    KEEP_BEST = "keep_best"


@dataclass(frozen=True, slots=True, kw_only=True)
class Assignment:
    """All that a child needs to train one model; it reads nothing else but these files.

    `architecture` is the canonical form. `execution` is None while nothing has been chosen: the child then chooses,
    with `threads` of its own and up to `threads + spare_threads`, going by `measurements` of earlier children; with
    `threads_requested` there is no choice of threads.
    `checkpoint` is the name of a file in `checkpoint_folder` to go on from. `seconds_left` is what remains of the
    job's time limit. `keep_best_after` is for a job that was cancelled and is to end with its best weights: so many
    epochs have clients heard of, and so many are trained for it. `data_memory_bytes` is how large data may be to be
    held in memory. With a `preparation`, as JSON, `data` and `validation_data` are tables, until the child has put the
    arrays in their place that it has made of them, and `test_data` beside these. The child writes below `work_folder`
    and `checkpoint_folder`, and keeps in `cache_folder` what later jobs can use.
    """

    job: str
    attempt: int
    architecture: dict[str, Any]
    input_shapes: dict[str, list[int | None]]
    compilation: Compilation
    fitting: Fitting
    seed: int
    threads: int
    threads_requested: bool
    spare_threads: int
    execution: Execution | None
    measurements: tuple[Measurement, ...]
    data: StoredArrays
    validation_data: StoredArrays | None
    initial: InitialWeights | None
    work_folder: Path
    checkpoint_folder: Path
    checkpoint: str | None
    checkpoint_epochs: int | None
    checkpoint_seconds: float
    cache_folder: Path
    seconds_left: float | None
    data_memory_bytes: int
    keep_best_after: int | None
    preparation: dict[str, Any] | None = None
    test_data: StoredArrays | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Ready:
    """A child that stands by has warmed up and waits for its `Assignment`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stop:
    """The supervisor's word to a running child."""

    reason: StopReason


@dataclass(frozen=True, slots=True, kw_only=True)
class EpochEnded:
    """An epoch's metrics under Keras's names, the epoch counted from 1; a value that is not finite is None."""

    epoch: int
    row: dict[str, float | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class ProgressMade:
    """How far the training is: `step` of `steps` in `epoch` of `epochs`, counted from 1; `ended` since the last one."""

    epoch: int
    epochs: int
    step: int
    steps: int
    percent: float
    samples_per_second: float | None
    eta_seconds: float | None
    ended: tuple[EpochEnded, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckpointWritten:
    """The file `name` in the checkpoint folder is whole and durable; `step` steps of `epoch` are done in it."""

    name: str
    epoch: int
    step: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutionChosen:
    """How the job is run from its first step to its last, also by later children."""

    execution: Execution
    measurements: tuple[Measurement, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """The trained model lies in `work_folder`, ready to be published; these are its facts.

    `weights_epoch` is the epoch whose weights these are; `evaluation` is what the test rows say of them, if there are
    any.
    """

    parameters: int
    metrics: dict[str, float | None]
    inputs: list[dict[str, Any]]
    outputs: list[dict[str, Any]]
    weights_sha256: str
    weights_epoch: int
    engine: Literal["onnxruntime", "tensorflow"]
    engine_reason: str | None
    max_difference: float | None
    libraries: dict[str, str]
    machine: str
    evaluation: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Stopped:
    """The child obeyed `Stop`, or found its time over (`reason` None); its last checkpoint holds all that it did.

    After KEEP_BEST it says so only if there was no whole epoch yet, and so nothing to keep.
    """

    reason: StopReason | None


@dataclass(frozen=True, slots=True, kw_only=True)
class StartAgain:
    """Nothing was trained yet: the job should be given to a new child with `threads` threads.

    The number of a process's threads cannot change, so that each is measured in a process of its own.
    """

    threads: int
    execution: Execution | None
    measurements: tuple[Measurement, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed:
    """The training ended without a model; `message` says what happened, `advice` what to do about it."""

    code: Literal["out_of_memory", "nan_loss", "time_limit", "worker_lost", "invalid_data", "internal"]
    message: str
    advice: str
    retryable: bool


Outcome = Finished | Stopped | StartAgain | Failed
Message = ProgressMade | CheckpointWritten | ExecutionChosen | Outcome
