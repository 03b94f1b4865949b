"""Records become arrays: what the plain form is, and that no body, however made, is more than an error."""

import difflib
import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.data.table import Kind
from service.errors import KerasdError, TooLarge
from service.features.example import example_record
from service.features.preparation import Category, Image, Preparation
from service.inference import record_tables, records
from service.inference.records import ROWS_AT_ONCE, RecordReader, read_columns, read_rows, read_split
from tests.api.prepared import CATEGORIES, NUMBERS, ROWS, SURVIVED, columns_of, preparation
from tests.features.test_preparation import PREPARATION

PREPARED = preparation(SURVIVED)
PICTURE = Image(column="face", type="image", kind=Kind.IMAGE, slug="face", height=2, width=2, channels=3)


def body(**given: Any) -> bytes:
    return json.dumps(given).encode()


def test_the_plain_form_is_read() -> None:
    """As the slow way reads it."""
    arrays = RecordReader(PREPARED).read(body(instances=ROWS))
    assert arrays is not None
    np.testing.assert_array_equal(arrays["numbers"], NUMBERS)
    np.testing.assert_array_equal(arrays["categories"], CATEGORIES)
    assert {name: array.dtype.name for name, array in arrays.items()} == {"numbers": "float32", "categories": "int32"}


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b"null", body(inputs={}), body(instances=ROWS, other=1), b'{"instances": [NaN]}', b"\xff"],
)
def test_other_forms_are_left_alone(content: bytes) -> None:
    """They take another way, on which what is wrong is said."""
    assert RecordReader(PREPARED).read(content) is None


def test_pictures_are_left_alone() -> None:
    """How long they take is not to be told from the length of a body."""
    pictured = replace(PREPARED, features=(*PREPARED.features, PICTURE))
    assert RecordReader(pictured).read(body(instances=[example_record(pictured)])) is None
    assert read_rows([example_record(pictured)], pictured)["face_input"].shape == (1, 2, 2, 3)


