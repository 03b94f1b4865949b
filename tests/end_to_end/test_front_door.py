"""The front door as clients meet it: gunicorn's real workers, on versions that were written by hand."""

import contextlib
import json
import signal
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from flask.testing import FlaskClient

from service.app import create_app
from service.config import Settings
from tests.api.door_cases import CASES, INFER, MANY, NATIVE, PLAIN, SERVING, Case, X, comparable, publish
from tests.api.served import Published
from tests.registry.conftest import closed_databases
from tests.sockets import Answered, Client, chunked, head, post
from tests.web import Web, wait_for

__all__ = ["closed_databases"]

TYPED = "Content-Type: application/json"
QUICK = post(NATIVE, PLAIN, TYPED)
#: Takes some tenths of a second a request, or a moment, by how many rows it has.
SLOW = "slow"


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    folder = tmp_path_factory.mktemp("front") / "data"
    settings = publish(folder)
    Published(folder).slow(SLOW, size=1200, times=6)
    return settings


@pytest.fixture(scope="module")
def web(settings: Settings) -> Iterator[Web]:
    running = Web(settings, settings.data.with_name("run"), web_workers="1")
    yield running
    running.stop()


@pytest.fixture
def client(web: Web) -> Iterator[Client]:
    with Client(web.port) as one:
        yield one


@contextlib.contextmanager
def crowded(settings: Settings, name: str, **more: str) -> Iterator[Web]:
    """One worker with little room."""
    running = Web(settings, settings.data.with_name(name), web_workers="1", **more)
    try:
        yield running
    finally:
        running.stop()


def as_sent(case: Case) -> bytes:
    length = [f"Content-Length: {len(case.body)}"] if case.body or case.method == "POST" else []
    own = [f"{name}: {value}" for name, value in case.headers.items()]
    return head(case.method, case.url, *own, *length) + case.body


def flask_answer(client: FlaskClient, case: Case) -> tuple[int, dict[str, str], bytes]:
    answer = client.open(case.url, method=case.method, data=case.body, headers=case.headers)
    return comparable(answer.status_code, list(answer.headers.items()), answer.data)


def door_answer(client: Client, case: Case) -> tuple[int, dict[str, str], bytes]:
    client.send(as_sent(case))
    answer = client.answer(head_only=case.method == "HEAD")
    return comparable(answer.status, list(answer.headers.items()), answer.body)


def test_the_service_answers_as_flask_alone_does(settings: Settings, client: Client) -> None:
    """Every request, three times, on one connection, so that each of the door's ways is taken as soon as it can be."""
    alone = create_app(settings).test_client()
    for name, case in CASES.items():
        due = flask_answer(alone, case)
        for _ in range(3):
            assert door_answer(client, case) == due, name


def flask_requests(web: Web) -> int:
    """How many requests Flask has logged; the express way logs none."""
    return web.log().count('"event": "request"')


def test_hot_requests_do_not_reach_flask(web: Web, client: Client) -> None:
    """Of all that are hot, none is in Flask's log; others are."""
    before = flask_requests(web)
    for case in CASES.values():
        if case.hot:
            client.send(as_sent(case))
            assert client.answer().status == 200
    assert flask_requests(web) == before
    assert client.ask(head("GET", "/v1/models")).status == 200
    wait_for(lambda: flask_requests(web) == before + 1)


MIXED = {
    "quick": (QUICK, 200),
    "serving": (post(SERVING, PLAIN), 200),
    "infer": (post(INFER, json.dumps({"inputs": [X]}).encode()), 200),
    "flask": (head("GET", "/v1/models"), 200),
    "wrong": (post(NATIVE, b'{"instances": [[1]]}', TYPED), 422),
    "chunked": (chunked(NATIVE, PLAIN[:9], PLAIN[9:], headers=(TYPED,)), 200),
    "large": (post(NATIVE, MANY, TYPED), 200),
    "unknown": (post("/v1/models/nobody/predict", PLAIN, TYPED), 404),
}


@pytest.mark.parametrize("size", [50, 2000, 10**9])
def test_pipelined_requests_of_every_kind(client: Client, size: int) -> None:
    """Come back in their order, however they were cut, and a mistake comes after all that was asked before it."""
    requests, statuses = zip(*(MIXED.values()), strict=True)
    content = b"".join(requests * 5) + b"no request at all\r\n\r\n"

    def send() -> None:
        for start in range(0, len(content), size):
            client.send(content[start : start + size])

    sender = threading.Thread(target=send)
    sender.start()
    assert [client.answer().status for _ in range(40)] == list(statuses * 5)
    sender.join()
    assert client.answer().status == 400
    assert client.is_closed()


def test_an_eager_client_is_never_left_waiting(client: Client) -> None:
    """Thousands of requests of both ways on one connection, each sent as soon as the last byte has come."""
    for _ in range(300):
        for request, status in (MIXED["quick"], MIXED["flask"], MIXED["quick"], MIXED["wrong"]):
            assert client.ask(request).status == status


