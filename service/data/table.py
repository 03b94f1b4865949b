"""Tables: data sets whose rows are records, kept as one Arrow file of typed columns; this is the stored form's home.

A table is written batch by batch and read batch by batch, so that no more than a batch of it is in memory. PyArrow is
imported where it is used: web processes know the facts of tables, and never open one.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, get_args

import numpy as np

from service.data.read_options import ReadOptions
from service.errors import TooLarge

if TYPE_CHECKING:
    import pyarrow as pa

#: What the values of a column are stored as; "image" is the bytes of a PNG or JPEG file, "sequence" is a list of steps
#: of float32 numbers, as many a step in each row.
Type = Literal["float64", "int64", "bool", "string", "timestamp", "image", "sequence"]
TYPES: Final[tuple[Type, ...]] = get_args(Type)

FILENAME: Final = "table.arrow"
MAX_BATCH_ROWS: Final = 65_536
MAX_BATCH_BYTES: Final = 2**24
MAX_COLUMNS: Final = 4_096
#: A progressive JPEG is unpacked once a scan, and cameras make ten or so: a small file can ask for hours.
MAX_SCANS: Final = 500
#: What is kept beside a column in the file.
_KIND: Final = b"kind"
_ORIGIN: Final = b"origin"


class Kind(StrEnum):
    """What a column means, which decides how it can enter a network; guessed on arrival, and a client's to correct."""

    #: A quantity: more and less of it make sense.
    NUMERIC = "numeric"
    #: One of a set of names; numbers and booleans can be names too.
    CATEGORY = "category"
    #: Words in their order.
    TEXT = "text"
    #: A day, or a moment.
    DATE = "date"
    #: A picture.
    IMAGE = "image"
    #: Steps in time, of one number or several each.
    SEQUENCE = "sequence"


class Origin(StrEnum):
    """What a column tells of where its row comes from, where it tells nothing else: the reader of the upload knows."""

    #: The file in the zip file.
    FILENAME = "filename"
    #: The sequence that the row is, or is a window of.
    SEQUENCE = "sequence"
    #: The time of the first step of the row's window.
    START = "start"
    #: The time of the last one.
    END = "end"


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnFacts:
    """One column: `type` is how its values are stored, `kind` what they mean.

    The type never changes; a column of the type "string" can have any kind but image and sequence, and its values are
    then parsed as they are read. `origin` is None where the column says something of the row itself.
    """

    name: str
    type: Type
    kind: Kind
    origin: Origin | None = None

    def to_json(self) -> dict[str, Any]:
        origin = None if self.origin is None else self.origin.value
        return {"name": self.name, "type": self.type, "kind": self.kind.value, "origin": origin}

    @classmethod
    def from_json(cls, row: dict[str, Any]) -> ColumnFacts:
        # Data sets that are older than origins are stored without.
        origin = None if row.get("origin") is None else Origin(row["origin"])
        return cls(name=row["name"], type=row["type"], kind=Kind(row["kind"]), origin=origin)


class TableWriter:
    """Writes a table into `folder`, batch by batch, within the limits of `options`.

    Used as a context manager; a reader that finds out that a column is of another type begins anew with another writer,
    which replaces what the first one wrote.
    """

    def __init__(self, folder: Path, schema: pa.Schema, options: ReadOptions) -> None:
        import pyarrow as pa

        self._options = options
        self._schema = schema
        self._file = pa.OSFile(str(folder / FILENAME), "wb")
        self._writer = pa.ipc.new_file(self._file, schema)
        self.rows = 0
        self._bytes = 0

    def write(self, batch: pa.RecordBatch) -> None:
        """Add the rows of a batch, whose columns are the schema's; raises TooLarge where that is too much."""
        for part in _cut(batch):
            self.rows += part.num_rows
            self._bytes += part.nbytes
            self._check_limits()
            self._writer.write_batch(part)

    def __enter__(self) -> TableWriter:
        return self

    def __exit__(self, *_: object) -> None:
        self._writer.close()
        self._file.close()

    def _check_limits(self) -> None:
        if self.rows > self._options.max_rows:
            raise TooLarge(f"The data have more than {self._options.max_rows} rows, the most allowed. Send fewer.")
        if self._bytes > self._options.max_bytes:
            raise TooLarge(f"The data need more than {self._options.max_bytes} bytes as a table, the most allowed.")


def batches(folder: Path, columns: Sequence[str] | None = None) -> Iterator[pa.RecordBatch]:
    """Read a table batch by batch, in the order of its rows; only the named columns, in the order of the names.

    The batches are views of a mapped file: what is kept of one keeps the file mapped, and pages are read as they are
    touched.
    """
    import pyarrow as pa

    with pa.memory_map(str(folder / FILENAME)) as file:
        reader = pa.ipc.open_file(file)
        for number in range(reader.num_record_batches):
            batch = reader.get_batch(number)
            yield batch if columns is None else batch.select(list(columns))


