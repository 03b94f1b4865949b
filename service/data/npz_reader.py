"""NumPy's .npz files: their headers are read, their values streamed; nothing in them is ever unpickled."""

import zipfile
from pathlib import Path
from typing import IO, Final

import numpy as np

from service.data.array_writer import MAX_RANK, MAX_ROW_VALUES, PARTS, ArrayWriter, Intake
from service.data.npz_archive import ArrayHeader, check_total, exactly, member_header, opened, unreadable
from service.data.store import rows_per_chunk

_COPY_BYTES: Final = 2**20
#: Where values are kept until all of them are known, by the kind and the size in bytes of their dtype.
_STORED: Final = {
    "b1": "int32", "i1": "int32", "i2": "int32", "i4": "int32", "u1": "int32", "u2": "int32",
    "i8": "int64", "u4": "int64", "u8": "int64",
    "f2": "float32", "f4": "float32", "f8": "float64",
}  # fmt: skip


def read_npz(path: Path, intake: Intake) -> None:
    """Write the members x, y and sample_weight, or x.<name> and y.<name>, through `intake`.

    Raise MalformedRequest where the zip file is damaged, TooLarge where its members declare more than is allowed.
    """
    with path.open("rb") as file, opened(file) as archive:
        check_total(archive, intake.options.max_bytes)
        for info in archive.infolist():
            _take_member(archive, info, intake)


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
    if (wrong := unreadable(info)) is not None:
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


def _checked_header(
    archive: zipfile.ZipFile, info: zipfile.ZipInfo, intake: Intake, pointer: str
) -> ArrayHeader | None:
    try:
        header = member_header(archive, info)
        wrong = _unusable(header, info)
    except ValueError as error:
        header, wrong = None, str(error)
    if wrong is not None:
        intake.faults.add(pointer, wrong)
        return None
    return header


def _unusable(header: ArrayHeader, info: zipfile.ZipInfo) -> str | None:
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


def _stream(stream: IO[bytes], header: ArrayHeader, writer: ArrayWriter, intake: Intake) -> None:
    if not header.fortran or len(header.shape) == 1:
        rows = rows_per_chunk(header.shape, header.dtype.itemsize)
        row_bytes = header.data_bytes // header.shape[0]
        for first in range(0, header.shape[0], rows):
            count = min(rows, header.shape[0] - first)
            data = exactly(stream, count * row_bytes)
            writer.append(np.frombuffer(data, header.dtype).reshape(count, *header.shape[1:]))
    else:
        _stream_columns(stream, header, writer, intake.folder / "columns.raw")
    # Reading on to the end lets the zip reader compare the checksum.
    stream.read(1)


def _stream_columns(stream: IO[bytes], header: ArrayHeader, writer: ArrayWriter, spare: Path) -> None:
    """Bring an array in Fortran order into rows by way of a file that is mapped, for it may be larger than memory."""
    with spare.open("wb") as file:
        left = header.data_bytes
        while left:
            block = exactly(stream, min(left, _COPY_BYTES))
            file.write(block)
            left -= len(block)
    whole = np.memmap(spare, header.dtype, mode="r", shape=header.shape, order="F")
    step = rows_per_chunk(header.shape, header.dtype.itemsize)
    for first in range(0, header.shape[0], step):
        writer.append(np.ascontiguousarray(whole[first : first + step]))
    spare.unlink()
