"""Texts as numbers and dates, one at a time or a whole column at once: the two ways agree on every text.

A number is an optional sign, digits with or without a decimal point, and an optional exponent; one that is too large
for a float64 is no number. A date is one of ISO 8601, `2024-02-29`, with or without a time after `T` or a space
(`14:30`, `14:30:05`, `14:30:05.25`) and a zone after that (`Z`, `+02`, `+0200`, `+02:00`); it becomes UTC, in whole
microseconds. Spaces around either are ignored.
"""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import pyarrow as pa

Floats = npt.NDArray[np.float64]
Moments = npt.NDArray[np.datetime64]
Mask = npt.NDArray[np.bool_]

# Both Python and RE2, by which Arrow matches, read these patterns alike.
_SPACES: Final = " \t\r\n\f\v"
_NUMBER: Final = r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?"
_DAY: Final = "[0-9]{4}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12][0-9]|3[01])"
_TIME: Final = r"(?:[01][0-9]|2[0-3]):[0-5][0-9](?::[0-5][0-9](?:\.[0-9]{1,9})?)?"
_ZONE: Final = "(?:Z|[+-](?:[01][0-9]|2[0-3])(?::?[0-5][0-9])?)"
_DATE: Final = f"{_DAY}(?:[T ]{_TIME}{_ZONE}?)?"
_ZONED: Final = f":[0-9.:]+{_ZONE}$"

_IS_NUMBER: Final = re.compile(_NUMBER)
_IS_DATE: Final = re.compile(_DATE)

#: The dates that Python knows; NumPy and Arrow know more.
_FIRST: Final = np.datetime64("0001-01-01", "us")
_LAST: Final = np.datetime64("9999-12-31T23:59:59.999999", "us")


def number_of(text: str) -> float | None:
    """The number that a text stands for, or None where it stands for none."""
    text = text.strip(_SPACES)
    number = float(text) if _IS_NUMBER.fullmatch(text) else math.inf
    return number if math.isfinite(number) else None


def numbers_of(texts: pa.StringArray) -> tuple[Floats, Mask]:
    """The numbers that texts stand for, NaN where a text is missing or stands for none.

    Gives, as a second array, where a text stands for none.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    try:
        numbers = _cast(texts, pa.float64())
    except pa.ArrowInvalid:
        # Arrow reads all that has the form of a number, but for a plus; what is too large becomes infinite.
        formed = _only_formed(pc.utf8_trim(texts, _SPACES), _NUMBER)
        numbers = _cast(pc.utf8_ltrim(formed, "+"), pa.float64())
    numbers = np.where(np.isfinite(numbers), numbers, np.nan)
    return numbers, np.isnan(numbers) & _present(texts)


def date_of(text: str) -> datetime | None:
    """The moment that a text stands for, in UTC and without a zone, or None where it stands for none."""
    text = text.strip(_SPACES)
    if not _IS_DATE.fullmatch(text):
        return None
    try:
        moment = datetime.fromisoformat(text)
        return moment.astimezone(UTC).replace(tzinfo=None) if moment.tzinfo else moment
    except (ValueError, OverflowError):
        return None


def dates_of(texts: pa.StringArray) -> tuple[Moments, Mask]:
    """The moments that texts stand for, in microseconds of UTC, NaT where a text is missing or stands for none.

    Gives, as a second array, where a text stands for none.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    formed = _only_formed(pc.utf8_trim(texts, _SPACES), _DATE)
    try:
        moments = _cast_dates(formed)
    except pa.ArrowInvalid:
        parsed = [None if text is None else date_of(text) for text in formed.to_pylist()]
        moments = np.array(parsed, "datetime64[us]")
    moments = np.where((moments >= _FIRST) & (moments <= _LAST), moments, np.datetime64("NaT", "us"))
    return moments, np.isnat(moments) & _present(texts)


def _only_formed(texts: pa.StringArray, pattern: str) -> pa.StringArray:
    """The texts that have the form of a pattern, and nulls in the place of the others."""
    import pyarrow as pa
    import pyarrow.compute as pc

    return pc.if_else(pc.match_substring_regex(texts, f"^(?:{pattern})$"), texts, pa.scalar(None, pa.string()))


def _cast_dates(formed: pa.StringArray) -> Moments:
    """Arrow reads dates with a zone and those without as different types."""
    import pyarrow as pa
    import pyarrow.compute as pc

    zoned = pc.match_substring_regex(formed, _ZONED)
    nothing = pa.scalar(None, pa.string())
    local = _cast(pc.if_else(zoned, nothing, formed), pa.timestamp("us"))
    if not pc.any(zoned).as_py():
        return local
    universal = _cast(pc.if_else(zoned, formed, nothing), pa.timestamp("us", "UTC"))
    return np.where(np.isnat(local), universal, local)


def _cast(texts: pa.StringArray, to: pa.DataType) -> npt.NDArray[Any]:
    import pyarrow.compute as pc

    values: npt.NDArray[Any] = pc.cast(texts, to).to_numpy(zero_copy_only=False)
    return values


def _present(texts: pa.StringArray) -> Mask:
    present: Mask = texts.is_valid().to_numpy(zero_copy_only=False)
    return present
