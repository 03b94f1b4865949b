"""Instances: what decodes, what is refused and in which words, and what encodes."""

from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.errors import Invalid
from service.inference.instances import decode, decode_columns, encode
from service.inference.signature import Signature, TensorSpec


def signature(*shape: int | None, dtype: str = "float32") -> Signature:
    return Signature(
        inputs=(TensorSpec(name="x", shape=shape, dtype=dtype),),
        outputs=(TensorSpec(name="y", shape=(2,), dtype="float32"),),
    )


TWO = Signature(
    inputs=(
        TensorSpec(name="a", shape=(2,), dtype="float32"),
        TensorSpec(name="b", shape=(3,), dtype="int32"),
    ),
    outputs=(
        TensorSpec(name="p", shape=(1,), dtype="float32"),
        TensorSpec(name="q", shape=(2,), dtype="float32"),
    ),
)


def refused(value: Any, given_signature: Signature) -> Invalid:
    with pytest.raises(Invalid) as caught:
        decode(value, given_signature)
    return caught.value


@pytest.mark.parametrize(
    ("value", "given_signature", "due"),
    [
        ([[1, 2.5], [0, 1]], signature(2), np.array([[1, 2.5], [0, 1]], np.float32)),
        ([{"x": [1, 2]}], signature(2), np.array([[1, 2]], np.float32)),
        ([1, 2, 3], signature(1), np.array([[1], [2], [3]], np.float32)),
        ([[1], [2]], signature(1), np.array([[1], [2]], np.float32)),
        ([1.5, 2], signature(), np.array([1.5, 2], np.float32)),
        ([[[1], [2]]], signature(None, 1), np.array([[[1], [2]]], np.float32)),
        ([[1.0, 2]], signature(2, dtype="int32"), np.array([[1, 2]], np.int32)),
        ([[2**40]], signature(1, dtype="int64"), np.array([[2**40]], np.int64)),
        ([[2**63, 1]], signature(2), np.array([[2**63, 1]], np.float32)),
        ([[True, False]], signature(2, dtype="bool"), np.array([[True, False]])),
        ([True, False], signature(1, dtype="bool"), np.array([[True], [False]])),
        ([False, False], signature(dtype="bool"), np.array([False, False])),
        ([{"x": [[True], [True]]}], signature(None, 1, dtype="bool"), np.array([[[True], [True]]])),
    ],
)
def test_good_instances_decode(value: Any, given_signature: Signature, due: np.ndarray) -> None:
    """The array has the rows in front and the input's dtype."""
    array = decode(value, given_signature)["x"]
    assert array.dtype == due.dtype
    np.testing.assert_array_equal(array, due)


def test_several_inputs_decode_by_name() -> None:
    """Each object's values go to the input of that name, in any order of the keys."""
    arrays = decode([{"a": [1, 2], "b": [1, 2, 3]}, {"b": [4, 5, 6], "a": [0, 0]}], TWO)
    assert {name: array.shape for name, array in arrays.items()} == {"a": (2, 2), "b": (2, 3)}
    assert arrays["b"].dtype == np.int32


@pytest.mark.parametrize(
    ("value", "pointer", "words"),
    [
        (None, "/instances", "null came; expected a list of instances"),
        ([], "/instances", "an empty list came"),
        ({"x": [1]}, "/instances", "An object came"),
        ([[1, 2], [1]], "/instances/1", "A list of 1 came; expected a list of 2 elements"),
        ([[1, 2], 3], "/instances/1", "3 came; expected a list of 2 elements"),
        ([[1, 2], [1, [2]]], "/instances/1/1", "A list of 1 came; expected a number"),
        ([[1, "2"]], "/instances/0/1", 'The string "2" came; expected a number'),
        ([[1, None]], "/instances/0/1", "null came; expected a number"),
        ([[0.5, True]], "/instances/0/1", "true came; expected a number"),
        ([[False, True]], "/instances/0/0", "false came"),
        ([[1, {}]], "/instances/0/1", "An object came"),
        ([[1, float("inf")]], "/instances/0/1", "expected a finite number that fits float32"),
        ([[1, float("nan")]], "/instances/0/1", "expected a finite number"),
        ([[1, 1e39]], "/instances/0/1", "1e+39 came; expected a finite number that fits float32"),
        ([[1, 10**400]], "/instances/0/1", "an integer of 1329 bits came"),
        ([{"y": [1, 2]}], "/instances/0", "The input 'x' is missing"),
        ([{"x": [1, 2], "z/": 1}], "/instances/0/z~1", "There is no input 'z/'; the inputs are 'x'"),
        ([{"x": [1, 2]}, {"x": [1, None]}], "/instances/1/x/1", "null came"),
        ([{"x": [1, 2]}, "no"], "/instances/1", 'The string "no" came'),
    ],
)
def test_bad_instances_are_told(value: Any, pointer: str, words: str) -> None:
    """The first fault points at the value and says what came; the detail ends with an instance that would do."""
    error = refused(value, signature(2))
    assert error.faults[0].pointer == pointer
    assert words in error.faults[0].detail
    assert "A valid instance is [0.5, 0.5]." in error.detail


