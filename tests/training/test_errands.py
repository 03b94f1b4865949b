"""Errands, from the web process's side: over real sockets, with real processes that stand in for children."""

import multiprocessing.connection
import socket
import stat
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import pytest

from service.errors import Fault, Invalid, Unavailable
from service.training import errand_desk, errands
from service.training.errand_desk import MOST_ERRANDS, ErrandDesk
from service.training.errands import Errands
from service.training.zygote import Child
from tests.training import errand_children as children
from tests.training.errand_children import Play, StagedZygote


@dataclass
class Desk:
    """A desk that a thread looks after, as the supervisor's loop does."""

    path: Path
    zygote: StagedZygote
    desk: ErrandDesk
    refusing: threading.Event = field(default_factory=threading.Event)
    stopped: threading.Event = field(default_factory=threading.Event)

    def work(self) -> None:
        while not self.stopped.is_set():
            if self.refusing.is_set():
                self.desk.refuse()
            answers = dict(self.desk.answers())
            for ready in multiprocessing.connection.wait(list(answers), 0.05):
                answers[ready]()
            self.desk.check(time.monotonic())
        self.desk.close()

    @property
    def errands(self) -> Errands:
        return Errands(self.path)

    def wait_for_children(self, count: int) -> None:
        until(lambda: len(self.zygote.children) == count)

    def wait_for_rest(self) -> None:
        """Return once no child is left, nor anything of one."""
        until(lambda: not self.desk.busy and not any(psutil.pid_exists(pid) for pid in self.pids))

    @property
    def pids(self) -> list[int]:
        """The children so far; only the desk's thread may ask themselves how they are."""
        return [child.process.pid or 0 for child in self.zygote.children]


