"""CSV files: a fast pass in columns, and a slow one that names the bad cells if the fast one fails."""

import csv
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, Final, NoReturn

import numpy as np

from service.data.array_writer import ArrayWriter, Intake, escape
from service.errors import Fault, Invalid, MalformedRequest

MAX_COLUMNS: Final = 16_384
MAX_LINE_BYTES: Final = 2**20
_BLOCK_BYTES: Final = 2**20
_NUMBER: Final = re.compile(r"\s*[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?\s*", re.ASCII)


def read_csv(path: Path, intake: Intake) -> None:
    """Write the columns that `target` names as y and all others, in the header's order, as x.

    Raise Invalid for a header or a target that cannot be used, MalformedRequest where the text is not UTF-8. The JSON
    Pointers of faults see the file as a list of objects: /16/price is the price in the 17th row.
    """
    header = _header(path)
    targets = _targets(header, intake.options.target)
    inputs = [index for index in range(len(header)) if index not in targets]
    if not inputs:
        _refuse(
            "", f"All {len(header)} columns are targets; at least one column must be left for x. Name fewer targets."
        )
    intake.seen.update(("x", "y"))
    writers = [
        (intake.open("x", columns=tuple(header[index] for index in inputs)), inputs),
        (intake.open("y", columns=tuple(header[index] for index in targets)), targets),
    ]
    reason = _fast_pass(path, len(header), [(writer, columns) for writer, columns in writers if writer is not None])
    if reason is not None:
        _slow_pass(path, header, intake, reason)


def _header(path: Path) -> list[str]:
    """The column names of the first line; raise Invalid if they cannot be names."""
    with path.open("rb") as file:
        line = file.readline(MAX_LINE_BYTES)
    try:
        text = line.decode("utf-8-sig").strip("\r\n")
    except UnicodeDecodeError as error:
        raise _not_utf8(error.start) from error
    try:
        names = [name.strip() for name in next(csv.reader([text]), [])]
    except csv.Error as error:
        _refuse(
            "", f"The header cannot be split into names ({error}); end lines with LF or CR LF, and correct its quotes."
        )
    if not any(names):
        _refuse("", "The file's first line is empty; it must name the columns. Put a header there.")
    if len(names) > MAX_COLUMNS:
        _refuse("", f"The header names {len(names)} columns; {MAX_COLUMNS} is the most allowed. Send an .npz file.")
    _check_names(names)
    return names


def _check_names(names: list[str]) -> None:
    faults = []
    if all(_NUMBER.fullmatch(name) for name in names):
        detail = "The first line holds numbers only; it must name the columns. Put a header above the data."
        faults.append(Fault(pointer="", detail=detail))
    else:
        faults += [
            Fault(pointer="", detail=f"Column {place} has no name; each column needs one. Name it in the header.")
            for place, name in enumerate(names, 1)
            if not name
        ]
        faults += [
            Fault(pointer="", detail=f"The column name {name!r} came {count} times; each must be unique. Rename them.")
            for name, count in Counter(names).items()
            if name and count > 1
        ]
    if faults:
        raise Invalid("The header of the CSV file cannot be used.", faults[:20])


def _targets(header: list[str], target: tuple[str, ...]) -> list[int]:
    """Where the target columns stand, in the order in which the client named them."""
    listed = ", ".join(repr(name) for name in header[:50]) + (", ..." if len(header) > 50 else "")
    if not target:
        _refuse("/target", f"No target came; name the columns that are y. The columns are {listed}.")
    unknown = [name for name in target if name not in header]
    faults = [
        Fault(pointer="/target", detail=f"The target {name[:64]!r} is no column; choose among {listed}.")
        for name in unknown[:20]
    ]
    if len(set(target)) < len(target):
        faults.append(Fault(pointer="/target", detail="A target is named twice; name each once."))
    if faults:
        raise Invalid("The target columns cannot be used.", faults)
    return [header.index(name) for name in target]


