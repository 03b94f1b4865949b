"""The outside of .npz files: zip archives that are opened with care, and the headers of the arrays in them."""

import io
import zipfile
from contextlib import AbstractContextManager
from dataclasses import dataclass
from tokenize import TokenError
from typing import IO, Any, Final

import numpy as np
from numpy.lib import format as npy

from service.data import archive
from service.errors import TooLarge

_KIND: Final = ".npz"
_ADVICE: Final = "Use numpy.savez_compressed."
#: No header of an array that holds numbers is longer.
PREFIX_BYTES: Final = 2**16


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
        count = 1
        for length in self.shape:
            count *= length
        return count * self.dtype.itemsize


def read_header(start: bytes) -> ArrayHeader:
    """Read the header at the start of a .npy array; raise ValueError where there is none."""
    file = io.BytesIO(start[:PREFIX_BYTES])
    version = npy.read_magic(file)
    if version not in ((1, 0), (2, 0)):
        raise ValueError(f"format version {version[0]}.{version[1]} is not read here")
    read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
    try:
        shape, fortran, dtype = read(file)
    except (SyntaxError, TypeError, RecursionError, MemoryError, TokenError) as error:
        raise ValueError("its header does not parse") from error
    return ArrayHeader(shape=tuple(map(int, shape)), fortran=fortran, dtype=dtype, size=file.tell())


def opened(file: IO[bytes]) -> AbstractContextManager[zipfile.ZipFile]:
    """Open an archive of arrays; raises what `archive.opened` does."""
    return archive.opened(file, _KIND, _ADVICE)


def check_total(members: zipfile.ZipFile, limit_bytes: int) -> None:
    """Raise TooLarge where the members declare that they unpack to more than the limit; none gives more than that."""
    total = sum(info.file_size for info in members.infolist())
    if total > limit_bytes:
        raise TooLarge(
            f"The arrays take {total} bytes once unpacked; {limit_bytes} is the most allowed here. Send less."
        )


def unreadable(info: zipfile.ZipInfo) -> str | None:
    """Why a member cannot be read here, if so."""
    return archive.unreadable(info, _ADVICE)


def member_header(members: zipfile.ZipFile, info: zipfile.ZipInfo) -> ArrayHeader:
    """The header of a member; raise ValueError, with a sentence for the client, where it is no array."""
    # Only the member's start is unpacked, since NumPy would read as long a header as the file claims to have.
    with members.open(info) as stream:
        start = stream.read(PREFIX_BYTES)
    try:
        return read_header(start)
    except ValueError as error:
        raise ValueError(f"This is no .npy array ({str(error)[:120]}). Write it with numpy.savez.") from error


def exactly(stream: IO[bytes], size: int) -> bytes:
    """Read `size` bytes; EOFError where there are fewer."""
    data = stream.read(size)
    if len(data) < size:
        raise EOFError("a member ends too soon")
    return data
