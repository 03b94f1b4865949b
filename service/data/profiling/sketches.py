"""Counts of more values than memory holds: exact up to a bound, and estimates with a known error beyond."""

import heapq
import math
from typing import Any

import numpy as np
import numpy.typing as npt


class Distinct:
    """How many different values there are, by hashes of 64 bits that are spread evenly.

    The `bound` smallest different hashes are kept. While there are no more, their number is the answer; beyond, the
    largest one kept tells how dense they lie: the estimate of Bar-Yossef and others, "Counting Distinct Elements in a
    Data Stream" (2002), whose standard error is 1 / sqrt(bound - 2).
    """

    def __init__(self, bound: int) -> None:
        self._bound = bound
        self._kept = np.empty(0, np.uint64)
        self._waiting: list[npt.NDArray[np.uint64]] = []
        self._full = False

    def add(self, hashes: npt.NDArray[np.uint64]) -> None:
        if self._full:
            hashes = hashes[hashes < self._kept[-1]]
        if len(hashes):
            self._waiting.append(hashes)
        if sum(map(len, self._waiting)) >= self._bound:
            self._merge()

    @property
    def count(self) -> int:
        self._merge()
        if not self._full:
            return len(self._kept)
        return round((self._bound - 1) * 2.0**64 / float(self._kept[-1]))

    @property
    def error(self) -> float:
        """The standard error as a part of the count; 0 where the count is exact."""
        self._merge()
        return 1 / math.sqrt(self._bound - 2) if self._full else 0.0

    def _merge(self) -> None:
        if self._waiting:
            kept = np.sort(np.concatenate([self._kept, *self._waiting]))
            # NumPy's `unique` is several times slower where almost all differ.
            kept = kept[np.append(True, kept[1:] != kept[:-1])]
            self._full = self._full or len(kept) > self._bound
            self._kept, self._waiting = kept[: self._bound].copy(), []


class Frequent:
    """How often texts come: exact for up to `bound` different ones.

    Beyond, all counts are lowered alike whenever there are too many, and texts without a count are forgotten (Misra and
    Gries, "Finding Repeated Elements", 1982); and those that come once among the ones added together are passed over. A
    count is then too low by `error` at most, and no text is forgotten that came more often than that.
    """

    def __init__(self, bound: int) -> None:
        self._bound = bound
        self.counts: dict[str, int] = {}
        self.error = 0

    def add(self, texts: Any, counts: npt.NDArray[np.int64]) -> None:
        """Count different texts, an Arrow array or a NumPy array of objects, each so many times."""
        kept = np.flatnonzero(counts > (1 if self.error else 0))
        if self.error and len(kept) < len(counts):
            self.error += 1
        for text, count in zip(texts.take(kept).tolist(), counts[kept].tolist(), strict=True):
            self.counts[text] = self.counts.get(text, 0) + count
        if len(self.counts) > self._bound:
            least = heapq.nlargest(self._bound + 1, self.counts.values())[-1]
            self.counts = {text: count - least for text, count in self.counts.items() if count > least}
            self.error += least

    def most(self, number: int) -> list[tuple[str, int]]:
        """The most frequent texts with their counts; those that come equally often in the order of characters."""
        return heapq.nsmallest(number, self.counts.items(), key=lambda item: (-item[1], item[0]))
