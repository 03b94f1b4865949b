"""Rows and columns that say the same twice are found by hashes, in bounded memory."""

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.data.profiling.bounds import mixed
from service.data.profiling.cells import cells_of
from service.data.profiling.copies import MAX_RENAMED, Fingerprint, RepeatedRows, correlated, joined, salts
from service.data.table import ColumnFacts, Kind, type_of


def fingerprint(values: list[Any] | pa.Array, kind: Kind = Kind.CATEGORY, step: int = 3) -> Fingerprint:
    array = values if isinstance(values, pa.Array) else pa.array(values)
    facts = ColumnFacts(name="a", type=type_of(array.type), kind=kind)
    made = Fingerprint()
    for first in range(0, len(array), step):
        piece = array.slice(first, step)
        made.add(cells_of(piece, facts, few=True), salts(first, len(piece)))
    return made


@given(st.lists(st.integers(0, 20), max_size=60), st.integers(1, 9))
def test_repeated_rows_are_counted_and_paired(values: list[int], step: int) -> None:
    """Each row that came before counts, and is paired with the first that it repeats."""
    repeated = RepeatedRows()
    for first in range(0, len(values), step):
        repeated.add(mixed(np.array(values[first : first + step], np.uint64)), first)
    later = [row for row, value in enumerate(values) if value in values[:row]]
    count, pairs = repeated.found()
    assert (count, repeated.share) == (len(later), 1)
    assert pairs == [[values.index(values[row]), row] for row in later[:10]]


def test_of_many_rows_a_share_is_followed_and_equal_rows_stay_together() -> None:
    """Of 100,000 rows of which half repeat, a bound of 5,000 finds the half within a few in a hundred."""
    repeated = RepeatedRows(most=5_000)
    rows = np.arange(100_000)
    for first in range(0, 100_000, 10_000):
        repeated.add(mixed((rows[first : first + 10_000] % 50_000).astype(np.uint64)), first)
    count, pairs = repeated.found()
    assert repeated.share == 1 / 32
    assert count / repeated.share == pytest.approx(50_000, rel=0.1)
    assert all(later - earlier == 50_000 for earlier, later in pairs)


def test_rows_differ_by_the_order_of_their_cells() -> None:
    """(1, 2) and (2, 1) are no copies of each other."""
    one, two = mixed(np.array([1, 2], np.uint64)), mixed(np.array([2, 1], np.uint64))
    rows = joined(joined(np.zeros(2, np.uint64), one), two)
    assert rows[0] != rows[1]


def test_equal_columns_are_equal_however_they_are_stored_and_cut() -> None:
    """The same numbers as floats, whole numbers and texts; the same values in another order are another column."""
    numbers = [3.0, 1.0, None, 2.0, 1.0]
    whole, texts = pa.array([3, 1, None, 2, 1]), pa.array(["3", "1.0", None, "2e0", " 1"])
    equal = fingerprint(numbers, Kind.NUMERIC).equal
    assert fingerprint(whole, Kind.NUMERIC, step=1).equal == equal
    assert fingerprint(texts, Kind.NUMERIC, step=5).equal == equal
    assert fingerprint(numbers[::-1], Kind.NUMERIC).equal != equal
    assert fingerprint([True, False]).equal == fingerprint([1, 0], Kind.NUMERIC).equal


def test_the_same_groups_under_other_names_are_found() -> None:
    """Each value of one column is always one value of the other, missing ones apart."""
    one = fingerprint(["yes", "no", None, "yes", "no", "maybe"])
    assert fingerprint([4, 0, None, 4, 0, 7], Kind.NUMERIC, step=2).renamed == one.renamed
    assert fingerprint([True, False, None, True, False, False]).renamed != one.renamed
    assert fingerprint(["yes", "no", "none", "yes", "no", "maybe"]).renamed != one.renamed


def test_too_many_values_are_not_compared_as_names() -> None:
    """Memory stays bounded."""
    most = [f"n{number}" for number in range(MAX_RENAMED)]
    assert fingerprint(most, step=300).renamed is not None
    assert fingerprint([*most, "one more"], step=300).renamed is None


def test_columns_on_a_line_are_found_where_both_are_present() -> None:
    """With gaps, rising or falling, in any unit; a column with noise or without variation is on none."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=200)
    columns = [x, 1e9 - 4e3 * x, x + rng.normal(size=200) * 0.05, np.ones(200), np.full(200, np.nan), x**3]
    sample = np.column_stack(columns)
    sample[::7, 0] = np.nan
    (found,) = correlated(sample)
    assert (found.columns, found.rows) == ((0, 1), 171)
    assert found.coefficient == pytest.approx(-1)


def test_a_few_rows_make_no_line() -> None:
    """Two points always lie on one."""
    assert correlated(np.arange(12.0).reshape(6, 2)) == []
