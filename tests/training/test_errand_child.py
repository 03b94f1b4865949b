"""An errand in a process of its own, over a real connection; the kinds are the tests' own."""

import multiprocessing
import os
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from multiprocessing.process import BaseProcess
from typing import Any

import pytest

from service.errors import Conflict
from service.training import errand, errand_child
from service.training.errand import KINDS, Wire

#: The slow imports are made once, before the forks.
CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["tests.training.test_errand_child"])

OWN_KINDS = {
    name: f"tests.training.test_errand_child:{name}" for name in ("report", "refuse", "run_out", "break_down", "wait")
}


def report(request: dict[str, Any]) -> dict[str, Any]:
    return {"heard": request, "pid": os.getpid(), "nothing": float("nan")}


def refuse(request: dict[str, Any]) -> dict[str, Any]:
    raise Conflict("Not now.")


def run_out(request: dict[str, Any]) -> dict[str, Any]:
    raise MemoryError


def break_down(request: dict[str, Any]) -> dict[str, Any]:
    raise KeyError("a secret")


def wait(request: dict[str, Any]) -> dict[str, Any]:
    time.sleep(60)
    return {}


def enter(connection: socket.socket) -> None:
    """Runs in the child: do what comes over the connection, with the kinds of this file."""
    errand_child.KINDS = OWN_KINDS  # type: ignore[misc,attr-defined]
    errand_child.run_errand(None, connection, 1)  # type: ignore[arg-type]


@pytest.fixture
def start() -> Iterator[Callable[[], tuple[Wire, BaseProcess]]]:
    """Starts a child, and gives the other end of its connection."""
    made: list[tuple[Wire, BaseProcess]] = []

    def start_one() -> tuple[Wire, BaseProcess]:
        ours, theirs = socket.socketpair()
        process = CONTEXT.Process(target=enter, args=(theirs,))
        process.start()
        theirs.close()
        made.append((Wire(ours), process))
        return made[-1]

    yield start_one
    for wire, process in made:
        wire.close()
        process.join(30)
        assert process.exitcode == 0
        process.close()


def test_the_result_comes_back(start: Callable[[], tuple[Wire, BaseProcess]]) -> None:
    """It is of another process; what is no number of JSON is null."""
    wire, process = start()
    wire.send({"kind": "report", "request": {"text": "ä\n"}}, 20)
    assert wire.receive(60) == {"result": {"heard": {"text": "ä\n"}, "pid": process.pid, "nothing": None}}


@pytest.mark.parametrize(
    ("kind", "slug", "words"),
    [
        ("refuse", "conflict", "Not now."),
        ("run_out", "unavailable", "no memory left"),
        ("break_down", "internal", "KeyError in an errand"),
        ("os:system", "invalid", "The errand 'os:system' came"),
        (["report"], "invalid", "came; one of"),
    ],
)
def test_a_problem_comes_back(start: Callable[[], tuple[Wire, BaseProcess]], kind: Any, slug: str, words: str) -> None:
    """Whatever goes wrong has a message; a name that is no kind's is never looked for among modules."""
    wire, _ = start()
    wire.send({"kind": kind, "request": {}}, 20)
    answer = wire.receive(60)
    assert answer is not None
    assert answer["problem"]["kind"] == slug
    assert words in answer["problem"]["detail"]
    assert "secret" not in answer["problem"]["detail"]


@pytest.mark.parametrize("said", [b"", b"no JSON\n", b"[1]\n", b'{"kind": "wait", "request": {}}\n'])
def test_a_child_ends_with_its_client(start: Callable[[], tuple[Wire, BaseProcess]], said: bytes) -> None:
    """Who hangs up, before or after the request, leaves no process behind."""
    wire, process = start()
    wire._connection.sendall(said)
    if b"wait" in said:
        time.sleep(0.2)
    wire.close()
    process.join(30)
    assert process.exitcode == 0


def test_every_kind_has_its_function() -> None:
    """The table names functions that are there."""
    for kind in KINDS:
        assert callable(errand_child._function(kind))


def test_a_message_that_is_too_long_ends_the_conversation(monkeypatch: pytest.MonkeyPatch) -> None:
    """No end makes the other one keep anything without bounds."""
    monkeypatch.setattr(errand, "MAX_MESSAGE_BYTES", 2**17)
    ours, theirs = socket.socketpair()
    with closing(ours), closing(theirs):
        ours.setblocking(False)
        wire = Wire(theirs)
        for _ in range(3):
            ours.send(b"x" * 2**16)
            assert wire.receive(0.01) is None
        ours.send(b"x" * 2**16)
        with pytest.raises(EOFError):
            wire.receive(0.01)


def test_who_does_not_listen_is_not_waited_for() -> None:
    """A message that nobody takes is given up."""
    ours, theirs = socket.socketpair()
    with closing(ours), closing(theirs), pytest.raises(TimeoutError):
        Wire(ours).send({"long": "x" * 2**22}, 0.1)
