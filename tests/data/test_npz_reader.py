"""NumPy's .npz files: every numeric dtype and order is read, and nothing hostile is."""

import io
import struct
import tracemalloc
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from service.data import archive
from service.data.arrays import ArrayFacts
from service.data.read_options import ReadOptions
from service.data.readers import read
from service.errors import Invalid, KerasdError, MalformedRequest, TooLarge

DTYPES = ["?", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8", ">i4", ">i8", ">u2", ">f4", ">f8"]


def take(folder: Path, body: bytes, **options: Any) -> tuple[ArrayFacts, ...]:
    path = folder / "body"
    path.write_bytes(body)
    return read(path, "npz", folder, ReadOptions(**options))


def saved(compress: bool = False, **arrays: Any) -> bytes:
    file = io.BytesIO()
    (np.savez_compressed if compress else np.savez)(file, **arrays)
    return file.getvalue()


def npy(array: Any) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def zipped(members: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return file.getvalue()


def pointers_of(folder: Path, body: bytes) -> list[str]:
    with pytest.raises(Invalid) as raised:
        take(folder, body)
    return [fault.pointer for fault in raised.value.faults]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("compress", [False, True])
def test_every_dtype_and_order_is_read(tmp_path: Path, dtype: str, order: Any, compress: bool) -> None:
    """Booleans, integers and floats of both byte orders give equal values."""
    x = np.asarray(np.arange(24).reshape(4, 3, 2) % 7, dtype=dtype, order=order)
    take(tmp_path, saved(compress, x=x, y=np.arange(4)))
    np.testing.assert_array_equal(np.load(tmp_path / "x.npy"), x)
    assert np.load(tmp_path / "x.npy").dtype == np.int32


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    x=hnp.arrays(
        st.sampled_from([np.dtype("<f4"), np.dtype(">f4")]),
        hnp.array_shapes(min_dims=2, max_dims=4, max_side=5),
        elements=st.floats(width=32, allow_nan=False, allow_infinity=False),
    ),
    fortran=st.booleans(),
)
def test_floats_come_back_equal(tmp_path: Path, x: np.ndarray[Any, Any], fortran: bool) -> None:
    """float32 values are kept to the last bit in chunks of any number of rows."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("service.data.store.CHUNK_BYTES", 16)
        facts, _ = take(tmp_path, saved(x=np.asfortranarray(x) if fortran else x, y=np.zeros(len(x))))
    np.testing.assert_array_equal(np.load(tmp_path / "x.npy"), x)
    assert facts.shape == x.shape


def test_large_whole_numbers_are_exact(tmp_path: Path) -> None:
    """int64 beyond 2**53 is kept exactly, since the file brings it so; whole floats beyond int64 stay floats."""
    x = np.array([[2**62 + 1], [-(2**61) - 1]])
    take(tmp_path, saved(x=x, y=np.array([1e30, 2e30])))
    np.testing.assert_array_equal(np.load(tmp_path / "x.npy"), x)
    assert np.load(tmp_path / "y.npy").dtype == np.float32


def test_names_and_weights_are_read(tmp_path: Path) -> None:
    """x.<name> and y.<name> are named arrays."""
    body = saved(**{"x.a": np.ones((2, 1)), "x.b": np.ones((2, 3)), "y.c": np.ones(2), "sample_weight": np.ones(2)})
    facts = take(tmp_path, body)
    assert [fact.filename for fact in facts] == ["x.a.npy", "x.b.npy", "y.c.npy", "sample_weight.npy"]


@pytest.mark.parametrize(
    ("arrays", "pointers"),
    [
        ({"x": np.ones((2, 1), complex), "y": np.ones(2)}, ["/x"]),
        ({"x": np.array([["a"], ["b"]]), "y": np.ones(2)}, ["/x"]),
        ({"x": np.ones((2, 1), np.longdouble), "y": np.ones(2)}, ["/x"]),
        ({"x": np.array([[None], [1]]), "y": np.array([{}, 1])}, ["/x", "/y"]),
        ({"x": np.ones(2, [("a", "f4")]), "y": np.ones(2)}, ["/x"]),
        ({"x": np.array(["2020"], "M8[D]"), "y": np.ones(1)}, ["/x"]),
        ({"x": np.float64(3), "y": np.ones(1)}, ["/x"]),
        ({"x": np.ones((0, 3)), "y": np.ones(0)}, ["/x", "/y"]),
        ({"x": np.ones((3, 0)), "y": np.ones(3)}, ["/x"]),
        ({"x": np.ones((1,) * 10), "y": np.ones(1)}, ["/x"]),
        ({"x": np.array([[1, np.nan], [np.inf, 2]]), "y": np.ones(2)}, ["/x/0/1", "/x/1/0"]),
        ({"x": np.array([[1e300], [0.5]]), "y": np.ones(2)}, ["/x/0/0"]),
        ({"x": np.array([[2**63]], np.uint64), "y": np.ones(1)}, ["/x/0/0"]),
        ({"x": np.ones((2, 1)), "y": np.ones(2), "z": np.ones(2)}, ["/z"]),
        ({"x": np.ones((2, 1)), "y": np.ones(3)}, ["/y"]),
        ({"arr_0": np.ones((2, 1))}, ["/arr_0", "/x", "/y"]),
        ({"x.": np.ones((2, 1)), "y": np.ones(2)}, ["/x/"]),
    ],
)
def test_arrays_that_cannot_be_kept_are_faults(tmp_path: Path, arrays: dict[str, Any], pointers: list[str]) -> None:
    """Wrong dtypes, shapes and values are told for all members at once; objects are never unpickled."""
    assert pointers_of(tmp_path, saved(**arrays)) == pointers


@pytest.mark.parametrize("name", ["../x.npy", "/x.npy", "x/y.npy", "..\\x.npy", "x", "x.npy.npy/"])
def test_members_with_paths_are_faults(tmp_path: Path, name: str) -> None:
    """Only the known names are members."""
    good = {"x.npy": npy(np.ones((1, 1))), "y.npy": npy(np.ones(1))}
    assert len(pointers_of(tmp_path, zipped({**good, name: npy(np.ones(1))}))) == 1
    assert {path.name for path in tmp_path.iterdir()} <= {"body", "x.npy", "y.npy"}


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"text",
        npy(np.ones((3, 1)))[:-1],
        npy(np.ones((3, 1))) + b"1",
        b"\x93NUMPY\x03\x00" + bytes(100),
        b"\x93NUMPY\x01\x00\x10\x00{'descr': 3}     \n",
        b"\x93NUMPY\x02\x00\xff\xff\xff\x7f" + b" " * 100_000,
        b"\x93NUMPY\x01\x00\x40\x00" + b"{'descr':'<f4','fortran_order':False,'shape':(9999999999,9999,)}",
        b"\x93NUMPY\x01\x00\x40\x00" + b"{'descr':'<f4','fortran_order':False,'shape':(-1,-4,),         }",
    ],
)
def test_members_that_are_no_arrays_are_faults(tmp_path: Path, content: bytes) -> None:
    """A header that lies about its bytes, or none at all, is a fault of that member."""
    body = zipped({"x.npy": content, "y.npy": npy(np.ones(3))})
    assert pointers_of(tmp_path, body) == ["/x"]


def test_members_packed_by_rare_methods_are_faults(tmp_path: Path) -> None:
    """Only stored and deflated members are read."""
    body = zipped({"x.npy": npy(np.ones((1, 1))), "y.npy": npy(np.ones(1))}, zipfile.ZIP_BZIP2)
    assert pointers_of(tmp_path, body) == ["/x", "/y"]


def test_encrypted_members_are_faults(tmp_path: Path) -> None:
    """The flag of encryption is enough."""
    body = bytearray(saved(x=np.ones((1, 1)), y=np.ones(1)))
    start = body.index(b"PK\x01\x02")
    body[start + 8] |= 1
    assert pointers_of(tmp_path, bytes(body)) == ["/x"]


def test_zip_bombs_are_too_large(tmp_path: Path) -> None:
    """What the members declare is added up before any is unpacked."""
    body = saved(compress=True, x=np.zeros((1000, 1000)), y=np.zeros(1000))
    assert len(body) < 20_000
    with pytest.raises(TooLarge):
        take(tmp_path, body, max_bytes=10**6)


def test_members_that_declare_too_little_bring_no_more(tmp_path: Path) -> None:
    """A member cannot bring more than its directory entry declares."""
    body = bytearray(zipped({"x.npy": npy(np.zeros((1000, 1))), "y.npy": npy(np.zeros(1000))}))
    entry = body.index(b"PK\x01\x02")
    struct.pack_into("<L", body, entry + 24, 200)
    with pytest.raises(KerasdError):
        take(tmp_path, bytes(body))


def test_a_directory_of_very_many_members_is_too_large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The directory's length is checked before it is read."""
    monkeypatch.setattr(archive, "MAX_DIRECTORY_BYTES", 100)
    with pytest.raises(TooLarge):
        take(tmp_path, zipped({f"x{index}": b"" for index in range(10)}))


def test_a_directory_of_zip64_is_measured_too(tmp_path: Path) -> None:
    """The longer form of the directory's length counts as well."""
    wide = struct.pack("<4sQHHLLQQQQ", b"PK\x06\x06", 44, 45, 45, 0, 0, 9, 9, 2**40, 0)
    locator = struct.pack("<4sLQL", b"PK\x06\x07", 0, 0, 1)
    end = struct.pack("<4sHHHHLLH", b"PK\x05\x06", 0, 0, 9, 9, 0xFFFFFFFF, 0, 0)
    with pytest.raises(TooLarge):
        take(tmp_path, wide + locator + end)


def test_every_truncation_is_told(tmp_path: Path) -> None:
    """A file cut anywhere is malformed, or at least never read as whole."""
    body = saved(compress=True, x=np.random.default_rng(1).random((20, 3)), y=np.arange(20))
    for length in range(0, len(body), 7):
        with pytest.raises(MalformedRequest):
            take(tmp_path, body[:length])


def test_every_damaged_byte_ends_in_a_known_error(tmp_path: Path) -> None:
    """A flipped byte is never an unexpected exception."""
    body = saved(compress=True, x=np.random.default_rng(1).random((20, 3)), y=np.arange(20))
    for place in range(len(body)):
        damaged = bytearray(body)
        damaged[place] ^= 0xFF
        try:
            facts = take(tmp_path, bytes(damaged))
        except KerasdError:
            continue
        assert facts[0].shape[0] == 20


@pytest.mark.parametrize("order", ["C", "F"])
def test_a_hundred_megabytes_need_little_memory(tmp_path: Path, order: Any) -> None:
    """100 MB of values stream through a few MB of memory."""
    path = tmp_path / "body"
    np.savez(path, x=np.full((250_000, 100), 0.5, np.float32, order=order), y=np.zeros(250_000))
    tracemalloc.start()
    facts = read(tmp_path / "body.npz", "npz", tmp_path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert facts[0].shape == (250_000, 100)
    assert peak < 32 * 2**20
