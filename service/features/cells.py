"""One value of a client's record, read as what its column holds; `CellError` says what came and what was expected."""

from __future__ import annotations

import base64
import binascii
import math
from datetime import UTC, datetime
from itertools import chain
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from service.data.parsing import date_of, number_of
from service.data.table import Type
from service.data.table_readers import NULLS
from service.features.wording import shown

#: Of numbers, any float64 is taken: what no float32 holds can still have a logarithm that one does.
LARGEST: Final = float(np.finfo(np.float64).max)

_FLOAT32_MAX: Final = float(np.finfo(np.float32).max)

#: Stands between the texts of a list, where a table stores it as one text.
SEPARATOR: Final = ";"

_MIDNIGHT: Final = "T00:00:00.000000"
_LARGEST_STEP: Final = f"{_FLOAT32_MAX:.4g}"


class CellError(Exception):
    """The value is none of its column; the message is a sentence or two for the client."""


def number_of_cell(value: object, stored: Type) -> float | None:
    """The number that a value stands for, as text or not; None where it is missing."""
    number: float | int | None
    match value:
        case None:
            return None
        case bool():
            number = float(value) if stored == "bool" else None
        case str():
            if value.strip() in NULLS:
                return None
            number = _number_of_text(value, stored)
        case int() | float():
            number = value
        case _:
            number = None
    if number is None:
        due = "true, false, or a number" if stored == "bool" else "a number"
        if isinstance(value, str) and _number_of_text(value.replace(",", ".", 1), stored) is not None:
            raise CellError(f"{shown(value)} came; expected {due} with a decimal point. Send a point for the comma.")
        raise CellError(
            f"{shown(value)} came; expected {due}. Send one, such as {'true' if stored == 'bool' else 22.5}."
        )
    if not -LARGEST <= number <= LARGEST:
        raise CellError(f"{shown(value)} came; expected a finite number. Send one that a float64 can hold.")
    return float(number)


def text_of_cell(value: object, stored: Type) -> str | None:
    """The text of a value as a category, where its column is stored as a type; None where it is missing.

    Whole numbers have no point (1 and 1.0 are "1"), others their shortest form; booleans are "true" and "false", dates
    ISO 8601, texts themselves: but of a column of numbers, booleans or dates, that of what they stand for. A list of
    texts is one text, as tables store it. An empty text is a missing value.
    """
    match value:
        case str():
            return _text_of_text(value, stored) if value else None
        case None:
            return None
        case bool():
            return "true" if value else "false"
        case int() | float():
            return _text_of_number(value, stored)
        case datetime():
            return text_of_moment(np.datetime64(_universal(value), "us"))
        case list() if stored == "string" and _are_texts(value):
            return SEPARATOR.join(value) or None
    raise CellError(f"{shown(value)} came; expected one category. Send a text, a number, or true or false.")


def text_of_moment(moment: np.datetime64) -> str:
    """A date in ISO 8601; the time is left out at midnight, and microseconds where there are none."""
    return str(moment).removesuffix(_MIDNIGHT).removesuffix(".000000")


def words_of_cell(value: object) -> str | None:
    """The text that a value is; a number is its own text, and a list of texts is one."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool | int | float):
        return text_of_cell(value, "string")
    if isinstance(value, list) and _are_texts(value):
        return SEPARATOR.join(value)
    raise CellError(f"{shown(value)} came; expected a text. Send one string.")


def moment_of_cell(value: object) -> datetime | None:
    """The moment that a value stands for, in UTC without a zone."""
    if isinstance(value, str):
        found = date_of(value)
        if found is not None or value.strip() in NULLS:
            return found
    elif value is None:
        return None
    elif isinstance(value, datetime):
        return _universal(value)
    due = "expected a date in ISO 8601. Send a text such as 2024-02-29 or 2024-02-29T14:30:00Z."
    raise CellError(f"{shown(value)} came; {due}")


def picture_of_cell(value: object) -> bytes | None:
    """The file that an image is sent as: Base64, alone, in a data URL, or in {"b64": ...}; or bytes."""
    if isinstance(value, dict) and value.keys() == {"b64"}:
        value = value["b64"]
    if value is None or (isinstance(value, bytes) and value):
        return value
    if isinstance(value, str):
        text = value.partition(",")[2] if value.startswith("data:") else value
        try:
            found = base64.b64decode("".join(text.split()), validate=True)
        except (binascii.Error, ValueError):
            found = b""
        if found:
            return found
    due = 'expected the Base64 text of a PNG or JPEG file. Send it as a string, or as {"b64": "..."}.'
    raise CellError(f"{shown(value)} came; {due}")


def steps_of_cell(value: object, channels: int) -> npt.NDArray[np.float32] | None:
    """The steps of a sequence, (steps, channels); bare numbers are steps of one channel. A null in a step is NaN."""
    if value is None:
        return None
    came = shown(value)
    if isinstance(value, list):
        rows = [[step] if channels == 1 and not isinstance(step, list) else step for step in value]
        found = _steps(rows, channels)
        if found is not None:
            return found
        wrong = next(number for number, row in enumerate(rows) if _steps([row], channels) is None)
        came = f"{shown(value[wrong])} as step {wrong + 1} of {len(value)}"
    each = f"a number up to {_LARGEST_STEP}" if channels == 1 else f"a list of {channels} numbers up to {_LARGEST_STEP}"
    raise CellError(f"{came} came; expected a list of steps, each {each}. Send one.")


def _steps(rows: list[Any], channels: int) -> npt.NDArray[np.float32] | None:
    """Steps as an array, or None where any of them is not `channels` numbers or nulls."""
    if not all(isinstance(row, list) and len(row) == channels for row in rows):
        return None
    if not set(map(type, chain.from_iterable(rows))) <= {int, float, type(None)}:
        return None
    try:
        wide = np.array(rows, np.float64).reshape(len(rows), channels)
    except OverflowError:
        return None
    asked = sum(row.count(None) for row in rows)
    inside = np.abs(wide) <= _FLOAT32_MAX
    return wide.astype(np.float32) if int((~inside).sum()) == asked else None


def _are_texts(values: list[Any]) -> bool:
    return set(map(type, values)) <= {str}


def _number_of_text(text: str, stored: Type) -> float | None:
    if stored == "bool" and text.strip().lower() in ("true", "false"):
        return float(text.strip().lower() == "true")
    return number_of(text)


def _text_of_text(text: str, stored: Type) -> str:
    """What a text says about a column of other values, which CSV writes as texts."""
    if stored == "string":
        return text
    if stored == "bool":
        return text.strip().lower()
    if stored == "timestamp":
        moment = date_of(text)
        return text if moment is None else text_of_moment(np.datetime64(moment, "us"))
    number = number_of(text)
    if number is None:
        return text
    exact = int(text) if stored == "int64" and text.strip().lstrip("+-").isdecimal() else number
    return _text_of_number(exact, stored)


def _text_of_number(value: float, stored: Type) -> str:
    if stored == "bool" and value in (0, 1):
        return "true" if value else "false"
    finite = value.bit_length() <= 1023 if isinstance(value, int) else math.isfinite(value)
    if not finite:
        raise CellError(
            f"{shown(value)} came; expected one category. Send a finite number, or null where there is none."
        )
    if stored == "float64":
        # Beyond 2**53 a stored column does not tell neighbours apart, and their texts must not either.
        value = float(value)
    return str(int(value)) if isinstance(value, int) or value.is_integer() else repr(value)


def _universal(moment: datetime) -> datetime:
    return moment if moment.tzinfo is None else moment.astimezone(UTC).replace(tzinfo=None)
