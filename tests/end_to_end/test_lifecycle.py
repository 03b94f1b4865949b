"""Jobs are cancelled, fail, and outlive every kind of death of the service."""

import contextlib
import json
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.end_to_end.conftest import Service, wait_for

ARCHITECTURE = {"layers": [{"type": "Dense", "units": 8}, {"type": "Dense", "units": 1}]}
DATA = {"x": [[float(row % 7), float(row % 3)] for row in range(64)], "y": [float(row % 7) for row in range(64)]}


def job_body(model: str, epochs: int) -> dict[str, Any]:
    return {
        "model": model,
        "architecture": ARCHITECTURE,
        "compile": {"loss": "mse", "optimizer": "sgd"},
        "fit": {"epochs": epochs, "batch_size": 8},
        "seed": 1,
        "data": DATA,
    }


def test_a_running_job_is_cancelled(service: Service) -> None:
    """A cancel ends the child, and the job says so; a second cancel changes nothing; deletion then works."""
    job = service.submit(**job_body("cancelled", 50_000))
    wait_for(lambda: service.job(job["id"])["progress"], 60)
    assert service.post(f"/v1/jobs/{job['id']}/cancel").status_code == 200
    ended = service.wait(job["id"], seconds=30)
    assert ended["status"] == "cancelled"
    assert ended["finished_at"] is not None
    assert service.post(f"/v1/jobs/{job['id']}/cancel").json()["status"] == "cancelled"
    assert service.get("/v1/models/cancelled").status_code == 404
    assert service.delete(f"/v1/jobs/{job['id']}").status_code == 204
    assert service.get(f"/v1/jobs/{job['id']}").status_code == 404


def test_progress_is_told_while_it_runs(service: Service) -> None:
    """A running job shows its epoch, its share and its speed, and its newest metrics."""
    job = service.submit(**job_body("watched", 50_000))
    wait_for(lambda: (service.job(job["id"])["progress"] or {"percent": 0})["percent"] > 0, 60)
    seen = service.job(job["id"])
    assert seen["status"] == "running"
    assert seen["progress"]["epochs"] == 50_000
    assert seen["progress"]["epoch"] >= 1
    assert seen["progress"]["percent"] < 100
    assert seen["progress"]["samples_per_second"] > 0
    assert "loss" in seen["metrics"]
    assert service.delete(f"/v1/jobs/{job['id']}").status_code == 409
    service.post(f"/v1/jobs/{job['id']}/cancel")
    service.wait(job["id"])


def test_a_diverging_job_fails_with_advice(service: Service) -> None:
    """A loss that is no longer a number ends as a failure that says what to do."""
    body = job_body("diverging", 30)
    body["compile"]["optimizer"] = {"type": "SGD", "learning_rate": 1000.0}
    job = service.wait(service.submit(**body)["id"])
    assert job["status"] == "failed"
    assert job["failure"]["code"] == "nan_loss"
    assert "learning_rate" in job["failure"]["message"] + job["failure"]["advice"]
    assert job["version"] is None


def child_of(service: Service, job_id: str) -> psutil.Process:
    """The process that the newest attempt at the job runs in, as the log tells."""
    lines = [line for line in service.log().splitlines() if '"child_started"' in line and job_id in line]
    return psutil.Process(json.loads(lines[-1])["pid"])


def test_a_killed_child_is_tried_again(own_service: Callable[..., Service]) -> None:
    """A kill says nothing about the job, which goes on by itself as its next attempt, and ends as a job that ran."""
    service = own_service(slots="1")
    job = service.submit(**job_body("killed", 6000))
    wait_for(lambda: service.job(job["id"])["progress"], 60)
    child_of(service, job["id"]).kill()
    ended = service.wait(job["id"])
    assert (ended["status"], ended["attempt"], ended["failure"]) == ("succeeded", 2, None)


