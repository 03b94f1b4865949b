"""The rows of a long table, put by their id into files, each of which has all the rows of its ids."""

from __future__ import annotations

import zlib
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from service.data.fault_list import FaultList, escape
from service.data.table import FILENAME, Type, batches

if TYPE_CHECKING:
    import pyarrow as pa

PART_BYTES: Final = 2**24
#: Each is an open file while rows come.
MAX_PARTS: Final = 256
_HELD_BYTES: Final = 2**24

Array = np.ndarray[Any, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Roles:
    """What the columns of a long table are; `numbers` can become values, `others` only belong to a sequence."""

    identity: str
    time: str | None
    time_type: Type | None
    numbers: tuple[str, ...]
    others: tuple[str, ...]


class Files:
    """Arrow files of one schema in a folder, to which rows go by their numbers; one opens with its first row."""

    def __init__(self, folder: Path, stem: str, number: int) -> None:
        self._places = [folder / f"{stem}.{part}" for part in range(number)]
        self._stack = ExitStack()
        self._writers: dict[int, Any] = {}
        self._held: list[tuple[pa.RecordBatch, Array]] = []
        self._bytes = 0

    @property
    def paths(self) -> list[Path]:
        """The files that have rows."""
        return [self._places[part] for part in sorted(self._writers)]

    def add(self, batch: pa.RecordBatch, parts: Array) -> None:
        """Put each row into the file whose number `parts` has; the rows of a file stay in their order."""
        self._held.append((batch, parts))
        self._bytes += batch.nbytes
        # Many rows at once make few pieces of each file.
        if self._bytes >= _HELD_BYTES:
            self._flush()

    def __enter__(self) -> Files:
        return self

    def __exit__(self, *_: object) -> None:
        with self._stack:
            self._flush()

    def _flush(self) -> None:
        import pyarrow as pa

        if not self._held:
            return
        # Numbers of 16 bits are sorted in one pass.
        parts = np.concatenate([numbers for _, numbers in self._held]).astype(np.int16)
        order = np.argsort(parts, kind="stable")
        table = pa.Table.from_batches([batch for batch, _ in self._held]).take(order)
        ends = np.searchsorted(parts[order], np.arange(1, len(self._places) + 1)).tolist()
        for part, (first, end) in enumerate(zip([0, *ends[:-1]], ends, strict=True)):
            if end > first:
                self._writer(part, table.schema).write_table(table.slice(first, end - first))
        self._held, self._bytes = [], 0

    def _writer(self, part: int, schema: pa.Schema) -> Any:
        import pyarrow as pa

        if part not in self._writers:
            file = self._stack.enter_context(pa.OSFile(str(self._places[part]), "wb"))
            self._writers[part] = self._stack.enter_context(pa.ipc.new_file(file, schema))
        return self._writers[part]


def distribute(folder: Path, spare: Path, roles: Roles) -> list[Path]:
    """Write the rows of the table into files in `spare`; the rows of an id go to one file, in their order.

    A file has the table's columns, then the key by which rows of an id are sorted, and the row's number. Raise Invalid
    for rows without an id or a time.
    """
    number = min(MAX_PARTS, 1 + (folder / FILENAME).stat().st_size // PART_BYTES)
    faults = FaultList()
    row = 0
    with Files(spare, "part", number) as files:
        for batch in batches(folder):
            files.add(_keyed(batch, row, roles, faults), _part_numbers(batch.column(roles.identity), number))
            row += batch.num_rows
    if not row:
        faults.add("", "The table has no rows; at least one was expected. Send one or more.")
    faults.raise_if_any()
    return files.paths


def in_python(values: pa.Array) -> list[Any]:
    """The values as Python has them; moments as texts, for there are such as Python does not have."""
    import pyarrow as pa

    return (values.cast(pa.string()) if pa.types.is_timestamp(values.type) else values).to_pylist()  # type: ignore[no-any-return]


def _part_numbers(identities: pa.Array, number: int) -> Array:
    """The part of each row: equal ids have the same in every batch, and in every process."""
    encoded = identities.dictionary_encode()
    hashes = [zlib.crc32(str(value).encode()) % number for value in in_python(encoded.dictionary)]
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
    missing = column.is_null(nan_is_null=True).to_numpy(zero_copy_only=False)
    for row in np.flatnonzero(missing).tolist():
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
    """Dates and moments that are written as ISO 8601 has them; what has no zone is in UTC."""
    import pyarrow as pa

    for kind in (pa.timestamp("us"), pa.timestamp("us", tz="UTC")):
        try:
            return texts.cast(kind)
        except pa.ArrowInvalid:
            continue
    # Some have a zone and some have none, or they are no moments.
    moments = [None if text is None else _microseconds(text) for text in texts.to_pylist()]
    for row, (text, moment) in enumerate(zip(texts.to_pylist(), moments, strict=True)):
        if text is not None and moment is None:
            came = f"The text {text[:40]!r} came in row {first + row + 1}, column {name!r}"
            expected = "all times must be numbers, or all moments such as 2024-05-01 or 2024-05-01T12:30:00"
            faults.add(f"/{first + row}/{escape(name)}", f"{came}; {expected}. Rewrite them.")
    # Nothing more is known of the order, and each such text takes a while.
    faults.raise_if_any()
    return pa.array(moments, pa.int64())


def _microseconds(text: str) -> int | None:
    import pyarrow as pa

    for kind in (pa.timestamp("us"), pa.timestamp("us", tz="UTC")):
        try:
            return int(pa.scalar(text).cast(kind).value)
        except pa.ArrowInvalid:
            continue
    return None
