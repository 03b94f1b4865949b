"""The web process's side of errands: ask this machine's supervisor for a child, tell it what to do, and wait."""

import socket
import time
from collections.abc import Callable, Mapping
from contextlib import closing, suppress
from pathlib import Path
from typing import Any, Final

from service.errors import KerasdError, Unavailable
from service.training.errand import BUSY_SECONDS, ERRAND_SECONDS, Kind, Wire, as_error

#: How long a supervisor that listens may take to answer, in seconds; while it starts, it imports TensorFlow.
ANSWER_SECONDS = 20.0
#: What the last word about an errand that took too long may need, in seconds.
GRACE_SECONDS = 15.0
#: How long what clients ask for in bursts is asked again while the machine is busy, and after which pauses, in seconds.
PATIENCE: Final[Mapping[Kind, float]] = {"read": 10.0, "prepare": 10.0, "profile": 10.0}
PAUSE_SECONDS = 0.1
#: How often it is asked whether the client is still there, in seconds.
LOOK_SECONDS = 0.5


class Errands:
    """Has TensorFlow work done; many threads may ask at once."""

    def __init__(self, socket_path: Path) -> None:
        self._path = socket_path

    def run(self, kind: Kind, request: dict[str, Any], is_gone: Callable[[], bool] = lambda: False) -> dict[str, Any]:
        """Have one errand done, and return its result; `request` is JSON, and paths in it are made by the server.

        Raises the KerasdError that the child reports, and Unavailable where there is no child, where it died, or once
        `is_gone` says that the client has hung up; the child ends then.
        """
        deadline = time.monotonic() + PATIENCE.get(kind, 0.0)
        while True:
            try:
                return self._run(kind, request, is_gone)
            except Unavailable as error:
                if error.retry_after != BUSY_SECONDS or time.monotonic() > deadline or is_gone():
                    raise
            time.sleep(PAUSE_SECONDS)

    def _run(self, kind: Kind, request: dict[str, Any], is_gone: Callable[[], bool]) -> dict[str, Any]:
        with closing(self._connect()) as wire:
            # Who is turned away need not have been heard to the end.
            with suppress(OSError):
                wire.send({"kind": kind, "request": request}, ANSWER_SECONDS)
            try:
                return self._outcome(wire, is_gone)
            except EOFError as error:
                raise _away() from error

    def _connect(self) -> Wire:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            connection.settimeout(ANSWER_SECONDS)
            connection.connect(str(self._path))
        except OSError as error:
            connection.close()
            raise _away() from error
        return Wire(connection)

    def _outcome(self, wire: Wire, is_gone: Callable[[], bool]) -> dict[str, Any]:
        message = _receive(wire, ANSWER_SECONDS, is_gone)
        if "begun" in message:
            message = _receive(wire, ERRAND_SECONDS + GRACE_SECONDS, is_gone)
        if "problem" in message:
            raise as_error(message["problem"])
        result: dict[str, Any] = message["result"]
        return result


def _receive(wire: Wire, seconds: float, is_gone: Callable[[], bool]) -> dict[str, Any]:
    deadline = time.monotonic() + seconds
    while (left := deadline - time.monotonic()) > 0:
        message = wire.receive(min(left, LOOK_SECONDS))
        if message is not None:
            return message
        if is_gone():
            raise Unavailable("The client hung up before the work was done.")
    raise _away()


def _away() -> KerasdError:
    return Unavailable(
        "The process that does this work with TensorFlow is starting, or is too busy to answer; repeat the request.",
        retry_after=5,
    )
