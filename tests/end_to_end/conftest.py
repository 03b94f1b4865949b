"""A real service for the end-to-end tests: runner, gunicorn, supervisor, zygote and children, over real HTTP."""

import contextlib
import io
import json
import os
import signal
import socket
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import psutil
import pytest
import requests

from tests.conftest import ONE_THREAD

TERMINAL = {"succeeded", "failed", "cancelled"}
START_SECONDS = 90.0


class Service:
    """One `kerasd serve` with a port and a data folder of its own."""

    def __init__(self, data: Path, **settings: str) -> None:
        self.data = data
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        own = {"data": str(data), "port": str(self.port), **settings}
        #: What its processes are started with; how many threads they have is for them to say.
        inherited = {name: value for name, value in os.environ.items() if name not in ONE_THREAD}
        self.environment = inherited | {f"KERASD_{name.upper()}": value for name, value in own.items()}
        self.log_file = data.with_suffix(".log")
        self.http = requests.Session()
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start, and return once the service says that it is ready."""
        command = [sys.executable, "-m", "service.cli", "serve"]
        with self.log_file.open("ab") as log:
            self.process = subprocess.Popen(
                command, stdout=log, stderr=log, env=self.environment, start_new_session=True
            )
        wait_for(self._ready, START_SECONDS, self.log)

    def _ready(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, self.log()
        # A process that is still starting lets its first request wait.
        with contextlib.suppress(requests.ConnectionError, requests.Timeout):
            return requests.get(f"{self.url}/health/ready", timeout=5).status_code == 200
        return False

    def log(self) -> str:
        """What the service has printed so far."""
        return self.log_file.read_text(errors="replace")

    def processes(self) -> list[psutil.Process]:
        """Every process of this service: whatever has its data folder in its environment."""
        return [process for process in psutil.process_iter() if self.owns(process)]

    def owns(self, process: psutil.Process) -> bool:
        """Whether a process that lives is one of this service."""
        with contextlib.suppress(psutil.Error, OSError):
            mine = process.environ().get("KERASD_DATA") == str(self.data)
            return mine and process.status() != psutil.STATUS_ZOMBIE
        return False

    def stop(self, number: int = signal.SIGTERM) -> int:
        """End the runner by a signal; return its exit code, once no process of the service is left."""
        assert self.process is not None
        self.process.send_signal(number)
        code = self.process.wait(60)
        self.http.close()
        wait_for(lambda: not self.processes(), 30, lambda: f"left behind: {self.processes()}")
        return code

    def kill(self) -> None:
        """End whatever is left of the service, at once."""
        self.http.close()
        for process in self.processes():
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        if self.process is not None:
            self.process.wait(30)

    def get(self, path: str, **options: Any) -> requests.Response:
        return self.http.get(self.url + path, timeout=60, **options)

    def post(self, path: str, json: Any = None, **options: Any) -> requests.Response:
        return self.http.post(self.url + path, json=json, timeout=60, **options)

    def delete(self, path: str) -> requests.Response:
        return self.http.delete(self.url + path, timeout=60)

    def submit(self, **body: Any) -> dict[str, Any]:
        """Queue a job that is right."""
        answer = self.post("/v1/jobs", body)
        assert answer.status_code == 202, answer.text
        return dict(answer.json())

    def job(self, job_id: str) -> dict[str, Any]:
        return dict(self.get(f"/v1/jobs/{job_id}").json())

    def wait(self, job_id: str, statuses: set[str] = TERMINAL, seconds: float = 180) -> dict[str, Any]:
        """The job, once its status is one of `statuses`."""
        wait_for(lambda: self.job(job_id)["status"] in statuses, seconds, lambda: f"{self.job(job_id)}\n{self.log()}")
        return self.job(job_id)

    def train(self, **body: Any) -> dict[str, Any]:
        """The job, once it has succeeded."""
        job = self.wait(self.submit(**body)["id"])
        assert job["status"] == "succeeded", (job, self.log())
        return job

    def predict(self, model: str, instances: Any) -> Any:
        answer = self.post(f"/v1/models/{model}/predict", {"instances": instances})
        assert answer.status_code == 200, answer.text
        return answer.json()["predictions"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What a job has come to: its version, the rows of its metrics, and every array that Keras has saved of it."""

    version: dict[str, Any]
    rows: list[dict[str, Any]]
    arrays: dict[str, np.ndarray[Any, Any]]

    @property
    def sha256(self) -> str:
        return str(self.version["weights_sha256"])


def result_of(service: Service, job: dict[str, Any]) -> Result:
    """Read what a job with a version has come to."""
    version = service.get(f"/v1/models/{job['model']}/versions/{job['version']}").json()
    rows = service.get(f"/v1/jobs/{job['id']}/metrics").json()["rows"]
    return Result(version=version, rows=rows, arrays=saved_arrays(service.data / "versions" / version["id"]))


def saved_arrays(folder: Path) -> dict[str, np.ndarray[Any, Any]]:
    """The weights and the optimizer's state in a version's `model.keras`, by their place there."""
    arrays: dict[str, np.ndarray[Any, Any]] = {}

    def note(name: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset):
            arrays[name] = np.asarray(item)

    with zipfile.ZipFile(folder / "model.keras") as archive:
        content = io.BytesIO(archive.read("model.weights.h5"))
    with h5py.File(content) as file:
        file.visititems(note)
    return arrays


def assert_same(result: Result, expected: Result) -> None:
    """The weights, every epoch's metrics, and the optimizer's state are the same to the bit."""
    assert result.rows == expected.rows
    assert result.sha256 == expected.sha256
    assert result.version["weights_epoch"] == expected.version["weights_epoch"]
    assert result.arrays.keys() == expected.arrays.keys()
    for name, array in expected.arrays.items():
        np.testing.assert_array_equal(result.arrays[name], array, err_msg=name)


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for(condition: Callable[[], object], seconds: float, explain: Callable[[], str] = str) -> None:
    """Return once the condition holds; fail, with an explanation, if it does not within `seconds`."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds} s: {explain()}"
        time.sleep(0.05)


@pytest.fixture(scope="session")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """One service for all tests that leave it as they found it."""
    running = Service(tmp_path_factory.mktemp("service") / "data")
    try:
        running.start()
        yield running
        assert running.stop() == 0
    finally:
        running.kill()


@pytest.fixture(scope="session")
def undisturbed(service: Service) -> Callable[..., Result]:
    """What a body comes to when nothing happens to its job; each is trained once."""
    results: dict[str, Result] = {}

    def train(body: dict[str, Any]) -> Result:
        key = json.dumps(body, sort_keys=True)
        if key not in results:
            results[key] = result_of(service, service.train(**body))
        return results[key]

    return train


@pytest.fixture
def own_service(tmp_path: Path) -> Iterator[Callable[..., Service]]:
    """Services of a test's own, to be killed at will; whatever is left of them ends with the test."""
    made: list[Service] = []

    def make(**settings: str) -> Service:
        running = Service(tmp_path / f"data{len(made)}", **settings)
        made.append(running)
        running.start()
        return running

    yield make
    for running in made:
        running.kill()
