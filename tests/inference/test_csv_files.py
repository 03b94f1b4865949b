"""CSV as bodies and answers."""

import contextlib
import io
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.errors import Invalid, KerasdError, MalformedRequest
from service.inference.csv_files import read_csv, write_csv
from service.inference.signature import Signature, TensorSpec
from tests.inference.signatures import TWO, one

SCALARS = Signature(
    inputs=(TensorSpec(name="a", shape=(1,), dtype="float32"), TensorSpec(name="b", shape=(), dtype="int32")),
    outputs=(),
)


@pytest.mark.parametrize(
    ("text", "signature", "due"),
    [
        ("size,price\n1,2.5\n3,4e-1\n", one(2), {"x": [[1, 2.5], [3, 0.4]]}),
        ("\ufeffsize,price\r\n1,2\r\n", one(2), {"x": [[1, 2]]}),
        ("x\n1\n2", one(1), {"x": [[1], [2]]}),
        ("any;thing\n1\n2", one(1), {"x": [[1], [2]]}),
        ("anything\n1\n2", one(1), {"x": [[1], [2]]}),
        ("anything\n1\n2", one(), {"x": [1, 2]}),
        ("p,q,r\n1,2,3\n", one(None), {"x": [[1, 2, 3]]}),
        ("b,a\n1,2.5\n", SCALARS, {"a": [[2.5]], "b": [1]}),
    ],
)
def test_columns_become_inputs(text: str, signature: Signature, due: dict[str, Any]) -> None:
    """By name where there are the inputs' names, else as the numbers of the only input in their order."""
    arrays = read_csv(text.encode(), signature)
    assert arrays.keys() == due.keys()
    for spec in signature.inputs:
        assert arrays[spec.name].dtype == spec.dtype
        np.testing.assert_allclose(arrays[spec.name], due[spec.name], rtol=1e-6)


@pytest.mark.parametrize(
    ("text", "signature", "pointer", "words"),
    [
        ("a,b\n1,2\n3\n", one(2), "/1", "1 cells came in row 2 (line 3"),
        ("a,b\n1,\n", one(2), "/0/b", "An empty cell came in row 1 (line 2 of the file), column 'b'"),
        ("a,b\n1,nan\n", one(2), "/0/b", "The text 'nan' came in row 1"),
        ("a,b\n1,inf\n", one(2), "/0/b", "The text 'inf' came"),
        ("a,b\n1,1e400\n", one(2), "/0/b", "The text '1e400' came"),
        ("a,b\n1,1e39\n", one(2), "/0/b", "1e+39 came in row 1, column 'b'; a finite number that fits float32"),
        ("a,b\n1,dog\n", one(2), "/0/b", "The text 'dog' came"),
        ("a,b\n1,0.5\n", one(2, dtype="int32"), "/0/b", "a whole number that fits int32"),
        ("a,b\n1,9007199254740993\n", one(2, dtype="int64"), "/0/b", "below 2**53 exactly"),
        ("a,b\n", one(2), "", "No rows came"),
        ("", one(2), "", "must name the columns"),
        ("1,2\n3,4\n", one(2), "", "it must name the columns"),
        ("a,a\n3,4\n", one(2), "", "came 2 times"),
        ("a,\n3,4\n", one(2), "", "Column 2 has no name"),
        ("a,b,c\n1,2,3\n", one(2), "", "or 2 columns of one number each"),
        ("a,b\n1,2\n", one(2, 2), "", "named 'x'"),
        ("x\n1\n", one(2, 2), "", "A cell of CSV holds one number"),
        ("a,b\n1,2\n", TWO, "", "A cell of CSV holds one number"),
        ("b,c\n1,2\n", SCALARS, "", "named 'a', 'b'"),
        ("a;b\n1,5;2\n", one(2), "", "Cells seem to be separated by ';'; in CSV for predictions, commas"),
        ("a\tb\n1\t2\n", one(2), "", "separated by '\\t'"),
        ('a,b\n"1,5",2\n', one(2), "/0/a", "a number with a decimal point was expected"),
    ],
)
def test_bad_text_is_told(text: str, signature: Signature, pointer: str, words: str) -> None:
    """With the row, the line and the column, or what the header should be."""
    with pytest.raises(Invalid) as caught:
        read_csv(text.encode(), signature)
    assert caught.value.faults[0].pointer == pointer
    assert words in caught.value.faults[0].detail


def test_a_fault_far_below_is_found() -> None:
    """Though only rows near it are looked at, its number is that of the whole file."""
    text = b"a,b\n" + b"1,2\n\n" * 400_000 + b"1,x\n"
    with pytest.raises(Invalid, match=r"The text 'x' came in row 400001 .line 800002 of the file., column 'b'"):
        read_csv(text, one(2))


@pytest.mark.parametrize("content", [b"\xffa", b"a,b\n1,\xff\n"])
def test_what_is_no_utf8_is_malformed(content: bytes) -> None:
    """In the header and below it."""
    with pytest.raises(MalformedRequest, match="not UTF-8"):
        read_csv(content, one(2))


def test_utf16_with_its_mark_is_read() -> None:
    """As spreadsheets save it; where it is cut, that is told."""
    content = "a,b\r\n1,2\r\n".encode("utf-16")
    np.testing.assert_array_equal(read_csv(content, one(2))["x"], [[1, 2]])
    with pytest.raises(MalformedRequest, match="position 22 is not"):
        read_csv(content + b"\0", one(2))


def test_outputs_become_columns() -> None:
    """One number keeps the output's name, several are numbered; what is not finite is written as such."""
    outputs = {
        "p": np.array([[0.1], [np.nan]], np.float32),
        "q": np.array([[[1, 2], [3, 4]], [[5, np.inf], [7, -np.inf]]], np.float16),
    }
    assert write_csv(outputs, TWO) == b"p,q.0.0,q.0.1,q.1.0,q.1.1\n0.1,1,2,3,4\nnan,5,inf,7,-inf\n"


@given(st.lists(st.lists(st.floats(width=32), min_size=2, max_size=2), min_size=1, max_size=5))
def test_answers_are_exact(rows: list[list[float]]) -> None:
    """Each float32 is written with as many digits as it takes to read it again."""
    y = np.array(rows, np.float32)
    found = np.loadtxt(io.BytesIO(write_csv({"y": y}, one(2))), np.float32, delimiter=",", skiprows=1, ndmin=2)
    np.testing.assert_array_equal(found, y)


@given(st.binary(max_size=100) | st.text(alphabet="ab,\n\r\"'01.e- ", max_size=40).map(str.encode))
def test_random_bytes_are_read_or_refused(content: bytes) -> None:
    """Whatever comes is either numbers or an error of ours."""
    with contextlib.suppress(KerasdError):
        assert np.isfinite(read_csv(content, one(2))["x"]).all()
