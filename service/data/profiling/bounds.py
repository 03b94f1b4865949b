"""How much of a table a profile remembers: less of each column where there are many, so that memory stays bounded."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from service.data.table import batches

if TYPE_CHECKING:
    import pyarrow as pa

#: Rows are taken in slices small enough for a processor's cache, and for what is made of them.
SLICE_ROWS: Final = 16_384
SLICE_BYTES: Final = 2**22

_GOLDEN: Final = 0x9E3779B97F4A7C15


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """What is kept of one column.

    `distinct` values are told apart exactly, and `counted` ones have their number of rows; `sampled` rows stand for all
    where all are too many; `shown` is the longest list that a profile has.
    """

    distinct: int
    counted: int
    sampled: int
    shown: int

    @classmethod
    def of(cls, columns: int) -> Bounds:
        return cls(
            distinct=_share(1_000_000, columns, 256, 10_000),
            counted=_share(200_000, columns, 100, 10_000),
            sampled=_share(1_000_000, columns, 500, 10_000),
            shown=_share(2_000, columns, 5, 20),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Slice:
    """Some rows of a table, from the number `first` on; only the column that is asked for is put together."""

    first: int
    rows: int
    parts: tuple[pa.RecordBatch, ...]

    def column(self, name: str) -> pa.Array:
        import pyarrow as pa

        arrays = [part.column(name) for part in self.parts]
        return arrays[0] if len(arrays) == 1 else pa.concat_arrays(arrays)


def slices(folder: Path, columns: list[str] | None = None) -> Iterator[Slice]:
    """The rows of a table in order, SLICE_ROWS at a time, or as many as make a column of SLICE_BYTES."""
    first = rows = 0
    size = 0.0
    parts: list[pa.RecordBatch] = []
    for batch in batches(folder, columns):
        start = 0
        row_bytes = max((column.nbytes for column in batch.columns), default=0) / max(1, batch.num_rows) + 1
        while start < batch.num_rows:
            part = batch.slice(start, max(1, min(SLICE_ROWS - rows, int((SLICE_BYTES - size) / row_bytes))))
            parts.append(part)
            start, rows, size = start + part.num_rows, rows + part.num_rows, size + part.num_rows * row_bytes
            if rows == SLICE_ROWS or size + row_bytes > SLICE_BYTES:
                yield Slice(first=first, rows=rows, parts=tuple(parts))
                first, rows, size, parts = first + rows, 0, 0.0, []
    if parts:
        yield Slice(first=first, rows=rows, parts=tuple(parts))


def sample_rows(rows: int, most: int) -> npt.NDArray[np.int64]:
    """Numbers of rows, rising: all of them, or one out of each of `most` equal spans, at a place that a hash chooses.

    The same numbers come for the same table always, and they keep no step with what repeats in it.
    """
    if rows <= most:
        return np.arange(rows)
    starts = np.arange(most + 1) * rows // most
    lengths = np.diff(starts)
    places = mixed(np.arange(most, dtype=np.uint64)) / 2.0**64
    sampled: npt.NDArray[np.int64] = starts[:-1] + np.minimum((places * lengths).astype(np.int64), lengths - 1)
    return sampled


def mixed(keys: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """Numbers of 64 bits scattered evenly and without two falling together: the finish of the SplitMix64 generator."""
    hashes = keys + np.uint64(_GOLDEN)
    hashes ^= hashes >> np.uint64(30)
    hashes *= np.uint64(0xBF58476D1CE4E5B9)
    hashes ^= hashes >> np.uint64(27)
    hashes *= np.uint64(0x94D049BB133111EB)
    hashes ^= hashes >> np.uint64(31)
    return hashes


def finite(number: Any) -> float | None:
    """A number as JSON can have it."""
    return float(number) if np.isfinite(number) else None


def cut(text: str) -> str:
    """The beginning of a text, where it is too long for a profile."""
    return text if len(text) <= 100 else text[:99] + "…"


def counted(number: int, thing: str) -> str:
    """A number of things in words: 1 row, 2 rows."""
    plural = thing[:-1] + "ies" if thing.endswith("y") else thing + "s"
    return f"{number} {thing if number == 1 else plural}"


def _share(total: int, columns: int, least: int, most: int) -> int:
    return max(least, min(most, total // max(1, columns)))
