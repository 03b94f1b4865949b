"""Each kind of values has its summary."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from service.data.profile import profile_table
from service.data.table import Kind
from tests.data.profiling.tables import write


def told(folder: Path, values: Any, kind: Kind | None = None) -> dict[str, Any]:
    _, profile = profile_table(write(folder, {"a": values}, batch_rows=1_000), {} if kind is None else {"a": kind})
    column: dict[str, Any] = profile["columns"][0]
    return column


def test_few_whole_numbers_have_a_bin_each(tmp_path: Path) -> None:
    """So that the histogram of a target of classes is the balance of its classes."""
    column = told(tmp_path, [1, 3, 3, 4, None])
    assert column["whole"]
    assert column["histogram"] == {"edges": [0.5, 1.5, 2.5, 3.5, 4.5], "counts": [1, 0, 2, 1]}


def test_many_numbers_are_counted_in_twenty_bins(tmp_path: Path) -> None:
    """Exactly, whichever slice they come in; the sample that the quartiles go by says how large it is."""
    values = np.random.default_rng(0).exponential(size=30_000)
    column = told(tmp_path, values)
    counts, edges = column["histogram"]["counts"], column["histogram"]["edges"]
    assert (len(counts), sum(counts)) == (20, 30_000)
    assert counts == np.histogram(values, edges)[0].tolist()
    assert column["quartiles"] == pytest.approx(np.percentile(values, [25, 50, 75]), rel=0.05)


def test_numbers_that_hardly_differ_from_each_other_keep_their_digits(tmp_path: Path) -> None:
    """The deviation of large numbers does not drown in their squares."""
    values = 1e9 + np.random.default_rng(0).normal(size=20_000)
    column = told(tmp_path, values)
    assert column["std"] == pytest.approx(values.std(), rel=1e-6)


def test_one_number_has_one_bin(tmp_path: Path) -> None:
    """Its edges are the number itself."""
    column = told(tmp_path, [0.5, 0.5])
    assert column["histogram"] == {"edges": [0.5, 0.5], "counts": [2]}


def test_dates_have_ends_and_equal_spans(tmp_path: Path) -> None:
    """In ISO 8601, from moments and from texts alike."""
    days = np.arange("2024-01-01", "2024-01-22", dtype="datetime64[D]")
    for values in (pa.array(days.astype("datetime64[us]")), pa.array(days.astype(str))):
        column = told(tmp_path, values)
        assert (column["kind"], column["minimum"], column["maximum"]) == ("date", "2024-01-01", "2024-01-21")
        assert column["histogram"]["edges"] == days.astype(str).tolist()
        assert column["histogram"]["counts"] == [1] * 19 + [2]


def test_categories_beyond_those_shown_are_counted_together(tmp_path: Path) -> None:
    """The 20 most frequent are shown, the rarest is named."""
    values = [f"c{number:02}" for number in range(30) for _ in range(number + 1)]
    column = told(tmp_path, values)
    assert column["values"][0] == {"value": "c29", "count": 30}
    assert len(column["values"]) == 20
    assert column["other_rows"] == sum(range(11))
    assert column["rarest"] == {"value": "c00", "count": 1}
    assert (column["distinct"], column["count_error"]) == (30, 0)


def test_categories_beyond_what_memory_holds_are_estimated(tmp_path: Path) -> None:
    """The frequent ones are still found, with a bound of what their counts lack."""
    rng = np.random.default_rng(0)
    names = [f"n{number}" for number in rng.integers(0, 10**9, 60_000)]
    names[::10] = ["often"] * 6_000
    column = told(tmp_path, names, Kind.CATEGORY)
    first = column["values"][0]
    assert first["value"] == "often"
    assert 6_000 - column["count_error"] <= first["count"] <= 6_000
    assert 0 < column["count_error"] < 100
    assert column["distinct_error"] == 0.01
    assert column["distinct"] == pytest.approx(54_000, rel=0.03)
    assert "rarest" not in column


def test_texts_have_words(tmp_path: Path) -> None:
    """As many as stand between spaces; the most frequent are in small letters and without signs."""
    column = told(tmp_path, ["It rains.", "it's raining, IT is!", None, "It  rains."], Kind.TEXT)
    assert column["words"] == {"mean": 8 / 3, "maximum": 4}
    assert column["tokens"][:2] == [{"token": "it", "count": 3}, {"token": "rains", "count": 2}]
    assert {"token": "it's", "count": 1} in column["tokens"]
    assert (column["tokens_of"], column["count_error"]) == (3, 0)


def test_long_categories_and_words_are_kept_by_their_beginnings(tmp_path: Path) -> None:
    """Those that differ later are still told apart, and the profile has the beginning of each."""
    long = "a" * 5_000
    column = told(tmp_path, [f"{long}1", f"{long}2", f"{long}1", "b"])
    assert column["values"] == [
        {"value": "a" * 99 + "…", "count": 2},
        {"value": "a" * 99 + "…", "count": 1},
        {"value": "b", "count": 1},
    ]
    assert column["distinct"] == 3
    column = told(tmp_path, [f"{long} is long"], Kind.TEXT)
    assert column["tokens"] == [{"token": token, "count": 1} for token in ("a" * 99 + "…", "is", "long")]
