"""What a profile tells of a column beside how many cells are missing and differ: one summary for each kind of values.

A summary is given the cells of every slice of a table, in order, and says at the end what it has seen, as JSON.
"""

from __future__ import annotations

import re
from collections import Counter
from itertools import chain
from typing import Any, Final, Protocol

import numpy as np
import numpy.typing as npt

from service.data.profiling.bounds import Bounds, cut, finite
from service.data.profiling.cells import Cells, Dictionary, moment_text, text_of
from service.data.profiling.sketches import Frequent
from service.data.profiling.texts import word_counts

BINS: Final = 20

_WORD: Final = re.compile(r"[^\W_]+(?:['\u2019][^\W_]+)*")
#: Of a longer text, its beginning stands for all.
_LONGEST: Final = 10_000
#: Longer categories and words are kept by their beginnings, in characters.
_LONGEST_NAME: Final = 200


class Summary(Protocol):
    def add(self, cells: Cells) -> None: ...

    def to_json(self) -> dict[str, Any]: ...


class Numbers:
    """Smallest, largest, mean and (population's) standard deviation of all numbers, and a histogram of them.

    The mean and the sum of squares are merged slice by slice (Chan, Golub and LeVeque, 1979), which loses no digits.
    """

    def __init__(self, bounds: Bounds) -> None:
        self.count = 0
        self.minimum: float | int = np.inf
        self.maximum: float | int = -np.inf
        self.whole = True
        self._mean = self._squares = 0.0
        self._bins = min(BINS, bounds.shown)
        self._histogram: Histogram | None = None

    def add(self, cells: Cells) -> None:
        assert cells.values is not None
        numbers = cells.values[~cells.missing] if cells.missing.any() else cells.values
        if not len(numbers):
            return
        exact = cells.array.drop_null().to_numpy() if str(cells.array.type) == "int64" else numbers
        self.minimum = min(self.minimum, exact.min().item())
        self.maximum = max(self.maximum, exact.max().item())
        self.whole = self.whole and bool((np.floor(numbers) == numbers).all())
        with np.errstate(over="ignore", invalid="ignore"):
            mean = float(numbers.mean())
            squares = float(((numbers - mean) ** 2).sum())
            total = self.count + len(numbers)
            step = mean - self._mean
            self._squares += squares + step * step * self.count * len(numbers) / total
            self._mean += step * len(numbers) / total
        self.count = total

    @property
    def mean(self) -> float | None:
        return finite(self._mean) if self.count else None

    @property
    def std(self) -> float | None:
        return finite(np.sqrt(self._squares / self.count)) if self.count else None

    def histogram(self) -> Histogram | None:
        """The histogram to be filled in a second pass over the numbers, whose range is known by now."""
        if not self.count:
            return None
        low, high = float(self.minimum), float(self.maximum)
        if self.whole and high - low < self._bins and abs(low) < 2**50:
            edges = np.arange(low, high + 2) - 0.5
        else:
            shares = np.linspace(0, 1, self._bins + 1)
            # The sum of two shares stays finite where the difference of the ends does not.
            edges = np.unique(np.clip(low * (1 - shares) + high * shares, low, high))
        self._histogram = Histogram(edges if len(edges) > 1 else np.repeat(edges, 2))
        return self._histogram

    def to_json(self) -> dict[str, Any]:
        facts: dict[str, Any] = {
            "minimum": self.minimum if self.count else None,
            "maximum": self.maximum if self.count else None,
            "mean": self.mean,
            "std": self.std,
            "whole": self.whole and self.count > 0,
        }
        if self._histogram is not None:
            edges = self._histogram.edges.tolist()
            facts["histogram"] = {"edges": edges, "counts": self._histogram.counts.tolist()}
        return facts


