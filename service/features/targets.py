"""What is to be learned: the task of a target and its labels, found in all rows, so that no part of them lacks one.

Without a task that is asked for, the values say which. Categories and booleans are `binary` if they are two, else
`classes`; numbers are a `number`, unless they are 0 and 1 alone (`binary`), or whole and each of 0 to k - 1 for a k
from 3 to 20, stored as whole numbers, with ten rows each on average (`classes`); texts are classes if there are half as
many as rows or fewer; sequences are a `sequence`. Labels stand in the order of their numbers, if all are such, else of
their letters; of two, the second is the one whose probability is learned.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from service.data.fault_list import FaultList
from service.data.parsing import number_of
from service.data.table import ColumnFacts, Kind, batches
from service.errors import Fault
from service.features.columns import Codes, of_batch
from service.features.encode import labels_of
from service.features.preparation import Target, Task
from service.features.request import TargetRequest
from service.features.statistics import Counts
from service.features.wording import listed

#: The most labels that a target can have; texts that differ more than that are no labels.
MAX_LABELS: Final = 10_000
#: The most different texts of several labels each.
_MAX_COMBINATIONS: Final = 1_000_000
SEPARATORS: Final = (";", "|", ",")
#: Whole numbers from 0 are classes up to so many, with so many rows of each on average.
_MOST_NUMBERED: Final = 20
_ROWS_A_CLASS: Final = 10


def settle_targets(
    asked: Sequence[TargetRequest], slugs: Mapping[str, str], folder: Path, faults: list[Fault], notes: list[str]
) -> tuple[Target, ...]:
    """What is learned of each target; those at fault are left out, after appending their faults.

    `center` and `spread` of quantities are None: they are those of the training rows, which are not known yet.
    """
    found = [_settle(one, slugs[one.column.name], folder, faults, notes) for one in asked]
    return tuple(one for one in found if one is not None)


def _settle(one: TargetRequest, slug: str, folder: Path, faults: list[Fault], notes: list[str]) -> Target | None:
    task = one.task or _task_of_numbers(one, folder, notes)
    if task is Task.NUMBER:
        look: _Look = _Numbers(one)
    elif one.column.kind is Kind.SEQUENCE:
        look = _Steps(one)
    else:
        look = _Labels(one, task)
    for batch in batches(folder, [one.column.name]):
        look.add(of_batch(batch, one.column.name, one.column.type, look.form))
    wrong = [Fault(pointer=one.pointer, detail=f"The target {one.column.name!r} {detail}") for detail in look.faults()]
    faults.extend(wrong)
    return None if wrong else look.target(slug)


def _task_of_numbers(one: TargetRequest, folder: Path, notes: list[str]) -> Task | None:
    """Whether a numeric target has classes; None for another kind of target."""
    column = one.column
    if column.kind is not Kind.NUMERIC:
        return None
    distinct, rows = np.zeros(0), 0
    for batch in batches(folder, [column.name]):
        values = of_batch(batch, column.name, column.type, Kind.NUMERIC)
        assert isinstance(values, np.ndarray)
        rows += len(values)
        distinct = np.unique(np.concatenate([distinct, values[~np.isnan(values)]]))
        if len(distinct) > _MOST_NUMBERED:
            return Task.NUMBER
    if distinct.tolist() == [0, 1]:
        return Task.BINARY
    if column.type == "int64" and rows >= _ROWS_A_CLASS * len(distinct) and _look_like_classes(distinct.tolist()):
        notes.append(
            f"The target {column.name!r} has the whole numbers {distinct[0]:.0f} to {distinct[-1]:.0f}: they are taken "
            f'for classes. To learn a quantity instead, send {{"column": "{column.name}", "as": "number"}}.'
        )
        return Task.BINARY if len(distinct) == 2 else Task.CLASSES
    return Task.NUMBER


def _look_like_classes(numbers: list[float]) -> bool:
    """Whether whole numbers number classes: from 0 or from 1 on, without a gap."""
    return len(numbers) >= 2 and numbers[0] in (0, 1) and numbers[-1] - numbers[0] == len(numbers) - 1


# What is looked at, by form ------------------------------------------------------------------------------------------


class _Look(ABC):
    """One target's values, all rows of them, in the form of `form`."""

    form = Kind.CATEGORY
    #: What every row needs.
    needed = "value"

    def __init__(self, one: TargetRequest) -> None:
        self.one = one
        self.rows = 0
        self.missing = 0
        self._missing_rows: list[int] = []

    def add(self, values: Any) -> None:
        """Look at the next rows."""
        absent = self.absent(values)
        if absent.any():
            self.missing += int(absent.sum())
            room = FaultList.LIMIT - len(self._missing_rows)
            self._missing_rows += (self.rows + 1 + np.flatnonzero(absent)[:room]).tolist()
        self.take(values)
        self.rows += len(values)

    def faults(self) -> Iterator[str]:
        """What is wrong, as the rest of a sentence that begins with the target."""
        if self.missing == self.rows:
            yield "has no value in any row, so that there is nothing to learn. Name another column."
            return
        if self.missing:
            came = f"has no {self.needed} in {rows_listed(self._missing_rows, self.missing)}"
            yield f"{came}, and every row needs one. Fill them in, or leave these rows out."
        wrong = self.wrong()
        if wrong is not None:
            yield wrong

    @abstractmethod
    def absent(self, values: Any) -> npt.NDArray[np.bool_]:
        """Which rows have nothing to learn."""

    @abstractmethod
    def take(self, values: Any) -> None:
        """Gather what the target is made of."""

    @abstractmethod
    def wrong(self) -> str | None:
        """What is wrong with the values that are there."""

    @abstractmethod
    def target(self, slug: str) -> Target:
        """The target, where nothing is wrong."""


