"""Uploads become arrays or tables, whichever they are, and what is refused leaves nothing."""

import io
import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from service.data.npy_parts import FilePart
from service.data.read_options import ReadOptions
from service.data.store import FileStore
from service.data.table import Kind
from service.data.table_readers import TableOptions
from service.errors import Conflict, Invalid, KerasdError, MalformedRequest, TooLarge, UnsupportedMediaType
from service.registry.database import Database
from service.registry.datasets import Dataset, Datasets
from service.registry.migrate import upgrade
from service.registry.stores import DatasetStore
from service.training.uploads import Uploads
from tests.training.errands_here import ErrandsHere

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
CSV = b"age,town,rescued\n22,Cork,yes\n,Bergen,no\n35.5,Cork,yes\n"
ARRAYS = {"x": np.array([[0.5], [1.5]]), "y": np.array([0, 1])}


class Room:
    """Uploads, and what they write to."""

    def __init__(self, folder: Path) -> None:
        upgrade(f"sqlite:///{folder / 'test.sqlite3'}")
        self.database = Database(f"sqlite:///{folder / 'test.sqlite3'}")
        self.files, self.datasets, self.errands = FileStore(folder), Datasets(self.database), ErrandsHere()
        self.store = DatasetStore(self.files, self.datasets)
        self.uploads = Uploads(self.files, self.datasets, self.store, self.errands)
        self.folder = folder

    def take(self, media_type: str, body: bytes, **options: Any) -> Dataset:
        return self.uploads.take(io.BytesIO(body), media_type, TableOptions(**options), 10**6, lambda: NOON)

    def take_parts(self, *parts: tuple[str, str, bytes]) -> Dataset:
        made = (
            FilePart(name=name, media_type=media_type, is_file=True, stream=io.BytesIO(content))
            for name, media_type, content in parts
        )
        return self.uploads.take_parts(made, TableOptions(), 10**6, lambda: NOON)

    def is_empty(self) -> bool:
        return not self.datasets.ids() and not any(self.folder.glob("incoming/*"))


@pytest.fixture
def room(tmp_path: Path) -> Iterator[Room]:
    room = Room(tmp_path)
    yield room
    room.database.close()
    assert list(tmp_path.glob("incoming/*")) == []


def npz() -> bytes:
    file = io.BytesIO()
    np.savez(file, **ARRAYS)
    return file.getvalue()


def npy(name: str) -> bytes:
    file = io.BytesIO()
    np.save(file, ARRAYS[name])
    return file.getvalue()


def test_a_csv_file_without_a_target_is_a_table(room: Room) -> None:
    """Its columns have kinds, its values are kept as they are, and it has a profile."""
    dataset = room.take("text/csv", CSV)
    assert (dataset.rows, dataset.format, dataset.arrays) == (3, "csv", ())
    assert [column.name for column in dataset.columns] == ["age", "town", "rescued"]
    assert room.datasets.get(dataset.id) == dataset
    assert room.store.first_rows(dataset.id, 2)["records"][1] == {"age": None, "town": "Bergen", "rescued": "no"}
    assert room.datasets.profile(dataset.id)["rows"] == 3


def test_a_csv_file_with_a_target_is_arrays(room: Room) -> None:
    """They are read where they arrive."""
    dataset = room.take("text/csv", b"a,b,y\n1,2,0\n3,4,1\n", limits=ReadOptions(target=("y",)))
    assert ([facts.part for facts in dataset.arrays], dataset.columns) == (["x", "y"], ())
    assert room.errands.asked == []


@pytest.mark.parametrize("make", [dict, list], ids=["records", "list"])
def test_json_says_by_its_beginning_what_it_is(room: Room, make: type) -> None:
    """Records, or a list of them, are a table; x and y are arrays."""
    records = [{"a": 1}, {"a": 2, "b": "x"}]
    body = json.dumps(records if make is list else {"records": records}).encode()
    assert len(room.take("application/json", body).columns) == 2
    assert room.take("application/json; charset=utf-8", b'{"x": [[1]], "y": [1]}').arrays


