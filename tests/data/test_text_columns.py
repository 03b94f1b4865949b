"""Columns of text: what all of their texts are, whatever the order they come in."""

from datetime import datetime
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.data.text_columns import QUOTED, Form, converted, widened

CASES: list[tuple[list[str | None], Form, list[Any]]] = [
    ([None, None], Form.EMPTY, [None, None]),
    (["1", "-2", "0", None], Form.WHOLE, [1, -2, 0, None]),
    ([" 5", "7 ", "  "], Form.WHOLE, [5, 7, None]),
    (["9223372036854775807"], Form.WHOLE, [2**63 - 1]),
    (["1", "2.5", "1e3", "-0.5", ".5"], Form.NUMBER, [1, 2.5, 1000, -0.5, 0.5]),
    (["1e30", "1"], Form.NUMBER, [1e30, 1]),
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


VALUES = st.sampled_from(
    [text for texts, *_ in CASES for text in texts] + [text for texts in TEXTS for text in texts if text]
)


@given(st.lists(VALUES, max_size=6), st.lists(VALUES, max_size=6))
def test_the_form_depends_on_no_order(first: list[str | None], second: list[str | None]) -> None:
    """Two blocks give the same form one after the other, the other way around, and at once."""
    one, two = pa.array(first, pa.string()), pa.array(second, pa.string())
    forms = {
        widened(two, widened(one, Form.EMPTY, ("",)), ("",)),
        widened(one, widened(two, Form.EMPTY, ("",)), ("",)),
        widened(pa.array(first + second, pa.string()), Form.EMPTY, ("",)),
    }
    assert len(forms) == 1


@given(st.lists(st.text(max_size=5), max_size=6))
def test_slices_are_read_as_what_they_are(texts: list[str]) -> None:
    """A part of a column has the form of its own texts."""
    column = pa.array(["00", *texts, "x"], pa.string())
    part = column.slice(1, len(texts))
    assert widened(part, Form.EMPTY) is widened(pa.array(texts, pa.string()), Form.EMPTY)