def until(condition: Callable[[], object], seconds: float = 30.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.fixture
def open_desk() -> Iterator[Callable[..., Desk]]:
    """Opens a desk whose children play the given part, in a short folder, as a socket's path may not be long."""
    made: list[tuple[Desk, threading.Thread]] = []
    with tempfile.TemporaryDirectory() as folder:

        def make(play: Play, max_memory_bytes: int = 2**40) -> Desk:
            path, zygote = Path(folder) / "errands.sock", StagedZygote(play)
            desk = Desk(path, zygote, ErrandDesk(path, zygote, threads=3, max_memory_bytes=max_memory_bytes))
            desk.desk.open()
            thread = threading.Thread(target=desk.work)
            thread.start()
            made.append((desk, thread))
            return desk

        yield make
        for desk, thread in made:
            desk.stopped.set()
            thread.join()
            assert not desk.path.exists()
            assert not any(child.process.is_alive() for child in desk.zygote.children)


def test_a_child_hears_and_answers(open_desk: Callable[..., Desk]) -> None:
    """It gets the kind, the request and its threads, and its result is what comes back; then it is gone."""
    desk = open_desk(children.answer)
    long = {"name": "ä" * 300_000}
    result = desk.errands.run("export", long)
    assert result == {"threads": 3, "heard": {"kind": "export", "request": long}}
    desk.wait_for_rest()


def test_only_the_user_may_come(open_desk: Callable[..., Desk]) -> None:
    """The socket is nobody else's to open."""
    assert stat.S_IMODE(open_desk(children.answer).path.stat().st_mode) == 0o600


def test_a_problem_comes_through_whole(open_desk: Callable[..., Desk]) -> None:
    """What a child finds wrong is raised as the error that it is, with all faults."""
    desk = open_desk(children.refuse)
    with pytest.raises(Invalid, match="Two things are wrong") as caught:
        desk.errands.run("export", {})
    assert caught.value.faults == (
        Fault(pointer="/data/x", detail="one"),
        Fault(pointer="/data/y", detail="two"),
    )


@pytest.mark.parametrize(
    ("play", "words"),
    [
        (children.be_killed, "ended by signal 9 and could not say why; it might have run out of memory"),
        (children.exit_badly, "ended with exit code 3 and could not say why"),
        (children.die_in_the_middle_of_a_word, "repeat the request"),
    ],
)
def test_a_child_that_dies_is_a_clear_error(open_desk: Callable[..., Desk], play: Play, words: str) -> None:
    """The client learns how it ended and when to come again, and the next errand is taken."""
    desk = open_desk(play)
    for _ in range(2):
        with pytest.raises(Unavailable, match=words) as caught:
            desk.errands.run("export", {})
        assert caught.value.retry_after
        desk.wait_for_rest()


def test_a_child_that_takes_too_much_memory_is_ended(open_desk: Callable[..., Desk]) -> None:
    """The client learns how much it was, and which setting is the limit."""
    desk = open_desk(children.take_memory, max_memory_bytes=64 * 2**20)
    with pytest.raises(Unavailable, match=r"used 0\.\d+ GiB .* allows 0\.06 GiB \(KERASD_MAX_MEMORY_BYTES\)"):
        desk.errands.run("export", {})
    desk.wait_for_rest()


def test_a_child_that_takes_too_long_is_ended(open_desk: Callable[..., Desk], monkeypatch: pytest.MonkeyPatch) -> None:
    """An errand is short, or it is none."""
    monkeypatch.setattr(errand_desk, "ERRAND_SECONDS", 0.3)
    desk = open_desk(children.work_for_long)
    with pytest.raises(Unavailable, match=r"not done within 0\.3 s"):
        desk.errands.run("export", {})
    desk.wait_for_rest()


def test_a_machine_does_a_few_errands_at_a_time(open_desk: Callable[..., Desk]) -> None:
    """Further clients are told at once when to come again; those before them are not disturbed."""
    desk = open_desk(children.work_for_long)
    leave = threading.Event()
    with ThreadPoolExecutor(MOST_ERRANDS) as pool:
        waiting = [pool.submit(desk.errands.run, "export", {}, leave.is_set) for _ in range(MOST_ERRANDS)]
        desk.wait_for_children(MOST_ERRANDS)
        with pytest.raises(Unavailable, match=f"at work on {MOST_ERRANDS} such requests") as caught:
            desk.errands.run("export", {"large": "x" * 2**20})
        assert caught.value.retry_after == 2
        assert not any(one.done() for one in waiting)
        leave.set()
        for one in waiting:
            with pytest.raises(Unavailable, match="hung up"):
                one.result(20)
    desk.wait_for_rest()


def test_an_upload_waits_for_its_turn(open_desk: Callable[..., Desk]) -> None:
    """Its body has come already, and should not have to come again."""
    desk = open_desk(children.work_for_long)
    leave, leave_last = threading.Event(), threading.Event()
    with ThreadPoolExecutor(MOST_ERRANDS + 1) as pool:
        waiting = [pool.submit(desk.errands.run, "export", {}, leave.is_set) for _ in range(MOST_ERRANDS)]
        desk.wait_for_children(MOST_ERRANDS)
        last = pool.submit(desk.errands.run, "read", {}, leave_last.is_set)
        leave.set()
        for one in waiting:
            with pytest.raises(Unavailable, match="hung up"):
                one.result(20)
        desk.wait_for_children(MOST_ERRANDS + 1)
        leave_last.set()
        with pytest.raises(Unavailable, match="hung up"):
            last.result(20)
    desk.wait_for_rest()


def test_a_child_that_cannot_be_started_is_unavailable(
    open_desk: Callable[..., Desk], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The desk stays open for those who come later."""

    def fail(function: str, arguments: tuple[Any, ...]) -> Child:
        raise BlockingIOError("no more processes")

    desk = open_desk(children.answer)
    with monkeypatch.context() as patch:
        patch.setattr(desk.zygote, "start", fail)
        with pytest.raises(Unavailable, match="No process could be started"):
            desk.errands.run("export", {})
    assert desk.errands.run("export", {})["threads"] == 3
    desk.wait_for_rest()


def test_a_shutdown_ends_what_is_left(open_desk: Callable[..., Desk]) -> None:
    """The client is told to come again, and no process stays."""
    desk = open_desk(children.work_for_long)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(desk.errands.run, "export", {})
        desk.wait_for_children(1)
        desk.stopped.set()
        with pytest.raises(Unavailable, match="shutting down"):
            waiting.result(20)


def test_who_refuses_takes_nothing_new_and_ends_what_it_has(open_desk: Callable[..., Desk]) -> None:
    """Before a shutdown, errands that have begun may end."""
    desk = open_desk(children.work_for_long)
    leave = threading.Event()
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(desk.errands.run, "export", {}, leave.is_set)
        desk.wait_for_children(1)
        desk.refusing.set()
        until(lambda: not desk.path.exists())
        with pytest.raises(Unavailable, match="is starting"):
            desk.errands.run("export", {})
        assert desk.desk.busy
        leave.set()
        with pytest.raises(Unavailable, match="hung up"):
            waiting.result(20)
    desk.wait_for_rest()


def test_no_supervisor_means_try_again(tmp_path: Path) -> None:
    """Where nothing listens, the client is told so at once."""
    with pytest.raises(Unavailable, match="repeat the request") as caught:
        Errands(tmp_path / "none").run("export", {})
    assert caught.value.retry_after == 5


def test_a_supervisor_that_says_nothing_is_not_waited_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    """It listens, but takes nobody: the client is told to come again."""
    monkeypatch.setattr(errands, "ANSWER_SECONDS", 0.2)
    with tempfile.TemporaryDirectory() as folder, closing(socket.socket(socket.AF_UNIX)) as listener:
        listener.bind(f"{folder}/s")
        listener.listen()
        with pytest.raises(Unavailable, match="too busy to answer"):
            Errands(Path(folder) / "s").run("export", {})


def test_a_path_too_long_for_a_socket_means_no_errands(tmp_path: Path) -> None:
    """The supervisor works on without them."""
    path = tmp_path / ("long" * 30)
    desk = ErrandDesk(path, StagedZygote(children.answer), threads=1, max_memory_bytes=1)
    desk.open()
    assert dict(desk.answers()) == {}
    with pytest.raises(Unavailable):
        Errands(path).run("export", {})
