"""Values become arrays: what each feature and target makes of them, and what is refused."""

import hashlib
import math
from datetime import datetime
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.data.fault_list import FaultList
from service.data.table import Kind
from service.errors import Fault, Invalid
from service.features.columns import MISSING, REFUSED, Codes, Values, of_records
from service.features.dates import PARTS, date_part
from service.features.encode import encode_inputs, encode_targets, hash_number
from service.features.preparation import Feature, Preparation, Target, Task
from tests.features.features import category, date, hashed, image, number, preparation, sequence, target, text

Array = np.ndarray[Any, Any]
NAN = math.nan


def coded(*texts: str | None) -> Codes:
    distinct = list(dict.fromkeys(one for one in texts if one is not None))
    return Codes(distinct, np.array([MISSING if one is None else distinct.index(one) for one in texts], np.int64))


def moments(*texts: str) -> Array:
    return np.array(texts, "datetime64[us]")


def stored(feature: Feature, values: Values) -> Any:
    """What stored rows become."""
    (array,) = encode_inputs({feature.column: values}, preparation(feature)).values()
    return array.tolist()


def refused(call: Any, *arguments: Any) -> list[Fault]:
    with pytest.raises(Invalid) as caught:
        call(*arguments)
    return list(caught.value.faults)


def faults_at_prediction(feature: Feature, values: Values) -> list[Fault]:
    faults = FaultList()
    encode_inputs({feature.column: values}, preparation(feature), faults, "/instances")
    return refused(faults.raise_if_any)


def learned(one: Target, values: Values) -> Any:
    (array,) = encode_targets({one.column: values}, preparation(targets=(one,))).values()
    return array


def test_inputs_are_as_the_preparation_says() -> None:
    """Names, shapes and types, in its order; values first, then what was missing, then the parts of dates."""
    made = preparation(date(), number(indicator=True, fill=3.0), category(), number("fare"), hashed(num_bins=1))
    values: dict[str, Values] = {
        "age": np.array([NAN, 7]),
        "fare": np.array([1.5, 2.5]),
        "born": moments("2000-01-31", "1999-12-31T23:59"),
        "town": coded("Oslo", None),
        "street": coded("x", None),
    }
    arrays = encode_inputs(values, made)
    assert arrays["numbers"].tolist() == [[3, 1.5, 1, 2000, 1], [7, 2.5, 0, 1999, 12]]
    assert arrays["categories"].tolist() == [[2, 4], [0, 3]]
    assert [(name, array.shape[1:], array.dtype) for name, array in arrays.items()] == [
        (one.name, one.shape, one.dtype) for one in made.inputs
    ]


@given(st.lists(st.one_of(st.none(), st.floats(-1e30, 1e30)), min_size=1, max_size=5), st.randoms())
def test_a_row_is_the_same_alone_and_among_others(column: list[float | None], random: Any) -> None:
    """Nothing that is encoded depends on other rows."""
    records = [
        {
            "age": one,
            "town": random.choice(["Oslo", "Rome", None]),
            "born": random.choice(["2000-02-03", None]),
            "note": random.choice(["yes no no", "", "maybe"]),
            "pulse": [[1, 2]] * random.randrange(5),
        }
        for one in column
    ]
    made = preparation(
        number(fill=2.0, indicator=True, scale="log"),
        category(unknown="other"),
        date(fill="1990-05-06", parts=PARTS, centers=(0.0,) * 6, spreads=(1.0,) * 6),
        text(),
        sequence(),
    )

    def encoded(rows: list[dict[str, Any]]) -> dict[str, Array]:
        faults = FaultList()
        arrays = encode_inputs(of_records(rows, made, "", faults), made, faults)
        assert len(faults) == 0
        return arrays

    together = encoded(records)
    for place, record in enumerate(records):
        for name, array in encoded([record]).items():
            assert array[0].tobytes() == together[name][place].tobytes()


def test_logarithms_keep_the_sign() -> None:
    """The value is sign(x) * log1p(|x|); so is that of the fill, which is in the number's own unit."""
    feature = number(scale="log", fill=math.e - 1)
    assert stored(feature, np.array([0, math.e**2 - 1, 1 - math.e, NAN])) == [[0], [2], [-1], [1]]
    assert stored(feature, np.array([1e300])) == [[np.float32(np.log1p(1e300))]]


