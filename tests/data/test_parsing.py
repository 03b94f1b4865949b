"""Texts are read as numbers and dates alike, whether one at a time or a column at once."""

import math

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.data.parsing import date_of, dates_of, number_of, numbers_of

#: Texts that are often numbers or dates, and often nearly so.
NEARLY_NUMBERS = st.one_of(
    st.text(alphabet="0123456789+-.eE \t\n_,xinfa\0٣", max_size=12),
    st.from_regex(r"[ \n]?[+-]?[0-9]{0,25}\.?[0-9]{0,25}([eE][+-]?[0-9]{1,4})?[ \n]?", fullmatch=True),
    st.floats().map(repr),
    st.sampled_from(
        ["1" * 5_000, f"0.{'0' * 5_000}1", f".{'0' * 400}1e400", "1e99999999999999999999", "1e-400", "+1e-400"]
    ),
    st.integers().map(str),
    st.text(max_size=5),
)
NEARLY_DATES = st.one_of(
    st.from_regex(
        r" ?[0-9]{4}-[0-3][0-9]-[0-3][0-9]([T ][0-2][0-9]:[0-6][0-9](:[0-6][0-9](\.[0-9]{1,10})?)?"
        r"(Z|[+-][0-2][0-9](:?[0-6][0-9])?)?)?[ \n]?",
        fullmatch=True,
    ),
    st.datetimes().map(lambda moment: moment.isoformat()),
    st.datetimes(timezones=st.timezones()).map(lambda moment: moment.isoformat(" ")),
    st.dates().map(lambda day: f"{day.isoformat()}\n"),
    st.sampled_from(["0000-01-01", "0001-01-01T00:00+01:00", "9999-12-31T23:59-01:00", "2023-02-29", "2020-01-01 10"]),
    st.text(alphabet="0123456789-T:Z+. ", max_size=25),
)


@given(st.lists(st.none() | NEARLY_NUMBERS, max_size=8))
def test_a_column_is_read_as_its_texts_are_one_by_one_for_numbers(texts: list[str | None]) -> None:
    """The numbers of a column are those of its texts, to the bit; a missing text is no fault."""
    numbers, unparsable = numbers_of(pa.array(texts, pa.string()))
    one_by_one = [None if text is None else number_of(text) for text in texts]
    assert numbers.dtype == np.float64
    assert [None if math.isnan(number) else number for number in numbers.tolist()] == one_by_one
    assert np.signbit(numbers).tolist() == np.signbit(np.array(one_by_one, float)).tolist()
    assert unparsable.tolist() == [
        text is not None and one is None for text, one in zip(texts, one_by_one, strict=True)
    ]


@given(st.lists(st.none() | NEARLY_DATES, max_size=8))
def test_a_column_is_read_as_its_texts_are_one_by_one_for_dates(texts: list[str | None]) -> None:
    """The dates of a column are those of its texts; a missing text is no fault."""
    moments, unparsable = dates_of(pa.array(texts, pa.string()))
    one_by_one = [None if text is None else date_of(text) for text in texts]
    assert moments.dtype == np.dtype("datetime64[us]")
    assert moments.tolist() == one_by_one
    assert unparsable.tolist() == [
        text is not None and one is None for text, one in zip(texts, one_by_one, strict=True)
    ]


@pytest.mark.parametrize(
    ("text", "number"),
    [
        *(("1", 1.0), (" -2.5\t", -2.5), ("+3", 3.0), (".5", 0.5), ("5.", 5.0), ("1e3", 1000.0), ("1E-400", 0.0)),
        *((text, None) for text in ("", " ", "1,5", "1 000", "inf", "nan", "1e999", "0x10", "1_000", "1e", ".", "--1")),
    ],
)
def test_what_is_a_number(text: str, number: float | None) -> None:
    """Signs, points and exponents make numbers; commas, names of no finite number and overflows do not."""
    assert number_of(text) == number


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2024-02-29", "2024-02-29T00:00:00"),
        (" 2024-02-29 ", "2024-02-29T00:00:00"),
        ("2024-02-29T14:30", "2024-02-29T14:30:00"),
        ("2024-02-29 14:30:05.25", "2024-02-29T14:30:05.250000"),
        ("2024-02-29T14:30:05.123456789", "2024-02-29T14:30:05.123456"),
        ("2024-02-29T14:30:05Z", "2024-02-29T14:30:05"),
        ("2024-02-29T23:30:00-02:00", "2024-03-01T01:30:00"),
        ("2024-02-29T14:30+0530", "2024-02-29T09:00:00"),
        ("2024-02-29 14:30:00+02", "2024-02-29T12:30:00"),
        *((text, None) for text in ("", "2023-02-29", "2024-13-01", "29.02.2024", "2024-02", "20240229", "0000-01-01")),
        *((text, None) for text in ("2024-02-29T24:00", "2024-02-29T14", "2024-02-29T14:30:60", "2024-02-29T14:30+25")),
        *((text, None) for text in ("0001-01-01T00:00+01:00", "9999-12-31T23:59-01:00", "2024-02-29Z", "2024-2-29")),
    ],
)
def test_what_is_a_date(text: str, moment: str | None) -> None:
    """Days that exist, with a time and a zone or without, become moments in UTC."""
    read = date_of(text)
    assert (read and read.isoformat()) == moment
    assert dates_of(pa.array([text]))[0].tolist() == [read]


def test_a_column_without_rows_has_no_numbers_and_no_dates() -> None:
    """Nothing is read of nothing."""
    for read in (numbers_of, dates_of):
        values, unparsable = read(pa.array([], pa.string()))
        assert (values.size, unparsable.size) == (0, 0)
