"""NumPy's files: every array that fits is read, nothing hostile is, and what is written is read by NumPy."""

import io
import tracemalloc
import zipfile
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.errors import Invalid, KerasdError, MalformedRequest, TooLarge
from service.inference.numpy_files import read_npy, read_npz, write_npy, write_npz
from tests.inference.signatures import TWO, one

LIMIT = 10_000_000


def npy(array: Any) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def npz(compress: bool = False, **arrays: Any) -> bytes:
    file = io.BytesIO()
    (np.savez_compressed if compress else np.savez)(file, **arrays)
    return file.getvalue()


def zipped(members: list[tuple[str, bytes]], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        for name, content in members:
            archive.writestr(zipfile.ZipInfo(name), content, method)
    return file.getvalue()


def declaring(header: str, values: bytes = b"") -> bytes:
    """A .npy file whose header says whatever a client likes."""
    text = header.encode().ljust(117) + b"\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + values


@pytest.mark.parametrize("dtype", ["<f4", ">f4", "f8", "f2", "i8", "u1", "?"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_npy_is_read(dtype: str, order: Any) -> None:
    """In every type, byte order and order of axes."""
    array = np.asarray(np.arange(12).reshape(3, 2, 2) % 2, dtype, order=order)
    np.testing.assert_array_equal(read_npy(npy(array), one(2, 2))["x"], array)


@pytest.mark.parametrize("compress", [False, True])
def test_npz_is_read_by_name(compress: bool) -> None:
    """Each member goes to the input that it is called by, packed or not."""
    arrays = read_npz(npz(compress, b=np.arange(3), a=np.ones((3, 2))), TWO, LIMIT)
    assert {name: (array.shape, array.dtype.name) for name, array in arrays.items()} == {
        "a": ((3, 2), "float32"),
        "b": ((3,), "int32"),
    }


@pytest.mark.parametrize(
    ("content", "error", "words"),
    [
        (b"", MalformedRequest, "no .npy array"),
        (b"[[1, 2]]", MalformedRequest, "no .npy array"),
        (npy(np.ones((3, 2)))[:60], MalformedRequest, "no .npy array"),
        (npy(np.ones((3, 2)))[:-1], Invalid, "48 bytes, and 47 bytes of values came"),
        (npy(np.ones((3, 2))) + b"1", Invalid, "48 bytes, and 49 bytes of values came"),
        (declaring("{'descr': '<f4', 'fortran_order': False, 'shape': (1000000000, 2)}"), Invalid, "8000000000 bytes"),
        (declaring("{'descr': '<f4', 'fortran_order': False, 'shape': (-1, -2)}", bytes(8)), Invalid, "[-1, -2]"),
        (
            declaring("{'descr': '<f4', 'fortran_order': False, 'shape': (0, 9999999999999999999)}"),
            Invalid,
            "no values",
        ),
        (declaring("{'descr': '<f4', 'fortran_order': False, 'shape': " + "9" * 60 + "}"), MalformedRequest, ".npy"),
        (declaring("{'descr': '|O', 'fortran_order': False, 'shape': (1, 2)}", bytes(16)), Invalid, "dtype object"),
        (declaring("{'descr': '<f4', 'fortran_order': False"), MalformedRequest, "no .npy array"),
        (declaring("(" * 100), MalformedRequest, "no .npy array"),
        (npy(np.array([[{}]])), Invalid, "dtype object"),
        (npy(np.array([["ab"]])), Invalid, "dtype <U2"),
        (npy(np.zeros((1, 2), [("a", "f4")])), Invalid, "numbers of at most 64 bits"),
        (npy(np.zeros((0, 2))), Invalid, "at least one row"),
        (npy(np.array([[1, np.nan]])), Invalid, "nan came at [0, 1]"),
    ],
)
def test_bad_npy_is_told(content: bytes, error: type[KerasdError], words: str) -> None:
    """No pickle is opened, and no header makes room for what did not come."""
    with pytest.raises(error) as caught:
        read_npy(content, one(2))
    assert words in caught.value.detail


def test_npy_is_for_one_input() -> None:
    """Several need names."""
    with pytest.raises(Invalid, match=r"the inputs 'a', 'b': send an \.npz file"):
        read_npy(npy(np.ones((1, 2))), TWO)


@pytest.mark.parametrize(
    ("content", "pointers"),
    [
        (npz(a=np.ones((3, 2))), ["/b"]),
        (npz(arr_0=np.ones((3, 2))), ["/a", "/b", "/arr_0.npy"]),
        (npz(a=np.ones((3, 2)), b=np.arange(4)), [""]),
        (npz(a=np.ones((3, 3)), b=np.array([0, 0.5])), ["/a", "/b/1"]),
        (zipped([("a.npy", npy(np.ones((1, 2)))), ("b.npy", b"no")]), ["/b"]),
        (zipped([("a.npy", npy(np.ones((1, 2)))), ("b.npy", npy(np.ones(1))), ("../c.npy", b"")]), ["/..~1c.npy"]),
        (zipped([("a.npy", npy(np.ones((1, 2)))), ("b.npy", npy(np.ones(1)))], zipfile.ZIP_BZIP2), ["/a", "/b"]),
    ],
)
def test_bad_npz_is_told_all_at_once(content: bytes, pointers: list[str]) -> None:
    """Missing, unknown and unreadable members, wrong shapes, values, and rows that differ in number."""
    with pytest.raises(Invalid) as caught:
        read_npz(content, TWO, LIMIT)
    assert [fault.pointer for fault in caught.value.faults] == pointers


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_member_that_comes_twice_is_refused() -> None:
    """It would be unclear which of them counts."""
    with pytest.raises(Invalid, match="came twice"):
        read_npz(zipped([("x.npy", npy(np.ones((1, 2))))] * 2), one(2), LIMIT)


def test_a_zip_bomb_takes_no_memory() -> None:
    """What declares more than the limit is refused unread, and what declares too little ends there."""
    bomb = zipped([("x.npy", npy(np.zeros((50_000_000, 2), "u1")))])
    assert len(bomb) < 200_000
    tracemalloc.start()
    with pytest.raises(TooLarge, match="the most allowed"):
        read_npz(bomb, one(2), LIMIT)
    assert tracemalloc.get_traced_memory()[1] < 10_000_000
    tracemalloc.stop()
    lying = bomb.replace((100_000_128).to_bytes(4, "little"), (1000).to_bytes(4, "little"))
    assert lying != bomb
    with pytest.raises(KerasdError):
        read_npz(lying, one(2), LIMIT)


def test_what_is_written_numpy_reads() -> None:
    """To the bit, NaN too, and the same bytes each time."""
    outputs = {"p": np.array([[np.nan], [0.1]], np.float32), "q": np.arange(8, dtype=np.float32).reshape(2, 2, 2).T}
    content = write_npz(outputs, TWO)
    assert content == write_npz(outputs, TWO)
    with np.load(io.BytesIO(content), allow_pickle=False) as found:
        assert list(found) == ["p", "q"]
        for name, array in outputs.items():
            np.testing.assert_array_equal(found[name], array)
    y = np.array([[np.inf, 1]], np.float32)
    np.testing.assert_array_equal(np.load(io.BytesIO(write_npy({"y": y}, one(2))), allow_pickle=False), y)


@given(st.binary(max_size=300))
def test_random_bytes_are_refused(content: bytes) -> None:
    """Whatever comes ends in an error of ours."""
    for read in (lambda: read_npy(content, one(2)), lambda: read_npz(content, one(2), LIMIT)):
        with pytest.raises(KerasdError):
            read()


@pytest.mark.filterwarnings("ignore:Reading `.npy`")
@given(st.sampled_from([npy(np.ones((3, 2))), npz(x=np.ones((3, 2))), npz(True, x=np.ones((3, 2)))]), st.data())
def test_damaged_files_are_read_or_refused(content: bytes, data: st.DataObject) -> None:
    """A byte that has changed, or an end that is missing, never ends otherwise."""
    place = data.draw(st.integers(0, len(content) - 1))
    damaged = bytearray(content)
    damaged[place] = data.draw(st.integers(0, 255))
    damaged = damaged[: data.draw(st.integers(0, len(content)) | st.just(len(content)))]
    try:
        arrays = (
            read_npy(bytes(damaged), one(2)) if content.startswith(b"\x93") else read_npz(bytes(damaged), one(2), LIMIT)
        )
        assert arrays["x"].shape[1:] == (2,)
    except KerasdError:
        pass
