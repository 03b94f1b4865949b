"""Raw records as clients send them, to the arrays of a network that was trained on such: by rows, or by columns.

Whatever is wrong is said with its place, and with a record that is right. Records are encoded some at a time, so that
the values of all of them are not in memory at once; faults of later ones are not looked for once there are any.
"""

import json
import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, Final, Protocol, TypeVar

import numpy as np
import orjson

from service.data.fault_list import FaultList, escape
from service.errors import Fault, Invalid, TooLarge
from service.features.columns import of_records
from service.features.encode import encode_inputs
from service.features.example import example_record
from service.features.preparation import Category, Date, Feature, Hashed, Image, Number, Preparation
from service.features.preparation import Sequence as Steps
from service.features.wording import listed, shown, similar

Arrays = dict[str, np.ndarray[Any, Any]]
Found = TypeVar("Found")
#: Where a value stands, as a JSON Pointer: of its row, and of its column, or None where the whole row is meant.
Place = Callable[[int, str | None], str]

#: How many records are encoded at a time.
ROWS_AT_ONCE: Final = 1024
#: How much memory a request's arrays may take, however short its records are.
MAX_INPUT_BYTES: Final = 2**29
#: A longer example than this says less than a few words.
_LONGEST_EXAMPLE: Final = 1000


class Records(Protocol):
    """Records that can be made some at a time."""

    def __len__(self) -> int: ...

    def __getitem__(self, part: slice, /) -> Sequence[Any]: ...


class RecordReader:
    """Reads `{"instances": [{...}, ...]}` for one preparation; may be shared by threads."""

    def __init__(self, preparation: Preparation) -> None:
        self._preparation = preparation
        # How long it takes to unpack a picture is not to be told from the length of its file.
        self._quick = not any(isinstance(feature, Image) for feature in preparation.features)

    def read(self, content: bytes) -> Arrays | None:
        """Give the arrays by the inputs' names; None where the body is anything else, or anything is wrong with it."""
        if not self._quick:
            return None
        try:
            body = orjson.loads(content)
        except orjson.JSONDecodeError:
            return None
        if not isinstance(body, dict) or body.keys() != {"instances"}:
            return None
        rows = body["instances"]
        if not isinstance(rows, list) or not rows:
            return None
        try:
            return encoded(rows, self._preparation, _Impatient)
        except (_Unfit, TooLarge):
            return None


def read_rows(value: object, preparation: Preparation, pointer: str = "/instances") -> Arrays:
    """Turn a list of records into the network's arrays, (rows, *shape) by input name.

    Raises Invalid with what is wrong, and TooLarge where there are too many.
    """
    if not isinstance(value, list) or not value:
        came = "An empty list" if value == [] else shown(value)
        raise refusal([Fault(pointer=pointer, detail=f"{came} came; expected a list of records.")], preparation)
    return encoded(value, preparation, _placed(_in_rows(pointer)))


def read_columns(value: object, preparation: Preparation, pointer: str = "/inputs") -> Arrays:
    """Do the same for an object of columns, each a list of a value for each row; a list is one of records."""
    if isinstance(value, list):
        return read_rows(value, preparation, pointer)
    if not isinstance(value, dict) or not value:
        came = "An empty object" if value == {} else shown(value)
        due = "expected an object of columns, each a list of values."
        raise refusal([Fault(pointer=pointer, detail=f"{came} came; {due}")], preparation)
    faults = [
        Fault(pointer=f"{pointer}/{escape(name[:200])}", detail=detail)
        for name, detail in _few(column_faults(list(value), preparation))
    ]
    faults += _few(
        Fault(pointer=f"{pointer}/{escape(name[:200])}", detail=f"{shown(column)} came; expected a list of values.")
        for name, column in value.items()
        if not isinstance(column, list)
    )
    counts = {name: len(column) for name, column in value.items() if isinstance(column, list)}
    if not faults and len(set(counts.values())) > 1:
        counted = ", ".join(f"{name[:60]!r} has {count}" for name, count in list(counts.items())[:10])
        detail = f"The columns differ in length: {counted}. Send a value for each row, null where there is none."
        faults.append(Fault(pointer=pointer, detail=detail))
    elif not faults and not max(counts.values()):
        faults.append(Fault(pointer=pointer, detail="Columns without values came; expected at least one row."))
    if faults:
        raise refusal(faults, preparation)
    return encoded(_Columns(value), preparation, _placed(_in_columns(pointer)))


