"""Arrow's tables: what is read, what is refused before it takes memory, and what is written."""

import contextlib
import io
import tracemalloc
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import feather, ipc

from service.errors import Invalid, KerasdError, MalformedRequest, TooLarge
from service.inference.arrow_tables import MAX_BATCHES, read_file, read_stream, write_file, write_stream
from service.inference.signature import Signature
from tests.inference.signatures import TWO, one

LIMIT = 10_000_000


def stream(table: Any, rows_per_batch: int = 3, new: Any = ipc.new_stream, compression: str | None = None) -> bytes:
    file = io.BytesIO()
    with new(file, table.schema, options=ipc.IpcWriteOptions(compression=compression)) as writer:
        writer.write_table(table, max_chunksize=rows_per_batch)
    return file.getvalue()


def column(values: Any, kind: Any = None, name: str = "x") -> Any:
    return pyarrow.table({name: pyarrow.array(values, kind)})


def lists_of(kind: Any, *sizes: int | None) -> Any:
    for size in reversed(sizes):
        kind = pyarrow.list_(kind, -1 if size is None else size)
    return kind


TENSORS = np.arange(24, dtype=np.float32).reshape(4, 2, 3)
FEATURES = pyarrow.table({"size": pyarrow.array([1, 2, 3, 4], "int8"), "price": [0.5, 1.5, 2.5, 3.5]})


@pytest.mark.parametrize("compression", [None, "lz4", "zstd"])
@pytest.mark.parametrize("rows_per_batch", [1, 3, 100])
@pytest.mark.parametrize(
    ("table", "signature", "due"),
    [
        (FEATURES, one(2), [[1, 0.5], [2, 1.5], [3, 2.5], [4, 3.5]]),
        (column([1, 2, 3, 4]), one(1), [[1], [2], [3], [4]]),
        (column([1, 2, 3, 4], name="any"), one(), [1, 2, 3, 4]),
        (column([True, False, True, True]), one(1), [[1], [0], [1], [1]]),
        (column([[1, 2]] * 4), one(2), [[1, 2]] * 4),
        (column([[1, 2, 3]] * 4, pyarrow.large_list(pyarrow.int16())), one(None), [[1, 2, 3]] * 4),
        (column(TENSORS.tolist(), lists_of(pyarrow.float64(), 2, 3)), one(2, 3), TENSORS),
        (column(TENSORS.tolist(), lists_of(pyarrow.float16(), None, 3)), one(None, 3), TENSORS),
        (pyarrow.table({"x": pyarrow.FixedShapeTensorArray.from_numpy_ndarray(TENSORS)}), one(2, 3), TENSORS),
        (column(TENSORS.tolist(), lists_of(pyarrow.float32(), 2, 3)).slice(1, 2), one(2, 3), TENSORS[1:3]),
    ],
    ids=["features", "numbers", "bare", "booleans", "lists", "large", "fixed", "mixed", "tensors", "slice"],
)
def test_tables_are_read(table: Any, signature: Signature, due: Any, rows_per_batch: int, compression: str) -> None:
    """Lists of any kind, tensors, or a column a number; in one batch or several, packed or not; as stream or file."""
    for new, read in ((ipc.new_stream, read_stream), (ipc.new_file, read_file)):
        array = read(stream(table, rows_per_batch, new, compression), signature, LIMIT)["x"]
        assert array.dtype == np.float32
        np.testing.assert_array_equal(array, due)


def test_several_inputs_are_columns() -> None:
    """Each by its name, in any order."""
    table = pyarrow.table({"b": [1, 2], "a": [[1.0, 2.0], [3.0, 4.0]]})
    arrays = read_stream(stream(table), TWO, LIMIT)
    np.testing.assert_array_equal(arrays["a"], [[1, 2], [3, 4]])
    np.testing.assert_array_equal(arrays["b"], [1, 2])


def test_feather_is_a_file() -> None:
    """As pandas writes it, packed by default."""
    file = io.BytesIO()
    feather.write_feather(FEATURES, file)
    assert read_file(file.getvalue(), one(2), LIMIT)["x"].shape == (4, 2)


@pytest.mark.parametrize(
    ("table", "signature", "pointer", "words"),
    [
        (column([1, None, 3]), one(1), "/1/x", "A null came in row 2, column 'x'"),
        (column([[1, 2], [3, None]]), one(2), "/1/x", "A null came in row 2"),
        (column([[1, 2], None]), one(2), "/1/x", "A null came in row 2"),
        (column([[1, 2], [3, 4], [5, 6], [7]]), one(None), "/3/x", "A list of 1 came in row 4, column 'x'; 2 were"),
        (column([[[1, 2], [3]]]), one(2, 2), "/0/x", "A list of 1 came in row 1"),
        (column([1.0, float("nan")]), one(1), "/1/x/0", "nan came in row 2, column 'x'"),
        (column([[1, 2, 3]]), one(2), "/x", "The shape [1, 3] came; [rows, 2] was expected"),
        (column([1, 2.5]), one(1, dtype="int32"), "/1/x/0", "2.5 came in row 2"),
        (column(["a"]), one(1), "/x", "of Arrow's type string"),
        (column([{"a": 1}]), one(1), "/x", "of Arrow's type struct"),
        (column([None]), one(1), "/x", "of Arrow's type null"),
        (column([Decimal(1)]), one(1), "/x", "of Arrow's type decimal"),
        (column(pyarrow.array(["a"]).dictionary_encode()), one(1), "/x", "Dictionaries must be decoded"),
        (column([], pyarrow.float32()), one(1), "/x", "No rows came"),
        (column([1], name="y").append_column("z", [[1]]), one(1), "", "'y', 'z' came; a column for each input"),
        (FEATURES, one(3), "", "or 3 columns of one number each, in the order in which the model was trained"),
        (FEATURES, TWO, "", "named 'a', 'b'"),
        (FEATURES.set_column(1, "price", [[1, float("inf"), 2, 3]]), one(2), "/1/price", "inf came in row 2, column"),
        (FEATURES.set_column(1, "price", [[[1], [2], [3], [4]]]), one(2), "/price", "The shape [4, 1] came"),
        (pyarrow.table([[1], [2]], names=["a", "a"]), one(2), "/a", "came more than once"),
        (pyarrow.table({}), one(2), "", "No columns came"),
        (pyarrow.table({"a": [[1, 2]], "b": [0.5]}), TWO, "/0/b", "0.5 came in row 1, column 'b'"),
    ],
)
def test_bad_tables_are_told(table: Any, signature: Signature, pointer: str, words: str) -> None:
    """With row and column, and what would do."""
    with pytest.raises(Invalid) as caught:
        read_stream(stream(table), signature, LIMIT)
    assert caught.value.faults[0].pointer == pointer
    assert words in caught.value.faults[0].detail


