"""Values of columns, from stored tables and from clients' records: the same value is the same either way."""

import base64
import math
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.data.fault_list import FaultList
from service.data.table import Kind, Type, arrow_of
from service.errors import Fault, Invalid
from service.features.columns import MISSING, REFUSED, Codes, Values, form_of, of_batch, of_records
from service.features.preparation import Feature, Task
from tests.features.features import category, date, hashed, image, number, preparation, sequence, target, text

CATEGORIES = {"string": category(), "int64": category(type="int64"), "float64": category(type="float64")}
CATEGORIES |= {"bool": category(type="bool"), "timestamp": category(type="timestamp")}


def stored(values: list[Any], of: Type, form: Kind, channels: int = 2) -> Values:
    """The values of a table's column."""
    array = pa.array(values, arrow_of(of, channels))
    return of_batch(pa.record_batch({"c": array}), "c", of, form)


def sent(feature: Feature, *cells: Any) -> tuple[Values, FaultList]:
    faults = FaultList()
    values = of_records([{feature.column: cell} for cell in cells], preparation(feature), "/instances", faults)
    return values[feature.column], faults


def good(feature: Feature, *cells: Any) -> Values:
    values, faults = sent(feature, *cells)
    assert len(faults) == 0
    return values


def faults_of(faults: FaultList) -> list[Fault]:
    with pytest.raises(Invalid) as caught:
        faults.raise_if_any()
    return list(caught.value.faults)


def fault_of(feature: Feature, cell: Any) -> str:
    """What is wrong with one cell."""
    _, faults = sent(feature, cell)
    (fault,) = faults_of(faults)
    assert fault.pointer == f"/instances/0/{feature.column}"
    assert f"In the column '{feature.column}': " in fault.detail
    return fault.detail


def texts(codes: Values) -> list[str | None]:
    """The category of each row."""
    assert isinstance(codes, Codes)
    assert len(set(codes.texts)) == len(codes.texts)
    return [None if place == MISSING else codes.texts[place] for place in codes.numbers]


def same(one: Values, other: Values) -> bool:
    """Whether values are equal, NaN and NaT with themselves."""
    if isinstance(one, Codes) or isinstance(other, Codes):
        return texts(one) == texts(other)
    if isinstance(one, np.ndarray) and isinstance(other, np.ndarray):
        return bool(np.array_equal(one, other, equal_nan=True))
    pairs = list(zip(one, other, strict=True))
    if any(isinstance(value, np.ndarray) for value in one):
        return all(a is b if a is None or b is None else np.array_equal(a, b, equal_nan=True) for a, b in pairs)
    return all(a == b for a, b in pairs)


MOMENTS = st.datetimes(datetime(1900, 1, 1), datetime(2100, 1, 1))  # noqa: DTZ001
TEXTS = st.text(st.characters(codec="utf-8"), max_size=8)
FLOATS = st.floats(allow_nan=False, width=32).filter(math.isfinite)
WHOLE = st.integers(-(2**63), 2**63 - 1)
EACH: dict[tuple[Type, Kind], tuple[st.SearchStrategy[Any], Feature]] = {
    ("float64", Kind.NUMERIC): (FLOATS, number()),
    ("int64", Kind.NUMERIC): (st.integers(-(2**53), 2**53), number(type="int64")),
    ("bool", Kind.NUMERIC): (st.booleans(), number(type="bool")),
    ("string", Kind.NUMERIC): (FLOATS.map(repr), number(type="string")),
    ("float64", Kind.CATEGORY): (st.floats(allow_nan=False, allow_infinity=False), CATEGORIES["float64"]),
    ("int64", Kind.CATEGORY): (WHOLE, CATEGORIES["int64"]),
    ("bool", Kind.CATEGORY): (st.booleans(), CATEGORIES["bool"]),
    ("string", Kind.CATEGORY): (TEXTS, CATEGORIES["string"]),
    ("timestamp", Kind.CATEGORY): (MOMENTS, CATEGORIES["timestamp"]),
    ("string", Kind.TEXT): (TEXTS, text()),
    ("timestamp", Kind.DATE): (MOMENTS, date()),
    ("string", Kind.DATE): (MOMENTS.map(datetime.isoformat), date(type="string")),
    ("image", Kind.IMAGE): (st.binary(min_size=1, max_size=8), image()),
    ("sequence", Kind.SEQUENCE): (st.lists(st.lists(FLOATS, min_size=2, max_size=2), max_size=3), sequence()),
}


