"""Which rows train, validate and test: a pure function of the split and the table, and the same in every process.

Sizes are exact: of n rows floor(n * fraction) validate and as many test as that rule says, the others train; only whole
groups and the values of a column cannot be cut so. No more than some bytes a row is in memory.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from fractions import Fraction
from math import floor
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from service.data.fault_list import FaultList
from service.data.parsing import date_of
from service.data.table import Kind, Type, batches, row_count, stored_types
from service.errors import Fault, Invalid
from service.features.columns import Codes, of_batch
from service.features.preparation import Split, Target

TRAIN: Final = 0
VALIDATION: Final = 1
TEST: Final = 2
NAMES: Final = ("train", "validation", "test")
#: What the values of a column may be called that says which row is in which part; letters may be large or small.
PART_NAMES: Final[Mapping[str, int]] = {
    **dict.fromkeys(("train", "training"), TRAIN),
    **dict.fromkeys(("validation", "val", "valid"), VALIDATION),
    **dict.fromkeys(("test", "testing"), TEST),
}
#: How many rows are looked at in one go.
_STEP: Final = 2**16

Parts = npt.NDArray[np.uint8]
Classes = npt.NDArray[np.uint8 | np.int32]


def parts_of(split: Split | None, folder: Path, targets: Sequence[Target]) -> Parts:
    """The part of each row of a stored table, (rows,): 0 trains, 1 validates, 2 tests.

    A stratified split goes by the first target. Raises Invalid where a part would have no row, or a value that decides
    is missing.
    """
    rows = row_count(folder)
    if split is None:
        return np.zeros(rows, np.uint8)
    if rows < 1 + sum(_wanted(split)):
        raise _too_few(split, rows, f"the table has {rows} row(s)")
    parts = _RULES[split.by](split, folder, targets, rows)
    counts = np.bincount(parts, minlength=3)
    for part, wanted in ((TRAIN, True), *zip((VALIDATION, TEST), _wanted(split), strict=True)):
        if wanted and not counts[part]:
            raise _too_few(split, rows, f"no row is left that is to {_VERBS[part]}", NAMES[part])
    return parts


def sizes(split: Split, rows: int) -> tuple[int, int]:
    """How many rows validate and test: the fractions as they are written, 0.29 of 100 rows are 29."""
    validation, test = (floor(Fraction(repr(one)) * rows) for one in (split.validation, split.test))
    return validation, test


_VERBS: Final = ("train on", "validate on", "test on")


def _wanted(split: Split) -> tuple[bool, bool]:
    """Whether there must be rows that validate, and that test; a column says so by itself."""
    return split.validation > 0, split.test > 0


def _too_few(split: Split, rows: int, found: str, part: str | None = None) -> Invalid:
    pointer = f"/split/{part}" if part in NAMES[1:] and split.by != "column" else "/split"
    asked = f"validation {split.validation:g} and test {split.test:g} by {split.by!r}"
    detail = f"Of {rows} row(s), {asked} needs one at least in each part, but {found}. Send more rows, or change split."
    return Invalid(detail, [Fault(pointer=pointer, detail=detail)])


# Rules: each takes (split, folder, targets, rows) ------------------------------------------------------------------


def _random(split: Split, folder: Path, targets: Sequence[Target], rows: int) -> Parts:
    """Every row has the same chance: all are of one class."""
    everyone: Classes = np.zeros(rows, np.uint8)
    return _by_class(split, everyone, np.array([sizes(split, rows)], np.int64))


def _stratified(split: Split, folder: Path, targets: Sequence[Target], rows: int) -> Parts:
    """Every class has its share in each part, to a row; a class of one row trains."""
    numbers = {text: number for number, text in enumerate(targets[0].labels)}
    classes: Classes = np.zeros(rows, np.uint8 if len(numbers) < 256 else np.int32)
    for first, codes in _coded(folder, targets[0].column):
        # Rows without a label are refused elsewhere; here they only must not stand in the way.
        places = np.array([*(numbers.get(text, 0) for text in codes.texts), 0], classes.dtype)
        classes[first : first + len(codes)] = places[np.maximum(codes.numbers, -1)]
    counts = np.bincount(classes, minlength=len(numbers))
    return _by_class(split, classes, _shares(counts, split))


def _group(split: Split, folder: Path, targets: Sequence[Target], rows: int) -> Parts:
    """All rows of a group are in one part; groups are drawn one after another for the part that lacks most rows."""
    marks = _group_marks(split, folder, str(split.column), rows)
    groups, members, counts = np.unique(marks, return_inverse=True, return_counts=True)
    needed = 1 + sum(_wanted(split))
    if len(groups) < needed:
        raise _too_few(split, rows, f"the column {split.column!r} has {len(groups)} group(s)")
    return _drawn(counts, sizes(split, rows))[members]


def _time(split: Split, folder: Path, targets: Sequence[Target], rows: int) -> Parts:
    """The latest rows test, those before them validate; of the same time, those that stand last in the table."""
    times = _times(folder, str(split.column), rows)
    validation, test = sizes(split, rows)
    parts = np.zeros(rows, np.uint8)
    parts[_latest(times, validation + test)] = VALIDATION
    parts[_latest(times, test)] = TEST
    return parts


def _order(split: Split, folder: Path, targets: Sequence[Target], rows: int) -> Parts:
    """The last rows of the table test, those before them validate."""
    validation, test = sizes(split, rows)
    parts = np.zeros(rows, np.uint8)
    parts[rows - validation - test :] = VALIDATION
    parts[rows - test :] = TEST
    return parts


def _column(split: Split, folder: Path, targets: Sequence[Target], rows: int) -> Parts:
    """The values of a column name the parts."""
    name, faults = str(split.column), FaultList()
    parts = np.zeros(rows, np.uint8)
    for first, codes in _coded(folder, name):
        known = np.array([*(PART_NAMES.get(text.strip().lower(), 255) for text in codes.texts), 255], np.uint8)
        found = known[np.maximum(codes.numbers, -1)]
        for row in np.flatnonzero(found == 255):
            came = "No value came" if codes.numbers[row] < 0 else f"{codes.texts[codes.numbers[row]][:64]!r} came"
            detail = f"{came} in row {first + row + 1}, column {name!r}; expected train, validation or test."
            faults.add("/split/column", f"{detail} Correct the column, or split by another rule.")
        parts[first : first + len(codes)] = found
    faults.raise_if_any()
    return parts


_Rule = Callable[[Split, Path, Sequence[Target], int], Parts]
_RULES: Final[Mapping[str, _Rule]] = {
    "random": _random,
    "stratified": _stratified,
    "group": _group,
    "time": _time,
    "order": _order,
    "column": _column,
}


# Classes -------------------------------------------------------------------------------------------------------------


def _by_class(split: Split, classes: Classes, shares: npt.NDArray[np.int64]) -> Parts:
    """Go through the rows in a drawn order: the first of each class test, the next validate, the rest train.

    `shares` says for each class how many validate and test, (classes, 2).
    """
    order = np.arange(len(classes), dtype=np.int32)
    np.random.Generator(np.random.Philox(split.seed)).shuffle(order)
    parts = np.zeros(len(classes), np.uint8)
    seen = np.zeros(len(shares), np.int64)
    for start in range(0, len(order), _STEP):
        rows = order[start : start + _STEP]
        own = classes[rows]
        ranks = seen[own] + (np.arange(len(rows)) if len(shares) == 1 else _ranks(own))
        parts[rows[ranks < shares[own].sum(axis=1)]] = VALIDATION
        parts[rows[ranks < shares[own, 1]]] = TEST
        seen += np.bincount(own, minlength=len(seen))
    return parts


def _ranks(values: Classes) -> npt.NDArray[np.int64]:
    """For each value, how many equal ones stand before it."""
    order = np.argsort(values, kind="stable")
    arranged = values[order]
    starts = np.flatnonzero(np.r_[True, arranged[1:] != arranged[:-1]])
    ranks = np.empty(len(values), np.int64)
    ranks[order] = np.arange(len(values)) - np.repeat(starts, np.diff(np.r_[starts, len(values)]))
    return ranks


def _shares(counts: npt.NDArray[np.int64], split: Split) -> npt.NDArray[np.int64]:
    """How many rows of each class validate and test, (classes, 2): by largest remainder, each class keeping one."""
    validation, test = sizes(split, int(counts.sum()))
    tested = _apportioned(counts, test, np.maximum(counts - 1, 0))
    validated = _apportioned(counts, validation, np.maximum(counts - 1 - tested, 0))
    return np.stack([validated, tested], axis=1)


def _apportioned(counts: npt.NDArray[np.int64], total: int, room: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Share `total` rows out by how many each class has, in whole rows, no class giving more than its `room`."""
    quotas = [Fraction(int(count) * total, int(counts.sum())) for count in counts]
    shares = np.minimum([floor(quota) for quota in quotas], room)
    by_remainder = sorted(range(len(counts)), key=lambda one: (floor(quotas[one]) - quotas[one], one))
    left = min(total, int(room.sum())) - int(shares.sum())
    while left > 0:
        for one in by_remainder:
            if left > 0 and shares[one] < room[one]:
                shares[one] += 1
                left -= 1
    return shares


