"""Warnings come where they help, and no more than a reader can take."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from service.data.profile import profile_table
from service.data.profiling.findings import MAX_OF_A_CODE
from tests.data.profiling.tables import write


def codes(folder: Path, columns: dict[str, Any]) -> list[tuple[str, list[str]]]:
    _, profile = profile_table(write(folder, columns))
    return [(one["code"], one["columns"]) for one in profile["warnings"]]


def test_rows_that_must_repeat_are_not_told(tmp_path: Path) -> None:
    """Six different rows cannot be a hundred; but where a million are possible, a copy is one."""
    a, b = ["x", "y"] * 50, ["p", "q", "r", "r"] * 25
    assert codes(tmp_path, {"a": a, "b": b}) == []
    rng = np.random.default_rng(0)
    columns: dict[str, Any] = {"a": rng.normal(size=100), "b": rng.normal(size=100)}
    assert codes(tmp_path, columns) == []
    for values in columns.values():
        values[9] = values[8]
    assert codes(tmp_path, columns) == [("duplicate_rows", [])]


@pytest.mark.parametrize(
    ("name", "values", "expected"),
    [
        ("a", np.arange(100), True),
        ("a", np.arange(100)[::-1], True),
        ("a", np.arange(100) ** 2, True),
        ("a", np.random.default_rng(0).permutation(100) ** 2, False),
        ("passenger_id", np.random.default_rng(0).permutation(100) ** 2, True),
        ("passengerId", np.random.default_rng(0).permutation(100) ** 2, True),
        ("paid", np.random.default_rng(0).permutation(100) ** 2, False),
        ("a", np.arange(100.0), False),
        ("a", [f"user-{number}" for number in range(100)], True),
        ("a", [f"user number {number}" for number in range(100)], False),
        ("a", [f"user-{number % 90}" for number in range(100)], False),
        ("a", np.arange(19), False),
    ],
)
def test_what_is_like_an_identifier(tmp_path: Path, name: str, values: Any, expected: bool) -> None:
    """Words that come once, and whole numbers that count or are named so; quantities that happen to differ are none."""
    assert (("identifier_like", [name]) in codes(tmp_path, {name: values})) == expected


def test_groups_of_equal_columns_are_told_once(tmp_path: Path) -> None:
    """Three equal ones are one warning; constant ones, and ones of different numbers, are none."""
    values = np.random.default_rng(0).normal(size=50)
    columns = {"a": values, "b": values, "c": values, "d": [1] * 50, "e": [1] * 50, "f": values[::-1].copy()}
    found = codes(tmp_path, columns)
    assert [names for code, names in found if code == "copied_column"] == [["a", "b", "c"]]


def test_names_that_are_all_different_are_no_copies_of_each_other(tmp_path: Path) -> None:
    """Each could be renamed into each."""
    columns = {"a": [f"a{number}" for number in range(50)], "b": [f"b{number * 7}" for number in range(50)]}
    assert all(code != "copied_column" for code, _ in codes(tmp_path, columns))


def test_cities_and_their_codes_are_copies(tmp_path: Path) -> None:
    """A column of names and one of numbers that stand for them say the same."""
    rng = np.random.default_rng(0)
    numbers = rng.permutation(np.repeat(np.arange(40), 12))
    columns = {"city": [f"city-{number * number}" for number in numbers], "code": numbers, "size": rng.normal(size=480)}
    assert codes(tmp_path, columns) == [("copied_column", ["city", "code"])]


def test_a_number_far_off_that_stands_for_a_missing_one(tmp_path: Path) -> None:
    """-999 among numbers near 0 is told, among numbers like it, or alone, not."""
    rng = np.random.default_rng(0)
    for spread, expected in ((10, True), (2_000, False)):
        values = rng.normal(size=200) * spread
        values[5] = -999
        assert (("placeholder_value", ["a"]) in codes(tmp_path, {"a": values})) == expected
    assert codes(tmp_path, {"a": np.where(np.arange(200) == 0, -998, rng.normal(size=200))}) == []


def test_warnings_of_one_code_are_limited_and_the_rest_counted(tmp_path: Path) -> None:
    """A table of constant columns has a profile of bounded size."""
    columns = {f"c{number}": [1, 1] for number in range(MAX_OF_A_CODE + 7)}
    _, profile = profile_table(write(tmp_path, columns))
    assert (len(profile["warnings"]), profile["warnings_left_out"]) == (MAX_OF_A_CODE, 7)
