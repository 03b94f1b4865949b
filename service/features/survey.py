"""What must be known of a column's training rows before it can enter a network, gathered batch by batch.

A survey is given the values of all rows, in the form of `form`, and which of them train: what enters later is fitted on
these alone; only where something is missing is asked of all rows.
"""

import io
from abc import ABC, abstractmethod
from collections import Counter
from itertools import chain
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from service.data.fault_list import FaultList
from service.data.table import Kind
from service.features.columns import Codes
from service.features.dates import PARTS, date_part
from service.features.statistics import Counts, Distinct, Moments, Words
from service.features.words import tokens_of

Mask = npt.NDArray[np.bool_]

#: Longer texts and sequences than these are counted as of this length.
MAX_LENGTH: Final = 4_096
#: The network knows spreads by their squares, which are bounded by that of this number.
LARGEST: Final = 1e15
#: Of so many pictures at most the sizes are looked at.
MOST_PICTURES: Final = 4_096
_TEXTS_AT_ONCE: Final = 512


class Survey(ABC):
    """One column; `missing` is how many rows have no value, `missing_rows` the first of them, counted from 0."""

    form: Kind

    def __init__(self) -> None:
        self.rows = 0
        self.missing = 0
        self.missing_rows: list[int] = []

    def add(self, values: Any, training: Mask) -> None:
        """Add the values of the next rows, and which of them train."""
        absent = self._absent(values)
        if absent.any():
            self.missing += int(absent.sum())
            room = FaultList.LIMIT - len(self.missing_rows)
            self.missing_rows += (self.rows + np.flatnonzero(absent)[:room]).tolist()
        self._add(values, training & ~absent)
        self.rows += len(training)

    @property
    @abstractmethod
    def constant(self) -> bool:
        """Whether the training rows tell nothing, because they are all alike or empty."""

    @abstractmethod
    def _absent(self, values: Any) -> Mask:
        """Which values are missing."""

    @abstractmethod
    def _add(self, values: Any, wanted: Mask) -> None:
        """Take in the values that are wanted, none of which is missing."""


class NumberSurvey(Survey):
    """A quantity, as it is (`moments`) and on the scale of its logarithm (`logarithm`)."""

    form = Kind.NUMERIC

    def __init__(self, most_distinct: int) -> None:
        super().__init__()
        self.moments, self.logarithm = Moments(1), Moments(1)
        self.distinct = Distinct(most_distinct)

    @property
    def constant(self) -> bool:
        empty = not self.moments.count[0]
        return empty or (not self.missing and bool(self.moments.minimum[0] == self.moments.maximum[0]))

    @property
    def largest(self) -> float:
        """The absolute value of the number that is farthest from 0."""
        return float(max(abs(self.moments.minimum[0]), abs(self.moments.maximum[0])))

    def _absent(self, values: npt.NDArray[np.float64]) -> Mask:
        return np.isnan(values)

    def _add(self, values: Any, wanted: Mask) -> None:
        own = values if wanted.all() else values[wanted]
        self.moments.add(own[np.newaxis])
        self.logarithm.add(np.copysign(np.log1p(np.abs(own)), own)[np.newaxis])
        self.distinct.add(own)


class CategorySurvey(Survey):
    """Names, up to `most` different ones."""

    form = Kind.CATEGORY

    def __init__(self, most: int) -> None:
        super().__init__()
        self.counts = Counts(most)

    @property
    def constant(self) -> bool:
        return not self.counts.full and self.counts.distinct <= (0 if self.missing else 1)

    def _absent(self, values: Codes) -> Mask:
        return values.numbers < 0

    def _add(self, values: Codes, wanted: Mask) -> None:
        self.counts.add(values.texts, np.bincount(values.numbers[wanted], minlength=len(values.texts)))


