"""Tables of numbers as CSV text: the header, a fast pass in columns, and a slow one that names the bad cells."""

import csv
import math
import re
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO, Final, NoReturn

import numpy as np

from service.data.column_checks import name_faults
from service.data.fault_list import escape
from service.errors import Fault, Invalid, MalformedRequest

MAX_COLUMNS: Final = 16_384
MAX_LINE_BYTES: Final = 2**20
_BLOCK_BYTES: Final = 2**20
#: From this many columns on a block is larger, since each column costs time in each block.
_WIDE: Final = 1000
_NUMBER: Final = re.compile(r"\s*[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?\s*", re.ASCII)


class NotNumbers(ValueError):
    """The rows are not numbers all through; its text is what the parser says of it."""


def read_names(file: BinaryIO, delimiter: str = ",", most: int = MAX_COLUMNS) -> list[str]:
    """The column names of the first line, which is where `file` stands; raise Invalid if they cannot be names."""
    line = file.readline(MAX_LINE_BYTES)
    if len(line) == MAX_LINE_BYTES and not line.endswith(b"\n"):
        _refuse("", f"The header is longer than {MAX_LINE_BYTES} bytes. Use fewer or shorter names, and end its line.")
    try:
        text = line.decode("utf-8-sig").strip("\r\n")
    except UnicodeDecodeError as error:
        raise not_utf8(error.start) from error
    if "\0" in text:
        _refuse("", "The header holds NUL bytes, as UTF-16 without its byte order mark does. Save the file as UTF-8.")
    try:
        names = [name.strip() for name in next(csv.reader([text], delimiter=delimiter, strict=True), [])]
    except csv.Error as error:
        _refuse(
            "", f"The header cannot be split into names ({error}); end lines with LF or CR LF, and correct its quotes."
        )
    if not any(names):
        _refuse("", "The file's first line is empty; it must name the columns. Put a header there.")
    if len(names) > most:
        _refuse(
            "",
            f"The header names {len(names)} columns; {most} is the most allowed. Leave some out, or send an .npz file.",
        )
    _check_names(names)
    return names


def block_bytes(width: int) -> int:
    """How much of a file of so many columns is read at a time."""
    return _BLOCK_BYTES if width < _WIDE else 8 * _BLOCK_BYTES


def read_rows(
    source: Path | bytes | BinaryIO, width: int, delimiter: str = ",", decimal: str = "."
) -> Iterator[np.ndarray[Any, Any]]:
    """Give the rows below the header of a file or of its content, (rows, width) in float64, a block at a time.

    Raises NotNumbers where a cell is no finite number, or a row has another width: `cell_faults` says where then.
    """
    # PyArrow is heavy, and most of what kerasd does has no need of it.
    import pyarrow
    from pyarrow import csv as arrow_csv

    names = [str(index) for index in range(width)]
    try:
        batches = arrow_csv.open_csv(
            pyarrow.BufferReader(source) if isinstance(source, bytes) else source,
            read_options=arrow_csv.ReadOptions(column_names=names, skip_rows=1, block_size=block_bytes(width)),
            parse_options=arrow_csv.ParseOptions(delimiter=delimiter),
            convert_options=arrow_csv.ConvertOptions(
                column_types=dict.fromkeys(names, pyarrow.float64()),
                null_values=[],
                strings_can_be_null=False,
                decimal_point=decimal,
            ),
            # What this pool has given, it gives back.
            memory_pool=pyarrow.system_memory_pool(),
        )
        with batches:
            for batch in batches:
                yield _finite_rows(batch)
    except pyarrow.ArrowInvalid as error:
        if "Empty CSV file" not in str(error):
            raise NotNumbers(str(error)) from error


def not_utf8(position: int, form: str = "CSV") -> MalformedRequest:
    """The error of a file whose byte at a position is not UTF-8."""
    detail = f"The byte at position {position} is not UTF-8; {form} files must be UTF-8 text. Save the file as UTF-8."
    return MalformedRequest(detail, [Fault(pointer="", detail=detail)])


