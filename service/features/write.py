"""A table becomes the arrays that a network trains on: .npy files by part, written piece by piece, to be mapped.

Memory does not grow with the rows, nor with what a row becomes; the same table and preparation always give the same
bytes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from service.data.arrays import ArrayFacts
from service.data.store import npy_header, storage_full
from service.data.table import batches, row_count, stored_types
from service.errors import Fault, Invalid
from service.features.columns import Values, form_of, of_batch
from service.features.encode import encode_inputs, encode_targets
from service.features.extents import Extent, target_dtype, target_names
from service.features.pieces import pieces, row_bytes
from service.features.preparation import Date, Feature, Image, Number, Preparation, Sequence, Target
from service.features.split import NAMES, TEST, TRAIN, VALIDATION, parts_of
from service.features.wording import similar

#: Of a column of one of these types another table can have the other one: whole numbers are a matter of luck.
_NUMBERS: Final = frozenset({"int64", "float64"})

#: The folder of one part, and its arrays: x by the names of inputs, y by those of targets where there are several.
Written = tuple[Path, tuple[ArrayFacts, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class WrittenArrays:
    """The parts of a table as arrays; None for a part that has no rows."""

    train: Written
    validation: Written | None
    test: Written | None


def write_arrays(folder: Path, preparation: Preparation, into: Path) -> WrittenArrays:
    """Encode the rows of the table that a preparation was fitted on into `into`/train, validation and test.

    Raises:
        Invalid: for a value that cannot be encoded, with its row.
        StorageFull: where the disk is full; what was written lies in `into`.
    """
    parts = parts_of(preparation.split, folder, preparation.targets)
    counts = np.bincount(parts, minlength=len(NAMES)).tolist()
    writers = {part: _Writer(into / NAMES[part], preparation, rows) for part, rows in enumerate(counts) if rows}
    for first, values in _values(folder, preparation):
        arrays = _encoded(values, preparation, first)
        rows = len(next(iter(arrays.values())))
        own = parts[first : first + rows]
        for part, writer in writers.items():
            chosen = own == part
            if chosen.all():
                writer.add(arrays)
            elif chosen.any():
                writer.add({name: array[chosen] for name, array in arrays.items()})
    done = {part: writer.written() for part, writer in writers.items()}
    return WrittenArrays(train=done[TRAIN], validation=done.get(VALIDATION), test=done.get(TEST))


def write_all(folder: Path, preparation: Preparation, into: Path, pointer: str = "") -> Written:
    """Encode all rows of another table into `into`.

    Raises:
        Invalid: where a column is missing or of another type, at `pointer`, or a value cannot be encoded, with its row.
        StorageFull: where the disk is full.
    """
    faults: list[Fault] = []
    check_table(folder, preparation, pointer, faults)
    if faults:
        raise Invalid(f"The table does not fit: {faults[0].detail}", faults)
    writer = _Writer(into, preparation, row_count(folder))
    for first, values in _values(folder, preparation):
        writer.add(_encoded(values, preparation, first))
    return writer.written()


def check_table(folder: Path, preparation: Preparation, pointer: str, faults: list[Fault]) -> None:
    """Check that a table has rows, and the columns that features and targets are made of, of the types they had."""
    stored = stored_types(folder)
    if not row_count(folder):
        faults.append(Fault(pointer=pointer, detail="The table has no rows; one at least was expected. Send some."))
    for one in _used(preparation):
        name, found = one.column, stored.get(one.column)
        if found is None:
            detail = f"The table has no column {name[:60]!r}, which the training data have.{similar(name, stored)}"
            faults.append(Fault(pointer=pointer, detail=f"{detail} Add it."))
        elif not (found == one.type or {found, one.type} <= _NUMBERS or _is_empty(folder, name)):
            detail = f"The column {name[:60]!r} is of the type {found}, and in the training data of {one.type}."
            faults.append(Fault(pointer=pointer, detail=f"{detail} Send it with such values."))
        elif _must_be_there(one) and (missing := _missing(folder, name)):
            detail = f"The column {name[:60]!r} has no value in {missing} row(s); the training data had one in each."
            faults.append(Fault(pointer=pointer, detail=f"{detail} Fill them in, or leave these rows out."))


def check_labels(folder: Path, preparation: Preparation, pointer: str, faults: list[Fault]) -> None:
    """Check that every row of a table has targets that the network can learn; tells no more than the first faults."""
    targets = Preparation(features=(), targets=preparation.targets, split=None, rows=(0, 0, 0))
    for first, values in _values(folder, targets):
        try:
            encode_targets(values, targets, first)
        except Invalid as error:
            for fault in error.faults:
                row = fault.pointer.split("/")[1:2]
                place = f"Row {int(row[0]) + 1}: " if row else ""
                faults.append(Fault(pointer=pointer, detail=place + fault.detail))
            return


class _Writer:
    """The arrays of one part, of so many rows, in a folder that it makes."""

    def __init__(self, folder: Path, preparation: Preparation, rows: int) -> None:
        self._folder = folder
        names = target_names(preparation.targets)
        described = [
            *(("x", one.name, one.name, one.shape, one.dtype) for one in preparation.inputs),
            *(("y", one.slug, names[one.slug], one.shape, target_dtype(one)) for one in preparation.targets),
        ]
        self._facts: dict[tuple[str, str], ArrayFacts] = {}
        with storage_full():
            folder.mkdir(parents=True, exist_ok=True)
        for part, key, name, shape, dtype in described:
            empty = Extent(rows)
            facts = empty.facts("x" if part == "x" else "y", name, shape, dtype)
            self._facts[part, key] = facts
            with storage_full(), (folder / facts.filename).open("wb") as file:
                file.write(npy_header(facts))
        self._extents = {key: Extent() for key in self._facts}

    def add(self, arrays: Mapping[tuple[str, str], npt.NDArray[Any]]) -> None:
        """Add rows of every array."""
        for key, array in arrays.items():
            facts = self._facts[key]
            values = np.ascontiguousarray(array, facts.dtype)
            self._extents[key].add(values)
            # There can be thousands of arrays, and not as many open files.
            with storage_full(), (self._folder / facts.filename).open("ab") as file:
                file.write(values.data)

    def written(self) -> Written:
        facts = [
            self._extents[key].facts(one.part, one.name, one.sample_shape, one.dtype)
            for key, one in self._facts.items()
        ]
        return self._folder, tuple(facts)


def _values(folder: Path, preparation: Preparation) -> Iterator[tuple[int, dict[str, Values]]]:
    """What features and targets are made of, piece by piece, with the number of the first row."""
    stored = stored_types(folder)
    used = _used(preparation)
    for first, batch in pieces(folder, [one.column for one in used], row_bytes(preparation)):
        yield first, {one.column: of_batch(batch, one.column, stored[one.column], form_of(one)) for one in used}


def _used(preparation: Preparation) -> tuple[Feature | Target, ...]:
    return *preparation.features, *preparation.targets


def _encoded(
    values: Mapping[str, Values], preparation: Preparation, first: int
) -> dict[tuple[str, str], npt.NDArray[Any]]:
    inputs = encode_inputs(values, preparation, first_row=first)
    targets = encode_targets(values, preparation, first)
    return {
        **{("x", name): array for name, array in inputs.items()},
        **{("y", slug): array for slug, array in targets.items()},
    }


def _is_empty(folder: Path, column: str) -> bool:
    """Whether no row has a value, so that the type says nothing."""
    return _missing(folder, column) == row_count(folder)


def _missing(folder: Path, column: str) -> int:
    return sum(batch.column(0).null_count for batch in batches(folder, [column]))


def _must_be_there(one: Feature | Target) -> bool:
    """Whether nothing can stand for a value; what a target needs is looked at with its labels."""
    return isinstance(one, Image | Sequence) or (isinstance(one, Number | Date) and one.fill is None)
