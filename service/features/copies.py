"""Columns that repeat a target: a network that is given one learns nothing else, and has none when it predicts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final

import numpy as np

from service.data.table import ColumnFacts, Kind
from service.features.columns import Codes, Values, of_batch
from service.features.preparation import Target, Task

if TYPE_CHECKING:
    import pyarrow as pa

#: Looks at so many rows are enough for almost every column.
_GLANCES: Final = (8, 256)


class Copies:
    """The pairs of a column and a target that were equal in every row so far."""

    def __init__(self, columns: Sequence[ColumnFacts], targets: Sequence[Target]) -> None:
        self._columns = {column.name: column for column in columns}
        self._pairs = [
            (column, target)
            for column in columns
            for target in targets
            if column.kind not in (Kind.IMAGE, Kind.SEQUENCE) and target.task is not Task.SEQUENCE
            # A target of numbers is compared as such, which texts and dates are not.
            if target.task is not Task.NUMBER or column.kind is Kind.NUMERIC
        ]

    def add(self, batch: pa.RecordBatch) -> None:
        """Look at the next rows."""
        for rows in (*(batch.slice(0, glance) for glance in _GLANCES), batch):
            if self._pairs:
                goals = {target.column: _values(rows, target, target) for _, target in self._pairs}
                self._pairs = [
                    (column, target)
                    for column, target in self._pairs
                    if _equal(_values(rows, column, target), goals[target.column])
                ]

    def found(self) -> Mapping[str, str]:
        """The target that a column repeats, by the column's name."""
        return {column.name: target.column for column, target in self._pairs}


def _values(batch: pa.RecordBatch, column: ColumnFacts | Target, target: Target) -> Values:
    """The values of a column in the form in which they are compared with a target."""
    name = column.column if isinstance(column, Target) else column.name
    return of_batch(batch, name, column.type, Kind.NUMERIC if target.task is Task.NUMBER else Kind.CATEGORY)


def _equal(own: Values, other: Values) -> bool:
    if not isinstance(own, Codes) or not isinstance(other, Codes):
        return bool(np.array_equal(np.asarray(own), np.asarray(other), equal_nan=True))
    numbers = {text: number for number, text in enumerate(other.texts)}
    places = np.array([*(numbers.get(text, -2) for text in own.texts), -1], np.int64)
    return bool(np.array_equal(places[np.maximum(own.numbers, -1)], np.maximum(other.numbers, -1)))
