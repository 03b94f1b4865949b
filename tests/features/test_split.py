"""Splits: every row is in one part, the parts have the sizes asked for, and the same seed gives the same parts."""

from collections import Counter
from datetime import datetime, timedelta
from fractions import Fraction
from math import floor
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from service.data.table import ColumnFacts, Kind
from service.errors import Invalid
from service.features.preparation import Split, Target, Task
from service.features.split import TEST, TRAIN, VALIDATION, parts_of, sizes
from tests.features.tables import stored

FRACTIONS = st.sampled_from([0.0, 0.05, 0.1, 0.15, 0.2, 0.29, 0.33, 0.4])
# The table of each example replaces that of the one before it.
ANY_EXAMPLES = settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.filter_too_much],
)


def split(
    validation: float = 0.2, test: float = 0.1, by: Any = "random", column: str | None = None, seed: int = 7
) -> Split:
    return Split(validation=validation, test=test, by=by, column=column, seed=seed)


def target(column: ColumnFacts, *labels: str) -> Target:
    return Target(
        column=column.name,
        type=column.type,
        kind=column.kind,
        slug=column.name,
        task=Task.CLASSES,
        labels=labels,
        separator=None,
        center=None,
        spread=None,
        shape=(),
    )


def numbered(folder: Path, rows: int) -> Path:
    stored(folder, {"number": list(range(rows))}, batch_rows=37)
    return folder


def counted(parts: npt.NDArray[np.uint8]) -> tuple[int, int, int]:
    train, validation, test = np.bincount(parts, minlength=3).tolist()
    return train, validation, test


def test_without_a_split_all_rows_train(tmp_path: Path) -> None:
    """No split is no row kept apart."""
    assert counted(parts_of(None, numbered(tmp_path, 100), ())) == (100, 0, 0)


@ANY_EXAMPLES
@given(st.integers(20, 400), FRACTIONS, FRACTIONS, st.integers(0, 2**63 - 1))
def test_random_parts_have_exact_sizes(tmp_path: Path, rows: int, validation: float, test: float, seed: int) -> None:
    """Each part has the floor of its fraction as it is written; the same seed draws the same rows."""
    asked = split(validation, test, seed=seed)
    folder = numbered(tmp_path, rows)
    parts = parts_of(asked, folder, ())
    expected = [floor(Fraction(str(part)) * rows) for part in (validation, test)]
    assert counted(parts) == (rows - sum(expected), *expected)
    assert (parts_of(asked, folder, ()) == parts).all()


def test_fractions_are_taken_as_they_are_written() -> None:
    """0.29 of 100 rows are 29, though the float is a little less."""
    assert sizes(split(0.29, 0.57), 100) == (29, 57)


def test_another_seed_draws_other_rows(tmp_path: Path) -> None:
    """Rows are drawn by the seed, and from the whole table."""
    folder = numbered(tmp_path, 1000)
    first, second = (parts_of(split(seed=seed), folder, ()) for seed in (1, 2))
    assert (first != second).sum() > 200
    assert np.flatnonzero(first == TEST).mean() == pytest.approx(500, abs=100)


@ANY_EXAMPLES
@given(st.lists(st.sampled_from("abcd"), min_size=20, max_size=300), FRACTIONS, FRACTIONS, st.integers(0, 9))
def test_strata_are_alike(tmp_path: Path, labels: list[str], validation: float, test: float, seed: int) -> None:
    """Each class gives a part its share of the rows, to one row; every class trains, one of a single row alone."""
    (column,) = stored(tmp_path, {"label": labels}, batch_rows=50)
    counts = Counter(labels)
    asked = split(validation, test, "stratified", seed=seed)
    try:
        parts = parts_of(asked, tmp_path, (target(column, *sorted(counts)),))
    except Invalid:
        # Classes of a row or two have none to give.
        assert max(counts.values()) - 1 < 20
        return
    wanted = sizes(asked, len(labels))
    for label, count in counts.items():
        own = parts[np.array(labels) == label]
        assert (own == TRAIN).any()
        if count == 1:
            assert own.tolist() == [TRAIN]
        for part, total in zip((VALIDATION, TEST), wanted, strict=True):
            if min(counts.values()) > 10:
                assert abs((own == part).sum() - total * count / len(labels)) <= 1
    if min(counts.values()) > 10:
        assert counted(parts)[1:] == wanted
    assert (parts_of(asked, tmp_path, (target(column, *sorted(counts)),)) == parts).all()


