"""Parquet and Arrow files as tables: columns are cast to what is stored, or told by name and cell."""

import decimal
import gzip
import io
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from service.data.columnar import read_arrow, read_parquet
from service.data.read_options import ReadOptions
from service.data.table import MAX_BATCH_ROWS, batches, stored_types
from service.data.table_readers import Reader
from service.errors import KerasdError, MalformedRequest, TooLarge
from tests.data.tables import faults_of, take

PNG, JPEG = b"\x89PNG\r\n\x1a\n" + bytes(20), b"\xff\xd8\xff\xe0" + bytes(20)
NOON = datetime(2024, 3, 1, 12)  # noqa: DTZ001


def parquet(table: pa.Table, **options: Any) -> bytes:
    sink = io.BytesIO()
    pq.write_table(table, sink, **options)
    return sink.getvalue()


def arrow_file(table: pa.Table, **options: Any) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, table.schema, options=pa.ipc.IpcWriteOptions(**options)) as writer:
        writer.write_table(table)
    return bytes(sink.getvalue().to_pybytes())


def arrow_stream(table: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return bytes(sink.getvalue().to_pybytes())


Written = tuple[Reader, Callable[..., bytes]]
FORMS: list[Written] = [(read_parquet, parquet), (read_arrow, arrow_file), (read_arrow, arrow_stream)]
each_form = pytest.mark.parametrize("form", FORMS, ids=["parquet", "file", "stream"])
#: For what Parquet cannot hold.
each_arrow = pytest.mark.parametrize("form", FORMS[1:], ids=["file", "stream"])


def read(folder: Path, form: Written, column: pa.Array) -> list[Any]:
    reader, write = form
    return [record["c"] for record in take(folder, reader, write(pa.table({"c": column})))]


CASTS: list[tuple[pa.Array, str, list[Any]]] = [
    (pa.array([1, None], pa.int8()), "int64", [1, None]),
    (pa.array([2**32 - 1], pa.uint32()), "int64", [2**32 - 1]),
    (pa.array([2**63 - 1], pa.uint64()), "int64", [2**63 - 1]),
    (pa.array([1.5, None, float("nan")], pa.float16()), "float64", [1.5, None, None]),
    (pa.array([0.1, float("nan")]), "float64", [0.1, None]),
    (pa.array([decimal.Decimal("1.25"), None]), "float64", [1.25, None]),
    (pa.array([True, None]), "bool", [True, None]),
    (pa.array(["æ", None], pa.large_string()), "string", ["æ", None]),
    (pa.array(["a", "b", None, "a"]).dictionary_encode(), "string", ["a", "b", None, "a"]),
    (pa.array([date(2024, 3, 1), None]), "timestamp", [datetime(2024, 3, 1), None]),  # noqa: DTZ001
    (pa.array([NOON], pa.timestamp("s")), "timestamp", [NOON]),
    (pa.array([1_000_000_000_000_001_999], pa.timestamp("ns")), "timestamp", [datetime(2001, 9, 9, 1, 46, 40, 1)]),  # noqa: DTZ001
    (pa.array([NOON.replace(tzinfo=UTC)], pa.timestamp("ms", "Europe/Oslo")), "timestamp", [NOON]),
    (pa.array([None, None]), "float64", [None, None]),
    (pa.array([PNG, None, JPEG]), "image", [PNG, None, JPEG]),
    (
        pa.array([{"bytes": PNG, "path": "a.png"}, None], pa.struct([("bytes", pa.binary()), ("path", pa.string())])),
        "image",
        [PNG, None],
    ),
    (pa.array([[1, 2], None, []], pa.list_(pa.int16())), "sequence", [[[1.0], [2.0]], None, []]),
    (pa.array([[0.5, 2], [3, 4]], pa.list_(pa.float64(), 2)), "sequence", [[[0.5], [2.0]], [[3.0], [4.0]]]),
    (pa.array([None, [], [[1, 2], [3, 4]]]), "sequence", [None, [], [[1.0, 2.0], [3.0, 4.0]]]),
    (pa.array([[[1.5, 2]], None], pa.list_(pa.list_(pa.float32(), 2))), "sequence", [[[1.5, 2.0]], None]),
    (pa.array([["a", "b"], [], None]), "string", ["a;b", "", None]),
    (pa.array([["a"] * 9, None, ["b"]] * 9), "string", ["a;a;a;a;a;a;a;a;a", None, "b"] * 9),
]


@each_form
@pytest.mark.parametrize(("column", "stored", "values"), CASTS, ids=[str(column.type) for column, *_ in CASTS])
def test_columns_are_cast_to_what_is_stored(
    tmp_path: Path, form: Written, column: pa.Array, stored: str, values: list[Any]
) -> None:
    """NaN and null are missing values, moments are told in UTC, and lists are sequences of steps."""
    assert read(tmp_path, form, column) == values
    assert stored_types(tmp_path) == {"c": stored}
    sliced = pa.concat_arrays([column, column]).slice(1, len(column)) if len(column) > 1 else column
    assert read(tmp_path, form, sliced) == ((values + values)[1 : len(values) + 1] if len(values) > 1 else values)


@each_arrow
def test_what_only_arrow_has_is_cast_too(tmp_path: Path, form: Written) -> None:
    """Views of texts, and large lists."""
    assert read(tmp_path, form, pa.array(["a", None], pa.string_view())) == ["a", None]
    assert read(tmp_path, form, pa.array([[1]], pa.large_list(pa.uint8()))) == [[[1.0]]]


CELLS = [
    (pa.array([1, 2**63], pa.uint64()), "beyond 2**63 - 1"),
    (pa.array([1, float("inf")]), "An infinite number"),
    (pa.array([1, 10**14], pa.timestamp("s")), "64 bits of microseconds"),
    (pa.array([PNG, b"GIF89a"]), "no PNG or JPEG"),
    (
        pa.array([{"bytes": PNG, "path": "a"}, {"bytes": None, "path": "b"}]),
        "path of an image without its bytes",
    ),
    (pa.array([[1.0], [float("nan")]]), "missing, not finite, or beyond float32"),
    (pa.array([[1.0], [1e300]]), "missing, not finite, or beyond float32"),
    (pa.array([[1.0], [None]]), "missing, not finite, or beyond float32"),
    (pa.array([[[1, 2]], [[3]]]), "uneven step came in row 2, column 'c'. 2 numbers were expected"),
    (pa.array([["a"], ["a;b"]]), "semicolon"),
]


@each_form
@pytest.mark.parametrize(("column", "words"), CELLS)
def test_cells_that_cannot_be_stored_are_told(tmp_path: Path, form: Written, column: pa.Array, words: str) -> None:
    """By row and column."""
    if form[0] is read_parquet and column.type == pa.timestamp("s"):
        # Parquet itself has no seconds.
        column = pa.array([1, 10**14 * 1000], pa.timestamp("ms"))
    reader, write = form
    (fault,) = faults_of(tmp_path, reader, write(pa.table({"c": column, "d": [1, 2]})))
    assert fault.pointer == "/1/c"
    assert words in fault.detail
    assert "row 2" in fault.detail


@each_form
def test_rows_are_counted_over_batches(tmp_path: Path, form: Written) -> None:
    """The number of a row is that in the file; twenty faults are told, and the rest counted."""
    numbers = np.zeros(3 * MAX_BATCH_ROWS)
    numbers[2 * MAX_BATCH_ROWS + 5 :] = np.inf
    faults = faults_of(tmp_path, form[0], form[1](pa.table({"c": numbers})))
    assert faults[0].pointer == f"/{2 * MAX_BATCH_ROWS + 5}/c"
    assert faults[-1].detail == f"... and {MAX_BATCH_ROWS - 25} more"


@each_arrow
@pytest.mark.parametrize(
    ("column", "words"),
    [
        (pa.array([{"x": 1}]), "each of its fields a column"),
        (pa.array([time(1)]), "number of seconds"),
        (pa.array([timedelta(1)]), "number of seconds"),
        (pa.array([b"1234"], pa.binary(4)), "hexadecimal"),
        (pa.array([[{"x": 1}]]), "Lists must be of numbers"),
        (pa.array([[[[1]]]]), "Lists must be of numbers"),
        (pa.array([[("a", 1)]], pa.map_(pa.string(), pa.int64())), "each of its fields a column"),
        (pa.FixedShapeTensorArray.from_numpy_ndarray(np.zeros((1, 2, 2))), "Convert it to numbers"),
    ],
    ids=str,
)
def test_columns_that_cannot_be_stored_are_told(tmp_path: Path, form: Written, column: pa.Array, words: str) -> None:
    """By name and type, all of them at once, with what to do."""
    table = pa.table({"a/b": column, "ok": [1], "c": pa.array([{"x": 1}])})
    first, second = faults_of(tmp_path, form[0], form[1](table))
    assert (first.pointer, second.pointer) == ("/a~1b", "/c")
    assert words in first.detail


@each_form
def test_names_are_checked(tmp_path: Path, form: Written) -> None:
    """Each column has a name of its own; a file has at least one column and one row, and not too many."""
    reader, write = form

    def told(table: pa.Table) -> str:
        return " ".join(fault.detail for fault in faults_of(tmp_path, reader, write(table)))

    one = pa.array([1])
    assert "Column 2 has no name" in told(pa.table([one, one], names=["a", ""]))
    assert "'a' came 2 times" in told(pa.table([one, one], names=["a", "a"]))
    assert "has no rows" in told(pa.table({"a": pa.array([], pa.int64())}))
    assert "no columns" in told(pa.table({"__index_level_0__": one}))
    assert "4097 columns" in told(pa.table({f"c{number}": one for number in range(4097)}))


@each_form
def test_what_pandas_adds_for_an_index_is_left_out(tmp_path: Path, form: Written) -> None:
    """An index without a name is no column of the data."""
    table = pa.table({"a": [1], "__index_level_0__": [7]})
    assert take(tmp_path, form[0], form[1](table)) == [{"a": 1}]


def test_row_groups_come_one_after_the_other(tmp_path: Path) -> None:
    """In batches of rows that are bounded, with names that have dots."""
    table = pa.table({"a.b": range(200_000), "text": [f"{number}" * 20 for number in range(200_000)]})
    take(tmp_path, read_parquet, parquet(table, row_group_size=70_000))
    read = list(batches(tmp_path))
    assert sum(batch.num_rows for batch in read) == 200_000
    assert max(batch.num_rows for batch in read) <= MAX_BATCH_ROWS
    assert read[-1]["a.b"][-1].as_py() == 199_999


def test_one_batch_of_many_rows_is_cut(tmp_path: Path) -> None:
    """Whatever an Arrow file holds at once, packed or not."""
    table = pa.table({"a": range(300_000)})
    for compression in (None, "lz4", "zstd"):
        body = arrow_file(table, compression=compression)
        assert len(take(tmp_path, read_arrow, body)) == 300_000
        assert max(batch.num_rows for batch in batches(tmp_path)) <= MAX_BATCH_ROWS


@each_form
def test_a_dictionary_of_large_texts_is_taken_apart_in_parts(tmp_path: Path, form: Written) -> None:
    """A text that is there once and meant often is refused before it fills the memory."""
    column = pa.DictionaryArray.from_arrays(pa.array(np.zeros(60_000, np.int32)), pa.array(["x" * 1_000_000]))
    (tmp_path / "body").write_bytes(form[1](pa.table({"c": column})))
    with pytest.raises(TooLarge):
        take(tmp_path, form[0], form[1](pa.table({"c": column})), limits=ReadOptions(max_bytes=2**27))


@pytest.mark.parametrize("nesting", ["text", "list", "image"])
def test_a_parquet_file_that_repeats_large_values_is_taken_apart_in_parts(tmp_path: Path, nesting: str) -> None:
    """A few kilobytes of it stand for gigabytes, whatever its schema says; they do not fill the memory."""
    places = pa.array(np.zeros(4_000, np.int32))
    if nesting == "image":
        files = pa.DictionaryArray.from_arrays(places, pa.array([PNG + bytes(100_000)]))
        paths = pa.DictionaryArray.from_arrays(places, pa.array(["a.png"]))
        column = pa.StructArray.from_arrays([files, paths], names=["bytes", "path"])
    else:
        column = pa.DictionaryArray.from_arrays(places, pa.array(["x" * 100_000]))
    if nesting == "list":
        column = pa.ListArray.from_arrays(pa.array(range(4_001), pa.int32()), column)
    body = parquet(pa.table({"c": column}), store_schema=False)
    assert len(body) < 20_000
    with pytest.raises(TooLarge):
        take(tmp_path, read_parquet, body, limits=ReadOptions(max_bytes=2**28))


def test_a_bomb_in_a_batch_is_refused(tmp_path: Path) -> None:
    """Of what is packed, the size is looked at first: of columns as of dictionaries."""
    table = pa.table({"c": np.zeros(2**26)})
    with pytest.raises(TooLarge, match="A record batch unpacks to more"):
        take(tmp_path, read_arrow, arrow_file(table, compression="zstd"))
    words = pa.DictionaryArray.from_arrays(pa.array([0], pa.int32()), pa.array(["x" * 2**29]))
    with pytest.raises(TooLarge, match="A record batch unpacks to more"):
        take(tmp_path, read_arrow, arrow_file(pa.table({"c": words}), compression="zstd"))


TABLE = pa.table(
    {
        "n": pa.array([1, None, 3]),
        "x": [0.5, 1.5, 2.5],
        "s": pa.array(["a", "b", "a"]).dictionary_encode(),
        "l": [[1.0], [2.0, 3.0], []],
        "t": [NOON] * 3,
    }
)


@each_form
@pytest.mark.parametrize("size", [0, 3, 8, 100, -1, -8])
def test_files_that_are_cut_are_told(tmp_path: Path, form: Written, size: int) -> None:
    """An Arrow file whose directory alone is missing has all its rows, and is read."""
    body = form[1](TABLE)[:size]
    if form[1] is arrow_file and size < 0:
        assert len(take(tmp_path, form[0], body)) == 3
        return
    if form[1] is arrow_stream and size == -8:
        # A stream may end without its mark.
        assert len(take(tmp_path, form[0], body)) == 3
        return
    with pytest.raises(MalformedRequest, match="cannot be read"):
        take(tmp_path, form[0], body)


@pytest.mark.parametrize("size", [0, 5, 2**16, 2**31 - 1, 2**32 - 1])
def test_a_footer_that_lies_is_told(tmp_path: Path, size: int) -> None:
    """Its size stands at the end of a Parquet file."""
    body = parquet(TABLE)
    with pytest.raises(MalformedRequest, match="cannot be read"):
        take(tmp_path, read_parquet, body[:-8] + size.to_bytes(4, "little") + b"PAR1")


def test_encrypted_and_packed_files_are_told(tmp_path: Path) -> None:
    """With the reason."""
    with pytest.raises(MalformedRequest, match="is packed"):
        take(tmp_path, read_parquet, gzip.compress(parquet(TABLE)))
    body = parquet(TABLE)
    with pytest.raises(MalformedRequest, match="crypt"):
        take(tmp_path, read_parquet, b"PARE" + body[4:-4] + b"PARE")


@each_form
# PyArrow may end the process for a rare file, which a child is there for; so the examples are always the same.
@settings(
    max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, derandomize=True
)
@given(
    cut=st.none() | st.integers(0, 3000),
    changes=st.lists(st.tuples(st.integers(0, 5000), st.integers(0, 255)), min_size=1, max_size=4),
)
def test_damage_is_told_or_harmless(
    tmp_path: Path, form: Written, cut: int | None, changes: list[tuple[int, int]]
) -> None:
    """Nothing but an error of ours comes of a file that is cut or changed."""
    body = bytearray(form[1](TABLE)[:cut])
    for place, value in changes:
        if body:
            body[place % len(body)] = value
    with suppress(KerasdError):
        take(tmp_path, form[0], bytes(body))


@each_form
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    rows=st.lists(
        st.fixed_dictionaries(
            {
                "whole": st.none() | st.integers(-(2**63), 2**63 - 1),
                "number": st.none() | st.floats(allow_nan=False, allow_infinity=False),
                "truth": st.none() | st.booleans(),
                "moment": st.none() | st.datetimes(datetime(1700, 1, 1), datetime(2250, 1, 1)),  # noqa: DTZ001
                "words": st.none() | st.text(),
                "steps": st.none()
                | st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False).map(lambda x: [x])),
            }
        ),
        min_size=1,
        max_size=20,
    )
)
def test_records_come_back_as_they_were(tmp_path: Path, form: Written, rows: list[dict[str, Any]]) -> None:
    """What PyArrow writes of them gives the same values."""
    schema = pa.schema(
        {
            "whole": pa.int64(),
            "number": pa.float64(),
            "truth": pa.bool_(),
            "moment": pa.timestamp("us"),
            "words": pa.string(),
            "steps": pa.list_(pa.list_(pa.float32())),
        }
    )
    assert take(tmp_path, form[0], form[1](pa.Table.from_pylist(rows, schema))) == rows
