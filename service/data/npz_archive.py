"""The outside of .npz files: zip archives that are opened with care, and the headers of the arrays in them."""

import errno
import io
import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from tokenize import TokenError
from typing import IO, Any, Final

import numpy as np
from numpy.lib import format as npy

from service.errors import Fault, MalformedRequest, TooLarge

MAX_DIRECTORY_BYTES: Final = 2**20
#: No header of an array that holds numbers is longer.
PREFIX_BYTES: Final = 2**16
_TAIL_BYTES: Final = 2**17
_ENCRYPTED: Final = 1
#: What the zip reader raises for a damaged file, by the place of the damage.
_DAMAGE: Final = (
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    EOFError,
    NotImplementedError,
    OverflowError,
    UnicodeDecodeError,
)


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


@contextmanager
def opened(file: IO[bytes]) -> Iterator[zipfile.ZipFile]:
    """Open an archive; whatever turns out to be damaged meanwhile raises MalformedRequest.

    Raises TooLarge where its directory is longer than that of an archive of arrays can be.
    """
    _check_directory(file)
    try:
        with zipfile.ZipFile(file) as archive:
            yield archive
    except _DAMAGE as error:
        raise _damaged(str(error)) from error
    except OSError as error:
        # The zip reader seeks to where a damaged directory points, even before the file's start.
        if error.errno != errno.EINVAL:
            raise
        raise _damaged("a member's place is outside the file") from error


def check_total(archive: zipfile.ZipFile, limit_bytes: int) -> None:
    """Raise TooLarge where the members declare that they unpack to more than the limit; none gives more than that."""
    total = sum(info.file_size for info in archive.infolist())
    if total > limit_bytes:
        raise TooLarge(
            f"The arrays take {total} bytes once unpacked; {limit_bytes} is the most allowed here. Send less."
        )


def unreadable(info: zipfile.ZipInfo) -> str | None:
    """Why a member cannot be read here, if so."""
    if info.flag_bits & _ENCRYPTED:
        return "This member is encrypted; it cannot be read. Send it unencrypted."
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        return f"Zip method {info.compress_type} came; stored or deflated was expected. Use numpy.savez_compressed."
    return None


def member_header(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> ArrayHeader:
    """The header of a member; raise ValueError, with a sentence for the client, where it is no array."""
    # Only the member's start is unpacked, since NumPy would read as long a header as the file claims to have.
    with archive.open(info) as stream:
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


def _check_directory(file: IO[bytes]) -> None:
    """Refuse a directory of members that is too long to be read whole, as the zip reader would."""
    size = file.seek(0, io.SEEK_END)
    file.seek(max(0, size - _TAIL_BYTES))
    tail = file.read()
    # The zip reader looks at these same places: the very end, else the last mark; and for zip64 right before it.
    end = len(tail) - 22 if tail[-22:-18] == b"PK\x05\x06" else tail.rfind(b"PK\x05\x06")
    sizes = [0]
    if 0 <= end <= len(tail) - 22:
        declared = struct.unpack_from("<L", tail, end + 12)[0]
        sizes.append(0 if declared == 0xFFFFFFFF else declared)
    if end >= 76 and tail[end - 76 : end - 72] == b"PK\x06\x06":
        sizes.append(struct.unpack_from("<Q", tail, end - 36)[0])
    if max(sizes) > MAX_DIRECTORY_BYTES:
        raise TooLarge("The zip file lists far more members than there can be arrays here. Send only those that count.")


def _damaged(reason: str) -> MalformedRequest:
    detail = f"The .npz file is damaged ({reason[:120]}); it must be a whole zip file. Use numpy.savez."
    return MalformedRequest(detail, [Fault(pointer="", detail=detail)])
