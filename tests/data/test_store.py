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
from service.data.store import BLOCK_BYTES, FileStore, Kind, content_sha256, first_rows, load
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


def test_the_last_attempt_takes_the_folder_of_its_job_along(store: FileStore) -> None:
    """An attempt that ends leaves the folders of the others, and nothing when there are no others."""
    first, second = store.attempt(JOB, 1), store.attempt(JOB, 2)
    (first / "model.keras").write_bytes(b"half")
    store.drop_attempt(JOB, 1)
    assert (first.exists(), second.exists()) == (False, True)
    store.drop_attempt(JOB, 2)
    assert not second.parent.exists()
    store.drop_attempt(JOB, 2)


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


def test_clean_incoming_finishes_a_removal(store: FileStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a process was removing when it was killed is nobody's any more, however young it is."""
    store.checkpoints(JOB)
    with monkeypatch.context() as killed:
        killed.setattr("shutil.rmtree", lambda *_, **__: None)
        store.remove("checkpoints", JOB)
    assert len(incoming(tmp_path)) == 1
    assert store.clean_incoming(60) == 1
    assert incoming(tmp_path) == []


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


def test_only_the_recorded_checkpoint_is_kept(store: FileStore) -> None:
    """Older ones, newer ones that nobody knows of, and half-written ones go; without a name all of them do."""
    folder = store.checkpoints(JOB)
    for name in ("1-1.npz", "1-2.npz", "2-3.7.tmp"):
        (folder / name).write_bytes(b"state")
    (folder / "2").mkdir()
    store.keep_checkpoint(JOB, "1-2.npz", 3)
    assert [path.name for path in folder.iterdir()] == ["1-2.npz"]
    store.keep_checkpoint(JOB, None, 4)
    assert list(folder.iterdir()) == []


def test_what_a_later_attempt_writes_is_spared(store: FileStore) -> None:
    """An attempt that was replaced before it began takes nothing from its successor, half-written or whole."""
    folder = store.checkpoints(JOB)
    for name in ("1-1.npz", "2-2.npz", "2-3.7.tmp"):
        (folder / name).write_bytes(b"state")
    store.keep_checkpoint(JOB, None, 1)
    assert len(list(folder.iterdir())) == 3
    store.keep_checkpoint(JOB, "2-2.npz", 2)
    assert sorted(path.name for path in folder.iterdir()) == ["2-2.npz", "2-3.7.tmp"]


def test_dropping_a_checkpoint_makes_no_folder(store: FileStore) -> None:
    """Where the job's folder is gone, its successor has ended the job: nothing is there, and nothing comes back."""
    folder = store.checkpoints(JOB)
    store.remove("checkpoints", JOB)
    store.drop_checkpoint(JOB, "1-1.npz")
    assert not folder.exists()


def test_checkpoints_are_removed_with_their_folder(store: FileStore) -> None:
    """Removing them twice is no error, and asking for them makes a new folder."""
    folder = store.checkpoints(JOB)
    (folder / "1.ckpt").write_bytes(b"state")
    store.remove("checkpoints", JOB)
    store.remove("checkpoints", JOB)
    assert not folder.exists()
    assert store.checkpoints(JOB) == folder


@pytest.mark.parametrize("kind", ["datasets", "versions", "checkpoints"])
def test_old_folders_that_no_row_names_are_removed(store: FileStore, tmp_path: Path, kind: Kind) -> None:
    """What is known stays, and so does what is young: its row may be about to be written."""
    known, orphan, young = (f"ds_{digit * 26}" for digit in "012")
    for name in (known, orphan, young):
        (tmp_path / kind / name).mkdir()
        (tmp_path / kind / name / "file").write_bytes(b"")
    for name in (known, orphan):
        for path in (tmp_path / kind / name / "file", tmp_path / kind / name):
            os.utime(path, (1, 1))
    assert store.clean_unknown(kind, lambda: {known}, older_than=3600) == (orphan,)
    assert sorted(path.name for path in (tmp_path / kind).iterdir()) == [known, young]


def test_the_cache_is_a_folder(store: FileStore) -> None:
    """Children write there what later children can use."""
    assert store.cache.is_dir()


def test_an_export_is_kept_beside_the_version(tmp_path: Path) -> None:
    """The first one stays; of a version that is gone there is none."""
    store = FileStore(tmp_path)
    version_id = "ver_" + "0" * 26
    store.version(version_id).mkdir()
    for text in ("first", "second"):
        temp = store.new_folder()
        (temp / "file").write_text(text)
        store.keep_export(temp, version_id, "litert")
    assert (store.export(version_id, "litert") / "file").read_text() == "first"
    store.remove("versions", version_id)
    with pytest.raises(FileNotFoundError):
        store.keep_export(store.new_folder(), version_id, "litert")
    assert not store.version(version_id).exists()


def folder_of(store: FileStore, **files: bytes) -> Path:
    folder = store.new_folder()
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return folder


def links(folder: Path) -> dict[str, int]:
    return {path.name: path.stat().st_nlink for path in folder.iterdir()}


def test_what_two_folders_have_in_common_is_kept_once(store: FileStore) -> None:
    """Files that are the same to the byte become one; others, of whatever name or length, stay as they are."""
    twin = store.publish(folder_of(store, a=b"same", b=b"one", c=b"short", e=b""), "datasets", ID)
    folder = folder_of(store, a=b"same", b=b"two", c=b"longer", d=b"same", e=b"")
    (folder / "deep").mkdir()
    store.share(folder, twin)
    (folder / "deep").rmdir()
    assert links(folder) == {"a": 2, "b": 1, "c": 1, "d": 1, "e": 2}
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == {
        "a": b"same",
        "b": b"two",
        "c": b"longer",
        "d": b"same",
        "e": b"",
    }
    store.remove("datasets", ID)
    assert links(folder)["a"] == 1
    assert (folder / "a").read_bytes() == b"same"


def test_a_large_file_is_compared_to_its_end(store: FileStore) -> None:
    """The last byte counts."""
    start = bytes(2 * BLOCK_BYTES)
    twin, folder = folder_of(store, a=start + b"1", b=start + b"1"), folder_of(store, a=start + b"1", b=start + b"2")
    store.share(folder, twin)
    assert links(folder) == {"a": 2, "b": 1}


def test_a_twin_that_is_gone_is_no_error(store: FileStore, tmp_path: Path) -> None:
    """It may be deleted at any moment; one's own files stay."""
    folder = folder_of(store, a=b"same")
    store.share(folder, tmp_path / "gone")
    assert links(folder) == {"a": 1}


@pytest.mark.parametrize("number", [errno.EXDEV, errno.EMLINK, errno.EPERM, errno.ENOSPC])
def test_where_nothing_can_be_linked_the_own_files_stay(
    store: FileStore, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """Another disk, too many links, or a file system that has none."""
    twin, folder = folder_of(store, a=b"same"), folder_of(store, a=b"same")

    def refuse(*_: object) -> None:
        raise OSError(number, "no")

    monkeypatch.setattr(Path, "hardlink_to", refuse)
    store.share(folder, twin)
    assert links(folder) == {"a": 1}
    assert (folder / "a").read_bytes() == b"same"
