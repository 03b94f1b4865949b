"""JSON lines and lists of objects as tables: columns are all keys, and whatever is wrong is told by row and column."""

import gzip
import json
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from service.data.json_records import read_json_lines, read_json_records
from service.data.json_stream import MAX_RECORD_BYTES
from service.data.read_options import ReadOptions
from service.data.table import stored_types
from service.data.table_readers import Reader
from service.errors import Invalid, KerasdError, MalformedRequest, TooLarge
from tests.data.tables import faults_of, take

Rows = list[Any]


def as_lines(rows: Rows) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


def as_object(rows: Rows) -> str:
    return json.dumps({"records": rows}, indent=1)


Written = tuple[Reader, Callable[[Rows], str]]
FORMS: list[Written] = [(read_json_lines, as_lines), (read_json_records, json.dumps), (read_json_records, as_object)]
each_form = pytest.mark.parametrize("form", FORMS, ids=["lines", "list", "object"])


def columns(folder: Path, form: Written, rows: Rows) -> tuple[list[Any], str]:
    """The values and the type of the column c."""
    read = take(folder, form[0], form[1](rows))
    return [record["c"] for record in read], stored_types(folder)["c"]


TYPES: list[tuple[list[Any], str, list[Any]]] = [
    ([1, None, -2], "int64", [1, None, -2]),
    ([1, 2.5], "float64", [1, 2.5]),
    ([2**63, 1], "float64", [2.0**63, 1]),
    ([2**60 + 1, 0.5], "float64", [2.0**60, 0.5]),
    ([True, None], "bool", [True, None]),
    (["a", "NA", ""], "string", ["a", "NA", ""]),
    (["1", "2"], "string", ["1", "2"]),
    (["2024-03-01", None], "timestamp", [datetime(2024, 3, 1), None]),  # noqa: DTZ001
    (["2024-03-01T12:00:00+02:00"], "timestamp", [datetime(2024, 3, 1, 10)]),  # noqa: DTZ001
    (["2024-03-01", "soon"], "string", ["2024-03-01", "soon"]),
    ([1, "a", 2.5, True, None], "string", ["1", "a", "2.5", "true", None]),
    ([1, True], "string", ["1", "true"]),
    (["2024-03-01", 1], "string", ["2024-03-01", "1"]),
    ([None, None], "float64", [None, None]),
    ([[1, 2.5], None, []], "sequence", [[[1.0], [2.5]], None, []]),
    ([[[1, 2]], [[3, 4], [5, 6]]], "sequence", [[[1.0, 2.0]], [[3.0, 4.0], [5.0, 6.0]]]),
    ([[], None], "sequence", [[], None]),
    ([["a", "b"], [], "c", None], "string", ["a;b", "", "c", None]),
    ([[2**60 + 1]], "sequence", [[[2.0**60]]]),
]


@each_form
@pytest.mark.parametrize(("values", "stored", "read"), TYPES)
def test_each_column_has_the_type_of_its_values(
    tmp_path: Path, form: Written, values: list[Any], stored: str, read: list[Any]
) -> None:
    """Strings stay strings unless all are dates; what is mixed is text; lists are sequences of steps."""
    assert columns(tmp_path, form, [{"c": value} for value in values]) == (read, stored)


@each_form
@pytest.mark.parametrize(
    ("late", "stored", "first"),
    [(2.5, "float64", 1.0), ("x", "string", "1"), (None, "int64", 1), (True, "string", "1")],
)
def test_late_values_and_keys_count_as_much_as_the_first(
    tmp_path: Path, form: Written, late: Any, stored: str, first: Any
) -> None:
    """The columns are in the order in which the keys first appear; rows without a key miss the value."""
    rows = [{"c": 1, "b": "x"}] * 60_000 + [{"a": 1, "c": late}]
    read = take(tmp_path, form[0], form[1](rows))
    assert stored_types(tmp_path) == {"c": stored, "b": "string", "a": "int64"}
    assert (len(read), read[0]) == (60_001, {"c": first, "b": "x", "a": None})
    assert read[-1]["a"] == 1


def test_lines_may_be_packed_and_empty(tmp_path: Path) -> None:
    """Gzip, a byte order mark and blank lines are seen through."""
    body = b'\xef\xbb\xbf{"a":1}\r\n\n  \n{"a":2}'
    for written in (body, gzip.compress(body)):
        assert take(tmp_path, read_json_lines, written) == [{"a": 1}, {"a": 2}]
    assert take(tmp_path, read_json_records, b'\xef\xbb\xbf [\n{"a":1}]\n') == [{"a": 1}]


