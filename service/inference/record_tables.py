"""Tables of raw records as bodies, CSV, JSON lines and Arrow, and labelled predictions as tables."""

import csv
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from typing import Any

import numpy as np
import orjson

from service.data.array_writer import FaultList, escape
from service.data.csv_table import MAX_COLUMNS, read_names
from service.data.table_readers import NULLS
from service.errors import Fault, Invalid, MalformedRequest
from service.features.answer import Logits, joined, tabulated
from service.features.preparation import Category, Feature, Preparation, Task
from service.features.preparation import Sequence as Steps
from service.inference.arrow_tables import as_lists, is_numbers, read_table, stream_in, written
from service.inference.records import check_rows, column_faults, read_records, records_of, refusal

Array = np.ndarray[Any, Any]
Arrays = dict[str, Array]


def read_csv(content: bytes, preparation: Preparation) -> Arrays:
    """Turn CSV whose header names columns into the network's arrays; texts are read as what their column holds.

    Raises MalformedRequest where it is no UTF-8, and Invalid with what does not fit.
    """
    header = read_names(io.BytesIO(content))
    _check_names(header, preparation)
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        detail = f"The byte at position {error.start} is not UTF-8; CSV must be UTF-8 text."
        raise MalformedRequest(detail, [Fault(pointer="", detail=detail)]) from error
    rows, lines = _rows(text, header, preparation)
    try:
        return read_records(_CsvRecords(header, rows, preparation), preparation, _place)
    except Invalid as error:
        raise refusal([_with_line(fault, lines) for fault in error.faults], preparation) from error


def read_stream(content: bytes, preparation: Preparation, limit_bytes: int) -> Arrays:
    """Do the same for a table in Arrow's stream format, whose columns are found by name."""
    table = read_table(content, limit_bytes, lambda schema: _check_schema(schema, preparation))
    check_rows(table.num_rows, preparation)
    return read_records(_ArrowRecords(table), preparation, _place)


def read_file(content: bytes, preparation: Preparation, limit_bytes: int) -> Arrays:
    """Do the same for Arrow's file format, Feather's too."""
    return read_stream(stream_in(content), preparation, limit_bytes)


def write_csv(outputs: Mapping[str, Array], preparation: Preparation, logits: Logits) -> bytes:
    """Predictions as CSV: a column for each label's probability, and one for the label; numbers as they are."""
    table = tabulated(outputs, preparation, logits)
    columns: dict[str, Any] = {}
    for name, column in table.items():
        columns.update(_flat(name, column))
    for target in preparation.targets:
        prefix = f"{target.column}." if len(preparation.targets) > 1 else ""
        if target.task is Task.LABELS and f"{prefix}labels" in columns:
            columns[f"{prefix}labels"] = [joined(labels, target) for labels in columns[f"{prefix}labels"]]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(zip(*columns.values(), strict=True))
    return text.getvalue().encode()


def write_stream(outputs: Mapping[str, Array], preparation: Preparation, logits: Logits) -> bytes:
    """The same as a table in Arrow's stream format; several labels are lists."""
    import pyarrow.ipc

    return written(pyarrow.ipc.new_stream, _arrow(tabulated(outputs, preparation, logits)))


def write_file(outputs: Mapping[str, Array], preparation: Preparation, logits: Logits) -> bytes:
    """The same in Arrow's file format."""
    import pyarrow.ipc

    return written(pyarrow.ipc.new_file, _arrow(tabulated(outputs, preparation, logits)))


class _CsvRecords:
    """Records of rows of texts, in which some texts stand for no value."""

    def __init__(self, header: list[str], rows: list[list[str]], preparation: Preparation) -> None:
        self._header, self._rows = header, rows
        readers = {feature.column: _reader(feature) for feature in preparation.features}
        self._readers = [(place, readers[name]) for place, name in enumerate(header) if name in readers]

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, part: slice) -> list[Any]:
        names = [self._header[place] for place, _ in self._readers]
        rows = self._rows[part]
        columns = [[read(row[place]) for row in rows] for place, read in self._readers]
        return records_of(names, columns, len(rows))


class _ArrowRecords:
    """Records of an Arrow table, made as they are asked for."""

    def __init__(self, table: Any) -> None:
        self._table = table

    def __len__(self) -> int:
        return int(self._table.num_rows)

    def __getitem__(self, part: slice) -> list[Any]:
        first, last, _ = part.indices(len(self))
        rows = self._table.slice(first, last - first)
        names = rows.schema.names
        columns = [_values(rows.column(place)) for place in range(len(names))]
        return records_of(names, columns, last - first)


def _place(row: int, column: str | None) -> str:
    return f"/{row}" if column is None else f"/{row}/{escape(column)}"


