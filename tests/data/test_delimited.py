"""CSV and TSV files as tables: types are found out, and whatever is wrong is told by row, line and column."""

import codecs
import csv
import gzip
import io
import string
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from service.data.delimited import MAX_ROW_BYTES, read_csv_table, read_tsv_table
from service.data.read_options import ReadOptions
from service.errors import Invalid, KerasdError, MalformedRequest, TooLarge
from tests.data.tables import faults_of, take, types

MIXED = (
    "age,fare,member,seen,city,zip,empty\r\n"
    '22,7.25,true,2020-01-01,"Oslo, N",00123,\r\n'
    '\r\n,NA,FALSE,2020-01-01T10:00:00,NA,"1"," "\r\n'
)


def test_each_column_has_the_type_of_its_values(tmp_path: Path) -> None:
    """Numbers, booleans, dates and texts; blank lines are no rows, and a column without values is of numbers."""
    records = take(tmp_path, read_csv_table, MIXED)
    assert types(tmp_path, read_csv_table, MIXED) == {
        "age": "int64",
        "fare": "float64",
        "member": "bool",
        "seen": "timestamp",
        "city": "string",
        "zip": "string",
        "empty": "float64",
    }
    first, second = records
    assert (first["age"], first["fare"], first["city"], first["zip"]) == (22, 7.25, "Oslo, N", "00123")
    assert (second["age"], second["fare"], second["city"], second["zip"]) == (None, None, None, "1")
    assert second["seen"] == datetime(2020, 1, 1, 10)  # noqa: DTZ001


@pytest.mark.parametrize("packing", ["none", "gzip", "zstd", "bom", "utf-16", "utf-16 in gzip"])
def test_packing_changes_nothing(tmp_path: Path, packing: str) -> None:
    """Gzip, zstd, a byte order mark and UTF-16 are seen through."""
    body = MIXED.encode()
    packed = {
        "none": body,
        "gzip": gzip.compress(body),
        "zstd": pa.compress(body, codec="zstd", asbytes=True),
        "bom": b"\xef\xbb\xbf" + body,
        "utf-16": MIXED.encode("utf-16"),
        "utf-16 in gzip": gzip.compress(MIXED.encode("utf-16")),
    }[packing]
    assert take(tmp_path, read_csv_table, packed) == take(tmp_path, read_csv_table, body)


def test_quoted_newlines_and_tabs_belong_to_values(tmp_path: Path) -> None:
    """In TSV too, cells may be quoted; a lone quote within a value is a character."""
    records = take(tmp_path, read_tsv_table, 'a\tb\n"one\ntwo"\t5" pipe\n"x\ty"\t"say ""hi"""\n')
    assert records == [{"a": "one\ntwo", "b": '5" pipe'}, {"a": "x\ty", "b": 'say "hi"'}]


def test_a_client_can_say_the_delimiter_and_what_is_missing(tmp_path: Path) -> None:
    """What is said is not guessed; texts that stand for missing values do so in columns of text too."""
    records = take(tmp_path, read_csv_table, "a,b:c\n1,x:?\n", delimiter=":", nulls=("?",))
    assert records == [{"a,b": "1,x", "c": None}]
    assert take(tmp_path, read_csv_table, "a,b\nNA,?\nx,y\n", nulls=("?",))[0] == {"a": "NA", "b": None}


EUROPEAN = "who;price;count;list\nAda;3,14;7;1,2\nBob;-1000,5;8;1,2,3\nEva;2e3;;\n"


@pytest.mark.parametrize("delimiter", [";", "\t"])
@pytest.mark.parametrize("decimal", [None, ","])
def test_decimal_commas_are_found_out_or_said(tmp_path: Path, delimiter: str, decimal: str | None) -> None:
    """Where spreadsheets write them; a column of which a cell is no number with a comma is text."""
    body = EUROPEAN.replace(";", delimiter)
    reader = read_csv_table if delimiter == ";" else read_tsv_table
    assert take(tmp_path, reader, body, decimal=decimal) == [
        {"who": "Ada", "price": 3.14, "count": 7, "list": "1,2"},
        {"who": "Bob", "price": -1000.5, "count": 8, "list": "1,2,3"},
        {"who": "Eva", "price": 2000.0, "count": None, "list": None},
    ]


