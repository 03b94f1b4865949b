"""NumPy's .npy arrays out of a stream: the header is checked, then the values go on, a chunk at a time."""

import math
from pathlib import Path
from typing import Final, cast

import numpy as np

from service.data.array_writer import MAX_RANK, MAX_ROW_VALUES, PARTS, ArrayWriter, Intake
from service.data.arrays import Part
from service.data.npy_header import ArrayHeader, read_header
from service.data.store import rows_per_chunk
from service.data.streams import Stream

_BLOCK_BYTES: Final = 2**20
#: What holds the values exactly, by the kind and the size in bytes of their dtype.
_STORED: Final = {
    "b1": "int32", "i1": "int32", "i2": "int32", "i4": "int32", "u1": "int32", "u2": "int32",
    "i8": "int64", "u4": "int64", "u8": "int64",
    "f2": "float32", "f4": "float32", "f8": "float64",
}  # fmt: skip


def part_and_name(text: str) -> tuple[Part, str | None] | None:
    """What x, y, sample_weight, x.<name> or y.<name> stands for; None for all else."""
    part, dot, name = text.partition(".")
    known = part in PARTS and "/" not in name and "\\" not in name
    return (cast(Part, part), name if dot else None) if known else None


def take_array(stream: Stream, intake: Intake, part: Part, name: str | None, brought: int | None = None) -> None:
    """Write the array that `stream` holds through `intake`, or note what is wrong with it.

    `brought` is how many bytes there are, where that is known beforehand; then fewer are an EOFError, and the stream is
    not read to its end. Else it is, and the header is compared with what came.
    """
    header = _checked_header(stream, intake, intake.pointer(part, name), brought)
    if header is None:
        return
    writer = intake.open(part, name, stored=_STORED[_kind(header)], rows=header.shape[0])
    if writer is None:
        return
    came = _take_values(stream, header, writer, intake.folder) + (_rest(stream) if brought is None else 0)
    if came == header.data_bytes:
        writer.finish()
    elif brought is None:
        intake.drop(part, name)
        intake.faults.add(writer.pointer, _untrue(header, came))
    else:
        raise EOFError("a member ends too soon")


def _checked_header(stream: Stream, intake: Intake, pointer: str, brought: int | None) -> ArrayHeader | None:
    try:
        header = read_header(stream)
        wrong = _unusable(header, brought)
    except ValueError as error:
        wrong = f"This is no .npy array ({str(error)[:120]}). Write it with numpy.save, or several with numpy.savez."
    if wrong is not None:
        intake.faults.add(pointer, wrong)
        return None
    return header


def _unusable(header: ArrayHeader, brought: int | None) -> str | None:
    shape = list(header.shape)
    if _kind(header) not in _STORED or header.dtype.subdtype:
        came = f"An array of dtype {str(header.dtype)[:80]} came"
        return f"{came}; booleans, integers or floats of at most 64 bits were expected. Convert it."
    if not shape or min(shape) < 0 or len(shape) > MAX_RANK + 1:
        return f"An array of shape {shape[:20]} came; rows of at most {MAX_RANK} dimensions were expected. Reshape it."
    if shape[0] == 0:
        return "The array has no rows; at least one row was expected. Send one or more."
    if not 0 < math.prod(shape[1:]) <= MAX_ROW_VALUES:
        return f"Rows of shape {shape[1:]} came; a row must have 1 to {MAX_ROW_VALUES} values. Change its shape."
    if brought is not None and header.data_bytes != brought - header.size:
        return _untrue(header, brought - header.size)
    return None


def _untrue(header: ArrayHeader, came: int) -> str:
    due = header.data_bytes if header.data_bytes.bit_length() < 64 else "far more"
    return (
        f"The header promises an array of shape {str(list(header.shape))[:80]}, which takes {due} bytes, and {came} "
        "bytes of values came. Write the file anew with NumPy."
    )


def _kind(header: ArrayHeader) -> str:
    return f"{header.dtype.kind}{header.dtype.itemsize}"


def _take_values(stream: Stream, header: ArrayHeader, writer: ArrayWriter, folder: Path) -> int:
    """Read as many bytes of values as the header promises, or all there are, and return how many that was."""
    if header.fortran and len(header.shape) > 1:
        return _take_columns(stream, header, writer, folder / "columns.raw")
    row_bytes = header.data_bytes // header.shape[0]
    rows = min(rows_per_chunk(header.shape, header.dtype.itemsize), header.shape[0])
    # The pages of this take memory only once something comes that fills them.
    buffer = np.empty(rows * row_bytes, np.uint8)
    came = 0
    while came < header.data_bytes:
        wanted = min(len(buffer), header.data_bytes - came)
        filled = _fill(stream, buffer.data[:wanted])
        came += filled
        whole = filled // row_bytes
        values = buffer[: whole * row_bytes].view(header.dtype)
        writer.append(values.reshape(whole, *header.shape[1:]))
        if filled < wanted:
            break
    return came


def _take_columns(stream: Stream, header: ArrayHeader, writer: ArrayWriter, spare: Path) -> int:
    """Bring an array in Fortran order into rows by way of a file that is mapped, for it may be larger than memory."""
    try:
        came = _copy(stream, spare, header.data_bytes)
        if came == header.data_bytes:
            whole = np.memmap(spare, header.dtype, mode="r", shape=header.shape, order="F")
            step = rows_per_chunk(header.shape, header.dtype.itemsize)
            for first in range(0, header.shape[0], step):
                writer.append(np.ascontiguousarray(whole[first : first + step]))
    finally:
        spare.unlink(missing_ok=True)
    return came


def _copy(stream: Stream, path: Path, size: int) -> int:
    left = size
    with path.open("wb") as file:
        while left and (block := stream.read(min(left, _BLOCK_BYTES))):
            file.write(block)
            left -= len(block)
    return size - left


def _fill(stream: Stream, view: memoryview) -> int:
    filled = 0
    while filled < len(view) and (came := stream.readinto(view[filled:])):
        filled += came
    return filled


def _rest(stream: Stream) -> int:
    """Read to the end; how many bytes that were."""
    came = 0
    while block := stream.read(_BLOCK_BYTES):
        came += len(block)
    return came
