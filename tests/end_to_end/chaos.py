"""Ways to find a service's processes, to stop them at a sight, and to see all that a client could see meanwhile."""

import json
import os
import signal
import sqlite3
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import psutil
import requests

from tests.end_to_end.conftest import TERMINAL, Result, Service, assert_same, result_of, wait_for

#: How long a service may take until all is well again after the worst that can happen to it, in seconds.
RECOVERY_SECONDS = 90.0


def supervisor(service: Service) -> psutil.Process | None:
    """The supervisor, if there is one at the moment; not a fork of it that is just becoming something else."""
    found = [one for one in service.processes() if _command(one)[-1:] == ["supervisor"]]
    return next((one for one in found if one.ppid() == runner(service).pid), None)


def runner(service: Service) -> psutil.Process:
    assert service.process is not None
    return psutil.Process(service.process.pid)


def master(service: Service) -> psutil.Process | None:
    """gunicorn's first process."""
    return next((one for one in _web(service) if one.ppid() == runner(service).pid), None)


def workers(service: Service) -> list[psutil.Process]:
    """The processes that answer requests."""
    first = master(service)
    return [] if first is None else [one for one in _web(service) if one.ppid() == first.pid]


def _web(service: Service) -> list[psutil.Process]:
    return [one for one in service.processes() if "gunicorn" in " ".join(_command(one))]


