"""Columns of text on their way to a type: the narrowest form that holds all of a column's texts, found block by block.

A form only ever widens, and what it becomes does not depend on the order of the texts. Whole numbers are those of 64
bits; longer ones make a column text, so that no digit is lost, and so do zeros and plus signs in front, which codes and
telephone numbers have. Moments are ISO 8601, all with a zone or all without one; a day is its midnight.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from service.data.table import Type, arrow_of

if TYPE_CHECKING:
    import pyarrow as pa

#: From here on a whole number has more than 64 bits.
_BEYOND: Final = 2.0**63


class Form(StrEnum):
    """What all texts of a column are; each is wider than those that can become it."""

    #: There is none.
    EMPTY = "empty"
    WHOLE = "whole"
    NUMBER = "number"
    #: true or false, in any case.
    TRUTH = "truth"
    #: A date, or a date and a time of day.
    MOMENT = "moment"
    #: The same with a zone, or a distance from UTC.
    ZONED = "zoned"
    TEXT = "text"

    @property
    def type(self) -> Type:
        """What such a column is stored as; one without any value is of numbers, all of them missing."""
        return _TYPES[self]


_TYPES: Final[dict[Form, Type]] = {
    Form.EMPTY: "float64",
    Form.WHOLE: "int64",
    Form.NUMBER: "float64",
    Form.TRUTH: "bool",
    Form.MOMENT: "timestamp",
    Form.ZONED: "timestamp",
    Form.TEXT: "string",
}
_WIDER: Final[dict[Form, tuple[Form, ...]]] = {
    Form.EMPTY: (Form.WHOLE, Form.NUMBER, Form.TRUTH, Form.MOMENT, Form.ZONED, Form.TEXT),
    Form.WHOLE: (Form.NUMBER, Form.TEXT),
}
#: What texts of their own kind, such as those of JSON, can become: numbers among them stay as they are written.
QUOTED: Final = (Form.EMPTY, Form.MOMENT, Form.ZONED, Form.TEXT)


def converted(texts: pa.StringArray, form: Form, nulls: Sequence[str] = ()) -> pa.Array | None:
    """The texts as values of the form's type; None where they do not all have that form.

    Where a column is no text, spaces around a value do not count, and what is in `nulls` without them is missing.
    """
    convert = _CONVERSIONS[form]
    values = convert(texts)
    if values is None:
        trimmed = _trimmed(texts, nulls)
        values = None if trimmed is None else convert(trimmed)
    return values


def widened(texts: pa.StringArray, form: Form, nulls: Sequence[str] = (), among: Sequence[Form] = tuple(Form)) -> Form:
    """The narrowest form that holds these texts and those that had the given form."""
    for wider in (form, *_WIDER.get(form, (Form.TEXT,))):
        if wider in among and converted(texts, wider, nulls) is not None:
            return wider
    return Form.TEXT


def _empty(texts: pa.StringArray) -> pa.Array | None:
    import pyarrow as pa

    return pa.nulls(len(texts), pa.float64()) if texts.null_count == len(texts) else None


def _whole(texts: pa.StringArray) -> pa.Array | None:
    values = _cast(texts, arrow_of("int64"))
    return None if values is None or _is_code(texts, _whole_code) else values


def _number(texts: pa.StringArray) -> pa.Array | None:
    import pyarrow.compute as pc

    values = _cast(texts, arrow_of("float64"))
    if values is None or _is_code(texts, _number_code):
        return None
    raw = np.frombuffer(values.buffers()[1] or b"", np.float64)[: len(values)]
    if (np.abs(raw) >= _BEYOND).any():
        large = texts.filter(pc.greater_equal(pc.abs(values), _BEYOND))
        if pc.any(pc.match_substring_regex(large, r"^\s*-?[0-9]+\s*$")).as_py():
            return None
    return values


def _truth(texts: pa.StringArray) -> pa.Array | None:
    values = _cast(texts, arrow_of("bool"))
    # Arrow takes 1 and 0 for booleans too; here they are numbers, and with true and false among them a column is text.
    return None if values is None or _is_code(texts, lambda first, _: first <= ord("9"), 1) else values


def _moment(texts: pa.StringArray) -> pa.Array | None:
    return _instants(texts, None)


def _zoned(texts: pa.StringArray) -> pa.Array | None:
    return _instants(texts, "UTC")


def _text(texts: pa.StringArray) -> pa.Array:
    return texts


_CONVERSIONS: Final[dict[Form, Callable[[Any], Any]]] = {
    Form.EMPTY: _empty,
    Form.WHOLE: _whole,
    Form.NUMBER: _number,
    Form.TRUTH: _truth,
    Form.MOMENT: _moment,
    Form.ZONED: _zoned,
    Form.TEXT: _text,
}


def _instants(texts: pa.StringArray, zone: str | None) -> pa.Array | None:
    """Microseconds since 1970; finer ones are cut off."""
    import pyarrow as pa

    values = _cast(texts, pa.timestamp("us", zone))
    if values is None:
        values = _cast(texts, pa.timestamp("ns", zone))
    return None if values is None else values.cast(arrow_of("timestamp"), safe=False)


def _cast(texts: pa.StringArray, to: pa.DataType) -> pa.Array | None:
    import pyarrow as pa
    import pyarrow.compute as pc

    try:
        return pc.cast(texts, to, memory_pool=pa.system_memory_pool())
    except pa.ArrowInvalid:
        return None


def _trimmed(texts: pa.StringArray, nulls: Sequence[str]) -> pa.StringArray | None:
    """The texts without the spaces around them; None where there are none."""
    import pyarrow as pa
    import pyarrow.compute as pc

    trimmed = pc.utf8_trim_whitespace(texts)
    if trimmed.equals(texts):
        return None
    return pc.if_else(pc.is_in(trimmed, pa.array(nulls, pa.string())), None, trimmed)


def _is_code(texts: pa.StringArray, codes: Callable[[Any, Any], Any], shortest: int = 2) -> bool:
    """Whether `codes` is true of the first two characters of any text, after a minus sign, that is not too short."""
    _, offsets, content = texts.buffers()
    if content is None:
        return False
    places = np.frombuffer(offsets, np.int32)[texts.offset : texts.offset + len(texts) + 1]
    characters = np.frombuffer(content, np.uint8)
    starts, sizes = places[:-1], np.diff(places)
    starts, sizes = starts[sizes >= shortest], sizes[sizes >= shortest]
    signed = characters[starts] == ord("-")
    starts, sizes = starts + signed, sizes - signed
    starts = starts[sizes >= shortest]
    seconds = characters[np.minimum(starts + 1, len(characters) - 1)]
    return bool(np.any(codes(characters[starts], seconds)))


def _whole_code(first: Any, _: Any) -> Any:
    return first == ord("0")


def _number_code(first: Any, second: Any) -> Any:
    digit = (second >= ord("0")) & (second <= ord("9"))
    return (first == ord("+")) | ((first == ord("0")) & digit)