def test_numbers_that_float32_would_lose_are_scaled_before() -> None:
    """Far from zero, tiny, or huge: what distinguishes them is there after scaling, and the network does none."""
    far = np.array([1e12, 1e12 + 1, 1e12 - 2])
    assert stored(number(center=1e12, spread=1.0), far) == [[0], [1], [-2]]
    assert stored(number(center=1e12, spread=0.0), far) == [[0], [1], [-2]]
    assert stored(number(center=0.0, spread=1e-9, fill=-1e-9), np.array([2e-9, NAN])) == [[2], [-1]]
    assert stored(number(center=0.0, spread=1e60), np.array([2e60])) == [[2]]
    assert stored(number(center=1e4, spread=1.0), np.array([1e4])) == [[1e4]]


def test_parts_of_dates_are_those_that_python_has() -> None:
    """Before 1970 and in leap years, to the minute."""

    @given(st.datetimes(datetime(1, 1, 1), datetime(9999, 12, 31)))  # noqa: DTZ001
    def holds(moment: datetime) -> None:
        found = [int(date_part(np.array([moment], "datetime64[us]"), part)[0]) for part in PARTS]
        due = [moment.year, moment.month, moment.day, moment.weekday(), moment.hour, moment.minute]
        assert found == due

    holds()
    with pytest.raises(ValueError, match="'century'"):
        date_part(moments("2000-01-01"), "century")


def test_a_missing_date_is_its_fill() -> None:
    """In ISO 8601, as the preparation has it."""
    assert stored(date(fill="1999-02-03T04:05"), moments("NaT", "2001-01-01")) == [[1999, 2], [2001, 1]]


def test_stored_categories_that_are_new_are_others() -> None:
    """So are missing ones, whatever the policies are: they are for predictions."""
    values = coded("Oslo", "Rome", None, "Bergen")
    for feature in (category(), category(missing="error"), category(unknown="other")):
        assert stored(feature, values) == [[2], [0], [0], [1]]
    assert stored(category(enters="embedding", output_dim=2), values) == [[2], [0], [0], [1]]


def test_a_category_can_stand_for_a_missing_one() -> None:
    """In stored rows as in records, which lack nothing then; what is new is another matter."""
    values = coded("Oslo", "Rome", None, "Bergen", None)
    assert stored(category(fill="Oslo"), values) == [[2], [0], [2], [1], [2]]
    assert stored(category(fill="Bergen", enters="embedding", output_dim=2), values) == [[2], [0], [1], [1], [1]]
    due = [hash_number(one, 9) for one in ("Oslo", "Rome", "Rome")]
    assert stored(hashed(fill="Rome"), coded("Oslo", "Rome", None)) == [[one] for one in due]
    for feature in (category(fill="Oslo", unknown="other"), hashed(fill="Oslo")):
        faults, prepared = FaultList(), preparation(feature)
        (array,) = encode_inputs({feature.column: values}, prepared, faults).values()
        assert (array.tolist(), len(faults)) == (stored(feature, values), 0)


def test_hashes_are_those_that_are_described() -> None:
    """1 + (the first 8 bytes of SHA-256, little endian) modulo the bins; a missing value is 0."""
    due = [1 + int.from_bytes(hashlib.sha256(one.encode()).digest()[:8], "little") % 7 for one in ("a", "Ærø", "")]
    assert stored(hashed(num_bins=7), coded("a", "Ærø", "", None)) == [*([one] for one in due), [0]]
    assert stored(hashed(num_bins=7), coded("\ud800"))[0][0] in range(1, 8)


def test_words_become_numbers() -> None:
    """Of a bag each word once; of tokens the first ones, in their order; 1 is an unknown word, 0 is none."""
    texts: list[str | None] = ["No, yes; no MAYBE", "a b c d e yes", "", None]
    bag = [[3, 2, 1, 0], [1, 1, 1, 1], [0, 0, 0, 0], [0, 0, 0, 0]]
    assert stored(text(), texts) == bag
    assert stored(text(enters="tokens"), texts) == [[3, 2, 3, 1], *bag[1:]]