# Groups --------------------------------------------------------------------------------------------------------------


def _group_marks(split: Split, folder: Path, column: str, rows: int) -> npt.NDArray[np.uint64]:
    """A number for each row that all rows of its group share; their order is drawn by the seed."""
    marks = np.zeros(rows, np.uint64)
    for first, codes in _coded(folder, column, refuse_missing=True):
        own = np.array([_mark(split.seed, text) for text in codes.texts], np.uint64)
        marks[first : first + len(codes)] = own[codes.numbers]
    return marks


def _mark(seed: int, text: str) -> int:
    return int.from_bytes(hashlib.sha256(f"{seed} {text}".encode()).digest()[:8], "little")


def _drawn(counts: npt.NDArray[np.int64], wanted: tuple[int, int]) -> Parts:
    """The part of each group, in the order drawn: that which lacks most rows, and as long as any is empty, such a one
    as soon as there are no more groups left than empty parts."""
    validation, test = wanted
    lacks = [int(counts.sum()) - validation - test, validation, test]
    empty = {part for part, lack in enumerate(lacks) if lack > 0}
    parts = np.zeros(len(counts), np.uint8)
    for group, count in enumerate(counts.tolist()):
        choice = empty if 0 < len(empty) >= len(counts) - group else range(3)
        part = max(choice, key=lambda one: (lacks[one], -one))
        parts[group] = part
        lacks[part] -= count
        empty.discard(part)
    return parts


