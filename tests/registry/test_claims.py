"""Jobs as supervisors see them: claimed once, held by a lease, followed, and ended or given back."""

import multiprocessing
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from datetime import timedelta

import pytest

from service.registry.claims import Claims
from service.registry.database import Database
from service.registry.job import Checkpoint, Execution, Failure, Held, Job, Retries
from service.registry.jobs import Jobs
from service.registry.models import Models
from service.registry.tables import Status
from tests.registry.conftest import LEASE, NOON, a_version, progress

LATER = NOON + timedelta(minutes=5)
FAILURE = Failure(code="out_of_memory", message="The child was killed.", retryable=True)
LOST = Failure(code="worker_lost", message="It was lost too often.", retryable=True)
RETRIES = Retries(most=2, failure=LOST)
EXECUTION = Execution(jit_compile=True, threads=2, chosen_by="measurement", measurements=[{"step_seconds": 0.1}])


def checkpoint(epoch: int, step: int) -> Checkpoint:
    return Checkpoint(name=f"{epoch}-{step}.ckpt", epoch=epoch, step=step, written_at=LATER)


def test_the_oldest_job_is_claimed_first(submit: Callable[..., Job], claims: Claims, jobs: Jobs) -> None:
    """It runs for its owner, as its first attempt."""
    first, second = submit(), submit()
    claimed = claims.claim("here:sup_1", LEASE, LATER)
    assert claimed is not None
    assert (claimed.id, claimed.status, claimed.attempt) == (first.id, Status.RUNNING, 1)
    assert (claimed.owner, claimed.started_at) == ("here:sup_1", LATER)
    assert jobs.get(first.id) == claimed
    assert jobs.get(second.id).status is Status.QUEUED


def test_a_higher_priority_is_claimed_before_an_older_job(submit: Callable[..., Job], claims: Claims) -> None:
    """Of equal priorities the older one goes first, and a negative one comes after all others."""
    low, normal, high, next_high = submit(priority=-1), submit(), submit(priority=5), submit(priority=5)
    order = [claims.claim("here:sup_1", LEASE, NOON) for _ in range(4)]
    assert [job and job.id for job in order] == [high.id, next_high.id, normal.id, low.id]


def test_an_empty_queue_gives_nothing(claim: Callable[..., Job], claims: Claims) -> None:
    """A running job is not claimed again."""
    claim()
    assert claims.claim("here:sup_2", LEASE, NOON) is None


def test_processes_that_claim_at_once_get_each_job_once(url: str, submit: Callable[..., Job], jobs: Jobs) -> None:
    """Four supervisors empty a queue together: no job is given twice, and none is left."""
    submitted = [submit().id for _ in range(40)]
    with ProcessPoolExecutor(4, multiprocessing.get_context("spawn")) as processes:
        shares = list(processes.map(_claim_all, [url] * 4, range(4)))
    assert sorted(job for share in shares for job in share) == submitted
    assert jobs.count_by_status()[Status.RUNNING] == 40


def test_renewing_says_what_is_still_held(claim: Callable[..., Job], claims: Claims) -> None:
    """An owner hears of its own running jobs, and not of another's or of ended ones."""
    mine, ended = claim(), claim()
    claim(owner="here:sup_2")
    claims.fail(ended.id, ended.attempt, FAILURE, NOON)
    held = Held(id=mine.id, attempt=1, cancel_requested=False, pause_requested=False, keep=None)
    assert claims.renew("here:sup_1", LATER) == (held,)


def test_renewing_counts_the_running_time(claim: Callable[..., Job], claims: Claims, jobs: Jobs) -> None:
    """It is that of the named attempt; an attempt that was replaced does not change it."""
    job = claim()
    claims.renew("here:sup_1", LATER, {(job.id, 1): 2.5})
    assert jobs.get(job.id).elapsed_seconds == 2.5
    claims.renew("here:sup_1", LATER, {(job.id, 7): 99.0})
    assert jobs.get(job.id).elapsed_seconds == 2.5


def test_a_renewed_job_is_not_lost(claim: Callable[..., Job], claims: Claims) -> None:
    """The lease counts from the last renewal."""
    job = claim()
    claims.renew("here:sup_1", LATER)
    assert claims.requeue_lost(None, LATER, RETRIES) == ()
    assert [lost.id for lost in claims.requeue_lost(None, LATER + timedelta(seconds=1), RETRIES)] == [job.id]


def test_progress_is_the_furthest_that_was_told(claim: Callable[..., Job], claims: Claims, jobs: Jobs) -> None:
    """Steps that are trained again after a resume do not set it back; the same step told again counts."""
    job = claim()
    for told, known in (((2, 1), (2, 1)), ((1, 4), (2, 1)), ((2, 0), (2, 1)), ((2, 1), (2, 1)), ((3, 0), (3, 0))):
        assert claims.record_progress(job.id, job.attempt, progress(*told))
        assert jobs.get(job.id).progress == progress(*known)


