"""A job as a value: what a client asked for, how far it is, and how it ended; its queue is in `jobs` and `claims`."""

from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any, Literal, Self

from sqlalchemy import RowMapping

from service.registry.tables import Status

#: What a cancelled job can leave: "best", a version of the best weights so far.
Keep = Literal["best"]
#: Who or what decided how a job's steps are run.
ChosenBy = Literal["request", "measurement", "earlier job", "default"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """Why a job has failed; `advice` says what could help, `retryable` that the same job could succeed if resumed."""

    code: str
    message: str
    retryable: bool
    advice: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far a training is: `step` of the `steps` of `epoch`, of `epochs`; counted from 1, `percent` up to 100."""

    epoch: int
    epochs: int
    step: int
    steps: int
    percent: float
    samples_per_second: float | None
    eta_seconds: float | None

    def is_behind(self, other: "Progress | None") -> bool:
        """Whether a later moment than this one is already known."""
        return other is not None and (self.epoch, self.step) < (other.epoch, other.step)


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """A file from which the training can go on: `step` steps of `epoch` are done in it."""

    name: str
    epoch: int
    step: int
    written_at: datetime

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "written_at": self.written_at.isoformat()}

    @classmethod
    def from_json(cls, row: dict[str, Any]) -> Self:
        return cls(**{**row, "written_at": datetime.fromisoformat(row["written_at"])})


@dataclass(frozen=True, slots=True, kw_only=True)
class Execution:
    """How all steps of a job are run, which its bits depend on; `measurements` are what the choice went by."""

    jit_compile: bool
    threads: int
    chosen_by: ChosenBy
    measurements: list[dict[str, Any]] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class NewJob:
    """What a client asks for; `request` is normalised, `initial_version` the id of a version to start from."""

    model: str
    request: dict[str, Any]
    dataset: str
    validation_dataset: str | None = None
    priority: int = 0
    time_limit_seconds: float | None = None
    initial_version: str | None = None
    execution: Execution | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TimeLimit:
    """A limit that a client sets anew: so many seconds of running in all, or None for no limit."""

    seconds: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One job as it was when it was read.

    `metrics` is the newest epoch's row, `version` the number that it made, `elapsed_seconds` the running time of all
    its attempts, and `retries` how many of them were lost in a row without a new checkpoint.
    """

    id: str
    model: str
    status: Status
    request: dict[str, Any]
    dataset: str
    validation_dataset: str | None
    attempt: int
    owner: str | None
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    progress: Progress | None
    metrics: dict[str, float | None] | None
    version: int | None
    failure: Failure | None
    cancel_requested: bool
    pause_requested: bool
    keep: Keep | None
    priority: int
    time_limit_seconds: float | None
    elapsed_seconds: float
    retries: int
    checkpoint: Checkpoint | None
    execution: Execution | None
    initial_version: str | None

    @classmethod
    def from_row(cls, row: RowMapping) -> Self:
        values = {name: value for name, value in row.items() if name != "lease_until"}
        values["status"] = Status(row["status"])
        values["progress"] = None if row["progress"] is None else Progress(**row["progress"])
        values["failure"] = None if row["failure"] is None else Failure(**row["failure"])
        values["checkpoint"] = None if row["checkpoint"] is None else Checkpoint.from_json(row["checkpoint"])
        values["execution"] = None if row["execution"] is None else Execution(**row["execution"])
        return cls(**values)

    def has_used_up(self, limit: float | None) -> bool:
        """Whether it has run for as long as `limit` allows, so that another attempt would end at once."""
        return limit is not None and self.elapsed_seconds >= limit


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """A running job that an owner still holds, and what clients want of it meanwhile."""

    id: str
    attempt: int
    cancel_requested: bool
    pause_requested: bool
    keep: Keep | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Retries:
    """How many attempts in a row may be lost without a new checkpoint, and how the job fails after one more."""

    most: int
    failure: Failure