def first_records(folder: Path, limit: int) -> list[dict[str, Any]]:
    """The first `limit` rows as JSON has them: times in ISO 8601, images in Base64, missing values as null."""
    records: list[dict[str, Any]] = []
    for batch in batches(folder):
        first = batch.slice(0, limit - len(records))
        columns = [_plain(column) for column in first.columns]
        records += [dict(zip(first.schema.names, row, strict=True)) for row in zip(*columns, strict=True)]
        if len(records) >= limit:
            break
    return records


def row_count(folder: Path) -> int:
    """How many rows a stored table has; their values are not read."""
    return sum(batch.num_rows for batch in batches(folder))


def stored_types(folder: Path) -> dict[str, Type]:
    """The columns of a stored table with their types, in order."""
    import pyarrow as pa

    with pa.memory_map(str(folder / FILENAME)) as file:
        return {field.name: type_of(field.type) for field in pa.ipc.open_file(file).schema}


def name_field(name: str, kind: pa.DataType) -> pa.Field:
    """A column whose values are names, even where all of them are numbers: the reader of the table knows that."""
    import pyarrow as pa

    return pa.field(name, kind, metadata={_KIND: Kind.CATEGORY.value.encode()})


def with_origin(field: pa.Field, origin: Origin) -> pa.Field:
    """The same column, of which the reader of the table knows that it tells where rows come from, and nothing else."""
    return field.with_metadata({**(field.metadata or {}), _ORIGIN: origin.value.encode()})


def stored_names(folder: Path) -> frozenset[str]:
    """The columns of a stored table that were made by `name_field`."""
    return frozenset(_noted(folder, _KIND))


def stored_origins(folder: Path) -> dict[str, Origin]:
    """The columns of a stored table that were made by `with_origin`, and what they tell."""
    return {name: Origin(value) for name, value in _noted(folder, _ORIGIN).items()}


def _noted(folder: Path, key: bytes) -> dict[str, str]:
    """What the file of a stored table says under `key` beside columns, for those of which it says something."""
    import pyarrow as pa

    with pa.memory_map(str(folder / FILENAME)) as file:
        schema = pa.ipc.open_file(file).schema
    notes = {field.name: (field.metadata or {}).get(key) for field in schema}
    return {name: note.decode() for name, note in notes.items() if note is not None}


def type_of(arrow: pa.DataType) -> Type:
    """The type whose columns are stored as that of Arrow's; raises ValueError where none is."""
    import pyarrow as pa

    names: dict[str, Type] = {
        "double": "float64",
        "int64": "int64",
        "bool": "bool",
        "string": "string",
        "timestamp[us]": "timestamp",
        "binary": "image",
    }
    found = names.get(str(arrow))
    if found is None and pa.types.is_list(arrow) and pa.types.is_fixed_size_list(arrow.value_type):
        found = "sequence"
    if found is None:
        raise ValueError(f"no column is stored as {arrow}")
    return found


def arrow_of(stored: Type, channels: int = 1) -> pa.DataType:
    """What Arrow stores a type as; `channels` is how many numbers a step of a sequence has."""
    import pyarrow as pa

    return {
        "float64": pa.float64(),
        "int64": pa.int64(),
        "bool": pa.bool_(),
        "string": pa.string(),
        "timestamp": pa.timestamp("us"),
        "image": pa.binary(),
        "sequence": pa.list_(pa.list_(pa.float32(), channels)),
    }[stored]


def sequence_array(steps: np.ndarray[Any, Any], offsets: np.ndarray[Any, Any]) -> pa.Array:
    """A column of sequences: of `steps`, (steps, channels), row n has those from `offsets[n]` to `offsets[n + 1]`."""
    import pyarrow as pa

    kind = arrow_of("sequence", steps.shape[1])
    flat = pa.array(np.ascontiguousarray(steps, np.float32).reshape(-1))
    values = pa.FixedSizeListArray.from_arrays(flat, type=kind.value_type)
    return pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), values, type=kind)


def _plain(column: pa.Array) -> list[Any]:
    """The values as JSON has them."""
    import pyarrow as pa

    if pa.types.is_timestamp(column.type):
        # Python's own times end with the year 9999.
        texts = np.datetime_as_string(column.to_numpy(zero_copy_only=False)).tolist()
        return [None if text == "NaT" else text.removesuffix(".000000") for text in texts]
    if pa.types.is_binary(column.type):
        return [None if value is None else base64.b64encode(value).decode("ascii") for value in column.to_pylist()]
    values: list[Any] = column.to_pylist()
    return values


def _cut(batch: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
    """Parts of a batch that are neither too long nor, unless one row is, too large."""
    if not batch.num_rows:
        return
    row_bytes = max(1, batch.nbytes // batch.num_rows)
    step = max(1, min(MAX_BATCH_ROWS, MAX_BATCH_BYTES // row_bytes))
    for first in range(0, batch.num_rows, step):
        yield batch.slice(first, step)
