"""Columns that repeat a target: a network that is given one learns nothing else, and has none when it predicts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final

import numpy as np

from service.data.table import ColumnFacts, Kind
from service.features.columns import Codes, of_batch
from service.features.preparation import Target, Task

if TYPE_CHECKING:
    import pyarrow as pa

#: A look at so many rows is enough for almost every column.
_GLANCE: Final = 256


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
        for rows in (batch.slice(0, _GLANCE), batch):
            self._pairs = [(column, target) for column, target in self._pairs if _equal(rows, column, target)]

    def found(self) -> Mapping[str, str]:
        """The target that a column repeats, by the column's name."""
        return {column.name: target.column for column, target in self._pairs}


def _equal(batch: pa.RecordBatch, column: ColumnFacts, target: Target) -> bool:
    form = Kind.NUMERIC if target.task is Task.NUMBER else Kind.CATEGORY
    own = of_batch(batch, column.name, column.type, form)
    other = of_batch(batch, target.column, target.type, form)
    if isinstance(own, Codes) and isinstance(other, Codes):
        return _equal_codes(own, other)
    return bool(np.array_equal(np.asarray(own), np.asarray(other), equal_nan=True))


def _equal_codes(own: Codes, other: Codes) -> bool:
    numbers = {text: number for number, text in enumerate(other.texts)}
    places = np.array([*(numbers.get(text, -2) for text in own.texts), -1], np.int64)
    return bool(np.array_equal(places[np.maximum(own.numbers, -1)], np.maximum(other.numbers, -1)))
