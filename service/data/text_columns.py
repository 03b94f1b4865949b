"""Columns of text on their way to a type: the narrowest form that holds all of a column's texts, found block by block.

A form only ever widens, and what it becomes does not depend on the order of the texts. Whole numbers are those of 64
bits; longer ones make a column text, so that no digit is lost, and so do zeros and plus signs in front, which codes and
telephone numbers have. Moments are ISO 8601, all with a zone or all without one; a day is its midnight. A column has
one decimal mark: where both are looked for, texts of which some have a point and others a comma are no numbers.
"""

from __future__ import annotations

import re
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
    #: Numbers such as 1e3, which are neither whole ones as these are written nor have a decimal mark.
    BARE = "bare"
    #: Numbers, with a decimal point if they have a mark.
    NUMBER = "number"
    #: Numbers, with a decimal comma if they have a mark.
    COMMA = "comma"
    #: The same, some with something between their thousands: they are not converted, since it may mean something else.
    GROUPED = "grouped"
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
    Form.BARE: "float64",
    Form.NUMBER: "float64",
    Form.COMMA: "float64",
    Form.GROUPED: "float64",
    Form.TRUTH: "bool",
    Form.MOMENT: "timestamp",
    Form.ZONED: "timestamp",
    Form.TEXT: "string",
}
_WIDER: Final[dict[Form, tuple[Form, ...]]] = {
    Form.EMPTY: tuple(form for form in Form if form is not Form.EMPTY),
    Form.WHOLE: (Form.BARE, Form.NUMBER, Form.COMMA, Form.GROUPED, Form.TEXT),
    Form.BARE: (Form.NUMBER, Form.COMMA, Form.TEXT),
    Form.COMMA: (Form.GROUPED, Form.TEXT),
}
_UNMARKED: Final = (Form.EMPTY, Form.WHOLE, Form.TRUTH, Form.MOMENT, Form.ZONED, Form.TEXT)
#: What texts can become where a decimal mark is a point, where it is a comma, and where a column's texts tell.
WITH_POINTS: Final = (*_UNMARKED, Form.NUMBER)
WITH_COMMAS: Final = (*_UNMARKED, Form.COMMA, Form.GROUPED)
WITH_EITHER: Final = (*_UNMARKED, Form.BARE, Form.NUMBER, Form.COMMA)
#: What texts of their own kind, such as those of JSON, can become: numbers among them stay as they are written.
QUOTED: Final = (Form.EMPTY, Form.MOMENT, Form.ZONED, Form.TEXT)
#: A number with a decimal comma and with thousands set apart. Only beside a comma are gaps and apostrophes taken for
#: such separators, as telephone numbers have them too. Both Python and RE2, by which Arrow matches, read it alike.
_GROUPS: Final = "[+-]?[0-9]{1,3}(?:(?:[.][0-9]{3})+(?:,[0-9]+)?|(?:[ '\u2019\u00a0\u202f][0-9]{3})+,[0-9]+)"


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


def widened(texts: pa.StringArray, form: Form, nulls: Sequence[str] = (), among: Sequence[Form] = WITH_POINTS) -> Form:
    """The narrowest form, of those `among`, that holds these texts and those that had the given form."""
    for wider in (form, *_WIDER.get(form, (Form.TEXT,))):
        if wider in among and converted(texts, wider, nulls) is not None:
            return wider
    return Form.TEXT


def is_grouped(text: str) -> bool:
    """Whether a text is a number whose thousands are set apart, as they are in 1.234,5."""
    return re.fullmatch(_GROUPS, text.strip()) is not None


def count_grouped(texts: pa.StringArray) -> int:
    """How many of a column's texts are such numbers."""
    import pyarrow.compute as pc

    return pc.sum(_are_grouped(texts)).as_py() or 0


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
        # The largest of 64 bits are rounded up to one of more: another block could have taken them for whole ones.
        if _cast(large.filter(pc.match_substring_regex(large, r"^\s*-?[0-9]+\s*$")), arrow_of("int64")) is None:
            return None
    return values


def _bare(texts: pa.StringArray) -> pa.Array | None:
    return None if _have_points(texts) else _number(texts)


def _comma(texts: pa.StringArray) -> pa.Array | None:
    import pyarrow.compute as pc

    return None if _have_points(texts) else _number(pc.replace_substring(texts, ",", "."))


def _grouped(texts: pa.StringArray) -> pa.Array | None:
    """Nothing but nulls, as such a column is refused; None where others than grouped numbers are no numbers either."""
    import pyarrow as pa
    import pyarrow.compute as pc

    others = pc.if_else(_are_grouped(texts), pa.scalar(None, pa.string()), texts)
    return None if _comma(others) is None else pa.nulls(len(texts), pa.float64())


def _have_points(texts: pa.StringArray) -> bool:
    import pyarrow.compute as pc

    return bool(pc.any(pc.match_substring(texts, ".")).as_py())


def _are_grouped(texts: pa.StringArray) -> pa.BooleanArray:
    import pyarrow.compute as pc

    return pc.match_substring_regex(pc.utf8_trim_whitespace(texts), f"^{_GROUPS}$")


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
    Form.BARE: _bare,
    Form.NUMBER: _number,
    Form.COMMA: _comma,
    Form.GROUPED: _grouped,
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