class Dates:
    """The first and the last moment, and how many lie in equal spans between them."""

    def __init__(self, bounds: Bounds) -> None:
        self._bins = min(BINS, bounds.shown)
        self._first, self._last = np.iinfo(np.int64).max, np.iinfo(np.int64).min
        self._histogram: Histogram | None = None

    def add(self, cells: Cells) -> None:
        assert cells.values is not None
        moments = cells.values[~cells.missing]
        if len(moments):
            self._first = min(self._first, int(moments.min()))
            self._last = max(self._last, int(moments.max()))

    def histogram(self) -> Histogram | None:
        if self._first > self._last:
            return None
        edges = [self._first + (self._last - self._first) * part // self._bins for part in range(self._bins + 1)]
        distinct = sorted(set(edges))
        self._histogram = Histogram(np.array(distinct if len(distinct) > 1 else 2 * distinct, np.int64))
        return self._histogram

    def to_json(self) -> dict[str, Any]:
        if self._first > self._last:
            return {"minimum": None, "maximum": None}
        facts: dict[str, Any] = {"minimum": _iso(self._first), "maximum": _iso(self._last)}
        if self._histogram is not None:
            edges = [_iso(edge) for edge in self._histogram.edges.tolist()]
            facts["histogram"] = {"edges": edges, "counts": self._histogram.counts.tolist()}
        return facts


class Histogram:
    """How many values lie between each two edges: from the lower one on, below the upper one, and the last with it."""

    def __init__(self, edges: npt.NDArray[Any]) -> None:
        self.edges = edges
        self.counts = np.zeros(len(edges) - 1, np.int64)

    def add(self, values: npt.NDArray[Any]) -> None:
        places = np.searchsorted(self.edges[1:-1], values, side="right")
        self.counts += np.bincount(places, minlength=len(self.counts))


class Categories:
    """How often each category comes."""

    def __init__(self, bounds: Bounds) -> None:
        self._shown = bounds.shown
        self.frequent = Frequent(bounds.counted)
        self._rows = 0

    def add(self, cells: Cells) -> None:
        assert cells.dictionary is not None
        rows = cells.dictionary.rows
        self.frequent.add(_names(cells.dictionary), rows)
        self._rows += int(rows.sum())

    def to_json(self) -> dict[str, Any]:
        most = self.frequent.most(self._shown)
        facts: dict[str, Any] = {
            "values": [{"value": cut(text), "count": count} for text, count in most],
            "other_rows": self._rows - sum(count for _, count in most),
            "count_error": self.frequent.error,
        }
        if self.frequent.counts and not self.frequent.error:
            text, count = min(self.frequent.counts.items(), key=lambda item: (item[1], item[0]))
            facts["rarest"] = {"value": cut(text), "count": count}
        return facts


class Words:
    """How many words texts have, between spaces, and which are most frequent in the sampled rows, in small letters."""

    def __init__(self, bounds: Bounds) -> None:
        self._shown = bounds.shown
        self._frequent = Frequent(bounds.counted)
        self._texts = self._words = self._longest = self._sampled = 0

    def add(self, cells: Cells) -> None:
        assert cells.dictionary is not None
        counts, rows = word_counts(cells.dictionary.values), cells.dictionary.rows
        self._texts += int(rows.sum())
        self._words += int((counts * rows).sum())
        self._longest = max(self._longest, int(counts.max(initial=0)))

    def add_sample(self, texts: list[str]) -> None:
        """Take the texts of some of the sampled rows."""
        self._sampled += len(texts)
        words = chain.from_iterable(_WORD.findall(text[:_LONGEST].lower()) for text in texts)
        tokens = Counter(word[:_LONGEST_NAME] for word in words)
        if tokens:
            self._frequent.add(np.array(list(tokens), object), np.array(list(tokens.values())))

    def to_json(self) -> dict[str, Any]:
        mean = self._words / self._texts if self._texts else None
        return {
            "words": {"mean": mean, "maximum": self._longest},
            "tokens": [{"token": cut(word), "count": count} for word, count in self._frequent.most(self._shown)],
            "tokens_of": self._sampled,
            "count_error": self._frequent.error,
        }


def _names(dictionary: Dictionary) -> Any:
    """The texts by which categories are counted: of a long one its beginning, with its hash to tell it from others."""
    import pyarrow.compute as pc

    values = dictionary.values
    if isinstance(values, list):
        return np.array([text_of(value) for value in values], object)
    lengths = pc.utf8_length(values)
    if not len(values) or pc.max(lengths).as_py() <= _LONGEST_NAME:
        return values
    names = [
        text if length <= _LONGEST_NAME else f"{text}…{key:016x}"
        for text, length, key in zip(
            pc.utf8_slice_codeunits(values, 0, _LONGEST_NAME).to_pylist(),
            lengths.to_pylist(),
            dictionary.hashes.tolist(),
            strict=True,
        )
    ]
    return np.array(names, object)


def _iso(microseconds: int) -> str:
    return moment_text(np.datetime64(microseconds, "us"))
