"""The routes of jobs, on a registry in which this test is the supervisor."""

import socket
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from service.app import create_app
from service.config import Settings
from service.registry.claims import Claims
from service.registry.database import Database
from service.registry.job import Checkpoint, Execution, Failure, Job
from service.registry.migrate import upgrade
from tests.registry.conftest import a_version

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
BODY: dict[str, Any] = {
    "model": "m",
    "architecture": {"layers": [{"type": "Dense", "units": 1, "name": "d"}]},
    "compile": {"loss": "mse"},
    "seed": 1,
    "data": {"x": [[1.0, 2.0], [3.0, 4.0]], "y": [0.5, 1.5]},
}
CHECKPOINT = Checkpoint(name="c", epoch=2, step=3, written_at=NOON)
EXECUTION = Execution(
    jit_compile=True,
    threads=2,
    chosen_by="measurement",
    measurements=[{"jit_compile": True, "threads": 2, "step_seconds": 0.25, "total_seconds": 8.0}],
)


@dataclass(frozen=True)
class Room:
    """A client of the service, and the supervisor's side of its registry."""

    client: FlaskClient
    claims: Claims
    bell: socket.socket

    def submit(self, **change: Any) -> dict[str, Any]:
        answer = self.client.post("/v1/jobs", json=BODY | change)
        assert answer.status_code == 202, answer.text
        return dict(answer.get_json())

    def claim(self) -> Job:
        job = self.claims.claim("here:sup_1", NOON + timedelta(minutes=1), NOON)
        assert job is not None
        return job

    def running(self) -> Job:
        self.submit()
        return self.claim()

    def post(self, job_id: str, action: str, **options: Any) -> TestResponse:
        return self.client.post(f"/v1/jobs/{job_id}/{action}", **options)

    def rings(self) -> int:
        """How often the doorbell was rung since the last look."""
        count = 0
        while True:
            try:
                self.bell.recv(16)
            except BlockingIOError:
                return count
            count += 1


@pytest.fixture
def room(tmp_path: Path) -> Iterator[Room]:
    settings = Settings(data=tmp_path / "data", run_folder=str(tmp_path))
    settings.data.mkdir()
    upgrade(settings.database)
    bell = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    bell.setblocking(False)
    bell.bind(str(settings.doorbell))
    client = create_app(settings).test_client()
    yield Room(client, Claims(Database(settings.database)), bell)
    bell.close()


def problem(answer: TestResponse, status: int) -> dict[str, Any]:
    assert answer.status_code == status, answer.text
    return dict(answer.get_json())


def test_a_new_job_shows_how_it_is_to_be_run(room: Room) -> None:
    """What was asked for is there, and nothing is chosen or done yet."""
    job = room.submit(priority=-5, time_limit_seconds=90)
    assert (job["priority"], job["time_limit_seconds"]) == (-5, 90.0)
    assert (job["elapsed_seconds"], job["retries"], job["pause_requested"]) == (0.0, 0, False)
    assert job["execution"] is job["checkpoint"] is job["initial"] is None


def test_a_forced_execution_is_shown_at_once(room: Room) -> None:
    """Both words were given, so that there is nothing to wait for."""
    job = room.submit(threads=1, compile={"loss": "mse", "jit_compile": False})
    expected = {"jit_compile": False, "threads": 1, "chosen_by": "request", "measurements": []}
    assert job["execution"] == expected


def test_a_running_job_shows_its_checkpoint_and_its_execution(room: Room) -> None:
    """The checkpoint's file name stays inside."""
    job = room.running()
    room.claims.record_checkpoint(job.id, 1, CHECKPOINT)
    room.claims.record_execution(job.id, 1, EXECUTION)
    shown = room.client.get(f"/v1/jobs/{job.id}").get_json()
    assert shown["checkpoint"] == {"epoch": 2, "step": 3, "written_at": "2026-01-01T12:00:00+00:00"}
    assert shown["execution"] == {
        "jit_compile": True,
        "threads": 2,
        "chosen_by": "measurement",
        "measurements": [{"jit_compile": True, "threads": 2, "step_seconds": 0.25, "total_seconds": 8.0}],
    }


@pytest.mark.parametrize("checkpoint", [None, CHECKPOINT])
def test_a_failure_says_what_to_do_and_from_where_it_would_go_on(room: Room, checkpoint: Checkpoint | None) -> None:
    """Its checkpoint is null where there is none."""
    job = room.running()
    if checkpoint is not None:
        room.claims.record_checkpoint(job.id, 1, checkpoint)
    failure = Failure(code="time_limit", message="It ran for 5 s.", advice="Resume it.", retryable=True)
    room.claims.fail(job.id, 1, failure, NOON)
    assert room.client.get(f"/v1/jobs/{job.id}").get_json()["failure"] == {
        "code": "time_limit",
        "message": "It ran for 5 s.",
        "advice": "Resume it.",
        "retryable": True,
        "checkpoint": None if checkpoint is None else {"epoch": 2, "step": 3},
    }


def test_a_job_is_paused_and_resumed(room: Room) -> None:
    """A queued one at once, a running one once its supervisor says so; a list can show the paused ones."""
    job = room.submit()
    assert room.post(job["id"], "pause").get_json()["status"] == "paused"
    listed = room.client.get("/v1/jobs?status=paused").get_json()["items"]
    assert [one["id"] for one in listed] == [job["id"]]
    assert room.post(job["id"], "resume").get_json()["status"] == "queued"
    room.claim()
    assert room.post(job["id"], "pause").get_json()["pause_requested"] is True
    assert room.post(job["id"], "resume").get_json()["pause_requested"] is False


