"""CSV and TSV files as tables: PyArrow splits the rows, and the types of the columns are found out as the rows come.

The first pass writes the table with the types that a sample of the rows has. Where a later row is of another type, the
rest is only looked at, and a second pass writes the table with the types that hold for all: a file is read twice at
most.

Where a semicolon or a tab separates cells, as spreadsheets do in the countries that write decimal commas, a column has
these if all of its cells are numbers then, and not otherwise.
"""

from __future__ import annotations

import codecs
import csv
import io
import math
import os
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Final, NoReturn

from service.data.column_checks import check_rows, finite
from service.data.csv_table import block_bytes, cell_faults, not_utf8, read_names
from service.data.delimiters import SPREADSHEETS, delimiter_of
from service.data.fault_list import FaultList
from service.data.table import MAX_COLUMNS, TableWriter, arrow_of
from service.data.table_readers import TableOptions
from service.data.text_columns import (
    WITH_COMMAS,
    WITH_EITHER,
    WITH_POINTS,
    Form,
    converted,
    count_grouped,
    is_grouped,
    widened,
)
from service.data.utf16 import is_plain, opened_text
from service.errors import Fault, Invalid, MalformedRequest

if TYPE_CHECKING:
    import pyarrow as pa

#: How long a row can be.
MAX_ROW_BYTES: Final = 2**24
_HEAD_BYTES: Final = 2**20
_SAMPLES: Final = 8
_SAMPLE_BYTES: Final = 2**17
#: After how many rows of another width the rest is not looked at: each costs some microseconds.
_MOST_RAGGED: Final = 10_000
_MAX_THREADS: Final = 4
_UNGROUPED: Final = (
    "with decimal=, one such as 1234,5 was expected, whose thousands nothing sets apart. Remove the separators; where "
    "they are decimal points, leave decimal out."
)
_NUMBERS: Final = (Form.BARE, Form.NUMBER, Form.COMMA)


def read_csv_table(path: Path, folder: Path, options: TableOptions) -> None:
    """Write the table of a CSV file, packed or not, in UTF-8 or with UTF-16's mark; its first line names the columns.

    Raises MalformedRequest where it is neither, Invalid with what is wrong in the header or the rows, and TooLarge.
    """
    _read(path, folder, options, options.delimiter)


def read_tsv_table(path: Path, folder: Path, options: TableOptions) -> None:
    """Do the same for a file whose cells are separated by tabs."""
    _read(path, folder, options, "\t")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Layout:
    """How a file is laid out: its delimiter, its columns, and where its rows begin."""

    delimiter: str
    names: tuple[str, ...]
    header_bytes: int


def _read(path: Path, folder: Path, options: TableOptions, delimiter: str | None) -> None:
    limit = options.limits.max_bytes
    with opened_text(path, limit) as file:
        head = file.read(_HEAD_BYTES)
    layout = _layout(head, delimiter, options.decimal)
    reading = _Reading(path, layout, options)
    reading.sample(head)
    if not reading.write(folder):
        reading.write(folder)
    check_rows(reading.rows)


def _layout(head: bytes, delimiter: str | None, decimal: str | None) -> _Layout:
    chosen = delimiter or delimiter_of(head, decimal)
    start = io.BytesIO(head)
    names = read_names(start, chosen, MAX_COLUMNS)
    return _Layout(delimiter=chosen, names=tuple(names), header_bytes=start.tell())


def _among(decimal: str | None, delimiter: str) -> tuple[Form, ...]:
    """What columns can be, with the decimal mark that a client has said, or that files of this kind have."""
    if decimal is None:
        return WITH_EITHER if delimiter in SPREADSHEETS else WITH_POINTS
    return WITH_COMMAS if decimal == "," else WITH_POINTS


