"""Cells have one form and one hash for what they stand for."""

from datetime import datetime
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from service.data.profiling.cells import MISSING, cells_of, listed, text_of
from service.data.table import ColumnFacts, Kind, type_of


def hashes(array: pa.Array, kind: Kind, *, few: bool = True) -> list[int]:
    made: list[int] = cells_of(
        array, ColumnFacts(name="a", type=type_of(array.type), kind=kind), few=few
    ).hashes.tolist()
    return made


def test_equal_values_have_equal_hashes_in_every_type_and_kind() -> None:
    """Of numbers, booleans, moments and texts; with a dictionary and without; missing ones have one of their own."""
    told = hashes(pa.array([0.0, 1.0, None, -0.0]), Kind.NUMERIC)
    assert told[0] == told[3] != told[1]
    assert told[2] == MISSING
    for few in (False, True):
        assert hashes(pa.array([0, 1, None, 0]), Kind.NUMERIC, few=few) == told
        texts = hashes(pa.array(["0", "1.0", "x", "-0", "y", "x"]), Kind.NUMERIC, few=few)
        assert [texts[0], texts[1], texts[3]] == [told[0], told[1], told[3]]
        assert texts[2] == texts[5] != texts[4] != MISSING
        assert hashes(pa.array([False, True, None, False]), Kind.NUMERIC, few=few) == told
    for kind in (Kind.CATEGORY, Kind.NUMERIC):
        assert hashes(pa.array([False, True, None, False]), kind) == told
        assert hashes(pa.array([0.0, 1.0, float("nan"), -0.0]), kind) == told
    moment = pa.array([datetime.fromisoformat("2024-02-29T12:00"), None], pa.timestamp("us"))
    dates = pa.array(["2024-02-29T12:00Z", "soon"])
    assert hashes(moment, Kind.DATE) == hashes(moment, Kind.DATE, few=False) == hashes(moment, Kind.CATEGORY)
    assert hashes(dates, Kind.DATE)[0] == hashes(moment, Kind.DATE)[0]


def test_large_whole_numbers_keep_their_difference() -> None:
    """Beyond 2**53 a float64 would not tell them apart, with missing ones among them or not."""
    large = [2**62, 2**62 + 1, -(2**62), 2**63 - 1]
    assert len(set(hashes(pa.array([*large, None]), Kind.NUMERIC))) == 5
    assert hashes(pa.array(large), Kind.NUMERIC, few=False) == hashes(pa.array(large), Kind.CATEGORY)


def test_images_and_sequences_are_hashed_by_their_bytes() -> None:
    """Slices and missing ones have no part in that."""
    images = pa.array([b"a", None, b"b", b"a"], pa.binary())
    told = hashes(images, Kind.IMAGE)
    assert told[0] == told[3] != told[2]
    assert told[1] == MISSING
    steps: list[Any] = [[[1.0, 2.0]], None, [], [[1.0, 2.0], [3.0, 4.0]], [[1.0, 2.0]]]
    array = pa.array(steps, pa.list_(pa.list_(pa.float32(), 2)))
    told = hashes(array, Kind.SEQUENCE)
    assert told[0] == told[4]
    assert len(set(told)) == 4
    assert hashes(array.slice(2), Kind.SEQUENCE) == told[2:]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        *((None, None), ("a", "a"), (True, "true"), (3, "3"), (3.0, "3"), (0.1, "0.1"), (float("inf"), None)),
        (np.datetime64("2024-02-29", "us"), "2024-02-29"),
        (np.datetime64("2024-02-29T10:00", "us"), "2024-02-29T10:00:00"),
        (np.datetime64("20024-02-29T10:00:00.5", "us"), "20024-02-29T10:00:00.500000"),
    ],
)
def test_values_have_a_text_as_categories(value: Any, text: str | None) -> None:
    """Whole numbers have no point, dates no midnight, and what is not finite is missing."""
    assert text_of(value) == text


def test_moments_beyond_those_of_python_are_listed() -> None:
    """A Parquet file can have any 64 bits of microseconds."""
    assert listed(pa.array([0, None, 2**61], pa.timestamp("us"))) == [
        np.datetime64(0, "us"),
        None,
        np.datetime64(2**61, "us"),
    ]