def in_json(value: Any) -> Any:
    """A value as JSON has it."""
    if isinstance(value, datetime):
        return value.isoformat()
    return base64.b64encode(value).decode() if isinstance(value, bytes) else value


@pytest.mark.parametrize(("of", "form"), EACH)
def test_a_value_is_the_same_stored_and_sent(of: Type, form: Kind) -> None:
    """Of each type and kind: what a table has and what a client sends of it are equal, as texts too."""
    values, feature = EACH[of, form]
    assert form_of(feature) == form

    @given(st.lists(st.none() | values, min_size=1, max_size=6))
    def holds(column: list[Any]) -> None:
        assert same(stored(column, of, form), good(feature, *map(in_json, column)))

    holds()


@given(WHOLE, st.sampled_from(["int64", "float64"]))
def test_a_whole_number_is_one_category_however_it_is_written(whole: int, of: Type) -> None:
    """As an integer, with a point, and as text."""
    forms = [whole, str(whole), *([float(whole), f"{whole}.0"] if abs(whole) <= 2**53 else [])]
    assert len(set(texts(good(CATEGORIES[of], *forms)))) == 1


def test_what_the_text_of_a_category_is() -> None:
    """Whole numbers without a point, others in short, booleans in small letters, dates in ISO 8601."""
    assert texts(good(CATEGORIES["float64"], 1, 1.0, "1.0", 0.5, "5e-1", -0.0, 1e22)) == [
        *("1", "1", "1", "0.5", "0.5", "0"),
        "10000000000000000000000",
    ]
    assert texts(good(CATEGORIES["string"], "01", "a b ", 1, 1.0, 0.5, True)) == ["01", "a b ", "1", "1", "0.5", "true"]
    assert texts(good(CATEGORIES["bool"], True, "TRUE", 1, "false", 0.0)) == ["true", "true", "true", "false", "false"]
    moments = ["2024-02-29", "2024-02-29T00:00Z", "2024-02-29 14:30", "2024-02-29T14:30:00.5"]
    written = ["2024-02-29", "2024-02-29", "2024-02-29T14:30:00", "2024-02-29T14:30:00.500000"]
    assert texts(good(CATEGORIES["timestamp"], *moments)) == written
    assert texts(stored([1.0, 0.5, None, 2.0**60], "float64", Kind.CATEGORY)) == ["1", "0.5", None, str(2**60)]


def test_a_text_that_is_none_of_its_column_stays_as_it_is() -> None:
    """It is a new category then, which the feature has a policy for."""
    assert texts(good(CATEGORIES["int64"], "x1")) == ["x1"]
    assert texts(good(CATEGORIES["timestamp"], "today")) == ["today"]
    assert texts(good(CATEGORIES["int64"], True)) == ["true"]


def test_what_counts_as_missing() -> None:
    """Null, a column that a record lacks, an empty text; and of numbers and dates, the texts that CSV has for it."""
    assert texts(good(CATEGORIES["string"], None, "", "NA")) == [None, None, "NA"]
    assert texts(stored(["", None, "a"], "string", Kind.CATEGORY)) == [None, None, "a"]
    assert texts(stored([math.nan, math.inf, 1.0], "float64", Kind.CATEGORY)) == [None, None, "1"]
    assert np.isnan(good(number(), None, "", " NA ", "null")).all()
    assert np.isnat(good(date(), None, "", "-")).all()
    assert np.isnan(stored(["x", None, "1"], "string", Kind.NUMERIC)).tolist() == [True, True, False]
    faults = FaultList()
    values = of_records([{}], preparation(number(), category(), text(), date(), image()), "", faults)
    assert (len(faults), np.isnan(values["age"][0]), texts(values["town"])) == (0, True, [None])
    assert (values["note"], values["photo"]) == ([None], [None])