class TextSurvey(Survey):
    """Words, each counted once a text; `lengths` is how many texts have so many words."""

    form = Kind.TEXT

    def __init__(self, most_distinct: int) -> None:
        super().__init__()
        self.words = Words()
        self.lengths = np.zeros(MAX_LENGTH + 1, np.int64)
        self.texts = Counts(most_distinct)

    @property
    def constant(self) -> bool:
        wordless = not self.lengths[1:].any()
        return wordless or (not self.texts.full and self.texts.distinct <= (0 if self.missing else 1))

    @property
    def single_words(self) -> bool:
        """Whether no text has more than one word."""
        return not self.lengths[2:].any()

    def longest(self, part: float) -> int:
        """The fewest words that this part of the texts do not exceed; at least 1."""
        reached = np.cumsum(self.lengths) >= part * self.lengths.sum()
        return max(1, int(np.argmax(reached)))

    def _absent(self, values: list[str | None]) -> Mask:
        return np.array([value is None for value in values], np.bool_)

    def _add(self, values: list[str | None], wanted: Mask) -> None:
        own = [str(values[place]) for place in np.flatnonzero(wanted)]
        texts = Counter(own)
        self.texts.add(list(texts), np.array(list(texts.values()), np.int64))
        # The words of many texts take much more memory than the texts.
        for start in range(0, len(own), _TEXTS_AT_ONCE):
            words = [tokens_of(text) for text in own[start : start + _TEXTS_AT_ONCE]]
            lengths = np.array([len(one) for one in words], np.int64)
            self.lengths += np.bincount(np.minimum(lengths, MAX_LENGTH), minlength=MAX_LENGTH + 1)
            self.words.add(chain.from_iterable(map(dict.fromkeys, words)))


class DateSurvey(Survey):
    """Dates, all parts of each."""

    form = Kind.DATE

    def __init__(self) -> None:
        super().__init__()
        self.moments = Moments(len(PARTS))

    @property
    def constant(self) -> bool:
        return not self.varying

    @property
    def varying(self) -> tuple[str, ...]:
        """The parts that are not the same in all dates."""
        different = self.moments.minimum < self.moments.maximum
        return tuple(part for part, varies in zip(PARTS, different, strict=True) if varies)

    def _absent(self, values: npt.NDArray[np.datetime64]) -> Mask:
        return np.isnat(values)

    def _add(self, values: Any, wanted: Mask) -> None:
        own = values[wanted]
        self.moments.add(np.array([date_part(own, part) for part in PARTS], np.float64))


class ImageSurvey(Survey):
    """The sizes of pictures, of no more than some thousands that are spread evenly over all."""

    form = Kind.IMAGE

    def __init__(self) -> None:
        super().__init__()
        self.sizes: list[tuple[int, int]] = []
        self.grey = True
        self._seen, self._step = 0, 1

    @property
    def constant(self) -> bool:
        return False

    def typical_size(self) -> tuple[int, int] | None:
        """Height and width in the middle of all that were seen."""
        if not self.sizes:
            return None
        height, width = np.median(np.array(self.sizes), axis=0)
        return round(float(height)), round(float(width))

    def _absent(self, values: list[bytes | None]) -> Mask:
        return np.array([value is None for value in values], np.bool_)

    def _add(self, values: list[bytes | None], wanted: Mask) -> None:
        for place in np.flatnonzero(wanted):
            if self._seen % self._step == 0:
                self._look(values[place] or b"")
            self._seen += 1

    def _look(self, picture: bytes) -> None:
        from PIL import Image, UnidentifiedImageError

        # Nothing is unpacked here, and what is too large is refused before it is.
        Image.MAX_IMAGE_PIXELS = None
        try:
            with Image.open(io.BytesIO(picture), formats=("PNG", "JPEG")) as opened:
                width, height = opened.size
                self.grey = self.grey and opened.mode in ("1", "L", "LA", "I", "I;16")
        except (UnidentifiedImageError, OSError, ValueError, SyntaxError):
            # What is no picture is refused, with its row, when it is encoded.
            return
        self.sizes.append((height, width))
        if len(self.sizes) > MOST_PICTURES:
            self.sizes, self._step = self.sizes[::2], self._step * 2


class SequenceSurvey(Survey):
    """Steps; `longest` is the most steps that a sequence has, `channels` how many numbers a step has."""

    form = Kind.SEQUENCE

    def __init__(self) -> None:
        super().__init__()
        self.longest = 0
        self.shortest: int | None = None
        self.moments: Moments | None = None

    @property
    def constant(self) -> bool:
        return self.moments is None or not self.moments.count.any()

    @property
    def channels(self) -> int:
        return 1 if self.moments is None else len(self.moments.mean)

    def _absent(self, values: list[npt.NDArray[np.float32] | None]) -> Mask:
        return np.array([value is None for value in values], np.bool_)

    def _add(self, values: list[npt.NDArray[np.float32] | None], wanted: Mask) -> None:
        own = [values[place] for place in np.flatnonzero(wanted)]
        steps = [one for one in own if one is not None]
        if not steps:
            return
        if self.moments is None:
            self.moments = Moments(steps[0].shape[1])
        lengths = [len(one) for one in steps]
        self.longest = max(self.longest, *lengths)
        self.shortest = min(lengths) if self.shortest is None else min(self.shortest, *lengths)
        self.moments.add(np.concatenate(steps).astype(np.float64).T.copy())
