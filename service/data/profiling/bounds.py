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


def slices(folder: Path, columns: list[str] | None = None) -> Iterator[tuple[int, pa.RecordBatch]]:
    """The rows of a table in pieces, each with the number of its first row, counted from 0."""
    first = 0
    for batch in batches(folder, columns):
        step = SLICE_ROWS
        if batch.num_rows:
            step = max(1, min(step, SLICE_BYTES * batch.num_rows // max(1, batch.nbytes)))
        for start in range(0, batch.num_rows, step):
            piece = batch.slice(start, step)
            yield first + start, piece
        first += batch.num_rows


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
