"""The warmer: what is new is loaded before anybody asks, as far as there is room, and nothing that is wrong ends it."""

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from onnx import TensorProto, helper
from structlog.testing import capture_logs

from service.data.store import FileStore
from service.errors import Unavailable
from service.inference import warmer as module
from service.inference.predictor import Predictor
from service.inference.runtime import Sessions
from service.inference.tensorflow_client import TensorFlowClient
from service.inference.warmer import Warmer
from service.registry.aliases import ANY, Aliases, Seen
from service.registry.database import Database
from service.registry.models import Models, Version
from service.registry.supervisors import Supervisors
from tests.api.served import Published
from tests.registry.conftest import NOON, closed_databases

__all__ = ["closed_databases"]


@pytest.fixture
def published(tmp_path: Path) -> Published:
    """A folder to publish versions in."""
    return Published(tmp_path)


@pytest.fixture
def database(published: Published) -> Database:
    return Database(published.settings.database)


@pytest.fixture
def predictor(tmp_path: Path) -> Predictor:
    return Predictor(FileStore(tmp_path), Sessions(10**9), TensorFlowClient(str(tmp_path / "nobody.sock"), 1))


def warmer_of(database: Database, predictor: Predictor, budget: int = 10**9) -> Warmer:
    return Warmer(database, Models(database), predictor, budget)


@pytest.fixture
def running(database: Database, predictor: Predictor, monkeypatch: pytest.MonkeyPatch) -> Iterator[Warmer]:
    """A warmer in its thread, and a clock that ticks for it all the time."""
    monkeypatch.setattr(module, "READ_SECONDS", 0.001)
    monkeypatch.setattr(module, "BLIND_SECONDS", 0.001)
    warmer, over = warmer_of(database, predictor), threading.Event()

    def clock() -> None:
        while not over.wait(0.001):
            warmer.tick()

    ticking = threading.Thread(target=clock)
    warmer.start()
    ticking.start()
    yield warmer
    over.set()
    ticking.join()
    warmer.stop()


