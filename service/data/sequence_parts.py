"""The rows of a long table, put by their id into parts that are small enough to be sorted in memory, and sorted."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from service.data.array_writer import FaultList, escape
from service.data.table import FILENAME, Type, batches
from service.errors import TooLarge

if TYPE_CHECKING:
    import pyarrow as pa

PART_BYTES: Final = 2**24
MAX_PARTS: Final = 256
#: The rows of one sequence are in one part.
MAX_PART_BYTES: Final = 2**28
_HELD_BYTES: Final = 2**24
_FLOAT32_MAX: Final = float(np.finfo(np.float32).max)

Array = np.ndarray[Any, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Roles:
    """What the columns of a long table are; `numbers` can become values, `others` only belong to a sequence."""

    identity: str
    time: str | None
    time_type: Type | None
    numbers: tuple[str, ...]
    others: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A sorted part: a file with one batch, in which each sequence's rows lie together in the order of time.

    The sequences stand in the order of `firsts`, the numbers of the rows in which they first came, and have `lengths`
    rows. `changing` has a row and a sequence for each column that changes within one.
    `gaps` has the first rows of a column without a finite number, with what came, and `more_gaps` counts the others.
    """

    path: Path
    lengths: Array
    firsts: Array
    changing: Mapping[str, tuple[int, Any]]
    gaps: Mapping[str, list[tuple[int, str]]]
    more_gaps: Mapping[str, int]