def test_a_resume_may_set_a_new_time_limit(room: Room) -> None:
    """Without a body the old one stays, null takes it away."""
    job = room.submit(time_limit_seconds=60)
    for body, limit in (({}, 60.0), ({"json": {"time_limit_seconds": 120}}, 120.0), ({"json": {}}, 120.0)):
        room.post(job["id"], "pause")
        assert room.post(job["id"], "resume", **body).get_json()["time_limit_seconds"] == limit  # type: ignore[arg-type]
    room.post(job["id"], "pause")
    answer = room.post(job["id"], "resume", json={"time_limit_seconds": None})
    assert answer.get_json()["time_limit_seconds"] is None


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"json": {"time_limit_seconds": 0}}, 422),
        ({"json": {"seconds": 5}}, 422),
        ({"json": []}, 422),
        ({"data": b"{", "content_type": "application/json"}, 400),
        ({"data": b"x"}, 415),
    ],
)
def test_a_resume_that_is_wrong_changes_nothing(room: Room, body: dict[str, Any], status: int) -> None:
    """A body that is there is checked as any other."""
    job = room.submit()
    room.post(job["id"], "pause")
    problem(room.post(job["id"], "resume", **body), status)
    assert room.client.get(f"/v1/jobs/{job['id']}").get_json()["status"] == "paused"


def test_what_cannot_go_on_is_a_conflict_that_says_why(room: Room) -> None:
    """A job that has succeeded is neither paused nor resumed."""
    job = room.running()
    room.claims.succeed(job.id, 1, a_version(job), NOON)
    assert "has succeeded" in problem(room.post(job.id, "pause"), 409)["detail"]
    assert "`initial`" in problem(room.post(job.id, "resume"), 409)["detail"]


def test_a_cancel_may_keep_the_best(room: Room) -> None:
    """The job is then cancelled with a version, which its view names."""
    job = room.running()
    asked = room.post(job.id, "cancel?keep=best").get_json()
    assert (asked["status"], asked["cancel_requested"]) == ("running", True)
    room.claims.succeed(job.id, 1, a_version(job), NOON)
    ended = room.client.get(f"/v1/jobs/{job.id}").get_json()
    assert (ended["status"], ended["version"]) == ("cancelled", 1)
    problem(room.post(job.id, "cancel?keep=last"), 422)


def test_a_job_that_starts_from_a_version_shows_it(room: Room) -> None:
    """The newest version has a number then, and can neither be deleted nor its model."""
    job = room.running()
    summary, architecture = job.request["summary"], job.request["architecture"]
    version = replace(a_version(job), summary=summary, architecture=architecture, compile=job.request["compilation"])
    room.claims.succeed(job.id, 1, version, NOON)
    started = room.submit(model="tuned", architecture=None, initial={"model": "m"})
    assert started["initial"] == {"model": "m", "version": 1, "optimizer_state": False}
    assert started["id"] in problem(room.client.delete("/v1/models/m/versions/1"), 409)["detail"]
    problem(room.client.delete("/v1/models/m"), 409)
    shown = room.client.get("/v1/models/m/versions/1").get_json()
    assert (shown["jit_compile"], shown["weights_epoch"], shown["machine"]) == (True, 2, "x86_64, AVX2")
    assert (shown["request_sha256"], shown["validation_dataset_sha256"]) == ("c" * 64, None)


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({"priority": 101}, "/priority"),
        ({"priority": 1.5}, "/priority"),
        ({"time_limit_seconds": 0.5}, "/time_limit_seconds"),
        ({"time_limit_seconds": "long"}, "/time_limit_seconds"),
        ({"threads": 0}, "/threads"),
        ({"threads": 4096}, "/threads"),
        ({"architecture": None}, "/architecture"),
        ({"initial": {"version": 1}}, "/initial/model"),
        ({"initial": {"model": "m", "version": 0}}, "/initial/version"),
        ({"initial": {"model": "none"}}, "/initial/model"),
    ],
)
def test_wrong_fields_are_pointed_at(room: Room, change: dict[str, Any], pointer: str) -> None:
    """Bounds and types are checked before anything is stored."""
    body = problem(room.client.post("/v1/jobs", json=BODY | change), 422)
    assert [fault["pointer"] for fault in body["errors"]] == [pointer]


def test_the_doorbell_is_rung_for_what_the_supervisor_should_see(room: Room) -> None:
    """A submission, a pause, a resume and a cancel ring once each; looking does not, and neither does a dry run."""
    job = room.submit()
    assert room.rings() == 1
    for action in ("pause", "resume", "cancel"):
        room.post(job["id"], action)
        assert room.rings() == 1
    room.client.get(f"/v1/jobs/{job['id']}")
    room.client.post("/v1/jobs?dry_run=true", json=BODY)
    assert room.rings() == 0


def test_a_deleted_job_is_gone(room: Room) -> None:
    """Only after its end."""
    job = room.submit()
    room.post(job["id"], "pause")
    problem(room.client.delete(f"/v1/jobs/{job['id']}"), 409)
    room.post(job["id"], "cancel")
    assert room.client.delete(f"/v1/jobs/{job['id']}").status_code == 204
    problem(room.client.get(f"/v1/jobs/{job['id']}"), 404)