@pytest.mark.parametrize(
    ("pad", "truncate", "steps", "expected"),
    [
        ("post", "post", 1, [[1, 2], [5, 0.5], [5, 0.5]]),
        ("pre", "post", 1, [[5, 0.5], [5, 0.5], [1, 2]]),
        ("pre", "pre", 0, [[5, 0.5]] * 3),
        ("post", "post", 4, [[1, 2], [3, 4], [5, 6]]),
        ("post", "pre", 4, [[3, 4], [5, 6], [7, 8]]),
    ],
)
def test_sequences_are_filled_up_or_cut(pad: Any, truncate: Any, steps: int, expected: list[Any]) -> None:
    """At the start or at the end; what fills up is the center of each channel."""
    given = np.arange(1, 2 * steps + 1, dtype=np.float32).reshape(steps, 2)
    assert stored(sequence(pad=pad, truncate=truncate), [given]) == [expected]


def test_a_missing_number_in_a_step_is_the_center() -> None:
    """It is 0 for the network."""
    steps = np.array([[NAN, 2], [3, np.inf]], np.float32)
    assert stored(sequence(), [steps]) == [[[5, 2], [3, 0.5], [5, 0.5]]]


@pytest.mark.parametrize(
    ("feature", "values", "words"),
    [
        (number(), np.array([1, NAN]), ("'age'", "no value came", '"missing": "mean"')),
        (number(), np.array([1, 1e39]), ("'age'", "no float32 holds")),
        (number(fill=1.0), np.array([1, np.inf]), ("'age'", "no float32 holds")),
        (number(fill=1e300), np.array([1, NAN]), ("'age'", "no float32 holds")),
        (date(), moments("2000-01-01", "NaT"), ("'born'", '"missing"')),
        (image(), [b"", b""], ("'photo'", "neither a PNG nor a JPEG file")),
        (image(), [None, None], ("'photo'", "no image came")),
        (sequence(), [np.zeros((1, 2), np.float32), None], ("'pulse'", "no sequence came")),
        (sequence(), [np.zeros((1, 2), np.float32), np.zeros((1, 3), np.float32)], ("steps of 3", "2 numbers")),
    ],
)
def test_stored_rows_that_cannot_be_encoded_are_named(feature: Feature, values: Values, words: tuple[str, ...]) -> None:
    """By their place in the table, where a batch of it begins further down."""
    made = preparation(feature)
    fault = refused(encode_inputs, {feature.column: values}, made, None, "", 700)[-1]
    assert fault.pointer == f"/701/{feature.column}"
    assert [word for word in words if word not in fault.detail] == []


@pytest.mark.parametrize(
    ("feature", "values", "words"),
    [
        (
            category(),
            coded("Oslo", "oslo "),
            ("'oslo '", "'Bergen', 'Oslo'", "Did you mean 'Oslo'?", '"unknown": "other"'),
        ),
        (category(missing="error"), coded("Oslo", None), ("no value came", '"missing": "other"')),
        (hashed(missing="error"), coded("Oslo", None), ("no value came",)),
        (number(), np.array([1, NAN]), ("no value came",)),
        (number(), np.array([1, 1e39]), ("no float32 holds",)),
        (image(), [b"\x89PNG", None], ("no image came",)),
    ],
)
def test_policies_are_kept_at_prediction(feature: Feature, values: Values, words: tuple[str, ...]) -> None:
    """A fault says what to send, or how to train; of many categories it names ten."""
    fault = faults_at_prediction(feature, values)[-1]
    assert fault.pointer == f"/instances/1/{feature.column}"
    assert [word for word in words if word not in fault.detail] == []
    many = category(categories=tuple(f"c{place:02}" for place in range(30)))
    assert "'c09' and 20 more" in faults_at_prediction(many, coded("x"))[0].detail


def test_policies_can_let_values_be_others() -> None:
    """Then there is no fault."""
    faults = FaultList()
    values = {"town": coded("Rome", None)}
    arrays = encode_inputs(values, preparation(category(unknown="other")), faults)
    assert (len(faults), arrays["categories"].tolist()) == (0, [[0], [0]])


