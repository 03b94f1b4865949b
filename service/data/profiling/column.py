"""All that a profile knows of one column: gathered slice by slice, then told as JSON."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from service.data.profiling.bounds import Bounds, cut, finite
from service.data.profiling.cells import MISSING, Cells, cells_of, filled, listed, text_of, values_of
from service.data.profiling.copies import Fingerprint, RepeatedRows
from service.data.profiling.media import Images, Steps
from service.data.profiling.sketches import Distinct
from service.data.profiling.summaries import Categories, Dates, Histogram, Numbers, Summary, Words
from service.data.table import ColumnFacts, Kind

if TYPE_CHECKING:
    import pyarrow as pa

#: Of so many cells that are no numbers or dates the place and the text are kept.
MAX_UNPARSABLE: Final = 20

_EXAMPLES: Final = 3
_SUMMARIES: Final[dict[Kind, Callable[[Bounds], Summary]]] = {
    Kind.NUMERIC: Numbers,
    Kind.CATEGORY: Categories,
    Kind.TEXT: Words,
    Kind.DATE: Dates,
    Kind.IMAGE: Images,
    Kind.SEQUENCE: Steps,
}


class Column:
    """One column; `sample` has its numbers in the sampled rows, and NaN where it has none there."""

    def __init__(self, facts: ColumnFacts, reason: str, bounds: Bounds, sampled: int) -> None:
        self.facts, self._reason = facts, reason
        self.rows = self.missing = self.unparsable = 0
        #: The row number and the text of the first cells that cannot be read.
        self.unparsable_cells: list[tuple[int, str]] = []
        #: The texts of the first values.
        self.examples: list[str] = []
        #: Each value is larger than the one before it, and none is missing.
        self.increasing = facts.type in ("int64", "float64", "timestamp")
        self.fingerprint = Fingerprint()
        #: Which images are there twice; their names, in another column, can hide it from a look at whole rows.
        self.repeated = RepeatedRows() if facts.kind == Kind.IMAGE else None
        self.sample = np.full(sampled if facts.kind == Kind.NUMERIC else 0, np.nan)
        self.summary = _SUMMARIES[facts.kind](bounds)
        self._distinct = Distinct(bounds.distinct)
        self._few = facts.kind in (Kind.NUMERIC, Kind.DATE)
        self._last: Any = None
        self._histogram: Histogram | None = None

    @property
    def name(self) -> str:
        return self.facts.name

    @property
    def shown(self) -> str:
        """The name as messages have it."""
        return repr(cut(self.name))

    @property
    def present(self) -> int:
        return self.rows - self.missing

    @property
    def distinct(self) -> int:
        # An estimate can come out above what is possible.
        return min(self._distinct.count, self.present)

    @property
    def distinct_error(self) -> float:
        return self._distinct.error

    def read(self, array: pa.Array) -> Cells:
        """The cells of the next slice of the column."""
        cells = cells_of(filled(array, self.facts), self.facts, few=self._few)
        if self._few and cells.dictionary is not None:
            # A dictionary is worth its while where values repeat.
            self._few = len(cells.dictionary.hashes) <= 64 + len(array) // 4
        return cells

    def add(self, cells: Cells, first: int, salt: npt.NDArray[np.uint64]) -> None:
        """Take the cells of the next slice, whose first row has the number `first`."""
        self.rows += len(cells.hashes)
        missing = int(cells.missing.sum())
        self.missing += missing
        known = cells.hashes[~cells.missing] if missing else cells.hashes
        if cells.dictionary is not None:
            known = cells.dictionary.hashes[cells.dictionary.hashes != MISSING]
        self._distinct.add(known)
        self.fingerprint.add(cells, salt)
        if self.repeated is not None:
            self.repeated.add(cells.hashes, first, ~cells.missing)
        self.summary.add(cells)
        self._note_examples(cells)
        self._note_unparsable(cells, first)
        self.increasing = self.increasing and not missing and self._rises(cells)

    def add_sample(self, cells: Cells, places: slice, rows: npt.NDArray[np.int64]) -> None:
        """Take the sampled rows of a slice; their numbers go to these places of the sample."""
        if cells.values is not None and len(self.sample):
            self.sample[places] = cells.values[rows]
        elif isinstance(self.summary, Words):
            self.summary.add_sample(cells.array.take(rows).drop_null().to_pylist())

    def begin_histogram(self) -> bool:
        """Say whether the column has a histogram, which takes a second pass over its slices."""
        if isinstance(self.summary, Numbers | Dates):
            self._histogram = self.summary.histogram()
        return self._histogram is not None

    def add_to_histogram(self, array: pa.Array) -> None:
        assert self._histogram is not None
        self._histogram.add(values_of(filled(array, self.facts), self.facts))

    def to_json(self) -> dict[str, Any]:
        facts = {
            **self.facts.to_json(),
            "reason": self._reason,
            "missing": self.missing,
            "distinct": self.distinct,
            "distinct_error": round(self.distinct_error, 4),
            **self.summary.to_json(),
        }
        if self.facts.kind in (Kind.NUMERIC, Kind.DATE):
            facts["unparsable"] = self.unparsable
        if self.facts.kind == Kind.NUMERIC:
            facts["quartiles"] = self._quartiles()
        return facts

    def sampled_numbers(self) -> npt.NDArray[np.float64]:
        numbers: npt.NDArray[np.float64] = self.sample[~np.isnan(self.sample)]
        return numbers

    def _quartiles(self) -> list[float | None] | None:
        numbers = self.sampled_numbers()
        if not len(numbers):
            return None
        with np.errstate(over="ignore", invalid="ignore"):
            return [finite(quartile) for quartile in np.percentile(numbers, [25, 50, 75])]

    def _note_examples(self, cells: Cells) -> None:
        if len(self.examples) < _EXAMPLES and self.facts.kind not in (Kind.IMAGE, Kind.SEQUENCE):
            rows = np.flatnonzero(~cells.missing)[: _EXAMPLES - len(self.examples)]
            self.examples += [cut(text_of(value) or "") for value in listed(cells.array.take(rows))]

    def _note_unparsable(self, cells: Cells, first: int) -> None:
        if cells.unparsable is None or not cells.unparsable.any():
            return
        rows = np.flatnonzero(cells.unparsable)
        self.unparsable += len(rows)
        for row in rows[: MAX_UNPARSABLE - len(self.unparsable_cells)].tolist():
            self.unparsable_cells.append((first + row, cut(str(cells.array[row].as_py()))))

    def _rises(self, cells: Cells) -> bool:
        values = cells.values
        if values is None:
            return False
        if str(cells.array.type) == "int64":
            values = cells.array.to_numpy()
        rises = self._last is None or bool(values[0] > self._last)
        self._last = values[-1]
        return rises and bool((values[1:] > values[:-1]).all())
