"""Rows and files of one noun go together."""

from collections.abc import Callable
from pathlib import Path

import pytest

from service.data.store import FileStore
from service.registry.claims import Claims
from service.registry.datasets import Datasets
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

    def die(_: object) -> None:
        raise SystemExit

    monkeypatch.setattr(datasets, "add", die)
    store = DatasetStore(files, datasets)
    with pytest.raises(SystemExit), store.draft({"x": [[1.0]], "y": [1.0]}, "/data") as draft:
        store.keep(draft, NOON)
    assert datasets.page(None, 1).items == ()
    assert len(list((tmp_path / "datasets").iterdir())) == 1
    assert len(files.clean_unknown("datasets", datasets.ids, older_than=-1)) == 1
    assert list((tmp_path / "datasets").iterdir()) == []


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
