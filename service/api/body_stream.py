"""A body as a WSGI application reads it: while it works on one piece, the event loop receives the next."""

import asyncio
import io
from collections.abc import Awaitable, Callable, MutableMapping
from concurrent.futures import Future
from typing import Any

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]


class BodyStream(io.RawIOBase):
    """What `receive` gives, to be read in another thread than that of the event loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop, receive: Receive) -> None:
        self._loop, self._receive = loop, receive
        self._next: Future[Message] | None = None
        self._piece = memoryview(b"")
        self._ended = False

    def readable(self) -> bool:
        return True

    def read(self, size: int | None = -1, /) -> bytes:
        """Up to `size` bytes, none only at the end; all that there are where no size is given."""
        if size is None or size < 0:
            return self.readall()
        self._fetch()
        # A piece that is wanted whole is not copied.
        if len(self._piece) <= size and isinstance(whole := self._piece.obj, bytes) and len(whole) == len(self._piece):
            self._piece = memoryview(b"")
            return whole
        return bytes(self._take(size))

    def readall(self) -> bytes:
        pieces = []
        while piece := self.read(2**30):
            pieces.append(piece)
        return b"".join(pieces)

    def readinto(self, buffer: Any, /) -> int:
        self._fetch()
        view = memoryview(buffer).cast("B")
        taken = self._take(len(view))
        view[: len(taken)] = taken
        return len(taken)

    def _take(self, size: int) -> memoryview:
        taken, self._piece = self._piece[:size], self._piece[size:]
        return taken

    def _fetch(self) -> None:
        """Have a piece, unless the body is at its end; raises what `receive` does."""
        while not self._piece and not self._ended:
            message = (self._next or self._begin()).result()
            self._next = None
            self._piece, self._ended = memoryview(message.get("body", b"")), not message.get("more_body", False)
            if not self._ended:
                self._next = self._begin()

    def _begin(self) -> "Future[Message]":
        return asyncio.run_coroutine_threadsafe(self._received(), self._loop)

    async def _received(self) -> Message:
        return await self._receive()