def distribute(folder: Path, spare: Path, roles: Roles) -> list[Path]:
    """Write the rows of the table into files in `spare`; the rows of an id go to one file, in their order.

    A file has the table's columns by their places, then the key of time and the row's number. Raise Invalid for rows
    without an id or a time.
    """

    number = min(MAX_PARTS, 1 + (folder / FILENAME).stat().st_size // PART_BYTES)
    faults = FaultList()
    held: list[pa.RecordBatch] = []
    row = size = 0
    with ExitStack() as stack:
        files = _Files(spare, number, stack)
        for batch in batches(folder):
            held.append(_keyed(batch, row, roles, faults))
            row, size = row + batch.num_rows, size + batch.nbytes
            if size >= _HELD_BYTES:
                files.write(held, roles.identity)
                held, size = [], 0
        if held:
            files.write(held, roles.identity)
    if not row:
        faults.add("", "The table has no rows; at least one was expected. Send one or more.")
    faults.raise_if_any()
    return [path for path in files.paths if path.exists()]


def sort_part(path: Path, roles: Roles) -> Part:
    """Sort a part by the first row of each id, and by time, and see what changes within its sequences.

    Raise Invalid for equal times in a sequence, TooLarge for a part that is too large to be sorted.
    """
    import pyarrow as pa

    if path.stat().st_size > MAX_PART_BYTES:
        raise TooLarge(
            f"A sequence has more than {MAX_PART_BYTES} bytes as a table, the most allowed. Cut it into shorter ones."
        )
    with pa.memory_map(str(path)) as file:
        table = pa.ipc.open_file(file).read_all().combine_chunks()
    names = table.column_names
    codes = table.column(roles.identity).combine_chunks().dictionary_encode().indices.to_numpy()
    rows = table.column(len(names) - 1).to_numpy()
    key = table.column(len(names) - 2).to_numpy()
    firsts = rows[np.unique(codes, return_index=True)[1]]
    order = np.lexsort((key, codes))
    if not (order[1:] > order[:-1]).all():
        table, codes, rows, key = table.take(order), codes[order], rows[order], key[order]
    same = codes[1:] == codes[:-1]
    if roles.time is not None:
        _check_times(table.column(roles.time), rows, same & (key[1:] == key[:-1]), roles.time)
    ends = np.flatnonzero(np.concatenate((~same, [True]))) + 1
    place = path.with_suffix(".sorted")
    _write_sorted(table, place)
    path.unlink()
    gaps = {name: _gaps(table.column(name), rows) for name in roles.numbers}
    return Part(
        path=place,
        lengths=np.diff(ends, prepend=0),
        firsts=firsts,
        changing=_changing(table, rows, same, roles),
        gaps={name: found for name, (found, _) in gaps.items()},
        more_gaps={name: more for name, (_, more) in gaps.items()},
    )


class _Files:
    """The files of all parts, each opened when the first row comes for it."""

    def __init__(self, folder: Path, number: int, stack: ExitStack) -> None:
        self.paths = [folder / f"{part}.part" for part in range(number)]
        self._stack = stack
        self._writers: dict[int, Any] = {}

    def write(self, held: list[pa.RecordBatch], identity: str) -> None:
        import pyarrow as pa

        number = len(self.paths)
        parts = np.concatenate([_part_numbers(batch.column(identity), number) for batch in held])
        order = np.argsort(parts, kind="stable")
        table = pa.Table.from_batches(held).take(order)
        ends = np.searchsorted(parts[order], np.arange(1, number + 1))
        for part, (first, end) in enumerate(zip([0, *ends[:-1]], ends, strict=True)):
            if end > first:
                self._writer(part, table.schema).write_table(table.slice(first, end - first))

    def _writer(self, part: int, schema: pa.Schema) -> Any:
        import pyarrow as pa

        if part not in self._writers:
            file = self._stack.enter_context(pa.OSFile(str(self.paths[part]), "wb"))
            self._writers[part] = self._stack.enter_context(pa.ipc.new_file(file, schema))
        return self._writers[part]


def _part_numbers(identities: pa.Array, number: int) -> Array:
    """The part of each row: equal ids have the same in every batch, and in every process."""
    encoded = identities.dictionary_encode()
    hashes = [zlib.crc32(str(value).encode()) % number for value in encoded.dictionary.to_pylist()]
    # An id that is missing has become a fault.
    numbers: Array = np.array([*hashes, 0])[encoded.indices.fill_null(len(hashes)).to_numpy()]
    return numbers


def _keyed(batch: pa.RecordBatch, first: int, roles: Roles, faults: FaultList) -> pa.RecordBatch:
    """The batch with two more columns: the key of time, and the rows' numbers."""
    import pyarrow as pa

    rows = np.arange(first, first + batch.num_rows)
    _check_there(batch.column(roles.identity), first, roles.identity, faults)
    key = pa.array(rows)
    if roles.time is not None:
        _check_there(batch.column(roles.time), first, roles.time, faults)
        key = _time_key(batch.column(roles.time), first, roles.time, faults)
    # A name longer than every other is none of them.
    free = max(batch.schema.names, key=len)
    fields = [*batch.schema, pa.field(f"{free} key", key.type), pa.field(f"{free} row", pa.int64())]
    return pa.record_batch([*batch.columns, key, pa.array(rows)], schema=pa.schema(fields))


def _check_there(column: pa.Array, first: int, name: str, faults: FaultList) -> None:
    if column.null_count:
        for row in np.flatnonzero(column.is_null().to_numpy(zero_copy_only=False)).tolist():
            detail = f"No value came in row {first + row + 1}, column {name!r}; each row needs one. Fill it in."
            faults.add(f"/{first + row}/{escape(name)}", detail)


def _time_key(column: pa.Array, first: int, name: str, faults: FaultList) -> pa.Array:
    """What the rows are sorted by, int64 or float64; what is missing has become a fault."""
    import pyarrow as pa

    if pa.types.is_string(column.type):
        column = _moments(column, first, name, faults)
    if pa.types.is_timestamp(column.type):
        column = column.cast(pa.int64())
    if pa.types.is_floating(column.type):
        return column.fill_null(0.0)
    return column.fill_null(0)


def _moments(texts: pa.Array, first: int, name: str, faults: FaultList) -> pa.Array:
    """Dates and moments that are written as ISO 8601 has them, with a zone or without."""
    import pyarrow as pa

    for kind in (pa.timestamp("us"), pa.timestamp("us", tz="UTC")):
        try:
            return texts.cast(kind)
        except pa.ArrowInvalid:
            continue
    wrong = [(row, text) for row, text in enumerate(texts.to_pylist()) if text is not None and not _is_moment(text)]
    for row, text in wrong or [(0, texts[0].as_py())]:
        came = f"The text {text[:40]!r} came in row {first + row + 1}, column {name!r}"
        expected = "all times must be numbers, or all moments such as 2024-05-01 or 2024-05-01T12:30:00"
        faults.add(f"/{first + row}/{escape(name)}", f"{came}; {expected}. Rewrite them.")
    # Nothing more is known of the order, and each such text takes a while.
    faults.raise_if_any()
    raise AssertionError


def _is_moment(text: str) -> bool:
    import pyarrow as pa

    for kind in (pa.timestamp("us"), pa.timestamp("us", tz="UTC")):
        try:
            pa.scalar(text).cast(kind)
        except pa.ArrowInvalid:
            continue
        return True
    return False


def _check_times(times: pa.ChunkedArray, rows: Array, equal: Array, name: str) -> None:
    faults = FaultList()
    places = np.flatnonzero(equal)
    for place in places[: FaultList.LIMIT].tolist():
        earlier, row = int(rows[place]), int(rows[place + 1])
        came = f"Rows {earlier + 1} and {row + 1} are of one sequence and have the same time"
        detail = f"{came}, {str(times[place].as_py())[:40]!r}; each step needs its own. Correct or remove one."
        faults.add(f"/{row}/{escape(name)}", detail)
    faults.count_more(max(0, len(places) - FaultList.LIMIT))
    faults.raise_if_any()


def _changing(table: pa.Table, rows: Array, same: Array, roles: Roles) -> dict[str, tuple[int, Any]]:
    changing = {}
    for name in (*roles.numbers, *roles.others):
        places = np.flatnonzero(same & _differs(table.column(name).combine_chunks()))
        if len(places):
            place = int(places[0]) + 1
            changing[name] = (int(rows[place]), table.column(roles.identity)[place].as_py())
    return changing


def _differs(column: pa.Array) -> Array:
    """Whether each value is another one than that before it; a value that is missing equals another such."""
    codes = column.dictionary_encode().indices.fill_null(-1).to_numpy()
    differs: Array = codes[1:] != codes[:-1]
    return differs


def _gaps(column: pa.ChunkedArray, rows: Array) -> tuple[list[tuple[int, str]], int]:
    """The first rows in which there is no finite number within float32, with what came, and how many more there are."""
    import pyarrow as pa

    values = column.cast(pa.float64()).fill_null(np.nan).to_numpy()
    wrong = np.flatnonzero(~(np.abs(values) <= _FLOAT32_MAX))
    first = wrong[np.argsort(rows[wrong])][: FaultList.LIMIT].tolist()
    found = [(int(rows[place]), str(values[place]) if column[place].is_valid else "No value") for place in first]
    return found, len(wrong) - len(found)


def _write_sorted(table: pa.Table, place: Path) -> None:
    import pyarrow as pa

    with pa.OSFile(str(place), "wb") as file, pa.ipc.new_file(file, table.schema) as writer:
        for batch in table.combine_chunks().to_batches():
            writer.write_batch(batch)
