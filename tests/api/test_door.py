"""The front door in this process: what it answers itself, and that nobody can tell it from Flask."""

import asyncio
import contextlib
import json
import threading
import tracemalloc
from collections.abc import Callable, Coroutine, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
from flask.testing import FlaskClient

from service.api.door import SMALL_BYTES, FrontDoor
from service.api.open_inference import TensorPredictions
from service.api.predictions import PlainPredictions
from service.api.tensorflow_serving import RowPredictions
from service.api.versions import Versions
from service.app import create_app
from service.config import Settings
from service.data.store import FileStore
from service.inference.predictions import Predictions
from service.inference.predictor import Predictor
from service.inference.runtime import Sessions
from service.inference.statistics import PredictionStatistics
from service.inference.tensorflow_client import TensorFlowClient
from service.registry.database import Database
from service.registry.models import Models
from tests.api.door_cases import CASES, INFER, JSON, MANY, NATIVE, PLAIN, SERVING, Case, X, comparable, publish
from tests.api.served import LOG, Published

PROBES = ("/health/live", "/v2/health/live", "/ping")
Environ = dict[str, Any]
Start = Callable[..., Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    status: int
    headers: list[tuple[str, str]]
    body: bytes

    @property
    def comparable(self) -> tuple[int, dict[str, str], bytes]:
        return comparable(self.status, self.headers, self.body)


class House:
    """A front door, and the Flask application behind it, which tells what it was asked."""

    def __init__(self, settings: Settings, threads: int = 4, queue: int = 8) -> None:
        self.settings = settings
        self.app = create_app(settings)
        self.passed_on: list[str] = []
        self.let_in = threading.Event()
        self.let_in.set()
        self.database = Database(settings.database)
        client = TensorFlowClient(str(settings.prediction_socket), 1)
        self.predictor = Predictor(FileStore(settings.data), Sessions(settings.session_budget_bytes), client)
        predictions = Predictions(self.predictor, PredictionStatistics(None))
        self.versions = Versions(self.database, Models(self.database))
        self.door = FrontDoor(
            self._behind,
            self.versions,
            self.predictor,
            [PlainPredictions(predictions), RowPredictions(predictions), TensorPredictions(predictions)],
            threads=threads,
            queue=queue,
            max_body_bytes=settings.max_body_bytes,
        )
        self._runner = asyncio.Runner()

    def close(self) -> None:
        self._runner.close()
        self.door.close()

    def _behind(self, environ: Environ, start: Start) -> Iterable[bytes]:
        self.passed_on.append(environ["PATH_INFO"])
        if not environ["PATH_INFO"].startswith(PROBES):
            assert self.let_in.wait(30)
        return self.app(environ, start)

    def run(self, *cases: Case) -> list[Answered]:
        """Answer requests that come at once."""
        return self.run_until_complete(several(*map(self.answer, cases)))

    def run_until_complete(self, work: Coroutine[Any, Any, list[Answered]]) -> list[Answered]:
        """Do something in the event loop that the door is in."""
        return self._runner.run(work)

    def ask(self, case: Case) -> Answered:
        return self.run(case)[0]

    async def answer(
        self, case: Case, whole: bool = True, headers: list[tuple[bytes, bytes]] | None = None
    ) -> Answered:
        """Answer a request whose body comes in pieces; without `whole` the client hangs up before the last."""
        size = max(1, -(-len(case.body) // 3))
        parts = [case.body[start : start + size] for start in range(0, len(case.body), size)] or [b""]
        messages = [{"type": "http.request", "body": part, "more_body": True} for part in parts]
        if whole:
            messages[-1]["more_body"] = False
        else:
            messages[-1] = {"type": "http.disconnect"}
        queue = iter(messages)
        sent: list[Any] = []

        async def receive() -> dict[str, Any]:
            return next(queue, {"type": "http.disconnect"})

        async def send(message: dict[str, Any]) -> None:
            sent.append(message)

        await self.door(scope_of(case) | ({} if headers is None else {"headers": headers}), receive, send)
        if not sent:
            return Answered(status=0, headers=[], body=b"")
        told = [(name.decode(), value.decode()) for name, value in sent[0]["headers"]]
        body = b"".join(message["body"] for message in sent[1:])
        return Answered(status=sent[0]["status"], headers=told, body=b"" if case.method == "HEAD" else body)

    def at_once(self, case: Case) -> Answered | None:
        """The answer that is given before anything of ASGI is made."""
        expected = self.door.expects(case.url.encode(), headers_of(case))
        answered = None if expected is None else self.door.answer_at_once(expected, case.body)
        if answered is None:
            return None
        lines = [line.decode().split(": ", 1) for line in answered[0].splitlines()]
        return Answered(status=200, headers=[(name, value) for name, value in lines], body=answered[1])


def headers_of(case: Case) -> list[tuple[bytes, bytes]]:
    given = {**case.headers, **({"Content-Length": str(len(case.body))} if case.body or case.method == "POST" else {})}
    return [(name.lower().encode(), value.encode()) for name, value in given.items()]


def scope_of(case: Case) -> dict[str, Any]:
    return {
        "type": "http",
        "method": case.method,
        "path": unquote(case.path),
        "query_string": case.query.encode(),
        "headers": headers_of(case),
        "http_version": "1.1",
        "scheme": "http",
        "server": ("localhost", 80),
        "client": ("127.0.0.1", 1),
    }


def by_flask(client: FlaskClient, case: Case) -> tuple[int, dict[str, str], bytes]:
    answer = client.open(case.url, method=case.method, data=case.body, headers=case.headers)
    return comparable(answer.status_code, list(answer.headers.items()), answer.data)


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    return publish(tmp_path_factory.mktemp("published"))


@pytest.fixture
def house(settings: Settings) -> Iterator[House]:
    built = House(settings)
    yield built
    built.close()


def warm(house: House, *cases: Case) -> None:
    """Load what the cases need, and let their pace be known, as a second request finds it."""
    for case in cases:
        for _ in range(2):
            house.ask(case)
    house.passed_on.clear()


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_nobody_can_tell_the_door_from_flask(house: House, case: Case) -> None:
    """Status, headers and body are the same, by each of its ways; Flask is asked for what is not hot alone."""
    client = house.app.test_client()
    due = by_flask(client, case)
    assert house.ask(case).comparable == due
    assert house.ask(case).comparable == due
    assert len(house.passed_on) == (0 if case.hot else 2) or case.path.startswith("/health")
    found = house.at_once(case)
    if found is not None:
        assert case.hot
        assert found.comparable == due


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case.hot and len(case.body) < SMALL_BYTES])
def test_small_hot_requests_are_answered_at_once(house: House, name: str) -> None:
    """Once the version is loaded and known to be quick; one whose path is encoded comes a little later."""
    case = CASES[name]
    assert house.at_once(case) is None
    warm(house, case)
    for _ in range(50):
        # A pause of this machine's is no pace.
        found = house.at_once(case)
        if found is not None or "%" in case.path:
            break
        house.ask(case)
    assert (found is None) == ("%" in case.path)
    assert house.passed_on == []


def test_headers_that_come_twice_are_left_to_flask(house: House) -> None:
    """What both mean together is for one place to say."""
    case = CASES["native, plain"]
    warm(house, case)
    headers = [*headers_of(case), (b"accept", b"text/csv"), (b"accept", b"application/json;q=0.5")]
    assert house.door.expects(case.url.encode(), headers) is None
    twice = house.run_until_complete(several(house.answer(case, headers=headers)))[0]
    assert dict(twice.headers)["content-type"].startswith("text/csv")
    assert house.passed_on == [case.path]


async def several(*answers: Coroutine[Any, Any, Answered]) -> list[Answered]:
    return list(await asyncio.gather(*answers))


def test_a_new_version_and_a_deleted_one(tmp_path: Path) -> None:
    """The next request after the change gets the change, by every way."""
    published = Published(tmp_path)
    published.logarithm(LOG)
    house = House(published.settings)
    case = CASES["native, plain"]

    def version(answered: Answered | None) -> int | None:
        return None if answered is None else json.loads(answered.body)["version"]

    with contextlib.closing(house):
        warm(house, case)
        published.logarithm(LOG)
        assert version(house.at_once(case)) is None
        assert version(house.ask(case)) == 2
        warm(house, case)
        Models(house.database).delete_version(LOG, 2)
        assert version(house.at_once(case)) in (None, 1)
        assert version(house.ask(case)) == 1
        Models(house.database).delete(LOG)
        assert house.at_once(case) is None
        assert house.ask(case).status == 404


def test_a_version_whose_files_are_gone_is_not_answered_at_once(tmp_path: Path) -> None:
    """What is loaded goes on; what is not is 404, as from Flask."""
    published = Published(tmp_path)
    version = published.logarithm(LOG)
    with contextlib.closing(House(published.settings)) as house:
        folder = FileStore(tmp_path).version(version.id)
        folder.rename(folder.with_name("elsewhere"))
        assert house.ask(CASES["native, plain"]).status == 404
        assert house.at_once(CASES["native, plain"]) is None


def test_a_database_that_is_away(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is answered from memory where nobody can say that it is still so."""
    with contextlib.closing(House(settings)) as house:
        case = CASES["native, plain"]
        warm(house, case)
        monkeypatch.setattr(house.database, "edition", lambda: None)
        assert house.at_once(case) is None
        assert house.ask(case).status == 200
        assert house.passed_on == []


def test_half_a_body_is_no_body(house: House) -> None:
    """Whoever hangs up before the end is answered nothing, and nothing of it is used."""

    async def leave(case: Case) -> list[Answered]:
        return [await house.answer(case, whole=False)]

    for path in (NATIVE, SERVING, INFER, "/v1/jobs"):
        for body in (PLAIN, MANY * 60):
            assert [answer.status for answer in house.run_until_complete(leave(Case(path=path, body=body)))] == [0]
    assert house.ask(CASES["native, plain"]).status == 200


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("queue", [0, 3])
def test_as_many_are_let_in_as_there_is_room_for(settings: Settings, threads: int, queue: int) -> None:
    """The others are told to come back, in the form of their protocol; then there is room again."""
    cases = [
        Case(path="/v1/models", method="GET", body=b"", headers={}),
        Case(path=NATIVE, body=b"{}"),
        Case(path=SERVING, body=b"{}"),
        Case(path=INFER, body=b"{}"),
    ] * 4
    with contextlib.closing(House(settings, threads, queue)) as house:
        warm(house, CASES["native, plain"])
        house.let_in.clear()

        async def crowd() -> list[Answered]:
            tasks = [asyncio.create_task(house.answer(case)) for case in cases]
            while sum(task.done() for task in tasks) < len(cases) - threads - queue:
                await asyncio.sleep(0.005)
            refused = [(task, case) for task, case in zip(tasks, cases, strict=True) if task.done()]
            for task, case in refused:
                check_refusal(task.result(), plain=case.path in (SERVING, INFER))
            # Predictions that take no time need no room, and neither does the question whether the service lives.
            assert house.at_once(CASES["native, plain"]) is not None
            house.let_in.set()
            return [task.result() for task in tasks if await task]

        answers = house.run_until_complete(crowd())
        assert [answer.status for answer in answers].count(503) == len(cases) - threads - queue
        assert [answer.status for answer in house.run(*cases[:threads])].count(503) == 0


def check_refusal(answer: Answered, plain: bool) -> None:
    headers, body = dict(answer.headers), json.loads(answer.body)
    assert (answer.status, headers["Retry-After"]) == (503, "1")
    assert int(headers["Content-Length"]) == len(answer.body)
    if plain:
        assert headers["Content-Type"] == "application/json"
        assert list(body) == ["error"]
        assert "Repeat" in body["error"]
    else:
        assert headers["Content-Type"] == "application/problem+json"
        assert (body["status"], body["type"]) == (503, "urn:kerasd:problem:unavailable")
        assert body["request_id"] == headers["X-Request-Id"]


@pytest.mark.parametrize("path", PROBES)
def test_the_service_says_that_it_lives_whatever_it_does(settings: Settings, path: str) -> None:
    """Also where every thread is taken, and none is free before the question is answered."""
    probe, other = (Case(path=each, method="GET", body=b"", headers={}) for each in (path, "/v1/models"))
    with contextlib.closing(House(settings, threads=1, queue=0)) as house:
        house.let_in.clear()

        async def ask() -> list[Answered]:
            taken = asyncio.create_task(house.answer(other))
            await asyncio.sleep(0)
            try:
                answers = [await asyncio.wait_for(house.answer(each), 20) for each in (probe, other, probe)]
            finally:
                house.let_in.set()
            return [*answers, await taken]

        statuses = [answer.status for answer in house.run_until_complete(ask())]
    assert statuses == [200, 503, 200, 200]


def test_large_bodies_have_no_more_room_than_others(settings: Settings) -> None:
    """They wait for a thread before they are read, and as many as may wait; others are told to come back."""
    case = CASES["native, a large body"]
    with contextlib.closing(House(settings, threads=1, queue=2)) as house:
        answers = house.run(*[case] * 8)
        assert sorted(answer.status for answer in answers) == [200] * 3 + [503] * 5
        assert [answer.status for answer in house.run(case, case)] == [200, 200]


def test_ids_are_never_the_same(house: House) -> None:
    """Neither those of the two ways nor those of two workers."""
    case = CASES["native, plain"]
    warm(house, case)
    ids = [dict(house.ask(case).headers)["X-Request-Id"] for _ in range(5)]
    ids += [dict(found.headers)["X-Request-Id"] for found in (house.at_once(case) for _ in range(5)) if found]
    with contextlib.closing(House(house.settings)) as other:
        ids += [dict(other.ask(case).headers)["X-Request-Id"] for _ in range(5)]
    assert len(set(ids)) == len(ids) >= 11


def test_urls_are_remembered_within_bounds(house: House) -> None:
    """However many there are, and however long."""
    tracemalloc.start()
    try:
        for number in range(3000):
            house.door.expects(f"/v1/models/nobody{number}/predict".encode(), [])
            house.door.expects(f"/v1/models/{number}{'x' * 30_000}/predict".encode(), [])
        assert tracemalloc.get_traced_memory()[0] < 3_000_000
    finally:
        tracemalloc.stop()


def test_tensors_by_both_ways(house: House) -> None:
    """A request of the Open Inference Protocol has the same answer at once, and its id comes back."""
    case = Case(path=INFER, body=json.dumps({"id": "7", "inputs": [X]}).encode(), headers=JSON)
    warm(house, case)
    found = house.at_once(case)
    assert found is not None
    assert json.loads(found.body)["id"] == "7"
    assert found.comparable == by_flask(house.app.test_client(), case)
