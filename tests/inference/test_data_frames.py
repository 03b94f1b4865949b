"""Data frames in JSON: by split and by record."""

import contextlib
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.errors import Invalid
from service.inference.data_frames import read_records, read_split
from service.inference.signature import Signature
from tests.inference.signatures import TWO, one


@pytest.mark.parametrize(
    ("value", "signature", "due"),
    [
        ({"columns": ["size", "price"], "data": [[1, 2], [3, 4]]}, one(2), {"x": [[1, 2], [3, 4]]}),
        ({"columns": [0, 1], "index": [7, 8], "data": [[1, 2], [3, 4]]}, one(2), {"x": [[1, 2], [3, 4]]}),
        ({"data": [[1, 2]]}, one(2), {"x": [[1, 2]]}),
        ({"columns": ["x"], "data": [[[1, 2]], [[3, 4]]]}, one(2), {"x": [[1, 2], [3, 4]]}),
        ({"columns": ["any"], "data": [[1], [2]]}, one(), {"x": [1, 2]}),
        ({"columns": ["b", "a"], "data": [[1, [2, 3]]]}, TWO, {"a": [[2, 3]], "b": [1]}),
    ],
)
def test_splits_are_read(value: Any, signature: Signature, due: dict[str, Any]) -> None:
    """Columns are inputs by name, or the numbers of the only input in their order; the index means nothing."""
    assert {name: array.tolist() for name, array in read_split(value, signature).items()} == due


@pytest.mark.parametrize(
    ("value", "signature", "due"),
    [
        ([{"size": 1, "price": 2}, {"price": 4, "size": 3}], one(2), {"x": [[1, 2], [3, 4]]}),
        ([{"x": [1, 2]}], one(2), {"x": [[1, 2]]}),
        ([{"a": [2, 3], "b": 1}], TWO, {"a": [[2, 3]], "b": [1]}),
    ],
)
def test_records_are_read(value: Any, signature: Signature, due: dict[str, Any]) -> None:
    """The first record gives the order of the columns."""
    assert {name: array.tolist() for name, array in read_records(value, signature).items()} == due


@pytest.mark.parametrize(
    ("value", "pointer"),
    [
        (None, "/dataframe_split"),
        ([], "/dataframe_split"),
        ({"columns": ["a", "b"]}, "/dataframe_split"),
        ({"columns": "ab", "data": [[1, 2]]}, "/dataframe_split/columns"),
        ({"columns": ["a", "b"], "data": []}, "/dataframe_split/data"),
        ({"columns": ["a", "b"], "data": [[1, 2], [3]]}, "/dataframe_split/data/1"),
        ({"columns": ["a", "b"], "data": [[1, 2], 3]}, "/dataframe_split/data/1"),
        ({"columns": ["a", "b"], "data": [[1, 2], [3, None]]}, "/dataframe_split/data/1/1"),
        ({"columns": ["a", "a"], "data": [[1, 2]]}, "/a"),
        ({"columns": ["a", "b", "c"], "data": [[1, 2, 3]]}, ""),
    ],
)
def test_bad_splits_are_told(value: Any, pointer: str) -> None:
    """Missing parts, uneven rows, values that are no numbers, and columns that the network has not."""
    with pytest.raises(Invalid) as caught:
        read_split(value, one(2))
    assert caught.value.faults[0].pointer == pointer


@pytest.mark.parametrize(
    ("value", "pointer", "words"),
    [
        ([], "/dataframe_records", "with at least one"),
        ([[1, 2]], "/dataframe_records", "A list of objects"),
        ([{"a": 1, "b": 2}, {"a": 1}], "/dataframe_records/1", "not those of the first row"),
        ([{"a": 1, "b": 2}, 7], "/dataframe_records/1", "not those of the first row"),
        ([{"a": 1, "b/c": "2"}], "/dataframe_records/0/b~1c", "Column 'b/c': The string \"2\" came"),
        ([{"x": [1, None]}], "/dataframe_records/0/x/1", "null came"),
    ],
)
def test_bad_records_are_told(value: Any, pointer: str, words: str) -> None:
    """Their columns keep their names in the pointers."""
    with pytest.raises(Invalid) as caught:
        read_records(value, one(2))
    assert caught.value.faults[0].pointer == pointer
    assert words in caught.value.faults[0].detail


anything = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abx"), inner, max_size=3),
    max_leaves=8,
)


@given(anything | st.fixed_dictionaries({"data": anything}, optional={"columns": anything}))
def test_any_json_is_read_or_refused(value: Any) -> None:
    """Whatever comes is either finite numbers or an error of ours."""
    for read in (read_split, read_records):
        with contextlib.suppress(Invalid):
            assert np.isfinite(read(value, one(2))["x"]).all()
