"""Jobs as supervisors see them: claimed once, held by a lease, and ended or given back."""

import multiprocessing
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from datetime import timedelta

import pytest

from service.registry.database import Database
from service.registry.jobs import Failure, Held, Job, Jobs, Progress, Status
from service.registry.models import Models
from tests.registry.conftest import LEASE, NOON, a_version

LATER = NOON + timedelta(minutes=5)
PROGRESS = Progress(epoch=2, epochs=3, step=1, steps=4, percent=41.7, samples_per_second=None, eta_seconds=1.5)
FAILURE = Failure(code="out_of_memory", message="The child was killed.", retryable=True)


def test_the_oldest_job_is_claimed_first(submit: Callable[..., Job], jobs: Jobs) -> None:
    """It runs for its owner, as its first attempt."""
    first, second = submit(), submit()
    claimed = jobs.claim("here:sup_1", LEASE, LATER)
    assert claimed is not None
    assert (claimed.id, claimed.status, claimed.attempt) == (first.id, Status.RUNNING, 1)
    assert (claimed.owner, claimed.started_at) == ("here:sup_1", LATER)
    assert jobs.get(first.id) == claimed
    assert jobs.get(second.id).status is Status.QUEUED


def test_an_empty_queue_gives_nothing(claim: Callable[..., Job], jobs: Jobs) -> None:
    """A running job is not claimed again."""
    claim()
    assert jobs.claim("here:sup_2", LEASE, NOON) is None


def test_processes_that_claim_at_once_get_each_job_once(url: str, submit: Callable[..., Job], jobs: Jobs) -> None:
    """Four supervisors empty a queue together: no job is given twice, and none is left."""
    submitted = [submit().id for _ in range(40)]
    with ProcessPoolExecutor(4, multiprocessing.get_context("spawn")) as processes:
        shares = list(processes.map(_claim_all, [url] * 4, range(4)))
    assert sorted(job for share in shares for job in share) == submitted
    assert jobs.count_by_status()[Status.RUNNING] == 40


def test_renewing_says_what_is_still_held(claim: Callable[..., Job], jobs: Jobs) -> None:
    """An owner hears of its own running jobs, and not of another's or of ended ones."""
    mine, ended = claim(), claim()
    claim(owner="here:sup_2")
    jobs.fail(ended.id, ended.attempt, FAILURE, NOON)
    assert jobs.renew("here:sup_1", LATER) == (Held(id=mine.id, attempt=1, cancel_requested=False),)


def test_a_renewed_job_is_not_lost(claim: Callable[..., Job], jobs: Jobs) -> None:
    """The lease counts from the last renewal."""
    job = claim()
    jobs.renew("here:sup_1", LATER)
    assert jobs.requeue_lost(None, LATER) == ()
    assert jobs.requeue_lost(None, LATER + timedelta(seconds=1)) == (job.id,)


def test_progress_is_the_last_that_was_told(claim: Callable[..., Job], jobs: Jobs) -> None:
    """It comes back as it was recorded."""
    job = claim()
    assert jobs.record_progress(job.id, job.attempt, PROGRESS)
    assert jobs.get(job.id).progress == PROGRESS


def test_epochs_come_in_order_and_the_newest_is_the_jobs_metrics(claim: Callable[..., Job], jobs: Jobs) -> None:
    """A value that was not finite is None; an epoch that is told again takes the place of the first telling."""
    job = claim()
    assert jobs.epochs(job.id) == []
    for epoch in (1, 2, 10):
        assert jobs.record_epoch(job.id, job.attempt, epoch, {"loss": 1 / epoch})
    assert jobs.record_epoch(job.id, job.attempt, 2, {"loss": None})
    assert jobs.epochs(job.id) == [{"epoch": 1, "loss": 1.0}, {"epoch": 2, "loss": None}, {"epoch": 10, "loss": 0.1}]
    assert jobs.get(job.id).metrics == {"loss": None}


def test_success_publishes_and_ends_at_once(claim: Callable[..., Job], jobs: Jobs, models: Models) -> None:
    """Whoever sees `succeeded` finds the version that the job names."""
    job = claim()
    version = jobs.succeed(job.id, job.attempt, a_version(job), LATER)
    ended = jobs.get(job.id)
    assert version is not None
    assert (ended.status, ended.version, ended.finished_at) == (Status.SUCCEEDED, 1, LATER)
    assert models.version("xor", 1) == version


def test_a_publication_that_fails_leaves_the_job_running(claim: Callable[..., Job], jobs: Jobs, models: Models) -> None:
    """Neither a number nor a status is spent on a version that could not be stored."""
    job = claim()
    first = jobs.succeed(job.id, job.attempt, a_version(job), NOON)
    assert first is not None
    again = claim()
    with pytest.raises(Exception, match=r"(?i)unique"):
        jobs.succeed(again.id, again.attempt, replace(a_version(again), id=first.id), NOON)
    assert jobs.get(again.id).status is Status.RUNNING
    assert jobs.succeed(again.id, again.attempt, a_version(again), NOON) == models.version("xor", 2)


