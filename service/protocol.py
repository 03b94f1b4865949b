"""HTTP as the web workers speak it: with bounds on what clients may send, and a short way for quick answers."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from service.busy_poll import BusyPoll
from service.heads import Head, Heads

#: The most bytes that a request may have before its body begins.
MAX_HEAD_BYTES = 2**16
#: How much of a body is read before the application has asked for it.
READ_AHEAD_BYTES = 2**20
#: How long a client may at least be silent, in seconds, before a request or in the middle of one.
PATIENCE_SECONDS = 60.0


class _HeadTooLong(Exception):
    """A request has too many bytes before its body."""

    def __init__(self) -> None:
        super().__init__(f"The head of a request may have {MAX_HEAD_BYTES} bytes.")


class Express(Protocol):
    """An ASGI application that can answer some requests at once, without ASGI."""

    def expects(self, url: bytes, headers: Sequence[tuple[bytes, bytes]]) -> object | None:
        """What is to be handed to `answer_at_once` with the body of this POST; None for a request for `__call__`."""
        ...

    def answer_at_once(self, expected: Any, content: bytes) -> Sequence[bytes] | None:
        """The head of an answer with status 200, without its first line, and the body; None leaves it to `__call__`."""
        ...


class Outbox:
    """Answers that are sent together, once all requests are read that have come in the meantime.

    A client that is woken by each answer takes the processor from the server, which then begins each request with
    cold caches: sent so, answers cost half as much again.
    """

    def __init__(self) -> None:
        self._answers: list[tuple[asyncio.Transport, bytes, bool]] = []

    def put(self, loop: asyncio.AbstractEventLoop, transport: asyncio.Transport, answer: bytes, close: bool) -> None:
        """Send an answer soon, and then perhaps hang up."""
        if not self._answers:
            loop.call_soon(self.send)
        self._answers.append((transport, answer, close))

    def send(self) -> None:
        """Send what there is now."""
        answers, self._answers = self._answers, []
        for transport, answer, close in answers:
            if not transport.is_closing():
                transport.write(answer)
                if close:
                    transport.close()


class WebProtocol(HttpToolsProtocol):
    """HTTP with bounds on what comes before a body, and on how long a client may keep the server waiting.

    What an `Express` application can answer at once is answered here, in one write: a task for each request, and its
    events, would cost as much as a prediction.
    """

    #: All connections of a process have one.
    _outbox = Outbox()

    def __init__(
        self,
        *given: Any,
        at_end: Callable[[], None] = lambda: None,
        busy_poll: BusyPoll | None = None,
        heads: Heads | None = None,
    ) -> None:
        """Serve one connection, and call `at_end` once it has ended.

        `busy_poll` hears of answers at once, and `heads` has what all connections to the application know.
        """
        super().__init__(*given)
        self._at_end = at_end
        self._busy_poll = busy_poll
        self._heads = heads or Heads()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._heard, self._in_head, self._upgrading = False, True, False
        self._first_bytes, self._more_bytes, self._came, self._unsent = 0, 0, 0, 0
        self._mistake: str | None = None
        self._express: Express | None = self.app if hasattr(self.app, "answer_at_once") else None
        self._expected: object | None = None
        self._pieces: list[bytes] = []
        #: Whether the parser stands between two requests; how what it is given began, and the request that it is in.
        self._between, self._began, self._start = True, b"", b""
        #: The head of a request that comes without the parser, and how much of its body is missing.
        self._known: Head | None = None
        self._missing = 0
        self._declined = False
        #: The headers that all answers of the same second have, and how they are sent.
        self._dated: list[tuple[bytes, bytes]] | None = None
        self._date = b""
        self._look_again = self.loop.call_later(PATIENCE_SECONDS, self._look)

    def connection_lost(self, exc: Exception | None) -> None:
        self._look_again.cancel()
        super().connection_lost(exc)
        self._at_end()

    def data_received(self, data: bytes) -> None:
        if self._mistake is not None:
            # Nothing is read any more after what could not be.
            return
        self._heard = True
        if self._busy_poll is not None:
            self._busy_poll.heard()
        self._unset_keepalive_if_required()
        rest = self._take_known(data)
        if rest:
            self._parse(rest)

    def _take_known(self, data: bytes) -> bytes:
        """Answer what comes, as long as the heads are known; give what is left to be parsed."""
        while data:
            if self._known is None:
                self._known = self._heads.find(data) if self._between and self._is_idle() else None
                if self._known is None:
                    return data
                self._missing = self._known.size
                data = data[len(self._known.raw) :]
            self._pieces.append(data[: self._missing])
            data, self._missing = data[self._missing :], self._missing - len(self._pieces[-1])
            if not self._missing:
                head, content = self._known, self._whole()
                self._known = None
                if not self._answer(head.expected, content, True):
                    self._declined = True
                    return b"".join((head.raw, content, data))
        return b""

    def _whole(self) -> bytes:
        pieces, self._pieces = self._pieces, []
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def _parse(self, data: bytes) -> None:
        self._began = data if self._between else b""
        self._came = len(data)
        self._more_bytes += self._came
        try:
            self.parser.feed_data(data)
            if self._in_head and self._is_too_long():
                raise _HeadTooLong
        except httptools.HttpParserUpgrade as upgrade:
            self._go_on_without_upgrade(data[upgrade.args[0] :])
        except httptools.HttpParserInvalidURLError:
            self.send_400_response("An address has ASCII characters alone: encode others, such as %C3%A9.")
        except (httptools.HttpParserError, _HeadTooLong) as error:
            too_long = next((one for one in (error, error.__context__) if isinstance(one, _HeadTooLong)), None)
            self.send_400_response("The request is not HTTP." if too_long is None else str(too_long))

    def on_message_begin(self) -> None:
        # What ASGI needs besides is made when ASGI is to answer.
        self._in_head, self._first_bytes, self._more_bytes = True, self._came, 0
        self._between, self._start, self._began = False, self._began, b""
        self.url, self.headers, self.expect_100_continue = b"", [], False

    def on_headers_complete(self) -> None:
        if self._is_too_long():
            raise _HeadTooLong
        self._in_head, self._upgrading = False, self.parser.should_upgrade()
        if self._upgrading:
            return
        self._expected = self._expects()
        if self._expected is None:
            self._begin_asgi()

    def on_body(self, body: bytes) -> None:
        if self._expected is not None:
            self._pieces.append(body)
            return
        cycle = self.cycle
        if cycle.response_complete or self._upgrading:
            return
        # As uvicorn does, but for how much is read ahead of the application: a large body comes in fewer pieces. One
        # that it waits for is not copied.
        if not cycle.body:
            cycle.body = body  # type: ignore[assignment]
        elif isinstance(cycle.body, bytearray):
            cycle.body += body
        else:
            cycle.body = bytearray().join((cycle.body, body))
        if len(cycle.body) > READ_AHEAD_BYTES:
            self.flow.pause_reading()
        cycle.message_event.set()

    def on_message_complete(self) -> None:
        # How it came is not kept for as long as the connection is silent: that may be a quarter of a megabyte.
        self._between, start, self._start = True, self._start, b""
        if self._upgrading:
            return
        if self._expected is None:
            super().on_message_complete()
            return
        expected, content, keep_alive = self._expected, self._whole(), self.parser.should_keep_alive()
        self._expected = None
        if self._answer(expected, content, keep_alive):
            # Of what has no length, the head does not say where it ends; nor does one come again that was the last.
            if keep_alive and not any(name == b"transfer-encoding" for name, _ in self.headers):
                self._heads.note(start, content, expected)
            return
        self._begin_asgi()
        super().on_body(content)
        super().on_message_complete()

    def send_400_response(self, msg: str) -> None:
        # What was asked before the mistake is answered before it.
        self._outbox.send()
        cycle = self.cycle
        if cycle is None or cycle.response_complete or cycle.more_body:
            super().send_400_response(msg)
        else:
            self._mistake = msg

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self._mistake is not None and self.cycle.response_complete and not self.transport.is_closing():
            super().send_400_response(self._mistake)

    def shutdown(self) -> None:
        # A connection that waits for no answer is closed now, and these are answers that nobody waits for any more.
        self._outbox.send()
        super().shutdown()

    def _begin_asgi(self) -> None:
        url, headers, expect = self.url, self.headers, self.expect_100_continue
        super().on_message_begin()
        self.url, self.expect_100_continue = url, expect
        self.headers.extend(headers)
        super().on_headers_complete()

    def _expects(self) -> object | None:
        """What the application makes of a request that nothing stands before, and nothing else is to be done for."""
        if self._declined:
            self._declined = False
            return None
        if self._express is None or not self._is_idle() or self.parser.get_method() != b"POST":
            return None
        if self.expect_100_continue or self.parser.get_http_version() != "1.1":
            return None
        return self._express.expects(self.url, self.headers)

    def _is_idle(self) -> bool:
        """Whether what comes next stands behind nothing."""
        cycle = self.cycle
        return (cycle is None or cycle.response_complete) and not self.flow.write_paused

    def _is_too_long(self) -> bool:
        """Whether the head is, as far as it is known; what came with its beginning may have been another's body."""
        if self._first_bytes + self._more_bytes <= MAX_HEAD_BYTES:
            return False
        known = len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)
        return known > MAX_HEAD_BYTES or (self._in_head and self._more_bytes - self._came > MAX_HEAD_BYTES)

    def _go_on_without_upgrade(self, rest: bytes) -> None:
        """Read the request again as if it had not asked for another protocol: the parser would not read its body."""
        method = self.parser.get_method()
        if method == b"CONNECT":
            self.send_400_response("This is no proxy.")
            return
        # Some clients offer HTTP/2 with each first request, and go on happily without it.
        headers = [b"%b: %b\r\n" % header for header in self.headers if header[0] != b"upgrade"]
        self.parser = httptools.HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)
        self.data_received(b"".join([method, b" ", self.url, b" HTTP/1.1\r\n", *headers, b"\r\n", rest]))

    def _answer(self, expected: object, content: bytes, keep_alive: bool) -> bool:
        """Answer a request at once, if the application can."""
        answer = None if self._express is None else self._express.answer_at_once(expected, content)
        if answer is None:
            return False
        if self._dated is not self.server_state.default_headers:
            self._dated = self.server_state.default_headers
            self._date = b"".join([b"%b: %b\r\n" % header for header in self._dated])
        closing = b"" if keep_alive else b"connection: close\r\n"
        head, body = answer
        content = b"HTTP/1.1 200 OK\r\n%b%b%b\r\n%b" % (self._date, closing, head, body)
        self._outbox.put(self.loop, self.transport, content, not keep_alive)
        self.server_state.total_requests += 1
        if self._busy_poll is not None:
            self._busy_poll.answered(self.loop)
        return True

    def _look(self) -> None:
        """Hang up on a client whose turn it is, and that has neither sent nor taken anything since the last look."""
        unsent = self.transport.get_write_buffer_size()
        if (self._awaited() and not self._heard) or (self.flow.write_paused and unsent == self._unsent):
            self.transport.abort()
            return
        self._heard, self._unsent = False, unsent
        self._look_again = self.loop.call_later(PATIENCE_SECONDS, self._look)

    def _awaited(self) -> bool:
        """Whether it is the client's turn: to say what it wants, or to go on with a body that is being read."""
        cycle = self.cycle
        if cycle is None or cycle.response_complete:
            return True
        return cycle.more_body and not self.flow.read_paused and not cycle.waiting_for_100_continue