@ANY_EXAMPLES
@given(st.lists(st.integers(0, 30), min_size=40, max_size=300), FRACTIONS, FRACTIONS, st.integers(0, 9))
def test_groups_stay_together(tmp_path: Path, groups: list[int], validation: float, test: float, seed: int) -> None:
    """No group has rows in two parts, each part has rows, and their number is off by no more than a large group."""
    stored(tmp_path, {"group": groups, "other": groups}, batch_rows=50)
    asked = split(validation, test, "group", "group", seed)
    counts = Counter(groups)
    if any(0 < part < 1 for part in sizes(asked, len(groups))) or len(counts) < 3:
        return
    parts = parts_of(asked, tmp_path, ())
    for group in counts:
        assert len(set(parts[np.array(groups) == group].tolist())) == 1
    for part, wanted in zip((VALIDATION, TEST), sizes(asked, len(groups)), strict=True):
        have = int((parts == part).sum())
        assert (have > 0) == (wanted > 0)
        assert abs(have - wanted) <= 2 * max(counts.values())
    assert (parts_of(asked, tmp_path, ()) == parts).all()


def test_the_latest_rows_test(tmp_path: Path) -> None:
    """By time the order of the table does not count, but for rows of the same time: later ones are later."""
    start = datetime.fromisoformat("2020-01-01")
    days = [5, 9, 1, 9, 3, 9, 2, 4, 8, 0]
    stored(tmp_path, {"day": [start + timedelta(days=day) for day in days]}, batch_rows=3)
    parts = parts_of(split(0.2, 0.2, "time", "day"), tmp_path, ())
    assert np.flatnonzero(parts == TEST).tolist() == [3, 5]
    assert np.flatnonzero(parts == VALIDATION).tolist() == [1, 8]


def test_time_can_be_numbers_and_texts(tmp_path: Path) -> None:
    """Times are dates, numbers, or texts of either."""
    for values in (
        [1.5, 3.5, 2.5, 0.5],
        ["2020-01-02", "2021-01-01", "2020-03-01", "1999-01-01"],
        ["2", "30", "4", "1"],
    ):
        stored(tmp_path, {"when": values})
        assert parts_of(split(0.25, 0.25, "time", "when"), tmp_path, ()).tolist() == [0, 2, 1, 0]


def test_the_last_rows_test(tmp_path: Path) -> None:
    """By order the table is cut twice."""
    parts = parts_of(split(0.2, 0.3, "order"), numbered(tmp_path, 10), ())
    assert parts.tolist() == [0, 0, 0, 0, 0, 1, 1, 2, 2, 2]


def test_a_column_names_the_parts(tmp_path: Path) -> None:
    """A column says which row is in which part, in its own words."""
    stored(tmp_path, {"part": ["train", "VAL", "test ", "Training", "validation", "valid"]}, batch_rows=4)
    parts = parts_of(split(0.0, 0.0, "column", "part"), tmp_path, ())
    assert parts.tolist() == [0, 1, 2, 0, 1, 1]


def test_values_that_name_no_part(tmp_path: Path) -> None:
    """Each row whose value is no part, or missing, is named."""
    stored(tmp_path, {"part": ["train", "tst", None, "test"]}, batch_rows=2)
    with pytest.raises(Invalid) as caught:
        parts_of(split(0.0, 0.0, "column", "part"), tmp_path, ())
    assert [fault.detail[:40] for fault in caught.value.faults] == [
        "'tst' came in row 2, column 'part'; expe",
        "No value came in row 3, column 'part'; e",
    ]


@pytest.mark.parametrize("by", ["group", "time"])
def test_values_that_decide_must_be_there(tmp_path: Path, by: str) -> None:
    """A missing group or time is a fault, with its row."""
    stored(tmp_path, {"column": [1.0, None, 3.0] * 5}, batch_rows=4, column=Kind.NUMERIC)
    with pytest.raises(Invalid) as caught:
        parts_of(split(by=by, column="column"), tmp_path, ())
    assert len(caught.value.faults) == 5
    assert caught.value.faults[1].pointer == "/split/column"
    assert "No value came in row 5, column 'column'" in caught.value.faults[1].detail


@pytest.mark.parametrize(
    ("rows", "asked"),
    [
        (2, split()),
        (9, split(0.1, 0.1)),
        (9, split(0.1, 0.1, "order")),
        (100, split(by="group", column="number")),
        (8, split(0.4, 0.05, "time", "number")),
    ],
)
def test_every_part_needs_a_row(tmp_path: Path, rows: int, asked: Split) -> None:
    """A table that is too small for its split is refused in words, whatever the rule."""
    stored(tmp_path, {"number": [value % 2 for value in range(rows)]})
    with pytest.raises(Invalid, match="needs one at least in each part"):
        parts_of(asked, tmp_path, ())


def test_a_column_must_name_rows_that_train(tmp_path: Path) -> None:
    """A table without training rows is refused."""
    stored(tmp_path, {"part": ["test", "val"]})
    with pytest.raises(Invalid, match="no row is left that is to train on"):
        parts_of(split(0.0, 0.0, "column", "part"), tmp_path, ())
