"""The workers' protocol over real sockets: order, bounds and patience, with and without the express way."""

import logging
import threading
import time
from collections.abc import Callable

import pytest

from service import busy_poll
from service import protocol as module
from service.busy_poll import Turns
from service.protocol import MAX_HEAD_BYTES
from tests.running import LARGE, NOBODY, Running, client, running, wait_for
from tests.sockets import Client, chunked, head, post

__all__ = ["client", "running"]


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> float:
    """Clients may be silent for less than a second."""
    monkeypatch.setattr(module, "PATIENCE_SECONDS", 0.4)
    return 0.4


def test_both_ways(client: Client) -> None:
    """What the application can answer at once never becomes a request of ASGI; all else does, whole."""
    cases = [
        (post("/express", b"1"), "express", b"POST /express 1"),
        (post("/express", b"later"), "asgi", b"POST /express later"),
        (post("/express", b""), "express", b"POST /express "),
        (post("/other", b"2"), "asgi", b"POST /other 2"),
        (head("GET", "/express"), "asgi", b"GET /express "),
        (chunked("/express", b"a", b"b"), "express", b"POST /express ab"),
        (chunked("/other", b"a", b"b" * 100_000), "asgi", b"POST /other a" + b"b" * 100_000),
    ]
    for _ in range(3):
        for request, way, body in cases:
            answer = client.ask(request)
            assert (answer.status, answer.headers["x-way"], answer.body) == (200, way, body)
            assert "date" in answer.headers
            assert "connection" not in answer.headers


PIPELINES = {
    "express": ["/express"] * 300,
    "ordinary": ["/other"] * 20,
    "mixed": ["/express", "/other", "/express", "/express", "/other", "/other", "/express"] * 5,
}


@pytest.mark.parametrize("paths", PIPELINES.values(), ids=PIPELINES)
@pytest.mark.parametrize("size", [1, 7, 1000, 10**9])
def test_pipelined_requests_are_answered_in_order(client: Client, paths: list[str], size: int) -> None:
    """However they are cut into pieces."""
    requests = b"".join(post(path, b"%d" % number) for number, path in enumerate(paths))
    sender = threading.Thread(target=send_in_pieces, args=(client, requests, size))
    sender.start()
    for number, path in enumerate(paths):
        assert client.answer().body == b"POST %b %d" % (path.encode(), number)
    sender.join()


def send_in_pieces(client: Client, content: bytes, size: int) -> None:
    for start in range(0, len(content), size):
        client.send(content[start : start + size])


def test_pipelined_requests_with_bodies_larger_than_a_head(client: Client) -> None:
    """A piece that holds the end of a body and the beginning of the next head is not all head."""
    body = b"x" * (MAX_HEAD_BYTES + 1000)
    requests = post("/other", body) * 10
    sender = threading.Thread(target=send_in_pieces, args=(client, requests[: -len(body) - 20], 10**9))
    sender.start()
    for _ in range(9):
        assert client.answer().body == b"POST /other " + body
    sender.join()
    client.send(requests[-len(body) - 20 :])
    assert client.answer().body == b"POST /other " + body


