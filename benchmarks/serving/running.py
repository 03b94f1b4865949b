"""Starts a server in a session of its own, and leaves nothing of it alive."""

import contextlib
import ctypes
import http.client
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from benchmarks.processes import environment
from benchmarks.serving.dialects import Answer, Call
from benchmarks.serving.memory import command_line, cpu_seconds, descendants

START_SECONDS = 180.0
STOP_SECONDS = 30.0
ANSWER_SECONDS = 180.0
#: The time between two questions to a server that starts.
POLL_SECONDS = 0.01
#: A server is idle that uses less than this share of a core for so many seconds; it is given so many to become so.
IDLE_SHARE, IDLE_SECONDS, MOST_SETTLING_SECONDS = 0.1, 2.0, 40.0
_PR_SET_CHILD_SUBREAPER = 36


class ServerFailed(Exception):
    """A server did not start, or answered wrongly; the message says how."""


class NotServed(Exception):
    """A server says that it does not take such a request: not all take every form of a body."""


def adopt_orphans() -> None:
    """Make this process the parent of whatever its children leave behind, so that it can find and end all of it."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1)


@contextlib.contextmanager
def started(command: Sequence[str], variables: Mapping[str, str], folder: Path) -> Iterator["subprocess.Popen[bytes]"]:
    """A server's first process; at the end all that it started is ended. Its output goes to `log` in the folder."""
    others = set(descendants(os.getpid()))
    with (folder / "log").open("wb") as output:
        process = subprocess.Popen(
            command,
            cwd=folder,
            env=environment() | dict(variables),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        yield process
    finally:
        _end(process, others)


def prepare(command: Sequence[str], variables: Mapping[str, str], folder: Path) -> None:
    """Run a command to its end in the server's folder.

    Raises:
        ServerFailed: it failed; the message has the end of what it said.
    """
    done = subprocess.run(
        command,
        cwd=folder,
        env=environment() | dict(variables),
        capture_output=True,
        text=True,
        check=False,
        timeout=START_SECONDS,
    )
    if done.returncode != 0:
        raise ServerFailed(f"its preparation failed: {done.stderr.strip()[-2000:]}")


def wait_until(
    answered: Callable[[], bool], process: "subprocess.Popen[bytes]", log: Path, seconds: float = START_SECONDS
) -> float:
    """Ask until the answer is yes; the time at which it was, as `time.perf_counter` has it.

    Raises:
        ServerFailed: the process ended, or the time was over; the message has the end of its log.
    """
    deadline = time.perf_counter() + seconds
    while True:
        with contextlib.suppress(OSError, http.client.HTTPException):
            if answered():
                return time.perf_counter()
        if process.poll() is not None:
            raise ServerFailed(f"it ended at its start with {process.returncode}: {_tail(log)}")
        if time.perf_counter() > deadline:
            raise ServerFailed(f"it did not answer rightly within {seconds:.0f} s: {_tail(log)}")
        time.sleep(POLL_SECONDS)


def settle(root: int) -> None:
    """Wait until a server uses next to no processor time, so that its start disturbs no reading."""
    deadline = time.perf_counter() + MOST_SETTLING_SECONDS
    calm_since = time.perf_counter()
    used = cpu_seconds([root, *descendants(root)])
    while time.perf_counter() < deadline and time.perf_counter() - calm_since < IDLE_SECONDS:
        time.sleep(0.5)
        now = cpu_seconds([root, *descendants(root)])
        if now - used > IDLE_SHARE * 0.5:
            calm_since = time.perf_counter()
        used = now


def ask(port: int, call: Call, seconds: float = ANSWER_SECONDS) -> Answer:
    """POST once on a connection of its own."""
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, timeout=seconds)) as connection:
        return post(connection, call)


def post(connection: http.client.HTTPConnection, call: Call) -> Answer:
    """POST on a connection that stays open."""
    connection.request("POST", call.path, call.body, dict(call.headers))
    answer = connection.getresponse()
    body = answer.read()
    headers = {name.lower(): value for name, value in answer.getheaders()}
    return Answer(status=answer.status, body=body, headers=headers)


def is_ok(port: int, path: str) -> bool:
    """Whether a GET answers 200."""
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, timeout=5)) as connection:
        connection.request("GET", path)
        return connection.getresponse().status == 200


def _end(process: "subprocess.Popen[bytes]", others: set[int]) -> None:
    """Ask it to end, then end by force what it left: below this process, or of those that it had started before."""
    known = {pid: command_line(pid) for pid in descendants(process.pid)}
    process.terminate()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(STOP_SECONDS)
    # A process that is ended may have started another one meanwhile.
    while left := _left(known, others):
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        process.wait()
        for pid in left:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, os.WNOHANG)
        time.sleep(POLL_SECONDS)


def _left(known: Mapping[int, str], others: set[int]) -> set[int]:
    """Processes that are below this one and were not before, and known ones that still run the same command."""
    adopted = {pid for pid in descendants(os.getpid()) if pid not in others}
    return adopted | {pid for pid, line in known.items() if line and command_line(pid) == line}


def _tail(log: Path) -> str:
    return log.read_text(errors="replace").strip()[-2000:]
