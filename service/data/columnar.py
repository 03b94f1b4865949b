"""Parquet and Arrow's two formats as tables: read in batches that are short, cast to what a table stores, and checked.

PyArrow trusts much of what a file says of itself. So sizes are looked at before anything is unpacked, and each batch is
validated in full before a value is touched.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol

from service.data.arrow_columns import ArrowColumn, arrow_column, channels_of, decoded_bytes, is_bytes, stored_values
from service.data.arrow_messages import messages, unpacked_bytes
from service.data.column_checks import check_rows, name_faults
from service.data.fault_list import FaultList
from service.data.packed import is_packed
from service.data.table import MAX_BATCH_BYTES, MAX_BATCH_ROWS, MAX_COLUMNS, TableWriter, arrow_of
from service.data.table_readers import TableOptions
from service.errors import Fault, Invalid, MalformedRequest, TooLarge

if TYPE_CHECKING:
    import pyarrow as pa

#: What one record batch of an Arrow file may unpack to.
MAX_UNPACKED_BYTES: Final = 2**28
#: What a batch whose dictionaries are gone may take.
_DECODED_BYTES: Final = 4 * MAX_BATCH_BYTES
#: What the parts of a Parquet footer may hold, in bytes and in elements.
_FOOTER_STRING: Final = 2**24
_FOOTER_ELEMENTS: Final = 2**20
#: What is read of a Parquet file at a time, of all its columns together.
_BUFFER_BYTES: Final = 2**23
#: What an Arrow file begins with; the stream format follows, and after it a directory that is not needed here.
_FILE_START: Final = b"ARROW1\0\0"
#: How pandas names an index that has no name.
_PANDAS_INDEX: Final = re.compile(r"__index_level_\d+__")


def read_parquet(path: Path, folder: Path, options: TableOptions) -> None:
    """Write the table of a Parquet file; what pandas adds for an index without a name is left out.

    Raises MalformedRequest where the file is damaged, Invalid with what no table can hold, and TooLarge.
    """
    with _readable(path, "Parquet"):
        _write(_ParquetSource(path), folder, options)


def read_arrow(path: Path, folder: Path, options: TableOptions) -> None:
    """Do the same for Arrow's file format and its stream format."""
    with _readable(path, "Arrow"):
        _write(_ArrowSource(path, options.limits.max_bytes), folder, options)


class _Source(Protocol):
    """A file of columns, that can be read several times; batches have at most MAX_BATCH_ROWS rows."""

    @property
    def schema(self) -> pa.Schema: ...

    def batches(self) -> Iterator[pa.RecordBatch]: ...


