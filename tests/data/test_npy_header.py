"""The headers of .npy arrays: every version is read, and nothing is believed that would take memory."""

import io
import tracemalloc

import numpy as np
import pytest
from numpy.lib import format as npy

from service.data.npy_header import ArrayHeader, read_header

TEXT = b"{'descr': '<f4', 'fortran_order': True, 'shape': (3, 2), }\n"


def headed(version: bytes, length: int, text: bytes = TEXT) -> bytes:
    return b"\x93NUMPY" + version + length.to_bytes(2 if version == b"\x01\x00" else 4, "little") + text


@pytest.mark.parametrize("version", [b"\x01\x00", b"\x02\x00", b"\x03\x00"])
def test_every_version_is_read(version: bytes) -> None:
    """The three versions of the format say the same of numbers, and nothing is read beyond the header."""
    file = io.BytesIO(headed(version, len(TEXT)) + b"values")
    header = read_header(file)
    assert header == ArrayHeader(shape=(3, 2), fortran=True, dtype=np.dtype("<f4"), size=file.tell())
    assert header.data_bytes == 24
    assert file.read() == b"values"


@pytest.mark.parametrize("shape", [(), (0, 3), (10**6, 7)])
def test_what_numpy_writes_is_read(shape: tuple[int, ...]) -> None:
    """Headers of NumPy's own making."""
    file = io.BytesIO()
    npy.write_array_header_1_0(file, {"descr": "<i8", "fortran_order": False, "shape": shape})
    file.seek(0)
    assert read_header(file).shape == shape


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "begins with"),
        (b"PK\x03\x04", "begins with b'PK"),
        (b"\x93NUMPY", "is not read here"),
        (b"\x93NUMPY\x04\x00", "version 4.0"),
        (b"\x93NUMPY\x01\x00", "header"),
        (headed(b"\x01\x00", len(TEXT) + 1), "header"),
        (headed(b"\x01\x00", 3, b"{3}"), "header"),
        (headed(b"\x01\x00", 9, b"a" * 9), "header"),
        (headed(b"\x02\x00", 100, b"(" * 100), "header"),
        (headed(b"\x02\x00", 2**20, b" " * 2**20), "has 1048576 bytes"),
        (headed(b"\x03\x00", 2**32 - 1), "has 4294967295 bytes"),
        (headed(b"\x01\x00", 60, b"{'descr':'<f4','fortran_order':False,'shape':'abc'}".ljust(60)), "header"),
        (headed(b"\x01\x00", 60, b"{'descr':'|O4O','fortran_order':False,'shape':(1,)}".ljust(60)), "header"),
    ],
)
def test_what_is_no_header_is_a_value_error(content: bytes, words: str) -> None:
    """Whatever stands there, one kind of error says so."""
    with pytest.raises(ValueError, match=words):
        read_header(io.BytesIO(content))


def test_a_long_header_takes_no_memory() -> None:
    """What a header says of its own length is not believed."""
    content = io.BytesIO(headed(b"\x02\x00", 2**24, b" " * 2**24))
    tracemalloc.start()
    with pytest.raises(ValueError, match="is the most"):
        read_header(content)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 2**16