def test_a_list_of_texts_is_one_text() -> None:
    """As tables store it: as a text it is its words, as a category the whole of it."""
    assert texts(good(category(), ["a", "b"], "a;b", [])) == ["a;b", "a;b", None]
    assert good(text(), ["so", "it is"], [], 3) == ["so;it is", "", "3"]


def test_numbers_can_be_texts() -> None:
    """As clients of CSV send them; booleans are numbers in a column of booleans alone."""
    assert np.array_equal(good(number(), 1, 2.5, "12.5", " -1e3 "), [1, 2.5, 12.5, -1000])
    assert np.array_equal(good(number(type="bool"), True, "False", 1, 0.0), [1, 0, 1, 0])


def test_moments_are_universal_time() -> None:
    """A zone is taken into account, and left out."""
    zoned = datetime(2024, 1, 1, tzinfo=timezone(timedelta(hours=1)))
    came = good(
        date(), "2024-01-01T01:00+01:00", "2024-01-01", zoned + timedelta(hours=1), datetime(2024, 1, 1, tzinfo=UTC)
    )
    assert set(came.tolist()) == {datetime(2024, 1, 1)}  # noqa: DTZ001


def test_images_come_as_base64() -> None:
    """Alone, with line breaks, as a data URL, as TensorFlow Serving has it; or as bytes, from forms that have them."""
    encoded = base64.b64encode(b"picture").decode()
    broken = f"{encoded[:4]}\n{encoded[4:]}"
    forms = [encoded, broken, f"data:image/png;base64,{encoded}", {"b64": encoded}, b"picture"]
    assert good(image(), *forms) == [b"picture"] * 5


def test_steps_of_one_channel_can_be_bare_numbers() -> None:
    """A null among them is a missing number."""
    one = sequence(channels=1, centers=(0.0,), spreads=(1.0,))
    (bare, nested) = good(one, [1, 2.5, None], [[1], [2.5], [None]])
    assert np.array_equal(bare, np.array([[1], [2.5], [np.nan]], np.float32), equal_nan=True)
    assert np.array_equal(bare, nested, equal_nan=True)
    assert good(sequence(), [])[0].shape == (0, 2)


def test_sequences_of_a_cut_batch_are_its_own() -> None:
    """Rows in the middle of a table have their own steps, whichever rows were before them."""
    rows = [[[1, 2]], None, [], [[3, 4], [5, 6]], [[7, 8]]]
    batch = pa.record_batch({"c": pa.array(rows, arrow_of("sequence", 2))})
    values = of_batch(batch.slice(1, 3), "c", "sequence", Kind.SEQUENCE)
    assert [None if one is None else one.tolist() for one in values] == [None, [], [[3, 4], [5, 6]]]