def test_epochs_come_in_order_and_the_newest_is_the_jobs_metrics(
    claim: Callable[..., Job], claims: Claims, jobs: Jobs
) -> None:
    """They come with the progress; an epoch that is told again is replaced, and does not become the newest by that."""
    job = claim()
    assert jobs.epochs(job.id) == []
    assert claims.record_progress(job.id, 1, progress(3, 0), {1: {"loss": 1.0}, 2: {"loss": 0.5}})
    assert claims.record_progress(job.id, 1, progress(11, 0), {10: {"loss": 0.1}})
    assert claims.record_progress(job.id, 1, progress(3, 0), {2: {"loss": None}})
    assert jobs.epochs(job.id) == [{"epoch": 1, "loss": 1.0}, {"epoch": 2, "loss": None}, {"epoch": 10, "loss": 0.1}]
    assert jobs.get(job.id).metrics == {"loss": 0.1}
    assert jobs.get(job.id).progress == progress(11, 0)
    assert claims.epochs_ended(job.id) == 10
    assert claims.epochs_ended("job_of_nobody") == 0


def test_progress_and_its_epochs_are_written_together(claim: Callable[..., Job], claims: Claims, jobs: Jobs) -> None:
    """A row that cannot be stored leaves the progress as it was."""
    job = claim()
    with pytest.raises(Exception, match="not JSON compliant"):
        claims.record_progress(job.id, 1, progress(2, 0), {1: {"loss": float("nan")}})
    assert jobs.get(job.id).progress is None
    assert jobs.epochs(job.id) == []


def test_the_checkpoint_is_the_last_that_was_told(claim: Callable[..., Job], claims: Claims, jobs: Jobs) -> None:
    """It comes back as it was recorded, also when it is behind the one before, whose file could not be read."""
    job = claim()
    for told in (checkpoint(2, 3), checkpoint(1, 4)):
        assert claims.record_checkpoint(job.id, 1, told)
        assert jobs.get(job.id).checkpoint == told


def test_the_execution_is_kept_for_later_attempts(claim: Callable[..., Job], claims: Claims) -> None:
    """The next attempt reads it from the job that it claims."""
    job = claim()
    assert claims.record_execution(job.id, 1, EXECUTION)
    claims.release(job.id, 1, NOON)
    again = claims.claim("here:sup_2", LEASE, LATER)
    assert again is not None
    assert again.execution == EXECUTION


def test_success_publishes_and_ends_at_once(
    claim: Callable[..., Job], claims: Claims, jobs: Jobs, models: Models
) -> None:
    """Whoever sees `succeeded` finds the version that the job names."""
    job = claim()
    version = claims.succeed(job.id, job.attempt, a_version(job), LATER, 7.5)
    ended = jobs.get(job.id)
    assert version is not None
    assert (ended.status, ended.version, ended.finished_at) == (Status.SUCCEEDED, 1, LATER)
    assert ended.elapsed_seconds == 7.5
    assert models.version("xor", 1) == version


def test_a_job_that_was_to_keep_its_best_is_cancelled_with_a_version(
    claim: Callable[..., Job], claims: Claims, jobs: Jobs, models: Models
) -> None:
    """The version is published with the end of the job, as for a success."""
    job = claim()
    jobs.cancel(job.id, NOON, "best")
    version = claims.succeed(job.id, job.attempt, a_version(job), LATER)
    ended = jobs.get(job.id)
    assert (ended.status, ended.version, ended.finished_at) == (Status.CANCELLED, 1, LATER)
    assert models.version("xor", 1) == version


def test_a_publication_that_fails_leaves_the_job_running(
    claim: Callable[..., Job], claims: Claims, jobs: Jobs, models: Models
) -> None:
    """Neither a number nor a status is spent on a version that could not be stored."""
    job = claim()
    first = claims.succeed(job.id, job.attempt, a_version(job), NOON)
    assert first is not None
    again = claim()
    with pytest.raises(Exception, match=r"(?i)unique"):
        claims.succeed(again.id, again.attempt, replace(a_version(again), id=first.id), NOON)
    assert jobs.get(again.id).status is Status.RUNNING
    assert claims.succeed(again.id, again.attempt, a_version(again), NOON) == models.version("xor", 2)


def test_a_failure_is_kept_as_it_was_told(claim: Callable[..., Job], claims: Claims, jobs: Jobs) -> None:
    """The client reads the code, the message and whether to try again."""
    job = claim()
    assert claims.fail(job.id, job.attempt, FAILURE, LATER, 3.0)
    ended = jobs.get(job.id)
    assert (ended.status, ended.failure, ended.finished_at) == (Status.FAILED, FAILURE, LATER)
    assert ended.elapsed_seconds == 3.0


