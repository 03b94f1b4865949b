"""How connections are shared: in one process by hand, and among the workers of a real gunicorn."""

import asyncio
import contextlib
import multiprocessing
import resource
import signal
import socket
import time
from collections.abc import Callable, Iterator

import pytest
import uvloop

from service import acceptor as acceptor_module
from service.acceptor import MOMENT, NONE_TAKEN, Acceptor, Loads
from tests.api.served import LOG, Published
from tests.registry.conftest import closed_databases
from tests.sockets import Client, post
from tests.web import Web, wait_for

__all__ = ["closed_databases"]

BODY = b'{"instances": [[1, 2]]}'
PREDICT = post(f"/v1/models/{LOG}/predict", BODY, "Content-Type: application/json")


class Listener(socket.socket):
    """A listening socket that counts how often somebody has tried to accept."""

    tried = 0

    def accept(self) -> tuple[socket.socket, object]:
        self.tried += 1
        return super().accept()


@pytest.fixture
def listener() -> Iterator[Listener]:
    with Listener() as one:
        one.bind(("127.0.0.1", 0))
        one.listen(128)
        one.setblocking(False)
        yield one


@contextlib.contextmanager
def connected(listener: Listener, count: int) -> Iterator[list[socket.socket]]:
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(socket.create_connection(listener.getsockname())) for _ in range(count)]


class Open(asyncio.Protocol):
    """Counts the connections that are open."""

    count = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        type(self).count += 1
        self.transport = transport

    def connection_lost(self, error: Exception | None) -> None:
        type(self).count -= 1


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> type[Open]:
    monkeypatch.setattr(Open, "count", 0)
    return Open


async def until(condition: Callable[[], object], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.001)


def test_loads_are_shared_with_forked_processes() -> None:
    """Each tells its own, and all know what those have told that take connections."""
    loads = Loads(3)
    assert loads.others(0) == {}
    loads.tell(0, 5)
    loads.tell(1, 2)
    loads.tell(1, 3)
    assert loads.others(0) == {1: (3, 3)}
    child = multiprocessing.get_context("fork").Process(target=loads.tell, args=(2, 1))
    child.start()
    child.join(30)
    assert loads.others(0) == {1: (3, 3), 2: (1, 2)}
    loads.tell(1, NONE_TAKEN)
    assert loads.others(2) == {0: (5, 2)}


@pytest.mark.parametrize("others", [0, 100, NONE_TAKEN])
def test_all_are_accepted_whatever_others_have(listener: Listener, opened: type[Open], others: int) -> None:
    """One that has more than another waits for a moment each time, in vain if that one hangs."""
    loads = Loads(2)
    loads.tell(1, others)

    async def run() -> float:
        acceptor = Acceptor(listener, Open, lambda: Open.count, loads, 0)
        started = time.monotonic()
        with connected(listener, 40):
            await until(lambda: Open.count == 40)
            took = time.monotonic() - started
        await until(lambda: Open.count == 0)
        acceptor.close()
        await acceptor.wait_closed()
        return took

    took = uvloop.run(run())
    if others == 0:
        assert took > 39 * MOMENT


