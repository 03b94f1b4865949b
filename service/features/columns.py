"""The values of a column as encoders take them: from a batch of a stored table, or from the records of a client.

There is one form for each kind: of numbers an array of float64 with NaN where one is missing; of categories `Codes`; of
texts a list; of dates an array of datetime64[us] with NaT; of images a list of PNG or JPEG files; of sequences a list
of float32 arrays (steps, channels), NaN where a number is missing. In lists, None is a missing value.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, TypeVar

import numpy as np
import numpy.typing as npt

from service.data.fault_list import FaultList, escape
from service.data.parsing import dates_of, numbers_of
from service.data.table import Kind, Type
from service.features import preparation as prepared
from service.features.cells import (
    LARGEST,
    CellError,
    moment_of_cell,
    number_of_cell,
    picture_of_cell,
    steps_of_cell,
    text_of_cell,
    text_of_moment,
    words_of_cell,
)
from service.features.preparation import Preparation
from service.features.wording import listed, shown, similar

if TYPE_CHECKING:
    import pyarrow as pa

Value = TypeVar("Value")

#: The numbers of `Codes` that are no place in its texts. A refused value has its fault already: nothing more is said.
MISSING: Final = -1
REFUSED: Final = -2
#: What stands for an image that has its fault already.
REFUSED_IMAGE: Final = b""


@dataclass(frozen=True, slots=True)
class Codes:
    """Categories: distinct texts, and for each row the place of its own in them, or MISSING, or REFUSED."""

    texts: list[str]
    numbers: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.numbers)


Values = npt.NDArray[Any] | Codes | list[str | None] | list[bytes | None] | list[npt.NDArray[np.float32] | None]


def form_of(part: prepared.Feature | prepared.Target) -> Kind:
    """The kind in whose form a feature or a target is encoded: numbers, too, can enter as categories."""
    if isinstance(part, prepared.Target):
        return _FORM_OF_TASK.get(part.task, Kind.CATEGORY)
    return _FORM_OF_FEATURE[type(part)]


_FORM_OF_TASK: Final = {prepared.Task.NUMBER: Kind.NUMERIC, prepared.Task.SEQUENCE: Kind.SEQUENCE}
_FORM_OF_FEATURE: Final[dict[type[prepared.Feature], Kind]] = {
    prepared.Number: Kind.NUMERIC,
    prepared.Category: Kind.CATEGORY,
    prepared.Hashed: Kind.CATEGORY,
    prepared.Text: Kind.TEXT,
    prepared.Date: Kind.DATE,
    prepared.Image: Kind.IMAGE,
    prepared.Sequence: Kind.SEQUENCE,
}


def of_batch(batch: pa.RecordBatch, column: str, stored: Type, form: Kind) -> Values:
    """The values of a stored column in the form of a kind; texts that are no numbers, or no dates, are missing."""
    return _FROM_ARROW[form](batch.column(column), stored)


def of_records(records: Sequence[Any], preparation: Preparation, pointer: str, faults: FaultList) -> dict[str, Values]:
    """The values of all features' columns in a client's records, objects by column; what is wrong goes to `faults`.

    A column that a record lacks is missing in it. Numbers, dates and categories can be texts, as CSV has them. What has
    its fault is given in a form about which the encoders say nothing more, so that one answer can tell all faults.
    """
    refused = _check_records(records, preparation, pointer, faults)
    values: dict[str, Values] = {}
    for feature in preparation.features:
        column = feature.column
        if refused:
            cells = [None if row in refused else record.get(column) for row, record in enumerate(records)]
        else:
            cells = [record.get(column) for record in records]
        values[column] = _FROM_CELLS[form_of(feature)](cells, feature, _Places(column, pointer, faults, refused))
    return values


@dataclass(slots=True)
class _Places:
    """Where faults of a column's cells go; `refused` are the rows that have theirs."""

    column: str
    pointer: str
    faults: FaultList
    refused: set[int]

    def each(self, cells: Sequence[Any], read: Callable[[Any], Value | None], instead: Value) -> list[Value | None]:
        """The values of cells, with `instead` where one has its fault now, or had it before."""
        values: list[Value | None] = []
        for row, cell in enumerate(cells):
            try:
                values.append(instead if row in self.refused else read(cell))
            except CellError as error:
                values.append(instead)
                self.faults.add(
                    f"{self.pointer}/{row}/{escape(self.column)}", f"In the column {self.column!r}: {error}"
                )
        return values


def _check_records(records: Sequence[Any], preparation: Preparation, pointer: str, faults: FaultList) -> set[int]:
    """Find records that are no objects, whose rows are returned, and columns that the data set did not have."""
    known, refused = preparation.columns, set()
    for row, record in enumerate(records):
        if not isinstance(record, dict):
            refused.add(row)
            names = listed([feature.column for feature in preparation.features])
            detail = f"{shown(record)} came; expected a record: an object with the columns {names}. Send one."
            faults.add(f"{pointer}/{row}", detail)
        elif not record.keys() <= known:
            _refuse_columns(record, preparation, f"{pointer}/{row}", faults)
    return refused


def _refuse_columns(record: dict[str, Any], preparation: Preparation, pointer: str, faults: FaultList) -> None:
    due = [feature.column for feature in preparation.features]
    for name in record:
        if name not in preparation.columns and faults.full:
            faults.count_more(1)
        elif name not in preparation.columns:
            # A name that is near one which the record lacks is most likely that one, misspelt.
            hint = similar(name, [column for column in due if column not in record]) or similar(name, due)
            detail = f"There is no column {name[:60]!r} in the data that the model was trained on.{hint}"
            mend = f"Leave it out, or rename it: the columns are {listed(due)}."
            faults.add(f"{pointer}/{escape(name[:200])}", f"{detail} {mend}")


