"""Servers that are started for one measurement, on a free port, and ended with it."""

import contextlib
import os
import socket
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import requests

from benchmarks.clock import poll

START_SECONDS = 180.0
STOP_SECONDS = 60.0


@contextlib.contextmanager
def running(
    command: Sequence[str], log: Path, ready: Callable[[], bool], environment: Mapping[str, str] | None = None
) -> Iterator[None]:
    """Start a server, wait until it is ready, and end it at last.

    Raises:
        RuntimeError: it ended before it was ready; the message has the end of its log.
    """
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output, env={**os.environ, **(environment or {})})

    def started() -> bool | None:
        if process.poll() is not None:
            raise RuntimeError(f"{command[0]} ended at its start: {log.read_text(errors='replace')[-2000:]}")
        with contextlib.suppress(requests.ConnectionError, requests.Timeout):
            return ready() or None
        return None

    try:
        poll(started, START_SECONDS)
        yield
    finally:
        stop(process)


def stop(process: "subprocess.Popen[bytes]") -> None:
    """Ask it to end, and end it by force if it does not."""
    process.terminate()
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
