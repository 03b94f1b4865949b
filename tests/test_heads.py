"""Heads that are known: what is remembered of them, and that nobody can tell by the answers."""

import random
import threading
from itertools import pairwise

import pytest

from service import heads as module
from service.heads import LONGEST, MOST, Heads
from tests.running import Running, client, running, wait_for
from tests.sockets import Answered, Client, chunked, head, post

__all__ = ["client", "running"]

RAW = b"POST /a HTTP/1.1\r\nContent-Length: 3\r\n\r\n"


@pytest.mark.parametrize("came", [b"", b"x", b"xyz", b"xyzPOST /b"])
def test_a_head_is_known_by_its_bytes(came: bytes) -> None:
    """However much of the body came with it."""
    heads = Heads()
    heads.note(RAW + came, b"xyz", "expected")
    for data in (RAW, RAW + b"abc", RAW + b"abc" + RAW):
        assert heads.find(data) == (RAW, 3, "expected")
    for data in (b"", RAW[:-1], b"\r\n" + RAW, RAW.replace(b"/a", b"/b"), RAW.lower(), RAW.replace(b"3", b"4")):
        assert heads.find(data) is None


@pytest.mark.parametrize(
    ("came", "content"),
    [
        (RAW, b""),
        (RAW[:-1], b"xyz"),
        (b"", b"xyz"),
        (RAW + b"xyz", b"abc"),
        (RAW + b"x", b"abc"),
        # What ends at another place than the parser said.
        (b"POST /a HTTP/1.1\n\nab\r\n\r\nc", b"ab\r\n\r\nc"),
        (b"POST /a HTTP/1.1\r\nX: %b\r\n\r\n" % (b"x" * LONGEST), b"xyz"),
    ],
)
def test_other_heads_are_not_remembered(came: bytes, content: bytes) -> None:
    heads = Heads()
    heads.note(came, content, "expected")
    assert heads.find(came) is None


def test_heads_are_remembered_within_bounds() -> None:
    heads = Heads()
    for number in range(3 * MOST + 1):
        heads.note(b"%d\r\n\r\nx" % number, b"x", number)
    known = [number for number in range(3 * MOST + 1) if heads.find(b"%d\r\n\r\n" % number)]
    assert 0 < len(known) <= MOST
    assert known[-1] == 3 * MOST


def test_what_is_known_is_not_parsed_again(running: Running, client: Client) -> None:
    """By any connection, and whatever the body is."""
    for number in range(10, 30):
        assert client.ask(post("/express", b"%d" % number)).body == b"POST /express %d" % number
    with Client(running.port) as other:
        answer = other.ask(post("/express", b"\r\n"))
        assert (answer.body, answer.headers["x-way"]) == (b"POST /express \r\n", "express")
        assert "date" in answer.headers
    assert running.app.expected == [b"/express"]
    assert running.server.server_state.total_requests == 21


def test_what_is_declined_takes_the_other_way(running: Running, client: Client) -> None:
    """Whole, once, and with what comes behind it."""
    for _ in range(3):
        client.send(post("/express", b"12345"), post("/express", b"later"), post("/express", b"54321"))
        ways = [(answer.body, answer.headers["x-way"]) for answer in (client.answer() for _ in range(3))]
        assert ways[:2] == [(b"POST /express 12345", "express"), (b"POST /express later", "asgi")]
        assert ways[2][0] == b"POST /express 54321"
    assert running.app.heard.count("/express") >= 3


@pytest.mark.parametrize(
    "request_bytes",
    [
        post("/express", b"1", "Connection: close"),
        post("/express", b""),
        post("/other", b"1"),
        head("POST", "/express", "Content-Length: 1", version="1.0") + b"1",
        head("POST", "/express", "Content-Length: 1", "Connection: Upgrade", "Upgrade: h2c") + b"1",
    ],
)
def test_what_is_parsed_each_time(running: Running, request_bytes: bytes) -> None:
    """Last requests, those without a body, and those that the application does not answer at once."""
    for _ in range(3):
        with Client(running.port) as client:
            assert client.ask(request_bytes).status == 200
    assert running.server._heads.find(request_bytes) is None


def test_a_body_without_a_length_is_parsed_each_time(running: Running, client: Client) -> None:
    """Also where it comes behind its head, so that nothing in the same piece says that it is in chunks."""
    request = chunked("/express", b"abc")
    start, end = request.partition(b"\r\n\r\n")[0] + b"\r\n\r\n", request.partition(b"\r\n\r\n")[2]
    for _ in range(3):
        asked = len(running.app.expected)
        client.send(start)
        wait_for(lambda asked=asked: len(running.app.expected) > asked)
        assert client.ask(end).body == b"POST /express abc"
    assert running.server._heads.find(start) is None


def test_a_known_request_waits_for_one_before_it(running: Running, client: Client) -> None:
    """Answers keep their order."""
    assert client.ask(post("/express", b"1")).body == b"POST /express 1"
    client.send(post("/slow", b"2"), post("/express", b"3"))
    wait_for(lambda: running.app.heard)
    client.send(post("/express", b"4"))
    assert not client.is_closed(0.2)
    running.go_on()
    assert [client.answer().body for _ in range(3)] == [b"POST /slow 2", b"POST /express 3", b"POST /express 4"]


def test_a_known_request_whose_body_never_comes(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its client is hung up on, as any other that is silent in the middle."""
    monkeypatch.setattr("service.protocol.PATIENCE_SECONDS", 0.2)
    with Client(running.port) as client:
        assert client.ask(post("/express", b"123")).status == 200
        client.send(post("/express", b"123")[:-1])
        assert client.is_closed()


PIECES = [
    post("/express", b"1"),
    post("/express", b"x" * 3000),
    post("/express", b"y" * 200_000),
    post("/express", b"later"),
    post("/express", b"HTTP/1.1\r\n\r\n"),
    post("/express?second", b"1"),
    post("/other", b"2"),
    post("/other", b"z" * 70_000),
    head("GET", "/other"),
    chunked("/express", b"a", b"b"),
    head("POST", "/express", "Expect: 100-continue", "Content-Length: 0"),
]


@pytest.mark.parametrize("seed", range(8))
def test_nobody_can_tell_by_the_answers(running: Running, monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    """The same requests, cut anyhow, get the same answers from a server that knows heads and from one that does not."""
    draw = random.Random(seed)
    requests = draw.choices(PIECES, k=60)
    content = b"".join(requests)
    cuts = sorted({0, len(content), *(draw.randrange(len(content)) for _ in range(draw.choice((0, 10, 200))))})
    pieces = [content[start:end] for start, end in pairwise(cuts)]
    with Client(running.port) as client:
        for request in PIECES[:3]:
            assert client.ask(request).status == 200
    assert all(running.server._heads.find(request) for request in PIECES[:3])
    knowing = answers(running, pieces, requests)
    monkeypatch.setattr(module, "LONGEST", 0)
    assert answers(running, pieces, requests) == knowing


def answers(running: Running, pieces: list[bytes], requests: list[bytes]) -> list[tuple[int, bytes]]:
    """What comes of them, twice on one connection."""
    found: list[Answered] = []
    with Client(running.port) as client:
        sender = threading.Thread(target=lambda: [client.send(piece) for piece in pieces * 2])
        sender.start()
        for _ in requests * 2:
            answer = client.answer()
            while answer.status == 100:
                answer = client.answer()
            found.append(answer)
        sender.join()
    return [(answer.status, answer.body) for answer in found]