class _Reading:
    """The passes over one file; `forms` are what the columns are, as far as it is known."""

    def __init__(self, path: Path, layout: _Layout, options: TableOptions) -> None:
        self._path, self._layout, self._options = path, layout, options
        self._block_bytes = block_bytes(len(layout.names))
        self._forms = [Form.EMPTY] * len(layout.names)
        self._among = _among(options.decimal, layout.delimiter)
        self._begin()

    def _begin(self) -> None:
        self.rows = 0
        self._ragged = self._refused = 0
        self._last: Any = None

    def sample(self, head: bytes) -> None:
        """Guess the forms by the file's first rows, and by some from all over it where it can be read anywhere."""
        self._learn(head[self._layout.header_bytes :])
        size = self._path.stat().st_size
        if size <= len(head) or not is_plain(self._path):
            return
        with self._path.open("rb") as file:
            for number in range(_SAMPLES):
                file.seek(len(head) + number * (size - len(head)) // _SAMPLES)
                rows = file.read(_SAMPLE_BYTES).partition(b"\n")[2]
                # An odd number of quotes in a line may mean that a value has several lines, and that this is within it.
                if not any(line.count(b'"') % 2 for line in rows.splitlines()[:-1]):
                    self._learn(rows)

    def _learn(self, rows: bytes) -> None:
        import pyarrow as pa

        whole = rows[: rows.rfind(b"\n") + 1] or rows
        self._begin()
        # The pass over all rows will say what is wrong; what is not split as the header says may begin within a value.
        with suppress(pa.ArrowInvalid, MalformedRequest):
            batches = list(self._batches(_Rows(io.BytesIO(whole), 0), len(whole) + 1))
            for batch in [] if self._ragged else batches:
                self._widen(batch)

    def write(self, folder: Path) -> bool:
        """Write the table; False where a column turned out to be wider: its form is known then, and another will do."""
        import pyarrow as pa

        self._begin()
        try:
            with self._opened() as file:
                file.read(self._layout.header_bytes)
                rows = _Rows(file, self._layout.header_bytes)
                fits = self._pass(rows, folder)
        except pa.ArrowInvalid as error:
            return self._stumble(folder, str(error))
        self._check(rows, fits)
        return fits

    def _pass(self, rows: _Rows, folder: Path) -> bool:
        import pyarrow as pa

        fits = True
        fields = zip(self._layout.names, self._forms, strict=True)
        schema = pa.schema([(name, arrow_of(form.type)) for name, form in fields])
        with TableWriter(folder, schema, self._options.limits) as writer:
            for batch, columns in self._converted(self._batches(rows, self._block_bytes)):
                self.rows += batch.num_rows
                values = [column for column, _ in columns]
                fits = fits and all(value is not None for value in values)
                if fits:
                    self._refused += sum(refused for _, refused in columns)
                    writer.write(pa.RecordBatch.from_arrays(values, schema=schema))
                else:
                    self._widen(batch)
        return fits

    def _batches(self, rows: _Rows, size: int) -> Iterator[pa.RecordBatch]:
        """The rows, in columns of text."""
        import pyarrow as pa
        from pyarrow import csv as arrow_csv

        names = list(self._layout.names)
        try:
            batches = arrow_csv.open_csv(
                pa.PythonFile(rows, mode="r"),
                # The other threads have the values to convert.
                read_options=arrow_csv.ReadOptions(column_names=names, block_size=size, use_threads=False),
                parse_options=arrow_csv.ParseOptions(
                    delimiter=self._layout.delimiter, newlines_in_values=True, invalid_row_handler=self._skip
                ),
                convert_options=arrow_csv.ConvertOptions(
                    column_types=dict.fromkeys(names, pa.string()),
                    null_values=list(self._options.nulls),
                    strings_can_be_null=True,
                    check_utf8=False,
                ),
                # What this pool has given, it gives back.
                memory_pool=pa.system_memory_pool(),
            )
        except pa.ArrowInvalid as error:
            if "Empty CSV file" in str(error):
                return
            raise
        with batches:
            yield from batches

    def _skip(self, _: Any) -> str:
        self._ragged += 1
        return "skip" if self._ragged < _MOST_RAGGED else "error"

    def _converted(self, batches: Iterator[pa.RecordBatch]) -> Iterator[tuple[pa.RecordBatch, list[Any]]]:
        """Each batch with its columns as values, which threads make of one while the next is read."""
        with ThreadPoolExecutor(min(_MAX_THREADS, len(os.sched_getaffinity(0)))) as pool:
            before: tuple[pa.RecordBatch, list[Future[Any]]] | None = None
            for batch in batches:
                futures = [
                    pool.submit(self._values, column, form)
                    for column, form in zip(batch.columns, self._forms, strict=True)
                ]
                if before is not None:
                    yield before[0], [future.result() for future in before[1]]
                before = batch, futures
                self._last = batch
            if before is not None:
                yield before[0], [future.result() for future in before[1]]

    def _values(self, texts: pa.StringArray, form: Form) -> tuple[pa.Array | None, int]:
        """The values of a column, and how many of them cannot be taken; runs in a thread."""
        values = converted(texts, form, self._options.nulls)
        if values is not None and form is Form.GROUPED:
            return values, count_grouped(texts)
        if values is None or form not in _NUMBERS:
            return values, 0
        values, infinite = finite(values)
        return values, len(infinite)

    def _widen(self, batch: pa.RecordBatch) -> None:
        self._forms = [
            widened(texts, form, self._options.nulls, self._among)
            for texts, form in zip(batch.columns, self._forms, strict=True)
        ]

    def _stumble(self, folder: Path, reason: str) -> bool:
        """Go on after PyArrow has given up: with longer blocks if a row was too long, else with an error."""
        if self._ragged >= _MOST_RAGGED:
            self._tell(self._ragged, "The rows after these were not looked at.")
        is_long = "straddling" in reason or "out of sync" in reason
        if is_long and self._block_bytes < MAX_ROW_BYTES:
            self._block_bytes = MAX_ROW_BYTES
            return self.write(folder)
        if is_long:
            reason = (
                f"after row {self.rows} comes one of more than {MAX_ROW_BYTES} bytes; perhaps a quote is not closed"
            )
        raise _refusal(f"The rows cannot be read as CSV: {reason[:200]}. Correct them.")

    def _check(self, rows: _Rows, fits: bool) -> None:
        """Raise Invalid with what is wrong in the rows: among numbers, infinite ones and those that are not read."""
        wrong = self._ragged + (self._refused if fits else 0)
        if wrong or rows.has_nul:
            self._tell(wrong)
        if self._last is not None and rows.end != b'"' and "\n" in (self._last.column(-1)[-1].as_py() or ""):
            raise _refusal(
                "The last value has several lines, and its quote is not closed. Close it, or remove the quote."
            )

    def _tell(self, count: int, last: str | None = None) -> NoReturn:
        """Raise Invalid with the first faults, which are looked for one by one; `count` is how many are known of."""
        faults = FaultList()
        for fault in islice(self._faults(), FaultList.LIMIT):
            faults.add(fault.pointer, fault.detail)
        faults.count_more(max(0, count - len(faults)))
        try:
            faults.raise_if_any()
        except Invalid as error:
            more = [] if last is None else [Fault(pointer="", detail=last)]
            raise Invalid(error.detail, [*error.faults, *more]) from None
        raise _refusal("The rows cannot be split into cells as the header says; a quote may be wrong. Correct it.")

    def _faults(self) -> Iterator[Fault]:
        # The module's own limit of a cell is lower than what a row may have here.
        csv.field_size_limit(MAX_ROW_BYTES)
        header, delimiter = list(self._layout.names), self._layout.delimiter
        with self._opened() as file:
            yield from cell_faults(file, header, delimiter=delimiter, wrong=self._wrong)

    def _wrong(self, column: int, cell: str) -> tuple[str, str] | None:
        if "\0" in cell:
            return f"The text {cell[:40]!r}", "text without a NUL byte was expected. Remove it."
        form = self._forms[column]
        if form is Form.GROUPED and is_grouped(cell):
            return f"The number {cell[:40]!r}", _UNGROUPED
        if form in _NUMBERS and cell not in self._options.nulls and _is_infinite(cell, form):
            return f"The number {cell[:40]!r}", "a finite number was expected. Replace it, or leave it empty."
        return None

    def _opened(self) -> AbstractContextManager[BinaryIO]:
        return opened_text(self._path, self._options.limits.max_bytes)


class _Rows:
    """The bytes of the rows on their way to PyArrow, from a position on; what is no UTF-8 raises MalformedRequest.

    It notes whether there is a NUL among them, and which byte comes last.
    """

    closed = False

    def __init__(self, file: BinaryIO, position: int) -> None:
        self._file, self._position = file, position
        self._decoder = codecs.getincrementaldecoder("utf-8")()
        self.has_nul = False
        self.end = b""

    def read(self, size: int) -> bytes:
        block = self._file.read(size)
        pending = len(self._decoder.getstate()[0])
        try:
            self._decoder.decode(block, final=not block)
        except UnicodeDecodeError as error:
            raise not_utf8(self._position - pending + error.start) from error
        self._position += len(block)
        self.has_nul = self.has_nul or b"\0" in block
        self.end = block.rstrip(b"\r\n")[-1:] or self.end
        return block


def _is_infinite(cell: str, form: Form) -> bool:
    try:
        return math.isinf(float(cell.replace(",", ".") if form is Form.COMMA else cell))
    except ValueError:
        return False


def _refusal(detail: str) -> Invalid:
    return Invalid("The file cannot be used as it is.", [Fault(pointer="", detail=detail)])
