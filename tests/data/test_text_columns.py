"""Columns of text: what all of their texts are, whatever the order they come in."""

from datetime import datetime
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.data.text_columns import (
    QUOTED,
    WITH_COMMAS,
    WITH_EITHER,
    WITH_POINTS,
    Form,
    converted,
    count_grouped,
    is_grouped,
    widened,
)

CASES: list[tuple[list[str | None], Form, list[Any]]] = [
    ([None, None], Form.EMPTY, [None, None]),
    (["1", "-2", "0", None], Form.WHOLE, [1, -2, 0, None]),
    ([" 5", "7 ", "  "], Form.WHOLE, [5, 7, None]),
    (["9223372036854775807"], Form.WHOLE, [2**63 - 1]),
    (["1", "2.5", "1e3", "-0.5", ".5"], Form.NUMBER, [1, 2.5, 1000, -0.5, 0.5]),
    (["1e30", "1"], Form.NUMBER, [1e30, 1]),
    (["9223372036854775807", "2.5"], Form.NUMBER, [2.0**63, 2.5]),
    (["true", "FALSE", "True"], Form.TRUTH, [True, False, True]),
    (
        ["2020-02-29", "2020-02-29 10:00", "2020-02-29T10:00:00.123456"],
        Form.MOMENT,
        [datetime(2020, 2, 29), datetime(2020, 2, 29, 10), datetime(2020, 2, 29, 10, 0, 0, 123456)],  # noqa: DTZ001
    ),
    (["2020-01-01T10:00:00.123456789"], Form.MOMENT, [datetime(2020, 1, 1, 10, 0, 0, 123456)]),  # noqa: DTZ001
    (
        ["2020-01-01T10:00:00Z", "2020-01-01 10:00:00+02:00"],
        Form.ZONED,
        [datetime(2020, 1, 1, 10), datetime(2020, 1, 1, 8)],  # noqa: DTZ001
    ),
]
TEXTS = [
    *(["00123"], ["-01"], ["0x10"], ["00.5"], ["+1-555-0100"], ["+4712345678"], ["1_000"], ["1,5"], ["1", "x"]),
    *(["9223372036854775808"], ["1.5", "9223372036854775808"], ["true", "1"], ["true", "yes"], ["1", "2020-01-01"]),
    *(["2020-01-01", "2020-01-01T10:00:00Z"], ["2020-13-01"], ["2020-02-30"], ["20 20"], [""], ["-"]),
]


@pytest.mark.parametrize(("texts", "form", "values"), CASES)
def test_texts_have_the_narrowest_form_that_holds_them_all(
    texts: list[str | None], form: Form, values: list[Any]
) -> None:
    """Spaces around numbers and dates do not count; moments with a zone are turned to UTC."""
    column = pa.array(texts, pa.string())
    assert widened(column, Form.EMPTY, ("", "NA")) is form
    assert converted(column, form, ("", "NA")).to_pylist() == values


@pytest.mark.parametrize("texts", TEXTS, ids=" ".join)
def test_what_would_lose_a_digit_or_a_sign_stays_text(texts: list[str]) -> None:
    """Codes with zeros in front, telephone numbers, numbers beyond 64 bits, and whatever is mixed."""
    column = pa.array(texts, pa.string())
    assert widened(column, Form.EMPTY) is Form.TEXT
    assert converted(column, Form.TEXT).to_pylist() == texts


def test_numbers_that_are_quoted_texts_stay_texts() -> None:
    """Among the forms of JSON's strings are only dates."""
    assert widened(pa.array(["1", "2"]), Form.EMPTY, (), QUOTED) is Form.TEXT
    assert widened(pa.array(["2020-01-01"]), Form.EMPTY, (), QUOTED) is Form.MOMENT


COMMAS: list[tuple[list[str | None], Form, Form, list[Any]]] = [
    (["1,5", "2", None, " -0,25 "], Form.COMMA, Form.COMMA, [1.5, 2, None, -0.25]),
    (["1,5e3", "2e3"], Form.COMMA, Form.COMMA, [1500, 2000]),
    (["1e3", "2"], Form.BARE, Form.COMMA, [1000, 2]),
    (["1", "-2"], Form.WHOLE, Form.WHOLE, [1, -2]),
    (["1.5", "2"], Form.NUMBER, Form.TEXT, [1.5, 2]),
    (["1.234,5", "2,5"], Form.TEXT, Form.GROUPED, ["1.234,5", "2,5"]),
    (["1 234,5"], Form.TEXT, Form.GROUPED, ["1 234,5"]),
    (["1 234"], Form.TEXT, Form.TEXT, ["1 234"]),
    (["1,5", "2.5"], Form.TEXT, Form.TEXT, ["1,5", "2.5"]),
    (["1,2,3"], Form.TEXT, Form.TEXT, ["1,2,3"]),
    (["00,5"], Form.TEXT, Form.TEXT, ["00,5"]),
    (["9223372036854775808", "1,5"], Form.TEXT, Form.TEXT, ["9223372036854775808", "1,5"]),
]


@pytest.mark.parametrize(("texts", "either", "commas", "values"), COMMAS)
def test_a_decimal_mark_is_one_of_either_or_a_comma(
    texts: list[str | None], either: Form, commas: Form, values: list[Any]
) -> None:
    """Where both are looked for, all of a column's texts agree on one; where commas are said, points are none."""
    column = pa.array(texts, pa.string())
    assert widened(column, Form.EMPTY, ("",), WITH_EITHER) is either
    assert widened(column, Form.EMPTY, ("",), WITH_COMMAS) is commas
    assert converted(column, either, ("",)).to_pylist() == values


def test_numbers_whose_thousands_are_set_apart_are_counted() -> None:
    """Those with a comma may have gaps; dates, addresses and telephone numbers are others."""
    grouped = ["1.234", " -1.234.567,8 ", "12 345,6", "1\u202f234,5", "1'234,5"]
    others = ["1234,5", "1.23", "12 345", "01.02.2024", "10.0.0.1", "1.2345", "", None]
    assert count_grouped(pa.array(grouped + others, pa.string())) == len(grouped)
    assert all(map(is_grouped, grouped))
    assert not any(is_grouped(text or "") for text in others)


VALUES = st.sampled_from(
    [text for texts, *_ in CASES for text in texts]
    + [text for texts in TEXTS for text in texts if text]
    + [text for texts, *_ in COMMAS for text in texts] * 3
)


@pytest.mark.parametrize("among", [WITH_POINTS, WITH_COMMAS, WITH_EITHER])
@given(st.lists(VALUES, max_size=6), st.lists(VALUES, max_size=6))
def test_the_form_depends_on_no_order(
    among: tuple[Form, ...], first: list[str | None], second: list[str | None]
) -> None:
    """Two blocks give the same form one after the other, the other way around, and at once."""
    one, two = pa.array(first, pa.string()), pa.array(second, pa.string())
    forms = {
        widened(two, widened(one, Form.EMPTY, ("",), among), ("",), among),
        widened(one, widened(two, Form.EMPTY, ("",), among), ("",), among),
        widened(pa.array(first + second, pa.string()), Form.EMPTY, ("",), among),
    }
    assert len(forms) == 1


@given(st.lists(st.text(max_size=5), max_size=6))
def test_slices_are_read_as_what_they_are(texts: list[str]) -> None:
    """A part of a column has the form of its own texts."""
    column = pa.array(["00", *texts, "x"], pa.string())
    part = column.slice(1, len(texts))
    assert widened(part, Form.EMPTY) is widened(pa.array(texts, pa.string()), Form.EMPTY)
