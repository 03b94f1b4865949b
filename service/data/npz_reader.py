"""NumPy's .npz files: their headers are read, their values streamed; nothing in them is ever unpickled."""

import errno
import io
import struct
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final

import numpy as np
from numpy.lib import format as npy

from service.data.array_writer import MAX_RANK, MAX_ROW_VALUES, PARTS, ArrayWriter, Intake
from service.data.store import rows_per_chunk
from service.errors import Fault, MalformedRequest, TooLarge

MAX_DIRECTORY_BYTES: Final = 2**20
_PREFIX_BYTES: Final = 2**16
_TAIL_BYTES: Final = 2**17
_COPY_BYTES: Final = 2**20
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
#: Where values are kept until all of them are known, by the kind and the size in bytes of their dtype.
_STORED: Final = {
    "b1": "int32", "i1": "int32", "i2": "int32", "i4": "int32", "u1": "int32", "u2": "int32",
    "i8": "int64", "u4": "int64", "u8": "int64",
    "f2": "float32", "f4": "float32", "f8": "float64",
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class _Header:
    """What the .npy header of a member declares; `size` is the header's own length."""

    shape: tuple[int, ...]
    fortran: bool
    dtype: np.dtype[Any]
    size: int

    @property
    def data_bytes(self) -> int:
        count = 1
        for length in self.shape:
            count *= length
        return count * self.dtype.itemsize


def read_npz(path: Path, intake: Intake) -> None:
    """Write the members x, y and sample_weight, or x.<name> and y.<name>, through `intake`.

    Raise MalformedRequest where the zip file is damaged, TooLarge where its members declare more than is allowed.
    """
    _check_directory(path)
    try:
        with zipfile.ZipFile(path) as archive:
            _check_total(archive, intake)
            for info in archive.infolist():
                _take_member(archive, info, intake)
    except _DAMAGE as error:
        raise _damaged(str(error)) from error
    except OSError as error:
        # The zip reader seeks to where a damaged directory points, even before the file's start.
        if error.errno != errno.EINVAL:
            raise
        raise _damaged("a member's place is outside the file") from error


def _check_directory(path: Path) -> None:
    """Refuse a directory of members that is too long to be read whole, as the zip reader would."""
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - _TAIL_BYTES))
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
        raise TooLarge(
            "The zip file lists far more members than a data set can have. Send x, y and sample_weight only."
        )


def _check_total(archive: zipfile.ZipFile, intake: Intake) -> None:
    total, limit = sum(info.file_size for info in archive.infolist()), intake.options.max_bytes
    if total > limit:
        raise TooLarge(f"The arrays take {total} bytes once unpacked; {limit} is the most allowed here. Send less.")


def _take_member(archive: zipfile.ZipFile, info: zipfile.ZipInfo, intake: Intake) -> None:
    member = info.filename.removesuffix(".npy")
    part, _, name = member.partition(".")
    if "/" in member or "\\" in member or info.filename == member or part not in PARTS:
        detail = (
            f"The member {info.filename[:80]!r} came; x.npy, y.npy, sample_weight.npy or x.<name>.npy were expected."
        )
        intake.faults.add(intake.pointer(member), f"{detail} Use numpy.savez(file, x=x, y=y).")
        return
    intake.seen.add(part)
    pointer = intake.pointer(part, name or None)
    if (wrong := _unreadable(info)) is not None:
        intake.faults.add(pointer, wrong)
        return
    header = _checked_header(archive, info, intake, pointer)
    if header is None:
        return
    stored = _STORED[f"{header.dtype.kind}{header.dtype.itemsize}"]
    writer = intake.open(part, name if "." in member else None, stored=stored)
    if writer is not None:
        with archive.open(info) as stream:
            stream.read(header.size)
            _stream(stream, header, writer, intake)


def _unreadable(info: zipfile.ZipInfo) -> str | None:
    if info.flag_bits & _ENCRYPTED:
        return "This member is encrypted; it cannot be read. Send it unencrypted."
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        return f"Zip method {info.compress_type} came; stored or deflated was expected. Use numpy.savez_compressed."
    return None