@pytest.mark.parametrize("number", [0.5, 2**31, -(2**31) - 1, 1e300, 2**70, float("inf"), float("nan"), True])
def test_whole_number_inputs_refuse_what_int32_cannot_hold(number: float) -> None:
    """Fractions and numbers out of range never wrap around."""
    error = refused([[1], [number]], signature(1, dtype="int32"))
    assert [fault.pointer for fault in error.faults] == ["/instances/1/0"]


@pytest.mark.parametrize(
    ("value", "pointer", "words"),
    [
        ([[1, 0]], "/instances/0/0", "1 came; expected true or false."),
        ([[True, 0]], "/instances/0/1", "0 came; expected true or false."),
        ([[True, 0.5]], "/instances/0/1", "0.5 came; expected true or false."),
        ([[True, None]], "/instances/0/1", "null came; expected true or false."),
        ([[True, "true"]], "/instances/0/1", 'The string "true" came; expected true or false.'),
        ([[True, 10**400]], "/instances/0/1", "an integer of 1329 bits came; expected true or false."),
        ([[True, False], [True]], "/instances/1", "A list of 1 came; expected a list of 2 elements"),
        ([[1, 1], [True, False]], "/instances/0/0", "1 came; expected true or false."),
    ],
)
def test_boolean_inputs_take_true_and_false_alone(value: Any, pointer: str, words: str) -> None:
    """A number is none of them, as a boolean is no number."""
    error = refused(value, signature(2, dtype="bool"))
    assert error.faults[0].pointer == pointer
    assert error.faults[0].detail.startswith(words)
    assert error.faults[0].detail.endswith("The input 'x' is a list of 2 booleans.")
    assert "A valid instance is [true, true]." in error.detail


def test_booleans_beside_numbers() -> None:
    """Each input takes its own kind."""
    both = Signature(
        inputs=(TensorSpec(name="x", shape=(1,), dtype="float32"), TensorSpec(name="m", shape=(2,), dtype="bool")),
        outputs=(),
    )
    arrays = decode([{"x": [1], "m": [True, False]}, {"x": [0.5], "m": [False, False]}], both)
    assert arrays["m"].dtype == np.bool_
    np.testing.assert_array_equal(arrays["m"], [[True, False], [False, False]])
    columns = decode_columns({"x": [1], "m": [[True, False]]}, both)
    np.testing.assert_array_equal(columns["m"], [[True, False]])
    pointers = [fault.pointer for fault in refused([{"x": True, "m": [1, True]}], both).faults]
    assert pointers == ["/instances/0/x", "/instances/0/m/0"]


def test_int64_boundary_is_exact() -> None:
    """2**63 does not fit int64, although as a float it equals the largest int64 that rounds up to it."""
    assert refused([[float(2**63)]], signature(1, dtype="int64")).faults
    assert refused([[2**63]], signature(1, dtype="int64")).faults


def test_all_faults_are_collected() -> None:
    """Faults of several rows and several inputs come in one answer."""
    error = refused([{"a": [1], "b": [1, 2, 3]}, {"a": [1, 2]}, {"a": [None, None], "b": [1, 2, 0.5]}], TWO)
    assert [fault.pointer for fault in error.faults] == [
        "/instances/0/a",
        "/instances/1",
        "/instances/2/a/0",
        "/instances/2/a/1",
        "/instances/2/b/2",
    ]
    assert 'A valid instance is {"a": [0.5, 0.5], "b": [1, 1, 1]}.' in error.detail


@pytest.mark.parametrize(
    "value", [{"a": [[1, 2], [3, 4]], "b": [[1, 2, 3], [4, 5, 6]], "c": "unused"}, {"b": [[1, 2, 3]], "a": [[0.5, 0]]}]
)
def test_columns_decode_by_name(value: dict[str, Any]) -> None:
    """Each is what it would be as rows; names that the network does not have are passed over."""
    arrays = decode_columns(value, TWO)
    assert list(arrays) == ["a", "b"]
    for name, dtype in (("a", np.float32), ("b", np.int32)):
        assert arrays[name].dtype == dtype
        np.testing.assert_array_equal(arrays[name], np.array(value[name], dtype))


def test_the_only_column_needs_no_name() -> None:
    """It may have one all the same."""
    for value in ([[1, 2], [3, 4]], {"x": [[1, 2], [3, 4]]}):
        np.testing.assert_array_equal(decode_columns(value, signature(2))["x"], [[1, 2], [3, 4]])