def test_decimal_points_can_be_said(tmp_path: Path) -> None:
    """Numbers with commas are texts then, as they are where other delimiters make another kind of file likely."""
    assert types(tmp_path, read_csv_table, EUROPEAN, decimal=".")["price"] == "string"
    assert types(tmp_path, read_csv_table, 'a,b\n"1,5",2\n') == {"a": "string", "b": "int64"}
    assert take(tmp_path, read_csv_table, 'a,b\n"1,5",2.5\n', decimal=",") == [{"a": 1.5, "b": "2.5"}]
    assert take(tmp_path, read_csv_table, "a\n1,5\n", decimal=",") == [{"a": 1.5}]


def test_each_column_has_a_decimal_mark_of_its_own(tmp_path: Path) -> None:
    """Where none is said; both in one column make it text, and a point stays a decimal one."""
    body = "a;b;c\n1.5;1,5;1.5\n1.234;2;1,5\n"
    assert take(tmp_path, read_csv_table, body)[1] == {"a": 1.234, "b": 2.0, "c": "1,5"}


@pytest.mark.parametrize("packed", [False, True])
def test_a_late_comma_counts_as_much_as_an_early_one(tmp_path: Path, packed: bool) -> None:
    """Numbers before it are read with its column; after a point it makes its column text."""
    body = ("a;b;c\n" + "1;1.5;1e3\n" * 400_000 + "1,5;2,5;2,5\n").encode()
    body = gzip.compress(body, 1) if packed else body
    assert types(tmp_path, read_csv_table, body) == {"a": "float64", "b": "string", "c": "float64"}
    records = take(tmp_path, read_csv_table, body)
    assert (records[0], records[-1]) == ({"a": 1.0, "b": "1.5", "c": 1000.0}, {"a": 1.5, "b": "2,5", "c": 2.5})


@pytest.mark.parametrize("number", ["1.234,5", "-12.345.678", "1 234,5", "1\u202f234,50", "1'234,5"])
def test_what_sets_thousands_apart_is_told(tmp_path: Path, number: str) -> None:
    """If decimal commas were asked for, and the column's other cells are numbers; else it is text, and not guessed."""
    body = f"a;b/c\nx;1,5\ny;{number}\n" + f"z;{number}\n" * 30
    faults = faults_of(tmp_path, read_csv_table, body, decimal=",")
    assert (faults[0].pointer, faults[-1].detail) == ("/1/b~1c", "... and 11 more")
    came = f"The number {number!r} came in row 2 (line 3 of the file), column 'b/c'; with decimal=, one such as 1234,5"
    assert faults[0].detail.startswith(came)
    assert take(tmp_path, read_csv_table, body)[1] == {"a": "y", "b/c": number}
    assert types(tmp_path, read_csv_table, f"{body}z;none at all\n", decimal=",")["b/c"] == "string"


def test_infinite_numbers_with_commas_are_told(tmp_path: Path) -> None:
    """As those with points are."""
    (fault,) = faults_of(tmp_path, read_csv_table, "a;b\n1,5;2\n1,5e999;3\n")
    assert "The number '1,5e999' came in row 2 (line 3 of the file), column 'a'" in fault.detail


@pytest.mark.parametrize(
    ("late", "type_name", "first"),
    [("2.5", "float64", 1.0), ("x", "string", "1"), ("", "int64", 1), ("007", "string", "1")],
)
@pytest.mark.parametrize("packed", [False, True])
def test_a_late_value_widens_the_type_of_all(
    tmp_path: Path, late: str, type_name: str, first: Any, packed: bool
) -> None:
    """The last of many rows counts as much as the first, and what came before is kept as it was written."""
    body = ("a,b\n" + "1,true\n" * 400_000 + f"{late},maybe\n").encode()
    body = gzip.compress(body, 1) if packed else body
    assert types(tmp_path, read_csv_table, body) == {"a": type_name, "b": "string"}
    records = take(tmp_path, read_csv_table, body)
    assert (len(records), records[0]) == (400_001, {"a": first, "b": "true"})


