"""What columns mean is guessed by rules that a client can read, and can be said by the client."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from service.data.profiling.kinds import ALLOWED, MAX_ROWS, check_kinds, guess_kinds
from service.data.table import TYPES, Kind, Type, stored_types
from service.errors import Invalid
from tests.data.profiling.tables import write


def kind_of(folder: Path, texts: list[str | None]) -> Kind:
    write(folder, {"a": pa.array(texts, pa.string())})
    return guess_kinds(folder, {"a": "string"}, {})["a"].kind


@pytest.mark.parametrize(
    ("texts", "kind"),
    [
        (["1", " 2.5", "+3e2", None, ""], Kind.NUMERIC),
        (["7"] * 95 + ["seven"] * 5, Kind.NUMERIC),
        (["7"] * 94 + ["seven"] * 6, Kind.CATEGORY),
        (["01067", "10115", "80331"], Kind.CATEGORY),
        (["01067"] + ["10115"] * 99, Kind.CATEGORY),
        (["01067"] + ["10115"] * 100, Kind.NUMERIC),
        (["0", "0.5", "10"], Kind.NUMERIC),
        (["2024-01-31", "2024-02-29T10:00Z", None], Kind.DATE),
        (["2024-01-31"] * 95 + ["soon"] * 5, Kind.DATE),
        (["2024-01-31"] * 94 + ["soon"] * 6, Kind.CATEGORY),
        (["red", "green", "blue"], Kind.CATEGORY),
        ([f"user-{number}" for number in range(500)], Kind.CATEGORY),
        (["New York", "Los Angeles", "San Francisco"] * 10, Kind.CATEGORY),
        ([f"street {number % 40} of town" for number in range(400)], Kind.CATEGORY),
        ([f"street {number % 41} of town" for number in range(400)], Kind.TEXT),
        (["it was good", "I will not come again", "a fine meal"], Kind.TEXT),
        ([None, "", None], Kind.CATEGORY),
        ([], Kind.CATEGORY),
    ],
)
def test_texts_are_what_most_of_them_are(tmp_path: Path, texts: list[str | None], kind: Kind) -> None:
    """Numbers and dates from 95 in 100, categories if they are few or of one word, else text."""
    assert kind_of(tmp_path, texts) == kind


def test_a_guess_does_not_depend_on_the_order_of_rows(tmp_path: Path) -> None:
    """What is no number can come first, last, or in another batch."""
    texts = ["x"] * 50 + ["1"] * 950
    for order in (texts, texts[::-1]):
        write(tmp_path, {"a": order}, batch_rows=10)
        assert guess_kinds(tmp_path, {"a": "string"}, {})["a"].kind == Kind.NUMERIC


def test_of_many_rows_slices_that_lie_evenly_are_looked_at(tmp_path: Path) -> None:
    """What is no number in a few of them does not make text of numbers; a half of the table cannot hide."""
    rows = 2 * MAX_ROWS + 10_000
    texts = np.full(rows, "1", object)
    texts[rows // 3 : rows // 3 + 100] = "x"
    write(tmp_path, {"a": pa.array(texts, pa.string())})
    guess = guess_kinds(tmp_path, {"a": "string"}, {})["a"]
    assert guess.kind == Kind.NUMERIC
    assert int(guess.reason.split()[2]) < rows / 2
    texts[rows // 2 :] = "x"
    write(tmp_path, {"a": pa.array(texts, pa.string())})
    assert guess_kinds(tmp_path, {"a": "string"}, {})["a"].kind == Kind.CATEGORY


def test_reasons_have_figures(tmp_path: Path) -> None:
    """A guess says what it goes by, even if the client says the same; a column of codes says why it is no number."""
    write(tmp_path, {"zip": ["01067", "10115", "x y"], "text": ["a b c", "d", "e"], "n": ["1", "2", "3"]})
    guesses = guess_kinds(tmp_path, stored_types(tmp_path), {"text": Kind.CATEGORY, "n": Kind.NUMERIC})
    assert {name: guess.reason for name, guess in guesses.items()} == {
        "zip": "3 texts in it have 1.3 words on average, and 3 of them differ.",
        "text": "The client said so.",
        "n": "3 of 3 texts in it are numbers.",
    }
    write(tmp_path, {"zip": ["01067", "10115"]})
    reason = guess_kinds(tmp_path, {"zip": "string"}, {})["zip"].reason
    assert reason == "Texts in it are numbers, but 1 begin with a zero, as codes do."


@pytest.mark.parametrize(
    ("stored", "kind"),
    [("float64", "numeric"), ("int64", "numeric"), ("bool", "category"), ("timestamp", "date"), ("image", "image")],
)
def test_other_columns_are_what_they_are_stored_as(tmp_path: Path, stored: Type, kind: str) -> None:
    """No value of theirs is looked at."""
    assert guess_kinds(tmp_path, {"a": stored}, {})["a"].kind == kind


def test_every_type_has_kinds() -> None:
    """A client can choose among them."""
    assert ALLOWED.keys() == set(TYPES)


def test_kinds_that_cannot_be_are_all_told() -> None:
    """The fault points at the column, and says which kinds there are for it."""
    types: dict[str, Type] = {"a/b": "float64", "c": "image", "d": "string"}
    kinds: dict[str, Any] = {"a/b": "text", "c": 7, "d": "date", "e": "date"}
    with pytest.raises(Invalid, match="3 are wrong") as raised:
        check_kinds(kinds, types)
    details = {fault.pointer: fault.detail for fault in raised.value.faults}
    assert details.keys() == {"/columns/a~1b", "/columns/c", "/columns/e"}
    assert "'text' came for the column 'a/b', stored as float64" in details["/columns/a~1b"]
    assert 'expected one of "numeric", "category"' in details["/columns/a~1b"]
    assert "no column 'e'; the columns are 'a/b', 'c', 'd'" in details["/columns/e"]


def test_kinds_that_can_be_are_given_as_kinds() -> None:
    """Their names become Kind."""
    assert check_kinds({"a": "category"}, {"a": "int64", "b": "bool"}) == {"a": Kind.CATEGORY}
