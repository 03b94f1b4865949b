"""Jobs as clients see them: submitted, read, listed, paused, resumed, cancelled and deleted."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from functools import partial

import pytest

from service.errors import Conflict, Invalid, NotFound
from service.registry.claims import Claims
from service.registry.database import Database
from service.registry.datasets import Dataset, Datasets
from service.registry.job import Checkpoint, Failure, Job, NewJob, TimeLimit
from service.registry.jobs import Jobs
from service.registry.models import Models
from service.registry.moves import TRANSITIONS, move
from service.registry.tables import Status
from service.registry.tables import jobs as table
from tests.registry.conftest import LEASE, NOON, REQUEST, progress

FAILURE = Failure(code="diverged", message="The loss is not a number.", retryable=False, advice="Lower learning_rate.")
RETRYABLE = replace(FAILURE, retryable=True)
CHECKPOINT = Checkpoint(name="c1", epoch=1, step=4, written_at=NOON)


def test_a_submitted_job_is_queued(submit: Callable[..., Job], jobs: Jobs, dataset: Dataset) -> None:
    """It has what the client asked for, and nothing has happened to it yet."""
    job = submit("xor")
    assert jobs.get(job.id) == job
    assert job == Job(
        id=job.id,
        model="xor",
        status=Status.QUEUED,
        request=REQUEST,
        dataset=dataset.id,
        validation_dataset=None,
        attempt=0,
        owner=None,
        created_at=NOON,
        started_at=None,
        finished_at=None,
        progress=None,
        metrics=None,
        version=None,
        failure=None,
        cancel_requested=False,
        pause_requested=False,
        keep=None,
        priority=0,
        time_limit_seconds=None,
        elapsed_seconds=0.0,
        retries=0,
        checkpoint=None,
        execution=None,
        initial_version=None,
    )


def test_times_come_out_in_utc(submit: Callable[..., Job], jobs: Jobs) -> None:
    """A time of another zone is the same moment afterwards, and named in UTC."""
    berlin = datetime(2026, 3, 1, 13, tzinfo=timezone(timedelta(hours=1)))
    created = jobs.get(submit(now=berlin).id).created_at
    assert created == berlin
    assert created.tzinfo is UTC


def test_a_time_without_a_zone_is_refused(submit: Callable[..., Job]) -> None:
    """A clock that does not say its zone is a fault of the program."""
    with pytest.raises(Exception, match="has no zone"):
        submit(now=NOON.replace(tzinfo=None))


def test_a_value_that_json_lacks_is_refused(jobs: Jobs, dataset: Dataset) -> None:
    """NaN would be stored by SQLite and refused by PostgreSQL, so that neither gets it."""
    with pytest.raises(Exception, match="not JSON compliant"):
        jobs.submit(NewJob(model="xor", request={"seed": float("nan")}, dataset=dataset.id), NOON)


def test_a_job_needs_its_data_sets(jobs: Jobs) -> None:
    """A job whose data sets were deleted meanwhile is refused, and all that lack are named."""
    with pytest.raises(Conflict, match="ds_x and ds_y was deleted"):
        jobs.submit(NewJob(model="xor", request=REQUEST, dataset="ds_x", validation_dataset="ds_y"), NOON)


def test_what_is_not_there_is_not_found(jobs: Jobs) -> None:
    """Whatever is done with an unknown job, the answer says how to find the known ones."""
    cancel = partial(jobs.cancel, now=NOON)
    for action in (jobs.get, jobs.delete, jobs.epochs, jobs.pause, jobs.resume, cancel):
        with pytest.raises(NotFound, match="list the jobs"):
            action("job_none")


def test_pages_go_from_the_newest_to_the_oldest(submit: Callable[..., Job], jobs: Jobs) -> None:
    """Following the cursors shows each job once, also when newer ones come in between."""
    submitted = [submit() for _ in range(5)]
    first = jobs.page(None, None, None, 2)
    submit()
    second = jobs.page(None, None, first.next_cursor, 2)
    third = jobs.page(None, None, second.next_cursor, 2)
    assert [*first.items, *second.items, *third.items] == submitted[::-1]
    assert third.next_cursor is None


def test_pages_can_be_of_one_status_and_one_model(submit: Callable[..., Job], claims: Claims, jobs: Jobs) -> None:
    """Both conditions hold together."""
    oldest, _, cancelled, other = submit("xor"), submit("xor"), submit("xor"), submit("and")
    claims.claim("here:sup_1", LEASE, NOON)
    jobs.cancel(cancelled.id, NOON)
    assert [job.id for job in jobs.page(Status.RUNNING, None, None, 9).items] == [oldest.id]
    assert [job.id for job in jobs.page(None, "and", None, 9).items] == [other.id]
    assert [job.id for job in jobs.page(Status.CANCELLED, "xor", None, 9).items] == [cancelled.id]
    assert jobs.page(Status.CANCELLED, "and", None, 9).items == ()


def test_a_made_up_cursor_is_invalid(jobs: Jobs) -> None:
    """The client is told where cursors come from."""
    with pytest.raises(Invalid, match="next_cursor"):
        jobs.page(None, None, "%", 2)


def test_jobs_are_counted_in_each_status(submit: Callable[..., Job], claims: Claims, jobs: Jobs) -> None:
    """A status without jobs counts 0."""
    for _ in range(3):
        submit()
    claims.claim("here:sup_1", LEASE, NOON)
    assert jobs.count_by_status() == dict.fromkeys(Status, 0) | {Status.QUEUED: 2, Status.RUNNING: 1}


def test_a_queued_job_is_cancelled_at_once(submit: Callable[..., Job], claims: Claims, jobs: Jobs) -> None:
    """Nobody has to be asked, and no supervisor gets it any more."""
    job = jobs.cancel(submit().id, NOON)
    assert job.status is Status.CANCELLED
    assert job.finished_at == NOON
    assert claims.claim("here:sup_1", LEASE, NOON) is None


def test_a_running_job_is_asked_to_end(claim: Callable[..., Job], claims: Claims, jobs: Jobs) -> None:
    """It stays running until its supervisor confirms."""
    job = claim()
    assert jobs.cancel(job.id, NOON) == replace(job, cancel_requested=True)
    assert claims.renew("here:sup_1", LEASE)[0].cancel_requested
    assert claims.confirm_cancelled(job.id, job.attempt, NOON)
    assert jobs.get(job.id).status is Status.CANCELLED
    assert jobs.get(job.id).finished_at == NOON


def test_cancelling_twice_has_the_same_answer(submit: Callable[..., Job], jobs: Jobs) -> None:
    """A client may repeat its request; the time of the first one stays."""
    job = jobs.cancel(submit().id, NOON)
    assert jobs.cancel(job.id, NOON + timedelta(hours=1)) == job


def test_an_ended_job_cannot_be_cancelled(claim: Callable[..., Job], claims: Claims, jobs: Jobs) -> None:
    """The answer says how it has ended."""
    job = claim()
    claims.fail(job.id, job.attempt, FAILURE, NOON)
    with pytest.raises(Conflict, match="has already failed"):
        jobs.cancel(job.id, NOON)


def test_only_an_ended_job_can_be_deleted(claim: Callable[..., Job], claims: Claims, jobs: Jobs) -> None:
    """Its epochs go with it."""
    job = claim()
    claims.record_progress(job.id, job.attempt, progress(1, 4), {1: {"loss": 0.5}})
    with pytest.raises(Conflict, match=r"is running.*cancel it first"):
        jobs.delete(job.id)
    claims.fail(job.id, job.attempt, FAILURE, NOON)
    jobs.delete(job.id)
    for action in (jobs.get, jobs.epochs):
        with pytest.raises(NotFound):
            action(job.id)


def test_a_job_keeps_what_it_was_submitted_with(submit: Callable[..., Job], jobs: Jobs) -> None:
    """Priority and time limit come back, also when there are none."""
    job = submit(priority=-3, time_limit_seconds=60.0)
    assert (jobs.get(job.id).priority, jobs.get(job.id).time_limit_seconds) == (-3, 60.0)


def test_a_job_needs_the_version_that_it_starts_from(
    submit: Callable[..., Job], models: Models, train: Callable[..., int]
) -> None:
    """One that was deleted meanwhile is refused."""
    train("xor")
    version = models.latest("xor")
    assert submit(initial_version=version.id).initial_version == version.id
    with pytest.raises(Conflict, match="version to start from was deleted"):
        submit(initial_version="ver_none")


def test_a_queued_job_is_paused_at_once(submit: Callable[..., Job], claims: Claims, jobs: Jobs) -> None:
    """No supervisor gets it, it still holds its data, and pausing it again changes nothing."""
    job = jobs.pause(submit().id)
    assert (job.status, job.finished_at) == (Status.PAUSED, None)
    assert claims.claim("here:sup_1", LEASE, NOON) is None
    assert jobs.pause(job.id) == job
    with pytest.raises(Conflict, match="is paused"):
        jobs.delete(job.id)


def test_a_running_job_is_asked_to_pause(claim: Callable[..., Job], claims: Claims, jobs: Jobs) -> None:
    """It stays running until its child has written a checkpoint; a resume withdraws the request."""
    job = claim()
    assert jobs.pause(job.id) == replace(job, pause_requested=True)
    assert claims.renew("here:sup_1", LEASE)[0].pause_requested
    assert jobs.resume(job.id) == job


def test_what_has_ended_or_is_to_end_cannot_be_paused(claim: Callable[..., Job], claims: Claims, jobs: Jobs) -> None:
    """The answer says how it has ended, or that it is being cancelled."""
    ended, ending = claim(), claim()
    claims.fail(ended.id, 1, FAILURE, NOON)
    jobs.cancel(ending.id, NOON)
    with pytest.raises(Conflict, match="has failed"):
        jobs.pause(ended.id)
    with pytest.raises(Conflict, match="is being cancelled"):
        jobs.pause(ending.id)


def test_a_paused_job_is_resumed(submit: Callable[..., Job], claims: Claims, jobs: Jobs) -> None:
    """It takes its place in the queue again; resuming it twice changes nothing."""
    job = submit()
    jobs.pause(job.id)
    assert jobs.resume(job.id) == job == jobs.resume(job.id)
    claimed = claims.claim("here:sup_1", LEASE, NOON)
    assert claimed is not None
    assert claimed.id == job.id


def test_a_failed_job_that_is_retryable_is_resumed(claim: Callable[..., Job], claims: Claims, jobs: Jobs) -> None:
    """Its failure and its end are forgotten, its checkpoint and its epochs are not."""
    job = claim()
    claims.record_progress(job.id, 1, progress(1, 4), {1: {"loss": 0.5}})
    claims.record_checkpoint(job.id, 1, CHECKPOINT)
    claims.fail(job.id, 1, RETRYABLE, NOON)
    resumed = jobs.resume(job.id)
    assert (resumed.status, resumed.failure, resumed.finished_at) == (Status.QUEUED, None, None)
    assert (resumed.retries, resumed.checkpoint) == (0, CHECKPOINT)
    assert jobs.epochs(job.id) == [{"epoch": 1, "loss": 0.5}]


def test_a_failure_that_would_come_again_is_final(claim: Callable[..., Job], claims: Claims, jobs: Jobs) -> None:
    """So is a cancel; both answers say why."""
    failed, cancelled = claim(), claim()
    claims.fail(failed.id, 1, FAILURE, NOON)
    claims.confirm_cancelled(cancelled.id, 1, NOON)
    with pytest.raises(Conflict, match="would fail so again: The loss is not a number"):
        jobs.resume(failed.id)
    with pytest.raises(Conflict, match="was cancelled"):
        jobs.resume(cancelled.id)


def test_a_job_whose_time_is_over_needs_more(claim: Callable[..., Job], claims: Claims, jobs: Jobs) -> None:
    """Without a higher limit it would only end again; null takes the limit away."""
    job = claim(time_limit_seconds=60.0)
    claims.fail(job.id, 1, RETRYABLE, NOON, 60.5)
    with pytest.raises(Conflict, match=r"60\.5 s.*higher time_limit_seconds"):
        jobs.resume(job.id)
    with pytest.raises(Conflict):
        jobs.resume(job.id, TimeLimit(seconds=60.5))
    assert jobs.resume(job.id, TimeLimit(seconds=None)).time_limit_seconds is None


def test_a_failed_job_is_not_resumed_without_its_data(
    claim: Callable[..., Job], claims: Claims, jobs: Jobs, datasets: Datasets
) -> None:
    """A failed job does not hold its data set, so that it may be gone."""
    job = claim()
    claims.fail(job.id, 1, RETRYABLE, NOON)
    datasets.delete(job.dataset)
    with pytest.raises(Conflict, match="was deleted meanwhile"):
        jobs.resume(job.id)


def test_a_paused_job_is_cancelled_at_once(submit: Callable[..., Job], jobs: Jobs) -> None:
    """Also if its best weights were to be kept, where it has none."""
    plain, keeping = submit(), submit()
    for job, keep in ((plain, None), (keeping, "best")):
        jobs.pause(job.id)
        assert jobs.cancel(job.id, NOON, keep).status is Status.CANCELLED  # type: ignore[arg-type]


@pytest.mark.parametrize("paused", [False, True])
def test_a_job_with_a_checkpoint_is_queued_to_keep_its_best(
    claim: Callable[..., Job], claims: Claims, jobs: Jobs, paused: bool
) -> None:
    """A child has to make the version; until then it can still be cancelled at once."""
    job = claim()
    claims.record_checkpoint(job.id, 1, CHECKPOINT)
    if paused:
        jobs.pause(job.id)
    claims.release(job.id, 1, NOON)
    waiting = jobs.cancel(job.id, NOON, "best")
    assert (waiting.status, waiting.cancel_requested, waiting.keep) == (Status.QUEUED, True, "best")
    assert jobs.resume(job.id) == waiting
    assert jobs.cancel(job.id, NOON).status is Status.CANCELLED


def test_a_cancel_at_once_overrides_one_that_keeps(claim: Callable[..., Job], jobs: Jobs) -> None:
    """The other way round nothing changes: the child is ending already."""
    keeping, plain = claim(), claim()
    assert jobs.cancel(keeping.id, NOON, "best").keep == "best"
    assert jobs.cancel(keeping.id, NOON).keep is None
    jobs.cancel(plain.id, NOON)
    assert jobs.cancel(plain.id, NOON, "best").keep is None


def test_a_cancel_overrides_a_pause(claim: Callable[..., Job], jobs: Jobs) -> None:
    """The later wish counts."""
    job = claim()
    jobs.pause(job.id)
    assert not jobs.cancel(job.id, NOON).pause_requested


def test_only_a_resume_follows_an_end() -> None:
    """The table of moves and `is_terminal` say the same, but that a failed job can go back to the queue."""
    assert set(TRANSITIONS) == set(Status)
    for status, targets in TRANSITIONS.items():
        if status.is_terminal:
            assert targets == ((Status.QUEUED,) if status is Status.FAILED else ())
        else:
            assert targets


def test_no_other_move_is_made(database: Database) -> None:
    """A move that the table does not have is a fault of the program, and changes nothing."""
    with database.write() as connection, pytest.raises(ValueError, match="never goes from succeeded to queued"):
        move(connection, Status.SUCCEEDED, Status.QUEUED, table.c.id == "job_1")