def read_split(value: object, preparation: Preparation, pointer: str = "/dataframe_split") -> Arrays:
    """Do the same for `{"columns": [...], "data": [[...], ...]}`; an `index` says nothing."""
    if not isinstance(value, dict) or not isinstance(value.get("data"), list) or not value["data"]:
        detail = 'An object {"columns": [...], "data": [[...], ...]} was expected, with at least one row.'
        raise refusal([Fault(pointer=pointer, detail=detail)], preparation)
    rows, names = value["data"], value.get("columns")
    if not isinstance(names, list) or not names or not all(isinstance(name, str) for name in names):
        detail = "A list of the columns' names was expected: the model was trained on columns that have names."
        raise refusal([Fault(pointer=f"{pointer}/columns", detail=detail)], preparation)
    wrong = _few(column_faults(names, preparation))
    faults = [Fault(pointer=f"{pointer}/columns", detail=detail) for _, detail in wrong]
    faults += _few(
        Fault(pointer=f"{pointer}/data/{place}", detail=f"{shown(row)} came; expected a list of {len(names)} values.")
        for place, row in enumerate(rows)
        if not isinstance(row, list) or len(row) != len(names)
    )
    if faults:
        raise refusal(faults, preparation)
    return encoded(_Cells(names, rows), preparation, _placed(_in_cells(f"{pointer}/data", names)))


def read_records(rows: Records, preparation: Preparation, place: Place) -> Arrays:
    """Do the same for records that are made as they are asked for; `place` says where a value stands."""
    return encoded(rows, preparation, _placed(place))


def encoded(rows: Records, preparation: Preparation, faults_from: Callable[[int], FaultList]) -> Arrays:
    """Encode records some at a time; `faults_from` gives the faults of those from a row on, whose places it knows."""
    check_rows(len(rows), preparation)
    if len(rows) <= ROWS_AT_ONCE:
        return _encoded(rows[:], preparation, faults_from(0))
    parts = [
        _encoded(rows[first : first + ROWS_AT_ONCE], preparation, faults_from(first))
        for first in range(0, len(rows), ROWS_AT_ONCE)
    ]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def records_of(names: Sequence[str], columns: Sequence[Sequence[Any]], rows: int) -> list[Any]:
    """Records of columns of one length; without columns, so many empty ones."""
    if not columns:
        return [{}] * rows
    return [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]


