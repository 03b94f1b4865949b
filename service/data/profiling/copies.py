"""Rows and columns that say the same twice."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from service.data.profiling.bounds import mixed
from service.data.profiling.cells import MISSING, Cells

#: Hashes of so many rows are kept: 16 bytes each.
MAX_ROWS: Final = 2**19
#: More columns of numbers than this are not compared by correlation, which takes their number squared.
MAX_CORRELATED: Final = 500
#: Nor are more numbers than this.
MAX_COMPARED: Final = 2**18
CORRELATED: Final = 0.9999
#: Columns with more different values than this are not looked at as renamed copies of each other.
MAX_RENAMED: Final = 1_000
#: Fewer rows agree by chance.
LEAST_ROWS: Final = 10

_PAIRS: Final = 10
_ODD: Final = np.uint64(0x9FB21C651E98DF25)


class RepeatedRows:
    """Which rows equal an earlier one in every column, by hashes of rows.

    Of more than MAX_ROWS rows, those are followed whose hash lies in a part of all hashes, so that equal rows are
    followed or left together: the count is exact for these, and `share` says which part of all they are.
    """

    def __init__(self, most: int = MAX_ROWS) -> None:
        self._most = most
        self._halvings = 0
        self._hashes: list[npt.NDArray[np.uint64]] = []
        self._rows: list[npt.NDArray[np.int64]] = []
        self._kept = 0

    def add(self, hashes: npt.NDArray[np.uint64], first: int, which: npt.NDArray[np.bool_] | None = None) -> None:
        """Take the hashes of rows from the number `first` on; of these only those that `which` marks."""
        rows = np.arange(first, first + len(hashes))
        self._keep(hashes if which is None else hashes[which], rows if which is None else rows[which])
        while self._kept > self._most:
            self._halvings += 1
            hashes, rows = np.concatenate(self._hashes), np.concatenate(self._rows)
            self._hashes, self._rows, self._kept = [], [], 0
            self._keep(hashes, rows)

    @property
    def share(self) -> float:
        return 0.5**self._halvings

    def found(self) -> tuple[int, list[list[int]]]:
        """How many of the followed rows repeat one before them, and the first such pairs: [the first, the later]."""
        if not self._kept:
            return 0, []
        hashes, rows = np.concatenate(self._hashes), np.concatenate(self._rows)
        order = np.argsort(hashes, kind="stable")
        hashes, rows = hashes[order], rows[order]
        again = np.append(False, hashes[1:] == hashes[:-1])
        places = np.maximum.accumulate(np.where(again, 0, np.arange(len(rows))))
        later, earlier = rows[again], rows[places[again]]
        first = np.argsort(later)[:_PAIRS]
        return int(again.sum()), [[int(earlier[at]), int(later[at])] for at in first]

    def _keep(self, hashes: npt.NDArray[np.uint64], rows: npt.NDArray[np.int64]) -> None:
        if self._halvings:
            followed = hashes < np.uint64(2 ** (64 - self._halvings))
            hashes, rows = hashes[followed], rows[followed]
        self._hashes.append(hashes)
        self._rows.append(rows)
        self._kept += len(rows)


def joined(rows: npt.NDArray[np.uint64], cells: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """The hashes of rows with one more cell each."""
    hashes = (rows + cells) * _ODD
    hashes ^= hashes >> np.uint64(32)
    return hashes


def salts(first: int, rows: int) -> npt.NDArray[np.uint64]:
    """A number for each row by its place, which makes sums of hashes depend on the order of rows."""
    return mixed(np.arange(first, first + rows, dtype=np.uint64))


class Fingerprint:
    """What columns have in common: `equal` those that are equal in all rows, `renamed` those that name the same rows.

    For the second, a value counts as the number of its first coming, and a missing one as missing.
    """

    def __init__(self) -> None:
        self.equal = 0
        self._renamed = 0
        self._order: FirstComings | None = FirstComings()

    def add(self, cells: Cells, salt: npt.NDArray[np.uint64]) -> None:
        self.equal = self._sum(self.equal, cells.hashes, salt)
        if self._order is None:
            return
        codes = None if cells.dictionary is None else self._order.codes(cells.dictionary.hashes)
        if codes is None or cells.dictionary is None:
            self._order = None
        else:
            numbers = np.append(codes, -1)[cells.dictionary.codes]
            self._renamed = self._sum(self._renamed, mixed(numbers.view(np.uint64)), salt)

    @property
    def renamed(self) -> int | None:
        """None where there are too many values."""
        return None if self._order is None else self._renamed

    @staticmethod
    def _sum(sofar: int, hashes: npt.NDArray[np.uint64], salt: npt.NDArray[np.uint64]) -> int:
        return (sofar + int(mixed(hashes ^ salt).sum())) % 2**64


class FirstComings:
    """Numbers values, by their hashes, in the order in which they first come."""

    def __init__(self) -> None:
        # Rising hashes, and the number of each.
        self._hashes = np.array([MISSING])
        self._codes = np.array([-1])

    def codes(self, hashes: npt.NDArray[np.uint64]) -> npt.NDArray[np.int64] | None:
        """The numbers of different values, in the order in which they come; None once there are more than MAX_RENAMED.

        That of the missing value is -1.
        """
        if len(hashes) > MAX_RENAMED + 1:
            return None
        places = self._places(hashes)
        new = hashes[self._hashes[places] != hashes]
        if len(new):
            codes = np.append(self._codes, np.arange(len(new)) + len(self._codes) - 1)
            order = np.argsort(every := np.append(self._hashes, new))
            self._hashes, self._codes = every[order], codes[order]
            places = self._places(hashes)
        return None if len(self._hashes) > MAX_RENAMED + 1 else self._codes[places]

    def _places(self, hashes: npt.NDArray[np.uint64]) -> npt.NDArray[np.int64]:
        return np.minimum(np.searchsorted(self._hashes, hashes), len(self._hashes) - 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Correlation:
    """Two columns, by their places, whose numbers in `rows` rows lie on a line."""

    columns: tuple[int, int]
    coefficient: float
    rows: int


def correlated(sample: npt.NDArray[np.float64]) -> list[Correlation]:
    """The pairs of columns (the second axis) whose numbers lie on a line, as far as both are present."""
    # A part of the rows is enough where there are many columns, and takes less memory.
    sample = sample[:: max(1, sample.size // MAX_COMPARED)]
    present = ~np.isnan(sample)
    counts = np.maximum(1, present.sum(axis=0))
    with np.errstate(all="ignore"):
        centered = sample - np.where(present, sample / counts, 0).sum(axis=0)
        scaled = centered / np.abs(np.where(present, centered, 0)).max(axis=0, initial=0)
    usable = np.isfinite(scaled).any(axis=0)
    scaled = np.where(np.isfinite(scaled), scaled, 0)
    coefficients, rows = _pairwise(scaled, present.astype(np.float64))
    enough = (rows >= LEAST_ROWS) & usable & usable[:, None]
    found = np.argwhere(np.triu((np.abs(coefficients) > CORRELATED) & enough, 1))
    return [
        Correlation(columns=(int(a), int(b)), coefficient=float(coefficients[a, b]), rows=int(rows[a, b]))
        for a, b in found
    ]


def _pairwise(numbers: npt.NDArray[np.float64], present: npt.NDArray[np.float64]) -> tuple[Any, Any]:
    """Pearson's coefficients of all pairs of columns over the rows where both are present, and how many these are."""
    rows = present.T @ present
    sums = numbers.T @ present
    squares = (numbers**2).T @ present
    products = numbers.T @ numbers
    with np.errstate(all="ignore"):
        spreads = squares - sums**2 / rows
        # Columns that hardly vary where the other is present have rounding errors for a spread.
        spreads = np.where(spreads > 1e-9 * squares, spreads, np.nan)
        coefficients = (products - sums * sums.T / rows) / np.sqrt(spreads * spreads.T)
    return np.nan_to_num(np.clip(coefficients, -1, 1)), rows
