"""Rows and files of one noun go together."""

import io
import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sqlalchemy import text

from service.data.npy_parts import FilePart
from service.data.read_options import ReadOptions
from service.data.store import FileStore, content_sha256
from service.errors import Invalid, StorageFull
from service.registry.claims import Claims
from service.registry.database import Database
from service.registry.datasets import Dataset, Datasets
from service.registry.job import Checkpoint, Failure, Job
from service.registry.jobs import Jobs
from service.registry.models import Models
from service.registry.stores import DatasetStore, JobStore, ModelStore
from service.registry.tables import Status
from tests.registry.conftest import LEASE, NOON, an_import


@pytest.fixture
def files(tmp_path: Path) -> FileStore:
    return FileStore(tmp_path)


@pytest.fixture
def store(files: FileStore, jobs: Jobs) -> JobStore:
    return JobStore(files, jobs)


@pytest.fixture
def released(claim: Callable[..., Job], claims: Claims, jobs: Jobs, files: FileStore) -> Job:
    """A queued job that has a checkpoint."""
    job = claim()
    (files.checkpoints(job.id) / "1").write_bytes(b"state")
    claims.record_checkpoint(job.id, 1, Checkpoint(name="1", epoch=1, step=1, written_at=NOON))
    claims.release(job.id, 1, NOON)
    return jobs.get(job.id)


def test_a_cancelled_jobs_checkpoints_go(released: Job, store: JobStore, tmp_path: Path) -> None:
    """Nobody goes on from them."""
    assert store.cancel(released.id, NOON).status is Status.CANCELLED
    assert not (tmp_path / "checkpoints" / released.id).exists()


def test_a_job_that_keeps_its_best_keeps_its_checkpoints(released: Job, store: JobStore, tmp_path: Path) -> None:
    """The version is made from them."""
    assert store.cancel(released.id, NOON, "best").status is Status.QUEUED
    assert (tmp_path / "checkpoints" / released.id / "1").exists()


def test_a_deleted_jobs_checkpoints_go(released: Job, store: JobStore, claims: Claims, tmp_path: Path) -> None:
    """Those of a job that has failed stay until then."""
    claims.claim("here:sup_1", LEASE, NOON)
    claims.fail(released.id, 2, Failure(code="internal", message="", retryable=True), NOON)
    assert (tmp_path / "checkpoints" / released.id / "1").exists()
    store.delete(released.id)
    assert not (tmp_path / "checkpoints" / released.id).exists()