def _fast_pass(path: Path, width: int, writers: list[tuple[ArrayWriter, list[int]]]) -> str | None:
    """Write all rows, or return why that is not possible, in the words of the parser."""
    # PyArrow is heavy, and most of what kerasd does has no need of it.
    import pyarrow
    from pyarrow import csv as arrow_csv

    names = [str(index) for index in range(width)]
    try:
        batches = arrow_csv.open_csv(
            path,
            read_options=arrow_csv.ReadOptions(column_names=names, skip_rows=1, block_size=_BLOCK_BYTES),
            convert_options=arrow_csv.ConvertOptions(
                column_types=dict.fromkeys(names, pyarrow.float64()), null_values=[], strings_can_be_null=False
            ),
        )
        with batches:
            for batch in batches:
                if not _write_batch(batch, writers):
                    return "a number that is not finite"
    except pyarrow.ArrowInvalid as error:
        return None if "Empty CSV file" in str(error) else str(error)
    return None


def _write_batch(batch: Any, writers: list[tuple[ArrayWriter, list[int]]]) -> bool:
    """Write the rows of a batch to x and to y, or to none of them if a value is not finite."""
    rows = np.empty((batch.num_rows, batch.num_columns))
    for index, column in enumerate(batch.columns):
        rows[:, index] = column.to_numpy()
    if not np.isfinite(rows).all():
        return False
    for writer, columns in writers:
        single = writer.part == "y" and len(columns) == 1
        writer.append(rows[:, columns[0]] if single else rows[:, columns])
    return True


def _slow_pass(path: Path, header: list[str], intake: Intake, reason: str) -> None:
    """Find what is wrong, cell by cell; the fast pass has shown that something is."""
    before = len(intake.faults)
    with path.open("rb") as file:
        lines = _lines(file)
        next(lines)
        reader = csv.reader(lines)
        try:
            _check_records(reader, header, intake)
        except csv.Error as error:
            detail = f"Line {reader.line_num + 1} cannot be split into cells ({error}); correct its quotes."
            intake.faults.add("", detail)
    if len(intake.faults) == before:
        intake.faults.add("", f"The file cannot be read as numbers: {reason[:200]}. Correct it there.")
    # The rows were not all written, so that nothing more can be said of the arrays.
    intake.faults.raise_if_any()


def _check_records(reader: Any, header: list[str], intake: Intake) -> None:
    row = 0
    for record in reader:
        if not record:
            continue
        place = f"row {row + 1} (line {reader.line_num + 1} of the file)"
        if len(record) != len(header):
            detail = f"{len(record)} cells came in {place}; the header names {len(header)}. Make them match."
            intake.faults.add(f"/{row}", detail)
        else:
            for name, cell in zip(header, record, strict=True):
                if not _NUMBER.fullmatch(cell) or not np.isfinite(float(cell)):
                    came = f"The text {cell[:40]!r}" if cell.strip() else "An empty cell"
                    detail = f"{came} came in {place}, column {name!r}; a finite number was expected. Correct it."
                    intake.faults.add(f"/{row}/{escape(name)}", detail)
        row += 1


def _lines(file: BinaryIO) -> Iterator[str]:
    position = 0
    while line := file.readline(2 * MAX_LINE_BYTES):
        try:
            yield line.decode("utf-8")
        except UnicodeDecodeError as error:
            raise _not_utf8(position + error.start) from error
        position += len(line)


def _not_utf8(position: int) -> MalformedRequest:
    detail = f"The byte at position {position} is not UTF-8; CSV files must be UTF-8 text. Save the file as UTF-8."
    return MalformedRequest(detail, [Fault(pointer="", detail=detail)])


def _refuse(pointer: str, detail: str) -> NoReturn:
    raise Invalid("The CSV file cannot be used as it is.", [Fault(pointer=pointer, detail=detail)])
