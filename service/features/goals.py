"""What the training rows say of the targets: the facts of y, means and spreads, and labels that no training row has."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

import numpy as np
import numpy.typing as npt

from service.data.arrays import ArrayFacts
from service.errors import Fault
from service.features.columns import Values
from service.features.encode import encode_targets
from service.features.extents import Extent, target_dtype, target_names
from service.features.preparation import Preparation, Target, Task
from service.features.request import TargetRequest
from service.features.statistics import Moments
from service.features.wording import listed

_CLASSES: Final = (Task.BINARY, Task.CLASSES)
_QUANTITIES: Final = (Task.NUMBER, Task.SEQUENCE)


class Goals:
    """The targets, as the rows come."""

    def __init__(self, targets: Sequence[Target]) -> None:
        self.preparation = Preparation(features=(), targets=tuple(targets), split=None, rows=(0, 0, 0))
        self._extents = {target.slug: Extent() for target in targets}
        self._counts = {target.slug: np.zeros(len(target.labels), np.int64) for target in targets}
        self._moments = {target.slug: Moments(1) for target in targets}
        self._rows = 0

    def add(self, values: Mapping[str, Values], training: npt.NDArray[np.bool_]) -> None:
        """Add the values of the targets' columns in the next rows, and which of them train."""
        arrays = encode_targets(values, self.preparation, self._rows)
        self._rows += len(training)
        for target in self.preparation.targets:
            own = arrays[target.slug][training]
            self._extents[target.slug].add(own)
            if target.task in _CLASSES:
                self._counts[target.slug] += np.bincount(own.ravel(), minlength=len(target.labels))
            elif target.task is Task.LABELS:
                self._counts[target.slug] += own.sum(axis=0).astype(np.int64)
            elif target.task in _QUANTITIES:
                self._moments[target.slug].add(own.astype(np.float64).reshape(1, -1))

    def settled(self, asked: Sequence[TargetRequest], faults: list[Fault]) -> tuple[Target, ...]:
        """The targets with what the training rows say of them, after appending the faults of these rows."""
        settled = []
        for one, target in zip(asked, self.preparation.targets, strict=True):
            wrong = self._wrong(target)
            if wrong is not None:
                faults.append(Fault(pointer=one.pointer, detail=f"The target {target.column!r} {wrong}"))
            if target.task in _QUANTITIES:
                moments = self._moments[target.slug]
                target = replace(target, center=float(moments.mean[0]), spread=float(moments.spread[0]) or 1.0)
            settled.append(target)
        return tuple(settled)

    def facts(self) -> tuple[ArrayFacts, ...]:
        """The facts of y of the training rows, one array a target."""
        targets = self.preparation.targets
        names = target_names(targets)
        return tuple(
            self._extents[target.slug].facts("y", names[target.slug], target.shape, target_dtype(target))
            for target in targets
        )

    def _wrong(self, target: Target) -> str | None:
        if (
            target.task is Task.NUMBER
            and self._moments[target.slug].minimum[0] == self._moments[target.slug].maximum[0]
        ):
            return "is the same in every row that trains, so that there is nothing to learn. Change the split."
        unseen = [
            label for label, count in zip(target.labels, self._counts[target.slug].tolist(), strict=True) if not count
        ]
        if not unseen:
            return None
        what = "class(es)" if target.task in _CLASSES else "label(s)"
        mend = 'Split "by": "stratified", send more such rows' if target.task in _CLASSES else "Send more such rows"
        return f"has the {what} {listed(unseen)} in no row that trains. {mend}, or leave those rows out."
