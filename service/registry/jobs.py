"""Jobs: the queue of requests to train a model, and the record of what became of each.

A client submits, a supervisor claims. Each claim raises the job's `attempt`, and every later write about the running
job names it: a write that touches no row tells the writer that it was replaced and must stop.
"""

from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Self

from sqlalchemy import ColumnElement, Connection, RowMapping, and_, delete, func, insert, or_, select, update

from service.errors import Conflict, NotFound
from service.registry.database import Database
from service.registry.ids import new_id
from service.registry.models import NewVersion, Version, publish
from service.registry.page import Page, after, cut
from service.registry.tables import Status, datasets, epochs, jobs

__all__ = ["TRANSITIONS", "Failure", "Held", "Job", "Jobs", "NewJob", "NewVersion", "Progress", "Status", "Version"]

#: The legal moves, and there are no others.
TRANSITIONS = {
    Status.QUEUED: (Status.RUNNING, Status.CANCELLED),
    Status.RUNNING: (Status.SUCCEEDED, Status.FAILED, Status.CANCELLED, Status.QUEUED),
    Status.SUCCEEDED: (),
    Status.FAILED: (),
    Status.CANCELLED: (),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """Why a job has failed; `advice` says what could help, and `retryable` that the same job could succeed."""

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


@dataclass(frozen=True, slots=True, kw_only=True)
class NewJob:
    """What a client asks for; `request` is normalised: `architecture`, `compile`, `fit` and `seed`."""

    model: str
    request: dict[str, Any]
    dataset: str
    validation_dataset: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One job as it was when it was read; `metrics` is the newest epoch's row, `version` the number that it made."""

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

    @classmethod
    def from_row(cls, row: RowMapping) -> Self:
        values = {name: value for name, value in row.items() if name != "lease_until"}
        values["status"] = Status(row["status"])
        values["progress"] = None if row["progress"] is None else Progress(**row["progress"])
        values["failure"] = None if row["failure"] is None else Failure(**row["failure"])
        return cls(**values)


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """A running job that an owner still holds."""

    id: str
    attempt: int
    cancel_requested: bool


class Jobs:
    """The jobs: clients submit, read and cancel them; supervisors claim them and say what happens."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def submit(self, job: NewJob, now: datetime) -> Job:
        """Queue a job; raises Conflict when a data set of it was deleted meanwhile."""
        with self._database.write() as connection:
            _refuse_missing_datasets(connection, job)
            queued = insert(jobs).values(**asdict(job), id=new_id("job"), status=Status.QUEUED, attempt=0)
            row = connection.execute(queued.values(created_at=now).returning(jobs)).mappings().one()
            return Job.from_row(row)

    def get(self, job_id: str) -> Job:
        """Read one job; raises NotFound."""
        with self._database.read() as connection:
            row = connection.execute(select(jobs).where(jobs.c.id == job_id)).mappings().one_or_none()
        if row is None:
            raise _not_found(job_id)
        return Job.from_row(row)

    def page(self, status: Status | None, model: str | None, cursor: str | None, limit: int) -> Page[Job]:
        """List up to `limit` jobs, the newest first, of one status and one model if given; raises Invalid."""
        statement = select(jobs).order_by(jobs.c.id.desc()).limit(limit + 1)
        last = after(cursor, str)
        for column, wanted in ((jobs.c.status, status), (jobs.c.model, model)):
            if wanted is not None:
                statement = statement.where(column == wanted)
        if last is not None:
            statement = statement.where(jobs.c.id < last)
        with self._database.read() as connection:
            rows = connection.execute(statement).mappings().all()
        return cut([Job.from_row(row) for row in rows], limit, lambda job: job.id)

    def epochs(self, job_id: str) -> list[dict[str, Any]]:
        """Read a job's epochs in their order, each as {"epoch": n, and its metrics}; raises NotFound."""
        statement = select(epochs.c.epoch, epochs.c.metrics).where(epochs.c.job == job_id).order_by(epochs.c.epoch)
        with self._database.read() as connection:
            rows = connection.execute(statement).all()
            if not rows and connection.scalar(select(jobs.c.id).where(jobs.c.id == job_id)) is None:
                raise _not_found(job_id)
        return [{"epoch": epoch, **metrics} for epoch, metrics in rows]

    def count_by_status(self) -> dict[Status, int]:
        """Count the jobs in each status, also where there are none."""
        with self._database.read() as connection:
            rows = connection.execute(select(jobs.c.status, func.count()).group_by(jobs.c.status)).all()
        return dict.fromkeys(Status, 0) | {Status(status): count for status, count in rows}

    def delete(self, job_id: str) -> None:
        """Delete an ended job and its epochs; raises NotFound, and Conflict while it is queued or running."""
        with self._database.write() as connection:
            job = _locked(connection, job_id)
            if not job.status.is_terminal:
                raise Conflict(
                    f"The job {job_id} is {job.status}. Only a job that has ended can be deleted: cancel it first, "
                    "then delete it."
                )
            connection.execute(delete(jobs).where(jobs.c.id == job_id))

    def cancel(self, job_id: str, now: datetime) -> Job:
        """End a queued job at once, and ask for the end of a running one; a cancelled job stays as it is.

        Raises NotFound, and Conflict for a job that has succeeded or failed.
        """
        with self._database.write() as connection:
            job = _locked(connection, job_id)
            if job.status is Status.QUEUED:
                (job,) = self._move(connection, Status.CANCELLED, jobs.c.id == job_id, finished_at=now)
            elif job.status is Status.RUNNING:
                asked = update(jobs).where(jobs.c.id == job_id).values(cancel_requested=True).returning(jobs)
                job = Job.from_row(connection.execute(asked).mappings().one())
            elif job.status is not Status.CANCELLED:
                raise Conflict(
                    f"The job {job_id} has already {job.status}. Only a queued or running job can be cancelled: "
                    "delete the job, or what it has made, if that is no longer wanted."
                )
            return job

    def claim(self, owner: str, lease_until: datetime, now: datetime) -> Job | None:
        """Take the oldest queued job for `owner` until `lease_until`, or None; what an earlier attempt told is cleared.

        Any number of supervisors may call this at once: each job is given to one of them.
        """
        oldest = select(jobs.c.id).where(jobs.c.status == Status.QUEUED).order_by(jobs.c.id).limit(1)
        # Where several can write at once (PostgreSQL), each skips a job that another is just taking.
        mine = jobs.c.id == oldest.with_for_update(skip_locked=True).scalar_subquery()
        begun = {"attempt": jobs.c.attempt + 1, "owner": owner, "lease_until": lease_until, "started_at": now}
        with self._database.write() as connection:
            claimed = self._move(connection, Status.RUNNING, mine, **begun, progress=None, metrics=None)
            for job in claimed:
                connection.execute(delete(epochs).where(epochs.c.job == job.id))
        return next(iter(claimed), None)

    def renew(self, owner: str, lease_until: datetime) -> tuple[Held, ...]:
        """Prolong the lease of all jobs that `owner` still runs, and say which these are: others were taken away."""
        renewed = (
            update(jobs)
            .where(jobs.c.owner == owner, jobs.c.status == Status.RUNNING)
            .values(lease_until=lease_until)
            .returning(jobs.c.id, jobs.c.attempt, jobs.c.cancel_requested)
        )
        with self._database.write() as connection:
            rows = connection.execute(renewed).mappings().all()
        return tuple(sorted((Held(**row) for row in rows), key=lambda held: held.id))

    def record_progress(self, job_id: str, attempt: int, progress: Progress) -> bool:
        """Replace the running job's progress; False says that this attempt was replaced and must stop."""
        recorded = update(jobs).where(_held(job_id, attempt)).values(progress=asdict(progress))
        with self._database.write() as connection:
            return connection.execute(recorded).rowcount == 1

    def record_epoch(self, job_id: str, attempt: int, epoch: int, row: dict[str, float | None]) -> bool:
        """Add an epoch's metrics to the running job; False says that this attempt was replaced and must stop."""
        with self._database.write() as connection:
            if connection.execute(update(jobs).where(_held(job_id, attempt)).values(metrics=row)).rowcount == 0:
                return False
            connection.execute(
                self._database.insert(epochs)
                .values(job=job_id, epoch=epoch, metrics=row)
                .on_conflict_do_update(index_elements=["job", "epoch"], set_={"metrics": row})
            )
            return True

    def succeed(self, job_id: str, attempt: int, version: NewVersion, now: datetime) -> Version | None:
        """Publish the version and end the job, both or neither; None says that this attempt was replaced."""
        with self._database.write() as connection:
            if connection.scalar(select(jobs.c.id).where(_held(job_id, attempt)).with_for_update()) is None:
                return None
            published = publish(self._database, connection, version, now)
            ended = {"version": published.number, "finished_at": now, "lease_until": None}
            self._move(connection, Status.SUCCEEDED, _held(job_id, attempt), **ended)
            return published

    def fail(self, job_id: str, attempt: int, failure: Failure, now: datetime) -> bool:
        """End the running job with its failure; False says that this attempt was replaced."""
        ended = {"failure": asdict(failure), "finished_at": now, "lease_until": None}
        with self._database.write() as connection:
            return bool(self._move(connection, Status.FAILED, _held(job_id, attempt), **ended))

    def confirm_cancelled(self, job_id: str, attempt: int, now: datetime) -> bool:
        """End the running job whose cancellation was asked for; False says that this attempt was replaced."""
        with self._database.write() as connection:
            ended = {"finished_at": now, "lease_until": None}
            return bool(self._move(connection, Status.CANCELLED, _held(job_id, attempt), **ended))

    def release(self, job_id: str, attempt: int) -> bool:
        """Put the running job back into the queue, unchanged otherwise; False says that this attempt was replaced."""
        with self._database.write() as connection:
            return bool(self._move(connection, Status.QUEUED, _held(job_id, attempt), **_NOBODYS))

    def requeue_lost(self, host_prefix: str | None, now: datetime) -> tuple[str, ...]:
        """Queue the running jobs that nobody runs any more, cancel those of them that were to be, and name them all.

        Lost are jobs whose lease has passed, and with a `host_prefix` all whose owner begins with "<host_prefix>:":
        a supervisor that starts knows that no earlier one of its host is left.
        """
        lost = jobs.c.lease_until < now
        if host_prefix is not None:
            start = f"{host_prefix}:"
            lost = or_(lost, func.substr(jobs.c.owner, 1, len(start)) == start)
        # A job can also wait in the queue with its cancellation asked for: it was released before that was obeyed.
        unwanted = and_(jobs.c.cancel_requested, or_(jobs.c.status == Status.QUEUED, lost))
        with self._database.write() as connection:
            ended = self._move(connection, Status.CANCELLED, unwanted, **_NOBODYS, finished_at=now)
            queued = self._move(connection, Status.QUEUED, lost, **_NOBODYS)
        return tuple(sorted(job.id for job in (*ended, *queued)))

    def _move(self, connection: Connection, to: Status, which: ColumnElement[bool], **values: Any) -> list[Job]:
        """Give jobs a new status, those of `which` that may have it; no status changes anywhere else."""
        sources = [status for status, targets in TRANSITIONS.items() if to in targets]
        moved = update(jobs).where(jobs.c.status.in_(sources), which).values(status=to, **values).returning(jobs)
        return [Job.from_row(row) for row in connection.execute(moved).mappings()]


#: What a job without an owner looks like.
_NOBODYS: dict[str, Any] = {"owner": None, "lease_until": None, "started_at": None}


def _held(job_id: str, attempt: int) -> ColumnElement[bool]:
    return and_(jobs.c.id == job_id, jobs.c.attempt == attempt, jobs.c.status == Status.RUNNING)


def _locked(connection: Connection, job_id: str) -> Job:
    row = connection.execute(select(jobs).where(jobs.c.id == job_id).with_for_update()).mappings().one_or_none()
    if row is None:
        raise _not_found(job_id)
    return Job.from_row(row)


def _refuse_missing_datasets(connection: Connection, job: NewJob) -> None:
    wanted = {dataset for dataset in (job.dataset, job.validation_dataset) if dataset is not None}
    # The lock keeps the data sets from being deleted before this job is there to need them.
    present = connection.scalars(select(datasets.c.id).where(datasets.c.id.in_(wanted)).with_for_update(read=True))
    missing = sorted(wanted - set(present))
    if missing:
        raise Conflict(
            f"The data set {' and '.join(missing)} was deleted meanwhile. A stored data set was expected: upload the "
            "data again, and submit the job with the new id."
        )


def _not_found(job_id: str) -> NotFound:
    return NotFound(
        f"There is no job {job_id[:100]!r}. The id of a job that was submitted and not deleted was expected: list the "
        "jobs to see their ids."
    )
