"""Warming up runs a whole job, and leaves nothing behind that a job could notice."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import pytest

from service.training.child import run_job
from service.training.messages import Finished, Ready, Stop, StopReason
from service.training.rehearsal import newest
from service.training.standby import rehearse, take_job, warm_up
from tests.training.assignments import COMPILE, FIT, Heard, assignment


def test_a_job_after_a_warm_up_has_the_same_bits(tmp_path: Path) -> None:
    """A child that stood by comes to the weights of one that did not."""
    before, after = Heard(), Heard()
    keras.backend.clear_session()
    run_job(before, assignment(tmp_path))
    warm_up(tmp_path / "standby", 0)
    rehearse(tmp_path / "standby", tmp_path / "cache", 0)
    run_job(after, assignment(tmp_path))
    assert after.finished.weights_sha256 == before.finished.weights_sha256
    assert after.finished.metrics == before.finished.metrics


class Queue(Heard):
    """A line that has some messages waiting for the child, and no more: then the child is told to go."""

    def __init__(self, *waiting: Any) -> None:
        super().__init__()
        self.waiting = list(waiting)

    def receive(self, seconds: float | None = None) -> Any:
        if not self.waiting:
            raise EOFError
        return self.waiting.pop(0)


def test_a_child_takes_one_job_after_another(tmp_path: Path) -> None:
    """Each comes to the bits, and to the names, that it has in a process of its own; late words to stop are ignored."""
    alone = Heard()
    metrics = {**COMPILE, "metrics": [{"type": "AUC"}]}
    jobs = [assignment(tmp_path, compile_=metrics, seed=seed) for seed in (1, 2, 1)]
    run_job(alone, jobs[2])
    line = Queue(Stop(reason=StopReason.PAUSE), *jobs[1:])
    with pytest.raises(EOFError):
        take_job(line, jobs[0])
    first, second, third = line.of(Finished)
    assert first.weights_sha256 == third.weights_sha256 == alone.finished.weights_sha256
    assert second.weights_sha256 != first.weights_sha256
    assert set(first.metrics) == set(third.metrics) == {"loss", "auc", "val_loss", "val_auc"}
    assert len(line.of(Ready)) == 3


def test_a_child_whose_job_has_failed_takes_no_other(tmp_path: Path) -> None:
    """Nobody knows what it has left behind."""
    line = Queue(assignment(tmp_path))
    take_job(line, replace(assignment(tmp_path), work_folder=tmp_path / "missing"))
    assert line.of(Ready) == []


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"batch_size": 10},
        {"batch_size": 10, "validation_batch_size": 4},
        {"batch_size": 64, "validation_split": 0.0, "class_weight": {"0": 0.5, "1": 2.0}},
    ],
    ids=["last batches not full", "all batches full", "full when training", "one batch, weighted"],
)
def test_a_rehearsed_network_finds_its_graphs(tmp_path: Path, changes: dict[str, Any]) -> None:
    """The rehearsal of a job adds nothing to the cache: it runs the very graphs that the job will."""
    run_job(Heard(), assignment(tmp_path, fit=FIT | changes))
    before = {path.name for path in (tmp_path / "cache").iterdir()}
    rehearse(tmp_path / "standby", tmp_path / "cache", 0)
    assert {path.name for path in (tmp_path / "cache").iterdir()} == before
    assert len(newest(tmp_path / "cache", 3)) == 1


def test_a_rehearsal_that_cannot_be_read_is_passed_over(tmp_path: Path) -> None:
    """A damaged file, or one of an older release, costs nothing but time."""
    run_job(Heard(), assignment(tmp_path))
    (path,) = (tmp_path / "cache").glob("*.rehearsal")
    path.write_text('{"architecture": {}}')
    assert newest(tmp_path / "cache", 3) == []
    rehearse(tmp_path / "standby", tmp_path / "cache", 0)
