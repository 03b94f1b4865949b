"""How workers share the connections that come to one socket: whoever has the fewest accepts the next.

Left to the kernel, one worker may take all connections of a client, and the other cores stay idle. Each worker tells
the others, in memory that they share, how many connections it has. One that has more than another leaves the next one
to that other for a moment; a worker that hangs delays nobody for longer than that.

A worker that is busy may not know yet that its clients have gone. So whoever has accepted one leaves the next one to
the others, too, until they have told again.
"""

import asyncio
import mmap
import socket
import struct
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import NamedTuple

#: How long a connection is left to another worker at most, in seconds, and how often one looks meanwhile whether it
#: still is to be; the end of an own connection is looked at, too.
MOMENT, GLANCE = 0.005, 0.001
#: How long a worker waits that has no descriptor left for another connection, in seconds.
RESPITE = 0.1
#: The most connections that are accepted without a look at anything else.
MOST_AT_ONCE = 16
#: What a worker that takes no connections tells: more than any other has.
NONE_TAKEN = 2**62
_TOLD = struct.Struct("=qq")


class Told(NamedTuple):
    """How many connections a worker has told that it has, and how often it has told by now."""

    connections: int
    times: int


class Loads:
    """The number of connections of each worker, in memory that processes share which are forked later."""

    def __init__(self, workers: int) -> None:
        self._size = workers * _TOLD.size
        self._memory = mmap.mmap(-1, self._size)
        for worker in range(workers):
            self.tell(worker, NONE_TAKEN)

    def tell(self, worker: int, connections: int) -> None:
        """Tell how many connections a worker has."""
        _, times = _TOLD.unpack_from(self._memory, worker * _TOLD.size)
        _TOLD.pack_into(self._memory, worker * _TOLD.size, connections, times + 1)

    def others(self, worker: int) -> dict[int, Told]:
        """What each of the other workers has told last, as far as they take connections."""
        all_told = enumerate(map(Told._make, _TOLD.iter_unpack(self._memory[: self._size])))
        return {other: told for other, told in all_told if other != worker and told.connections != NONE_TAKEN}


class Acceptor:
    """Accepts the connections of a listening socket for one worker; used in its event loop."""

    def __init__(
        self,
        listener: socket.socket,
        protocol: Callable[[], asyncio.Protocol],
        connections: Callable[[], int],
        loads: Loads,
        worker: int,
    ) -> None:
        """Accept on `listener`, which does not block; `connections` says how many the worker has."""
        self._listener = listener
        self._protocol = protocol
        self._connections = connections
        self._loads = loads
        self._worker = worker
        self._loop = asyncio.get_running_loop()
        self._opening: set[asyncio.Task[object]] = set()
        self._waiting: asyncio.TimerHandle | None = None
        #: Since when the next connection is left to others; None while none is.
        self._leaving: float | None = None
        #: What each other worker had told when the last connection was accepted here.
        self._told: Mapping[int, Told] = {}
        self._watch()

    def close(self) -> None:
        """Accept no more."""
        self._loop.remove_reader(self._listener)
        if self._waiting is not None:
            self._waiting.cancel()
            self._waiting = None

    async def wait_closed(self) -> None:
        """Nothing is left to wait for."""

    def look_again(self) -> None:
        """A connection has ended: the next one may be for this worker now."""
        if self._leaving is not None and self._waiting is not None:
            self._waiting.cancel()
            self._watch()

    def _watch(self) -> None:
        self._waiting = None
        self._loop.add_reader(self._listener, self._accept)

    def _accept(self) -> None:
        """Somebody wants to connect: accept what is not to be left to other workers."""
        for _ in range(MOST_AT_ONCE):
            own = self._connections() + len(self._opening)
            self._loads.tell(self._worker, own)
            if self._leaves(own):
                self._wait(GLANCE)
                return
            self._leaving = None
            if not self._take():
                return

    def _leaves(self, own: int) -> bool:
        """Whether the next connection is for others: they have fewer, or perhaps do not know yet that they have."""
        others = self._loads.others(self._worker)
        fewest = min((told.connections for told in others.values()), default=own)
        if own <= fewest and (not own or fewest <= own + 1 or self._has_changed(others)):
            return False
        clock = time.monotonic()
        if self._leaving is None:
            self._leaving = clock
        return clock - self._leaving < MOMENT

    def _has_changed(self, others: Mapping[int, Told]) -> bool:
        """Whether all that others tell is newer than the last connection here."""
        return all(others.get(other) != told for other, told in self._told.items())

    def _wait(self, seconds: float) -> None:
        self._loop.remove_reader(self._listener)
        self._waiting = self._loop.call_later(seconds, self._watch)

    def _take(self) -> bool:
        """Take the connection that waits longest; False if none does."""
        try:
            connection, _ = self._listener.accept()
        except (BlockingIOError, ConnectionError):
            # Another worker was quicker, or the client has gone again.
            return False
        except OSError:
            # There is no descriptor left just now, and to try again at once would be all that is done.
            self._wait(RESPITE)
            return False
        self._told = self._loads.others(self._worker)
        connection.setblocking(False)
        with suppress(OSError):
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        task = self._loop.create_task(self._open(connection))
        self._opening.add(task)
        task.add_done_callback(self._opening.discard)
        return True

    async def _open(self, connection: socket.socket) -> None:
        try:
            await self._loop.connect_accepted_socket(self._protocol, connection)
        except OSError:
            connection.close()
        self._loads.tell(self._worker, self._connections())
