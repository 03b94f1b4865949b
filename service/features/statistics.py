"""What is gathered of values that come in batches, in memory that does not grow with the rows.

What is gathered of the same values in the same order is the same, to the bit, in every process.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

#: A median is exact up to so many values; of more it is that of so many of them.
SAMPLE: Final = 100_000
#: The words that are counted at a time; those that came least are forgotten when there are more.
MOST_WORDS: Final = 500_000


class Moments:
    """Count, mean, spread, skewness and bounds of several quantities, each by itself; NaN is no value.

    Batches are joined by the formulas of Chan, Golub and LeVeque (1979), and of Pebay (2008) for the third moment.
    """

    def __init__(self, width: int) -> None:
        self.count = np.zeros(width)
        self.mean = np.zeros(width)
        self.minimum = np.full(width, np.inf)
        self.maximum = np.full(width, -np.inf)
        self._second = np.zeros(width)
        self._third = np.zeros(width)

    def add(self, values: Floats) -> None:
        """Add values, (quantities, values of each)."""
        there = ~np.isnan(values)
        count = there.sum(axis=1).astype(np.float64)
        if not count.any():
            return
        complete, divisor = bool(there.all()), np.maximum(count, 1)
        # What is huge makes an infinite spread, which is refused in words where it matters.
        with np.errstate(over="ignore", invalid="ignore"):
            mean = (values if complete else np.where(there, values, 0.0)).sum(axis=1) / divisor
            away = values - mean[:, np.newaxis]
            if not complete:
                away[~there] = 0.0
            # The rounding of the first sum is mended by what is left over.
            rest = away.sum(axis=1) / divisor
            squares = away * away
            third = (squares * away).sum(axis=1)
            self._join(count, mean + rest, squares.sum(axis=1) - rest**2 * count, third)
        lowest, highest = values, values
        if not complete:
            lowest, highest = np.where(there, values, np.inf), np.where(there, values, -np.inf)
        self.minimum = np.minimum(self.minimum, lowest.min(axis=1))
        self.maximum = np.maximum(self.maximum, highest.max(axis=1))

    @property
    def spread(self) -> Floats:
        """The standard deviation of each (of all values, not of a sample)."""
        return np.asarray(np.sqrt(self._second / np.maximum(self.count, 1)))

    @property
    def skewness(self) -> Floats:
        """How far each leans to one side; 0 where all values are equal."""
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            skewness = np.sqrt(self.count) * self._third / self._second**1.5
        return np.where(np.isfinite(skewness), skewness, 0.0)

    def _join(self, count: Floats, mean: Floats, second: Floats, third: Floats) -> None:
        own, total = self.count, self.count + count
        divisor = np.maximum(total, 1)
        away = np.where(count > 0, mean - self.mean, 0.0)
        self._third += third + away**3 * own * count * (own - count) / divisor**2
        self._third += 3 * away * (own * second - count * self._second) / divisor
        self._second += second + away**2 * own * count / divisor
        self.mean += away * count / divisor
        self.count = total


class Sample:
    """Up to `size` of the values that came, all of them if they were no more; which ones, their rows alone decide."""

    def __init__(self, size: int = SAMPLE) -> None:
        self._size = size
        self._values: npt.NDArray[Any] | None = None
        self._lots = np.zeros(0, np.uint64)

    def add(self, values: npt.NDArray[Any], rows: npt.NDArray[np.int64]) -> None:
        """Add values, none of them missing, with the numbers of their rows."""
        lots = _lots(rows)
        if self._values is None:
            self._values = values[:0]
        elif len(self._lots) >= self._size:
            better = lots < self._lots.max()
            values, lots = values[better], lots[better]
        self._values, self._lots = np.concatenate([self._values, values]), np.concatenate([self._lots, lots])
        if len(self._lots) > self._size:
            kept = np.argpartition(self._lots, self._size - 1)[: self._size]
            self._values, self._lots = self._values[kept], self._lots[kept]

    def median(self) -> float | None:
        """The median: of an even number of values, the mean of the two in the middle; None without values.

        Of whole numbers it is the lower one of these two, so that it is one of the values.
        """
        if self._values is None or not len(self._values):
            return None
        if self._values.dtype.kind == "i":
            middle = (len(self._values) - 1) // 2
            return float(np.partition(self._values, middle)[middle])
        return float(np.median(self._values))


class Counts:
    """How often each of some texts came, up to `most` different ones; `full` says that there were more."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._counts: dict[str, int] = {}
        self.total = 0
        self.full = False
        #: Whether no text came twice, as far as they were counted.
        self.all_different = True

    def add(self, texts: Sequence[str], counts: npt.NDArray[np.int64]) -> None:
        """Add texts, each with how often it came."""
        self.total += int(counts.sum())
        if self.full:
            return
        for text, count in zip(texts, counts.tolist(), strict=True):
            if count:
                before = self._counts.get(text, 0)
                self._counts[text] = before + count
                self.all_different &= before + count == 1
        if len(self._counts) > self._most:
            self.full = True
            self._counts.clear()

    @property
    def distinct(self) -> int:
        """How many different texts there were; 0 where there were too many."""
        return len(self._counts)

    @property
    def once(self) -> int:
        """How many texts came a single time."""
        return sum(count == 1 for count in self._counts.values())

    def most_frequent(self, limit: int | None = None) -> tuple[str, ...]:
        """The texts, the most frequent first, equally frequent ones in the order of their letters."""
        ranked = sorted(self._counts.items(), key=lambda entry: (-entry[1], entry[0]))
        return tuple(text for text, _ in ranked[:limit])


class Words:
    """How often each word came; of very many different ones those that came least are forgotten on the way."""

    def __init__(self, most: int = MOST_WORDS) -> None:
        self._most = most
        self._counts: Counter[str] = Counter()

    def add(self, words: Iterable[str]) -> None:
        """Count words; those of so many texts at a time that all of them are no matter for the memory."""
        self._counts.update(words)
        if len(self._counts) > self._most:
            self._forget()

    def most_frequent(self, limit: int) -> tuple[str, ...]:
        """The words, the most frequent first, equally frequent ones in the order of their letters."""
        ranked = sorted(self._counts.items(), key=lambda entry: (-entry[1], entry[0]))
        return tuple(word for word, _ in ranked[:limit])

    def _forget(self) -> None:
        least = 1
        while len(self._counts) > self._most // 2:
            self._counts = Counter({word: count for word, count in self._counts.items() if count > least})
            least *= 2


@dataclass(slots=True)
class Distinct:
    """Whether all whole numbers that came are different; one that came twice, or more than `most`, ends the search."""

    most: int
    all_distinct: bool = True
    _seen: npt.NDArray[np.int64] | None = None

    def add(self, values: Floats) -> None:
        """Add numbers, none of them missing; a fraction, or what is too large to be told apart, ends the search too."""
        if not self.all_distinct or (self._seen is not None and len(self._seen) >= self.most):
            return
        if not bool((np.abs(values) < 2**53).all() and (np.trunc(values) == values).all()):
            self.all_distinct = False
            return
        seen = values.astype(np.int64) if self._seen is None else np.concatenate([self._seen, values.astype(np.int64)])
        self._seen = np.unique(seen)
        self.all_distinct = len(self._seen) == len(seen)
        if not self.all_distinct:
            self._seen = None


def _lots(rows: npt.NDArray[np.int64]) -> npt.NDArray[np.uint64]:
    """A number for each row that looks drawn, by the last steps of SplitMix64 (Steele, Lea and Flood, 2014)."""
    mixed = rows.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.asarray(mixed ^ (mixed >> np.uint64(31)))
