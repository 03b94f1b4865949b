"""Jobs as clients see them: submitted, read, paused, resumed, cancelled, deleted; `claims` is the supervisors' side."""

from dataclasses import asdict
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Select, delete, func, insert, select, update

from service.errors import Conflict
from service.registry.database import Database
from service.registry.ids import new_id
from service.registry.job import Job, Keep, NewJob, TimeLimit
from service.registry.moves import NOBODYS, locked, move, not_found
from service.registry.page import Page, after, cut
from service.registry.tables import Status, datasets, epochs, jobs, versions


class Jobs:
    """The jobs of all clients, the newest first."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def submit(self, job: NewJob, now: datetime) -> Job:
        """Queue a job; raises Conflict when a data set of it, or the version to start from, was deleted meanwhile."""
        with self._database.write() as connection:
            _refuse_missing(connection, job)
            queued = insert(jobs).values(**asdict(job), id=new_id("job"), status=Status.QUEUED, attempt=0)
            row = connection.execute(queued.values(created_at=now).returning(jobs)).mappings().one()
            return Job.from_row(row)

    def get(self, job_id: str) -> Job:
        """Read one job; raises NotFound."""
        with self._database.read() as connection:
            row = connection.execute(select(jobs).where(jobs.c.id == job_id)).mappings().one_or_none()
        if row is None:
            raise not_found(job_id)
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
                raise not_found(job_id)
        return [{"epoch": epoch, **metrics} for epoch, metrics in rows]

    def count_by_status(self) -> dict[Status, int]:
        """Count the jobs in each status, also where there are none."""
        with self._database.read() as connection:
            rows = connection.execute(select(jobs.c.status, func.count()).group_by(jobs.c.status)).all()
        return dict.fromkeys(Status, 0) | {Status(status): count for status, count in rows}

    def delete(self, job_id: str) -> None:
        """Delete an ended job and its epochs; raises NotFound, and Conflict while it has not ended."""
        with self._database.write() as connection:
            job = locked(connection, job_id)
            if not job.status.is_terminal:
                raise Conflict(
                    f"The job {job_id} is {job.status}. Only a job that has ended can be deleted: cancel it first, "
                    "then delete it."
                )
            connection.execute(delete(jobs).where(jobs.c.id == job_id))

    def cancel(self, job_id: str, now: datetime, keep: Keep | None = None) -> Job:
        """End a queued or paused job at once, and ask for the end of a running one; a cancelled job stays as it is.

        With `keep`, a job that has a checkpoint goes to the queue, so that a child makes a version of its best weights
        before it ends. Raises NotFound, and Conflict for a job that has succeeded or failed.
        """
        with self._database.write() as connection:
            job = locked(connection, job_id)
            asked = {"cancel_requested": True, "pause_requested": False, "keep": keep}
            match job.status:
                case Status.RUNNING:
                    # What was asked for first stays, unless the second wants the end at once.
                    return _set(connection, job_id, **asked) if keep is None or not job.cancel_requested else job
                case Status.QUEUED | Status.PAUSED if keep is None or job.checkpoint is None:
                    return _moved(connection, job, Status.CANCELLED, finished_at=now)
                case Status.PAUSED:
                    return _moved(connection, job, Status.QUEUED, **asked)
                case Status.QUEUED:
                    return _set(connection, job_id, **asked)
                case Status.CANCELLED:
                    return job
            raise Conflict(
                f"The job {job_id} has already {job.status}. Only a queued, running or paused job can be cancelled: "
                "delete the job, or what it has made, if that is no longer wanted."
            )

    def pause(self, job_id: str) -> Job:
        """Pause a queued job at once, and ask a running one to write a checkpoint and end; a paused one stays so.

        Raises NotFound, and Conflict for a job that has ended or is being cancelled.
        """
        with self._database.write() as connection:
            job = locked(connection, job_id)
            if job.status.is_terminal or job.cancel_requested:
                state = f"has {job.status}" if job.status.is_terminal else "is being cancelled"
                raise Conflict(
                    f"The job {job_id} {state}. Only a queued or running job that nobody has cancelled can be paused."
                )
            match job.status:
                case Status.QUEUED:
                    return _moved(connection, job, Status.PAUSED)
                case Status.RUNNING:
                    return _set(connection, job_id, pause_requested=True)
            return job

    def resume(self, job_id: str, limit: TimeLimit | None = None) -> Job:
        """Queue a paused job again, or a failed one that can be retried; it goes on from its checkpoint.

        The pause that was asked of a running job is withdrawn; a queued job stays as it is. `limit` replaces the time
        limit of a job that this queues. Raises NotFound, and Conflict where going on is not possible.
        """
        with self._database.write() as connection:
            job = locked(connection, job_id)
            match job.status:
                case Status.QUEUED:
                    return job
                case Status.RUNNING:
                    return _set(connection, job_id, pause_requested=False)
            _refuse_final(job)
            _refuse_missing(connection, job)
            seconds = job.time_limit_seconds if limit is None else limit.seconds
            _refuse_used_up(job, seconds)
            cleared = {"failure": None, "finished_at": None, "retries": 0, "cancel_requested": False, "keep": None}
            return _moved(connection, job, Status.QUEUED, **cleared, time_limit_seconds=seconds)


def _set(connection: Connection, job_id: str, **values: Any) -> Job:
    changed = update(jobs).where(jobs.c.id == job_id).values(**values).returning(jobs)
    return Job.from_row(connection.execute(changed).mappings().one())


def _moved(connection: Connection, job: Job, to: Status, **values: Any) -> Job:
    """Move one job that is locked and has no child, and so will have no owner."""
    (moved,) = move(connection, job.status, to, jobs.c.id == job.id, **NOBODYS, **values)
    return moved


def _refuse_final(job: Job) -> None:
    if job.status is Status.PAUSED or (job.failure is not None and job.failure.retryable):
        return
    if job.failure is not None:
        reason = f"has failed ({job.failure.code}), and would fail so again: {job.failure.message}"
    elif job.status is Status.SUCCEEDED:
        reason = "has succeeded: train further with a new job, whose `initial` names the version that this one made."
    else:
        reason = "was cancelled: submit it again."
    raise Conflict(f"Only a paused job, or one that failed and is retryable, can be resumed. The job {job.id} {reason}")


def _refuse_used_up(job: Job, limit: float | None) -> None:
    if job.has_used_up(limit):
        raise Conflict(
            f"The job {job.id} has run for {job.elapsed_seconds:.1f} s, and its time limit of {limit:g} s allows no "
            "more. Resume it with a higher time_limit_seconds, or with null for no limit."
        )


def _refuse_missing(connection: Connection, job: NewJob | Job) -> None:
    wanted = {dataset for dataset in (job.dataset, job.validation_dataset) if dataset is not None}
    missing = wanted - _present(connection, select(datasets.c.id).where(datasets.c.id.in_(wanted)))
    if missing:
        raise Conflict(
            f"The data set {' and '.join(sorted(missing))} was deleted meanwhile. A stored data set was expected: "
            "upload the data again, and submit the job with the new id."
        )
    initial = job.initial_version
    if initial is not None and not _present(connection, select(versions.c.id).where(versions.c.id == initial)):
        raise Conflict(
            "The version to start from was deleted meanwhile. A stored version was expected: list the model's "
            "versions, and submit the job with one of them."
        )


def _present(connection: Connection, ids: Select[tuple[str]]) -> set[str]:
    # The lock keeps what is found from being deleted before the job is there to need it.
    return set(connection.scalars(ids.with_for_update(read=True)))