def test_a_released_job_goes_on_where_it_was(
    claim: Callable[..., Job], submit: Callable[..., Job], claims: Claims, jobs: Jobs
) -> None:
    """It keeps its place in the queue, its checkpoint, and what it told; a release is no loss."""
    job = claim()
    submit()
    claims.record_progress(job.id, 1, progress(2, 1), {1: {"loss": 0.5}})
    claims.record_checkpoint(job.id, 1, checkpoint(2, 0))
    assert claims.release(job.id, 1, NOON, 4.0) is Status.QUEUED
    released = jobs.get(job.id)
    assert (released.owner, released.started_at, released.retries) == (None, None, 0)
    again = claims.claim("here:sup_2", LEASE, LATER)
    assert again is not None
    assert (again.id, again.attempt, again.progress, again.metrics) == (job.id, 2, progress(2, 1), {"loss": 0.5})
    assert (again.checkpoint, again.elapsed_seconds) == (checkpoint(2, 0), 4.0)
    assert jobs.epochs(job.id) == [{"epoch": 1, "loss": 0.5}]


def test_a_job_that_was_to_be_paused_is_released_as_paused(
    claim: Callable[..., Job], claims: Claims, jobs: Jobs
) -> None:
    """Nobody claims it before it is resumed."""
    job = claim()
    jobs.pause(job.id)
    assert claims.release(job.id, 1, NOON) is Status.PAUSED
    paused = jobs.get(job.id)
    assert (paused.pause_requested, paused.owner, paused.finished_at) == (False, None, None)
    assert claims.claim("here:sup_1", LEASE, NOON) is None


def test_a_pause_that_was_withdrawn_releases_into_the_queue(
    claim: Callable[..., Job], claims: Claims, jobs: Jobs
) -> None:
    """The child may have obeyed before the withdrawal was seen."""
    job = claim()
    jobs.pause(job.id)
    jobs.resume(job.id)
    assert claims.release(job.id, 1, NOON) is Status.QUEUED


@pytest.mark.parametrize(("keep", "status"), [(None, Status.CANCELLED), ("best", Status.QUEUED)])
def test_a_cancelled_job_is_released_only_to_keep_its_best(
    claim: Callable[..., Job], claims: Claims, jobs: Jobs, keep: str | None, status: Status
) -> None:
    """With nothing to keep it has ended; else another attempt makes the version."""
    job = claim()
    jobs.cancel(job.id, NOON, keep)  # type: ignore[arg-type]
    assert claims.release(job.id, 1, LATER) is status
    assert jobs.get(job.id).finished_at == (LATER if keep is None else None)


def test_a_lost_child_is_retried_until_it_was_lost_too_often(
    claim: Callable[..., Job], claims: Claims, jobs: Jobs
) -> None:
    """Two losses in a row go back to the queue, the third is the end, with the failure that was given."""
    job = claim()
    for attempt in (1, 2):
        assert claims.retry(job.id, attempt, RETRIES, NOON, float(attempt)) is Status.QUEUED
        assert jobs.get(job.id).retries == attempt
        claims.claim("here:sup_1", LEASE, NOON)
    assert claims.retry(job.id, 3, RETRIES, LATER, 3.0) is Status.FAILED
    ended = jobs.get(job.id)
    assert (ended.failure, ended.finished_at, ended.elapsed_seconds) == (LOST, LATER, 3.0)


def test_a_checkpoint_that_is_further_lets_the_retries_count_anew(
    claim: Callable[..., Job], claims: Claims, jobs: Jobs
) -> None:
    """One at the same step, written by an attempt that only came as far as the one before, does not."""
    job = claim()
    for attempt, step, retries in ((1, 1, 0), (2, 1, 1), (3, 2, 0)):
        claims.record_checkpoint(job.id, attempt, checkpoint(1, step))
        assert jobs.get(job.id).retries == retries
        claims.retry(job.id, attempt, RETRIES, NOON)
        claims.claim("here:sup_1", LEASE, NOON)


def test_what_clients_want_of_a_lost_job_comes_first(claim: Callable[..., Job], claims: Claims, jobs: Jobs) -> None:
    """A job that was lost too often fails, but one that was to be paused or cancelled is."""
    never = Retries(most=0, failure=LOST)
    paused, cancelled = claim(), claim()
    jobs.pause(paused.id)
    jobs.cancel(cancelled.id, NOON)
    assert claims.retry(paused.id, 1, never, NOON) is Status.PAUSED
    assert claims.retry(cancelled.id, 1, never, NOON) is Status.CANCELLED