@pytest.mark.parametrize("path", ["/v1/models", "/v1/jobs", "/health/live", NATIVE])
@pytest.mark.parametrize("query", ["%C3%A9=%FF&%zz", "a=b%00c", "&&=&", "a" * 5000])
def test_odd_queries_are_answered(client: Client, path: str, query: str) -> None:
    """By a sentence where they mean nothing, and never by a 500."""
    assert client.ask(head("GET", f"{path}?{query}")).status < 500
    assert client.ask(post(f"{path}?{query}", PLAIN, TYPED)).status < 500


@pytest.mark.parametrize("url", ["/v1/models?cursor=\xc3\xa9", "/v1/models/\xc3\xa9", f"{NATIVE}?version=\xff"])
def test_addresses_that_are_not_encoded_are_refused(client: Client, url: str) -> None:
    """With a sentence that says how they would be."""
    answer = client.ask(post(url, PLAIN, TYPED))
    assert answer.status == 400
    assert b"%C3%A9" in answer.body
    assert client.is_closed()


def test_methods(client: Client) -> None:
    """HEAD has a length and no body, OPTIONS and 405 say what there is."""
    client.send(head("HEAD", "/v1/models"))
    answer = client.answer(head_only=True)
    assert answer.status == 200
    assert int(answer.headers["content-length"]) == len(client.ask(head("GET", "/v1/models")).body)
    assert "POST" in client.ask(head("OPTIONS", NATIVE)).headers["allow"]
    answer = client.ask(head("DELETE", NATIVE))
    assert answer.status == 405
    assert "POST" in answer.headers["allow"]


def test_expect_and_chunks_and_old_http(client: Client, web: Web) -> None:
    """A client that asks before it sends; a data set in chunks; one of HTTP/1.0."""
    asks = head("POST", NATIVE, TYPED, f"Content-Length: {len(PLAIN)}", "Expect: 100-continue")
    assert client.ask(asks).status == 100
    assert client.ask(PLAIN).status == 200
    rows = json.dumps({"x": [[1.0, 2.0]] * 5000, "y": [0.5] * 5000}).encode()
    parts = [rows[start : start + 10_000] for start in range(0, len(rows), 10_000)]
    stored = client.ask(chunked("/v1/datasets", *parts, headers=(TYPED,)))
    assert stored.status == 201
    assert json.loads(stored.body)["rows"] == 5000
    with Client(web.port) as old:
        answer = old.ask(head("POST", NATIVE, TYPED, f"Content-Length: {len(PLAIN)}", version="1.0"), PLAIN)
        assert (answer.status, answer.headers["connection"]) == (200, "close")
        assert old.is_closed()


@pytest.mark.parametrize("form", ["with a length", "in chunks"])
def test_half_an_upload_is_no_data_set(web: Web, settings: Settings, client: Client, form: str) -> None:
    """A client that hangs up in the middle leaves nothing, not even where the half is a whole in itself."""

    def stored() -> list[Any]:
        return list(json.loads(client.ask(head("GET", "/v1/datasets")).body)["items"])

    before = stored()
    lines = b"a,y\n" + b"1.0,2.0\n" * 200_000
    fields = ("Content-Type: text/csv",)
    with Client(web.port) as other:
        if form == "in chunks":
            other.send(chunked("/v1/datasets?target=y", lines, headers=fields)[: -len(b"0\r\n\r\n")])
        else:
            other.send(head("POST", "/v1/datasets?target=y", f"Content-Length: {len(lines) + 8}", *fields), lines)
        wait_for(lambda: list((settings.data / "incoming").iterdir()))
    wait_for(lambda: not list((settings.data / "incoming").iterdir()))
    assert stored() == before
    assert '"level": "error"' not in web.log()


def ask_alone(web: Web, request: bytes) -> Answered:
    """The answer to one request on a connection of its own, however long it takes."""
    with Client(web.port) as client:
        client.socket.settimeout(120)
        return client.ask(request)


def ask_slowly(web: Web, rows: int) -> Answered:
    body = json.dumps({"instances": [[1.0]] * rows}).encode()
    return ask_alone(web, post(f"/v1/models/{SLOW}/predict", body, TYPED))


def rows_that_take(web: Web, seconds: float) -> int:
    """So many rows keep the slow network busy for about that long."""
    rows = 256
    while rows < 2**17:
        started = time.monotonic()
        assert ask_slowly(web, rows).status == 200
        took = time.monotonic() - started
        if took > seconds / 3:
            return max(1, int(rows * seconds / took))
        rows *= 4
    return rows