# Times ---------------------------------------------------------------------------------------------------------------


def _times(folder: Path, column: str, rows: int) -> npt.NDArray[np.generic]:
    stored = stored_types(folder)[column]
    form = _form_of_times(folder, column, stored)
    times: npt.NDArray[np.generic] = np.empty(rows, "datetime64[us]" if form == Kind.DATE else np.float64)
    faults, first = FaultList(), 0
    for batch in batches(folder, [column]):
        values = of_batch(batch, column, stored, form)
        assert isinstance(values, np.ndarray)
        _refuse_missing(np.isnan(values) if form == Kind.NUMERIC else np.isnat(values), first, column, faults)
        times[first : first + len(values)] = values
        first += len(values)
    faults.raise_if_any()
    return times


def _form_of_times(folder: Path, column: str, stored: Type) -> Kind:
    """Texts are dates if the first value is one, else numbers."""
    if stored != "string":
        return Kind.DATE if stored == "timestamp" else Kind.NUMERIC
    texts = (text for batch in batches(folder, [column]) for text in batch.column(0).drop_null().to_pylist())
    return Kind.DATE if date_of(next(texts, "")) is not None else Kind.NUMERIC


def _latest(times: npt.NDArray[np.generic], count: int) -> npt.NDArray[np.int64]:
    """The rows of the `count` latest times; of equal ones those that come last."""
    if count == 0:
        return np.zeros(0, np.int64)
    limit = np.partition(times, len(times) - count)[len(times) - count]
    later = np.flatnonzero(times > limit)
    same = np.flatnonzero(times == limit)
    return np.concatenate([later, same[len(same) - (count - len(later)) :]])


# Columns -------------------------------------------------------------------------------------------------------------


def _coded(folder: Path, column: str, refuse_missing: bool = False) -> Iterator[tuple[int, Codes]]:
    """The values of a column batch by batch as categories, with the number of the first row."""
    first, faults, stored = 0, FaultList(), stored_types(folder)[column]
    for batch in batches(folder, [column]):
        codes = of_batch(batch, column, stored, Kind.CATEGORY)
        assert isinstance(codes, Codes)
        if refuse_missing:
            _refuse_missing(codes.numbers < 0, first, column, faults)
        if not len(faults):
            yield first, codes
        first += len(codes)
    faults.raise_if_any()


def _refuse_missing(missing: npt.NDArray[np.bool_], first: int, column: str, faults: FaultList) -> None:
    for row in np.flatnonzero(missing).tolist():
        detail = f"No value came in row {first + row + 1}, column {column!r}, by which the rows are split."
        faults.add("/split/column", f"{detail} Fill it in, leave the row out, or split by another column.")
