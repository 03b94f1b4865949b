"""CSV files: columns become x and y, and bad cells are named by row, line and column."""

import gzip
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from service.data.arrays import ArrayFacts
from service.data.read_options import ReadOptions
from service.data.readers import read
from service.errors import Fault, Invalid, MalformedRequest


def take(folder: Path, body: str | bytes, *target: str) -> tuple[ArrayFacts, ...]:
    path = folder / "body"
    path.write_bytes(body.encode() if isinstance(body, str) else body)
    return read(path, "csv", folder, ReadOptions(target=target))


def faults_of(folder: Path, body: str, *target: str) -> tuple[Fault, ...]:
    with pytest.raises(Invalid) as raised:
        take(folder, body, *target)
    return raised.value.faults


def test_all_columns_but_the_target_are_x_in_header_order(tmp_path: Path) -> None:
    """One target gives y of shape (rows,); the facts know the columns."""
    x, y = take(tmp_path, '\ufeffa,"b",c\r\n1,2,3.5\r\n4,5,6\r\n', "b")
    assert (x.columns, x.shape) == (("a", "c"), (2, 2))
    assert (y.columns, y.shape, y.dtype) == (("b",), (2,), "int32")
    assert np.load(tmp_path / "x.npy").tolist() == [[1, 3.5], [4, 6]]
    assert np.load(tmp_path / "y.npy").tolist() == [2, 5]


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_utf16_and_packing_are_seen_through(tmp_path: Path, pack: Callable[[bytes], bytes], encoding: str) -> None:
    """As they are in tables; what is wrong is told likewise."""
    rows = 300_000
    body = "æ,b\r\n" + "1,2.5\r\n" * rows
    x, _ = take(tmp_path, pack(body.encode(encoding)), "b")
    assert (x.columns, x.shape) == (("æ",), (rows, 1))
    assert (np.load(tmp_path / "y.npy") == 2.5).all()
    with pytest.raises(Invalid) as raised:
        take(tmp_path, pack(f"{body}1,x\n".encode(encoding)), "b")
    assert raised.value.faults[0].pointer == f"/{rows}/b"
    with pytest.raises(MalformedRequest, match="position"):
        take(tmp_path, pack(body.encode(encoding) + b"\xff"), "b")


def test_several_targets_stand_in_the_order_named(tmp_path: Path) -> None:
    """y has a column for each target."""
    _, y = take(tmp_path, "a,b,c\n1,2,3\n", "c", "a")
    assert (y.columns, y.shape) == (("c", "a"), (1, 2))
    assert np.load(tmp_path / "y.npy").tolist() == [[3, 1]]


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    array=hnp.arrays(
        np.float32,
        st.tuples(st.integers(1, 6), st.integers(2, 5)),
        elements=st.floats(-1e9, 1e9, width=32),
    )
)
def test_values_come_back_equal(tmp_path: Path, array: np.ndarray[Any, Any]) -> None:
    """What repr() writes is read back to the last bit."""
    header = ",".join(f"c{index}" for index in range(array.shape[1]))
    lines = [",".join(map(repr, row)) for row in array.astype(float).tolist()]
    take(tmp_path, "\n".join([header, *lines]), "c0")
    np.testing.assert_array_equal(np.load(tmp_path / "x.npy"), array[:, 1:])


@pytest.mark.parametrize(
    ("body", "target", "words"),
    [
        ("a,b\n1,2\n", (), "The columns are 'a', 'b'"),
        ("a,b\n1,2\n", ("c",), "'c' is no column; choose among 'a', 'b'"),
        ("a,b\n1,2\n", ("a", "a"), "named twice"),
        ("a,b\n1,2\n", ("a", "b"), "at least one column must be left"),
        ("a,a\n1,2\n", ("a",), "'a' came 2 times"),
        ("a,\n1,2\n", ("a",), "Column 2 has no name"),
        ("1,2\n1,2\n", ("1",), "numbers only"),
        ("a,b\r1,2\r", ("a",), "cannot be split into names"),
        ("", ("a",), "first line is empty"),
        ("\na,b\n", ("a",), "first line is empty"),
        (",".join(f"c{index}" for index in range(20_000)), ("c1",), "20000 columns"),
    ],
)
def test_headers_and_targets_are_checked(tmp_path: Path, body: str, target: tuple[str, ...], words: str) -> None:
    """A header or target that cannot be used is told before any row is read."""
    (fault,) = faults_of(tmp_path, body, *target)
    assert words in fault.detail


def test_no_rows_is_a_fault_for_both(tmp_path: Path) -> None:
    """A header alone is no data."""
    assert {fault.pointer for fault in faults_of(tmp_path, "a,b\n", "b")} == {"/x", "/y"}


def test_bad_cells_are_all_named(tmp_path: Path) -> None:
    """Each bad cell has its row, its line in the file, its column and its text; blank lines are no rows."""
    body = "a,b/c\n1,2\n\nx,\n3,4,5\n6\nnan,1e999\n" + "7,8\n"
    faults = faults_of(tmp_path, body, "a")
    assert [fault.pointer for fault in faults] == ["/1/a", "/1/b~1c", "/2", "/3", "/4/a", "/4/b~1c"]
    assert "The text 'x' came in row 2 (line 4 of the file), column 'a'" in faults[0].detail
    assert "An empty cell" in faults[1].detail
    assert "3 cells came in row 3" in faults[2].detail


def test_twenty_bad_cells_are_told_and_the_rest_counted(tmp_path: Path) -> None:
    """A column of text makes 20 faults and a number."""
    faults = faults_of(tmp_path, "a,b\n" + "1,red\n" * 50, "a")
    assert len(faults) == 21
    assert faults[-1].detail == "... and 30 more"


@pytest.mark.parametrize(("body", "position"), [(b"a,b\n1,2\n1,\xff\n", 10), (b"a\xe9,b\n1,2\n", 1)])
def test_other_encodings_are_told_by_position(tmp_path: Path, body: bytes, position: int) -> None:
    """A byte that is not UTF-8 is malformed, wherever it stands."""
    with pytest.raises(MalformedRequest, match=f"position {position} "):
        take(tmp_path, body, "b")


def test_a_cell_too_long_is_a_fault(tmp_path: Path) -> None:
    """A quote that never ends is a fault and no crash."""
    faults = faults_of(tmp_path, 'a,b\n1,"' + "2" * 200_000 + "\n" * 10, "b")
    assert faults


def test_whole_numbers_that_lose_digits_are_faults(tmp_path: Path) -> None:
    """2**53 + 1 is named by row and column."""
    (fault,) = faults_of(tmp_path, "a,b\n1,2\n9007199254740993,3\n", "b")
    assert fault.pointer == "/1/a"
    assert "row 2, column 'a'" in fault.detail


def test_a_hundred_megabytes_need_little_memory_and_time(tmp_path: Path) -> None:
    """100 MB stream through a few MB of memory."""
    path = tmp_path / "body"
    line = ",".join(["0.123456789"] * 20) + "\n"
    with path.open("w") as file:
        file.write(",".join(f"c{index}" for index in range(20)) + "\n")
        for _ in range(42):
            file.write(line * 10_000)
    tracemalloc.start()
    started = time.perf_counter()
    x, _ = read(path, "csv", tmp_path, ReadOptions(target=("c0",)))
    assert time.perf_counter() - started < 20
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert x.shape == (420_000, 19)
    assert peak < 32 * 2**20