WRONG = [
    ({"c": {"x": 1}}, "/1/c", "An object came in row 2"),
    ({"c": [1, "a"]}, "/1/c", "A list of other values came in row 2"),
    ({"c": [True]}, "/1/c", "A list of other values"),
    ({"c": [None]}, "/1/c", "A list of other values"),
    ({"c": [[1], [2, 3]]}, "/1/c", "A list of other values"),
    ({"c": [[[1]]]}, "/1/c", "A list of other values"),
    ({"c": [[]]}, "/1/c", "A list of other values"),
    ({"c": ["a;b"]}, "/1/c", "A list of other values"),
    ([1], "/1", "A list came in row 2"),
    (None, "/1", "null came in row 2"),
    (7, "/1", "A number came in row 2"),
]


@each_form
@pytest.mark.parametrize(("row", "pointer", "words"), WRONG)
def test_what_no_table_can_hold_is_told(tmp_path: Path, form: Written, row: Any, pointer: str, words: str) -> None:
    """By row and key, and by line where there are lines."""
    (fault,) = faults_of(tmp_path, form[0], form[1]([{"b": 1}, row, {"b": 2}]))
    assert fault.pointer == pointer
    assert words in fault.detail
    assert ("line 2 of the file" in fault.detail) == (form[0] is read_json_lines)


@each_form
def test_sequences_must_be_alike(tmp_path: Path, form: Written) -> None:
    """Steps have as many numbers in all rows, within float32, and lists stand beside no other values."""
    reader, write = form
    (fault,) = faults_of(tmp_path, reader, write([{"c": [[1, 2]]}, {"c": [[1, 2, 3]]}]))
    assert "A list of lists of 3 numbers came in row 2" in fault.detail
    assert "A list of lists of 2 numbers was expected" in fault.detail
    (fault,) = faults_of(tmp_path, reader, write([{"c": [1]}, {"c": ["a"]}]))
    assert "A list of texts came in row 2" in fault.detail
    (fault,) = faults_of(tmp_path, reader, write([{"c": [1]}, {"c": "a"}]))
    assert (fault.pointer, "lists and other values" in fault.detail) == ("/1/c", True)
    faults = faults_of(tmp_path, reader, write([{"c": 1}] * 20_000 + [{"c": [1]}]))
    assert "lists and other values" in faults[0].detail
    (fault,) = faults_of(tmp_path, reader, write([{"c": [1]}, {"c": [1e300]}]))
    assert "beyond float32" in fault.detail


@each_form
def test_names_and_numbers_of_columns_are_checked(tmp_path: Path, form: Written) -> None:
    """A key must not be empty, there must be one at least and not too many; so for rows."""
    reader, write = form

    def told(rows: Rows) -> str:
        return " ".join(fault.detail for fault in faults_of(tmp_path, reader, write(rows)))

    assert "Column 2 has no name" in told([{"a": 1, "": 2}])
    assert "no keys" in told([{}, {}])
    assert "more than 4096 different keys" in told([{f"k{number}": 1} for number in range(5000)])
    if reader is read_json_records:
        assert "no rows" in told([])


def test_many_keys_that_are_seldom_there_take_little_at_a_time(tmp_path: Path) -> None:
    """Rows of one key each, of which there are hundreds, are read in short slices."""
    body = as_lines([{f"k{number % 500}": number} for number in range(4000)])
    read = take(tmp_path, read_json_lines, body)
    assert (len(read), read[-1]["k499"], read[0]["k499"]) == (4000, 3999, None)


def test_twenty_faults_are_told_and_the_rest_counted(tmp_path: Path) -> None:
    """Also over blocks."""
    faults = faults_of(tmp_path, read_json_lines, as_lines([{"c": {}}] * 30_000))
    assert (len(faults), faults[-1].detail) == (21, "... and 29980 more")


def test_lines_that_are_no_json_are_all_told(tmp_path: Path) -> None:
    """By line and column."""
    with pytest.raises(MalformedRequest) as raised:
        take(tmp_path, read_json_lines, '{"a":1}\n\n{"a":}\n{"a":1}{"a":2}\n{"a":NaN}\n')
    assert [fault.detail.partition(" (")[0] for fault in raised.value.faults] == [
        "Line 3 is no JSON at column 6",
        "Line 4 is no JSON at column 8",
        "Line 5 is no JSON at column 6",
    ]


