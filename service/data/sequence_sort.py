"""Parts of a long table, sorted: a sequence's rows lie together, in the order of time, and what they are is known.

A part that is too large to be sorted in memory, because one sequence is, is cut into ranges first, each of which holds
all that comes between two rows of the sorted part.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from service.data.fault_list import FaultList, escape
from service.data.sequence_parts import MAX_PARTS, PART_BYTES, Files, Roles, in_python

if TYPE_CHECKING:
    import pyarrow as pa

MAX_SORTED_BYTES: Final = 3 * PART_BYTES
#: How many rows are looked at for each range that is cut out of a part.
_SAMPLES: Final = 64
_FLOAT32_MAX: Final = float(np.finfo(np.float32).max)

Array = np.ndarray[Any, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Gaps:
    """The first rows of a column that have no finite number within float32, with what came, and how many more."""

    found: tuple[tuple[int, str], ...] = ()
    more: int = 0

    def joined(self, other: Gaps) -> Gaps:
        both = sorted(self.found + other.found)
        return Gaps(found=tuple(both[: FaultList.LIMIT]), more=self.more + other.more + len(both[FaultList.LIMIT :]))


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A sorted part: files that, one after the other, have each sequence's rows together in the order of time.

    The sequences stand in the order of `firsts`, the numbers of the rows in which they first came, and have `lengths`
    rows. `changing` has a row and a sequence for each column that changes within one.
    """

    paths: tuple[Path, ...]
    firsts: Array
    lengths: Array
    changing: Mapping[str, tuple[int, Any]]
    gaps: Mapping[str, Gaps]


def sort_part(path: Path, roles: Roles) -> Part:
    """Sort a part by the first row of each id, and by time, and see what changes within its sequences.

    The part's file is removed. Raise Invalid for equal times in a sequence.
    """
    firsts: dict[Any, int] | None = None
    ranges = [path]
    if path.stat().st_size > MAX_SORTED_BYTES:
        ranges, firsts = _cut(path, roles)
    sorting = _Sorting(roles, firsts)
    return sorting.part(tuple(sorting.sort(place) for place in ranges))


def mapped(path: Path) -> pa.Table:
    """The rows of a file, whose pages are read as they are touched."""
    import pyarrow as pa

    with pa.memory_map(str(path)) as file:
        return pa.ipc.open_file(file).read_all()


class _Sorting:
    """Sorts the ranges of a part, one after the other, and gathers what is known of its sequences."""

    def __init__(self, roles: Roles, firsts: dict[Any, int] | None) -> None:
        self._roles, self._firsts = roles, firsts
        self._counts: dict[int, int] = {}
        self._changing: dict[str, tuple[int, Any]] = {}
        self._gaps = dict.fromkeys(roles.numbers, Gaps())
        self._last: _Rows | None = None

    def sort(self, path: Path) -> Path:
        """Sort the rows of a file into another one, and remove it."""
        rows = _sorted(_Rows.of(mapped(path), self._roles, self._firsts))
        place = path.with_name(f"{path.name}.sorted")
        _write(rows.table, place)
        path.unlink()
        self._see(rows)
        return place

    def part(self, paths: tuple[Path, ...]) -> Part:
        """What was sorted, all in all."""
        return Part(
            paths=paths,
            firsts=np.fromiter(self._counts.keys(), np.int64),
            lengths=np.fromiter(self._counts.values(), np.int64),
            changing=self._changing,
            gaps=self._gaps,
        )

    def _see(self, rows: _Rows) -> None:
        for first, count in zip(*np.unique(rows.firsts, return_counts=True), strict=True):
            self._counts[int(first)] = self._counts.get(int(first), 0) + int(count)
        for name in self._roles.numbers:
            self._gaps[name] = self._gaps[name].joined(_gaps(rows.table.column(name), rows.numbers))
        # A sequence may go on where the range before this one ended.
        joined = rows if self._last is None else rows.after(self._last)
        same = joined.firsts[1:] == joined.firsts[:-1]
        if self._roles.time is not None:
            _check_times(joined, same, self._roles.time)
        for name in (*self._roles.numbers, *self._roles.others):
            if name not in self._changing:
                self._see_changes(joined, same, name)
        self._last = rows.taken(np.array([len(rows.firsts) - 1]))

    def _see_changes(self, rows: _Rows, same: Array, name: str) -> None:
        places = np.flatnonzero(same & _differs(rows.table.column(name)))
        if len(places):
            place = int(places[0]) + 1
            (identity,) = in_python(rows.table.column(self._roles.identity).slice(place, 1))
            self._changing[name] = (int(rows.numbers[place]), identity)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Rows:
    """Rows with what they are sorted by, the first row of their sequence and the key of time, and with their numbers.

    The last two columns of `table` are those keys and numbers.
    """

    table: pa.Table
    firsts: Array

    @property
    def keys(self) -> Array:
        return self._numbers(-2)

    @property
    def numbers(self) -> Array:
        return self._numbers(-1)

    @classmethod
    def of(cls, table: pa.Table, roles: Roles, firsts: Mapping[Any, int] | None = None) -> _Rows:
        """Take the rows of a table; without `firsts` it must have the first row of each of its ids."""
        identities, codes = _identities(table, roles)
        known = firsts or _first_rows(table, roles)
        of_each = np.array([known[identity] for identity in identities], np.int64)
        return cls(table=table, firsts=of_each[codes])

    def taken(self, order: Array) -> _Rows:
        return _Rows(table=self.table.take(order), firsts=self.firsts[order])

    def after(self, before: _Rows) -> _Rows:
        import pyarrow as pa

        table = pa.concat_tables([before.table, self.table])
        return _Rows(table=table, firsts=np.concatenate([before.firsts, self.firsts]))

    def _numbers(self, column: int) -> Array:
        numbers: Array = self.table.column(self.table.num_columns + column).to_numpy()
        return numbers


