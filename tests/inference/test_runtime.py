"""Sessions: each version loaded once, the least used dropped, answers as the file's."""

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from service.inference import runtime
from service.inference.export import export
from service.inference.runtime import Session, Sessions
from tests.inference.models import answers, dense, rows_for, signature_of


@pytest.fixture(scope="module")
def onnx_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small model's file."""
    path = tmp_path_factory.mktemp("onnx") / "model.onnx"
    model = dense()
    signature = signature_of(model)
    assert export(model, signature, rows_for(signature), path).engine == "onnxruntime"
    return path


class CountedSession:
    """Counts the loads, and takes its time over each."""

    loads = 0

    def __init__(self, path: Path) -> None:
        type(self).loads += 1
        if not path.exists():
            raise FileNotFoundError(path)
        threading.Event().wait(0.05)


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> type[CountedSession]:
    """Sessions that do not load anything."""
    monkeypatch.setattr(CountedSession, "loads", 0)
    monkeypatch.setattr(runtime, "Session", CountedSession)
    return CountedSession


def files(folder: Path, *sizes: int) -> list[Path]:
    paths = [folder / f"{i}.onnx" for i in range(len(sizes))]
    for path, size in zip(paths, sizes, strict=True):
        path.write_bytes(b"0" * size)
    return paths


def test_a_session_answers_as_keras(tmp_path: Path) -> None:
    """Any batch gives what the model gives, by the output's name."""
    model, path = dense("tanh"), tmp_path / "model.onnx"
    signature = signature_of(model)
    export(model, signature, rows_for(signature), path)
    rows = rows_for(signature, rows=9, seed=3)
    outputs = Sessions(10**6).get("ver_1", path).run(rows)
    np.testing.assert_allclose(outputs["y"], answers(model, rows["x"]), atol=1e-5)


def test_many_threads_may_run_one_session(onnx_file: Path) -> None:
    """Answers do not mix between threads."""
    session = Session(onnx_file)
    rows = [np.full((3, 4), i, np.float32) for i in range(32)]
    alone = [session.run({"x": array})["y"] for array in rows]
    with ThreadPoolExecutor(8) as threads:
        together = list(threads.map(lambda array: session.run({"x": array})["y"], rows))
    np.testing.assert_array_equal(together, alone)


def test_a_version_is_loaded_once_for_many_threads(counted: type[CountedSession], tmp_path: Path) -> None:
    """Threads that come while a version is loading wait for that session."""
    (path,) = files(tmp_path, 10)
    sessions = Sessions(100)
    with ThreadPoolExecutor(8) as threads:
        got = list(threads.map(lambda _: sessions.get("ver_1", path), range(8)))
    assert counted.loads == 1
    assert len({id(session) for session in got}) == 1


def test_the_least_recently_used_is_dropped(counted: type[CountedSession], tmp_path: Path) -> None:
    """Above the budget the version that was asked for longest ago goes."""
    one, two, three = files(tmp_path, 40, 40, 40)
    sessions = Sessions(100)
    kept = sessions.get("one", one)
    sessions.get("two", two)
    assert sessions.get("one", one) is kept
    sessions.get("three", three)
    assert sessions.get("one", one) is kept
    assert counted.loads == 3
    sessions.get("two", two)
    assert counted.loads == 4


def test_a_version_above_the_budget_is_kept_alone(counted: type[CountedSession], tmp_path: Path) -> None:
    """The version that was just asked for stays, whatever its size."""
    small, large = files(tmp_path, 10, 1000)
    sessions = Sessions(100)
    sessions.get("small", small)
    assert sessions.get("large", large) is sessions.get("large", large)
    sessions.get("small", small)
    assert counted.loads == 3


def test_a_failed_load_is_tried_again(counted: type[CountedSession], tmp_path: Path) -> None:
    """A file that was not there yet is found by the next call."""
    path = tmp_path / "0.onnx"
    sessions = Sessions(100)
    with pytest.raises(FileNotFoundError):
        sessions.get("ver_1", path)
    files(tmp_path, 10)
    assert sessions.get("ver_1", path) is sessions.get("ver_1", path)
    assert counted.loads == 2


def test_only_what_is_there_is_loaded(counted: type[CountedSession], tmp_path: Path) -> None:
    """To ask for it loads nothing, neither before nor while or after another thread does."""
    (path,) = files(tmp_path, 10)
    sessions = Sessions(100)
    assert sessions.loaded("one") is None
    with pytest.raises(FileNotFoundError):
        sessions.get("two", tmp_path / "nothing")
    assert sessions.loaded("two") is None
    session = sessions.get("one", path)
    assert sessions.loaded("one") is session
    assert counted.loads == 2


def test_to_ask_what_is_loaded_is_a_use(counted: type[CountedSession], tmp_path: Path) -> None:
    """The versions that predict all the time are asked for in this way alone, and must not be the first to go."""
    one, two, three = files(tmp_path, 40, 40, 40)
    sessions = Sessions(100)
    kept = sessions.get("one", one)
    sessions.get("two", two)
    assert sessions.loaded("one") is kept
    sessions.get("three", three)
    assert sessions.loaded("one") is kept
    assert sessions.loaded("two") is None
    assert counted.loads == 3


def test_a_failed_load_is_not_there_for_those_who_waited(counted: type[CountedSession], tmp_path: Path) -> None:
    """Each of them tries for itself, and none is left waiting."""
    sessions = Sessions(100)

    def fail(_: int) -> None:
        with pytest.raises(FileNotFoundError):
            sessions.get("ver_1", tmp_path / "nothing")

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(fail, range(4)))
    assert sessions.loaded("ver_1") is None


def test_one_row_is_answered_as_among_others(onnx_file: Path) -> None:
    """In each thread by its own place, and what was given out is not written over by the next answer."""
    session = Session(onnx_file)
    shape = tuple(session._session.get_inputs()[0].shape[1:])
    name = session._session.get_inputs()[0].name
    rows = np.random.default_rng(4).normal(size=(64, *shape)).astype(np.float32)
    whole = session.run({name: rows})["y"]
    kept = [session.run({name: rows[number : number + 1]})["y"] for number in range(64)]
    np.testing.assert_allclose(np.concatenate(kept), whole, atol=1e-6)
    with ThreadPoolExecutor(8) as threads:
        beside = list(threads.map(lambda number: session.run({name: rows[number : number + 1]})["y"], range(64)))
    np.testing.assert_array_equal(np.concatenate(beside), np.concatenate(kept))


def test_a_row_need_not_lie_in_one_piece(onnx_file: Path) -> None:
    """As a row of every second column does not."""
    session = Session(onnx_file)
    (size,) = session._session.get_inputs()[0].shape[1:]
    name = session._session.get_inputs()[0].name
    wide = np.random.default_rng(5).normal(size=(1, 2 * size)).astype(np.float32)
    answer = session.run({name: wide[:, ::2]})["y"]
    np.testing.assert_array_equal(answer, session.run({name: np.ascontiguousarray(wide[:, ::2])})["y"])
