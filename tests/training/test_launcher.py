"""How jobs share the threads of a machine."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from service.registry.job import Execution, Job
from service.registry.tables import Status
from service.training import messages
from service.training.launcher import first_share, next_share

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
CHOSEN = Execution(jit_compile=True, threads=3, chosen_by="measurement")
JOB = Job(
    id="job_1",
    model="m",
    status=Status.RUNNING,
    request={"threads": None, "fitting": {"batch_size": 64}, "summary": []},
    dataset="ds_1",
    validation_dataset=None,
    attempt=1,
    owner="here:sup_1",
    created_at=NOON,
    started_at=NOON,
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


def a_job(*, threads: int | None = None, execution: Execution | None = None, parameters: int = 100) -> Job:
    """A job whose one layer has so many parameters."""
    layer = {"type": "Dense", "output_shape": [None, 5], "parameters": parameters}
    return replace(JOB, execution=execution, request={**JOB.request, "threads": threads, "summary": [layer]})


@pytest.mark.parametrize(
    ("job", "free", "threads", "spare"),
    [
        (a_job(), 8, 2, 6),
        (a_job(), 2, 2, 0),
        (a_job(threads=1), 8, 1, 0),
        (a_job(threads=5), 2, 5, 0),
        (a_job(execution=CHOSEN), 2, 3, 0),
        (a_job(execution=CHOSEN, threads=3), 8, 3, 0),
        (a_job(parameters=10**6), 8, 8, 0),
        (a_job(parameters=10**6), 2, 8, 0),
        (a_job(parameters=10**6, threads=1), 8, 1, 0),
    ],
)
def test_a_job_begins_with_its_share(job: Job, free: int, threads: int, spare: int) -> None:
    """It may choose among what is free; what is forced, or was chosen before, it gets even if that is not free."""
    assert first_share(job, 2, 8, free) == (threads, spare)


@pytest.mark.parametrize(
    ("wanted", "decided", "free", "threads", "spare"),
    [
        (4, False, 8, 4, 4),
        (4, False, 3, 3, 0),
        (4, False, 1, 2, 0),
        (1, False, 8, 1, 7),
        (4, True, 1, 4, 0),
        (1, True, 8, 1, 0),
    ],
)
def test_a_job_that_wants_others_gets_what_is_free(
    wanted: int, decided: bool, free: int, threads: int, spare: int
) -> None:
    """Its share is always there for it; what it has decided on it gets exactly."""
    execution = messages.Execution(jit_compile=False, threads=wanted, chosen_by="measurement") if decided else None
    assert next_share(wanted, execution, 2, free) == (threads, spare)