@pytest.mark.parametrize(
    ("value", "pointers"),
    [
        ([[1, 2]], ["/inputs"]),
        (None, ["/inputs"]),
        ({}, ["/inputs", "/inputs"]),
        ({"a": [[1, 2]]}, ["/inputs"]),
        ({"a": [[1, 2], [3, 4]], "b": [[1, 2, 3]]}, ["/inputs"]),
        ({"a": [[1, None]], "b": [[1, 2, 0.5]]}, ["/inputs/a/0/1", "/inputs/b/0/2"]),
        ({"a": [], "b": 7}, ["/inputs/a", "/inputs/b"]),
    ],
)
def test_bad_columns_are_told_all_at_once(value: Any, pointers: list[str]) -> None:
    """Missing ones, bad values in any of them, and columns that differ in length."""
    with pytest.raises(Invalid) as caught:
        decode_columns(value, TWO)
    assert [fault.pointer for fault in caught.value.faults] == pointers


def test_faults_are_bounded() -> None:
    """At most 20 rows and three faults of each are told."""
    assert len(refused([[None] * 9] * 1000, signature(9)).faults) == 60


def test_bare_rows_are_refused_where_there_are_several_inputs() -> None:
    """The fault names the inputs."""
    assert "an object with the inputs 'a', 'b'" in refused([[1, 2]], TWO).faults[0].detail


def test_rows_of_unequal_length_are_told() -> None:
    """Rows that fit alone must agree with the first where a size is not fixed."""
    error = refused([[[1], [2]], [[1]]], signature(None, 1))
    assert error.faults[0].pointer == "/instances/1"
    assert "must be equally long" in error.faults[0].detail


def test_an_unfixed_size_is_at_least_one() -> None:
    """A row without steps is refused, and a ragged row points at the odd element."""
    assert "at least 1 element" in refused([[]], signature(None, 2)).faults[0].detail
    assert refused([[[1, 2], [1]]], signature(None, None)).faults[0].pointer == "/instances/0/1"


def test_a_large_input_is_described_in_words() -> None:
    """An example of thousands of numbers would help nobody."""
    detail = refused([[1]], signature(28, 28, 3)).detail
    assert "A valid instance is a list of 28 lists of 28 lists of 3 float32 numbers." in detail


def test_very_deep_lists_are_refused() -> None:
    """Lists nested deeper than NumPy's limit are a fault like any other."""
    deep: Any = 1
    for _ in range(200):
        deep = [deep]
    assert refused([deep], signature(2)).faults[0].pointer == "/instances/0"


numbers = st.floats(width=32, allow_nan=False, allow_infinity=False) | st.integers(-(10**6), 10**6)
odd = st.none() | st.booleans() | st.text(max_size=2) | st.floats() | st.lists(st.integers(), max_size=2)


@given(st.lists(st.lists(numbers, min_size=3, max_size=3), min_size=1, max_size=5))
def test_any_numbers_decode(rows: list[list[float]]) -> None:
    """Every matrix of float32 numbers decodes to itself."""
    np.testing.assert_array_equal(decode(rows, signature(3))["x"], np.array(rows, np.float32))


@given(st.lists(st.lists(numbers | odd, max_size=4) | odd, max_size=5))
def test_anything_else_is_invalid(rows: list[Any]) -> None:
    """Whatever comes either decodes to finite numbers or raises Invalid with a fault."""
    clean = rows and all(isinstance(row, list) and len(row) == 3 and all(map(is_float32, row)) for row in rows)
    if clean:
        assert np.isfinite(decode(rows, signature(3))["x"]).all()
    else:
        assert refused(rows, signature(3)).faults


def is_float32(value: Any) -> bool:
    """Tell whether a JSON value is a number, neither boolean nor beyond float32's range."""
    if type(value) not in (int, float):
        return False
    with np.errstate(over="ignore"):
        return bool(np.isfinite(np.float32(value)))


def dumped(predictions: list[Any]) -> Any:
    return orjson.dumps(predictions, option=orjson.OPT_SERIALIZE_NUMPY).decode()


def test_one_output_is_plain_lists_in_short_float32() -> None:
    """0.1 as float32 is written 0.1, and what is not finite is null."""
    outputs = {"y": np.array([[0.1, np.nan], [np.inf, -1]], np.float32)}
    assert dumped(encode(outputs, signature(2))) == "[[0.1,null],[null,-1.0]]"


def test_transposed_outputs_encode() -> None:
    """An array that is not contiguous in memory is written all the same."""
    outputs = {"y": np.array([[1, 2], [3, 4]], np.float32).T}
    assert dumped(encode(outputs, signature(2))) == "[[1.0,3.0],[2.0,4.0]]"


def test_rows_without_dimensions_encode() -> None:
    """An output of one bare number a row gives a list of numbers."""
    assert dumped(encode({"y": np.array([0.1, np.nan], np.float32)}, signature(2))) == "[0.1,null]"


def test_several_outputs_are_objects() -> None:
    """Each prediction is an object by output name."""
    outputs = {"p": np.array([[1], [2]], np.float32), "q": np.array([[1, 2], [3, 4]], np.float32)}
    assert dumped(encode(outputs, TWO)) == '[{"p":[1.0],"q":[1.0,2.0]},{"p":[2.0],"q":[3.0,4.0]}]'