@pytest.mark.parametrize("path", ["/express", "/other", "/slow"])
def test_what_was_asked_before_a_mistake_is_answered_before_it(running: Running, client: Client, path: str) -> None:
    """By either way, and however long it takes; then comes a 400 and the end."""
    client.send(post(path, b"1"), post(path, b"2"), b"this is not HTTP\r\n\r\n", post(path, b"3"))
    if path == "/slow":
        wait_for(lambda: running.app.heard)
        client.send(b"more that is no HTTP\r\n\r\n")
        assert not client.is_closed(0.2)
        running.go_on()
    assert client.answer().body == f"POST {path} 1".encode()
    assert client.answer().body == f"POST {path} 2".encode()
    answer = client.answer()
    assert (answer.status, answer.headers["connection"]) == (400, "close")
    assert client.is_closed()
    assert len(running.app.heard) == (0 if path == "/express" else 2)


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"hello\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET /\xff HTTP/1.1\r\nHost: here\r\n\r\n",
        head("POST", "/express", "Content-Length: x"),
        head("POST", "/express", "Content-Length: 1", "Content-Length: 2") + b"1",
        head("POST", "/express", "Content-Length: 1", "Transfer-Encoding: chunked") + b"0\r\n\r\n",
        head("POST", "/express", "Transfer-Encoding: chunked") + b"no size\r\n",
        head("GET", "/other", "No colon"),
        head("CONNECT", "there:443"),
    ],
)
def test_what_is_no_request_is_a_400(running: Running, client: Client, request_bytes: bytes) -> None:
    """And the end of the connection."""
    answer = client.ask(request_bytes)
    assert (answer.status, answer.headers["connection"]) == (400, "close")
    assert client.is_closed()


@pytest.mark.parametrize("path", ["/express", "/other"])
def test_the_client_may_end_the_connection(client: Client, path: str) -> None:
    """By `Connection: close`; what it sends after that is not answered."""
    client.send(post(path, b"1", "Connection: close"), post(path, b"2"))
    answer = client.answer()
    assert (answer.body, answer.headers["connection"]) == (f"POST {path} 1".encode(), "close")
    assert client.is_closed()


@pytest.mark.parametrize("path", ["/express", "/other"])
def test_http_1_0(client: Client, path: str) -> None:
    """Such a connection ends with its answer."""
    answer = client.ask(head("POST", path, "Content-Length: 1", version="1.0"), b"1")
    assert (answer.body, answer.headers["connection"]) == (f"POST {path} 1".encode(), "close")
    assert client.is_closed()


@pytest.mark.parametrize("path", ["/express", "/other"])
def test_expect_100_continue(client: Client, path: str) -> None:
    """The client is told to go on, and goes on."""
    assert client.ask(head("POST", path, "Content-Length: 3", "Expect: 100-continue")).status == 100
    assert client.ask(b"abc").body == f"POST {path} abc".encode()
    assert client.ask(post(path, b"next")).body == f"POST {path} next".encode()


@pytest.mark.parametrize("path", ["/express", "/other"])
@pytest.mark.parametrize("form", ["with its head", "after its head", "in chunks"])
def test_another_protocol_is_offered_and_not_taken(client: Client, path: str, form: str) -> None:
    """As Java's client does with its first request; its body belongs to the request all the same."""
    upgrade = ("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAAQBAAAA")
    if form == "in chunks":
        client.send(chunked(path, b"12", b"3", headers=upgrade))
    else:
        client.send(head("POST", path, "Content-Length: 3", *upgrade))
        if form == "after its head":
            time.sleep(0.05)
        client.send(b"123")
    assert client.answer().body == f"POST {path} 123".encode()
    assert client.ask(post(path, b"4")).body == f"POST {path} 4".encode()
    assert client.ask(head("GET", "/other", *upgrade)).body == b"GET /other "


@pytest.mark.parametrize("path", ["/express", "/other"])
@pytest.mark.parametrize("size", [100, 5000, 10**9])
def test_a_head_that_is_too_long(running: Running, client: Client, path: str, size: int) -> None:
    """Is a 400 and the end of the connection, whether it comes at once or drips in, and before it ends."""
    request = head("POST", path, "Content-Length: 0", *(f"X-{i}: {'y' * 100}" for i in range(800)))
    assert len(request) > MAX_HEAD_BYTES
    if size < 10**9:
        request = request[:-2] + b"X-Y: y" * 1000
    sender = threading.Thread(target=send_and_be_hung_up_on, args=(client, request, size))
    sender.start()
    answer = client.answer()
    sender.join()
    assert (answer.status, answer.headers["connection"]) == (400, "close")
    assert b"65536" in answer.body
    assert running.app.heard == []


