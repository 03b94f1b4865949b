"""Exports, from the web process's side: with a stand-in for the child that writes them."""

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from service.data.store import FileStore
from service.errors import Conflict, NotFound, Unavailable
from service.training.exports import Exports

VERSION_ID = "ver_" + "0" * 26


@dataclass(kw_only=True)
class Version:
    """What exports need to know of a version."""

    id: str = VERSION_ID
    model: str = "xor"
    number: int = 3
    engine: str = "onnxruntime"
    engine_reason: str | None = None
    inputs: list[Any] = field(default_factory=list)
    outputs: list[Any] = field(default_factory=list)


@dataclass
class Child:
    """Writes what the real one writes, or does what a test wants."""

    do: Callable[[Path], None] = lambda _: None
    calls: int = 0

    def run(self, kind: str, request: dict[str, Any], is_gone: Callable[[], bool]) -> dict[str, Any]:
        assert kind == "export"
        self.calls += 1
        folder = Path(request["work_folder"])
        name = {"litert": "model.tflite", "saved_model": "saved_model.zip"}.get(request["format"])
        if name is not None:
            (folder / name).write_bytes(f"written {self.calls}".encode())
        facts = {
            "file": name,
            "sha256": "0" * 64,
            "size_bytes": 9,
            "max_difference": 0.5,
            "compared_rows": 33,
            "compared_on": "training rows",
            "batch_size": None,
        }
        (folder / "export.json").write_text(json.dumps(facts))
        self.do(folder)
        return facts


@pytest.fixture
def store(tmp_path: Path) -> FileStore:
    store = FileStore(tmp_path)
    store.version(VERSION_ID).mkdir()
    return store


def get(store: FileStore, child: Child, form: Any, **change: Any) -> Any:
    return Exports(store, child).get(Version(**change), form)  # type: ignore[arg-type]


def test_an_export_is_made_and_kept(store: FileStore, tmp_path: Path) -> None:
    """Beside the version's files; it is not made again, and nothing is left of the work."""
    child = Child()
    for _ in range(2):
        found = get(store, child, "litert")
        assert found.path.read_bytes() == b"written 1"
        assert (found.filename, found.max_difference) == ("xor-3.tflite", 0.5)
    assert child.calls == 1
    assert list((tmp_path / "incoming").iterdir()) == []


@pytest.mark.parametrize(("form", "name"), [("keras", "model.keras"), ("onnx", "model.onnx")])
def test_an_own_file_is_the_export(store: FileStore, form: str, name: str) -> None:
    """It is not copied."""
    assert get(store, Child(), form).path == store.version(VERSION_ID) / name


def test_the_first_of_two_stays(store: FileStore, tmp_path: Path) -> None:
    """Who is slower gets what the other has made."""
    other = Child()

    def be_overtaken(_: Path) -> None:
        get(store, other, "litert")

    assert get(store, Child(do=be_overtaken), "litert").path.read_bytes() == b"written 1"
    assert list((tmp_path / "incoming").iterdir()) == []


def test_no_onnx_file_is_a_conflict(store: FileStore) -> None:
    """With the reason that the version has."""
    with pytest.raises(Conflict, match=r"Gelu is not known\. Export it as keras or saved_model"):
        get(store, Child(), "onnx", engine="tensorflow", engine_reason="Gelu is not known.")


def test_a_version_that_is_deleted_meanwhile_is_not_found(store: FileStore, tmp_path: Path) -> None:
    """Nothing of it comes back to life."""
    with pytest.raises(NotFound):
        get(store, Child(do=lambda _: shutil.rmtree(store.version(VERSION_ID))), "litert")
    assert list((tmp_path / "versions").iterdir()) == []
    assert list((tmp_path / "incoming").iterdir()) == []


def test_a_child_that_fails_leaves_nothing(store: FileStore, tmp_path: Path) -> None:
    """What it had written is removed."""

    def fail(_: Path) -> None:
        raise Unavailable("It died.")

    with pytest.raises(Unavailable):
        get(store, Child(do=fail), "saved_model")
    assert list((tmp_path / "incoming").iterdir()) == []
    assert list(store.version(VERSION_ID).iterdir()) == []
