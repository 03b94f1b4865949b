"""The file store: spooling, publishing, removing, and reading what was published."""

import errno
import hashlib
import io
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from service.data.array_writer import ArrayWriter
from service.data.store import BLOCK_BYTES, FileStore, content_sha256, first_rows, load
from service.errors import NotFound, StorageFull, TooLarge

ID = "ds_" + "0" * 26
JOB = "job_" + "1" * 26


@pytest.fixture
def store(tmp_path: Path) -> FileStore:
    return FileStore(tmp_path)


def incoming(tmp_path: Path) -> list[Path]:
    return list((tmp_path / "incoming").iterdir())


class Failing(io.RawIOBase):
    """A stream that fails with `error` once something was read."""

    def __init__(self, error: Exception) -> None:
        self.error = error
        self.begun = False

    def read(self, size: int = -1) -> bytes:
        if self.begun:
            raise self.error
        self.begun = True
        return b"start"


def test_spool_copies_the_stream(store: FileStore) -> None:
    """A body of several blocks is on disk whole."""
    body = os.urandom(2 * BLOCK_BYTES + 5)
    spooled = store.spool(io.BytesIO(body), len(body))
    assert spooled.size == len(body)
    assert spooled.path.read_bytes() == body


@pytest.mark.parametrize(
    ("stream", "expected"),
    [
        (io.BytesIO(bytes(11)), TooLarge),
        (Failing(OSError(errno.ENOSPC, "full")), StorageFull),
        (Failing(OSError(errno.EIO, "broken")), OSError),
        (Failing(ConnectionResetError()), ConnectionResetError),
    ],
)
def test_spool_leaves_nothing_behind(store: FileStore, tmp_path: Path, stream: Any, expected: type[Exception]) -> None:
    """Whatever ends the copying, the file goes."""
    with pytest.raises(expected):
        store.spool(stream, 10)
    assert incoming(tmp_path) == []


@pytest.mark.parametrize(("kind", "place"), [("datasets", "dataset"), ("versions", "version")])
def test_publish_moves_a_folder_to_its_place(store: FileStore, kind: Any, place: str) -> None:
    """What was published is where dataset() or version() says, with its subfolders."""
    folder = store.new_folder()
    (folder / "deep").mkdir()
    (folder / "deep" / "file").write_text("text")
    published = store.publish(folder, kind, ID)
    assert published == getattr(store, place)(ID)
    assert (published / "deep" / "file").read_text() == "text"
    assert not folder.exists()
    with pytest.raises(FileExistsError):
        store.publish(store.new_folder(), kind, ID)
    store.remove(kind, ID)
    store.remove(kind, ID)
    assert not published.exists()


def test_attempts_have_folders_of_their_own(store: FileStore) -> None:
    """Each attempt has its folder; removing a job's attempts removes them all."""
    first, second = store.attempt(JOB, 1), store.attempt(JOB, 2)
    assert first.is_dir()
    assert second.is_dir()
    assert first != second
    store.remove("attempts", JOB)
    assert not first.exists()
    assert not second.exists()


@pytest.mark.parametrize("bad", ["", "..", "../../etc", "ds_" + "A" * 26, ID + "\n", ID + "/..", "ds_" + "0" * 25])
def test_only_ids_become_paths(store: FileStore, bad: str) -> None:
    """Anything that is not an id is not found, whatever lies there."""
    for place in (store.dataset, store.version, lambda item_id: store.attempt(item_id, 1)):
        with pytest.raises(NotFound):
            place(bad)


def test_clean_incoming_spares_what_is_young(store: FileStore, tmp_path: Path) -> None:
    """Only what nobody touched for a while goes, files and folders."""
    folder = store.new_folder()
    (folder / "file").write_text("text")
    spooled = store.spool(io.BytesIO(b"body"), 10)
    now = spooled.path.stat().st_mtime
    assert store.clean_incoming(60, now=now) == 0
    assert store.clean_incoming(60, now=now + 120) == 2
    assert incoming(tmp_path) == []
    assert store.clean_incoming(60) == 0


def test_arrays_are_mapped_and_shown(tmp_path: Path) -> None:
    """load() maps the files by name; first_rows() gives ints as ints, under names where there are names."""
    facts = []
    for part, name, rows in (("x", "a", [[0.5], [1]]), ("x", "b", [[1], [2]]), ("y", None, [3, 4])):
        writer = ArrayWriter(tmp_path, part, name)  # type: ignore[arg-type]
        writer.append(rows)
        facts.append(writer.finish())
    arrays = load(tmp_path, facts, "x")
    assert set(arrays) == {"a", "b"}
    assert isinstance(arrays["a"], np.memmap)
    assert load(tmp_path, facts, "y")[None].tolist() == [3, 4]
    assert first_rows(tmp_path, facts, 1) == {"x": {"a": [[0.5]], "b": [[1]]}, "y": [3]}
    assert isinstance(first_rows(tmp_path, facts, 1)["y"][0], int)


def test_content_hash_covers_facts_and_values(tmp_path: Path) -> None:
    """The hash is of a JSON line and the values, so that it can be computed elsewhere."""
    writer = ArrayWriter(tmp_path, "y")
    writer.append([3, 4])
    facts = [writer.finish()]
    line = b'{"part": "y", "name": null, "dtype": "int32", "shape": [2]}\n'
    expected = hashlib.sha256(line + np.array([3, 4], "<i4").tobytes()).hexdigest()
    assert content_sha256(tmp_path, facts) == expected
