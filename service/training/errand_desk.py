"""Where web processes come with errands: the supervisor gives each a child, and watches it until it ends.

The child hears and answers over the very connection that the web process has opened. The desk keeps its own end of it,
to say what became of a child that could not say it. Nothing here ever waits: the supervisor has jobs to look after.
"""

import os
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import structlog

from service.errors import KerasdError, Unavailable
from service.training import verdict
from service.training.doorbell import MAX_PATH_BYTES
from service.training.errand import BUSY_SECONDS, ERRAND_SECONDS, encode, problem
from service.training.kernel import anonymous_bytes, oom_kills
from service.training.zygote import Child

#: How many errands a machine does at a time.
MOST_ERRANDS = 4
_BACKLOG = 64
_FUNCTION = "service.training.errand_child:run_errand"

log = structlog.get_logger()


class Starter(Protocol):
    """What starts children; the zygote does."""

    def start(self, function: str, arguments: tuple[Any, ...]) -> Child: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Errand:
    """One child at work, with the desk's end of its connection; the clock is monotonic seconds."""

    child: Child
    connection: socket.socket
    begun: float
    memory_at_start: int
    oom_kills_at_start: int

    def tell(self, error: KerasdError) -> None:
        """Say what the child could not; who has had an answer, or has hung up, does not hear it."""
        _say(self.connection, problem(error))

    def trespass(self, max_memory_bytes: int, clock: float) -> KerasdError | None:
        """What the child has taken beyond its due, of memory or of time."""
        used = anonymous_bytes(self.child.process.pid) - self.memory_at_start
        if used > max_memory_bytes:
            return verdict.errand_memory(used, max_memory_bytes)
        return verdict.errand_time(ERRAND_SECONDS) if clock - self.begun > ERRAND_SECONDS else None


class ErrandDesk:
    """The supervisor's side of errands."""

    def __init__(self, path: Path, zygote: Starter, *, threads: int, max_memory_bytes: int) -> None:
        self._path = path
        self._zygote = zygote
        self._threads = threads
        self._max_memory_bytes = max_memory_bytes
        self._listener: socket.socket | None = None
        self._errands: list[Errand] = []

    def open(self) -> None:
        """Listen, for this user only; where no socket can have that path, there are no errands."""
        if len(os.fsencode(self._path)) > MAX_PATH_BYTES:
            log.warning("no_errands", path=str(self._path), error="the path is too long for a socket")
            return
        # What an earlier supervisor has left behind would refuse the new one.
        self._path.unlink(missing_ok=True)
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            listener.setblocking(False)
            listener.bind(str(self._path))
            self._path.chmod(0o600)
            listener.listen(_BACKLOG)
        except OSError as error:
            listener.close()
            log.warning("no_errands", path=str(self._path), error=str(error))
            return
        self._listener = listener

    @property
    def busy(self) -> bool:
        return bool(self._errands)

    def answers(self) -> Iterator[tuple[Any, Callable[[], None]]]:
        """What to wait for, and what to do once it is ready."""
        if self._listener is not None:
            yield self._listener.fileno(), self._accept
        for errand in self._errands:
            yield errand.child.connection, partial(self._see_off, errand)

    def check(self, clock: float) -> None:
        """End the children that take more than their due."""
        for errand in list(self._errands):
            wrong = errand.trespass(self._max_memory_bytes, clock)
            if wrong is not None:
                self._end(errand, wrong)

    def refuse(self) -> None:
        """Take no further errands; those that were taken go on."""
        if self._listener is not None:
            self._listener.close()
            self._listener = None
            self._path.unlink(missing_ok=True)

    def close(self) -> None:
        """End every errand."""
        self.refuse()
        for errand in list(self._errands):
            self._end(errand, Unavailable("The server is shutting down; repeat the request.", retry_after=5))

    def _accept(self) -> None:
        """Take one errand, or turn it away."""
        assert self._listener is not None
        try:
            connection, _ = self._listener.accept()
        except OSError:
            # It has hung up again already.
            return
        if len(self._errands) >= MOST_ERRANDS:
            busy = f"This machine is at work on {MOST_ERRANDS} such requests, as many as it does at a time; repeat it."
            _say(connection, problem(Unavailable(busy, retry_after=BUSY_SECONDS)))
            connection.close()
            return
        _say(connection, {"begun": True})
        try:
            self._errands.append(self._begin(connection))
        except (OSError, EOFError) as error:
            # The machine has no room for another process; jobs that run must not suffer from that.
            log.warning("errand_not_started", error=f"{type(error).__name__}: {error}")
            _say(connection, problem(Unavailable("No process could be started for this; repeat it.", retry_after=5)))
            connection.close()

    def _begin(self, connection: socket.socket) -> Errand:
        child = self._zygote.start(_FUNCTION, (connection, self._threads))
        log.info("errand_started", pid=child.process.pid)
        return Errand(
            child=child,
            connection=connection,
            begun=time.monotonic(),
            memory_at_start=anonymous_bytes(child.process.pid),
            oom_kills_at_start=oom_kills(),
        )

    def _see_off(self, errand: Errand) -> None:
        """Collect a child that has ended."""
        with suppress(EOFError, OSError):
            # It says nothing on the supervisor's pipe, which is only there to break.
            errand.child.connection.recv_bytes()
            return
        self._errands.remove(errand)
        code = errand.child.collect()
        if code:
            errand.tell(verdict.errand_death(code, out_of_memory=oom_kills() > errand.oom_kills_at_start))
        errand.connection.close()
        log.info("errand_ended", pid=errand.child.process.pid, exit_code=code)

    def _end(self, errand: Errand, reason: KerasdError) -> None:
        self._errands.remove(errand)
        errand.child.kill()
        errand.tell(reason)
        errand.connection.close()
        log.info("errand_ended", pid=errand.child.process.pid, reason=reason.detail)


def _say(connection: socket.socket, message: dict[str, Any]) -> None:
    """Send a short message if it can be sent at once."""
    with suppress(OSError):
        connection.send(encode(message), socket.MSG_DONTWAIT)
