"""What "auto" makes of columns, seen through a fit of them."""

from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from service.data.table import Kind, Origin
from service.errors import Invalid
from service.features.automatic import embedding_size
from service.features.fit import prepare
from service.features.preparation import Category, Feature, Hashed, Number, Preparation, Text
from tests.features.tables import stored

ROWS = 600
DRAW = np.random.default_rng(0)


def chosen(folder: Path, kind: Kind | None = None, name: str = "x", **columns: Any) -> tuple[Feature | None, str]:
    """The feature that a column becomes beside another one, and what is said of it."""
    values = columns.pop(name)
    table = {name: values, "beside": DRAW.normal(size=len(values)), "y": ["no", "yes"] * (len(values) // 2), **columns}
    facts = stored(folder, table, **({} if kind is None else {name: kind}))
    request = {"folder": str(folder), "columns": [one.to_json() for one in facts], "target": "y", "seed": 0}
    answer = prepare(request)
    features = {one.column: one for one in Preparation.from_json(answer["preparation"]).features}
    return features.get(name), " ".join(note for note in answer["notes"] if repr(name) in note)


def repeated(number: int) -> list[str]:
    return [f"v{index % number}" for index in range(ROWS)]


@pytest.mark.parametrize(
    ("values", "scale"),
    [
        (DRAW.normal(size=ROWS), "standardize"),
        (DRAW.lognormal(2, 1.5, size=ROWS), "log"),
        (-DRAW.lognormal(2, 1.5, size=ROWS), "standardize"),
        (DRAW.uniform(0, 100, size=ROWS), "standardize"),
        (np.r_[np.full(ROWS - 1, 0.5), 1e25], "log"),
    ],
)
def test_quantities(tmp_path: Path, values: Any, scale: str) -> None:
    """A quantity is standardized, or its logarithm is, where it leans far to one side or is huge."""
    feature, note = chosen(tmp_path, x=values)
    assert isinstance(feature, Number)
    assert (feature.scale, feature.fill, feature.indicator) == (scale, None, False)
    assert ("logarithm" in note) == (scale == "log")


def test_missing_quantities(tmp_path: Path) -> None:
    """Where a value is missing the median stands for it, and a number says that it was missing."""
    feature, note = chosen(tmp_path, x=[None, *range(1, ROWS, 2), *range(1, ROWS - 1, 2)])
    assert isinstance(feature, Number)
    assert (feature.indicator, feature.fill) == (True, pytest.approx(299, abs=1))
    assert "no value in 1 of 600 rows" in note


@pytest.mark.parametrize(
    ("number", "enters", "output_dim"), [(2, "one_hot", None), (32, "one_hot", None), (33, "embedding", 11)]
)
def test_categories(tmp_path: Path, number: int, enters: str, output_dim: int | None) -> None:
    """Up to 32 categories are one-hot, more are embedded."""
    feature, _ = chosen(tmp_path, x=repeated(number))
    assert isinstance(feature, Category)
    assert (feature.enters, feature.output_dim, feature.unknown) == (enters, output_dim, "error")


def test_very_many_categories(tmp_path: Path) -> None:
    """Beyond ten thousand categories are hashed."""
    feature, note = chosen(tmp_path, x=[f"v{index // 2}" for index in range(20_004)])
    assert isinstance(feature, Hashed)
    assert "more than 10000 categories" in note


def test_new_categories_are_expected(tmp_path: Path) -> None:
    """Where many categories came a single time, new ones are no error at prediction."""
    feature, note = chosen(tmp_path, x=["often"] * (ROWS - 10) + [f"once{number}" for number in range(10)])
    assert isinstance(feature, Category)
    assert feature.unknown == "other"
    assert "10 came a single time" in note


@pytest.mark.parametrize(
    ("values", "kind", "name"),
    [
        (list(range(1, ROWS + 1)), None, "x"),
        ([number * 7919 for number in range(ROWS)], None, "customer_id"),
        ([number * 7919 for number in range(ROWS)], None, "PassengerId"),
        ([f"k{number}" for number in range(ROWS)], None, "x"),
        ([f"k{number}" for number in range(ROWS)], Kind.TEXT, "x"),
    ],
)
def test_identifiers_are_left_out(tmp_path: Path, values: list[Any], kind: Kind | None, name: str) -> None:
    """Numbers that are counted through or so called, and names, of which no two are alike, say nothing of new rows."""
    feature, note = chosen(tmp_path, kind, name, **{name: values})
    assert (feature, "as identifiers do" in note) == (None, True)


def test_quantities_that_all_differ_are_no_identifiers(tmp_path: Path) -> None:
    """Whole numbers with gaps, and texts of several words, can all be different and still say something."""
    assert isinstance(chosen(tmp_path, x=[number * 7919 for number in range(ROWS)])[0], Number)
    assert isinstance(chosen(tmp_path, Kind.TEXT, x=[f"a review {number}" for number in range(ROWS)])[0], Text)


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ([5.0] * ROWS, None),
        ([True] * ROWS, None),
        (["same"] * ROWS, Kind.TEXT),
        (["2020-01-01"] * ROWS, Kind.DATE),
        (["2020-01-01", None] * (ROWS // 2), Kind.DATE),
        (["!?", None, "..."] * (ROWS // 3), Kind.TEXT),
        ([[], [[float("nan")]]] * (ROWS // 2), None),
        (pa.nulls(ROWS, pa.float64()), None),
        (pa.nulls(ROWS, pa.string()), Kind.TEXT),
    ],
)
def test_columns_that_say_nothing_are_left_out(tmp_path: Path, values: Any, kind: Kind | None) -> None:
    """A column that is everywhere the same, or empty, is left out."""
    feature, note = chosen(tmp_path, kind, x=values)
    assert (feature, "is left out" in note) == (None, True)


def test_what_is_sometimes_missing_says_something(tmp_path: Path) -> None:
    """A single value that some rows lack tells these rows apart."""
    assert isinstance(chosen(tmp_path, x=[5.0, None] * (ROWS // 2))[0], Number)


@pytest.mark.parametrize(
    ("values", "target"),
    [
        (["no", "yes"] * 300, ["no", "yes"] * 300),
        ([0, 1] * 300, ["0", "1"] * 300),
        ([0.0, 1.0, 2.0] * 200, [0, 1, 2] * 200),
        ([index / 7 for index in range(600)], [index / 7 for index in range(600)]),
        (list(range(600)), [float(index) for index in range(600)]),
    ],
)
def test_copies_of_the_target_are_left_out(tmp_path: Path, values: list[Any], target: list[Any]) -> None:
    """A column that repeats the target, be it as another type, is left out; one that differs in a row is not."""
    feature, note = chosen(tmp_path, x=values, y=target)
    assert (feature, "repeats the target 'y'" in note) == (None, True)
    other = [*values[:-1], values[0]]
    feature, _ = chosen(tmp_path, x=other, y=target)
    assert feature is not None


def test_copies_that_are_asked_for_enter(tmp_path: Path) -> None:
    """A column that is named enters even so, and a note warns of it."""
    facts = stored(tmp_path, {"x": ["no", "yes"] * 9, "y": ["no", "yes"] * 9})
    columns = [one.to_json() for one in facts]
    answer = prepare(
        {"folder": str(tmp_path), "columns": columns, "features": {"x": "one_hot"}, "target": "y", "seed": 0}
    )
    assert len(answer["preparation"]["features"]) == 1
    assert answer["notes"] == ["'x' repeats the target 'y': what is learned of it says nothing new."]


def of_origin(folder: Path, origin: Origin, values: list[Any], features: Any) -> tuple[list[str], str]:
    """The columns that enter of a table whose `x` only tells where a row comes from, and what is said of it."""
    facts = stored(folder, {"x": values, "beside": DRAW.normal(size=len(values)), "y": ["no", "yes"] * 30})
    columns = [replace(one, origin=origin if one.name == "x" else None).to_json() for one in facts]
    answer = prepare({"folder": str(folder), "columns": columns, "features": features, "target": "y", "seed": 0})
    notes = [note for note in answer["notes"] if "'x'" in note]
    return [one["column"] for one in answer["preparation"]["features"]], " ".join(notes)


@pytest.mark.parametrize(
    ("origin", "values", "what"),
    [
        (Origin.FILENAME, ["a.csv", "b.csv"] * 30, "the file that the row comes from"),
        (Origin.SEQUENCE, ["s1", "s2", "s3"] * 20, "the sequence that the row comes from"),
        (Origin.START, [5, 80, 7] * 20, "the time at which the row's window begins"),
        (
            Origin.END,
            [datetime.fromisoformat(f"2021-03-{day}") for day in (10, 19, 15)] * 20,
            "the time at which the row's window ends",
        ),
    ],
)
def test_what_tells_where_rows_come_from_is_left_out(
    tmp_path: Path, origin: Origin, values: list[Any], what: str
) -> None:
    """Whatever its values, unless the client names it, be it as "auto"."""
    for features in (None, "auto", {"*": "auto"}):
        entering, note = of_origin(tmp_path, origin, values, features)
        assert entering == ["beside"]
        assert f"'x' is left out: it names {what}" in note
        assert "name it under features" in note
    entering, note = of_origin(tmp_path, origin, values, {"*": "auto", "x": "auto"})
    assert entering == ["x", "beside"]
    assert "left out" not in note


def test_a_text_alone_keeps_its_order(tmp_path: Path) -> None:
    """A text as the only feature enters as tokens, beside others as a bag."""
    texts = ["good film", "bad film", "a good one", "one bad day"] * 10
    assert getattr(chosen(tmp_path, Kind.TEXT, x=texts)[0], "enters", "") == "bag"
    facts = stored(tmp_path, {"id": list(range(40)), "x": texts, "y": ["yes", "no"] * 20}, x=Kind.TEXT)
    answer = prepare({"folder": str(tmp_path), "columns": [one.to_json() for one in facts], "target": "y", "seed": 0})
    assert [one["enters"] for one in answer["preparation"]["features"]] == ["tokens"]


def test_dates_that_are_sometimes_missing(tmp_path: Path) -> None:
    """A date enters by the parts that vary, with the median where it is missing."""
    start = datetime.fromisoformat("2021-03-01T12:00")
    feature, note = chosen(tmp_path, x=[None, *(start + timedelta(days=day % 20) for day in range(ROWS - 1))])
    assert getattr(feature, "parts", ()) == ("day", "weekday")
    assert str(getattr(feature, "fill", "")).startswith("2021-03-1")
    assert "day, weekday" in note


def test_nothing_may_be_left(tmp_path: Path) -> None:
    """Where every column is left out, all reasons are told."""
    facts = stored(tmp_path, {"x": [1.0] * 40, "id": list(range(40)), "y": ["no", "yes"] * 20})
    with pytest.raises(Invalid) as caught:
        prepare({"folder": str(tmp_path), "columns": [one.to_json() for one in facts], "target": "y", "seed": 0})
    (fault,) = caught.value.faults
    assert fault.pointer == "/features"
    assert "'x' is left out: it is the same in every row that trains, or empty. 'id' is left out" in fault.detail


def test_sizes_of_embeddings() -> None:
    """An embedding has more numbers for more categories, from 1 to 50."""
    assert [embedding_size(number) for number in (1, 2, 10, 100, 1_000, 100_000)] == [2, 2, 6, 21, 50, 50]
