"""The moves from one status of a job to another: the table of the legal ones, and the one place that makes them."""

from typing import Any

from sqlalchemy import ColumnElement, Connection, select, update

from service.errors import NotFound
from service.registry.job import Job
from service.registry.tables import Status, jobs

#: The legal moves, and there are no others. Only a client's resume leads out of an end.
TRANSITIONS = {
    Status.QUEUED: (Status.RUNNING, Status.CANCELLED, Status.PAUSED, Status.FAILED),
    Status.RUNNING: (Status.SUCCEEDED, Status.FAILED, Status.CANCELLED, Status.PAUSED, Status.QUEUED),
    Status.PAUSED: (Status.QUEUED, Status.CANCELLED),
    Status.SUCCEEDED: (),
    Status.FAILED: (Status.QUEUED,),
    Status.CANCELLED: (),
}

#: What a job without an owner looks like.
NOBODYS: dict[str, Any] = {"owner": None, "lease_until": None, "started_at": None}


def move(connection: Connection, start: Status, to: Status, which: ColumnElement[bool], **values: Any) -> list[Job]:
    """Give those of `which` that have the status `start` another one and `values`; return them as they then are.

    Raises:
        ValueError: no job may ever go that way.
    """
    if to not in TRANSITIONS[start]:
        raise ValueError(f"A job never goes from {start} to {to}.")
    moved = update(jobs).where(jobs.c.status == start, which).values(status=to, **values).returning(jobs)
    return [Job.from_row(row) for row in connection.execute(moved).mappings()]


def locked(connection: Connection, job_id: str) -> Job:
    """Read one job that nobody else changes before this transaction ends; raises NotFound."""
    row = connection.execute(select(jobs).where(jobs.c.id == job_id).with_for_update()).mappings().one_or_none()
    if row is None:
        raise not_found(job_id)
    return Job.from_row(row)


def not_found(job_id: str) -> NotFound:
    """What is said of a job that is not there."""
    return NotFound(
        f"There is no job {job_id[:100]!r}. The id of a job that was submitted and not deleted was expected: list the "
        "jobs to see their ids."
    )