def test_a_failure_is_kept_as_it_was_told(claim: Callable[..., Job], jobs: Jobs) -> None:
    """The client reads the code, the message and whether to try again."""
    job = claim()
    assert jobs.fail(job.id, job.attempt, FAILURE, LATER)
    ended = jobs.get(job.id)
    assert (ended.status, ended.failure, ended.finished_at) == (Status.FAILED, FAILURE, LATER)


def test_a_released_job_is_the_next_to_be_claimed(
    claim: Callable[..., Job], submit: Callable[..., Job], jobs: Jobs
) -> None:
    """It keeps its place in the queue, and what its first attempt told is cleared when the second begins."""
    job = claim()
    submit()
    jobs.record_progress(job.id, 1, PROGRESS)
    jobs.record_epoch(job.id, 1, 1, {"loss": 0.5})
    assert jobs.release(job.id, 1)
    released = jobs.get(job.id)
    assert (released.status, released.owner, released.started_at) == (Status.QUEUED, None, None)
    again = jobs.claim("here:sup_2", LEASE, LATER)
    assert again is not None
    assert (again.id, again.attempt, again.progress, again.metrics) == (job.id, 2, None, None)
    assert jobs.epochs(job.id) == []


def test_an_attempt_that_was_replaced_can_write_nothing(claim: Callable[..., Job], jobs: Jobs, models: Models) -> None:
    """Every write of an old attempt says no, and the new attempt is as if nothing had happened."""
    job = claim()
    jobs.release(job.id, 1)
    current = jobs.claim("here:sup_2", LEASE, NOON)
    assert not jobs.record_progress(job.id, 1, PROGRESS)
    assert not jobs.record_epoch(job.id, 1, 1, {"loss": 0.5})
    assert jobs.succeed(job.id, 1, a_version(job), NOON) is None
    assert not jobs.fail(job.id, 1, FAILURE, NOON)
    assert not jobs.confirm_cancelled(job.id, 1, NOON)
    assert not jobs.release(job.id, 1)
    assert jobs.get(job.id) == current
    assert jobs.epochs(job.id) == []
    assert models.page(None, 9).items == ()


def test_an_ended_job_can_not_be_ended_again(claim: Callable[..., Job], jobs: Jobs) -> None:
    """The first end stays, even for the same attempt."""
    job = claim()
    jobs.succeed(job.id, 1, a_version(job), NOON)
    ended = jobs.get(job.id)
    assert not jobs.fail(job.id, 1, FAILURE, LATER)
    assert not jobs.record_progress(job.id, 1, PROGRESS)
    assert not jobs.release(job.id, 1)
    assert jobs.get(job.id) == ended


def test_a_host_that_starts_takes_back_its_own_jobs(claim: Callable[..., Job], jobs: Jobs) -> None:
    """Jobs of its earlier supervisors are queued at once, those of hosts with a longer or other name are not."""
    mine = claim(owner="here:sup_1")
    for owner in ("here2:sup_1", "HERE:sup_1", "her_:sup_1", "there:sup_1"):
        claim(owner=owner)
    assert jobs.requeue_lost("here", NOON) == (mine.id,)
    assert jobs.get(mine.id).status is Status.QUEUED
    assert jobs.count_by_status()[Status.RUNNING] == 4


def test_a_lost_job_that_was_to_end_is_cancelled(claim: Callable[..., Job], jobs: Jobs) -> None:
    """It is not trained once more only to be stopped."""
    unwanted, wanted = claim(), claim()
    jobs.cancel(unwanted.id, NOON)
    assert jobs.requeue_lost(None, LATER) == (unwanted.id, wanted.id)
    assert jobs.get(unwanted.id).status is Status.CANCELLED
    assert jobs.get(unwanted.id).finished_at == LATER
    assert jobs.get(wanted.id).status is Status.QUEUED


def test_a_released_job_that_was_to_end_is_cancelled_too(claim: Callable[..., Job], jobs: Jobs) -> None:
    """A shutdown can release a job before its cancellation was obeyed."""
    job = claim()
    jobs.cancel(job.id, NOON)
    jobs.release(job.id, 1)
    assert jobs.requeue_lost("here", LATER) == (job.id,)
    assert jobs.get(job.id).status is Status.CANCELLED


def _claim_all(url: str, number: int) -> list[str]:
    """Runs in a process of its own."""
    database = Database(url)
    try:
        return [job.id for job in iter(lambda: Jobs(database).claim(f"here:sup_{number}", LEASE, NOON), None)]
    finally:
        database.close()
