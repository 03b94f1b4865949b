"""A server of the workers' own kind in this process, with an application that tells what it was asked."""

import asyncio
import socket
import threading
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Any

import pytest
import uvloop
from uvicorn.config import Config

from service.acceptor import Loads
from service.busy_poll import Turns
from service.worker import FairServer, WebWorker
from tests.sockets import Client

LARGE = 20_000_000
#: The number of no worker.
NOBODY = -1


class App:
    """An application that tells what it was asked; `/express` is answered at once, unless the body asks for later.

    `expected` has each URL that a parsed head has asked about, `heard` the paths of ASGI's requests.
    """

    def __init__(self, busy_poll_seconds: float) -> None:
        self.busy_poll_seconds = busy_poll_seconds
        self.expected: list[bytes] = []
        self.heard: list[str] = []
        self.left: list[str] = []
        self.slow = asyncio.Event()
        self.ticks = 0

    def tick(self) -> None:
        self.ticks += 1

    def expects(self, url: bytes, headers: Sequence[tuple[bytes, bytes]]) -> object | None:
        self.expected.append(url)
        return url if url.startswith(b"/express") else None

    def answer_at_once(self, expected: Any, content: bytes) -> Sequence[bytes] | None:
        if content == b"later":
            return None
        body = b"POST %b %b" % (expected, content)
        return b"X-Way: express\r\nContent-Length: %d\r\n" % len(body), body

    async def __call__(
        self,
        scope: dict[str, Any],
        receive: Callable[[], Awaitable[dict[str, Any]]],
        send: Callable[[dict[str, Any]], Awaitable[None]],
    ) -> None:
        self.heard.append(scope["path"])
        body = b"" if scope["path"] == "/deaf" else await self._read(scope["path"], receive)
        if body is None:
            return
        if scope["path"] == "/slow":
            await self.slow.wait()
        text = f"{scope['method']} {scope['path']} ".encode() + body
        if scope["path"] == "/large":
            text = bytes(LARGE)
        length = (b"content-length", str(len(text)).encode())
        await send({"type": "http.response.start", "status": 200, "headers": [(b"x-way", b"asgi"), length]})
        await send({"type": "http.response.body", "body": text})
        if scope["path"] == "/large":
            self.left.append(scope["path"])

    async def _read(self, path: str, receive: Callable[[], Awaitable[dict[str, Any]]]) -> bytes | None:
        body = b""
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                self.left.append(path)
                return None
            body += message["body"]
            if not message["more_body"]:
                return body


class Running:
    """A server in a thread of its own."""

    def __init__(self, busy_poll_seconds: float = 0.0) -> None:
        self.app = App(busy_poll_seconds)
        listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        listener.setblocking(False)
        self.port: int = listener.getsockname()[1]
        self.loads, self.turns = Loads(1), Turns(1, 1)
        config = Config(self.app, log_config=None, **WebWorker.CONFIG_KWARGS)
        self.server = FairServer(config, self.loads, self.turns, 0)
        self._listener = listener
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        loop = uvloop.new_event_loop()
        try:
            loop.run_until_complete(self._serve(loop))
        finally:
            loop.close()

    async def _serve(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        await self.server.serve(sockets=[self._listener])

    def connections(self) -> int:
        """How many it tells others that it has."""
        return self.loads.others(NOBODY)[0].connections

    def go_on(self) -> None:
        """Let slow answers come."""
        self.loop.call_soon_threadsafe(self.app.slow.set)

    def stop(self) -> None:
        """Let it end, if it has not."""
        if self._thread.is_alive():
            self.go_on()
        self.server.should_exit = True
        self._thread.join(30)
        assert not self._thread.is_alive()


def wait_for(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


@pytest.fixture
def running() -> Iterator[Running]:
    server = Running()
    wait_for(lambda: server.server.started)
    yield server
    server.stop()


@pytest.fixture
def client(running: Running) -> Iterator[Client]:
    with Client(running.port) as one:
        yield one