def test_the_next_one_is_taken_once_an_own_one_has_ended(
    listener: Listener, opened: type[Open], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is left to another worker before, who has none."""
    monkeypatch.setattr(acceptor_module, "MOMENT", 3600.0)
    monkeypatch.setattr(acceptor_module, "GLANCE", 3600.0)
    loads = Loads(2)
    loads.tell(1, 0)

    async def run() -> None:
        acceptor = Acceptor(listener, Open, lambda: Open.count, loads, 0)
        with connected(listener, 1) as (first,), connected(listener, 1):
            await until(lambda: Open.count == 1)
            tried = listener.tried
            await asyncio.sleep(0.05)
            assert (Open.count, listener.tried) == (1, tried)
            first.close()
            await until(lambda: Open.count == 0)
            acceptor.look_again()
            await until(lambda: Open.count == 1)
        await until(lambda: Open.count == 0)
        acceptor.close()

    uvloop.run(run())


def test_a_closed_acceptor_stays_closed_when_an_own_one_ends(
    listener: Listener, opened: type[Open], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where it has just left a connection to others."""
    monkeypatch.setattr(acceptor_module, "MOMENT", 3600.0)
    monkeypatch.setattr(acceptor_module, "GLANCE", 3600.0)
    loads = Loads(2)
    loads.tell(1, 0)

    async def run() -> None:
        acceptor = Acceptor(listener, Open, lambda: Open.count, loads, 0)
        with connected(listener, 1) as (first,), connected(listener, 1):
            await until(lambda: Open.count == 1)
            await asyncio.sleep(0.05)
            acceptor.close()
            first.close()
            await until(lambda: Open.count == 0)
            acceptor.look_again()
            await asyncio.sleep(0.05)
            assert Open.count == 0

    uvloop.run(run())


def test_whoever_has_taken_one_waits_for_news_of_one_that_has_many(
    listener: Listener, opened: type[Open], monkeypatch: pytest.MonkeyPatch
) -> None:
    """They may be gone already; where they are not, the next one is taken."""
    monkeypatch.setattr(acceptor_module, "MOMENT", 3600.0)
    loads = Loads(2)
    loads.tell(1, 8)

    async def run() -> None:
        acceptor = Acceptor(listener, Open, lambda: Open.count, loads, 0)
        with connected(listener, 3):
            await until(lambda: Open.count == 1)
            for told, taken in ((8, 2), (9, 3)):
                await asyncio.sleep(0.05)
                assert Open.count == taken - 1
                loads.tell(1, told)
                await until(lambda taken=taken: Open.count == taken)
        await until(lambda: Open.count == 0)
        acceptor.close()

    uvloop.run(run())


def test_a_closed_acceptor_accepts_nobody(listener: Listener, opened: type[Open]) -> None:
    """Whether it was waiting for others or for clients."""
    loads = Loads(2)
    loads.tell(1, 0)

    async def run() -> None:
        for count in (0, 5):
            acceptor = Acceptor(listener, Open, lambda count=count: count, loads, 0)
            with connected(listener, 1):
                if count:
                    await asyncio.sleep(0)
                acceptor.close()
                await asyncio.sleep(20 * MOMENT)
        assert Open.count == 0

    uvloop.run(run())


def test_a_process_without_a_descriptor_left_does_not_spin(listener: Listener, opened: type[Open]) -> None:
    """It tries again from time to time, and takes who waits once there is one."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)

    async def run() -> None:
        acceptor = Acceptor(listener, Open, lambda: Open.count, Loads(1), 0)
        with connected(listener, 1):
            await until(lambda: Open.count == 1)
        await until(lambda: Open.count == 0)
        client = socket.socket()
        with socket.socket() as probe:
            free = probe.fileno()
        resource.setrlimit(resource.RLIMIT_NOFILE, (free, hard))
        try:
            client.connect(listener.getsockname())
            before = listener.tried
            await asyncio.sleep(0.5)
            tried, taken = listener.tried - before, Open.count
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        await until(lambda: Open.count == 1)
        client.close()
        await until(lambda: Open.count == 0)
        acceptor.close()
        assert taken == 0
        assert 0 < tried < 100

    uvloop.run(run())


@pytest.fixture(scope="module")
def web(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Web]:
    """Two workers that have both begun."""
    folder = tmp_path_factory.mktemp("shared")
    published = Published(folder / "data")
    published.logarithm(LOG)
    running = Web(published.settings, folder / "run", web_workers="2")
    wait_for(lambda: shares(running), running.log)
    yield running
    running.stop()


@contextlib.contextmanager
def clients(web: Web, count: int) -> Iterator[list[Client]]:
    """Connections that have each been asked something."""
    with contextlib.ExitStack() as stack:
        made = [stack.enter_context(Client(web.port)) for _ in range(count)]
        for client in made:
            assert client.ask(PREDICT).status == 200
        yield made


def test_workers_share_connections(web: Web) -> None:
    """Half to half, or nearly so; also when they come one after the other.

    A worker that gets no processor within the moment that it is waited for loses its turn, so that the middle one of
    several shares counts. Left to the kernel, one worker takes all, or nearly so, most of the time.
    """
    fewest = []
    for _ in range(9):
        wait_for(lambda: web.connections() == [0, 0], lambda: str(web.connections()))
        with clients(web, 8):
            found = web.connections()
            assert sum(found) == 8
            fewest.append(min(found))
    assert sorted(fewest)[4] >= 3, fewest


def test_new_connections_go_where_there_are_fewest(web: Web) -> None:
    """When some of a client's connections have ended, the next ones are taken by who had those; mostly, as above."""
    fewest = []
    for _ in range(9):
        wait_for(lambda: web.connections() == [0, 0], lambda: str(web.connections()))
        with clients(web, 8) as made:
            for client in made[::2]:
                client.socket.close()
            wait_for(lambda: sum(web.connections()) == 4)
            with clients(web, 4):
                fewest.append(min(web.connections()))
    assert sorted(fewest)[4] >= 3, fewest


def test_a_worker_that_hangs_delays_nobody_for_long(web: Web) -> None:
    """The other one takes all; what the hanging one has taken before is for it to answer, once it goes on."""
    wait_for(lambda: web.connections() == [0, 0], lambda: str(web.connections()))
    stopped = web.workers()[0]
    stopped.send_signal(signal.SIGSTOP)
    try:
        for _ in range(3):
            with clients(web, 10) as made:
                for client in made:
                    assert client.ask(PREDICT).status == 200
    finally:
        stopped.send_signal(signal.SIGCONT)
    with clients(web, 8):
        assert sum(web.connections()) == 8


def test_a_worker_that_is_killed_is_replaced(web: Web) -> None:
    """Nobody waits for the dead one, and its successor takes its share."""
    for _ in range(3):
        wait_for(lambda: web.connections() == [0, 0], lambda: str(web.connections()))
        killed = web.workers()[0]
        killed.kill()
        with clients(web, 6):
            pass
        wait_for(lambda pid=killed.pid: sorted(one.pid == pid for one in web.workers()) == [False, False])
        wait_for(lambda: shares(web), lambda: str(web.connections()))


def shares(web: Web) -> bool:
    """Whether both workers take connections already; the new one has to start."""
    with clients(web, 8):
        found = web.connections()
    wait_for(lambda: web.connections() == [0, 0], lambda: str(web.connections()))
    return len(found) == 2 and min(found) >= 3


def test_nothing_was_wrong(web: Web) -> None:
    """No worker has logged an error of its own."""
    assert "Traceback" not in web.log()
