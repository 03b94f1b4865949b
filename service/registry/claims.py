"""Jobs as supervisors see them: claimed once, held by a lease, followed, and ended or given back.

Each claim raises the job's `attempt`, and every later write about the running job names it: a write that touches no
row tells the writer that it was replaced and must stop. What ends an attempt also takes `elapsed`, the job's running
time so far in seconds; None leaves it as it was when the lease was last renewed.
"""

from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, func, not_, or_, select, update

from service.registry.database import Database
from service.registry.job import Checkpoint, Execution, Failure, Held, Job, Progress, Retries
from service.registry.models import NewVersion, Version, publish
from service.registry.moves import NOBODYS, move
from service.registry.tables import ACTIVE, Status, epochs, jobs

Metrics = dict[str, float | None]


class Claims:
    """What supervisors do with jobs."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def claim(self, owner: str, lease_until: datetime, now: datetime) -> Job | None:
        """Take the queued job of the highest priority, of these the oldest, for `owner` until `lease_until`, or None.

        Any number of supervisors may call this at once: each job is given to one of them.
        """
        queue = (jobs.c.priority.desc(), jobs.c.id)
        first = select(jobs.c.id).where(jobs.c.status == Status.QUEUED).order_by(*queue).limit(1)
        # Where several can write at once (PostgreSQL), each skips a job that another is just taking.
        mine = jobs.c.id == first.with_for_update(skip_locked=True).scalar_subquery()
        begun = {"attempt": jobs.c.attempt + 1, "owner": owner, "lease_until": lease_until, "started_at": now}
        with self._database.write() as connection:
            return next(iter(move(connection, Status.QUEUED, Status.RUNNING, mine, **begun)), None)

    def renew(
        self, owner: str, lease_until: datetime, elapsed: Mapping[tuple[str, int], float] | None = None
    ) -> tuple[Held, ...]:
        """Prolong the lease of all jobs that `owner` still runs, and say which these are: others were taken away.

        `elapsed` has the running time so far of each job and attempt.
        """
        renewed = (
            update(jobs)
            .where(jobs.c.owner == owner, jobs.c.status == Status.RUNNING)
            .values(lease_until=lease_until)
            .returning(*(jobs.c[name] for name in Held.__slots__))
        )
        with self._database.write() as connection:
            rows = connection.execute(renewed).mappings().all()
            for (job_id, attempt), seconds in (elapsed or {}).items():
                connection.execute(update(jobs).where(_held(job_id, attempt)).values(elapsed_seconds=seconds))
        return tuple(sorted((Held(**row) for row in rows), key=lambda held: held.id))

    def record_progress(
        self, job_id: str, attempt: int, progress: Progress, ended: Mapping[int, Metrics] | None = None
    ) -> bool:
        """Set the running job's progress, and add the metrics of the epochs that have ended, by number.

        An attempt that goes on from a checkpoint trains some steps again: what it tells of them does not set back what
        is known. False says that this attempt was replaced and must stop.
        """
        known_progress = select(jobs.c.progress).where(_held(job_id, attempt)).with_for_update()
        with self._database.write() as connection:
            row = connection.execute(known_progress).one_or_none()
            if row is None:
                return False
            news: dict[str, Any] = self._add_epochs(connection, job_id, ended or {})
            if not progress.is_behind(None if row.progress is None else Progress(**row.progress)):
                news["progress"] = asdict(progress)
            if news:
                connection.execute(update(jobs).where(_held(job_id, attempt)).values(**news))
            return True

    def _add_epochs(self, connection: Connection, job_id: str, ended: Mapping[int, Metrics]) -> dict[str, Metrics]:
        """Write the epochs, and return the job's metrics where the newest of all epochs is among them."""
        if not ended:
            return {}
        insertion = self._database.insert(epochs)
        added = insertion.on_conflict_do_update(
            index_elements=["job", "epoch"], set_={"metrics": insertion.excluded.metrics}
        )
        connection.execute(added, [{"job": job_id, "epoch": epoch, "metrics": row} for epoch, row in ended.items()])
        newest = connection.scalar(select(func.max(epochs.c.epoch)).where(epochs.c.job == job_id))
        return {"metrics": ended[newest]} if newest in ended else {}

    def epoch(self, job_id: str, number: int) -> Metrics | None:
        """Read the metrics of one of a job's epochs; None if none were recorded."""
        wanted = select(epochs.c.metrics).where(epochs.c.job == job_id, epochs.c.epoch == number)
        with self._database.read() as connection:
            row: Metrics | None = connection.scalar(wanted)
        return row

    def epochs_ended(self, job_id: str) -> int:
        """How many of a job's epochs have been recorded, by whichever attempt."""
        with self._database.read() as connection:
            return connection.scalar(select(func.max(epochs.c.epoch)).where(epochs.c.job == job_id)) or 0

    def record_checkpoint(self, job_id: str, attempt: int, checkpoint: Checkpoint) -> bool:
        """Make this the file from which the running job goes on; False says that this attempt was replaced.

        A checkpoint further than the last one shows that another attempt helps, so that the retries count anew.
        """
        held = _held(job_id, attempt)
        with self._database.write() as connection:
            row = connection.execute(select(jobs.c.checkpoint).where(held).with_for_update()).one_or_none()
            if row is None:
                return False
            last = row.checkpoint
            further = last is None or (checkpoint.epoch, checkpoint.step) > (last["epoch"], last["step"])
            news = {"checkpoint": checkpoint.to_json()} | ({"retries": 0} if further else {})
            connection.execute(update(jobs).where(held).values(**news))
            return True

    def record_execution(self, job_id: str, attempt: int, execution: Execution) -> bool:
        """Write down how the running job's steps are run; False says that this attempt was replaced."""
        recorded = update(jobs).where(_held(job_id, attempt)).values(execution=asdict(execution))
        with self._database.write() as connection:
            return connection.execute(recorded).rowcount == 1

    def succeed(
        self, job_id: str, attempt: int, version: NewVersion, now: datetime, elapsed: float | None = None
    ) -> Version | None:
        """Publish the version and end the job, both or neither; None says that this attempt was replaced.

        The job has succeeded, unless a client has cancelled it to keep its best weights: then it is cancelled.
        """
        held = _held(job_id, attempt)
        wishes = select(jobs.c.cancel_requested, jobs.c.keep).where(held).with_for_update()
        with self._database.write() as connection:
            row = connection.execute(wishes).one_or_none()
            if row is None:
                return None
            published = publish(self._database, connection, version, now)
            end = Status.CANCELLED if row.cancel_requested and row.keep is not None else Status.SUCCEEDED
            move(connection, Status.RUNNING, end, held, **_ended(now, elapsed), version=published.number)
            return published

    def fail(self, job_id: str, attempt: int, failure: Failure, now: datetime, elapsed: float | None = None) -> bool:
        """End the running job with its failure; False says that this attempt was replaced."""
        ended = _ended(now, elapsed) | {"failure": asdict(failure)}
        with self._database.write() as connection:
            return bool(move(connection, Status.RUNNING, Status.FAILED, _held(job_id, attempt), **ended))

    def confirm_cancelled(self, job_id: str, attempt: int, now: datetime, elapsed: float | None = None) -> bool:
        """End the running job whose cancellation was asked for; False says that this attempt was replaced."""
        with self._database.write() as connection:
            held = _held(job_id, attempt)
            return bool(move(connection, Status.RUNNING, Status.CANCELLED, held, **_ended(now, elapsed)))

    def release(self, job_id: str, attempt: int, now: datetime, elapsed: float | None = None) -> Status | None:
        """Give the running job back: paused or cancelled where a client has asked for that, else to the queue.

        Returns its new status; None says that this attempt was replaced.
        """
        with self._database.write() as connection:
            moved = _give_back(connection, _held(job_id, attempt), now, elapsed, None)
        return moved[0].status if moved else None

    def retry(
        self, job_id: str, attempt: int, retries: Retries, now: datetime, elapsed: float | None = None
    ) -> Status | None:
        """Give the running job back as `release` does, after its child was lost; too many such losses fail it."""
        with self._database.write() as connection:
            moved = _give_back(connection, _held(job_id, attempt), now, elapsed, retries)
        return moved[0].status if moved else None

    def requeue_lost(self, host_prefix: str | None, now: datetime, retries: Retries) -> tuple[Job, ...]:
        """Give back the running jobs that nobody runs any more, each as one more loss, and name what became of them.

        Lost are jobs whose lease has passed, and with a `host_prefix` all whose owner begins with "<host_prefix>:":
        a supervisor that starts knows that no earlier one of its host is left.
        """
        lost = jobs.c.lease_until < now
        if host_prefix is not None:
            start = f"{host_prefix}:"
            lost = or_(lost, func.substr(jobs.c.owner, 1, len(start)) == start)
        with self._database.write() as connection:
            moved = _give_back(connection, lost, now, None, retries)
            # The first release left jobs in the queue whose cancellation was asked for.
            moved += move(connection, Status.QUEUED, Status.CANCELLED, _UNWANTED, finished_at=now)
        return tuple(sorted(moved, key=lambda job: job.id))

    def keeping_checkpoints(self) -> set[str]:
        """Name the jobs that may go on from a checkpoint: those that have not ended, and the failed ones."""
        with self._database.read() as connection:
            return set(connection.scalars(select(jobs.c.id).where(jobs.c.status.in_((*ACTIVE, Status.FAILED)))))