def send_and_be_hung_up_on(client: Client, content: bytes, size: int) -> None:
    try:
        send_in_pieces(client, content, size)
    except OSError:
        return


@pytest.mark.parametrize("path", ["/express", "/other"])
def test_a_long_head_that_is_not_too_long(client: Client, path: str) -> None:
    """In one piece, in many, and one after the other."""
    long = f"X-Long: {'y' * 60_000}"
    for _ in range(3):
        assert client.ask(post(path, b"1", long)).body == f"POST {path} 1".encode()
    send_in_pieces(client, post(path, b"2", long), 10_000)
    assert client.answer().body == f"POST {path} 2".encode()


@pytest.mark.parametrize("path", ["/express", "/other"])
def test_an_eager_client(client: Client, path: str) -> None:
    """Thousands of requests, each sent when the last byte of the answer before has come."""
    for number in range(2000):
        assert client.ask(post(path, b"%d" % number)).body == b"POST %b %d" % (path.encode(), number)


@pytest.mark.parametrize("send", [lambda body: head("POST", "/other", "Content-Length: 100") + body, None])
def test_a_client_that_hangs_up_in_the_middle(running: Running, send: Callable[[bytes], bytes] | None) -> None:
    """Is told from one that has sent all; in chunks, too."""
    begun = send(b"half") if send else chunked("/other", b"half")[: -len(b"0\r\n\r\n")]
    with Client(running.port) as client:
        client.send(begun)
        wait_for(lambda: running.app.heard)
    wait_for(lambda: running.app.left)
    with Client(running.port) as client:
        client.send(head("POST", "/express", "Content-Length: 100"), b"half")
    with Client(running.port) as client:
        assert client.ask(post("/express", b"1")).headers["x-way"] == "express"


def test_an_answer_before_the_end_of_the_body(client: Client) -> None:
    """The rest is passed over, and the connection goes on."""
    client.send(head("POST", "/deaf", "Content-Length: 200000"), bytes(1000))
    assert client.answer().body == b"POST /deaf "
    client.send(bytes(199_000))
    assert client.ask(post("/express", b"1")).body == b"POST /express 1"


def test_an_express_request_waits_for_an_ordinary_one_before_it(running: Running, client: Client) -> None:
    """On its own connection; on another it is answered at once."""
    client.send(post("/slow", b"1"))
    wait_for(lambda: running.app.heard)
    client.send(post("/express", b"2"))
    with Client(running.port) as other:
        assert other.ask(post("/express", b"3")).headers["x-way"] == "express"
    assert not client.is_closed(0.2)
    running.go_on()
    assert client.answer().body == b"POST /slow 1"
    assert client.answer().body == b"POST /express 2"


SILENCES = {
    "nothing": b"",
    "half a head": b"POST /other HTTP/1.1\r\nHost: he",
    "half a body": head("POST", "/other", "Content-Length: 100") + b"half",
    "half a body of the express way": head("POST", "/express", "Content-Length: 100") + b"half",
    "half a chunk": chunked("/other", b"12345")[:-10],
    "half a request after a whole one": post("/express", b"1") + b"POST /ot",
    "only a whole one": post("/express", b"1"),
    "only a whole ordinary one": post("/other", b"1"),
}


@pytest.mark.parametrize("sent", SILENCES.values(), ids=SILENCES)
def test_silent_clients_are_hung_up_on(impatient: float, running: Running, sent: bytes) -> None:
    """Whatever they wait for; not before their time."""
    started = time.monotonic()
    with Client(running.port) as client:
        client.send(sent)
        if sent.startswith((post("/express", b"1"), post("/other", b"1"))):
            assert client.answer().status == 200
        assert client.is_closed()
        # The loop's clock has milliseconds.
        assert time.monotonic() - started > impatient - 0.01
    wait_for(lambda: not running.server.server_state.connections)