def test_a_data_set_without_a_row_is_only_a_folder(
    files: FileStore, datasets: Datasets, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that ends between the rename and the commit leaves a folder, which is cleared when it is old."""

    def die(*_: object) -> None:
        raise SystemExit

    monkeypatch.setattr(datasets, "add", die)
    store = DatasetStore(files, datasets)
    with pytest.raises(SystemExit), store.draft({"x": [[1.0]], "y": [1.0]}, "/data") as draft:
        store.keep(draft, NOON)
    assert datasets.page(None, 1).items == ()
    assert len(list((tmp_path / "datasets").iterdir())) == 1
    assert len(files.clean_unknown("datasets", datasets.ids, older_than=-1)) == 1
    assert list((tmp_path / "datasets").iterdir()) == []


def npy(array: Any) -> io.BytesIO:
    file = io.BytesIO()
    np.save(file, array)
    file.seek(0)
    return file


def parts(**files: Any) -> Iterator[FilePart]:
    """The parts of a form."""
    for name, content in files.items():
        yield FilePart(name=name, media_type="", is_file=True, stream=npy(content))


def npz(folder: Path, **arrays: Any) -> Path:
    np.savez(folder / "whole.npz", **arrays)
    return folder / "whole.npz"


X, Y = np.array([[0.5], [1.5]]), np.array([0, 1])


@pytest.fixture
def uploads(files: FileStore, datasets: Datasets) -> DatasetStore:
    return DatasetStore(files, datasets)


def upload(store: DatasetStore, **content: Any) -> Dataset:
    return store.read_parts(parts(**content), ReadOptions(), NOON)


@pytest.mark.parametrize("content", [{"x": X, "y": Y}, {"y": Y, "x": X}])
def test_the_parts_of_a_form_become_a_data_set(
    uploads: DatasetStore, datasets: Datasets, files: FileStore, tmp_path: Path, content: dict[str, Any]
) -> None:
    """Arrays, in any order: the digest is that of the stored arrays."""
    dataset = upload(uploads, **content)
    assert datasets.get(dataset.id) == dataset
    assert dataset.format == "npy"
    assert dataset.sha256 == content_sha256(files.dataset(dataset.id), dataset.arrays)
    assert uploads.first_rows(dataset.id, 5) == {"x": [[0.5], [1.5]], "y": [0, 1]}
    assert list((tmp_path / "incoming").iterdir()) == []


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ({"x": X}, Invalid),
        ({}, Invalid),
        ({"x": X, "y": Y, "z": Y}, Invalid),
        ({"x": X, "y": Y[:1]}, Invalid),
    ],
)
def test_parts_that_are_refused_leave_nothing(
    uploads: DatasetStore, datasets: Datasets, tmp_path: Path, content: dict[str, Any], expected: type[Exception]
) -> None:
    """Neither a row nor a file."""
    with pytest.raises(expected):
        upload(uploads, **content)
    assert datasets.ids() == set()
    assert [list((tmp_path / folder).iterdir()) for folder in ("incoming", "datasets")] == [[], []]


def test_equal_content_is_kept_once(uploads: DatasetStore, files: FileStore, tmp_path: Path) -> None:
    """Each data set has an id of its own and can be deleted by itself, whatever form it came in."""
    first = upload(uploads, x=X, y=Y)
    second = uploads.read(npz(tmp_path, x=X, y=Y), "application/x-npz", ReadOptions(), NOON)
    other = upload(uploads, x=X + 1, y=Y)
    assert first.sha256 == second.sha256 != other.sha256
    for name in ("x.npy", "y.npy"):
        paths = [files.dataset(dataset.id) / name for dataset in (first, second, other)]
        assert paths[0].samefile(paths[1])
        assert not paths[0].samefile(paths[2])
    uploads.delete(first.id)
    assert uploads.first_rows(second.id, 5) == {"x": [[0.5], [1.5]], "y": [0, 1]}
    third = upload(uploads, x=X, y=Y)
    assert (files.dataset(second.id) / "x.npy").samefile(files.dataset(third.id) / "x.npy")


def test_a_twin_without_files_is_no_hindrance(uploads: DatasetStore, files: FileStore) -> None:
    """A row whose files are just going leaves a new data set its own."""
    first = upload(uploads, x=X, y=Y)
    files.remove("datasets", first.id)
    second = upload(uploads, x=X, y=Y)
    assert uploads.first_rows(second.id, 5) == {"x": [[0.5], [1.5]], "y": [0, 1]}


def test_a_data_set_whose_row_finds_no_room_leaves_no_files(
    uploads: DatasetStore, datasets: Datasets, database: Database, tmp_path: Path
) -> None:
    """SQLite's own "database or disk is full" undoes the row, and then the files go; what was there stays."""
    before = upload(uploads, x=X, y=Y)
    with database.read() as connection:
        pages = connection.scalar(text("PRAGMA page_count"))
        connection.execute(text(f"PRAGMA max_page_count = {pages}"))
    stored = {before.id}

    def upload_for_ever() -> None:
        for number in itertools.count(1):
            stored.add(upload(uploads, x=X + number, y=Y).id)

    with pytest.raises(StorageFull):
        upload_for_ever()
    assert datasets.ids() == stored
    assert {path.name for path in (tmp_path / "datasets").iterdir()} == stored
    assert list((tmp_path / "incoming").iterdir()) == []
    assert uploads.first_rows(before.id, 5) == {"x": [[0.5], [1.5]], "y": [0, 1]}


def test_a_version_that_was_brought_has_its_files_and_its_row(files: FileStore, models: Models, tmp_path: Path) -> None:
    """Both go together when it is deleted."""
    store, version = ModelStore(files, models), an_import()
    with store.draft() as folder:
        (folder / "model.keras").write_bytes(b"weights")
        assert store.add(folder, version, NOON).number == 1
    assert (files.version(version.id) / "model.keras").read_bytes() == b"weights"
    assert list((tmp_path / "incoming").iterdir()) == []
    store.delete_version("xor", 1)
    assert list((tmp_path / "versions").iterdir()) == []


def test_a_version_that_was_brought_and_has_no_row_is_only_a_folder(
    files: FileStore, models: Models, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever dies before the commit leaves a folder, which is cleared when it is old; before that, nothing is left."""
    store = ModelStore(files, models)
    with pytest.raises(SystemExit), store.draft():
        raise SystemExit
    assert list((tmp_path / "incoming").iterdir()) == []

    def die(*_: object) -> None:
        raise SystemExit

    monkeypatch.setattr(models, "add", die)
    with pytest.raises(SystemExit), store.draft() as folder:
        store.add(folder, an_import(), NOON)
    assert models.numbers("xor") == []
    assert len(files.clean_unknown("versions", models.version_ids, older_than=-1)) == 1
    assert list((tmp_path / "versions").iterdir()) == []
