"""Zip files of CSV files, each of which is one sequence: a header, and a step a line."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from io import BytesIO
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from service.data.array_writer import MAX_ROW_VALUES
from service.data.csv_table import NotNumbers, cell_faults, no_comma_number, no_number, read_names, read_rows
from service.data.delimiters import SPREADSHEETS, delimiter_of
from service.data.fault_list import FaultList
from service.data.members import Member, content, in_batches, labelled, members_of, opened
from service.data.table import Origin, TableWriter, arrow_of, name_field, sequence_array, with_origin
from service.data.table_readers import TableOptions
from service.data.utf16 import as_utf8
from service.errors import Fault, KerasdError

if TYPE_CHECKING:
    import pyarrow as pa

MAX_FILE_BYTES: Final = 2**26
_HEAD_BYTES: Final = 2**16
_FLOAT32_MAX: Final = float(np.finfo(np.float32).max)

Array = np.ndarray[Any, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sequence:
    """One file's steps, (steps, columns) in float32."""

    member: Member
    values: Array


def read_sequence_archive(path: Path, folder: Path, options: TableOptions) -> None:
    """Write a table with the columns `filename`, `label` and `sequence`, one row a file, sorted by the files' names.

    The label is the name of the folder right above a file, if every file lies in a folder; otherwise there is no such
    column. All files have the same header, whose columns are the values of a step. Raise Invalid with every fault, in
    whatever file; MalformedRequest for a damaged zip file, TooLarge over a limit.
    """
    faults = FaultList()
    with path.open("rb") as file, opened(file) as files:
        members = members_of(files, options.limits.max_bytes, faults)
        if not members:
            faults.add(
                "", "The zip file holds no files; one CSV file for each sequence was expected. Put them into it."
            )
        faults.raise_if_any()
        sequences = _sequences(files, members, options, faults)
        first = next(sequences, None)
        if first is not None:
            _write(chain([first], sequences), first.values.shape[1], labelled(members), folder, options)
    faults.raise_if_any()


def _sequences(
    files: zipfile.ZipFile, members: list[Member], options: TableOptions, faults: FaultList
) -> Iterator[_Sequence]:
    """The files that are sequences, one in memory at a time; the first readable header is that of all."""
    expected: list[str] | None = None
    for member in members:
        header, values = _read(files, member, expected, options, faults)
        expected = expected or header
        if values is not None:
            yield _Sequence(member=member, values=values)


def _read(
    files: zipfile.ZipFile, member: Member, expected: list[str] | None, options: TableOptions, faults: FaultList
) -> tuple[list[str] | None, Array | None]:
    """The header and the steps of a file; None, and faults, for what cannot be read."""
    if member.info.file_size > MAX_FILE_BYTES:
        _add(faults, member, f"The file has {member.info.file_size} bytes; {MAX_FILE_BYTES} is the most. Cut it up.")
        return None, None
    unpacked = content(files, member)
    try:
        data = as_utf8(unpacked)
        delimiter = options.delimiter or _delimiter(member, data, options.decimal)
        header = read_names(BytesIO(data), delimiter)
    except KerasdError as error:
        for fault in error.faults:
            _add(faults, member, fault.detail)
        return None, None
    if expected is not None and header != expected:
        came = f"The header {_listed(header)} came; {_listed(expected)} was expected, as in the files before it"
        _add(faults, member, f"{came}. All files need the same columns.")
        return header, None
    return header, _steps(data, header, delimiter, options.decimal, member, faults)


def _steps(
    data: bytes, header: list[str], delimiter: str, decimal: str | None, member: Member, faults: FaultList
) -> Array | None:
    try:
        blocks = _blocks(data, header, delimiter, decimal)
    except NotNumbers as error:
        for fault in _cell_faults(data, header, delimiter, decimal, str(error)):
            _add(faults, member, fault.detail, fault.pointer)
        return None
    values = np.concatenate([np.empty((0, len(header)), np.float32), *blocks])
    if 0 < values.size <= MAX_ROW_VALUES:
        return values
    came = f"{len(values)} steps of {len(header)} values came; 1 to {MAX_ROW_VALUES} values were expected"
    _add(
        faults, member, f"{came}. " + ("Cut it up." if len(values) else "Put lines below the header, or leave it out.")
    )
    return None


def _blocks(data: bytes, header: list[str], delimiter: str, decimal: str | None) -> list[Array]:
    """The steps; a mark that is not said is a comma if all cells are numbers with commas, and not with points."""
    if decimal is None and delimiter in SPREADSHEETS:
        with suppress(NotNumbers):
            return _blocks(data, header, delimiter, ".")
        decimal = ","
    return [_narrow(rows) for rows in read_rows(data, len(header), delimiter, decimal or ".")]


def _narrow(rows: Array) -> Array:
    if (np.abs(rows) > _FLOAT32_MAX).any():
        raise NotNumbers("a number beyond float32, whose largest is 3.4e38")
    return rows.astype(np.float32)


def _cell_faults(data: bytes, header: list[str], delimiter: str, decimal: str | None, reason: str) -> Iterator[Fault]:
    wrong = no_comma_number if decimal == "," else no_number
    try:
        found = list(cell_faults(BytesIO(data), header, delimiter=delimiter, wrong=wrong))
    except KerasdError as error:
        found = [*error.faults]
    detail = f"The file cannot be read as numbers: {reason[:200]}. Correct it there."
    yield from found or [Fault(pointer="", detail=detail)]


def _delimiter(member: Member, data: bytes, decimal: str | None) -> str:
    if member.suffix == ".tsv":
        return "\t"
    return delimiter_of(data[:_HEAD_BYTES], decimal)


def _add(faults: FaultList, member: Member, detail: str, pointer: str = "") -> None:
    faults.add(member.pointer + pointer, f"{member.name[:200]!r}: {detail}")


def _listed(names: list[str]) -> str:
    return ", ".join(repr(name[:40]) for name in names[:10]) + (", ..." if len(names) > 10 else "")


def _write(
    sequences: Iterator[_Sequence], channels: int, with_labels: bool, folder: Path, options: TableOptions
) -> None:
    import pyarrow as pa

    told = [name_field("label", arrow_of("string"))] if with_labels else []
    filename = with_origin(name_field("filename", arrow_of("string")), Origin.FILENAME)
    schema = pa.schema([filename, *told, pa.field("sequence", arrow_of("sequence", channels))])
    with TableWriter(folder, schema, options.limits) as writer:
        for rows in in_batches(sequences, lambda row: row.values.nbytes):
            writer.write(_batch(rows, schema, with_labels))


def _batch(rows: list[_Sequence], schema: pa.Schema, with_labels: bool) -> pa.RecordBatch:
    import pyarrow as pa

    columns = [pa.array([row.member.name for row in rows], arrow_of("string"))]
    if with_labels:
        columns.append(pa.array([row.member.folder for row in rows], arrow_of("string")))
    offsets = np.cumsum([0, *(len(row.values) for row in rows)])
    columns.append(sequence_array(np.concatenate([row.values for row in rows]), offsets))
    return pa.record_batch(columns, schema=schema)
