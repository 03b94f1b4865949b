"""Jobs as clients see them: submitted, read, listed, cancelled and deleted."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone

import pytest

from service.errors import Conflict, Invalid, NotFound
from service.registry.datasets import Dataset
from service.registry.jobs import TRANSITIONS, Failure, Job, Jobs, NewJob, Status
from tests.registry.conftest import LEASE, NOON, REQUEST

FAILURE = Failure(code="diverged", message="The loss is not a number.", retryable=False, advice="Lower learning_rate.")


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
    for action in (jobs.get, jobs.delete, jobs.epochs, lambda job_id: jobs.cancel(job_id, NOON)):
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


def test_pages_can_be_of_one_status_and_one_model(submit: Callable[..., Job], jobs: Jobs) -> None:
    """Both conditions hold together."""
    oldest, _, cancelled, other = submit("xor"), submit("xor"), submit("xor"), submit("and")
    jobs.claim("here:sup_1", LEASE, NOON)
    jobs.cancel(cancelled.id, NOON)
    assert [job.id for job in jobs.page(Status.RUNNING, None, None, 9).items] == [oldest.id]
    assert [job.id for job in jobs.page(None, "and", None, 9).items] == [other.id]
    assert [job.id for job in jobs.page(Status.CANCELLED, "xor", None, 9).items] == [cancelled.id]
    assert jobs.page(Status.CANCELLED, "and", None, 9).items == ()


def test_a_made_up_cursor_is_invalid(jobs: Jobs) -> None:
    """The client is told where cursors come from."""
    with pytest.raises(Invalid, match="next_cursor"):
        jobs.page(None, None, "%", 2)


def test_jobs_are_counted_in_each_status(submit: Callable[..., Job], jobs: Jobs) -> None:
    """A status without jobs counts 0."""
    for _ in range(3):
        submit()
    jobs.claim("here:sup_1", LEASE, NOON)
    assert jobs.count_by_status() == dict.fromkeys(Status, 0) | {Status.QUEUED: 2, Status.RUNNING: 1}


def test_a_queued_job_is_cancelled_at_once(submit: Callable[..., Job], jobs: Jobs) -> None:
    """Nobody has to be asked, and no supervisor gets it any more."""
    job = jobs.cancel(submit().id, NOON)
    assert job.status is Status.CANCELLED
    assert job.finished_at == NOON
    assert jobs.claim("here:sup_1", LEASE, NOON) is None


def test_a_running_job_is_asked_to_end(claim: Callable[..., Job], jobs: Jobs) -> None:
    """It stays running until its supervisor confirms."""
    job = claim()
    assert jobs.cancel(job.id, NOON) == replace(job, cancel_requested=True)
    assert jobs.renew("here:sup_1", LEASE)[0].cancel_requested
    assert jobs.confirm_cancelled(job.id, job.attempt, NOON)
    assert jobs.get(job.id).status is Status.CANCELLED
    assert jobs.get(job.id).finished_at == NOON


def test_cancelling_twice_has_the_same_answer(submit: Callable[..., Job], jobs: Jobs) -> None:
    """A client may repeat its request; the time of the first one stays."""
    job = jobs.cancel(submit().id, NOON)
    assert jobs.cancel(job.id, NOON + timedelta(hours=1)) == job


def test_an_ended_job_cannot_be_cancelled(claim: Callable[..., Job], jobs: Jobs) -> None:
    """The answer says how it has ended."""
    job = claim()
    jobs.fail(job.id, job.attempt, FAILURE, NOON)
    with pytest.raises(Conflict, match="has already failed"):
        jobs.cancel(job.id, NOON)


def test_only_an_ended_job_can_be_deleted(claim: Callable[..., Job], jobs: Jobs) -> None:
    """Its epochs go with it."""
    job = claim()
    jobs.record_epoch(job.id, job.attempt, 1, {"loss": 0.5})
    with pytest.raises(Conflict, match=r"is running.*cancel it first"):
        jobs.delete(job.id)
    jobs.fail(job.id, job.attempt, FAILURE, NOON)
    jobs.delete(job.id)
    for action in (jobs.get, jobs.epochs):
        with pytest.raises(NotFound):
            action(job.id)


def test_no_status_follows_an_end() -> None:
    """The table of moves and `is_terminal` say the same."""
    assert set(TRANSITIONS) == set(Status)
    for status, targets in TRANSITIONS.items():
        assert status.is_terminal is (targets == ())
