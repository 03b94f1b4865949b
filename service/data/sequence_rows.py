"""The rows of a table of sequences, made from sorted parts: whole sequences, or windows of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from service.data.sequence_parts import Part
from service.data.table import MAX_BATCH_BYTES, MAX_BATCH_ROWS, sequence_array

if TYPE_CHECKING:
    import pyarrow as pa

Array = np.ndarray[Any, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """What a row has: the columns whose numbers are its steps, in order, those that are kept, and the windows.

    `time` is the column of which a window has the first and the last value.
    """

    channels: tuple[str, ...]
    kept: tuple[str, ...]
    time: str | None
    window: int | None
    horizon: int | None
    stride: int

    @property
    def steps(self) -> int:
        """How many steps a sequence needs for a row."""
        return 1 if self.window is None else self.window + (self.horizon or 0)

    def windows(self, lengths: Array) -> Array:
        """How many windows fit into sequences of these lengths."""
        counts: Array = np.maximum(0, (lengths - self.steps) // self.stride + 1)
        return counts


def rows_of(parts: Sequence[Part], shape: Shape, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    """Give the rows, in the order in which the sequences first came; the columns are the schema's, in its order."""
    for block in _blocks(parts, shape):
        yield from _whole(block, schema) if shape.window is None else _windows(block, shape, schema)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Block:
    """Some sequences, whose steps follow one another: `values` are (steps, channels) in float32.

    Step n has row `places[n]` of `table`. `starts` and `lengths` are those of the sequences.
    """

    values: Array
    places: Array
    table: pa.Table
    starts: Array
    lengths: Array


def _blocks(parts: Sequence[Part], shape: Shape) -> Iterator[_Block]:
    """All sequences, as many at a time as make a batch."""
    tables = [_mapped(part) for part in parts]
    owners = np.concatenate([np.full(len(part.firsts), number) for number, part in enumerate(parts)])
    order = np.argsort(np.concatenate([part.firsts for part in parts]))
    owners, lengths = owners[order], np.concatenate([part.lengths for part in parts])[order]
    step_bytes = sum(part.path.stat().st_size for part in parts) / int(lengths.sum())
    # A block takes of each part the steps that come next in it, since there too the sequences are in this order.
    taken = [0] * len(parts)
    for first, end in _cuts(lengths, max(1, int(MAX_BATCH_BYTES / step_bytes))):
        counts = np.bincount(owners[first:end], lengths[first:end], len(parts)).astype(np.int64).tolist()
        pieces = [table.slice(*place) for table, *place in zip(tables, taken, counts, strict=True)]
        yield _block(pieces, shape, owners[first:end], lengths[first:end])
        taken = [before + count for before, count in zip(taken, counts, strict=True)]


def _cuts(lengths: Array, most_steps: int) -> Iterator[tuple[int, int]]:
    """Where to cut, so that what lies between has at most so many steps unless it is one sequence."""
    ends = np.cumsum(lengths)
    first = 0
    while first < len(lengths):
        before = int(ends[first - 1]) if first else 0
        end = max(first + 1, int(np.searchsorted(ends, before + most_steps, side="right")))
        end = min(end, first + MAX_BATCH_ROWS)
        yield first, end
        first = end


def _block(pieces: list[pa.Table], shape: Shape, owners: Array, lengths: Array) -> _Block:
    """Bring the sequences that lie in the pieces, one of each part, into one order: `owners` are their parts."""
    import pyarrow as pa

    table = pa.concat_tables(pieces)
    begins = np.cumsum(lengths) - lengths
    # A stable sort by the part gives the sequences as they lie in the table.
    lying = np.argsort(owners, kind="stable")
    starts = np.empty_like(begins)
    starts[lying] = np.cumsum(lengths[lying]) - lengths[lying]
    places = np.repeat(starts - begins, lengths) + np.arange(table.num_rows)
    values = np.empty((table.num_rows, len(shape.channels)), np.float32)
    for index, name in enumerate(shape.channels):
        values[:, index] = table.column(name).cast(pa.float64()).to_numpy()[places]
    return _Block(values=values, places=places, table=table, starts=begins, lengths=lengths)


def _mapped(part: Part) -> pa.Table:
    import pyarrow as pa

    with pa.memory_map(str(part.path)) as file:
        return pa.ipc.open_file(file).read_all()


def _whole(block: _Block, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    import pyarrow as pa

    names = schema.names[:-1]
    kept = block.table.select(names).take(block.places[block.starts])
    offsets = np.append(block.starts, len(block.values))
    steps = sequence_array(block.values, offsets)
    yield pa.record_batch([*(column.combine_chunks() for column in kept.columns), steps], schema=schema)


def _windows(block: _Block, shape: Shape, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    counts = shape.windows(block.lengths)
    before = np.repeat(np.cumsum(counts) - counts, counts)
    starts = np.repeat(block.starts, counts) + shape.stride * (np.arange(counts.sum()) - before)
    row_bytes = 4 * shape.steps * len(shape.channels)
    most = max(1, min(MAX_BATCH_ROWS, MAX_BATCH_BYTES // row_bytes))
    for first in range(0, len(starts), most):
        yield _window_batch(block, starts[first : first + most], shape, schema)


def _window_batch(block: _Block, starts: Array, shape: Shape, schema: pa.Schema) -> pa.RecordBatch:
    import pyarrow as pa

    window = shape.window or 0
    names = [name for name in schema.names if name in shape.kept]
    kept = block.table.select(names).take(block.places[starts])
    columns = [column.combine_chunks() for column in kept.columns]
    if shape.time is not None:
        times = block.table.column(shape.time)
        columns += [times.take(block.places[at]).combine_chunks() for at in (starts, starts + window - 1)]
    columns.append(_cut_out(block.values, starts, window))
    if shape.horizon is not None:
        columns.append(_cut_out(block.values, starts + window, shape.horizon))
    return pa.record_batch(columns, schema=schema)


def _cut_out(values: Array, starts: Array, steps: int) -> pa.Array:
    """From each of the starts on so many steps, as a column."""
    rows = values[(starts[:, None] + np.arange(steps)).reshape(-1)]
    return sequence_array(rows, np.arange(len(starts) + 1) * steps)