def test_a_child_that_is_lost_too_often_is_reported(own_service: Callable[..., Service]) -> None:
    """The failure names the signal and what to do, and the service goes on."""
    service = own_service(slots="1", max_retries="0")
    job = service.submit(**job_body("lost", 50_000))
    wait_for(lambda: service.job(job["id"])["progress"], 60)
    child_of(service, job["id"]).kill()
    ended = service.wait(job["id"], seconds=30)
    assert (ended["status"], ended["failure"]["code"]) == ("failed", "worker_lost")
    assert "signal 9" in ended["failure"]["message"]
    assert ended["failure"]["retryable"] is True
    assert service.train(**job_body("after", 2))["version"] == 1


def kill_runner(service: Service) -> None:
    assert service.process is not None
    service.process.kill()
    service.process.wait(30)


def kill_everything(service: Service) -> None:
    for process in service.processes():
        process.kill()
    assert service.process is not None
    service.process.wait(30)


@pytest.mark.parametrize("kill", [kill_runner, kill_everything])
def test_no_acknowledged_job_is_lost(own_service: Callable[..., Service], kill: Callable[[Service], None]) -> None:
    """After a kill at any moment, the interrupted job and the queued one run on the next start."""
    service = own_service(slots="1")
    running = service.submit(**job_body("running", 6000))
    queued = service.submit(**job_body("queued", 2))
    wait_for(lambda: service.job(running["id"])["metrics"], 60)
    kill(service)
    wait_for(lambda: not service.processes(), 30, lambda: f"left behind: {service.processes()}")
    service.start()
    again = service.wait(running["id"])
    assert (again["status"], again["attempt"]) == ("succeeded", 2)
    rows = service.get(f"/v1/jobs/{running['id']}/metrics").json()["rows"]
    assert [row["epoch"] for row in rows] == list(range(1, 6001))
    assert service.wait(queued["id"])["status"] == "succeeded"
    assert service.stop() == 0


def test_a_killed_supervisor_is_replaced(own_service: Callable[..., Service]) -> None:
    """The runner starts another supervisor, which takes the job up again."""
    service = own_service(slots="1")
    job = service.submit(**job_body("orphan", 6000))
    wait_for(lambda: service.job(job["id"])["metrics"], 60)
    supervisors = [process for process in service.processes() if process.cmdline()[-1:] == ["supervisor"]]
    assert len(supervisors) == 1
    supervisors[0].kill()
    ended = service.wait(job["id"])
    assert (ended["status"], ended["attempt"]) == ("succeeded", 2)


def test_sigterm_puts_the_running_job_back(own_service: Callable[..., Service]) -> None:
    """A graceful stop leaves no process, and the job runs on the next start."""
    service = own_service(slots="1")
    job = service.submit(**job_body("paused", 6000))
    wait_for(lambda: service.job(job["id"])["metrics"], 60)
    assert service.stop(signal.SIGINT) == 0
    service.start()
    assert service.wait(job["id"])["status"] == "succeeded"


def command(process: psutil.Process) -> str:
    """The command line of a process; empty if it has just ended."""
    with contextlib.suppress(psutil.Error):
        return " ".join(process.cmdline())
    return ""


def test_web_workers_hold_no_tensorflow(service: Service) -> None:
    """No process that answers HTTP has TensorFlow's library in memory, even after predicting."""
    job = service.train(**job_body("light", 1))
    service.predict(job["model"], DATA["x"][:2])
    workers = [process for process in service.processes() if "gunicorn" in command(process)]
    assert len(workers) >= 2
    for worker in workers:
        assert "tensorflow" not in Path(f"/proc/{worker.pid}/maps").read_text()


def test_a_used_port_is_said_at_once(service: Service, tmp_path: Path) -> None:
    """Starting on a port that is taken fails with a sentence that names it."""
    command = [sys.executable, "-m", "service.cli", "serve", "--port", str(service.port), "--data", str(tmp_path)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode != 0
    assert str(service.port) in ended.stdout + ended.stderr