def test_all_forms_give_the_same_arrays() -> None:
    """By rows, by columns, split, and as CSV and JSON lines, within one part and over several."""
    for times in (1, ROWS_AT_ONCE // 4, ROWS_AT_ONCE // 4 + 1, ROWS_AT_ONCE):
        rows = ROWS * times
        columns = columns_of(rows)
        cells = list(map(list, zip(*columns.values(), strict=True)))
        text = "\n".join([",".join(columns), *(",".join("" if x is None else str(x) for x in row) for row in cells)])
        for arrays in (
            read_rows(rows, PREPARED),
            read_columns(columns, PREPARED),
            read_split({"columns": list(columns), "data": cells}, PREPARED),
            record_tables.read_csv(text.encode(), PREPARED),
        ):
            np.testing.assert_array_equal(arrays["numbers"], np.tile(NUMBERS, (times, 1)))
            np.testing.assert_array_equal(arrays["categories"], np.tile(CATEGORIES, (times, 1)))


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(max_size=6) | st.just("male"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=6,
)
NAMES = st.sampled_from([feature.column for feature in PREPARATION.features]) | st.text(max_size=4)
RECORDS = st.dictionaries(NAMES, VALUES, max_size=9)


@settings(max_examples=150, deadline=None)
@given(st.lists(RECORDS | VALUES, max_size=3) | VALUES)
def test_no_rows_are_more_than_an_error(value: Any) -> None:
    """Every kind of feature, and every kind of JSON."""
    for read in (read_rows, read_columns, read_split):
        check(read, value)


@settings(max_examples=150, deadline=None)
@given(st.dictionaries(NAMES, st.lists(VALUES, max_size=3) | VALUES, max_size=9))
def test_no_columns_are_more_than_an_error(value: Any) -> None:
    """Whatever stands in them."""
    check(read_columns, value)
    names = list(value)
    check(read_split, {"columns": names, "data": [list(value.values())]})


@settings(max_examples=150, deadline=None)
@given(st.text(max_size=60) | st.lists(st.text(max_size=8), max_size=8).map(",".join))
def test_no_csv_is_more_than_an_error(text: str) -> None:
    """Below the right header, or without one."""
    header = ",".join(feature.column for feature in PREPARATION.features)
    for content in (text, f"{header}\n{text}\n"):
        check(record_tables.read_csv, content.encode("utf-8", "surrogatepass"))


def check(read: Any, value: Any) -> None:
    try:
        arrays = read(value, PREPARATION)
    except KerasdError as error:
        faults = error.faults
    else:
        faults = ()
        assert list(arrays) == [one.name for one in PREPARATION.inputs]
        for one in PREPARATION.inputs:
            assert arrays[one.name].shape[1:] == one.shape
            assert arrays[one.name].dtype == one.dtype
            assert np.isfinite(arrays[one.name]).all()
    assert len(faults) <= 21


@pytest.mark.parametrize("kind", ["names", "columns", "categories"])
def test_hints_are_few(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was meant is looked for only of faults that are told: it takes milliseconds. The quick way has none."""
    wide = Category(
        column="town",
        type="string",
        kind=Kind.CATEGORY,
        slug="town",
        enters="one_hot",
        categories=tuple(f"town number {number}" for number in range(10_000)),
        output_dim=None,
        unknown="error",
        missing="other",
    )
    prepared = Preparation(features=(wide,), targets=(SURVIVED,), split=None, rows=(1, 0, 0))
    unknown = {f"column {number}": [1] for number in range(20_000)}
    towns = [{"town": f"another town {number}"} for number in range(1000)]
    hints: list[int] = []
    original = difflib.get_close_matches

    def matches(word: str, known: Any, **options: Any) -> list[str]:
        hints.append(len(known))
        return original(word, known, **options)

    monkeypatch.setattr(difflib, "get_close_matches", matches)
    rows = towns if kind == "categories" else [unknown]
    assert RecordReader(prepared).read(body(instances=rows)) is None
    assert hints == []
    found = refused(read_columns, unknown, prepared) if kind == "columns" else refused(read_rows, rows, prepared)
    assert len(found) in (20, 21)
    assert len(hints) <= 40
    assert max(hints) <= 1000


def refused(read: Any, value: Any, prepared: Preparation) -> list[str]:
    """Where a value is wrong."""
    with pytest.raises(KerasdError) as caught:
        read(value, prepared)
    return [fault.pointer for fault in caught.value.faults]


def test_the_sentence_has_no_long_example() -> None:
    """Where a record is long, the version's own view shows one."""
    features = tuple(
        replace(PREPARED.features[0], column=f"column {number}", slug=f"c{number}") for number in range(99)
    )
    with pytest.raises(KerasdError) as caught:
        read_rows([[1]], replace(PREPARED, features=features))
    assert "A valid record" not in caught.value.detail
    assert len(caught.value.detail) < 1500


def test_places_of_columns_with_odd_names_are_pointers() -> None:
    """As RFC 6901 escapes them."""
    odd = replace(PREPARED.features[1], column="a/b~c")
    prepared = replace(PREPARED, features=(odd,))
    for read, value, pointer in (
        (read_rows, [{"a/b~c": "?"}], "/instances/0/a~1b~0c"),
        (read_columns, {"a/b~c": ["?"]}, "/inputs/a~1b~0c/0"),
        (read_split, {"columns": ["a/b~c"], "data": [["?"]]}, "/dataframe_split/data/0/0"),
    ):
        assert refused(read, value, prepared) == [pointer]


def test_more_rows_than_memory_takes_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """With how many may come."""
    monkeypatch.setattr(records, "MAX_INPUT_BYTES", 3 * 20 + 19)
    assert len(read_rows(ROWS[:3], PREPARED)["numbers"]) == 3
    with pytest.raises(TooLarge, match="4 rows came; 3 is the most allowed"):
        read_rows(ROWS, PREPARED)
    assert RecordReader(PREPARED).read(body(instances=ROWS)) is None