def _check_names(names: Sequence[str], preparation: Preparation) -> None:
    found = islice(column_faults(names, preparation), FaultList.LIMIT)
    faults = [Fault(pointer=f"/{escape(name[:200])}", detail=detail) for name, detail in found]
    if faults:
        raise refusal(faults, preparation)


def _rows(text: str, header: list[str], preparation: Preparation) -> tuple[list[list[str]], list[int]]:
    """The rows below the header, and the line on which each of them ends; empty lines are no rows."""
    reader = csv.reader(io.StringIO(text, newline=""))
    rows: list[list[str]] = []
    lines: list[int] = []
    faults: list[Fault] = []
    try:
        next(reader)
        for row in reader:
            if not row:
                continue
            if len(row) != len(header):
                detail = (
                    f"{len(row)} cells came in row {len(rows) + 1} (line {reader.line_num}); the header names "
                    f"{len(header)}. Make them match."
                )
                faults.append(Fault(pointer=f"/{len(rows)}", detail=detail))
                if len(faults) >= FaultList.LIMIT:
                    break
            rows.append(row)
            lines.append(reader.line_num)
    except csv.Error as error:
        detail = f"Line {reader.line_num} cannot be split into cells ({error}); correct its quotes, or send JSON."
        faults.append(Fault(pointer="", detail=detail))
    if faults:
        raise refusal(faults, preparation)
    return rows, lines


def _reader(feature: Feature) -> Callable[[str], Any]:
    """What a cell of a feature's column stands for; what is none of its values, `of_records` finds."""
    nulls = set(NULLS) - set(feature.categories if isinstance(feature, Category) else ())

    def text(cell: str) -> Any:
        return None if cell in nulls else cell

    def steps(cell: str) -> Any:
        try:
            return orjson.loads(cell) if cell.lstrip().startswith("[") else text(cell)
        except orjson.JSONDecodeError:
            return cell

    return steps if isinstance(feature, Steps) else text


def _with_line(fault: Fault, lines: list[int]) -> Fault:
    row = fault.pointer.split("/", 2)[1:2]
    if not row or not row[0].isdecimal() or int(row[0]) >= len(lines):
        return fault
    number = int(row[0])
    return replace(fault, detail=f"Row {number + 1} (line {lines[number]}): {fault.detail}")


def _check_schema(schema: Any, preparation: Preparation) -> None:
    """Refuse columns that no record can be made of, before a row of them is read."""
    if len(schema.names) > MAX_COLUMNS:
        detail = f"{len(schema.names)} columns came; {MAX_COLUMNS} is the most allowed."
        raise refusal([Fault(pointer="", detail=detail)], preparation)
    faults = [
        Fault(
            pointer=f"/{escape(field.name[:200])}",
            detail=(
                f"The column {field.name[:60]!r} is of Arrow's type {str(field.type)[:80]}; numbers, booleans, texts, "
                "dates, binary images, or lists of numbers were expected. Dictionaries must be decoded."
            ),
        )
        for field in schema
        if not _is_readable(field.type)
    ]
    if faults:
        raise refusal(faults, preparation)
    _check_names(schema.names, preparation)


def _is_readable(kind: Any) -> bool:
    from pyarrow import types

    tests = (
        types.is_string,
        types.is_large_string,
        types.is_binary,
        types.is_large_binary,
        types.is_timestamp,
        types.is_date,
        types.is_null,
    )
    return is_numbers(kind) or any(test(kind) for test in tests)


def _values(column: Any) -> list[Any]:
    """The values of a column as a record has them; dates as their texts in UTC."""
    import pyarrow
    from pyarrow import types

    if isinstance(column.type, pyarrow.BaseExtensionType):
        column = column.combine_chunks().storage
    if types.is_timestamp(column.type):
        # Without its zone, a moment is that of UTC, and no table of zones is asked for.
        column = column.cast(pyarrow.timestamp(column.type.unit)).cast(pyarrow.string())
    elif types.is_date(column.type):
        column = column.cast(pyarrow.date32()).cast(pyarrow.string())
    elif types.is_float16(column.type):
        column = column.cast(pyarrow.float32())
    values: list[Any] = column.to_pylist()
    return values


def _flat(name: str, column: Any) -> dict[str, Any]:
    """A column as columns of single values."""
    if not isinstance(column, np.ndarray) or column.ndim == 1:
        return {name: column}
    inner = np.ndindex(column.shape[1:])
    return {".".join([name, *map(str, index)]): column[(slice(None), *index)] for index in inner}


def _arrow(table: Mapping[str, Any]) -> dict[str, Any]:
    import pyarrow

    def column(values: Any) -> Any:
        if isinstance(values, np.ndarray):
            return as_lists(np.ascontiguousarray(values))
        several = any(isinstance(value, list) for value in values)
        return pyarrow.array(values, pyarrow.list_(pyarrow.string()) if several else pyarrow.string())

    return {name: column(values) for name, values in table.items()}