def _checked_header(archive: zipfile.ZipFile, info: zipfile.ZipInfo, intake: Intake, pointer: str) -> _Header | None:
    try:
        header = _read_header(archive, info)
        wrong = _unusable(header, info)
    except ValueError as error:
        header, wrong = None, f"This is no .npy array ({str(error)[:120]}). Write it with numpy.savez."
    if wrong is not None:
        intake.faults.add(pointer, wrong)
        return None
    return header


def _read_header(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> _Header:
    # Only the member's start is unpacked, since NumPy would read as long a header as the file claims to have.
    with archive.open(info) as stream:
        start = io.BytesIO(stream.read(_PREFIX_BYTES))
    version = npy.read_magic(start)
    if version not in ((1, 0), (2, 0)):
        raise ValueError(f"format version {version[0]}.{version[1]} is not read here")
    read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
    try:
        shape, fortran, dtype = read(start)
    except (SyntaxError, TypeError, RecursionError, MemoryError) as error:
        raise ValueError("its header does not parse") from error
    return _Header(shape=tuple(map(int, shape)), fortran=fortran, dtype=dtype, size=start.tell())


def _unusable(header: _Header, info: zipfile.ZipInfo) -> str | None:
    shape = list(header.shape)
    if f"{header.dtype.kind}{header.dtype.itemsize}" not in _STORED or header.dtype.subdtype:
        came = f"An array of dtype {str(header.dtype)[:80]} came"
        return f"{came}; booleans, integers or floats of at most 64 bits were expected. Convert it."
    if not shape or min(shape) < 0 or len(shape) > MAX_RANK + 1:
        return f"An array of shape {shape[:20]} came; rows of at most {MAX_RANK} dimensions were expected. Reshape it."
    if shape[0] == 0:
        return "The array has no rows; at least one row was expected. Send one or more."
    per_row = header.data_bytes // (shape[0] * header.dtype.itemsize)
    if not 0 < per_row <= MAX_ROW_VALUES:
        return f"Rows of shape {shape[1:]} came; a row must have 1 to {MAX_ROW_VALUES} values. Change its shape."
    brought = info.file_size - header.size
    if header.data_bytes != brought:
        return (
            f"The header promises {header.data_bytes} bytes and {brought} came. Write the file anew with numpy.savez."
        )
    return None


def _stream(stream: IO[bytes], header: _Header, writer: ArrayWriter, intake: Intake) -> None:
    if not header.fortran or len(header.shape) == 1:
        rows = rows_per_chunk(header.shape, header.dtype.itemsize)
        row_bytes = header.data_bytes // header.shape[0]
        for first in range(0, header.shape[0], rows):
            count = min(rows, header.shape[0] - first)
            data = _exactly(stream, count * row_bytes)
            writer.append(np.frombuffer(data, header.dtype).reshape(count, *header.shape[1:]))
    else:
        _stream_columns(stream, header, writer, intake.folder / "columns.raw")
    # Reading on to the end lets the zip reader compare the checksum.
    stream.read(1)


def _stream_columns(stream: IO[bytes], header: _Header, writer: ArrayWriter, spare: Path) -> None:
    """Bring an array in Fortran order into rows by way of a file that is mapped, for it may be larger than memory."""
    with spare.open("wb") as file:
        left = header.data_bytes
        while left:
            block = _exactly(stream, min(left, _COPY_BYTES))
            file.write(block)
            left -= len(block)
    whole = np.memmap(spare, header.dtype, mode="r", shape=header.shape, order="F")
    step = rows_per_chunk(header.shape, header.dtype.itemsize)
    for first in range(0, header.shape[0], step):
        writer.append(np.ascontiguousarray(whole[first : first + step]))
    spare.unlink()


def _exactly(stream: IO[bytes], size: int) -> bytes:
    data = stream.read(size)
    if len(data) < size:
        raise EOFError("a member ends too soon")
    return data


def _damaged(reason: str) -> MalformedRequest:
    detail = f"The .npz file is damaged ({reason[:120]}); it must be a whole zip file. Use numpy.savez."
    return MalformedRequest(detail, [Fault(pointer="", detail=detail)])