GOOD = json.dumps([{"a": "æ},{", "b": [1.5] * 20, "c": number} for number in range(30_000)], ensure_ascii=False)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ('[{"a":1}', "ends too soon, at byte 8"),
        ('{"records":[{"a":1', "ends too soon, at byte 18"),
        (GOOD[:-1], f"ends too soon, at byte {len(GOOD[:-1].encode())}"),
        (GOOD[:-1] + ",]", f"not JSON at byte {len(GOOD.encode())}"),
        (GOOD + " x", "comes more"),
        ('{"records": [{"a":1}]', "} is missing"),
        ('{"records": [{"a":1}], "x": 1}', "comes more"),
        ('{"x": 1, "records": [{"a":1}]}', "An object with another key"),
        ('{"x": [[1]], "y": [1]}', "An object with another key"),
        ('{"records": {"a": 1}}', "An object with another key"),
        ('"text"', "A text came"),
        ("17", "A number or a word came"),
        ("[1, 2]", "first element is no object"),
        (" ", "is empty"),
        ('[{"a": 1e999}]', "infinity"),
        ('[{"a": "x\ny"}]', "control character"),
        ('[{"a":1},,{"a":2}]', "not JSON at byte 9"),
        ("[" * 5000, "first element is no object"),
        ('[{"a":' + "[" * 5000, "depth"),
    ],
)
def test_lists_that_are_no_json_are_told(tmp_path: Path, body: str, words: str) -> None:
    """By the byte, and by what was expected."""
    with pytest.raises((MalformedRequest, Invalid)) as raised:
        take(tmp_path, read_json_records, body)
    assert words in raised.value.faults[0].detail


def test_places_in_long_lists_are_exact(tmp_path: Path) -> None:
    """The byte of what is wrong is counted from the file's beginning, whatever was read before."""
    body = GOOD.replace('"c": 20000}', '"c": tru}').encode()
    position = body.index(b"tru}")
    with pytest.raises(MalformedRequest) as raised:
        take(tmp_path, read_json_records, body)
    assert f"at byte {position}" in raised.value.detail
    body = GOOD.encode().replace(b'"c": 20000}', b'"c": "\xff"}')
    with pytest.raises(MalformedRequest, match=f"position {body.index(bytes([255]))} is not UTF-8; JSON"):
        take(tmp_path, read_json_records, body)


def test_records_that_are_too_long_are_refused(tmp_path: Path) -> None:
    """A record of some megabytes is read, one without an end is not."""
    long = "x" * (MAX_RECORD_BYTES // 2)
    for form in FORMS:
        assert take(tmp_path, form[0], form[1]([{"a": long}, {"a": "b"}]))[0] == {"a": long}
        (fault,) = faults_of(tmp_path, form[0], form[1]([{"a": long * 3}, {"a": "b"}]))
        assert "longer than" in fault.detail


def test_what_is_too_much_is_refused(tmp_path: Path) -> None:
    """More rows than the limit, or more bytes unpacked."""
    body = as_lines([{"a": number} for number in range(1000)])
    with pytest.raises(TooLarge, match="more than 999 rows"):
        take(tmp_path, read_json_lines, body, limits=ReadOptions(max_rows=999))
    with pytest.raises(TooLarge, match="unpacks to more"):
        take(tmp_path, read_json_lines, gzip.compress(body.encode()), limits=ReadOptions(max_bytes=8500))


RECORDS = st.lists(
    st.fixed_dictionaries(
        {},
        optional={
            "whole": st.none() | st.integers(-(2**63), 2**63 - 1),
            "number": st.none() | st.floats(allow_nan=False, allow_infinity=False),
            "truth": st.none() | st.booleans(),
            "words": st.none() | st.text().map("'{}".format),
            "steps": st.none()
            | st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False).map(lambda x: [x])),
        },
    ).filter(len),
    min_size=1,
    max_size=20,
)


@each_form
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(rows=RECORDS)
def test_records_come_back_as_they_were(tmp_path: Path, form: Written, rows: list[dict[str, Any]]) -> None:
    """What Python's own writer makes of them gives the same values."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    read = take(tmp_path, form[0], form[1](rows))
    assert read == [{name: row.get(name) for name in names} for row in rows]
    assert list(stored_types(tmp_path)) == names


@each_form
@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    cut=st.integers(0, 400),
    changes=st.lists(st.tuples(st.integers(0, 400), st.sampled_from(b'\0\xff\n{}[]",:1x-\\')), max_size=5),
)
def test_damage_is_told_or_harmless(tmp_path: Path, form: Written, cut: int, changes: list[tuple[int, int]]) -> None:
    """Nothing but an error of ours comes of a file that is cut or changed."""
    rows = [{"a": 1, "b": [[1.5, 2]], "c": "x", "d": None}, {"a": 2.5, "c": "2024-01-01", "e": ["x", "y"]}] * 3
    body = bytearray(form[1](rows).encode()[:cut])
    for place, value in changes:
        if body:
            body[place % len(body)] = value
    with suppress(KerasdError):
        take(tmp_path, form[0], bytes(body))
