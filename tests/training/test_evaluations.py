"""Evaluations, from the web process's side: every check before a child is asked."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from service.data.store import FileStore
from service.errors import Invalid
from service.registry.database import Database
from service.registry.datasets import Datasets
from service.registry.migrate import upgrade
from service.registry.stores import DatasetStore
from service.training.evaluations import Evaluations, Question
from service.training.given_data import GivenData
from service.training.uploads import Uploads
from tests.training.errands_here import ErrandsHere

VERSION_ID = "ver_" + "0" * 26


def spec(name: str, *shape: int | None) -> dict[str, Any]:
    return {"name": name, "shape": list(shape), "dtype": "float32"}


def compiled(**loss: str) -> dict[str, Any]:
    return {"optimizer": "adam", "loss": loss, "metrics": {}, "loss_weights": {}, "jit_compile": "auto"}


@dataclass(kw_only=True)
class Version:
    """What evaluations need to know of a version."""

    id: str = VERSION_ID
    inputs: list[Any] = field(default_factory=lambda: [spec("x", 2)])
    outputs: list[Any] = field(default_factory=lambda: [spec("out", 3)])
    compile: Any = field(default_factory=lambda: compiled(out="SparseCategoricalCrossentropy"))
    architecture: Any = None
    preparation: Any = None


class Child:
    """Keeps what it was asked."""

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []
        self.files: list[list[str]] = []

    def run(self, kind: str, request: dict[str, Any], is_gone: Callable[[], bool]) -> dict[str, Any]:
        assert kind == "evaluate"
        self.asked.append(request)
        self.files.append(sorted(path.name for path in Path(request["data_folder"]).iterdir()))
        return {"rows": 2}


@dataclass(frozen=True)
class Room:
    """Evaluations on a real store, with a stand-in for the child."""

    evaluations: Evaluations
    child: Child
    root: Path

    def ask(self, version: Version, data: Any, dataset: str | None = None) -> Any:
        question = Question(dataset=dataset, data=data, batch_size=8, threshold=0.25)
        return self.evaluations.evaluate(version, question)  # type: ignore[arg-type]

    def faults(self, version: Version, data: Any) -> list[tuple[str, str]]:
        with pytest.raises(Invalid) as caught:
            self.ask(version, data)
        assert self.child.asked == []
        return [(fault.pointer, fault.detail) for fault in caught.value.faults]


@pytest.fixture
def room(tmp_path: Path) -> Iterator[Room]:
    url = f"sqlite:///{tmp_path / 'registry.sqlite3'}"
    upgrade(url)
    database, files, child = Database(url), FileStore(tmp_path), Child()
    datasets = Datasets(database)
    store = DatasetStore(files, datasets)
    given = GivenData(files, datasets, store, Uploads(files, datasets, store, ErrandsHere()))
    evaluations = Evaluations(given, files, child)  # type: ignore[arg-type]
    yield Room(evaluations, child, tmp_path)
    database.close()
    assert list((tmp_path / "incoming").iterdir()) == []


def test_the_child_is_told_all_that_it_needs(room: Room) -> None:
    """Inline data lie in a folder while it works, and not afterwards."""
    assert room.ask(Version(), {"x": [[1, 2], [3, 4]], "y": [0, 2]}) == {"rows": 2}
    (asked,) = room.child.asked
    assert asked["folder"] == str(room.root / "versions" / VERSION_ID)
    assert (asked["batch_size"], asked["threshold"]) == (8, 0.25)
    assert [(facts["part"], facts["shape"]) for facts in asked["arrays"]] == [("x", [2, 2]), ("y", [2])]
    assert room.child.files == [["x.npy", "y.npy"]]


def test_all_that_is_wrong_is_said(room: Room) -> None:
    """Inputs and targets alike, each with its place."""
    assert [pointer for pointer, _ in room.faults(Version(), {"x": [[1, 2, 3]], "y": [3]})] == ["/data/x", "/data/y"]
    ((pointer, detail),) = room.faults(Version(inputs=[spec("x", None, 2)]), {"x": [[1, 2]], "y": [0]})
    assert pointer == "/data/x"
    assert "['any', 2] was expected" in detail


def test_arrays_are_found_by_name(room: Room) -> None:
    """One that is missing, and one that is nobody's, are both named."""
    version = Version(inputs=[spec("a", 2), spec("b", 1)])
    faults = room.faults(version, {"x": {"a": [[1, 2]], "c": [[1]]}, "y": [0]})
    assert [pointer for pointer, _ in faults] == ["/data/x/c", "/data/x"]
    version = Version(outputs=[spec("one", 1), spec("two", 1)], compile=compiled(one="MeanSquaredError", two="Huber"))
    faults = room.faults(version, {"x": [[1, 2]], "y": {"one": [1], "three": [1]}})
    assert [pointer for pointer, _ in faults] == ["/data/y/three", "/data/y"]


@pytest.mark.parametrize("x", [[[1, 5]], [[-1, 1]], [[0.5, 1]]])
def test_words_have_numbers_that_the_network_knows(room: Room, x: Any) -> None:
    """Whole ones, from 0 to below the size of the vocabulary."""
    layers = [
        {"type": "Input", "name": "x", "shape": [2]},
        {"type": "Embedding", "name": "words", "input_dim": 5, "output_dim": 2},
        {"type": "Flatten"},
        {"type": "Dense", "units": 3, "name": "out"},
    ]
    version = Version(architecture={"layers": layers})
    ((pointer, detail),) = room.faults(version, {"x": x, "y": [0]})
    assert pointer == "/data/x"
    assert "the Embedding 'words' knows whole numbers from 0 to 4" in detail
    assert room.ask(version, {"x": [[0, 4]], "y": [0]})


@pytest.mark.parametrize(
    ("y", "fits"),
    [([0, 2], True), ([[0], [2]], True), ([[0, 0, 1], [1, 0, 0]], True), ([[0.5], [1]], False), ([7, 0], False)],
)
def test_without_a_loss_targets_are_numbers_or_classes(room: Room, y: Any, fits: bool) -> None:
    """They look like the output, or they number its classes."""
    data = {"x": [[1, 2], [3, 4]], "y": y}
    if fits:
        room.ask(Version(compile=None), data)
        assert room.child.asked[0]["compile"] is None
    else:
        ((pointer, _),) = room.faults(Version(compile=None), data)
        assert pointer == "/data/y"


def test_a_data_set_that_is_not_there_is_a_fault(room: Room) -> None:
    """At its id."""
    with pytest.raises(Invalid) as caught:
        room.ask(Version(), None, dataset="ds_" + "0" * 26)
    assert [fault.pointer for fault in caught.value.faults] == ["/dataset"]