def _command(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []


class Children:
    """The children of jobs, as the service's log names them."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._read = 0
        self._pids: dict[str, int] = {}

    def of(self, job_id: str) -> psutil.Process | None:
        """The one that runs the job now, if there is one."""
        self._read_on()
        try:
            process = psutil.Process(self._pids[job_id])
        except (KeyError, psutil.NoSuchProcess):
            return None
        # Another process may have its number by now.
        return process if self._service.owns(process) else None

    def _read_on(self) -> None:
        with self._service.log_file.open("rb") as file:
            file.seek(self._read)
            for line in file:
                # The last line may be just in the writing.
                if not line.endswith(b"\n"):
                    break
                self._read += len(line)
                if b'"child_started"' in line:
                    event = json.loads(line)
                    self._pids[event["job_id"]] = event["pid"]


def kill(process: psutil.Process | None) -> bool:
    """Kill -9; False if there is no such process any more."""
    try:
        if process is None or process.status() == psutil.STATUS_ZOMBIE:
            return False
        process.kill()
        return True
    except psutil.NoSuchProcess:
        return False


def stop(process: psutil.Process) -> None:
    """Stop a process, and return once it does nothing any more."""
    process.send_signal(signal.SIGSTOP)
    wait_for(lambda: process.status() == psutil.STATUS_STOPPED, 10)


def stop_at_sight(
    look: Callable[[], psutil.Process | None], is_right: Callable[[], bool], *, tries: int = 60
) -> psutil.Process | None:
    """Stop the process that `look` gives as soon as it gives one, and return it.

    If what is then seen is not right, because it was a moment too late, the process goes on, and it is tried again;
    None says that it was too late each time.
    """
    for _ in range(tries):
        process = _first_sight(look, 60.0)
        try:
            stop(process)
        except psutil.NoSuchProcess:
            continue
        if is_right():
            return process
        process.send_signal(signal.SIGCONT)
    return None


def _first_sight(look: Callable[[], psutil.Process | None], seconds: float) -> psutil.Process:
    # What is looked for lasts for a millisecond, so that there is no pause between two looks.
    deadline = time.monotonic() + seconds
    while (process := look()) is None:
        assert time.monotonic() < deadline, f"nothing was seen within {seconds} s"
    return process


def names(folder: Path) -> list[str]:
    """What is in a folder, in order; nothing if there is no such folder."""
    try:
        return sorted(os.listdir(folder))  # noqa: PTH208  (it is called in a busy loop)
    except FileNotFoundError:
        return []


def kill_everything(service: Service) -> None:
    """Kill -9 all at once, the runner first, so that it starts nothing again."""
    assert service.process is not None
    service.process.kill()
    for process in service.processes():
        kill(process)
    service.process.wait(30)
    wait_for(lambda: not service.processes(), 30, lambda: f"left behind: {service.processes()}")


def look_at(service: Service, job_id: str) -> dict[str, Any] | None:
    """The job, or None while nobody answers."""
    try:
        # A connection of its own: one that is kept alive dies with its web worker.
        answer = requests.get(f"{service.url}/v1/jobs/{job_id}", timeout=30)
    except requests.RequestException:
        return None
    return dict(answer.json()) if answer.status_code == 200 else None


def reaches(service: Service, job_id: str, statuses: set[str], seconds: float = RECOVERY_SECONDS) -> dict[str, Any]:
    """The job, once its status is one of `statuses`, whatever answers or does not answer until then."""

    def reached() -> bool:
        job = look_at(service, job_id)
        assert job is None or job["status"] in statuses or job["status"] not in TERMINAL, job
        return job is not None and job["status"] in statuses

    wait_for(reached, seconds, lambda: f"{look_at(service, job_id)}\n{service.log()[-20_000:]}")
    job = look_at(service, job_id)
    assert job is not None
    return job


def progresses(service: Service, job_id: str) -> dict[str, Any]:
    """The job, once it runs and has told how far it is."""
    wait_for(lambda: (look_at(service, job_id) or {}).get("progress"), RECOVERY_SECONDS, service.log)
    return reaches(service, job_id, {"running"})


class Besieged:
    """A service, who in it runs which job, and how often its supervisor was killed since it was started."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self.children = Children(service)
        self.deaths = 0

    def supervisor(self) -> psutil.Process:
        """The supervisor that claims jobs now."""
        found: list[psutil.Process] = []

        def ready() -> bool:
            found[:] = [one for one in (supervisor(self.service),) if one is not None]
            return bool(found)

        wait_for(ready, RECOVERY_SECONDS, self.service.log)
        return found[0]

    def kill_supervisor(self) -> None:
        self.deaths += 1
        assert kill(self.supervisor())

    def kill_child(self, job_id: str) -> None:
        """Kill -9 the child that runs the job, and return once it is gone."""
        child = self.child(job_id)
        assert kill(child)
        wait_for(lambda: not self.service.owns(child), 10)

    def child(self, job_id: str) -> psutil.Process:
        """The child that runs the job, once there is one."""
        wait_for(lambda: self.children.of(job_id), RECOVERY_SECONDS, self.service.log)
        child = self.children.of(job_id)
        assert child is not None, self.service.log()
        return child


def succeeds_as(besieged: Besieged, job_id: str, expected: Result, *, attempts: int | None = None) -> None:
    """The job succeeds by itself, by the bits that are expected, and has made one version."""
    service = besieged.service
    job = reaches(service, job_id, {"succeeded"})
    assert_same(result_of(service, job), expected)
    made = service.get(f"/v1/models/{job['model']}/versions?limit=100").json()["items"]
    assert [version["version"] for version in made if version["job"] == job_id] == [job["version"]]
    if attempts is not None:
        assert job["attempt"] == attempts


def stop_between_writes(service: Service, process: psutil.Process) -> None:
    """Stop the supervisor while it does not hold the database: others of its machine could not write any more."""
    assert stop_at_sight(lambda: process, lambda: can_be_written(service))


def can_be_written(service: Service) -> bool:
    connection = sqlite3.connect(service.data / "kerasd.sqlite3", timeout=0.3, isolation_level=None)
    try:
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("ROLLBACK")
    except sqlite3.OperationalError:
        return False
    finally:
        connection.close()
    return True


def submit_and_stop(
    service: Service, body: dict[str, Any], process: psutil.Process, sight: Callable[[str], object]
) -> str:
    """Submit a job, and stop the process at a sight near the job's end; return the id of one that has not ended yet.

    Where it was too late, the job has ended well, and there is another one.
    """
    for _ in range(6):
        job_id = str(service.submit(**body)["id"])
        stopped = stop_at_sight(
            lambda: process if sight(job_id) else None,  # noqa: B023  (it is called here alone)
            lambda: service.job(job_id)["status"] == "running" and can_be_written(service),  # noqa: B023
            tries=1,
        )
        if stopped is not None:
            return job_id
        reaches(service, job_id, {"succeeded"})
    raise AssertionError("It was too late each time.")


def saved_files(service: Service, job_id: str) -> list[str]:
    """What the newest attempt at a job has written of its version."""
    attempts = service.data / "attempts" / job_id
    return [name for attempt in names(attempts) for name in names(attempts / attempt)]


class Witness(threading.Thread):
    """Looks at jobs all the time, and notes what no client should ever see: a step back, or an answer that is wrong."""

    def __init__(self, service: Service) -> None:
        super().__init__(daemon=True, name="witness")
        self._service = service
        self._last: dict[str, dict[str, Any]] = {}
        self._jobs: set[str] = set()
        self._ended = threading.Event()
        self.wrong: list[str] = []
        self.looks = 0

    def __enter__(self) -> "Witness":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self.join()

    def watch(self, job_id: str) -> None:
        self._jobs.add(job_id)

    def forget(self, job_id: str) -> None:
        self._jobs.discard(job_id)

    def run(self) -> None:
        while not self._ended.wait(0.03):
            for job_id in tuple(self._jobs):
                self._look(job_id)

    def _look(self, job_id: str) -> None:
        try:
            answer = requests.get(f"{self._service.url}/v1/jobs/{job_id}", timeout=30)
        except requests.RequestException:
            # Nobody answers: somebody was killed.
            return
        if answer.status_code == 503:
            return
        if answer.status_code != 200:
            self.wrong.append(f"{answer.status_code}: {answer.text}")
            return
        self.looks += 1
        job = answer.json()
        before = self._last.get(job_id, job)
        self.wrong += [f"{what}: {before} -> {job}" for what, sight in _SIGHTS.items() if sight(job) < sight(before)]
        self._last[job_id] = job


def _moment(job: dict[str, Any]) -> tuple[float, ...]:
    progress = job["progress"]
    return (0, 0, 0.0) if progress is None else (progress["epoch"], progress["step"], progress["percent"])


def _checkpoint(job: dict[str, Any]) -> tuple[int, int]:
    checkpoint = job["checkpoint"]
    return (-1, 0) if checkpoint is None else (checkpoint["epoch"], checkpoint["step"])


#: What must never become less.
_SIGHTS: dict[str, Callable[[dict[str, Any]], Any]] = {
    "progress": _moment,
    "checkpoint": _checkpoint,
    "attempt": lambda job: job["attempt"],
    "end": lambda job: job["status"] in TERMINAL,
}


def assert_nothing_is_left(service: Service, active: Sequence[str] = ()) -> None:
    """No working folder, no checkpoint and nothing half done lies in the store, but what belongs to `active` jobs."""

    def left() -> dict[str, list[str]]:
        folders = {kind: set(names(service.data / kind)) - set(active) for kind in ("attempts", "checkpoints")}
        return {kind: sorted(found) for kind, found in folders.items() if found} | (
            {"incoming": found} if (found := names(service.data / "incoming")) else {}
        )

    wait_for(lambda: not left(), 15, lambda: f"left behind: {left()}")