@pytest.mark.parametrize(
    ("feature", "cell", "words"),
    [
        (number(), "abc", ('The text "abc" came', "a number", "22.5")),
        (number(), True, ("true came", "a number")),
        (number(), [22], ("A list of 1 came",)),
        (number(), {"v": 22}, ("An object came",)),
        (number(), math.nan, ("NaN came", "finite")),
        (number(), -math.inf, ("Infinity came",)),
        (number(), 10**400, ("An integer of 1329 bits",)),
        (number(), "1e400", ('"1e400"', "a number")),
        (number(type="bool"), "yes", ("true, false, or a number",)),
        (category(), ["a", 1], ("A list of 2 came", "one category")),
        (category(type="int64"), ["a"], ("A list of 1 came", "one category")),
        (category(), math.nan, ("NaN came", "null")),
        (category(type="float64"), 10**400, ("An integer of 1329 bits",)),
        (hashed(), {}, ("An object came",)),
        (text(), ["a", 1], ("A list of 2 came", "a text")),
        (text(), {"a": 1}, ("An object came", "a text")),
        (date(), "31.12.2024", ("ISO 8601", "2024-02-29")),
        (date(), "2024-02-30", ("ISO 8601",)),
        (date(), 1704067200, ("The number 1704067200 came",)),
        (image(), "no base 64!", ("Base64", "b64")),
        (image(), 3, ("The number 3 came",)),
        (image(), {"b64": 3}, ("The number 3 came",)),
        (image(), {"url": "x"}, ("An object came",)),
        (image(), b"", ("Binary content of 0 bytes",)),
        (sequence(), "1,2", ('The text "1,2" came', "a list of 2 numbers")),
        (sequence(), [[1, 2], [3]], ("A list of 1 as step 2 of 2",)),
        (sequence(), [[1, "2"]], ("A list of 2 as step 1 of 1",)),
        (sequence(), [[1, True]], ("step 1",)),
        (sequence(), [[1, 1e39]], ("step 1", "3.403e+38")),
        (sequence(channels=1, centers=(0.0,), spreads=(1.0,)), [1, "2"], ('The text "2" as step 2', "a number")),
    ],
)
def test_a_wrong_cell_is_told(feature: Feature, cell: Any, words: tuple[str, ...]) -> None:
    """What came, what was expected, and where."""
    detail = fault_of(feature, cell)
    assert [word for word in words if word not in detail] == []


def test_all_faults_come_at_once() -> None:
    """Of several records and columns; the first twenty in words, the rest by their number."""
    records: list[Any] = [{"age": "x", "town": [3]}] * 11 + [7]
    faults = FaultList()
    of_records(records, preparation(number(), category()), "/instances", faults)
    found = faults_of(faults)
    assert (len(faults), len(found)) == (23, 21)
    assert found[0].pointer == "/instances/11"
    assert "The number 7 came" in found[0].detail
    assert found[-1].detail == "... and 3 more"
    assert {fault.pointer for fault in found[1:3]} == {"/instances/0/age", "/instances/1/age"}


def test_a_column_of_another_name_is_told() -> None:
    """With the one that was meant: best one that the record lacks."""
    faults = FaultList()
    made = preparation(number(), number("aged"), category())
    of_records([{"aged": 3, "agee": 3, "town": "Oslo", "x/y": 1}], made, "/instances", faults)
    near, strange = faults_of(faults)
    assert (near.pointer, strange.pointer) == ("/instances/0/agee", "/instances/0/x~1y")
    assert "There is no column 'agee' in the data that the model was trained on. Did you mean 'age'?" in near.detail
    assert "the columns are 'age', 'aged', 'town'" in strange.detail


def test_columns_that_the_model_does_without_are_no_matter() -> None:
    """Clients send whole rows: the target, and what no feature is made of."""
    made = preparation(number(), targets=(target(),), ignored=("remark",))
    faults = FaultList()
    values = of_records([{"age": 3, "answer": "yes", "remark": {}}], made, "", faults)
    assert (len(faults), list(values)) == (0, ["age"])


def test_a_refused_cell_says_nothing_more() -> None:
    """Its place among categories is one of its own, which encoders pass over."""
    values, _ = sent(category(), [3], None, "b")
    assert isinstance(values, Codes)
    assert values.numbers.tolist() == [REFUSED, MISSING, 0]


@pytest.mark.parametrize(
    ("task", "form"),
    [
        (Task.BINARY, Kind.CATEGORY),
        (Task.CLASSES, Kind.CATEGORY),
        (Task.LABELS, Kind.CATEGORY),
        (Task.NUMBER, Kind.NUMERIC),
        (Task.SEQUENCE, Kind.SEQUENCE),
    ],
)
def test_targets_have_a_form_too(task: Task, form: Kind) -> None:
    """Labels are categories, whatever kind their column has."""
    assert form_of(target(task=task)) == form


def test_numbers_can_enter_as_categories() -> None:
    """The form goes by how a column enters, not by its kind."""
    assert form_of(category(type="int64")) == Kind.CATEGORY