def test_nothing_is_said_twice() -> None:
    """A value that was refused as it was read has no second fault when it is encoded."""
    made = preparation(
        number(), category(missing="error"), date(), hashed(missing="error"), image(), sequence(), text()
    )
    record = {"age": "x", "town": [1], "born": "x", "street": {}, "photo": "?", "pulse": 3, "note": [1]}
    faults = FaultList()
    arrays = encode_inputs(of_records([record, "no record"], made, "", faults), made, faults)
    found = refused(faults.raise_if_any)
    assert sorted(fault.pointer for fault in found) == sorted(["/1", *(f"/0/{name}" for name in record)])
    assert all(len(array) == 2 for array in arrays.values())
    assert encode_inputs({"town": Codes([], np.array([REFUSED]))}, preparation(category()), faults)


def test_many_faults_are_counted() -> None:
    """A million wrong rows are told by twenty, and their number."""
    found = faults_at_prediction(category(), coded(*["Rome"] * 1000))
    assert len(found) == FaultList.LIMIT + 1
    assert found[-1].detail == "... and 980 more"


def test_labels_are_numbered_as_the_target_lists_them() -> None:
    """As whole numbers, one a row."""
    array = learned(target(task=Task.CLASSES, labels=("c", "a", "b")), coded("a", "b", "c", "a"))
    assert (array.tolist(), array.dtype) == ([1, 2, 0, 1], np.int32)
    assert learned(target(shape=(1,)), coded("yes", "no")).tolist() == [[1], [0]]


def test_several_labels_are_ones() -> None:
    """A text holds them, with spaces or without; no text is no label."""
    one = target(task=Task.LABELS, labels=("a", "b", "c d"), separator=";", shape=(3,))
    array = learned(one, coded("a; c d", "b", None, "b;;b"))
    assert (array.tolist(), array.dtype) == ([[1, 0, 1], [0, 1, 0], [0, 0, 0], [0, 1, 0]], np.float32)
    single = target(task=Task.LABELS, labels=("a;b",), shape=(1,))
    assert learned(single, coded("a;b")).tolist() == [[1]]


def test_quantities_and_steps_are_numbers() -> None:
    """In the target's own unit."""
    assert learned(target(task=Task.NUMBER, kind=Kind.NUMERIC), np.array([1.5, -2])).tolist() == [1.5, -2]
    steps = np.array([[1, 2], [3, 4]], np.float32)
    assert learned(target(task=Task.SEQUENCE, shape=(2, 2)), [steps]).tolist() == [steps.tolist()]


@pytest.mark.parametrize(
    ("one", "values", "words"),
    [
        (target(), coded("no", "maybe"), ("'maybe'", "'no', 'yes'")),
        (target(), coded("no", None), ("missing in this row",)),
        (target(task=Task.LABELS, separator=";", shape=(2,)), coded("no", "no;yep"), ("'yep'", "Did you mean 'yes'?")),
        (target(task=Task.NUMBER), np.array([1, NAN]), ("missing",)),
        (target(task=Task.NUMBER), np.array([1, -1e39]), ("no float32 holds",)),
        (
            target(task=Task.SEQUENCE, shape=(1, 2)),
            [np.zeros((1, 2), np.float32), np.zeros((2, 2), np.float32)],
            ("2 steps of 2 numbers came", "expected 1 steps of 2 numbers"),
        ),
        (target(task=Task.SEQUENCE, shape=(1, 2)), [np.zeros((1, 2), np.float32), None], ("no steps came",)),
    ],
)
def test_rows_without_a_target_are_named(one: Target, values: Values, words: tuple[str, ...]) -> None:
    """By their place in the table."""
    (fault,) = refused(encode_targets, {"answer": values}, preparation(targets=(one,)), 40)
    assert fault.pointer == "/41/answer"
    assert [word for word in words if word not in fault.detail] == []


def test_several_targets_are_told_apart_by_their_slugs() -> None:
    """Their columns may have names that outputs cannot have."""
    made: Preparation = preparation(targets=(target(), target("höhe", slug="hohe", task=Task.NUMBER)))
    assert list(encode_targets({"answer": coded("no"), "höhe": np.array([2.0])}, made)) == ["answer", "hohe"]
