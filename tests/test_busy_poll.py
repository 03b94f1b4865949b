"""Who stays awake after an answer, by a clock and a count of switches that the tests turn."""

import asyncio
import multiprocessing
from collections import deque
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from service import busy_poll as module
from service.busy_poll import BusyPoll, Turns

MOMENT = 0.001
#: How long a client of these tests takes to come back, and the server to answer.
SOON, WORK = 0.0002, 0.0001


class World:
    """A clock, the kernel's count of switches, and an event loop that runs what it is given when it is told to."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.clock, self.switches = 100.0, 7
        self._soon: deque[tuple[Callable[..., None], tuple[Any, ...]]] = deque()
        monkeypatch.setattr(module, "perf_counter", lambda: self.clock)
        usage = SimpleNamespace(getrusage=lambda whose: SimpleNamespace(ru_nivcsw=self.switches))
        monkeypatch.setattr(module, "resource", usage)

    def call_soon(self, call: Callable[..., None], *arguments: Any) -> None:
        self._soon.append((call, arguments))

    def turn(self) -> None:
        """One turn of the loop."""
        for _ in range(len(self._soon)):
            call, arguments = self._soon.popleft()
            call(*arguments)


class Worker:
    """A worker's poll in that world, and a client of it."""

    def __init__(self, world: World, turns: Turns, number: int = 0, seconds: float = MOMENT) -> None:
        self.world = world
        self.poll = BusyPoll(seconds, turns, number)

    def ask(self, after: float = SOON, switches: int = 0) -> bool:
        """The client comes back and is answered; says whether the loop is awake then."""
        steps = 4
        for _ in range(steps):
            self.world.clock += after / steps
            self.world.turn()
        self.world.switches += switches
        self.poll.heard()
        self.world.clock += WORK
        loop: asyncio.AbstractEventLoop = self.world  # type: ignore[assignment]
        self.poll.answered(loop)
        self.world.turn()
        return self.poll.awake

    def ask_for(self, seconds: float, switches: int = 0) -> bool:
        """It comes back again and again; says whether the loop was awake after each answer."""
        end = self.world.clock + seconds
        awake = True
        while self.world.clock < end:
            awake = self.ask(switches=switches) and awake
        return awake


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    return World(monkeypatch)


@pytest.fixture
def worker(world: World) -> Worker:
    return Worker(world, Turns(2, 1))


def test_a_client_that_comes_back_soon_finds_it_awake(worker: Worker) -> None:
    """From the second answer on, since the first tells nothing of the client yet."""
    assert not worker.ask()
    assert worker.ask()
    assert worker.ask_for(0.5)


def test_the_moment_ends(worker: Worker) -> None:
    """The client has gone for longer; the next answer is to one that came late, and the one after that is not."""
    worker.ask()
    assert worker.ask()
    assert not worker.ask(after=2 * MOMENT)
    assert worker.ask()
    worker.world.clock += MOMENT
    worker.world.turn()
    assert not worker.poll.awake


def test_what_comes_ends_the_moment_until_it_is_answered(worker: Worker) -> None:
    """Nobody is waited for while there is work that may take long."""
    worker.ask()
    assert worker.ask()
    worker.poll.heard()
    worker.world.turn()
    assert not worker.poll.awake


def test_no_seconds_are_never(world: World) -> None:
    """Even for a client that is there at the same time."""
    worker = Worker(world, Turns(1, 1), seconds=0.0)
    assert not any(worker.ask(after=0.0) for _ in range(5))


def test_turns_are_limited(world: World) -> None:
    """Another worker has its turn once the first one sleeps."""
    turns = Turns(2, 1)
    first, second = Worker(world, turns, 0), Worker(world, turns, 1)
    first.ask()
    assert first.ask()
    second.ask(after=0.0)
    assert not second.ask(after=SOON / 4)
    world.clock += MOMENT
    world.turn()
    assert not first.poll.awake
    second.ask()
    assert second.ask()
    assert not first.ask(after=SOON / 4)


def test_with_one_core_there_is_no_turn(world: World) -> None:
    """The client could not even begin to come back meanwhile."""
    worker = Worker(world, Turns(2, 0))
    assert not any(worker.ask() for _ in range(5))


def test_where_the_core_is_wanted_it_rests(worker: Worker) -> None:
    """For longer each time, up to three seconds; after a quiet trial for a tenth of a second again."""
    rests = []
    for _ in range(8):
        while not worker.ask():
            worker.ask(switches=1)
        while worker.ask(switches=1):
            pass
        begun = worker.world.clock
        while not worker.ask(switches=1):
            pass
        rests.append(worker.world.clock - begun)
    assert rests == pytest.approx([0.1, 0.2, 0.4, 0.8, 1.6, 3.0, 3.0, 3.0], abs=0.002)
    assert worker.ask_for(0.1)
    while worker.ask(switches=1):
        pass
    begun = worker.world.clock
    while not worker.ask():
        pass
    assert worker.world.clock - begun == pytest.approx(0.1, abs=0.002)


def test_switches_while_it_slept_say_nothing(worker: Worker) -> None:
    """They are those of a worker that waits as others do."""
    worker.ask()
    assert worker.ask_for(0.1)
    worker.ask(after=5.0, switches=10_000)
    worker.ask()
    assert worker.ask_for(0.1)


def test_turns_are_shared_with_forked_processes() -> None:
    """What one takes is taken for all, as often as it takes it, until somebody gives it back."""
    turns = Turns(3, 2)
    child = multiprocessing.get_context("fork").Process(target=turns.take, args=(2,))
    child.start()
    child.join(30)
    assert turns.take(0)
    assert turns.take(0)
    assert not turns.take(1)
    turns.give_back(2)
    turns.give_back(2)
    assert turns.take(1)