def test_files_of_a_form(room: Room) -> None:
    """Arrays by their names, or one file that is anything."""
    dataset = room.take_parts(("x", "", npy("x")), ("y", "", npy("y")))
    assert dataset.format == "npy"
    twin = room.take_parts(("file", "application/x-npz", npz()))
    assert (twin.format, twin.sha256) == ("npz", dataset.sha256)
    assert room.take_parts(("file", "text/csv", CSV)).columns


@pytest.mark.parametrize(
    ("send", "expected"),
    [
        (lambda room: room.take("text/csv", b"a,b\n1\n"), KerasdError),
        (lambda room: room.take("text/csv", b"a,b\n"), Invalid),
        (lambda room: room.take("application/json", b'{"records": 3}'), KerasdError),
        (lambda room: room.take("application/pdf", b"%PDF"), UnsupportedMediaType),
        (lambda room: room.take("text/csv", bytes(2 * 10**6)), TooLarge),
        (lambda room: room.take_parts(("file", "application/x-npz", npz()), ("z", "", npy("x"))), Invalid),
        (lambda room: room.take_parts(("file", "application/x-npz", b"PK")), MalformedRequest),
        (lambda room: room.take_parts(("file", "text/csv", bytes(2 * 10**6))), TooLarge),
    ],
)
def test_what_is_refused_leaves_nothing(
    room: Room, send: Callable[[Room], Dataset], expected: type[KerasdError]
) -> None:
    """Neither a row nor a file."""
    with pytest.raises(expected):
        send(room)
    assert room.is_empty()


def test_equal_tables_share_their_files(room: Room) -> None:
    """Each can be deleted by itself."""
    first, second = room.take("text/csv", CSV), room.take("text/csv", CSV)
    paths = [room.files.dataset(dataset.id) / "table.arrow" for dataset in (first, second)]
    assert paths[0].samefile(paths[1])
    room.store.delete(first.id)
    assert room.store.first_rows(second.id, 1)["records"]


def test_kinds_are_a_clients_to_say(room: Room) -> None:
    """The columns that are not named keep theirs, and the profile is made anew."""
    dataset = room.take("text/csv", b"code,town\n1,Cork\n2,Cork\n")
    before = {column.name: column.kind for column in dataset.columns}
    changed = room.uploads.change_kinds(dataset.id, {"code": "category"})
    kinds = {column.name: column.kind for column in changed.columns}
    assert kinds == before | {"code": Kind.CATEGORY}
    profiled = {column["name"]: column["kind"] for column in room.datasets.profile(dataset.id)["columns"]}
    assert profiled["code"] == "category"


def test_kinds_that_cannot_be_are_refused(room: Room) -> None:
    """Each with its place; and arrays have no kinds."""
    dataset = room.take("text/csv", CSV)
    with pytest.raises(Invalid) as caught:
        room.uploads.change_kinds(dataset.id, {"age": "image", "nose": "text"})
    assert {fault.pointer for fault in caught.value.faults} == {"/columns/age", "/columns/nose"}
    arrays = room.take("application/json", b'{"x": [[1]], "y": [1]}')
    with pytest.raises(Conflict):
        room.uploads.change_kinds(arrays.id, {"age": "numeric"})


def test_records_of_a_request_are_a_draft(room: Room) -> None:
    """It is gone afterwards unless it was kept, and what is wrong has the place where it stood."""
    with room.uploads.records([{"a": 1}, {"a": 2}], "/data") as draft:
        assert draft.rows == 2
    assert room.is_empty()
    with pytest.raises(Invalid) as caught, room.uploads.records([{"a": {"b": 1}}, 3], "/data/records"):
        pass
    assert all(fault.pointer.startswith("/data/records/") for fault in caught.value.faults)


def test_steps_become_sequences_or_windows(room: Room) -> None:
    """Those that are too short for a window are left out, and the profile says how many."""
    body = b"id,minute,height\n" + b"".join(b"a,%d,%d.5\n" % (n, n) for n in range(5)) + b"b,0,1.5\nb,1,2.5\n"
    assert room.take("text/csv", body, sequence="id", time="minute").rows == 2
    windows = room.take("text/csv", body, sequence="id", time="minute", window=3, horizon=1)
    assert windows.rows == 2
    (warning,) = [one for one in room.datasets.profile(windows.id)["warnings"] if one["code"] == "short_sequences"]
    assert warning["evidence"] == {"count": 1, "needed": 4}
