"""The class of gunicorn's workers: uvicorn's, with the bounds that uvicorn leaves to a proxy in front of it."""

import asyncio
import socket
from collections.abc import Sequence
from typing import Any, Protocol

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import Server
from uvicorn_worker import UvicornWorker

from service.acceptor import NONE_TAKEN, Acceptor, Loads

#: The most bytes that a request may have before its body begins.
MAX_HEAD_BYTES = 2**16
#: How long a client may at least be silent, in seconds, before a request or in the middle of one.
PATIENCE_SECONDS = 60.0


class Express(Protocol):
    """An ASGI application that can answer some requests at once, without ASGI."""

    def expects(self, url: bytes, headers: Sequence[tuple[bytes, bytes]]) -> object | None:
        """What is to be handed to `answer_at_once` with the body of this POST; None for a request for `__call__`."""
        ...

    def answer_at_once(self, expected: Any, content: bytes) -> Sequence[bytes] | None:
        """The head of an answer with status 200, without its first line, and the body; None leaves it to `__call__`."""
        ...


class WebProtocol(HttpToolsProtocol):
    """HTTP with bounds on what comes before a body, and on how long a client may keep the server waiting.

    What an `Express` application can answer at once is answered here, in one write: a task for each request, and its
    events, would cost as much as a prediction.
    """

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._heard, self._in_head, self._head_bytes = False, True, 0
        self._express: Express | None = self.app if hasattr(self.app, "answer_at_once") else None
        self._expected: object | None = None
        self._pieces: list[bytes] = []
        self._look_again = self.loop.call_later(PATIENCE_SECONDS, self._look)

    def connection_lost(self, exc: Exception | None) -> None:
        self._look_again.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self._heard = True
        super().data_received(data)
        if self._in_head:
            # A head that comes in one piece is no larger than what the loop reads at once.
            self._head_bytes += len(data)
            if self._head_bytes > MAX_HEAD_BYTES:
                self.send_400_response(f"The head of a request may have {MAX_HEAD_BYTES} bytes.")

    def on_message_begin(self) -> None:
        # What ASGI needs besides is made when ASGI is to answer.
        self._in_head = True
        self.url, self.headers, self.expect_100_continue = b"", [], False

    def on_headers_complete(self) -> None:
        self._in_head, self._head_bytes = False, 0
        self._expected = self._expects()
        if self._expected is None:
            self._begin_asgi()

    def on_body(self, body: bytes) -> None:
        if self._expected is None:
            super().on_body(body)
        else:
            self._pieces.append(body)

    def on_message_complete(self) -> None:
        if self._expected is None:
            super().on_message_complete()
            return
        expected, content = self._expected, b"".join(self._pieces)
        self._expected, self._pieces = None, []
        answer = self._express.answer_at_once(expected, content) if self._express is not None else None
        if answer is not None:
            self._write(answer)
            return
        self._begin_asgi()
        super().on_body(content)
        super().on_message_complete()

    def _begin_asgi(self) -> None:
        url, headers, expect = self.url, self.headers, self.expect_100_continue
        super().on_message_begin()
        self.url, self.expect_100_continue = url, expect
        self.headers.extend(headers)
        super().on_headers_complete()

    def _expects(self) -> object | None:
        """What the application makes of a request that nothing stands before, and nothing else is to be done for."""
        parser, flow, cycle = self.parser, self.flow, self.cycle
        idle = (cycle is None or cycle.response_complete) and not flow.write_paused
        if self._express is None or not idle or parser.get_method() != b"POST":
            return None
        if self.expect_100_continue or parser.should_upgrade() or parser.get_http_version() != "1.1":
            return None
        return self._express.expects(self.url, self.headers)

    def _write(self, answer: Sequence[bytes]) -> None:
        date = [b"%b: %b\r\n" % header for header in self.server_state.default_headers]
        keep_alive = self.parser.should_keep_alive()
        closing = b"" if keep_alive else b"connection: close\r\n"
        head, body = answer
        self.transport.write(b"".join([b"HTTP/1.1 200 OK\r\n", *date, closing, head, b"\r\n", body]))
        self.server_state.total_requests += 1
        if not keep_alive:
            self.transport.close()

    def _look(self) -> None:
        """Hang up on a client whose turn it is, and that was silent since the last look."""
        if self._awaited() and not self._heard:
            self.transport.abort()
            return
        self._heard = False
        self._look_again = self.loop.call_later(PATIENCE_SECONDS, self._look)

    def _awaited(self) -> bool:
        """Whether it is the client's turn: to say what it wants, or to go on with a body that is being read."""
        cycle = self.cycle
        if self._in_head or self._expected is not None or cycle is None or cycle.response_complete:
            return True
        return cycle.more_body and not self.flow.read_paused


class FairServer(Server):
    """uvicorn's server, whose connections are shared fairly with the other workers."""

    def __init__(self, config: Any, loads: Loads, worker: int) -> None:
        super().__init__(config)
        self._loads = loads
        self._worker = worker

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets=[])
        self.servers.extend(self._acceptor(listener) for listener in sockets or ())  # type: ignore[misc]

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._loads.tell(self._worker, NONE_TAKEN)
        await super().shutdown(sockets)

    async def on_tick(self, counter: int) -> bool:
        should_exit = await super().on_tick(counter)
        if not should_exit:
            self._loads.tell(self._worker, self._count())
        return should_exit

    def _acceptor(self, listener: socket.socket) -> Acceptor:
        return Acceptor(listener, self._protocol, self._count, self._loads, self._worker)

    def _protocol(self) -> WebProtocol:
        return WebProtocol(self.config, self.server_state, self.lifespan.state)

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

    def take_place(self, number: int, loads: Loads) -> None:
        """Be the worker of that number among those that share `loads`; gunicorn calls it before the fork."""
        self.number, self._loads = number, loads

    def leave_place(self) -> None:
        """Be counted no more; gunicorn calls it once the process has ended."""
        self._loads.tell(self.number, NONE_TAKEN)

    async def _serve(self) -> None:
        self.config.app = self.wsgi
        self._install_sigquit_handler()
        await FairServer(self.config, self._loads, self.number).serve(sockets=self.sockets)
