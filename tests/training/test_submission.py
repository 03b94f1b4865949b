"""A submission is wholly right and queued, or wrong and leaves nothing."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from service.architecture.plan import Limits
from service.data.store import FileStore
from service.errors import Invalid
from service.registry.database import Database
from service.registry.datasets import Datasets
from service.registry.jobs import Jobs, Status
from service.registry.migrate import upgrade
from service.registry.stores import DatasetStore
from service.training.submission import Submission, Submissions

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
GOOD = Submission(
    model="m",
    architecture={"layers": [{"type": "Dense", "units": 3}, {"type": "Dense", "units": 1}]},
    compile={"loss": "mse"},
    fit={},
    seed=None,
    dataset=None,
    data={"x": [[1.0, 2.0], [3.0, 4.0]], "y": [0.5, 1.5]},
)


@dataclass(frozen=True)
class Room:
    """The submissions, and what they write to."""

    submissions: Submissions
    jobs: Jobs
    datasets: Datasets
    store: DatasetStore
    folder: Path

    def is_empty(self) -> bool:
        """Whether nothing was stored, finished or half."""
        rows = self.jobs.page(None, None, None, 1).items or self.datasets.page(None, 1).items
        return not rows and not any(self.folder.glob("incoming/*")) and not any(self.folder.glob("datasets/*"))


@pytest.fixture
def room(tmp_path: Path) -> Iterator[Room]:
    """An empty registry and store, with small limits."""
    url = f"sqlite:///{tmp_path / 'test.sqlite3'}"
    upgrade(url)
    database = Database(url)
    jobs, datasets = Jobs(database), Datasets(database)
    store = DatasetStore(FileStore(tmp_path), datasets)
    limits = Limits(max_parameters=10_000, max_memory_bytes=2**20)
    yield Room(Submissions(jobs, datasets, store, limits), jobs, datasets, store, tmp_path)
    database.close()


def faults(error: Invalid) -> set[str]:
    return {fault.pointer for fault in error.faults}


def test_inline_data_become_a_data_set(room: Room) -> None:
    """The job names it, and keeps the architecture as it came and in canonical form."""
    job = room.submissions.submit(GOOD, NOON)
    assert (job.status, job.model) == (Status.QUEUED, "m")
    assert room.datasets.get(job.dataset).rows == 2
    assert job.request["architecture"] == GOOD.architecture
    assert job.request["input_shapes"] == {"x": [2]}
    assert sum(layer["parameters"] for layer in job.request["summary"]) == 13


def test_a_seed_is_drawn_and_recorded(room: Room) -> None:
    """A given seed is kept; without one, each job has its own."""
    assert room.submissions.submit(replace(GOOD, seed=5), NOON).request["seed"] == 5
    seeds = {room.submissions.submit(GOOD, NOON).request["seed"] for _ in range(3)}
    assert len(seeds) == 3


def test_a_dry_run_leaves_nothing(room: Room) -> None:
    """It answers with the plan."""
    checked = room.submissions.dry_run(GOOD)
    assert checked.memory_bytes > 0
    assert [layer["name"] for layer in checked.layers] == ["x", "dense", "dense_1"]
    assert room.is_empty()


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({"data": None}, "/dataset"),
        ({"data": None, "dataset": "ds_00000000000000000000000000"}, "/dataset"),
        ({"dataset": "ds_00000000000000000000000000"}, "/data"),
        ({"data": {"x": [[1.0], ["a"]], "y": [1, 2]}}, "/data/x/1/0"),
        ({"architecture": {"layers": []}}, "/architecture/layers"),
        ({"compile": {}}, "/compile/loss"),
        ({"fit": {"epochs": -1}}, "/fit/epochs"),
        ({"fit": {"validation_data": "ds_00000000000000000000000000"}}, "/fit/validation_data"),
        ({"architecture": {"layers": [{"type": "Dense", "units": 9000}, {"type": "Dense", "units": 1}]}}, ""),
        ({"fit": {"batch_size": 100_000}}, "/fit/batch_size"),
    ],
)
def test_what_is_wrong_is_pointed_at_and_leaves_nothing(room: Room, change: dict[str, Any], pointer: str) -> None:
    """The fault has its pointer, and neither a row nor a file stays."""
    with pytest.raises(Invalid) as caught:
        room.submissions.submit(replace(GOOD, **change), NOON)
    assert any(found.startswith(pointer) for found in faults(caught.value)), caught.value.faults
    assert room.is_empty()


def test_validation_data_must_have_the_same_shape(room: Room) -> None:
    """A validation set of other columns is refused."""
    with room.store.draft({"x": [[1.0, 2.0, 3.0]], "y": [1.0]}, "") as draft:
        other = room.store.keep(draft, NOON)
    with pytest.raises(Invalid) as caught:
        room.submissions.submit(replace(GOOD, fit={"validation_data": other.id}), NOON)
    assert faults(caught.value) == {"/fit/validation_data"}
