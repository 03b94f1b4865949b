"""The rows of a table of sequences, made from sorted parts: whole sequences, or windows of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from service.data.sequence_sort import Part, mapped
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
class _Runs:
    """Sequences in the wanted order, or pieces of long ones with all steps that their windows need.

    Each is `lengths` steps from `offsets` on in the part `owners`.
    """

    owners: Array
    offsets: Array
    lengths: Array

    def taken(self, order: Any) -> _Runs:
        return _Runs(owners=self.owners[order], offsets=self.offsets[order], lengths=self.lengths[order])


@dataclass(frozen=True, slots=True, kw_only=True)
class _Block:
    """Some runs, whose steps follow one another: `values` are (steps, channels) in float32.

    Step n has row `places[n]` of `table`. `starts` and `lengths` are those of the runs.
    """

    values: Array
    places: Array
    table: pa.Table
    starts: Array
    lengths: Array


def _blocks(parts: Sequence[Part], shape: Shape) -> Iterator[_Block]:
    """All runs, as many at a time as make a batch."""
    tables = [_mapped(part) for part in parts]
    runs = _sequences(parts)
    step_bytes = sum(table.nbytes for table in tables) / int(runs.lengths.sum())
    most_steps = max(1, int(MAX_BATCH_BYTES / step_bytes))
    if shape.window is not None:
        runs = _pieces(runs, shape, most_steps)
    for first, end in _cuts(runs.lengths, most_steps):
        yield _block(tables, runs.taken(slice(first, end)), shape)


def _mapped(part: Part) -> pa.Table:
    import pyarrow as pa

    return pa.concat_tables([mapped(path) for path in part.paths])


def _sequences(parts: Sequence[Part]) -> _Runs:
    """All sequences, as they first came."""
    runs = _Runs(
        owners=np.repeat(np.arange(len(parts)), [len(part.lengths) for part in parts]),
        offsets=np.concatenate([np.cumsum(part.lengths) - part.lengths for part in parts]),
        lengths=np.concatenate([part.lengths for part in parts]),
    )
    return runs.taken(np.argsort(np.concatenate([part.firsts for part in parts])))


def _pieces(runs: _Runs, shape: Shape, most_steps: int) -> _Runs:
    """Cut sequences that are longer than a block between two windows, and leave out those without a window."""
    windows = shape.windows(runs.lengths)
    most = max(1, most_steps // shape.stride)
    pieces = -(-windows // most)
    owner = np.repeat(np.arange(len(windows)), pieces)
    before = most * (np.arange(len(owner)) - np.repeat(np.cumsum(pieces) - pieces, pieces))
    here = np.minimum(most, windows[owner] - before)
    return _Runs(
        owners=runs.owners[owner],
        offsets=runs.offsets[owner] + before * shape.stride,
        lengths=(here - 1) * shape.stride + shape.steps,
    )


def _cuts(lengths: Array, most_steps: int) -> Iterator[tuple[int, int]]:
    """Where to cut, so that what lies between has at most so many steps unless it is one run."""
    ends = np.cumsum(lengths)
    first = 0
    while first < len(lengths):
        before = int(ends[first - 1]) if first else 0
        end = max(first + 1, int(np.searchsorted(ends, before + most_steps, side="right")))
        end = min(end, first + MAX_BATCH_ROWS)
        yield first, end
        first = end


def _block(tables: Sequence[pa.Table], runs: _Runs, shape: Shape) -> _Block:
    """Bring the steps of the runs into their order."""
    import pyarrow as pa

    pieces, starts, rows = [], np.empty_like(runs.lengths), 0
    for owner in np.unique(runs.owners).tolist():
        # In a part too the sequences stand in this order, so that the runs are neighbours there.
        own = runs.owners == owner
        first = int(runs.offsets[own].min())
        piece = tables[owner].slice(first, int((runs.offsets[own] + runs.lengths[own]).max()) - first)
        starts[own] = runs.offsets[own] - first + rows
        pieces.append(piece)
        rows += piece.num_rows
    table = pa.concat_tables(pieces)
    begins = np.cumsum(runs.lengths) - runs.lengths
    places = np.repeat(starts - begins, runs.lengths) + np.arange(runs.lengths.sum())
    values = np.empty((len(places), len(shape.channels)), np.float32)
    for index, name in enumerate(shape.channels):
        values[:, index] = table.column(name).cast(pa.float64(), safe=False).to_numpy()[places]
    return _Block(values=values, places=places, table=table, starts=begins, lengths=runs.lengths)


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
