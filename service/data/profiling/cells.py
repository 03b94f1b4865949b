"""The cells of one column in a slice of a table, in the one form by which columns are compared and counted.

Each cell has a hash of 64 bits: of what it stands for, not of how it is stored, so that a number in a text and the same
number as an integer have the same one. All missing cells have one hash in common.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from service.data.parsing import Mask, dates_of, numbers_of
from service.data.profiling.bounds import mixed
from service.data.profiling.texts import Hashes, hashes_of_bytes, hashes_of_texts
from service.data.table import ColumnFacts, Kind

if TYPE_CHECKING:
    import pyarrow as pa

#: The bits of a float64 that is no number.
_MISSING_KEY: Final = np.uint64(0x7FF8000000000000)
MISSING: Final = mixed(np.array([_MISSING_KEY]))[0]
_DATES: Final = np.uint64(0xD1B54A32D192ED03)
#: Up to here a float64 has every whole number.
_EXACT: Final = 2**53


@dataclass(frozen=True, slots=True, kw_only=True)
class Dictionary:
    """Different values of a slice, and for each row the place of its own among them; -1 is the place of none."""

    codes: npt.NDArray[np.int64]
    hashes: Hashes
    #: The values of categories and texts, in an Arrow array or a list; numbers and dates have none here.
    values: Any = None

    @property
    def rows(self) -> npt.NDArray[np.int64]:
        """How many rows have each value."""
        return np.bincount(self.codes + 1, minlength=len(self.hashes) + 1)[1:]


@dataclass(frozen=True, slots=True, kw_only=True)
class Cells:
    """A column of a slice. `array` is what is stored; `values` are numbers (float64), or microseconds (int64).

    What is no number or no date is missing among the values, and marked in `unparsable`; the hash is that of its text.
    """

    array: Any
    hashes: Hashes
    missing: Mask
    unparsable: Mask | None = None
    values: npt.NDArray[Any] | None = None
    dictionary: Dictionary | None = None


def cells_of(array: pa.Array, facts: ColumnFacts, *, few: bool) -> Cells:
    """Read a column of a slice as its kind says; `few`: numbers and dates get a dictionary, since they repeat."""
    if facts.kind == Kind.NUMERIC:
        return _numbers(array, facts, few)
    if facts.kind == Kind.DATE:
        return _dates(array, facts, few)
    if facts.kind == Kind.IMAGE:
        return _files(array, [image.as_buffer() for image in array if image.is_valid])
    if facts.kind == Kind.SEQUENCE:
        return _files(array, _steps(array))
    return _texts(array, facts)


def values_of(array: pa.Array, facts: ColumnFacts) -> npt.NDArray[Any]:
    """The numbers, or the microseconds, of the cells that have some."""
    values = _number_values(array, facts)[0] if facts.kind == Kind.NUMERIC else _date_values(array, facts)[0]
    missing = _is_missing(values)
    present: npt.NDArray[Any] = values[~missing] if missing.any() else values
    return present


def filled(array: pa.Array, facts: ColumnFacts) -> pa.Array:
    """A stored column in which an empty text is a missing one."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if facts.type != "string":
        return array
    return pc.if_else(pc.equal(array, ""), pa.scalar(None, pa.string()), array)