def wait_for(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def broken(version: Version, folder: Path) -> None:
    """Write something else into a version's file."""
    (FileStore(folder).version(version.id) / "model.onnx").write_bytes(b"not a network")


def test_what_clients_find_without_a_number_is_loaded(
    published: Published, database: Database, predictor: Predictor
) -> None:
    """The latest of each model, and what aliases point to; older ones wait until somebody asks."""
    first, second, third = (published.logarithm("log") for _ in range(3))
    other = published.logarithm("other")
    Aliases(database).put("log", "stable", 1, Seen(), NOON)
    warmer_of(database, predictor).look()
    assert [predictor.is_loaded(version) for version in (first, second, third, other)] == [True, False, True, True]


def test_each_look_finds_what_is_new(published: Published, database: Database, predictor: Predictor) -> None:
    """A version, and one that an alias now points to."""
    warmer = warmer_of(database, predictor)
    warmer.look()
    first, second = published.logarithm("log"), published.logarithm("log")
    warmer.look()
    assert (predictor.is_loaded(first), predictor.is_loaded(second)) == (False, True)
    Aliases(database).put("log", "stable", 2, Seen(), NOON)
    warmer.look()
    assert not predictor.is_loaded(first)
    Aliases(database).put("log", "stable", 1, Seen(revisions=ANY), NOON)
    warmer.look()
    assert predictor.is_loaded(first)


def test_the_successor_of_a_deleted_version_is_loaded(
    published: Published, database: Database, predictor: Predictor
) -> None:
    """It is the latest from then on."""
    first, second = published.logarithm("log"), published.logarithm("log")
    warmer = warmer_of(database, predictor)
    warmer.look()
    assert (predictor.is_loaded(first), predictor.is_loaded(second)) == (False, True)
    Models(database).delete_version("log", 2)
    warmer.look()
    assert predictor.is_loaded(first)


def test_there_is_room_for_as_much_as_the_budget(
    published: Published, database: Database, predictor: Predictor
) -> None:
    """The newest first; what is beyond waits until somebody asks."""
    versions = [published.logarithm(f"log{number}", size_bytes=100) for number in range(4)]
    warmer_of(database, predictor, budget=250).look()
    assert [predictor.is_loaded(version) for version in versions] == [False, False, True, True]


def test_versions_of_the_tensorflow_process_are_left_to_it(
    published: Published, database: Database, predictor: Predictor
) -> None:
    """Nobody is asked for them, and they take no room."""
    loaded = published.logarithm("log", size_bytes=100)
    version = published.logarithm("slow", size_bytes=10**6, engine="tensorflow")
    with capture_logs() as logs:
        warmer_of(database, predictor, budget=100).look()
    assert (predictor.is_loaded(loaded), predictor.is_loaded(version)) == (True, False)
    assert logs == []


def test_a_broken_version_is_logged_and_the_others_are_loaded(
    published: Published, database: Database, predictor: Predictor, tmp_path: Path
) -> None:
    """Whoever asks for it is told; the log says which it is."""
    first, second, third = (published.logarithm(f"log{number}") for number in range(3))
    broken(second, tmp_path)
    with capture_logs() as logs:
        warmer_of(database, predictor).look()
    assert [predictor.is_loaded(version) for version in (first, second, third)] == [True, False, True]
    ((event, model),) = [(line["event"], line["model"]) for line in logs]
    assert (event, model) == ("version_not_warm", "log1")


def test_it_runs_beside_everything_else(running: Warmer, published: Published, predictor: Predictor) -> None:
    """From start to stop."""
    for number in range(3):
        version = published.logarithm(f"log{number}")
        wait_for(lambda version=version: predictor.is_loaded(version))
    running.stop()
    late = published.logarithm("late")
    assert not predictor.is_loaded(late)


@pytest.mark.parametrize("method", ["newest", "found_without_number"])
def test_what_could_not_be_read_is_looked_for_again(
    published: Published,
    database: Database,
    predictor: Predictor,
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
    method: str,
) -> None:
    """Also where nothing has changed since: the database was away, or in migration."""
    version = published.logarithm("log")
    failures = iter(range(3))
    read = getattr(Models, method)

    def fail_at_first(self: Models, *given: int) -> object:
        if next(failures, None) is not None:
            raise Unavailable("The database did not answer.")
        return read(self, *given)

    monkeypatch.setattr(Models, method, fail_at_first)
    request.getfixturevalue("running")
    wait_for(lambda: predictor.is_loaded(version))


def test_a_database_that_cannot_tell_is_asked_at_times(
    published: Published,
    database: Database,
    predictor: Predictor,
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
) -> None:
    """As PostgreSQL is."""
    monkeypatch.setattr(database, "edition", lambda: None)
    request.getfixturevalue("running")
    version = published.logarithm("log")
    wait_for(lambda: predictor.is_loaded(version))


def test_a_change_of_nothing_that_is_served_wakes_nobody(
    published: Published, database: Database, predictor: Predictor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Signs of life and the epochs of jobs come several times a second."""
    looks: list[int] = []
    newest = Models.newest
    monkeypatch.setattr(module, "READ_SECONDS", 0.0)
    monkeypatch.setattr(Models, "newest", lambda self: looks.append(1) or newest(self))
    warmer = warmer_of(database, predictor)
    warmer.start()
    wait_for(lambda: warmer._seen is not None)
    for number in range(20):
        Supervisors(database).heartbeat("sup_1", "here", number, NOON)
        warmer.tick()
    assert len(looks) == 1
    version = published.logarithm("log")
    warmer.tick()
    wait_for(lambda: predictor.is_loaded(version))
    warmer.stop()


@pytest.mark.parametrize("dtype", ["float32", "int32", "int64", "bool"])
def test_every_input_can_be_warmed(published: Published, database: Database, predictor: Predictor, dtype: str) -> None:
    """Of any type, and with sizes that are not fixed."""
    kind = {
        "float32": TensorProto.FLOAT,
        "int32": TensorProto.INT32,
        "int64": TensorProto.INT64,
        "bool": TensorProto.BOOL,
    }
    x = helper.make_tensor_value_info("x", kind[dtype], [None, None, 2])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, [None, None, 2])
    graph = helper.make_graph([helper.make_node("Cast", ["x"], ["y"], to=TensorProto.FLOAT)], "cast", [x], [y])
    version = published.publish(
        "cast",
        graph,
        [{"name": "x", "shape": [None, 2], "dtype": dtype}],
        [{"name": "y", "shape": [None, 2], "dtype": "float32"}],
    )
    warmer_of(database, predictor).look()
    assert predictor.is_loaded(version)
