"""JSON lines and lists of JSON objects as tables: the columns are all keys, in the order in which they first appear.

The first pass writes the table with the columns and types that the first records have. Where later ones have others,
the rest is only looked at, and a second pass writes the table with what holds for all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import orjson

from service.data.arrow_columns import ArrowColumn, stored_values
from service.data.column_checks import check_rows, name_faults
from service.data.fault_list import FaultList, escape
from service.data.json_stream import Block, elements, lines
from service.data.table import MAX_COLUMNS, TableWriter, arrow_of
from service.data.table_readers import TableOptions
from service.data.text_columns import QUOTED, Form, converted, widened
from service.errors import Fault, Invalid

if TYPE_CHECKING:
    import pyarrow as pa

#: How many values of all columns are turned into columns at a time.
_BLOCK_CELLS: Final = 2**20
_BLOCK_ROWS: Final = 8_192
_INT64: Final = range(-(2**63), 2**63)
_NUMBERS: Final = {int, float}
#: What lists are of, where it is not lists of so many numbers.
LABELS: Final = -1
FLAT: Final = 0
_EMPTY: Final = -2
_WRONG: Final = -3
_LISTS: Final = "numbers, lists of as many numbers each, or texts without semicolons were expected in it."


def read_json_lines(path: Path, folder: Path, options: TableOptions) -> None:
    """Write the table of a file with a JSON object in each line, packed or not.

    Raises MalformedRequest with the lines that are no JSON, Invalid with what no table can hold, and TooLarge.
    """
    _read(lambda: lines(path, options.limits.max_bytes), folder, options)


def read_json_records(path: Path, folder: Path, options: TableOptions) -> None:
    """Do the same for a list of objects, and for {"records": [...]}."""
    _read(lambda: elements(path, options.limits.max_bytes), folder, options)


@dataclass(slots=True, kw_only=True)
class _Column:
    """What the values of a column are, as far as they are known.

    `scalars` is the form of all that are no lists. `lists` says that there are lists, and `shape` what is in them:
    LABELS for texts, which are joined, FLAT for numbers, and otherwise how many numbers there are in each of their
    lists; None while all of them are empty.
    """

    name: str
    scalars: Form = Form.EMPTY
    lists: bool = False
    shape: int | None = None

    @property
    def form(self) -> Form | None:
        """The form of all values; None for sequences."""
        if not self.lists:
            return self.scalars
        is_text = self.shape == LABELS or (self.shape is None and self.scalars is not Form.EMPTY)
        return Form.TEXT if is_text else None

    @property
    def channels(self) -> int:
        return max(1, self.shape or 1)

    @property
    def arrow(self) -> pa.DataType:
        return arrow_of("sequence", self.channels) if self.form is None else arrow_of(self.form.type)


class _Rows:
    """Records that follow each other, by column; what is no object is a fault, and taken for one without keys.

    `names` are all keys of these records, in the order in which they first appear.
    """

    def __init__(self, records: list[Any], first: int, lines: list[int] | None, faults: FaultList) -> None:
        self.first, self.lines, self.faults = first, lines, faults
        self.count = len(records)
        if not set(map(type, records)) <= {dict}:
            records = list(map(self._object, range(self.count), records))
        shapes = dict.fromkeys(map(tuple, records))
        self.names = list(dict.fromkeys(chain.from_iterable(shapes)))
        self._columns: dict[str, Sequence[Any]]
        if len(shapes) == 1:
            # Where all have the same keys in the same order, as they mostly have, this is several times as fast.
            self._columns = dict(zip(self.names, zip(*map(dict.values, records), strict=True), strict=True))
        else:
            self._columns = {name: [record.get(name) for record in records] for name in self.names}

    def values(self, name: str) -> Sequence[Any]:
        return self._columns[name]

    def add(self, index: int, name: str | None, came: str, expected: str) -> None:
        row = self.first + index
        line = "" if self.lines is None else f" (line {self.lines[index]} of the file)"
        column = "" if name is None else f", column {name[:64]!r}"
        pointer = f"/{row}" if name is None else f"/{row}/{escape(name)}"
        self.faults.add(pointer, f"{came} came in row {row + 1}{line}{column}; {expected}")

    def _object(self, index: int, record: Any) -> dict[str, Any]:
        if isinstance(record, dict):
            return record
        self.add(index, None, _describe(record), "an object with a key for each column was expected.")
        return {}


def _read(blocks: Callable[[], Iterator[Block]], folder: Path, options: TableOptions) -> None:
    columns: dict[str, _Column] = {}
    for rows in _sliced(blocks(), columns, FaultList()):
        _learn(rows, columns)
        break
    if not _write(blocks, columns, folder, options):
        _write(blocks, columns, folder, options)


def _write(
    blocks: Callable[[], Iterator[Block]], columns: dict[str, _Column], folder: Path, options: TableOptions
) -> bool:
    """Write the table; False where more or other columns turned up: they are known then, and another pass will do."""
    import pyarrow as pa

    fits, count, faults = True, 0, FaultList()
    schema = pa.schema([(column.name, column.arrow) for column in columns.values()])
    with TableWriter(folder, schema, options.limits) as writer:
        for rows in _sliced(blocks(), columns, faults):
            count += rows.count
            fits = not _learn(rows, columns) and fits
            if fits and not len(faults):
                batch = _batch(rows, columns, schema)
                if not len(faults):
                    writer.write(batch)
    for fault in name_faults(list(columns)):
        faults.add(fault.pointer, fault.detail)
    faults.raise_if_any()
    check_rows(count)
    if not columns:
        detail = "The records have no keys; at least one was expected. Send records with values."
        raise Invalid("The table has no columns.", [Fault(pointer="", detail=detail)])
    return fits


def _sliced(blocks: Iterator[Block], columns: dict[str, _Column], faults: FaultList) -> Iterator[_Rows]:
    """The records in slices that are short, also where there are many columns; what is no object is a fault."""
    first = 0
    for block in blocks:
        done = 0
        while done < len(block.records):
            size = _size(block.records[done : done + _BLOCK_ROWS], len(columns))
            numbers = None if block.lines is None else block.lines[done : done + size]
            yield _Rows(block.records[done : done + size], first + done, numbers, faults)
            done += size
        first += len(block.records)


def _size(records: list[Any], known: int) -> int:
    """How many of these records make a slice, so that its columns, those that are new as well, have few cells."""
    shapes = set(map(tuple, (record for record in records if isinstance(record, dict))))
    names = len(set(chain.from_iterable(shapes)))
    return max(1, min(len(records), _BLOCK_CELLS // max(1, known + names)))


def _learn(rows: _Rows, columns: dict[str, _Column]) -> bool:
    """Note what these records have of columns and types; True where that is more than was known."""
    unknown = [name for name in rows.names if name not in columns]
    columns.update((name, _Column(name=name)) for name in unknown)
    if len(columns) > MAX_COLUMNS:
        detail = f"The records have more than {MAX_COLUMNS} different keys, the most allowed. Use fewer."
        raise Invalid("The records have too many columns.", [Fault(pointer="", detail=detail)])
    new = bool(unknown)
    for name in rows.names:
        new = _learn_column(rows, columns[name]) or new
    return new


def _learn_column(rows: _Rows, column: _Column) -> bool:
    """Note what the values of one column are; True where that is more than was known."""
    before = column.arrow, column.form
    values = rows.values(column.name)
    kinds = set(map(type, values)) - {type(None)}
    if dict in kinds:
        _fault_each(rows, column, dict, "a number, a text, a boolean or a list was expected. Make its fields keys.")
    if list in kinds:
        column.lists = True
        for index, value in enumerate(values):
            if type(value) is list:
                _learn_list(rows, column, index, value)
    scalars = kinds - {dict, list}
    if scalars and column.scalars is not Form.TEXT:
        column.scalars = _form(values, scalars, column.scalars)
    if column.shape is not None and column.shape != LABELS and column.scalars is not Form.EMPTY:
        _fault_mixed(rows, column, scalars)
    return before != (column.arrow, column.form)


def _learn_list(rows: _Rows, column: _Column, index: int, value: list[Any]) -> None:
    shape = _shape(value)
    if shape == _WRONG:
        rows.add(index, column.name, "A list of other values", _LISTS)
    elif shape != _EMPTY and column.shape is None:
        column.shape = shape
    elif shape not in (_EMPTY, column.shape):
        expected = f"{_said(column.shape)} was expected, as in the rows before. Make all alike."
        rows.add(index, column.name, _said(shape), expected)


def _shape(value: list[Any]) -> int:
    """What a list is of, as a column says it, _EMPTY or _WRONG."""
    kinds = set(map(type, value))
    if kinds == {str}:
        return _WRONG if any(";" in text for text in value) else LABELS
    if kinds <= _NUMBERS:
        return FLAT if value else _EMPTY
    sizes = set(map(len, value)) if kinds == {list} else set()
    even = len(sizes) == 1 and set(map(type, chain.from_iterable(value))) <= _NUMBERS
    return (sizes.pop() or _WRONG) if even else _WRONG


def _said(shape: int | None) -> str:
    if shape == LABELS:
        return "A list of texts"
    return "A list of numbers" if shape == FLAT else f"A list of lists of {shape} numbers"


def _form(values: Sequence[Any], kinds: set[type], form: Form) -> Form:
    """The narrowest form of the values that are no lists and of those that had the given form; what is mixed is text.

    Whole numbers beyond 64 bits are floats, as they are for most readers of JSON.
    """
    import pyarrow as pa

    if kinds == {str}:
        texts = pa.array([value for value in values if type(value) is str], pa.string())
        return widened(texts, form, (), QUOTED) if form in QUOTED else Form.TEXT
    found = Form.TEXT
    if kinds == {bool}:
        found = Form.TRUTH
    elif kinds <= _NUMBERS:
        numbers = [value for value in values if type(value) in _NUMBERS]
        whole = kinds == {int} and min(numbers) in _INT64 and max(numbers) in _INT64
        found = Form.WHOLE if whole else Form.NUMBER
    if form in (Form.EMPTY, found):
        return found
    return Form.NUMBER if {form, found} == {Form.WHOLE, Form.NUMBER} else Form.TEXT


def _fault_each(rows: _Rows, column: _Column, kind: type, expected: str) -> None:
    for index, value in enumerate(rows.values(column.name)):
        if type(value) is kind:
            rows.add(index, column.name, _describe(value), expected)


def _fault_mixed(rows: _Rows, column: _Column, scalars: set[type]) -> None:
    """Note the values that are no lists; or the lists, where there are only these, and the others came before."""
    expected = "lists and other values came in this column. Send one kind of them."
    for kind in scalars or {list}:
        _fault_each(rows, column, kind, expected)


def _batch(rows: _Rows, columns: dict[str, _Column], schema: pa.Schema) -> pa.RecordBatch:
    """The rows as they are stored; what none of them has is made once for each type."""
    import pyarrow as pa

    known = set(rows.names)
    missing = {kind: pa.nulls(rows.count, kind) for kind in set(schema.types)} if len(known) < len(columns) else {}
    values = [_values(rows, columns[field.name]) if field.name in known else missing[field.type] for field in schema]
    return pa.RecordBatch.from_arrays(values, schema=schema)


def _values(rows: _Rows, column: _Column) -> pa.Array:
    """The values of a column as they are stored; lists with numbers that are none as float32 are faults."""
    import pyarrow as pa

    values = rows.values(column.name)
    match column.form:
        case None:
            nested = column.shape is not None and column.shape > FLAT
            kind = pa.list_(pa.list_(pa.float64())) if nested else pa.list_(pa.float64())
            stored = ArrowColumn(name=column.name, type="sequence", channels=column.channels)
            return stored_values(_floats(values, kind), stored, rows.first, rows.faults)
        case Form.NUMBER:
            return _floats(values, pa.float64())
        case Form.MOMENT | Form.ZONED as form:
            return converted(pa.array(values, pa.string()), form)
        case Form.TEXT:
            plain = set(map(type, values)) <= {str, type(None)}
            return pa.array(values if plain else list(map(_text, values)), pa.string())
        case form:
            return pa.array(values, arrow_of(form.type))


def _floats(values: Sequence[Any], kind: pa.DataType) -> pa.Array:
    import pyarrow as pa

    try:
        return pa.array(values, kind)
    except pa.ArrowInvalid:
        # A whole number beyond 2**53 is not taken for a float as it is.
        return pa.array(_rounded(values), kind)


def _rounded(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return list(map(_rounded, value))
    return float(value) if type(value) is int else value


def _text(value: Any) -> str | None:
    """A value as the text that it is in JSON, 1.0 as "1"; several texts as one, with semicolons between."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, list):
        return ";".join(value)
    # The same number is the same category, however it was written.
    whole = isinstance(value, float) and value.is_integer()
    return str(int(value)) if whole else orjson.dumps(value).decode()


def _describe(value: Any) -> str:
    named = {list: "A list", dict: "An object", type(None): "null", str: "A text", bool: "A boolean"}
    return named.get(type(value), "A number")