#: Cancelled, and with nothing to keep.
_UNWANTED = and_(jobs.c.cancel_requested, jobs.c.keep.is_(None))


def _give_back(
    connection: Connection, which: ColumnElement[bool], now: datetime, elapsed: float | None, lost: Retries | None
) -> list[Job]:
    """Move running jobs to where clients want them, else to the queue; `lost` counts it, and can fail them."""
    values = NOBODYS | _elapsed(elapsed)
    moved = move(connection, Status.RUNNING, Status.CANCELLED, and_(which, _UNWANTED), **values, finished_at=now)
    wanted = and_(which, jobs.c.pause_requested, not_(jobs.c.cancel_requested))
    moved += move(connection, Status.RUNNING, Status.PAUSED, wanted, **values, pause_requested=False)
    if lost is not None:
        often = and_(which, jobs.c.retries >= lost.most)
        ended = _ended(now, elapsed) | {"failure": asdict(lost.failure)}
        moved += move(connection, Status.RUNNING, Status.FAILED, often, **ended)
        values = values | {"retries": jobs.c.retries + 1}
    return moved + move(connection, Status.RUNNING, Status.QUEUED, which, **values)


def _held(job_id: str, attempt: int) -> ColumnElement[bool]:
    return and_(jobs.c.id == job_id, jobs.c.attempt == attempt, jobs.c.status == Status.RUNNING)


def _ended(now: datetime, elapsed: float | None) -> dict[str, Any]:
    return {"finished_at": now, "lease_until": None, "pause_requested": False, **_elapsed(elapsed)}


def _elapsed(seconds: float | None) -> dict[str, float]:
    return {} if seconds is None else {"elapsed_seconds": seconds}