@pytest.mark.parametrize("queue", [0, 1])
def test_overload(settings: Settings, queue: int) -> None:
    """What there is no room for is told so; quick predictions and probes go on; then all is as before."""
    with crowded(settings, f"crowded{queue}", web_threads="1", web_queue=str(queue)) as web:
        # So many that what they take is known well, even on a machine that does other things too.
        for _ in range(30):
            with Client(web.port) as client:
                assert client.ask(QUICK).status == 200
        rows = rows_that_take(web, 3.0)
        body = json.dumps({"instances": [[1.0]] * rows}).encode()
        assert len(body) < 2**20
        forms = [
            post(f"/v1/models/{SLOW}/predict", body, TYPED),
            post(f"/v1/models/{SLOW}:predict", body),
            head("GET", "/v1/models"),
            post(INFER, b"{}"),
        ]
        with contextlib.ExitStack() as stack:
            busy = [stack.enter_context(Client(web.port)) for _ in range(1 + queue)]
            for client in busy:
                client.socket.settimeout(120)
                client.send(forms[0])
            probe = stack.enter_context(Client(web.port))
            wait_for(lambda: probe.ask(head("GET", "/v1/models")).status == 503)
            for request in forms:
                refused = probe.ask(request)
                assert (refused.status, refused.headers["retry-after"]) == (503, "1")
                plain = b":predict" in request.split(b"\r\n")[0] or b"/v2/" in request.split(b"\r\n")[0]
                assert list(json.loads(refused.body)) == (
                    ["error"] if plain else ["type", "title", "status", "detail", "request_id"]
                )
            assert probe.ask(QUICK).status == 200
            assert probe.ask(head("GET", "/health/live")).status == 200
            assert [client.answer().status for client in busy] == [200] * len(busy)
            wait_for(lambda: probe.ask(head("GET", "/v1/models")).status == 200)
            for request in forms[:2]:
                assert probe.ask(request).status == 200


def latencies(web: Web, count: int) -> list[float]:
    """How long small predictions of a quick network take, one after the other, in seconds; none may fail."""
    taken = []
    with Client(web.port) as client:
        for _ in range(count):
            started = time.perf_counter()
            assert client.ask(QUICK).status == 200
            taken.append(time.perf_counter() - started)
    return taken


@contextlib.contextmanager
def beside(*asked: Callable[[], Answered]) -> Iterator[list[int]]:
    """Ask these over and over, each in a thread of its own, and give the statuses of their answers."""
    statuses: list[int] = []
    over = threading.Event()

    def work(ask: Callable[[], Answered]) -> None:
        while not over.is_set():
            statuses.append(ask().status)

    threads = [threading.Thread(target=work, args=(ask,)) for ask in asked]
    for thread in threads:
        thread.start()
    try:
        yield statuses
    finally:
        over.set()
        for thread in threads:
            thread.join(120)


def test_slow_networks_and_large_bodies_do_not_stall_small_requests(settings: Settings) -> None:
    """Beside clients that send 8 MB of JSON, and others that ask a slow network, small predictions go on."""
    large = json.dumps({"instances": np.linspace(0.1, 9, 900_000).round(6).reshape(-1, 2).tolist()}).encode()
    assert len(large) > 8_000_000
    with crowded(replace(settings, max_body_bytes=32_000_000), "beside") as web:
        latencies(web, 200)
        alone = statistics.median(latencies(web, 400))
        slow_rows = rows_that_take(web, 1.0)

        def send_large() -> Answered:
            return ask_alone(web, post(NATIVE, large, TYPED))

        def send_slow() -> Answered:
            return ask_slowly(web, slow_rows)

        with beside(send_large, send_large, send_slow, send_slow) as done:
            wait_for(lambda: len(done) >= 2)
            before, taken = len(done), latencies(web, 50)
            while len(done) < before + 8:
                taken += latencies(web, 50)
    assert set(done) == {200}
    # The others share the cores with this one; what they must not do is make it wait for a whole answer of theirs.
    assert statistics.median(taken) < max(50 * alone, 0.02), (statistics.median(taken), alone)
    assert sorted(taken)[int(0.9 * len(taken))] < 0.5


def test_a_worker_ends_in_order(settings: Settings) -> None:
    """What was asked is answered, whoever waits for nothing is hung up on, and no process is left."""
    with crowded(settings, "ending") as web:
        rows = rows_that_take(web, 2.0)
        answered: list[int] = []
        asking = threading.Thread(target=lambda: answered.append(ask_slowly(web, rows).status))
        with Client(web.port) as idle:
            assert idle.ask(QUICK).status == 200
            asking.start()
            wait_for(lambda: sum(web.connections()) == 2)
            time.sleep(0.2)
            web.process.send_signal(signal.SIGTERM)
            assert idle.is_closed()
        asking.join(60)
        assert answered == [200]
        assert web.process.wait(60) == 0
        assert "Traceback" not in web.log()


def test_nothing_was_wrong(web: Web) -> None:
    """None of this made the service log an error of its own, or warn of one."""
    assert "Traceback" not in web.log()
    assert '"level": "error"' not in web.log()