GOOD = stream(FEATURES)


@pytest.mark.parametrize(
    "content",
    [b"", b"abc", GOOD[:40], GOOD[:-30], b"\xff\xff\xff\xff\xff\xff\xff\x7f", stream(FEATURES, new=ipc.new_file)],
)
def test_what_is_no_whole_stream_is_malformed(content: bytes) -> None:
    """Cut off, of another kind, or promising more than there is."""
    with pytest.raises(MalformedRequest, match="no whole Arrow table"):
        read_stream(content, one(2), LIMIT)
    with pytest.raises(MalformedRequest):
        read_file(content[:60], one(2), LIMIT)


@pytest.mark.parametrize("compression", ["lz4", "zstd"])
def test_packed_buffers_are_counted_before_they_are_unpacked(compression: Any) -> None:
    """A bomb takes no memory."""
    bomb = stream(column(np.zeros(20_000_000, np.float32)), 20_000_000, compression=compression)
    assert len(bomb) < 500_000
    before = pyarrow.system_memory_pool().max_memory() or 0
    tracemalloc.start()
    with pytest.raises(TooLarge, match="once unpacked"):
        read_stream(bomb, one(1), LIMIT)
    assert tracemalloc.get_traced_memory()[1] < 5_000_000
    tracemalloc.stop()
    assert (pyarrow.system_memory_pool().max_memory() or 0) - before < 5_000_000


def test_very_many_batches_are_refused() -> None:
    """Each costs time of its own."""
    with pytest.raises(TooLarge, match="Send fewer and larger ones"):
        read_stream(stream(column(np.zeros(MAX_BATCHES + 10)), 1), one(1), LIMIT)


def test_memory_is_given_back() -> None:
    """After reading, and after a refusal, the pool holds nothing."""
    for signature in (one(2), one(3)):
        with contextlib.suppress(Invalid):
            read_stream(stream(FEATURES, compression="zstd"), signature, LIMIT)
    assert pyarrow.system_memory_pool().bytes_allocated() == 0


def test_answers_are_tables() -> None:
    """A column an output, fixed-size lists of a row's shape, with what is not finite as it is."""
    outputs = {
        "p": np.array([[np.nan], [0.1]], np.float32),
        "q": np.arange(8, dtype=np.float32).reshape(2, 2, 2).transpose(0, 2, 1),
    }
    found = [ipc.open_stream(write_stream(outputs, TWO)).read_all(), ipc.open_file(write_file(outputs, TWO)).read_all()]
    for table in found:
        assert table.schema.types == [lists_of(pyarrow.float32(), 1), lists_of(pyarrow.float32(), 2, 2)]
        np.testing.assert_array_equal(np.array(table["p"].to_pylist(), np.float32), outputs["p"])
        np.testing.assert_array_equal(np.array(table["q"].to_pylist(), np.float32), outputs["q"])


def test_an_answer_can_be_a_body() -> None:
    """What one network gives, another takes."""
    y = np.arange(6, dtype=np.float32).reshape(3, 2)
    renamed = ipc.open_stream(write_stream({"y": y}, one(2))).read_all().rename_columns(["x"])
    np.testing.assert_array_equal(read_stream(stream(renamed), one(2), LIMIT)["x"], y)


@given(st.binary(max_size=300))
def test_random_bytes_are_refused(content: bytes) -> None:
    """Whatever comes ends in an error of ours."""
    for read in (read_stream, read_file):
        with pytest.raises(KerasdError):
            read(content, one(2), LIMIT)


DAMAGED = [
    (stream(FEATURES), one(2)),
    (stream(FEATURES, compression="zstd"), one(2)),
    (stream(column(TENSORS.tolist()), compression="lz4"), one(2, 3)),
    (stream(column([[1, None], [3, 4]])), one(2)),
    (stream(column([True, False])), one(1)),
]


@settings(max_examples=300)
@given(st.sampled_from(DAMAGED), st.data())
def test_damaged_streams_are_read_or_refused(given_: tuple[bytes, Signature], data: st.DataObject) -> None:
    """Bytes that have changed, in what the stream says of itself too, never end otherwise."""
    content = bytearray(given_[0])
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.integers(0, len(content) - 8))
        change = data.draw(st.binary(min_size=1, max_size=8))
        content[place : place + len(change)] = change
    with contextlib.suppress(KerasdError):
        assert np.isfinite(read_stream(bytes(content), given_[1], LIMIT)["x"]).all()
