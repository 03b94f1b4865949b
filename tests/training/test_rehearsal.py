"""What is kept of a job is enough to run it in small, and no more than that."""

import os
from dataclasses import replace
from pathlib import Path

import pytest

from service.data.store import load
from service.training.messages import StoredArrays
from service.training.rehearsal import NOBODY, SUFFIX, Rehearsal, newest, write
from tests.training.assignments import FIT, assignment


def kept(folder: Path, name: str, rows: int = 30, validation_rows: int = 10, **fit: object) -> Rehearsal:
    rehearsal = Rehearsal.of(assignment(folder, fit=FIT | fit), rows, validation_rows)
    write(rehearsal, folder / "cache" / f"{name}{SUFFIX}")
    return rehearsal


def test_what_was_written_is_read(tmp_path: Path) -> None:
    """With class weights, whose numbers JSON turns into text, and all."""
    written = kept(tmp_path, "one", class_weight={"0": 0.5, "1": 2.0})
    assert newest(tmp_path / "cache", 3) == [written]
    assert written.fitting.class_weight == {0: 0.5, 1: 2.0}
    assert [path.name for path in (tmp_path / "cache").iterdir()] == [f"one{SUFFIX}"]


def test_the_newest_come_last_and_are_not_too_many(tmp_path: Path) -> None:
    """Who starts with the oldest ends with the one that is most likely to come again."""
    made = {name: kept(tmp_path, name, batch_size=size) for size, name in enumerate(("a", "b", "c"), 1)}
    for age, name in enumerate(("b", "c", "a")):
        os.utime(tmp_path / "cache" / f"{name}{SUFFIX}", (1000 - age, 1000 - age))
    assert newest(tmp_path / "cache", 2) == [made["c"], made["b"]]


def test_without_a_cache_there_is_none(tmp_path: Path) -> None:
    """On the first start of all there is no folder."""
    assert list(newest(tmp_path / "missing", 3)) == []


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"architecture": {}}'])
def test_what_cannot_be_read_is_passed_over(tmp_path: Path, text: str) -> None:
    """An older release may have written otherwise."""
    good = kept(tmp_path, "good")
    (tmp_path / "cache" / f"bad{SUFFIX}").write_text(text)
    assert newest(tmp_path / "cache", 3) == [good]


@pytest.mark.parametrize(
    ("rows", "batch_size", "few"),
    [(1000, 32, 8), (1000, 10, 10), (1000, 999, 1), (7, 32, 7), (32, 32, 32), (2000, 1024, 20), (1, 1, 1)],
)
def test_few_rows_have_the_graphs_of_many(tmp_path: Path, rows: int, batch_size: int, few: int) -> None:
    """One full batch stands for full batches, and less than one for all others."""
    rehearsal = kept(tmp_path, "one", rows=rows, validation_rows=rows, batch_size=batch_size)
    assert rehearsal.rows == rehearsal.validation_rows == few
    assert (few % batch_size == 0) == (rows % batch_size == 0)


def test_it_is_a_job_of_zeros(tmp_path: Path) -> None:
    """One epoch, as a graph, under nobody's name, with as many rows as were asked for."""
    rehearsal = kept(tmp_path, "one", rows=20, validation_rows=12, batch_size=5, epochs=90, validation_batch_size=4)
    job = rehearsal.assignment(tmp_path / "small", tmp_path / "cache", 3)
    assert (job.job, job.threads, job.fitting.epochs) == (NOBODY, 3, 1)
    assert job.execution is not None
    assert not job.execution.jit_compile
    assert job.validation_data is not None
    for stored, rows in ((job.data, 5), (job.validation_data, 4)):
        x, y = (load(stored.folder, stored.arrays, part)[None] for part in ("x", "y"))
        assert x.shape == (rows, 4)
        assert y.shape == (rows,)
        assert not x.any()


def test_without_a_validation_there_is_none(tmp_path: Path) -> None:
    """Neither a split nor a data set."""
    job = assignment(tmp_path)
    job = replace(job, validation_data=StoredArrays(folder=tmp_path, arrays=job.data.arrays))
    small = Rehearsal.of(job, 30, 0).assignment(tmp_path / "small", tmp_path / "cache", 0)
    assert small.validation_data is None
    assert small.fitting.validation_split == 0
