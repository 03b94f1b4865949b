"""A child's line to its supervisor: messages in order, and an end with the supervisor.

A line ends its process when its pipe breaks, so each has a process of its own here.
"""

import multiprocessing
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from typing import Any

import pytest

from service.training.line import Line

#: How long anything here may take, in seconds.
PATIENCE = 60


@contextmanager
def child(work: Callable[["Connection[Any, Any]"], None]) -> Iterator[tuple[Any, Any]]:
    """A process that does `work` with its end of a pipe, and the other end."""
    theirs, ours = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=work, args=(ours,))
    process.start()
    ours.close()
    try:
        yield process, theirs
    finally:
        theirs.close()
        process.join(PATIENCE)
        process.close()


def heard(theirs: Any) -> Any:
    assert theirs.poll(PATIENCE)
    return theirs.recv()


def _say_what_came(connection: "Connection[Any, Any]") -> None:
    line = Line(connection)
    line.send((line.received(), line.receive(0.01)))
    line.send([line.receive() for _ in range(3)])
    line.send((line.received(), line.receive(0.01)))
    while (message := line.received()) is None:
        time.sleep(0.001)
    line.send(message)
    line.receive()


def test_messages_come_in_their_order() -> None:
    """None while there are none; waiting ends with the first; what has come is had without waiting."""
    with child(_say_what_came) as (_, theirs):
        assert heard(theirs) == (None, None)
        for number in (1, 2, 3):
            theirs.send({"number": number})
        assert heard(theirs) == [{"number": 1}, {"number": 2}, {"number": 3}]
        assert heard(theirs) == (None, None)
        theirs.send("word")
        assert heard(theirs) == "word"


def _wait(connection: "Connection[Any, Any]") -> None:
    line = Line(connection)
    line.send("ready")
    line.receive()


def _work(connection: "Connection[Any, Any]") -> None:
    Line(connection).send("ready")
    while True:
        time.sleep(0.01)


@pytest.mark.parametrize("work", [_wait, _work], ids=["waiting", "at work"])
def test_a_child_ends_with_its_supervisor(work: Callable[["Connection[Any, Any]"], None]) -> None:
    """When the other end of the pipe is gone the process ends, whatever it does, with exit code 1."""
    with child(work) as (process, theirs):
        assert heard(theirs) == "ready"
        theirs.close()
        process.join(PATIENCE)
        assert process.exitcode == 1
