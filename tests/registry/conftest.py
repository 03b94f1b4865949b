"""A fresh, migrated database for each test, and the parts that stand on it."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from service.data.arrays import ArrayFacts
from service.registry.claims import Claims
from service.registry.database import Database
from service.registry.datasets import Dataset, Datasets
from service.registry.ids import new_id
from service.registry.job import Job, NewJob, Progress
from service.registry.jobs import Jobs
from service.registry.migrate import upgrade
from service.registry.models import Models, NewVersion
from service.registry.supervisors import Supervisors

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
LEASE = NOON + timedelta(seconds=30)
REQUEST = {"architecture": {"layers": []}, "compile": {"loss": "mse"}, "fit": {"epochs": 3}, "seed": 7}


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'registry.sqlite3'}"


@pytest.fixture
def open_database(url: str) -> Callable[..., Database]:
    """Opens the test's database; each one is closed by `closed_databases`."""

    def open_one(**options: bool) -> Database:
        return Database(url, **options)

    return open_one


@pytest.fixture(autouse=True)
def closed_databases(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Close every database that a test opens, since a connection left open is a warning and thereby an error."""
    opened: list[Database] = []
    original = Database.__init__

    def remember(self: Database, url: str, *, checkpoints: bool = False) -> None:
        original(self, url, checkpoints=checkpoints)
        opened.append(self)

    monkeypatch.setattr(Database, "__init__", remember)
    yield
    for database in opened:
        database.close()


@pytest.fixture
def database(url: str, open_database: Callable[..., Database]) -> Database:
    upgrade(url)
    return open_database()


@pytest.fixture
def jobs(database: Database) -> Jobs:
    return Jobs(database)


@pytest.fixture
def claims(database: Database) -> Claims:
    return Claims(database)


@pytest.fixture
def models(database: Database) -> Models:
    return Models(database)


@pytest.fixture
def datasets(database: Database) -> Datasets:
    return Datasets(database)


@pytest.fixture
def supervisors(database: Database) -> Supervisors:
    return Supervisors(database)


@pytest.fixture
def dataset(datasets: Datasets) -> Dataset:
    stored = a_dataset()
    datasets.add(stored)
    return stored


@pytest.fixture
def submit(jobs: Jobs, dataset: Dataset) -> Callable[..., Job]:
    """Queues a job on the test's data set."""

    def submit_one(model: str = "xor", now: datetime = NOON, **options: Any) -> Job:
        return jobs.submit(NewJob(model=model, request=REQUEST, dataset=dataset.id, **options), now)

    return submit_one


@pytest.fixture
def claim(claims: Claims, submit: Callable[..., Job]) -> Callable[..., Job]:
    """Queues a job and claims the oldest."""

    def claim_one(model: str = "xor", owner: str = "here:sup_1", **options: Any) -> Job:
        submit(model, **options)
        claimed = claims.claim(owner, LEASE, NOON)
        assert claimed is not None
        return claimed

    return claim_one


@pytest.fixture
def train(claims: Claims, claim: Callable[..., Job]) -> Callable[..., int]:
    """Takes a job of a model all the way to its version, and returns the version's number."""

    def train_one(model: str = "xor", now: datetime = NOON) -> int:
        job = claim(model)
        version = claims.succeed(job.id, job.attempt, a_version(job), now)
        assert version is not None
        return version.number

    return train_one


def a_dataset() -> Dataset:
    x = ArrayFacts(part="x", name=None, shape=(4, 2), dtype="float32", minimum=0.0, maximum=1.0, integral=True)
    y = ArrayFacts(
        part="y", name="out", shape=(4, 1), dtype="int64", minimum=0, maximum=1, integral=True, columns=("label",)
    )
    return Dataset(
        id=new_id("ds"), created_at=NOON, format="json", rows=4, size_bytes=48, sha256="a" * 64, arrays=(x, y)
    )


def a_version(job: Job) -> NewVersion:
    return NewVersion(
        id=new_id("ver"),
        model=job.model,
        job=job.id,
        architecture={"layers": [{"type": "Dense", "units": 1}]},
        compile={"loss": "mse"},
        fit={"epochs": 3},
        summary=[{"name": "dense", "type": "Dense", "output_shape": [None, 1], "parameters": 3}],
        parameters=3,
        metrics={"loss": 0.25, "val_loss": None},
        inputs=[{"name": "x", "shape": [2], "dtype": "float32"}],
        outputs=[{"name": "y", "shape": [1], "dtype": "float32"}],
        seed=7,
        threads=1,
        dataset_sha256="a" * 64,
        weights_sha256="b" * 64,
        size_bytes=5_000_000_000,
        engine="tensorflow",
        engine_reason="the converter does not know gelu",
        max_difference=None,
        libraries={"keras": "3.15.0"},
        jit_compile=True,
        weights_epoch=2,
        request_sha256="c" * 64,
        machine="x86_64, AVX2",
        validation_dataset_sha256=None,
        initial={"model": "xor", "version": 1, "optimizer_state": False},
    )


def an_import() -> NewVersion:
    """A version that no job has made."""
    return NewVersion(
        id=new_id("ver"),
        model="xor",
        job=None,
        architecture={"layers": [{"type": "Dense", "units": 1}]},
        compile=None,
        fit=None,
        summary=[{"name": "dense", "type": "Dense", "output_shape": [None, 1], "parameters": 3}],
        parameters=3,
        metrics={},
        inputs=[{"name": "x", "shape": [None, 2]}],
        outputs=[{"name": "y", "shape": [None, 1]}],
        seed=None,
        threads=None,
        dataset_sha256=None,
        weights_sha256="b" * 64,
        size_bytes=5_000,
        engine="onnxruntime",
        engine_reason=None,
        max_difference=1e-7,
        libraries={"keras": "3.15.1"},
        jit_compile=None,
        weights_epoch=None,
        request_sha256=None,
        machine=None,
        validation_dataset_sha256=None,
        initial=None,
        imported={"file_sha256": "d" * 64, "keras_version": "3.15.1", "saved_at": None, "compile_reason": "none"},
    )


def progress(epoch: int, step: int) -> Progress:
    return Progress(epoch=epoch, epochs=3, step=step, steps=4, percent=41.7, samples_per_second=None, eta_seconds=1.5)