class _Numbers(_Look):
    form = Kind.NUMERIC

    def __init__(self, one: TargetRequest) -> None:
        super().__init__(one)
        self.needed = "finite number" if one.column.type == "float64" else "number"
        self._low, self._high = np.inf, -np.inf

    def absent(self, values: npt.NDArray[np.float64]) -> npt.NDArray[np.bool_]:
        return ~np.isfinite(values)

    def take(self, values: npt.NDArray[np.float64]) -> None:
        there = values[np.isfinite(values)]
        if len(there):
            self._low, self._high = min(self._low, float(there.min())), max(self._high, float(there.max()))

    def wrong(self) -> str | None:
        if self._low < self._high:
            return None
        return f"is {self._low:g} in every row, so that there is nothing to learn. Name another column."

    def target(self, slug: str) -> Target:
        return _target(self.one.column, slug, Task.NUMBER)


class _Steps(_Look):
    form = Kind.SEQUENCE
    needed = "complete sequence"

    def __init__(self, one: TargetRequest) -> None:
        super().__init__(one)
        self._shapes: set[tuple[int, ...]] = set()

    def absent(self, values: Sequence[npt.NDArray[np.float32] | None]) -> npt.NDArray[np.bool_]:
        return np.array([one is None or not np.isfinite(one).all() for one in values], np.bool_)

    def take(self, values: Sequence[npt.NDArray[np.float32] | None]) -> None:
        self._shapes |= {one.shape for one in values if one is not None}

    def wrong(self) -> str | None:
        lengths = sorted({shape[0] for shape in self._shapes})
        if lengths[0] == lengths[-1] > 0:
            return None
        came = (
            f"has from {lengths[0]} to {lengths[-1]} steps a row; as many in each row, and one at least, were expected"
        )
        return f"{came}. Make them equally long, for example by windows with a horizon."

    def target(self, slug: str) -> Target:
        (shape,) = self._shapes
        return _target(self.one.column, slug, Task.SEQUENCE, shape=shape)