def _finite_rows(batch: Any) -> np.ndarray[Any, Any]:
    rows = np.empty((batch.num_rows, batch.num_columns))
    for index, column in enumerate(batch.columns):
        rows[:, index] = column.to_numpy()
    if not np.isfinite(rows).all():
        raise NotNumbers("a number that is not finite")
    return rows


#: What came in a cell and what was expected, for the number of its column and its text; None where nothing is wrong.
Wrong = Callable[[int, str], tuple[str, str] | None]


def no_number(_: int, cell: str) -> tuple[str, str] | None:
    """What is wrong with a cell that must hold a finite number."""
    if _NUMBER.fullmatch(cell) and math.isfinite(float(cell)):
        return None
    came = f"The text {cell[:40]!r}" if cell.strip() else "An empty cell"
    if _NUMBER.fullmatch(cell.replace(",", ".", 1)):
        return came, "a number with a decimal point was expected. Put a point in the place of the comma."
    return came, "a finite number was expected. Correct it."


def no_comma_number(_: int, cell: str) -> tuple[str, str] | None:
    """What is wrong with a cell that must hold a finite number with a decimal comma, if it has a fraction."""
    if "." not in cell and no_number(_, cell.replace(",", ".")) is None:
        return None
    came = f"The text {cell[:40]!r}" if cell.strip() else "An empty cell"
    return came, "a finite number such as 1234,5, without other separators, was expected. Correct it."


def cell_faults(
    file: BinaryIO,
    header: list[str],
    skip: int = 0,
    most: int | None = None,
    *,
    delimiter: str = ",",
    wrong: Wrong = no_number,
) -> Iterator[Fault]:
    """Yield what is wrong, cell by cell, once the fast pass has shown that something is; from the file's beginning.

    The first `skip` rows are known to be good, and of the others no more than `most` are looked at. The JSON Pointers
    see the file as a list of objects: /16/price is the price in the 17th row.
    """
    lines = _lines(file)
    next(lines)
    reader = csv.reader(lines, delimiter=delimiter)
    try:
        yield from _record_faults(reader, header, skip, most, wrong)
    except csv.Error as error:
        detail = f"Line {reader.line_num + 1} cannot be split into cells ({error}); correct its quotes."
        yield Fault(pointer="", detail=detail)


def _record_faults(reader: Any, header: list[str], skip: int, most: int | None, wrong: Wrong) -> Iterator[Fault]:
    records = (record for record in reader if record)
    for row, record in islice(enumerate(records), skip, None if most is None else skip + most):
        place = f"row {row + 1} (line {reader.line_num + 1} of the file)"
        if len(record) != len(header):
            detail = f"{len(record)} cells came in {place}; the header names {len(header)}. Make them match."
            yield Fault(pointer=f"/{row}", detail=detail)
        else:
            for column, (name, cell) in enumerate(zip(header, record, strict=True)):
                if (said := wrong(column, cell)) is not None:
                    detail = f"{said[0]} came in {place}, column {name!r}; {said[1]}"
                    yield Fault(pointer=f"/{row}/{escape(name)}", detail=detail)


def _check_names(names: list[str]) -> None:
    faults = name_faults(names)
    if all(_NUMBER.fullmatch(name) for name in names):
        detail = "The first line holds numbers only; it must name the columns. Put a header above the data."
        faults = [Fault(pointer="", detail=detail)]
    if faults:
        raise Invalid("The header of the CSV file cannot be used.", faults[:20])


def _lines(file: BinaryIO) -> Iterator[str]:
    position = 0
    while line := file.readline(2 * MAX_LINE_BYTES):
        try:
            yield line.decode("utf-8")
        except UnicodeDecodeError as error:
            raise not_utf8(position + error.start) from error
        position += len(line)


def _refuse(pointer: str, detail: str) -> NoReturn:
    raise Invalid("The CSV file cannot be used as it is.", [Fault(pointer=pointer, detail=detail)])
