"""CSV files as data sets: the target columns become y, all others x."""

from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, BinaryIO, Final, NoReturn

import numpy as np

from service.data.array_writer import ArrayWriter, Intake
from service.data.csv_table import NotNumbers, cell_faults, read_names, read_rows
from service.data.utf16 import is_plain, opened_text
from service.errors import Fault, Invalid

#: What to do where the cells are meant to be no numbers.
_ADVICE: Final = (
    "With `target` in the address all cells must be numbers; without it, the file becomes a table whose columns can be "
    "anything, and a job names its target."
)


def read_csv(path: Path, intake: Intake) -> None:
    """Write the columns that `target` names as y and all others, in the header's order, as x.

    Raise Invalid for a header or a target that cannot be used, MalformedRequest where the text is neither UTF-8 nor
    UTF-16 with its mark; it may be packed. The JSON Pointers of faults see the file as a list of objects: /16/price is
    the price in the 17th row.
    """
    with _opened(path, intake) as file:
        header = read_names(file)
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
    good = [(writer, columns) for writer, columns in writers if writer is not None]
    try:
        for rows in _rows(path, len(header), intake):
            _write(rows, good)
    except NotNumbers as error:
        _find_faults(path, header, intake, str(error))


def _opened(path: Path, intake: Intake) -> AbstractContextManager[BinaryIO]:
    return opened_text(path, intake.options.max_bytes)


def _rows(path: Path, width: int, intake: Intake) -> Iterator[np.ndarray[Any, Any]]:
    if is_plain(path):
        # PyArrow reads it by itself, and faster.
        yield from read_rows(path, width)
        return
    with _opened(path, intake) as file:
        yield from read_rows(file, width)


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


def _write(rows: np.ndarray[Any, Any], writers: list[tuple[ArrayWriter, list[int]]]) -> None:
    for writer, columns in writers:
        single = writer.part == "y" and len(columns) == 1
        writer.append(rows[:, columns[0]] if single else rows[:, columns])


def _find_faults(path: Path, header: list[str], intake: Intake, reason: str) -> None:
    before = len(intake.faults)
    with _opened(path, intake) as file:
        for fault in cell_faults(file, header):
            intake.faults.add(fault.pointer, fault.detail)
    if len(intake.faults) == before:
        intake.faults.add("", f"The file cannot be read as numbers: {reason[:200]}. Correct it there.")
    # The rows were not all written, so that nothing more can be said of the arrays.
    intake.faults.raise_if_any(_ADVICE)


def _refuse(pointer: str, detail: str) -> NoReturn:
    raise Invalid("The CSV file cannot be used as it is.", [Fault(pointer=pointer, detail=detail)])