class _Labels(_Look):
    """Texts that are labels, or several labels each; without a task, how many there are says which."""

    def __init__(self, one: TargetRequest, task: Task | None) -> None:
        super().__init__(one)
        self._task = task
        self._counts = Counts(_MAX_COMBINATIONS if task is Task.LABELS else MAX_LABELS)

    def absent(self, values: Codes) -> npt.NDArray[np.bool_]:
        # A row can have none of several labels.
        return np.zeros(len(values), np.bool_) if self._task is Task.LABELS else values.numbers < 0

    def take(self, values: Codes) -> None:
        there = values.numbers[values.numbers >= 0]
        self._counts.add(values.texts, np.bincount(there, minlength=len(values.texts)))

    def wrong(self) -> str | None:
        return self._wrong_of_several() if self._task is Task.LABELS else self._wrong_of_one()

    def target(self, slug: str) -> Target:
        column = self.one.column
        if self._task is Task.LABELS:
            labels, separator = self._several()
            return _target(column, slug, Task.LABELS, labels, separator, (len(labels),))
        labels = in_order(self._counts.most_frequent())
        task = self._task or (Task.BINARY if len(labels) == 2 else Task.CLASSES)
        return _target(column, slug, task, labels)

    def _wrong_of_one(self) -> str | None:
        number, labels = self._counts.distinct, self._counts.most_frequent(11)
        if self._counts.full:
            other = ', or as "number"' if self.one.column.kind is Kind.NUMERIC else ""
            return f"has more than {MAX_LABELS} different values, too many to be classes. Learn another column{other}."
        if number < 2:
            return f"has the value {listed(labels)} alone: nothing can be told apart. Send rows of another class too."
        if self._task is Task.BINARY and number != 2:
            return f'has {number} different values ({listed(labels)}), and binary is for two. Send "as": "classes".'
        if self._task is None and self.one.column.kind is Kind.TEXT and 2 * number > self.rows:
            return f"has {number} different texts in {self.rows} rows, which are no classes. Learn another column."
        if number == self.rows > 2:
            return f"has another value in each of the {number} rows, so that no class can be learned. Name another."
        return None

    def _wrong_of_several(self) -> str | None:
        if self._counts.full:
            return f"has more than {_MAX_COMBINATIONS} different texts, too many to be labels. Learn another column."
        labels, _ = self._several()
        if not labels:
            return "has no label in any row, so that there is nothing to learn. Name another column."
        if len(labels) > MAX_LABELS:
            return f"has {len(labels)} labels; at most {MAX_LABELS} can be learned. Leave out those that are rare."
        return None

    def _several(self) -> tuple[tuple[str, ...], str | None]:
        """The labels, and what stands between them: the separator that most of the different texts have."""
        texts = self._counts.most_frequent()
        found = {separator: sum(separator in text for text in texts) for separator in SEPARATORS}
        separator = max(SEPARATORS, key=lambda one: found[one]) if any(found.values()) else None
        return in_order({label for text in texts for label in labels_of(text, separator)}), separator


def in_order(labels: Sequence[str] | set[str]) -> tuple[str, ...]:
    """Labels in the order of their numbers, if all are such, else in that of their letters."""
    numbers = {label: number_of(label) for label in labels}
    if None in numbers.values():
        return tuple(sorted(labels))
    return tuple(sorted(labels, key=lambda label: (numbers[label], label)))


def rows_listed(rows: Sequence[int], number: int) -> str:
    """Some rows, counted from 1, of so many, as a piece of a sentence."""
    few = ", ".join(map(str, rows))
    if number == 1:
        return f"row {few}"
    more = f" and {number - len(rows)} more" if number > len(rows) else ""
    return f"{number} rows ({few}{more})"


def _target(
    column: ColumnFacts,
    slug: str,
    task: Task,
    labels: tuple[str, ...] = (),
    separator: str | None = None,
    shape: tuple[int, ...] = (),
) -> Target:
    return Target(
        column=column.name,
        type=column.type,
        kind=column.kind,
        slug=slug,
        task=task,
        labels=labels,
        separator=separator,
        center=None,
        spread=None,
        shape=shape,
    )
