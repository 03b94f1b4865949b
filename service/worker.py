"""The class of gunicorn's workers: uvicorn's, with kerasd's own protocol, and connections that are shared fairly."""

import asyncio
import socket
from collections.abc import Callable
from typing import Any

from uvicorn.server import Server
from uvicorn_worker import UvicornWorker

from service.acceptor import NONE_TAKEN, Acceptor, Loads
from service.busy_poll import BusyPoll, Turns
from service.heads import Heads
from service.protocol import WebProtocol

#: How often a worker looks at the clock, and whether it is to end, in seconds: who wakes up takes a processor from
#: predictions.
TICK_SECONDS = 0.25


class FairServer(Server):
    """uvicorn's server, whose connections are shared fairly with the other workers."""

    def __init__(self, config: Any, loads: Loads, turns: Turns, worker: int) -> None:
        super().__init__(config)
        self._tick: Callable[[], None] = getattr(config.app, "tick", lambda: None)
        self.busy_poll = BusyPoll(getattr(config.app, "busy_poll_seconds", 0.0), turns, worker)
        self._loads = loads
        self._worker = worker
        self._heads = Heads()
        self._acceptors: list[Acceptor] = []

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets=[])
        self._acceptors = [self._acceptor(listener) for listener in sockets or ()]
        self.servers.extend(self._acceptors)  # type: ignore[arg-type]

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._loads.tell(self._worker, NONE_TAKEN)
        await super().shutdown(sockets)

    async def main_loop(self) -> None:
        # 0 is a tick on which the date is renewed.
        while not await self.on_tick(0):
            await asyncio.sleep(TICK_SECONDS)

    async def on_tick(self, counter: int) -> bool:
        should_exit = await super().on_tick(counter)
        self._tell()
        self._tick()
        return should_exit

    def _acceptor(self, listener: socket.socket) -> Acceptor:
        return Acceptor(listener, self._protocol, self._count, self._loads, self._worker)

    def _protocol(self) -> WebProtocol:
        given = (self.config, self.server_state, self.lifespan.state)
        return WebProtocol(*given, at_end=self._ended, busy_poll=self.busy_poll, heads=self._heads)

    def _ended(self) -> None:
        self._tell()
        for acceptor in self._acceptors:
            acceptor.look_again()

    def _tell(self) -> None:
        if not self.should_exit:
            self._loads.tell(self._worker, self._count())

    def _count(self) -> int:
        return len(self.server_state.connections)


class WebWorker(UvicornWorker):  # type: ignore[misc,unused-ignore]
    """A gunicorn worker that runs an ASGI application on uvloop and httptools."""

    CONFIG_KWARGS: dict[str, Any] = {
        "loop": "uvloop",
        "http": WebProtocol,
        "ws": "none",
        "lifespan": "off",
        "server_header": False,
        # The application says what it has answered.
        "access_log": False,
        "proxy_headers": False,
    }

    def take_place(self, number: int, loads: Loads, turns: Turns) -> None:
        """Be the worker of that number among those that share these; gunicorn calls it before the fork."""
        self.number, self._loads, self._turns = number, loads, turns

    def leave_place(self) -> None:
        """Be counted no more; gunicorn calls it once the process has ended."""
        self._loads.tell(self.number, NONE_TAKEN)
        self._turns.give_back(self.number)

    async def _serve(self) -> None:
        self.config.app = self.wsgi
        self._install_sigquit_handler()
        await FairServer(self.config, self._loads, self._turns, self.number).serve(sockets=self.sockets)