def test_ragged_rows_are_all_told(tmp_path: Path) -> None:
    """Up to twenty by row and line, the rest by number; a value of two lines counts for two."""
    faults = faults_of(tmp_path, read_csv_table, 'a,b\n1,"x\ny"\n2\n' + "1,2,3\n" * 30)
    assert (faults[0].pointer, len(faults)) == ("/1", 21)
    assert "1 cells came in row 2 (line 4 of the file); the header names 2" in faults[0].detail
    assert "3 cells came in row 3 (line 5 of the file)" in faults[1].detail
    assert faults[-1].detail == "... and 11 more"
    faults = faults_of(tmp_path, read_csv_table, "a,b\n" + "1\n" * 1_000_000)
    assert [fault.detail for fault in faults[20:]] == ["... and 9980 more", "The rows after these were not looked at."]


@pytest.mark.parametrize("cell", ["inf", "-Infinity", "1e999"])
def test_infinite_numbers_are_told(tmp_path: Path, cell: str) -> None:
    """They are wrong among numbers, and texts among texts; NaN is a missing value."""
    (fault,) = faults_of(tmp_path, read_csv_table, f"a,b/c\n1,2\n3,{cell}\n")
    assert fault.pointer == "/1/b~1c"
    assert f"The number '{cell}' came in row 2 (line 3 of the file), column 'b/c'" in fault.detail
    assert take(tmp_path, read_csv_table, f"a\n{cell}\nx\n") == [{"a": cell}, {"a": "x"}]
    assert take(tmp_path, read_csv_table, "a\n1\nnan\n", nulls=()) == [{"a": 1.0}, {"a": None}]


def test_a_nul_byte_is_told(tmp_path: Path) -> None:
    """Such files are no text, or damaged."""
    (fault,) = faults_of(tmp_path, read_csv_table, "a,b\n1,x\n1,x\0y\n")
    assert fault.pointer == "/1/b"
    assert "NUL" in fault.detail


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("", "first line is empty"),
        ("\n1\n", "first line is empty"),
        ("a,b\n1,2\n".encode("utf-16-le").decode(), "as UTF-16 without its byte order mark does"),
        ("a,a\n1,2\n", "'a' came 2 times"),
        ("a,\n1,2\n", "Column 2 has no name"),
        ("1,2\n1,2\n", "numbers only"),
        ('a,"b\n1,2\n', "cannot be split into names"),
        (",".join(f"c{number}" for number in range(4097)), "4097 columns"),
        (",".join(f"c{number}" for number in range(1_000_000)), "header is longer than"),
        ("a,b\n", "no rows"),
        ('a,b\n1,"2\n3,4\n', "quote is not closed"),
        ('a,b\n1,"2\n' + "3,4\n" * 9_000_000, "after row 0 comes one of more than"),
    ],
)
def test_files_that_are_no_tables_are_told(tmp_path: Path, body: str, words: str) -> None:
    """The header and the quotes."""
    (fault,) = faults_of(tmp_path, read_csv_table, body)
    assert words in fault.detail


def test_long_rows_are_read_up_to_a_limit(tmp_path: Path) -> None:
    """A document may be a value; a line without an end is none."""
    body = b"a,b\n1," + b"x" * (MAX_ROW_BYTES // 2) + b"\n2,y\n"
    assert [len(record["b"]) for record in take(tmp_path, read_csv_table, body)] == [MAX_ROW_BYTES // 2, 1]
    (fault,) = faults_of(tmp_path, read_csv_table, b"a,b\n1," + b"x" * (6 * MAX_ROW_BYTES) + b"\n")
    assert "after row 0" in fault.detail


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"a,b\n1,2\n1,\xff\n", "position 10 "),
        (b"a,b\n1,2\n1,\xe6", "position 10 "),
        (b"a\xe9,b\n1,2\n", "position 1 "),
        (b"a,b\n" + b"1,2\n" * 600_000 + b"1,\xe6\xf8\n", "position 2400006 "),
        ("\ufeffa,b\n1,2\n".encode("utf-16-le") + b"\0", "what is at position 18 is not .truncated data"),
        (codecs.BOM_UTF16_BE + b"\0a\0\n\xdc\x00\0\n", "what is at position 6 is not .illegal encoding"),
        (gzip.compress(codecs.BOM_UTF16_LE + b"a\0\n\0" + b"1\0\n\0" * 2**20 + b"\0\xd8"), "at position 4194310 "),
        ("a,b\n1,2\n".encode("utf-32"), "position 0 is not UTF-8"),
        (gzip.compress(b"a,b\n" + b"1,2\n" * 100, mtime=0)[:-9], "gzip data end too soon"),
    ],
)
def test_what_is_no_utf8_is_told_by_position(tmp_path: Path, body: bytes, words: str) -> None:
    """Where the first wrong byte is, or what the encoding seems to be."""
    with pytest.raises(MalformedRequest, match=words):
        take(tmp_path, read_csv_table, body)


