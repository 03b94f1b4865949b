"""Bodies as WSGI reads them, from an event loop in another thread."""

import asyncio
import threading
from collections.abc import Callable, Iterator

import pytest

from service.api.body_stream import BodyStream, Message


@pytest.fixture
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    """An event loop that runs in a thread of its own."""
    running = asyncio.new_event_loop()
    thread = threading.Thread(target=running.run_forever)
    thread.start()
    yield running
    running.call_soon_threadsafe(running.stop)
    thread.join()
    running.close()


@pytest.fixture
def stream(loop: asyncio.AbstractEventLoop) -> Callable[..., BodyStream]:
    """A stream of the pieces given; an exception among them is raised in its turn."""

    def make(*pieces: bytes | Exception) -> BodyStream:
        left = list(pieces)

        async def receive() -> Message:
            piece = left.pop(0)
            if isinstance(piece, Exception):
                raise piece
            return {"type": "http.request", "body": piece, "more_body": bool(left)}

        return BodyStream(loop, receive)

    return make


@pytest.mark.parametrize("size", [1, 2, 3, 100])
def test_what_was_received_is_read(stream: Callable[..., BodyStream], size: int) -> None:
    """Up to so many bytes at once, and nothing only at the end; empty pieces are not the end."""
    body, read = stream(b"abc", b"", b"de", b""), []
    while piece := body.read(size):
        read.append(piece)
    assert b"".join(read) == b"abcde"
    assert max(map(len, read)) <= size
    assert body.read(size) == b""


def test_a_whole_piece_is_not_copied(stream: Callable[..., BodyStream]) -> None:
    """What the event loop has received is what the reader gets."""
    piece = bytes(range(100))
    body = stream(piece, b"")
    assert body.read(100) is piece
    assert body.read(100) == b""


def test_all_of_it_can_be_read(stream: Callable[..., BodyStream]) -> None:
    """Without a size, or line by line, as WSGI has it."""
    assert stream(b"abc", b"de").read() == b"abcde"
    assert stream(b"a\nb", b"c\nd").readlines() == [b"a\n", b"bc\n", b"d"]
    assert stream(b"").read() == b""


def test_buffers_are_filled(stream: Callable[..., BodyStream]) -> None:
    """As far as the piece at hand goes."""
    body, buffer = stream(b"abc", b"de"), bytearray(2)
    assert [body.readinto(buffer) for _ in range(4)] == [2, 1, 2, 0]
    assert buffer == b"de"


def test_what_ends_the_receiving_is_raised(stream: Callable[..., BodyStream]) -> None:
    """In its turn: what came before is read before."""
    body = stream(b"abc", ConnectionResetError())
    assert body.read(10) == b"abc"
    with pytest.raises(ConnectionResetError):
        body.read(10)


def test_the_next_piece_is_received_meanwhile(loop: asyncio.AbstractEventLoop) -> None:
    """One, and no more: the client of a slow reader waits."""
    asked, third = threading.Semaphore(0), threading.Event()

    async def receive() -> Message:
        asked.release()
        if third.is_set():
            return {"body": b"", "more_body": False}
        return {"body": b"piece", "more_body": True}

    body = BodyStream(loop, receive)
    assert not asked.acquire(blocking=False)
    assert body.read(5) == b"piece"
    for _ in range(2):
        assert asked.acquire(timeout=10)
    assert not asked.acquire(timeout=0.05)
    third.set()
    assert body.read(5) == b"piece"
    assert body.read(5) == b""
