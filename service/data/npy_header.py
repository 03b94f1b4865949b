"""The headers of NumPy's .npy arrays: what they declare is read, and nothing is unpickled or made because of it."""

import io
import math
from dataclasses import dataclass
from tokenize import TokenError
from typing import Any, Final

import numpy as np
from numpy.lib import format as npy

from service.data.streams import Readable

MAGIC: Final = npy.MAGIC_PREFIX
#: No header of an array that holds numbers is longer.
MAX_HEADER_BYTES: Final = 10_000
#: By a file's version: how long the field is that says how long the header is.
_LENGTH_BYTES: Final = {b"\x01\x00": 2, b"\x02\x00": 4, b"\x03\x00": 4}


@dataclass(frozen=True, slots=True, kw_only=True)
class ArrayHeader:
    """What the header of a .npy array declares; `size` is the header's own length."""

    shape: tuple[int, ...]
    fortran: bool
    dtype: np.dtype[Any]
    size: int

    @property
    def data_bytes(self) -> int:
        """How many bytes of values follow the header, if it is true."""
        return math.prod(self.shape) * self.dtype.itemsize


def read_header(stream: Readable) -> ArrayHeader:
    """Read the header with which a .npy array begins, and no byte more; raise ValueError where there is none."""
    start = _up_to(stream, len(MAGIC) + 2)
    if not start.startswith(MAGIC):
        raise ValueError(f"it begins with {start[:8]!r} and not with {MAGIC!r}")
    version = start[len(MAGIC) :]
    if version not in _LENGTH_BYTES:
        raise ValueError(f"format version {'.'.join(map(str, version))} is not read here")
    length = _up_to(stream, _LENGTH_BYTES[version])
    size = int.from_bytes(length, "little")
    if size > MAX_HEADER_BYTES:
        raise ValueError(f"its header says that it has {size} bytes; {MAX_HEADER_BYTES} is the most")
    return _parse(version, length, _up_to(stream, size))


def _parse(version: bytes, length: bytes, text: bytes) -> ArrayHeader:
    # Version 3 differs from version 2 only in how the names of fields are encoded, and numbers have none.
    wide = version != b"\x01\x00"
    read = npy.read_array_header_2_0 if wide else npy.read_array_header_1_0
    try:
        shape, fortran, dtype = read(io.BytesIO(length + text))
    except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError, TokenError) as error:
        raise ValueError(f"its header does not parse: {text[:60]!r}") from error
    size = len(MAGIC) + len(version) + len(length) + len(text)
    return ArrayHeader(shape=tuple(map(int, shape)), fortran=fortran, dtype=dtype, size=size)


def _up_to(stream: Readable, size: int) -> bytes:
    """As many bytes as wanted, or what there is."""
    pieces = b""
    while len(pieces) < size and (piece := stream.read(size - len(pieces))):
        pieces += piece
    return pieces