class _ParquetSource:
    """A file's dictionaries can make gigabytes of a few kilobytes, so that no batch has more rows than that allows.

    `_texts` are the columns of bytes, whose longest repeated value each row group is asked for; `_nested` are those
    within others, which are read with their dictionaries. What the footer says of single columns is not asked for:
    PyArrow ends the process where that is damaged.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        with self._opened(2**16) as file:
            self.schema = file.schema_arrow
            self._columns = max(1, file.metadata.num_columns)
            leaves = [file.metadata.schema.column(place) for place in range(file.metadata.num_columns)]
        names = [field.name for field in self.schema if is_bytes(field.type)]
        paths = [leaf.path for leaf in leaves if leaf.physical_type == "BYTE_ARRAY"]
        self._texts = [path for path in paths if path in names]
        self._nested = [path for path in paths if path not in names]

    def batches(self) -> Iterator[pa.RecordBatch]:
        buffer_bytes = min(2**20, max(2**12, _BUFFER_BYTES // self._columns))
        with self._opened(buffer_bytes, self._nested) as file, self._opened(2**12, self._texts) as probe:
            row_bytes = 1.0
            for number in range(file.num_row_groups):
                group = file.metadata.row_group(number)
                row_bytes = max(row_bytes, group.total_byte_size / max(1, group.num_rows))
                most = min(MAX_BATCH_BYTES / row_bytes, _DECODED_BYTES / max(1, self._longest(probe, number)))
                rows = int(max(1, min(MAX_BATCH_ROWS, most)))
                for batch in file.iter_batches(batch_size=rows, row_groups=[number]):
                    row_bytes = max(row_bytes, batch.nbytes / max(1, batch.num_rows))
                    yield batch

    def _longest(self, probe: Any, number: int) -> int:
        """How many bytes a row of a group can have at most of what dictionaries repeat: its first row brings them."""
        import pyarrow as pa
        import pyarrow.compute as pc

        # Of no columns PyArrow makes as many rows as the footer says, and ends the process where that is damaged.
        if not self._texts:
            return 0
        first = next(probe.iter_batches(batch_size=1, row_groups=[number], columns=self._texts), None)
        found = () if first is None else (one for one in first.columns if isinstance(one, pa.DictionaryArray))
        return sum(pc.max(pc.binary_length(one.dictionary)).as_py() or 0 for one in found)

    def _opened(self, buffer_bytes: int, dictionaries: Sequence[str] = ()) -> Any:
        import pyarrow as pa
        import pyarrow.parquet as pq

        return pq.ParquetFile(
            pa.OSFile(str(self._path)),
            read_dictionary=list(dictionaries),
            buffer_size=buffer_bytes,
            pre_buffer=False,
            thrift_string_size_limit=_FOOTER_STRING,
            thrift_container_size_limit=_FOOTER_ELEMENTS,
        )


class _ArrowSource:
    """A stream, mapped into memory: what is not packed is used where it lies."""

    def __init__(self, path: Path, limit_bytes: int) -> None:
        import pyarrow as pa

        with pa.memory_map(str(path)) as file:
            content = file.read_buffer()
        start = len(_FILE_START) if content.slice(0, len(_FILE_START)).to_pybytes() == _FILE_START else 0
        self._content = content.slice(start)
        with self._opened() as reader:
            self.schema = reader.schema
        self._check_messages(limit_bytes)

    def batches(self) -> Iterator[pa.RecordBatch]:
        with self._opened() as reader:
            for batch in reader:
                batch.validate()
                for first in range(0, batch.num_rows, MAX_BATCH_ROWS):
                    yield batch.slice(first, MAX_BATCH_ROWS)

    def _opened(self) -> Any:
        import pyarrow as pa
        from pyarrow import ipc

        options = ipc.IpcReadOptions(use_threads=False)
        return ipc.open_stream(self._content, options=options, memory_pool=pa.system_memory_pool())

    def _check_messages(self, limit_bytes: int) -> None:
        """Refuse what would take too much memory, before it is unpacked."""
        total = 0
        for message in messages(self._content):
            size = unpacked_bytes(message.metadata.to_pybytes(), memoryview(message.body or b""))
            total += size
            if size > MAX_UNPACKED_BYTES:
                raise TooLarge(
                    f"A record batch unpacks to more than {MAX_UNPACKED_BYTES} bytes, the most allowed. Write batches "
                    f"of some {MAX_BATCH_ROWS} rows."
                )
            if total > limit_bytes:
                raise TooLarge(f"The file unpacks to more than {limit_bytes} bytes, the most allowed. Send less.")


def _write(source: _Source, folder: Path, options: TableOptions) -> None:
    import pyarrow as pa

    columns = _columns(source)
    faults = FaultList()
    schema = pa.schema([(column.name, arrow_of(column.type, column.channels or 1)) for column in columns])
    rows = 0
    with TableWriter(folder, schema, options.limits) as writer:
        for batch in _decodable(source.batches()):
            values = [stored_values(batch.column(column.name), column, rows, faults) for column in columns]
            rows += batch.num_rows
            if not len(faults):
                writer.write(pa.RecordBatch.from_arrays(values, schema=schema))
    faults.raise_if_any()
    check_rows(rows)


def _columns(source: _Source) -> list[ArrowColumn]:
    """The columns of a file that are stored; raises Invalid with all that no table can have."""
    fields = [field for field in source.schema if not _PANDAS_INDEX.fullmatch(field.name)]
    if len(fields) > MAX_COLUMNS:
        raise _refusal([_fault(f"The file has {len(fields)} columns; {MAX_COLUMNS} is the most allowed. Drop some.")])
    if not fields:
        raise _refusal([_fault("The file has no columns; at least one was expected. Send one or more.")])
    found = [arrow_column(field.name, field.type) for field in fields]
    faults = [*name_faults([field.name for field in fields]), *(one for one in found if isinstance(one, Fault))]
    if faults:
        raise _refusal(faults)
    return _with_channels([one for one in found if isinstance(one, ArrowColumn)], source)


def _with_channels(columns: list[ArrowColumn], source: _Source) -> list[ArrowColumn]:
    """The columns, with what their lists must tell; steps that no row has are of one number."""
    asked = {column.name for column in columns if column.channels is None}
    told: dict[str, int] = {}
    for batch in source.batches() if asked else ():
        for name in asked - told.keys():
            channels = channels_of(batch.column(name))
            if channels is not None:
                told[name] = channels
        if told.keys() == asked:
            break
    empty = [name for name, channels in told.items() if not channels]
    if empty:
        raise _refusal(
            [_fault(f"The first step in column {name[:64]!r} has no numbers. Give it one.") for name in empty]
        )
    return [
        ArrowColumn(name=column.name, type=column.type, channels=column.channels or told.get(column.name, 1))
        for column in columns
    ]


def _decodable(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """The batches in parts whose dictionaries can be replaced by what they stand for."""
    for batch in batches:
        batch.validate(full=True)
        yield from _parts(batch)


def _parts(batch: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
    half = batch.num_rows // 2
    size = sum(map(decoded_bytes, batch.columns))
    if half and size > _DECODED_BYTES:
        yield from _parts(batch.slice(0, half))
        yield from _parts(batch.slice(half))
    elif size > MAX_UNPACKED_BYTES:
        raise TooLarge(f"A row has more than {MAX_UNPACKED_BYTES} bytes, the most allowed. Shorten its lists or texts.")
    elif batch.num_rows:
        yield batch


@contextmanager
def _readable(path: Path, form: str) -> Iterator[None]:
    """Turn what PyArrow raises for a damaged file into one error."""
    import pyarrow as pa

    if is_packed(path):
        raise _malformed(f"The {form} file is packed. Send it as it is: its columns can be packed within it.")
    try:
        yield
    except MemoryError as error:
        raise TooLarge(f"A part of the {form} file needs more memory than there is. Write smaller parts.") from error
    except (pa.ArrowException, ValueError, OverflowError, OSError) as error:
        # An error of the disk has a number; those of PyArrow have a text alone.
        if isinstance(error, OSError) and error.errno is not None:
            raise
        reason = " ".join(str(error).split())[:200]
        raise _malformed(f"The {form} file cannot be read ({reason}). Write it again, and send it whole.") from error


def _malformed(detail: str) -> MalformedRequest:
    return MalformedRequest(detail, [_fault(detail)])


def _refusal(faults: list[Fault]) -> Invalid:
    more = [_fault(f"... and {len(faults) - FaultList.LIMIT} more")] if len(faults) > FaultList.LIMIT else []
    return Invalid("The columns of the file cannot be used as they are.", [*faults[: FaultList.LIMIT], *more])


def _fault(detail: str) -> Fault:
    return Fault(pointer="", detail=detail)