def text_of(value: Any) -> str | None:
    """A value as a category: whole numbers without a point, booleans in small letters, dates in ISO 8601."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        if not np.isfinite(value):
            return None
        return str(int(value)) if isinstance(value, int) or value.is_integer() else repr(value)
    return moment_text(value)


def listed(array: pa.Array) -> list[Any]:
    """The values of an Arrow array; moments as NumPy's, which reach further than Python's."""
    if str(array.type) != "timestamp[us]":
        values: list[Any] = array.to_pylist()
        return values
    return [None if np.isnat(moment) else moment for moment in array.to_numpy(zero_copy_only=False)]


def moment_text(moment: np.datetime64) -> str:
    """A date in ISO 8601; the time is left out at midnight, and microseconds where there are none."""
    return str(moment).removesuffix("T00:00:00.000000").removesuffix(".000000")


def _numbers(array: pa.Array, facts: ColumnFacts, few: bool) -> Cells:
    numbers, unparsable = _number_values(array, facts)
    missing = np.isnan(numbers)
    # Adding zero makes -0.0 the 0.0 that it is equal to.
    keys = (numbers + 0.0).view(np.uint64)
    if facts.type == "int64":
        large = np.abs(numbers) > _EXACT
        if large.any():
            keys = np.where(large, array.fill_null(0).to_numpy().view(np.uint64), keys)
    if missing.any():
        keys = np.where(missing, _MISSING_KEY, keys)
    return _keyed(array, keys, few, missing=missing, unparsable=unparsable, values=numbers)


def _number_values(array: pa.Array, facts: ColumnFacts) -> tuple[npt.NDArray[np.float64], Mask | None]:
    import pyarrow as pa

    if facts.type == "string":
        return numbers_of(array)
    plain = array.cast(pa.int8()) if facts.type == "bool" else array
    numbers = plain.to_numpy(zero_copy_only=False).astype(np.float64, copy=False)
    infinite = np.isinf(numbers)
    return (np.where(infinite, np.nan, numbers), infinite) if infinite.any() else (numbers, None)


def _dates(array: pa.Array, facts: ColumnFacts, few: bool) -> Cells:
    moments, unparsable = _date_values(array, facts)
    missing = _is_missing(moments)
    keys = np.where(missing, _MISSING_KEY, moments.view(np.uint64) ^ _DATES)
    return _keyed(array, keys, few, missing=missing, unparsable=unparsable, values=moments)


def _date_values(array: pa.Array, facts: ColumnFacts) -> tuple[npt.NDArray[np.int64], Mask | None]:
    if facts.type == "string":
        moments, unparsable = dates_of(array)
        return moments.view(np.int64), unparsable
    return array.to_numpy(zero_copy_only=False).view(np.int64), None


def _is_missing(values: npt.NDArray[Any]) -> Mask:
    missing: Mask = np.isnan(values) if values.dtype.kind == "f" else values == np.iinfo(np.int64).min
    return missing


def _keyed(array: pa.Array, keys: Hashes, few: bool, **cells: Any) -> Cells:
    hashes, dictionary = _hashed(keys, few)
    unparsable = cells["unparsable"]
    if str(array.type) == "string" and unparsable.any():
        # Rows are not the same where texts differ, even if neither can be read.
        hashes[unparsable] = hashes_of_texts(array.filter(unparsable))
    return Cells(array=array, hashes=hashes, dictionary=dictionary, **cells)


def _hashed(keys: Hashes, few: bool) -> tuple[Hashes, Dictionary | None]:
    if not few:
        return mixed(keys), None
    import pyarrow as pa

    coded = pa.array(keys).dictionary_encode()
    codes = coded.indices.to_numpy().astype(np.int64)
    hashes = mixed(coded.dictionary.to_numpy())
    codes = np.where(keys == _MISSING_KEY, -1, codes)
    known = Dictionary(codes=codes, hashes=hashes)
    return np.append(hashes, MISSING)[codes], known


def _texts(array: pa.Array, facts: ColumnFacts) -> Cells:
    """Categories and texts; a number that is not finite is no category."""
    import pyarrow.compute as pc

    coded = array.dictionary_encode()
    codes = pc.fill_null(coded.indices, -1).to_numpy(zero_copy_only=False).astype(np.int64)
    if facts.type == "string":
        values = coded.dictionary
        hashes = hashes_of_texts(values)
    else:
        codes, values = _without_none(codes, listed(coded.dictionary))
        hashes = _hashes_of_values(values)
    dictionary = Dictionary(codes=codes, hashes=hashes, values=values)
    return Cells(array=array, hashes=np.append(hashes, MISSING)[codes], missing=codes < 0, dictionary=dictionary)


def _without_none(codes: npt.NDArray[np.int64], values: list[Any]) -> tuple[npt.NDArray[np.int64], list[Any]]:
    kept = [value for value in values if text_of(value) is not None]
    places = iter(range(len(kept)))
    renumbered = [-1 if text_of(value) is None else next(places) for value in values]
    return np.array([*renumbered, -1])[codes], kept


def _hashes_of_values(values: list[Any]) -> Hashes:
    """The hashes that these numbers, booleans or moments have as numbers and dates."""
    if values and not isinstance(values[0], bool | int | float):
        moments = np.array(values, "datetime64[us]")
        return mixed(moments.view(np.uint64) ^ _DATES)
    return mixed(np.array([_key_of_number(value) for value in values], np.uint64))


def _key_of_number(value: float) -> np.uint64:
    if isinstance(value, int) and abs(value) > _EXACT:
        return np.int64(value).view(np.uint64)
    # Adding zero makes -0.0 the 0.0 that it is equal to.
    return (np.float64(value) + 0.0).view(np.uint64)


def _files(array: pa.Array, present: Iterable[Any]) -> Cells:
    """Images or sequences, of which those that are present are given by their bytes."""
    missing = ~array.is_valid().to_numpy(zero_copy_only=False)
    hashes = np.full(len(array), MISSING)
    hashes[~missing] = hashes_of_bytes(present)
    return Cells(array=array, hashes=hashes, missing=missing)


def _steps(array: pa.Array) -> Iterator[memoryview]:
    """The bytes of the numbers of each sequence that is present."""
    numbers = array.flatten().flatten().to_numpy(zero_copy_only=False)
    channels = array.type.value_type.list_size
    start = 0
    for length in array.value_lengths().drop_null().to_pylist():
        yield numbers[start * channels : (start + length) * channels].data
        start += length
