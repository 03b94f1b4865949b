"""Examples of records: each is taken by the preparation that it was made of."""

from dataclasses import replace
from typing import Any

import numpy as np
import orjson
import pytest

from service.data.fault_list import FaultList
from service.data.table import Kind
from service.features.columns import of_records
from service.features.encode import encode_inputs
from service.features.example import example_record
from service.features.preparation import (
    Category,
    Date,
    Feature,
    Hashed,
    Image,
    Number,
    Preparation,
    Sequence,
    Text,
)
from tests.features.test_preparation import FEATURES, PREPARATION


def example(feature: Feature) -> Any:
    """The value of a feature in an example, which must be a valid one, and JSON."""
    prepared = Preparation(features=(feature,), targets=(), split=None, rows=(1, 0, 0))
    record = orjson.loads(orjson.dumps(example_record(prepared)))
    encoded(prepared, record)
    return record[feature.column]


def encoded(prepared: Preparation, record: dict[str, Any]) -> dict[str, np.ndarray[Any, Any]]:
    faults = FaultList()
    arrays = encode_inputs(of_records([record], prepared, "", faults), prepared, faults, "")
    faults.raise_if_any()
    return arrays


def number(stored: Any = "float64", **given: Any) -> Number:
    options = {"scale": "standardize", "center": 29.699, "spread": 2.0, "fill": None, "indicator": False} | given
    return Number(column="n", type=stored, kind=Kind.NUMERIC, slug="n", **options)


def category(stored: Any, *categories: str) -> Category:
    return Category(
        column="c",
        type=stored,
        kind=Kind.CATEGORY,
        slug="c",
        enters="one_hot",
        categories=categories,
        output_dim=None,
        unknown="error" if categories else "other",
        missing="error",
    )


def test_an_example_of_everything_is_valid() -> None:
    """Every kind of feature has a value, under its column's name."""
    record = orjson.loads(orjson.dumps(example_record(PREPARATION)))
    assert list(record) == [feature.column for feature in FEATURES]
    assert list(encoded(PREPARATION, record)) == [one.name for one in PREPARATION.inputs]


@pytest.mark.parametrize(
    ("feature", "value"),
    [
        (number(), 29.7),
        (number(fill=30.0), 30.0),
        (number("int64"), 30),
        (number("bool", center=0.7), True),
        (number("string"), 29.7),
        (number(scale="min_max", center=10.0, spread=4.0), 12.0),
        (number(scale="log", center=float(np.log1p(1000.0))), 1000.0),
        (number(scale="log", center=-float(np.log1p(10.0))), -10.0),
    ],
)
def test_a_number_is_a_usual_one(feature: Number, value: Any) -> None:
    """In the column's own unit, and of its type."""
    found = example(feature)
    assert (found, type(found)) == (value, type(value))


def test_a_logarithm_that_is_very_large_has_an_example() -> None:
    """It is cut to what the network takes."""
    assert example(number(scale="log", center=200.0)) > 1e30


@pytest.mark.parametrize(
    ("feature", "value"),
    [
        (category("string", "Oslo", "Bergen"), "Oslo"),
        (category("int64", "3", "1"), 3),
        (category("float64", "2.5"), 2.5),
        (category("bool", "false", "true"), False),
        (category("timestamp", "2024-01-01"), "2024-01-01"),
        (category("string"), "text"),
        (category("bool"), True),
    ],
)
def test_a_category_is_the_first(feature: Category, value: Any) -> None:
    """As the column has it."""
    found = example(feature)
    assert (found, type(found)) == (value, type(value))


@pytest.mark.parametrize("stored", ["string", "int64", "float64", "bool", "timestamp"])
def test_a_hashed_category_is_anything(stored: Any) -> None:
    """Of the column's type."""
    hashed = Hashed(column="h", type=stored, kind=Kind.CATEGORY, slug="h", num_bins=9, missing="error")
    assert example(hashed) is not None


@pytest.mark.parametrize(("vocabulary", "value"), [((), "words"), (("good", "bad", "ugly"), "good bad")])
def test_a_text_has_known_words(vocabulary: tuple[str, ...], value: str) -> None:
    """Some of the most frequent."""
    text = next(feature for feature in FEATURES if isinstance(feature, Text))
    assert example(replace(text, vocabulary=vocabulary)) == value


@pytest.mark.parametrize(
    ("parts", "centers", "value"),
    [
        (("year", "month", "day"), (1999.6, 2.0, 30.7), "2000-02-28"),
        (("weekday",), (3.0,), "2024-06-15"),
        (("hour", "minute"), (3.0, 4.0), "2024-06-15T12:00:00"),
    ],
)
def test_a_date_is_in_the_middle(parts: Any, centers: Any, value: str) -> None:
    """On a day that every month has."""
    date = Date(
        column="d",
        type="timestamp",
        kind=Kind.DATE,
        slug="d",
        parts=parts,
        centers=centers,
        spreads=(1.0,) * len(parts),
        fill=None,
    )
    assert example(date) == value
    assert example(replace(date, fill="2001-02-03T00:00:00")) == "2001-02-03T00:00:00"


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_a_picture_is_one(channels: int) -> None:
    """Of one pixel, which is brought to the size and the channels that the network has."""
    picture = next(feature for feature in FEATURES if isinstance(feature, Image))
    assert len(example(replace(picture, channels=channels))) < 200


@pytest.mark.parametrize(
    ("channels", "length", "value"),
    [(1, 8, [0.5, 0.5]), (2, 8, [[0.5, 1.0], [0.5, 1.0]]), (2, 1, [[0.5, 1.0]])],
)
def test_a_sequence_has_some_steps(channels: int, length: int, value: Any) -> None:
    """As many numbers a step as the column has."""
    sequence = Sequence(
        column="s",
        type="sequence",
        kind=Kind.SEQUENCE,
        slug="s",
        length=length,
        channels=channels,
        pad="post",
        truncate="post",
        centers=(0.5, 1.0)[:channels],
        spreads=(1.0, 1.0)[:channels],
    )
    assert example(sequence) == value
