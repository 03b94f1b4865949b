"""The front door: the ASGI application that gunicorn's workers run. It answers common predictions itself.

A prediction in the common form, by a network that is loaded and quick, is answered at once, before anything of ASGI is
made, with the very functions that the Flask views use. For slower ones and larger bodies a thread does the same.
Whatever else there is, wrong requests above all, goes whole to Flask, so that one place says what is wrong. There are
as many threads as the settings say; when too many requests wait for one, further ones are told to come back.
"""

import asyncio
import itertools
import secrets
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from time import perf_counter
from typing import Any, NamedTuple, Self

from a2wsgi import WSGIMiddleware
from werkzeug.exceptions import ClientDisconnected

from service.api.asgi import Scope, Send, again, clean, hang_up, read_body, whole, with_own_body
from service.api.body_stream import Message, Receive
from service.api.exchange import Headers, HotRoute, Reply
from service.api.hang_up import HANG_UP
from service.api.problems import overloaded
from service.api.versions import Served, Versions
from service.errors import KerasdError, NotFound
from service.inference.predictor import Predictor

#: Bodies up to this size are read in the event loop, if their answers have lately taken no time.
SMALL_BYTES = 2**18
#: Bodies up to this size are waited for before they get a thread, so that slow clients do not hold one.
WAITED_FOR_BYTES = 2**20
#: The others wait while an answer is given at once: for this long they well can.
QUICK_SECONDS = 0.001
#: How many URLs are remembered that were found to be predictions', and how long such a one may be.
_MOST_SEEN = 1024
_LONGEST_SEEN = 256
#: Whether the service lives is not a question that waits for its load to end: it has threads of its own.
_PROBES = ("/health/", "/v2/health/", "/ping")
_PROBE_THREADS = 2


class _Call(NamedTuple):
    """A request for predictions: by which route, and of which version."""

    route: HotRoute
    name: str
    wanted: str
    headers: Headers


@dataclass(slots=True)
class _Room:
    """How many requests may be in it at most, and how many are."""

    most: int
    inside: int = 0

    def enter(self) -> "_Place | None":
        """A place, if there is one; it is taken until it is left."""
        if self.inside >= self.most:
            return None
        self.inside += 1
        return _Place(self)


class _Place:
    """A request's place; it is left once the answer is on its way, or at the latest when the block ends."""

    def __init__(self, room: _Room) -> None:
        self._room = room
        self._left = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.leave()

    def leave(self) -> None:
        """Let another one in."""
        if not self._left:
            self._left = True
            self._room.inside -= 1

    def left_with(self, send: Send) -> Send:
        """`send` that leaves before the last of an answer: its client may ask again before anything else is done."""
        missing: int | None = None

        async def sending(message: Message) -> None:
            nonlocal missing
            if message["type"] == "http.response.start":
                missing = _size(dict(message["headers"]))
            else:
                missing = None if missing is None else missing - len(message["body"])
                if missing == 0 or not message.get("more_body", False):
                    self.leave()
            await send(message)

        return sending


