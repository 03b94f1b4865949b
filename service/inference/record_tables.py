"""Tables of raw records as bodies, CSV, JSON lines and Arrow, and labelled predictions as tables."""

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from typing import Any

import numpy as np
import orjson

from service.data.csv_table import MAX_COLUMNS, read_names
from service.data.fault_list import FaultList, escape
from service.data.parsing import numbers_of
from service.data.table_readers import NULLS
from service.data.utf16 import as_utf8
from service.errors import Fault, Invalid, MalformedRequest
from service.features.answer import Logits, joined, tabulated
from service.features.preparation import Category, Feature, Number, Preparation, Task
from service.features.preparation import Sequence as Steps
from service.inference.arrow_tables import as_lists, is_numbers, read_table, stream_in, written
from service.inference.csv_files import check_delimiter
from service.inference.records import check_rows, column_faults, read_records, records_of, refusal

Array = np.ndarray[Any, Any]
Arrays = dict[str, Array]


def read_csv(content: bytes, preparation: Preparation) -> Arrays:
    """Turn CSV whose header names columns into the network's arrays; texts are read as what their column holds.

    Raises MalformedRequest where it is neither UTF-8 nor UTF-16 with its mark, and Invalid with what does not fit.
    """
    content = as_utf8(content)
    header = read_names(io.BytesIO(content))
    check_delimiter(header, content, preparation.columns)
    _check_names(header, preparation)
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        detail = f"The byte at position {error.start} is not UTF-8; CSV must be UTF-8 text."
        raise MalformedRequest(detail, [Fault(pointer="", detail=detail)]) from error
    rows = _CsvRecords(text, header, preparation)
    try:
        return read_records(rows, preparation, _place)
    except Invalid as error:
        raise refusal(map(rows.with_line, error.faults), preparation) from error


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
    """Records of CSV, which are made in their order, once: all of its texts at a time would be many times its size."""

    def __init__(self, text: str, header: list[str], preparation: Preparation) -> None:
        self._count = _checked(text, header, preparation)
        self._numbered = _rows(text)
        self._first, self._lines = 0, list[int]()
        features = {feature.column: feature for feature in preparation.features}
        self._features = [(place, features[name]) for place, name in enumerate(header) if name in features]

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, part: slice) -> list[Any]:
        self._first, last, _ = part.indices(self._count)
        numbered = list(islice(self._numbered, last - self._first))
        self._lines = [line for line, _ in numbered]
        columns = [_cells(feature, [row[place] for _, row in numbered]) for place, feature in self._features]
        return records_of([feature.column for _, feature in self._features], columns, len(numbered))

    def with_line(self, fault: Fault) -> Fault:
        """A fault of the records that were made last, with the line on which its row ends."""
        row = fault.pointer.split("/", 2)[1:2]
        if not row:
            return fault
        line = self._lines[int(row[0]) - self._first]
        return replace(fault, detail=f"Row {int(row[0]) + 1} (line {line}): {fault.detail}")


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


def _checked(text: str, header: list[str], preparation: Preparation) -> int:
    """How many rows there are; raises Invalid where one is not as wide as the header."""
    faults: list[Fault] = []
    count, line = 0, 1
    try:
        for line, row in _rows(text):
            if len(row) != len(header):
                came = f"{len(row)} cell{'' if len(row) == 1 else 's'} came in row {count + 1} (line {line})"
                detail = f"{came}; the header names {len(header)}. Make them match."
                faults.append(Fault(pointer=f"/{count}", detail=detail))
                if len(faults) >= FaultList.LIMIT:
                    break
            count += 1
    except csv.Error as error:
        detail = f"A line after line {line} cannot be split into cells ({error}); correct its quotes, or send JSON."
        faults.append(Fault(pointer="", detail=detail))
    if faults:
        raise refusal(faults, preparation)
    return count


def _rows(text: str) -> Iterator[tuple[int, list[str]]]:
    """The rows below the header, each with the line on which it ends; empty lines are no rows."""
    reader = csv.reader(io.StringIO(text, newline=""))
    next(reader)
    for row in reader:
        if row:
            yield reader.line_num, row


def _cells(feature: Feature, texts: list[str]) -> list[Any]:
    """What the cells of a feature's column stand for; what is none of its values, `of_records` finds."""
    nulls = set(NULLS) - set(feature.categories if isinstance(feature, Category) else ())
    cells = [None if text in nulls else text for text in texts]
    if isinstance(feature, Number):
        return _numbers(cells)
    return list(map(_steps, cells)) if isinstance(feature, Steps) else cells


def _numbers(cells: list[str | None]) -> list[Any]:
    """The numbers of a column all at once, where it has nothing else; else the cells."""
    import pyarrow

    numbers, wrong = numbers_of(pyarrow.array(cells, pyarrow.string()))
    if wrong.any():
        return cells
    return [None if cell is None else number for cell, number in zip(cells, numbers.tolist(), strict=True)]


def _steps(cell: str | None) -> Any:
    """A sequence, which is JSON in a cell."""
    if cell is None or not cell.lstrip().startswith("["):
        return cell
    try:
        return orjson.loads(cell)
    except orjson.JSONDecodeError:
        return cell


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