def test_an_attempt_that_was_replaced_can_write_nothing(
    claim: Callable[..., Job], claims: Claims, jobs: Jobs, models: Models
) -> None:
    """Every write of an old attempt says no, and the new attempt is as if nothing had happened."""
    job = claim()
    claims.release(job.id, 1, NOON)
    current = claims.claim("here:sup_2", LEASE, NOON)
    assert not claims.record_progress(job.id, 1, progress(2, 1), {1: {"loss": 0.5}})
    assert not claims.record_checkpoint(job.id, 1, checkpoint(2, 1))
    assert not claims.record_execution(job.id, 1, EXECUTION)
    assert claims.succeed(job.id, 1, a_version(job), NOON) is None
    assert not claims.fail(job.id, 1, FAILURE, NOON)
    assert not claims.confirm_cancelled(job.id, 1, NOON)
    assert claims.release(job.id, 1, NOON) is None
    assert claims.retry(job.id, 1, RETRIES, NOON) is None
    claims.renew("here:sup_1", LATER, {(job.id, 1): 9.0})
    assert jobs.get(job.id) == current
    assert jobs.epochs(job.id) == []
    assert models.page(None, 9).items == ()


def test_an_ended_job_can_not_be_ended_again(claim: Callable[..., Job], claims: Claims, jobs: Jobs) -> None:
    """The first end stays, even for the same attempt."""
    job = claim()
    claims.succeed(job.id, 1, a_version(job), NOON)
    ended = jobs.get(job.id)
    assert not claims.fail(job.id, 1, FAILURE, LATER)
    assert not claims.record_progress(job.id, 1, progress(2, 1))
    assert not claims.record_checkpoint(job.id, 1, checkpoint(2, 1))
    assert claims.release(job.id, 1, LATER) is None
    assert claims.retry(job.id, 1, RETRIES, LATER) is None
    assert jobs.get(job.id) == ended


def test_a_host_that_starts_takes_back_its_own_jobs(claim: Callable[..., Job], claims: Claims, jobs: Jobs) -> None:
    """Jobs of its earlier supervisors are queued at once, those of hosts with a longer or other name are not."""
    mine = claim(owner="here:sup_1")
    for owner in ("here2:sup_1", "HERE:sup_1", "her_:sup_1", "there:sup_1"):
        claim(owner=owner)
    (lost,) = claims.requeue_lost("here", NOON, RETRIES)
    assert (lost.id, lost.status, lost.retries) == (mine.id, Status.QUEUED, 1)
    assert jobs.count_by_status()[Status.RUNNING] == 4


def test_an_ended_job_is_never_lost(claim: Callable[..., Job], claims: Claims, jobs: Jobs) -> None:
    """A failed job stays failed when its supervisor's host starts again, though it could be resumed."""
    failed, paused = claim(), claim()
    claims.fail(failed.id, 1, FAILURE, NOON)
    jobs.pause(paused.id)
    claims.release(paused.id, 1, NOON)
    assert claims.requeue_lost("here", LATER, RETRIES) == ()
    assert jobs.get(failed.id).status is Status.FAILED
    assert jobs.get(paused.id).status is Status.PAUSED


def test_a_job_that_was_lost_too_often_fails(claim: Callable[..., Job], claims: Claims, jobs: Jobs) -> None:
    """A supervisor that dies counts as a child that does."""
    job = claim()
    (lost,) = claims.requeue_lost(None, LATER, Retries(most=0, failure=LOST))
    assert (lost.id, lost.status, lost.failure) == (job.id, Status.FAILED, LOST)


def test_a_lost_job_that_was_to_end_is_cancelled(claim: Callable[..., Job], claims: Claims, jobs: Jobs) -> None:
    """It is not trained once more only to be stopped, unless its best weights are to be kept."""
    unwanted, wanted, kept, paused = claim(), claim(), claim(), claim()
    jobs.cancel(unwanted.id, NOON)
    jobs.cancel(kept.id, NOON, "best")
    jobs.pause(paused.id)
    lost = claims.requeue_lost(None, LATER, RETRIES)
    assert {job.id: job.status for job in lost} == {
        unwanted.id: Status.CANCELLED,
        wanted.id: Status.QUEUED,
        kept.id: Status.QUEUED,
        paused.id: Status.PAUSED,
    }
    assert jobs.get(unwanted.id).finished_at == LATER


def test_checkpoints_are_kept_for_what_can_go_on(claim: Callable[..., Job], claims: Claims) -> None:
    """Jobs that have not ended and failed ones keep theirs, others do not."""
    failed, succeeded, running = claim(), claim(), claim()
    claims.fail(failed.id, 1, FAILURE, NOON)
    claims.succeed(succeeded.id, 1, a_version(succeeded), NOON)
    assert claims.keeping_checkpoints() == {failed.id, running.id}


def _claim_all(url: str, number: int) -> list[str]:
    """Runs in a process of its own."""
    database = Database(url)
    try:
        return [job.id for job in iter(lambda: Claims(database).claim(f"here:sup_{number}", LEASE, NOON), None)]
    finally:
        database.close()