class FrontDoor:
    """The ASGI application in front of a WSGI application."""

    def __init__(
        self,
        app: Callable[..., Any],
        versions: Versions,
        predictor: Predictor,
        routes: Sequence[HotRoute],
        *,
        threads: int,
        queue: int,
        max_body_bytes: int,
        busy_poll_seconds: float = 0.0,
        tick: Callable[[], None] = lambda: None,
    ) -> None:
        """Give `threads` threads to all that takes time; so many as `queue` more requests may wait for one.

        The server is to stay awake for `busy_poll_seconds` after an answer at once, if clients come back that soon, and
        to call `tick` some times a second.
        """
        self.busy_poll_seconds, self.tick = busy_poll_seconds, tick
        self._versions = versions
        self._predictor = predictor
        self._routes = routes
        self._max_body_bytes = max_body_bytes
        self._room, self._room_for_large = _Room(threads + queue), _Room(threads + queue)
        self._large = asyncio.Semaphore(threads)
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="web")
        # Its types of ASGI's messages are stricter than ASGI is.
        self._app: Any = WSGIMiddleware(with_own_body(app))
        self._app.executor = self._threads
        self._probes: Any = WSGIMiddleware(app, workers=_PROBE_THREADS)
        self._ids = _request_ids()
        self._seen: dict[bytes, tuple[HotRoute, str, str]] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            return
        found = self._find(scope["path"], scope["query_string"]) if scope["method"] == "POST" else None
        call = None if found is None else _call(found, scope["headers"])
        size = None if call is None else _size(call.headers)
        try:
            if scope["path"].startswith(_PROBES):
                await self._probes(clean(scope), whole(receive), send)
            elif call is None or size is None or size > self._max_body_bytes:
                await self._pass_on(scope, receive, send)
            elif size <= WAITED_FOR_BYTES:
                await self._predict(call, await read_body(receive), scope, receive, send)
            else:
                await self._predict_large(call, scope, receive, send)
        except ClientDisconnected:
            # Nobody is left to answer.
            return

    def expects(self, url: bytes, headers: Sequence[tuple[bytes, bytes]]) -> _Call | None:
        """What `answer_at_once` needs with the body of a small POST for predictions; None for all others."""
        found = self._seen.get(url)
        if found is None:
            path, _, query = url.partition(b"?")
            # An encoded path means what it means to uvicorn.
            found = self._find(path.decode("ascii"), query) if path.isascii() and b"%" not in path else None
            if found is None:
                return None
            self._remember(url, found)
        call = _call(found, headers)
        size = None if call is None else _size(call.headers)
        return None if size is None or size > SMALL_BYTES else call

    def answer_at_once(self, expected: _Call, content: bytes) -> tuple[bytes, bytes] | None:
        """The headers and the body of an answer that takes no time; None leaves the request to `__call__`."""
        try:
            reply = self._at_once(expected, content)
        except NotFound:
            return None
        if reply is None:
            return None
        # Most of the headers are the same as last time.
        return _encoded(reply.headers, reply.about) + _own_headers(reply, next(self._ids)), reply.body

    def close(self) -> None:
        """End the threads."""
        self._threads.shutdown()
        self._probes.executor.shutdown()

    def _remember(self, url: bytes, found: tuple[HotRoute, str, str]) -> None:
        if len(url) <= _LONGEST_SEEN:
            if len(self._seen) >= _MOST_SEEN:
                self._seen.clear()
            self._seen[url] = found

    def _find(self, path: str, query: bytes) -> tuple[HotRoute, str, str] | None:
        for route in self._routes:
            found = route.match(path, query)
            if found is not None:
                return route, *found
        return None

    async def _predict_large(self, call: _Call, scope: Scope, receive: Receive, send: Send) -> None:
        place = self._room_for_large.enter()
        if place is None:
            await self._refuse(self._room_for_large, scope, send)
            return
        # So many large bodies are in memory at once as there are threads for them.
        with place:
            async with self._large:
                await self._predict(call, await read_body(receive), scope, receive, place.left_with(send))

    async def _predict(self, call: _Call, content: bytes, scope: Scope, receive: Receive, send: Send) -> None:
        place = self._room.enter()
        if place is None:
            await self._refuse(self._room, scope, send)
            return
        with place:
            reply = await asyncio.get_running_loop().run_in_executor(self._threads, self._answer, call, content)
            if reply is not None:
                await self._send(reply, place.left_with(send))
            else:
                await self._app(clean(scope), again(content, receive), place.left_with(send))

    def _at_once(self, call: _Call, content: bytes) -> Reply | None:
        """The reply, if all is there to give it in no time."""
        served = self._versions.known(call.name, call.wanted)
        if served is None or not self._predictor.is_loaded(served.version):
            return None
        expected = served.pace.expected(len(content))
        return self._timed(call, served, content) if expected is not None and expected < QUICK_SECONDS else None

    def _answer(self, call: _Call, content: bytes) -> Reply | None:
        """The reply to a request in the common form; runs in a thread."""

        def answer(served: Served) -> Reply | None:
            if served.version.engine == "tensorflow":
                # Where the other process is away, Flask is not to wait for it a second time.
                return None
            if not self._predictor.is_loaded(served.version):
                # What is loaded only now takes longer than it ever will again, and is no measure.
                return self._reply(call, served, content)
            return self._timed(call, served, content)

        try:
            return self._versions.use(call.name, call.wanted, answer)
        except KerasdError:
            return None

    def _timed(self, call: _Call, served: Served, content: bytes) -> Reply | None:
        started = perf_counter()
        reply = self._reply(call, served, content)
        served.pace.note(len(content), perf_counter() - started)
        return reply

    def _reply(self, call: _Call, served: Served, content: bytes) -> Reply | None:
        try:
            return call.route.answer(served, call.headers, content)
        except NotFound:
            raise
        except Exception:
            # Whatever is wrong, Flask says it, and logs it where that is due.
            return None

    async def _pass_on(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let Flask answer; a small body is waited for before."""
        size = _size(dict(scope["headers"]))
        if size is not None and size <= WAITED_FOR_BYTES:
            scope = {**scope, HANG_UP: hang_up(receive)}
            receive = again(await read_body(receive) if size else b"", receive)
        place = self._room.enter()
        if place is None:
            await self._refuse(self._room, scope, send)
            return
        with place:
            await self._app(clean(scope), whole(receive), place.left_with(send))

    async def _send(self, reply: Reply, send: Send) -> None:
        head = _encoded(reply.headers, reply.about) + _own_headers(reply, next(self._ids))
        headers = [tuple(line.split(b": ", 1)) for line in head.splitlines()]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": reply.body})

    async def _refuse(self, room: _Room, scope: Scope, send: Send) -> None:
        refusal = overloaded(scope["path"], room.inside, next(self._ids))
        headers = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in refusal.headers]
        await send({"type": "http.response.start", "status": refusal.status, "headers": headers})
        await send({"type": "http.response.body", "body": refusal.body})


@lru_cache(maxsize=1024)
def _encoded(*parts: tuple[tuple[str, str], ...]) -> bytes:
    """Headers as they are sent."""
    return "".join([f"{name}: {value}\r\n" for part in parts for name, value in part]).encode("latin-1")


def _own_headers(reply: Reply, request_id: str) -> bytes:
    """The headers that no other reply has, as they are sent."""
    timing = "" if reply.timings is None else f"Server-Timing: {reply.timings.header()}\r\n"
    return f"{timing}Content-Length: {len(reply.body)}\r\nX-Request-Id: {request_id}\r\n".encode("latin-1")


def _call(found: tuple[HotRoute, str, str], headers: Sequence[tuple[bytes, bytes]]) -> _Call | None:
    """The request, unless a header came twice: what both together mean is Flask's to say."""
    named = dict(headers)
    return _Call(*found, named) if len(named) == len(headers) else None


def _size(headers: Headers) -> int | None:
    """How long the body is; None where the request does not say."""
    length = headers.get(b"content-length")
    if length is None:
        return None if b"transfer-encoding" in headers else 0
    return int(length)


def _request_ids() -> Iterator[str]:
    """Ids that no other worker gives, and that cost next to nothing: so many are given."""
    start = secrets.token_hex(8)
    return (f"req_{start}{number:08x}" for number in itertools.count())