def _sorted(rows: _Rows) -> _Rows:
    order = np.lexsort((rows.keys, rows.firsts))
    return rows if (order[1:] > order[:-1]).all() else rows.taken(order)


def _cut(path: Path, roles: Roles) -> tuple[list[Path], dict[Any, int]]:
    """Cut a part into ranges of its order, of about PART_BYTES, and say in which row each id first came."""
    number = min(MAX_PARTS, 1 + path.stat().st_size // PART_BYTES)
    firsts: dict[Any, int] = {}
    for table in _tables(path):
        for identity, row in _first_rows(table, roles).items():
            firsts.setdefault(identity, row)
    bounds = _bounds(path, roles, firsts, number)
    with Files(path.parent, f"{path.name}.range", number) as files:
        for table in _tables(path):
            ranges = _ranges(_Rows.of(table, roles, firsts), bounds)
            files.add(table.combine_chunks().to_batches()[0], ranges)
    path.unlink()
    return files.paths, firsts


def _bounds(path: Path, roles: Roles, firsts: Mapping[Any, int], number: int) -> tuple[Array, Array]:
    """Where the ranges begin but the first, as first rows and keys; some rows taken by chance stand for all."""

    random = np.random.default_rng(0)
    share = _SAMPLES * number / sum(table.num_rows for table in _tables(path))
    sampled = []
    for table in _tables(path):
        places = random.integers(0, table.num_rows, 1 + int(share * table.num_rows))
        sampled.append(_Rows.of(table.take(places), roles, firsts))
    of_each, keys = (
        np.concatenate(parts) for parts in zip(*((rows.firsts, rows.keys) for rows in sampled), strict=True)
    )
    order = np.lexsort((keys, of_each))
    cuts = order[np.arange(1, number) * len(order) // number]
    return of_each[cuts], keys[cuts]


def _ranges(rows: _Rows, bounds: tuple[Array, Array]) -> Array:
    """The range of each row: the number of bounds that it does not come before."""
    firsts, keys = bounds
    ranges = np.searchsorted(firsts, rows.firsts, "left")
    for first in np.unique(firsts):
        inside = rows.firsts == first
        ranges[inside] += np.searchsorted(keys[firsts == first], rows.keys[inside], "right")
    return ranges


def _identities(table: pa.Table, roles: Roles) -> tuple[list[Any], Array]:
    """The different ids, as they first come, and which of them each row has."""
    encoded = table.column(roles.identity).combine_chunks().dictionary_encode()
    return in_python(encoded.dictionary), encoded.indices.to_numpy()


def _first_rows(table: pa.Table, roles: Roles) -> dict[Any, int]:
    """The number of the first row of each id, whose rows are in the order of the file here."""
    identities, codes = _identities(table, roles)
    numbers = table.column(table.num_columns - 1).to_numpy()
    places = np.unique(codes, return_index=True)[1]
    return dict(zip(identities, numbers[places].tolist(), strict=True))


def _check_times(rows: _Rows, same: Array, name: str) -> None:
    faults = FaultList()
    keys, numbers = rows.keys, rows.numbers
    places = np.flatnonzero(same & (keys[1:] == keys[:-1]))
    times = rows.table.column(name)
    for place in places[: FaultList.LIMIT].tolist():
        earlier, row = int(numbers[place]), int(numbers[place + 1])
        came = f"Rows {earlier + 1} and {row + 1} are of one sequence and have the same time"
        detail = (
            f"{came}, {str(*in_python(times.slice(place, 1)))[:40]!r}; each step needs its own. Correct or remove one."
        )
        faults.add(f"/{row}/{escape(name)}", detail)
    faults.count_more(max(0, len(places) - FaultList.LIMIT))
    faults.raise_if_any()


def _differs(column: pa.ChunkedArray) -> Array:
    """Whether each value is another one than that before it; a value that is missing equals another such."""
    from pyarrow import compute

    values = column.combine_chunks()
    unequal = compute.not_equal(values.slice(1), values.slice(0, max(0, len(values) - 1))).fill_null(False)
    missing = values.is_null(nan_is_null=True).to_numpy(zero_copy_only=False)
    differs: Array = unequal.to_numpy(zero_copy_only=False) & ~missing[1:] | (missing[1:] != missing[:-1])
    return differs


def _gaps(column: pa.ChunkedArray, numbers: Array) -> Gaps:
    import pyarrow as pa

    values = column.cast(pa.float64(), safe=False).fill_null(np.nan).to_numpy()
    wrong = np.flatnonzero(~(np.abs(values) <= _FLOAT32_MAX))
    first = wrong[np.argsort(numbers[wrong])][: FaultList.LIMIT].tolist()
    found = ((int(numbers[place]), str(values[place]) if column[place].is_valid else "No value") for place in first)
    return Gaps(found=tuple(found), more=len(wrong) - len(first))


def _tables(path: Path) -> Iterator[pa.Table]:
    """The rows of a file, as many at a time as were written at once."""
    import pyarrow as pa

    with pa.memory_map(str(path)) as file:
        reader = pa.ipc.open_file(file)
        for number in range(reader.num_record_batches):
            yield pa.Table.from_batches([reader.get_batch(number)])


def _write(table: pa.Table, place: Path) -> None:
    import pyarrow as pa

    with pa.OSFile(str(place), "wb") as file, pa.ipc.new_file(file, table.schema) as writer:
        writer.write_table(table.combine_chunks())