def test_slow_clients_are_not_hung_up_on(impatient: float, client: Client) -> None:
    """Those that say something, if only a little at a time."""
    for path in ("/express", "/other"):
        request = post(path, b"12345678")
        client.send(request[:-8])
        for start in range(8):
            time.sleep(impatient / 2)
            client.send(request[len(request) - 8 + start : len(request) - 7 + start])
        assert client.answer().body == f"POST {path} 12345678".encode()


def test_clients_that_wait_are_not_hung_up_on(impatient: float, running: Running, client: Client) -> None:
    """For an answer that takes its time, or between requests, if not for too long."""
    for _ in range(4):
        assert client.ask(post("/express", b"1")).status == 200
        time.sleep(impatient / 2)
    client.send(post("/slow", b"1"))
    assert not client.is_closed(4 * impatient)
    running.go_on()
    assert client.answer().body == b"POST /slow 1"


def test_clients_that_take_no_answer_are_hung_up_on(impatient: float, running: Running, client: Client) -> None:
    """They would keep its memory for ever."""
    client.send(post("/large", b""))
    wait_for(lambda: running.app.heard)
    wait_for(lambda: not running.server.server_state.connections)
    with pytest.raises(ConnectionError):
        client.answer()


def test_clients_that_take_an_answer_slowly_get_it(impatient: float, client: Client) -> None:
    """Some of it is taken between any two looks."""
    client.send(post("/large", b""))
    taken = b""
    while len(taken) < LARGE:
        taken += client.socket.recv(2**20)
        if len(taken) < 6_000_000:
            time.sleep(impatient / 8)
    assert len(taken) > LARGE


@pytest.mark.parametrize("path", ["/express", "/other", "/slow"])
def test_what_was_asked_before_the_end_is_answered(running: Running, path: str) -> None:
    """A server that ends takes no connections, and leaves nobody without an answer."""
    with Client(running.port) as idle, Client(running.port) as client:
        assert idle.ask(post("/express", b"1")).status == 200
        client.send(post(path, b"1"))
        if path == "/slow":
            wait_for(lambda: running.app.heard)
            running.server.should_exit = True
            assert idle.is_closed()
            assert running.loads.others(NOBODY) == {}
            running.go_on()
        assert client.answer().body == f"POST {path} 1".encode()
    running.stop()
    with pytest.raises(ConnectionRefusedError):
        Client(running.port)


def test_the_others_are_told_how_many_connections_there_are(running: Running) -> None:
    """As they come and go."""
    assert running.connections() == 0
    with Client(running.port) as one, Client(running.port) as two:
        for client in (one, two):
            assert client.ask(post("/express", b"1")).status == 200
        wait_for(lambda: running.connections() == 2)
    wait_for(lambda: running.connections() == 0)


def test_the_application_is_told_that_time_goes_on(running: Running) -> None:
    """Also where nobody asks for anything."""
    wait_for(lambda: running.app.ticks >= 2)


def test_mistakes_are_logged_without_a_trace(client: Client, caplog: pytest.LogCaptureFixture) -> None:
    """A client's mistake is no error of the server's."""
    with caplog.at_level(logging.INFO):
        assert client.ask(b"hello\r\n\r\n").status == 400
    assert not [record for record in caplog.records if record.exc_info or record.levelno >= logging.ERROR]


def test_the_loop_stays_awake_for_a_client_that_comes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """After a second quick answer, until the moment is over; what was asked in another way ends it."""
    monkeypatch.setattr(busy_poll, "_MOST_SWITCHES", 10**9)
    running = Running(busy_poll_seconds=3600.0)
    try:
        wait_for(lambda: running.server.started)
        with Client(running.port) as client:
            for number in range(5):
                assert client.ask(post("/express", b"%d" % number)).body == b"POST /express %d" % number
            # There is one turn, and this worker has it.
            assert running.server.busy_poll.awake
            assert Turns.take(running.turns, 0)
            assert client.ask(post("/other", b"6")).body == b"POST /other 6"
            wait_for(lambda: not running.server.busy_poll.awake)
    finally:
        running.stop()