@pytest.mark.parametrize("limits", [{"max_rows": 2}, {"max_bytes": 30}])
def test_what_is_too_much_is_refused(tmp_path: Path, limits: dict[str, int]) -> None:
    """Rows, and bytes as a table or unpacked."""
    for body in (b"a,b\n1,x\n2,y\n3,z\n", gzip.compress(b"a,b\n1,x\n2,y\n3,z\n" * 9)):
        with pytest.raises((TooLarge, Invalid)) as raised:
            take(tmp_path, read_csv_table, body, limits=ReadOptions(**limits))
        assert raised.type is TooLarge or limits == {"max_rows": 2}


CELLS: dict[str, st.SearchStrategy[Any]] = {
    "whole": st.none() | st.integers(-(2**63), 2**63 - 1),
    "number": st.none() | st.floats(allow_nan=False, allow_infinity=False),
    "truth": st.none() | st.booleans(),
    "moment": st.none() | st.datetimes(datetime(1700, 1, 1), datetime(2250, 1, 1)),  # noqa: DTZ001
    "words": st.none() | st.text(st.sampled_from(string.printable + "æ€😀"), min_size=1).map("'{}".format),
}


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(rows=st.lists(st.fixed_dictionaries(CELLS), min_size=1, max_size=20), delimiter=st.sampled_from(",;\t|"))
def test_records_come_back_as_they_were(tmp_path: Path, rows: list[dict[str, Any]], delimiter: str) -> None:
    """What Python's own writer makes of them gives the same values; a carriage return is part of no value."""
    rows = [{**row, "words": row["words"] and row["words"].replace("\r", "")} for row in rows]
    text = io.StringIO()
    writer = csv.DictWriter(text, list(CELLS), delimiter=delimiter)
    writer.writeheader()
    writer.writerows(
        [{**row, "number": row["number"] if row["number"] is None else repr(row["number"])} for row in rows]
    )
    assert take(tmp_path, read_csv_table, text.getvalue(), nulls=("",), delimiter=delimiter) == rows


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    cut=st.integers(0, 400),
    changes=st.lists(st.tuples(st.integers(0, 400), st.sampled_from(b'\0\xff\n\r",;1x-')), max_size=5),
    packed=st.booleans(),
)
def test_damage_is_told_or_harmless(tmp_path: Path, cut: int, changes: list[tuple[int, int]], packed: bool) -> None:
    """Nothing but an error of ours comes of a file that is cut or changed."""
    content = MIXED.encode() * 3
    body = bytearray((gzip.compress(content) if packed else content)[:cut])
    for place, value in changes:
        if body:
            body[place % len(body)] = value
    with suppress(KerasdError):
        take(tmp_path, read_csv_table, bytes(body))


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("packed", [False, True])
def test_late_values_of_utf16_count(tmp_path: Path, encoding: str, packed: bool) -> None:
    """It is read from its beginning alone, as its middle may be that of a character, and no block cuts one."""
    body = ("\ufeffa\tb\r\n" + "1\tÆ😀\r\n" * 300_000 + "1,5\t€\r\n").encode(encoding)
    body = gzip.compress(body, 1) if packed else body
    records = take(tmp_path, read_csv_table, body)
    assert (records[0], records[-1], len(records)) == ({"a": 1.0, "b": "Æ😀"}, {"a": 1.5, "b": "€"}, 300_001)
    assert {record["b"] for record in records} == {"Æ😀", "€"}


def test_moments_of_zones_are_told_in_utc(tmp_path: Path) -> None:
    """As the stored form has no zone."""
    moment = datetime(2024, 3, 1, 12, 30, tzinfo=UTC)
    assert take(tmp_path, read_csv_table, f"a\n{moment.isoformat()}\n") == [{"a": moment.replace(tzinfo=None)}]