def _numbers_in_cells(cells: Sequence[Any], feature: prepared.Feature, places: _Places) -> Values:
    if set(map(type, cells)) <= {float, int} and all(-LARGEST <= cell <= LARGEST for cell in cells):
        return np.array(cells, np.float64)
    stored = feature.type
    return np.array(places.each(cells, lambda cell: number_of_cell(cell, stored), 0.0), np.float64)


def _categories_in_cells(cells: Sequence[Any], feature: prepared.Feature, places: _Places) -> Values:
    texts: Sequence[Any] = cells
    if feature.type != "string" or places.refused or set(map(type, cells)) != {str}:
        stored = feature.type
        texts = places.each(cells, lambda cell: text_of_cell(cell, stored), _REFUSED_TEXT)
    places_of: dict[Any, int] = {_REFUSED_TEXT: REFUSED, None: MISSING, "": MISSING}
    numbers = [places_of.setdefault(text, len(places_of) - 3) for text in texts]
    return Codes(list(places_of)[3:], np.array(numbers, np.int64))


def _texts_in_cells(cells: Sequence[Any], feature: prepared.Feature, places: _Places) -> Values:
    return places.each(cells, words_of_cell, "")


def _dates_in_cells(cells: Sequence[Any], feature: prepared.Feature, places: _Places) -> Values:
    return np.array(places.each(cells, moment_of_cell, _SOME_DAY), "datetime64[us]")


def _images_in_cells(cells: Sequence[Any], feature: prepared.Feature, places: _Places) -> Values:
    return places.each(cells, picture_of_cell, REFUSED_IMAGE)


def _sequences_in_cells(cells: Sequence[Any], feature: prepared.Feature, places: _Places) -> Values:
    assert isinstance(feature, prepared.Sequence)
    channels = feature.channels
    return places.each(cells, lambda cell: steps_of_cell(cell, channels), np.empty((0, channels), np.float32))


_SOME_DAY: Final = datetime.fromtimestamp(0, UTC).replace(tzinfo=None)
_REFUSED_TEXT: Final = object()
_FROM_CELLS: Final[dict[Kind, Callable[[Sequence[Any], prepared.Feature, _Places], Values]]] = {
    Kind.NUMERIC: _numbers_in_cells,
    Kind.CATEGORY: _categories_in_cells,
    Kind.TEXT: _texts_in_cells,
    Kind.DATE: _dates_in_cells,
    Kind.IMAGE: _images_in_cells,
    Kind.SEQUENCE: _sequences_in_cells,
}


def _numbers_in_arrow(array: Any, stored: Type) -> Values:
    if stored == "string":
        return numbers_of(array)[0]
    import pyarrow as pa

    numbers: npt.NDArray[Any] = (array.cast(pa.int8()) if stored == "bool" else array).to_numpy(zero_copy_only=False)
    return numbers.astype(np.float64, copy=False)


def _categories_in_arrow(array: Any, stored: Type) -> Values:
    import pyarrow as pa
    import pyarrow.compute as pc

    coded = pc.dictionary_encode(array.cast(pa.string()) if stored == "bool" else array)
    texts: list[str | None]
    if stored == "timestamp":
        texts = [text_of_moment(moment) for moment in coded.dictionary.to_numpy(zero_copy_only=False)]
    else:
        texts = [_text_in_arrow(value, stored) for value in coded.dictionary.to_pylist()]
    places_of: dict[str | None, int] = {None: MISSING}
    # The last place is that of the rows without a value, whose number is -1.
    renumbered = np.array([*(places_of.setdefault(text, len(places_of) - 1) for text in texts), MISSING], np.int64)
    numbers = pc.fill_null(coded.indices, -1).to_numpy(zero_copy_only=False)
    return Codes([text for text in places_of if text is not None], renumbered[numbers])


def _text_in_arrow(value: Any, stored: Type) -> str | None:
    try:
        return text_of_cell(value, stored)
    except CellError:
        # NaN and the infinities, which a Parquet file can hold, are no categories.
        return None


def _list_in_arrow(array: Any, stored: Type) -> Values:
    values: list[Any] = array.to_pylist()
    return values


def _dates_in_arrow(array: Any, stored: Type) -> Values:
    if stored == "string":
        return dates_of(array)[0]
    moments: npt.NDArray[np.datetime64] = array.to_numpy(zero_copy_only=False)
    return moments


def _sequences_in_arrow(array: Any, stored: Type) -> Values:
    channels = array.type.value_type.list_size
    # As views of one array of all steps; its first is that of the first row, wherever the batch was cut.
    offsets = array.offsets.to_numpy()
    steps = array.values.slice(offsets[0], offsets[-1] - offsets[0]).flatten().to_numpy(zero_copy_only=False)
    steps, offsets = steps.astype(np.float32, copy=False).reshape(-1, channels), offsets - offsets[0]
    present = array.is_valid().to_numpy(zero_copy_only=False)
    return [
        steps[first:last] if there else None
        for first, last, there in zip(offsets[:-1], offsets[1:], present, strict=True)
    ]


_FROM_ARROW: Final[dict[Kind, Callable[[Any, Type], Values]]] = {
    Kind.NUMERIC: _numbers_in_arrow,
    Kind.CATEGORY: _categories_in_arrow,
    Kind.TEXT: _list_in_arrow,
    Kind.DATE: _dates_in_arrow,
    Kind.IMAGE: _list_in_arrow,
    Kind.SEQUENCE: _sequences_in_arrow,
}
