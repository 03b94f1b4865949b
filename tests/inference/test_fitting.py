"""Typed arrays: what fits an input, exactly, and what is said of what does not."""

import contextlib
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as drawn

from service.errors import Invalid
from service.inference.fitting import fit, in_array, in_columns, same_rows
from service.inference.signature import TensorSpec

NUMBERS = ["?", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8", ">i8", ">f4", ">f8"]


def spec(*shape: int | None, dtype: str = "float32") -> TensorSpec:
    return TensorSpec(name="x", shape=shape, dtype=dtype)


def refused(array: Any, given_spec: TensorSpec) -> Invalid:
    with pytest.raises(Invalid) as caught:
        fit(np.asarray(array), given_spec, "/x", in_array("/x"))
    return caught.value


@pytest.mark.parametrize("dtype", NUMBERS)
@pytest.mark.parametrize("due", ["float32", "int32", "int64"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_numbers_of_any_type_fit(dtype: str, due: str, order: Any) -> None:
    """Whatever the type, the byte order and the order of the axes, values that the input can hold come through."""
    array = np.asarray(np.arange(6).reshape(3, 2) % 2, dtype, order=order)
    fitted = fit(array, spec(2, dtype=due), "", in_array())
    assert fitted.dtype == due
    np.testing.assert_array_equal(fitted, array)


@pytest.mark.parametrize("shape", [(), (3,), (3, 4), (1, 2, 1)])
def test_other_shapes_are_refused(shape: tuple[int, ...]) -> None:
    """The fault tells both shapes."""
    fault = refused(np.zeros(shape), spec(2)).faults[0]
    assert fault.pointer == "/x"
    assert f"The shape {list(shape)} came; [rows, 2] was expected" in fault.detail


def test_one_number_a_row_needs_no_axis() -> None:
    """As a bare number is an instance of the shape (1,) in JSON."""
    assert fit(np.ones(3), spec(1), "", in_array()).shape == (3, 1)
    assert fit(np.ones(3), spec(), "", in_array()).shape == (3,)


def test_an_open_size_is_at_least_one() -> None:
    """Any size but none fits it."""
    assert fit(np.ones((2, 5)), spec(None), "", in_array()).shape == (2, 5)
    refused(np.ones((2, 0)), spec(None))


def test_no_rows_are_refused() -> None:
    """There is nothing to predict."""
    assert "No rows came" in refused(np.zeros((0, 2)), spec(2)).faults[0].detail


@pytest.mark.parametrize("array", [np.array([["a", "b"]]), np.ones((1, 2), complex), np.array([[None, 1]]),
                                   np.zeros((1, 2), "M8[s]"), np.zeros((1, 2), "V3")])  # fmt: skip
def test_what_is_no_number_is_refused(array: Any) -> None:
    """Texts, complex numbers, objects, dates and raw bytes."""
    assert "numbers of at most 64 bits were expected" in refused(array, spec(2)).faults[0].detail


@pytest.mark.parametrize(
    ("array", "dtype", "pointers"),
    [
        ([[1, np.nan], [np.inf, 2]], "float32", ["/x/0/1", "/x/1/0"]),
        ([[1, 1e39]], "float32", ["/x/0/1"]),
        ([[1, 0.5]], "int32", ["/x/0/1"]),
        ([[2**31, -(2**31)]], "int32", ["/x/0/0"]),
        (np.array([[np.inf, 1]], "f2"), "int32", ["/x/0/0"]),
        (np.array([[2**63, 1]], "u8"), "int64", ["/x/0/0"]),
        ([[0, 2]], "bool", ["/x/0/1"]),
    ],
)
def test_bad_values_are_found(array: Any, dtype: str, pointers: list[str]) -> None:
    """Each is named with its place; nothing wraps around, is cut or becomes infinite."""
    assert [fault.pointer for fault in refused(array, spec(2, dtype=dtype)).faults] == pointers


def test_at_most_twenty_values_are_named() -> None:
    """An array of a million wrong ones gets no answer of a million faults."""
    assert len(refused(np.full((1000, 2), np.nan), spec(2)).faults) == 20


def test_places_in_columns_have_their_names() -> None:
    """A table's fault names row and column as a person counts them."""
    with pytest.raises(Invalid) as caught:
        fit(np.array([[1, 2], [3, np.nan]]), spec(2), "", in_columns(["size", "a/b"]))
    (fault,) = caught.value.faults
    assert fault.pointer == "/1/a~1b"
    assert "nan came in row 2, column 'a/b'" in fault.detail


def test_inputs_must_agree_in_rows() -> None:
    """The sentence counts the rows of each."""
    with pytest.raises(Invalid, match="'a' has 2, 'b' has 3"):
        same_rows({"a": np.zeros(2), "b": np.zeros(3)})


@given(drawn.arrays(st.sampled_from(NUMBERS[1:]), st.tuples(st.integers(0, 4), st.integers(1, 3))), st.data())
def test_any_array_fits_or_is_refused(array: np.ndarray, data: st.DataObject) -> None:
    """Into whole numbers only equal ones come, into float32 finite ones."""
    dtype = data.draw(st.sampled_from(["float32", "int32", "int64"]))
    with contextlib.suppress(Invalid):
        fitted = fit(array, spec(2, dtype=dtype), "", in_array())
        if dtype == "float32":
            assert np.isfinite(fitted).all()
        else:
            assert fitted.tolist() == array.tolist()