def check_rows(rows: int, preparation: Preparation) -> None:
    """Refuse more rows than a request may have; raises TooLarge, and Invalid where there are none."""
    if not rows:
        raise refusal([Fault(pointer="", detail="No rows came; expected at least one.")], preparation)
    row_bytes = sum(4 * math.prod(one.shape) for one in preparation.inputs)
    most = max(1, MAX_INPUT_BYTES // max(1, row_bytes))
    if rows > most:
        raise TooLarge(
            f"{rows} rows came; {most} is the most allowed, since each takes {row_bytes} bytes as the network's "
            "inputs. Send them in several requests."
        )


def column_faults(names: Sequence[str], preparation: Preparation) -> Iterator[tuple[str, str]]:
    """Columns that a table should not have, has twice, or lacks: each one's name, and what is wrong, said once."""
    due = [feature.column for feature in preparation.features]
    needed = [feature.column for feature in preparation.features if _is_needed(feature)]
    counts = Counter(names)
    lacking = [name for name in needed if name not in counts]
    for name, count in counts.items():
        if name not in preparation.columns:
            hint = similar(name, lacking) or similar(name, due)
            detail = f"There is no column {name[:60]!r} in the data that the model was trained on.{hint}"
            yield name, f"{detail} Leave it out, or rename it: the columns are {listed(due)}."
        elif count > 1:
            yield name, f"The column {name[:60]!r} came {count} times; send it once."
    for name in lacking:
        detail = f"The column {name[:60]!r} is missing, and the model was trained without missing values in it."
        yield name, f"{detail} Add it."


def refusal(faults: Iterable[Fault], preparation: Preparation) -> Invalid:
    """The error for records that do not fit, with the first fault and a record that fits in its sentence."""
    kept = list(faults)[: FaultList.LIMIT + 1]
    first = kept[0]
    where = f"the first fault is at {first.pointer}: " if first.pointer else ""
    example = json.dumps(example_record(preparation), ensure_ascii=False)
    valid = f" A valid record is {example}." if len(example) <= _LONGEST_EXAMPLE else ""
    came = "The records do not fit the columns that the model was trained on"
    return Invalid(f"{came}; {where}{first.detail}{valid}", kept)


def _is_needed(feature: Feature) -> bool:
    """Whether each record must have a value of it."""
    match feature:
        case Number() | Date():
            return feature.fill is None
        case Category() | Hashed():
            return feature.missing == "error"
        case Image() | Steps():
            return True
    return False


class _Placed(FaultList):
    """Faults of records from `first` on, whose pointers are told as a client finds the values in its body."""

    def __init__(self, place: Place, first: int) -> None:
        super().__init__()
        self._place, self._first = place, first

    def add(self, pointer: str, detail: str) -> None:
        _, row, *column = pointer.split("/", 2)
        name = column[0].replace("~1", "/").replace("~0", "~") if column else None
        super().add(self._place(self._first + int(row), name), detail)


class _Unfit(Exception):
    """Something is wrong."""


class _Impatient(FaultList):
    """Faults of which the first is enough, and is not described: that can take longer than all that is right."""

    full = True

    def __init__(self, first: int) -> None:
        super().__init__()

    def add(self, pointer: str, detail: str) -> None:
        raise _Unfit

    def count_more(self, number: int) -> None:
        if number:
            raise _Unfit


class _Columns:
    """Records of columns of one length."""

    def __init__(self, columns: Mapping[str, list[Any]]) -> None:
        self._columns = columns

    def __len__(self) -> int:
        return len(next(iter(self._columns.values())))

    def __getitem__(self, part: slice) -> list[Any]:
        first, last, _ = part.indices(len(self))
        columns = [column[part] for column in self._columns.values()]
        return records_of(list(self._columns), columns, last - first)


class _Cells:
    """Records of rows of cells under the columns' names."""

    def __init__(self, names: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
        self._names, self._rows = names, rows

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, part: slice) -> list[Any]:
        return [dict(zip(self._names, row, strict=True)) for row in self._rows[part]]


def _encoded(rows: Sequence[Any], preparation: Preparation, faults: FaultList) -> Arrays:
    values = of_records(rows, preparation, "", faults)
    arrays = encode_inputs(values, preparation, faults, "")
    if faults:
        try:
            faults.raise_if_any()
        except Invalid as error:
            raise refusal(error.faults, preparation) from error
    return arrays


def _placed(place: Place) -> Callable[[int], FaultList]:
    return lambda first: _Placed(place, first)


def _few(found: Iterable[Found]) -> list[Found]:
    """As many as an answer names; the others are not looked for."""
    return list(islice(found, FaultList.LIMIT))


def _in_rows(pointer: str) -> Place:
    return lambda row, column: f"{pointer}/{row}" if column is None else f"{pointer}/{row}/{escape(column)}"


def _in_columns(pointer: str) -> Place:
    return lambda row, column: f"{pointer}/{row}" if column is None else f"{pointer}/{escape(column)}/{row}"


def _in_cells(pointer: str, names: Sequence[str]) -> Place:
    places = {name: place for place, name in enumerate(names)}
    return lambda row, column: f"{pointer}/{row}/{places[column]}" if column in places else f"{pointer}/{row}"
