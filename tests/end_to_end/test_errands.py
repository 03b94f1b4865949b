"""What becomes of short pieces of TensorFlow work when processes die, memory ends, or too many come at once."""

import re
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import numpy as np
import psutil
import pytest
import requests

from tests.end_to_end.conftest import Service, wait_for
from tests.end_to_end.networks import dense

ROWS = 60_000


@pytest.fixture
def busy(own_service: Callable[..., Service]) -> tuple[Service, str]:
    """A service of the test's own with a version, and with data whose evaluation row by row takes long."""
    service = own_service()
    service.train(
        model="m",
        architecture={"layers": [{"type": "Dense", "units": 1, "activation": "sigmoid"}]},
        compile={"loss": "binary_crossentropy"},
        fit={"epochs": 1},
        seed=1,
        data={"x": [[0, 1], [1, 0]], "y": [0, 1]},
    )
    x = np.random.default_rng(3).normal(size=(ROWS, 2)).round(2)
    body = {"x": x.tolist(), "y": (x[:, 0] > 0).astype(int).tolist()}
    return service, str(service.post("/v1/datasets", body).json()["id"])


def evaluate(service: Service, dataset: str, batch_size: int) -> requests.Response:
    body = {"dataset": dataset, "batch_size": batch_size}
    return requests.post(f"{service.url}/v1/models/m/evaluate", json=body, timeout=120)


def pids(service: Service) -> list[int]:
    """The processes of errands so far, in the order of their start."""
    return [int(pid) for pid in re.findall(r'"pid": (\d+), "event": "errand_started"', service.log())]


@contextmanager
def at_work(service: Service, dataset: str) -> Iterator[tuple[Future[requests.Response], int]]:
    """While a long evaluation goes on: its answer to come, and its process."""
    before = len(pids(service))
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(evaluate, service, dataset, 1)
        wait_for(lambda: len(pids(service)) > before, 30, service.log)
        yield answer, pids(service)[-1]


def is_sound(service: Service, dataset: str) -> None:
    """The service works, and nothing of an errand is left."""
    assert evaluate(service, dataset, 4096).json()["rows"] == ROWS
    assert list((service.data / "incoming").iterdir()) == []
    wait_for(lambda: not any(psutil.pid_exists(pid) for pid in pids(service)), 10)


def test_a_killed_child_is_a_clear_error(busy: tuple[Service, str]) -> None:
    """503 says how it ended and when to come again; the next one is served."""
    service, dataset = busy
    with at_work(service, dataset) as (answer, pid):
        psutil.Process(pid).kill()
        lost = answer.result(30)
    assert lost.status_code == 503
    assert "ended by signal 9" in lost.json()["detail"]
    assert lost.headers["Retry-After"] == "1"
    is_sound(service, dataset)


def test_a_client_that_hangs_up_frees_the_machine(busy: tuple[Service, str]) -> None:
    """Its child ends, and so do the request's thread and folder."""
    service, dataset = busy
    before = len(pids(service))
    with pytest.raises(requests.ReadTimeout):
        requests.post(f"{service.url}/v1/models/m/evaluate", json={"dataset": dataset, "batch_size": 1}, timeout=(5, 2))
    (pid,) = pids(service)[before:]
    wait_for(lambda: not psutil.pid_exists(pid), 10)
    wait_for(lambda: '"path": "/v1/models/m/evaluate", "status": 503' in service.log(), 10, service.log)
    is_sound(service, dataset)


def test_a_killed_supervisor_is_unavailable_for_a_while(busy: tuple[Service, str]) -> None:
    """Its errands end with it; who comes then is told when to come again, and is served by the next one."""
    service, dataset = busy
    with at_work(service, dataset) as (answer, pid):
        supervisor = next(one for one in service.processes() if one.cmdline()[-1:] == ["supervisor"])
        supervisor.kill()
        lost = answer.result(30)
        assert (lost.status_code, lost.headers["Retry-After"]) == (503, "5")
        wait_for(lambda: not psutil.pid_exists(pid), 10)
    away = evaluate(service, dataset, 4096)
    assert away.status_code in (200, 503)
    wait_for(lambda: evaluate(service, dataset, 4096).status_code == 200, 60, service.log)
    is_sound(service, dataset)


def test_a_child_that_takes_too_much_memory_is_ended(busy: tuple[Service, str]) -> None:
    """503 says how much it was, and which setting is the limit."""
    service, dataset = busy
    service.stop()
    service.environment["KERASD_MAX_MEMORY_BYTES"] = "4 MiB"
    service.start()
    answer = evaluate(service, dataset, 1)
    assert answer.status_code == 503
    assert "KERASD_MAX_MEMORY_BYTES" in answer.json()["detail"]
    wait_for(lambda: not any(psutil.pid_exists(pid) for pid in pids(service)), 10)
    assert service.get("/health/ready").status_code == 200


def test_many_at_once_are_served_or_told_to_come_again(busy: tuple[Service, str]) -> None:
    """Besides a job that trains, whose own way is not disturbed."""
    service, dataset = busy
    job = service.submit(**dense(model="beside"))
    with ThreadPoolExecutor(12) as pool:
        answers = list(pool.map(lambda _: evaluate(service, dataset, 512), range(12)))
    assert {answer.status_code for answer in answers} <= {200, 503}
    served = [answer.json()["metrics"] for answer in answers if answer.status_code == 200]
    assert len(served) >= 4
    assert all(metrics == served[0] for metrics in served)
    for answer in answers:
        assert answer.status_code == 200 or answer.headers["Retry-After"] == "2"
    assert service.wait(job["id"])["status"] == "succeeded"
    is_sound(service, dataset)


def test_a_shutdown_leaves_nothing_behind(busy: tuple[Service, str]) -> None:
    """An errand that does not end in time is ended with the service."""
    service, dataset = busy
    service.stop()
    service.environment["KERASD_SHUTDOWN_SECONDS"] = "3"
    service.start()
    lost: list[Any] = []

    def ask() -> None:
        try:
            lost.append(evaluate(service, dataset, 1).status_code)
        except requests.ConnectionError:
            lost.append(None)

    before = len(pids(service))
    asking = threading.Thread(target=ask)
    asking.start()
    wait_for(lambda: len(pids(service)) > before, 30, service.log)
    assert service.stop(signal.SIGTERM) == 0
    asking.join(30)
    assert lost in ([503], [None])
