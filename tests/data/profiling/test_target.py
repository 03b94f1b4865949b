"""A profile, looked at for one target."""

from pathlib import Path
from typing import Any

import pytest

from service.data.profile import profile_table
from service.data.profiling.target import target_view
from service.errors import Invalid
from tests.data.profiling.tables import passengers, write


def view(folder: Path, columns: dict[str, Any], name: str) -> dict[str, Any]:
    return target_view(profile_table(write(folder, columns))[1], name)


def test_classes_have_fractions(tmp_path: Path) -> None:
    """Of the rows in which the target is not missing."""
    told = view(tmp_path, {"a": ["yes"] * 3 + ["no"] + [None]}, "a")
    assert told["classes"] == [
        {"value": "yes", "count": 3, "fraction": 0.75},
        {"value": "no", "count": 1, "fraction": 0.25},
    ]
    assert (told["rows"], told["warnings"]) == (4, [])


def test_whole_numbers_can_be_classes(tmp_path: Path) -> None:
    """Their texts are those of categories; numbers with a point are none, nor are many."""
    told = view(tmp_path, {"a": [0, 1, 1, 3], "b": [0.5, 1, 1, 3], "c": [0, 1, 2, 99]}, "a")
    assert [(one["value"], one["count"]) for one in told["classes"]] == [("1", 2), ("0", 1), ("3", 1)]
    profile = profile_table(tmp_path)[1]
    assert target_view(profile, "b")["classes"] is None
    assert target_view(profile, "c")["classes"] is None
    assert target_view(profile, "c")["histogram"]["counts"][0] == 3


@pytest.mark.parametrize("values", [["often"] * 96 + ["seldom"] * 4, [0] * 96 + [1] * 4])
def test_a_rare_class_is_told_with_what_to_do(tmp_path: Path, values: list[Any]) -> None:
    """Below 5 in 100 rows."""
    (warning,) = (one for one in view(tmp_path, {"a": values}, "a")["warnings"] if one["code"] == "imbalanced_classes")
    assert warning["columns"] == ["a"]
    assert warning["evidence"]["fraction"] == 0.04
    assert warning["evidence"]["rarest"]["count"] == 4
    assert "class_weight" in warning["message"]


def test_a_class_of_five_in_a_hundred_is_not_told(tmp_path: Path) -> None:
    """There must be an end."""
    assert view(tmp_path, {"a": ["often"] * 95 + ["seldom"] * 5}, "a")["warnings"] == []


def test_warnings_that_concern_the_target_come_with_it(tmp_path: Path) -> None:
    """A feature that gives the target away is one."""
    warnings = view(tmp_path, passengers(), "survived")["warnings"]
    assert [(one["code"], one["columns"]) for one in warnings] == [("copied_column", ["survived", "alive"])]


def test_a_target_without_values_has_no_classes(tmp_path: Path) -> None:
    """No fraction is made of nothing."""
    write(tmp_path, {"a": [None, ""], "b": [1, 2]})
    assert target_view(profile_table(tmp_path)[1], "a")["classes"] == []


def test_a_target_that_is_not_there_is_refused(tmp_path: Path) -> None:
    """The answer names it."""
    with pytest.raises(Invalid, match="no column 'b'"):
        view(tmp_path, {"a": [1]}, "b")
