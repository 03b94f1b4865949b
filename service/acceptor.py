"""How workers share the connections that come to one socket: whoever has the fewest accepts the next.

Left to the kernel, one worker may take all connections of a client, and the other cores stay idle. Each worker tells
the others, in memory that they share, how many connections it has. One that has more than another waits a moment
before it accepts, so that the other can; a worker that hangs delays nobody for longer than that.
"""

import asyncio
import mmap
import socket
import struct
from collections.abc import Callable, Iterator
from contextlib import suppress

#: How long a worker with more connections than another waits for that one, in seconds.
MOMENT = 0.005
#: How long a worker waits that has no descriptor left for another connection, in seconds.
RESPITE = 0.1
#: The most connections that are accepted without a look at anything else.
MOST_AT_ONCE = 16
#: What a worker that takes no connections tells: more than any other has.
NONE_TAKEN = 2**62
_NUMBER = struct.Struct("=q")


class Loads:
    """The number of connections of each worker, in memory that processes share which are forked later."""

    def __init__(self, workers: int) -> None:
        self._size = workers * _NUMBER.size
        self._memory = mmap.mmap(-1, self._size)
        for worker in range(workers):
            self.tell(worker, NONE_TAKEN)

    def tell(self, worker: int, connections: int) -> None:
        """Tell how many connections a worker has."""
        _NUMBER.pack_into(self._memory, worker * _NUMBER.size, connections)

    def least(self) -> int:
        """How many connections the worker has that has the fewest."""
        numbers: Iterator[tuple[int]] = _NUMBER.iter_unpack(self._memory[: self._size])
        return min(number for (number,) in numbers)


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
        self._watch()

    def close(self) -> None:
        """Accept no more."""
        self._loop.remove_reader(self._listener)
        if self._waiting is not None:
            self._waiting.cancel()

    async def wait_closed(self) -> None:
        """Nothing is left to wait for."""

    def _watch(self) -> None:
        self._loop.add_reader(self._listener, self._accept)

    def _accept(self) -> None:
        """Somebody wants to connect: accept while no other worker has fewer connections."""
        for _ in range(MOST_AT_ONCE):
            own = self._connections() + len(self._opening)
            self._loads.tell(self._worker, own)
            if own > self._loads.least():
                self._wait(MOMENT)
                return
            if not self._take():
                return

    def _accept_anyway(self) -> None:
        """The others had their time: whoever still waits is taken here."""
        self._waiting = None
        self._take()
        if self._waiting is None:
            self._watch()

    def _wait(self, seconds: float) -> None:
        self._loop.remove_reader(self._listener)
        self._waiting = self._loop.call_later(seconds, self._accept_anyway)

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
