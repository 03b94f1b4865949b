"""Memory is shared among columns, and a table is taken in small slices and small samples."""

from pathlib import Path

import numpy as np
import pytest

from service.data.profiling.bounds import SLICE_ROWS, Bounds, counted, cut, finite, sample_rows, slices
from tests.data.profiling.tables import write


@pytest.mark.parametrize("columns", [0, 1, 100, 4_096])
def test_all_columns_together_stay_within_tens_of_megabytes(columns: int) -> None:
    """8 bytes for each hash and each sampled number, some 200 for each counted text."""
    bounds = Bounds.of(columns)
    assert columns * (8 * bounds.distinct + 8 * bounds.sampled + 200 * bounds.counted) < 120e6
    assert min(bounds.distinct, bounds.counted, bounds.sampled) >= 100


def test_slices_cover_all_rows_in_order(tmp_path: Path) -> None:
    """Each says where it begins; long texts make short slices."""
    rows = 2 * SLICE_ROWS + 100
    for batch_rows in (SLICE_ROWS + 50, 999, rows):
        write(tmp_path, {"a": np.arange(rows), "b": np.ones(rows)}, batch_rows)
        found = list(slices(tmp_path, ["a"]))
        assert [(one.first, one.rows) for one in found] == [
            (0, SLICE_ROWS),
            (SLICE_ROWS, SLICE_ROWS),
            (rows - 100, 100),
        ]
        assert np.concatenate([one.column("a").to_numpy() for one in found]).tolist() == list(range(rows))
    write(tmp_path, {"a": ["x" * 2**20] * 10, "b": range(10)})
    assert [one.rows for one in slices(tmp_path)] == [3, 3, 3, 1]


@pytest.mark.parametrize("rows", [0, 1, 99, 100, 101, 12_345, 10**12])
def test_a_sample_has_one_row_of_each_span(rows: int) -> None:
    """All rows where they are few; else as many as asked for, rising, from the whole of the table."""
    sampled = sample_rows(rows, 100)
    assert len(sampled) == min(rows, 100)
    assert (np.diff(sampled) > 0).all()
    assert sampled.tolist() == sample_rows(rows, 100).tolist()
    if rows:
        assert 0 <= sampled[0] <= rows / 100
        assert rows - 1 - rows / 50 <= sampled[-1] < rows


def test_words_for_a_profile() -> None:
    """Long texts are cut, numbers that JSON lacks are null, and one thing is no plural."""
    assert (cut("a" * 100), cut("a" * 101)) == ("a" * 100, "a" * 99 + "…")
    assert (finite(1), finite(np.inf), finite(np.nan)) == (1.0, None, None)
    assert (counted(1, "category"), counted(2, "category"), counted(0, "row")) == (
        "1 category",
        "2 categories",
        "0 rows",
    )
