"""Tensors of the Open Inference Protocol: what is read, what is refused and in which words, and what is written."""

from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays as drawn_arrays

from service.errors import Invalid
from service.inference.signature import Signature, TensorSpec
from service.inference.tensors import DATATYPES, Wanted, describe, read_inputs, read_outputs, read_raw, write_outputs

NOTHING = memoryview(b"")
ONE = Signature(
    inputs=(TensorSpec(name="x", shape=(2,), dtype="float32"),),
    outputs=(TensorSpec(name="y", shape=(1,), dtype="float32"), TensorSpec(name="z", shape=(2,), dtype="int32")),
)
TWO = Signature(
    inputs=(TensorSpec(name="a", shape=(2,), dtype="float32"), TensorSpec(name="b", shape=(None,), dtype="int32")),
    outputs=(),
)
X = {"name": "x", "shape": [2, 2], "datatype": "FP32"}


def as_bytes(*given: np.ndarray) -> memoryview:
    return memoryview(b"".join(array.tobytes() for array in given))


@pytest.mark.parametrize("data", [[1, 2.5, 3, 4], [[1, 2.5], [3, 4]], [[[1], [2.5]], [[3], [4]]]])
def test_data_may_be_flat_or_nested(data: Any) -> None:
    """The shape is the one that is told, and the numbers are row-major."""
    array = read_inputs([X | {"data": data}], NOTHING, ONE)["x"]
    assert array.dtype == np.float32
    np.testing.assert_array_equal(array, [[1, 2.5], [3, 4]])


def test_json_and_bytes_may_be_mixed() -> None:
    """Bytes belong to the inputs that announce them, in their order."""
    a, b = np.array([[1, 2]], "<f4"), np.array([[7, 8, 9]], "<i4")
    size = {"binary_data_size": 8}
    first = {"name": "a", "shape": [1, 2], "datatype": "FP32"}
    second = {"name": "b", "shape": [1, 3], "datatype": "INT32"}
    both = read_inputs(
        [second | {"parameters": {"binary_data_size": 12}}, first | {"parameters": size}], as_bytes(b, a), TWO
    )
    mixed = read_inputs([first | {"parameters": size}, second | {"data": [7, 8, 9]}], as_bytes(a), TWO)
    for found in (both, mixed):
        np.testing.assert_array_equal(found["a"], a)
        np.testing.assert_array_equal(found["b"], b)


@given(drawn_arrays(np.float32, st.tuples(st.integers(0, 4), st.just(2))))
def test_bytes_are_exact(array: np.ndarray) -> None:
    """NaN and infinities too, in both directions, and batches without a row."""
    given_ = X | {"shape": list(array.shape), "parameters": {"binary_data_size": array.nbytes}}
    read = read_inputs([given_], as_bytes(array), ONE)["x"]
    assert read.tobytes() == array.tobytes()
    assert read.shape == array.shape
    spec = TensorSpec(name="x", shape=(2,), dtype="float32")
    (described,), (written,) = write_outputs({"x": array}, [Wanted(spec=spec, binary=True)])
    assert written == array.tobytes()
    assert described["parameters"] == {"binary_data_size": array.nbytes}


@pytest.mark.parametrize(
    ("inputs", "pointer", "words"),
    [
        (None, "/inputs", "A list of the inputs 'x'"),
        ([], "/inputs", "A list of the inputs 'x'"),
        ([7], "/inputs/0/name", "None came; one of 'x'"),
        ([X | {"name": "z", "data": []}], "/inputs/0/name", "'z' came; one of 'x'"),
        ([X | {"datatype": "FP64", "data": [1, 2, 3, 4]}], "/inputs/0/datatype", "'FP64' came; 'FP32' was expected"),
        ([X | {"shape": [2, 3], "data": [1] * 6}], "/inputs/0/shape", "[-1, 2] was expected"),
        ([X | {"shape": [4], "data": [1] * 4}], "/inputs/0/shape", "[-1, 2] was expected"),
        ([X | {"shape": [-1, 2], "data": [1, 2]}], "/inputs/0/shape", "[-1, 2] was expected"),
        ([X | {"shape": [True, 2], "data": [1, 2]}], "/inputs/0/shape", "[-1, 2] was expected"),
        ([X | {"shape": [2**40, 2], "data": [1, 2]}], "/inputs/0/shape", "[-1, 2] was expected"),
        ([X | {"shape": "2, 2", "data": [1, 2]}], "/inputs/0/shape", "[-1, 2] was expected"),
        ([X], "/inputs/0/data", "NoneType came; a list of numbers"),
        ([X | {"data": [1, 2, 3]}], "/inputs/0/data", "3 numbers came; [2, 2] takes 4"),
        ([X | {"data": [[1, 2], [3]]}], "/inputs/0/data", "The lists differ in length"),
        ([X | {"data": [1, 2, 3, "4"]}], "/inputs/0/data", "Not all of these are float32 numbers"),
        ([X | {"data": [1, 2, 3, None]}], "/inputs/0/data", "Not all of these are float32 numbers"),
        ([X | {"data": [True, False, True, True]}], "/inputs/0/data", "Not all of these are float32 numbers"),
        ([X | {"data": [1, 2, 3, 1e39]}], "/inputs/0/data", "Not all of these are float32 numbers"),
        ([X | {"data": [1, 2, 3, 4]}] * 2, "/inputs/1/name", "came twice"),
    ],
)
def test_bad_inputs_are_told(inputs: Any, pointer: str, words: str) -> None:
    """Where, what came, and what was expected."""
    with pytest.raises(Invalid) as caught:
        read_inputs(inputs, NOTHING, ONE)
    assert caught.value.faults[0].pointer == pointer
    assert words in caught.value.faults[0].detail
    assert words in caught.value.detail


BOOLEAN = Signature(inputs=(TensorSpec(name="m", shape=(2,), dtype="bool"),), outputs=())
M = {"name": "m", "shape": [1, 2], "datatype": "BOOL"}


@pytest.mark.parametrize("data", [[True, False], [[True, False]]])
def test_booleans_in_json(data: Any) -> None:
    """They are true and false there, and bytes of 1 and 0 otherwise."""
    array = read_inputs([M | {"data": data}], NOTHING, BOOLEAN)["m"]
    assert array.dtype == np.bool_
    np.testing.assert_array_equal(array, [[True, False]])
    given_ = M | {"parameters": {"binary_data_size": 2}}
    np.testing.assert_array_equal(read_inputs([given_], memoryview(b"\1\0"), BOOLEAN)["m"], array)


@pytest.mark.parametrize("data", [[1, 0], [True, 0], [True, 0.5], [True, None], [True, "x"]])
def test_numbers_are_no_booleans(data: Any) -> None:
    """The sentence says what would be."""
    with pytest.raises(Invalid, match="true or false was expected in all of 'm' of shape"):
        read_inputs([M | {"data": data}], NOTHING, BOOLEAN)


def test_all_that_is_wrong_is_told_at_once() -> None:
    """Of every input, and what is missing only where nothing else is."""
    with pytest.raises(Invalid) as caught:
        read_inputs(
            [{"name": "a", "shape": [1, 2], "datatype": "FP64"}, {"name": "b", "shape": [1], "datatype": "INT32"}],
            NOTHING,
            TWO,
        )
    assert [fault.pointer for fault in caught.value.faults] == ["/inputs/0/datatype", "/inputs/1/shape"]
    a = {"name": "a", "shape": [1, 2], "datatype": "FP32", "data": [1, 2]}
    with pytest.raises(Invalid, match="'b' is missing"):
        read_inputs([a], NOTHING, TWO)
    with pytest.raises(Invalid, match="'a' has 1, 'b' has 2"):
        read_inputs([a, {"name": "b", "shape": [2, 1], "datatype": "INT32", "data": [1, 2]}], NOTHING, TWO)


@pytest.mark.parametrize("size", [-1, 17, 15, 0, 16.0, True, "16", None, 10**30])
def test_sizes_that_lie(size: Any) -> None:
    """More bytes than there are, fewer, none, or no number at all."""
    with pytest.raises(Invalid):
        read_inputs([X | {"parameters": {"binary_data_size": size}}], memoryview(bytes(16)), ONE)


def test_bytes_that_nobody_announced() -> None:
    """They are not passed over: the sender and we do not mean the same."""
    with pytest.raises(Invalid, match="4 bytes follow the JSON, and the inputs say that there are 0"):
        read_inputs([X | {"data": [1, 2, 3, 4]}], memoryview(bytes(4)), ONE)


def test_a_body_of_bytes_alone() -> None:
    """One row of the only input, whose open size follows from the number of bytes."""
    row = np.array([[1, 2]], "<f4")
    np.testing.assert_array_equal(read_raw(as_bytes(row), ONE)["x"], row)
    steps = Signature(inputs=(TensorSpec(name="s", shape=(None, 2), dtype="int32"),), outputs=())
    series = np.arange(6, dtype="<i4").reshape(1, 3, 2)
    np.testing.assert_array_equal(read_raw(as_bytes(series), steps)["s"], series)
    for size in (0, 4, 12, 16):
        if size != 8:
            with pytest.raises(Invalid, match=f"{size} bytes came; one row of 'x'"):
                read_raw(memoryview(bytes(size)), ONE)
    with pytest.raises(Invalid, match="Only bytes came"):
        read_raw(memoryview(bytes(8)), TWO)


def test_outputs_are_chosen() -> None:
    """All unless some are named; each output's own word on bytes counts more than the request's."""
    assert [(one.spec.name, one.binary) for one in read_outputs(None, True, ONE)] == [("y", True), ("z", True)]
    chosen = read_outputs([{"name": "z"}, {"name": "y", "parameters": {"binary_data": False}}], True, ONE)
    assert [(one.spec.name, one.binary) for one in chosen] == [("z", True), ("y", False)]


@pytest.mark.parametrize(
    ("outputs", "pointers"),
    [
        ("y", ["/outputs"]),
        (
            [{"name": "q"}, {"name": "y", "parameters": {"binary_data": 1}}],
            ["/outputs/0/name", "/outputs/1/parameters/binary_data"],
        ),
        ([{"name": "y", "parameters": []}], ["/outputs/0/parameters"]),
    ],
)
def test_outputs_that_there_are_not(outputs: Any, pointers: list[str]) -> None:
    """Each is named."""
    with pytest.raises(Invalid) as caught:
        read_outputs(outputs, False, ONE)
    assert [fault.pointer for fault in caught.value.faults] == pointers


def test_outputs_are_written_flat() -> None:
    """With their shape beside; what is not finite is null in JSON."""
    spec = TensorSpec(name="y", shape=(2,), dtype="float32")
    (described,), parts = write_outputs({"y": np.array([[1.5, np.nan]], "f4")}, [Wanted(spec=spec, binary=False)])
    assert parts == []
    assert orjson.loads(orjson.dumps(described, option=orjson.OPT_SERIALIZE_NUMPY)) == {
        "name": "y",
        "datatype": "FP32",
        "shape": [1, 2],
        "data": [1.5, None],
    }


def test_every_type_has_a_name() -> None:
    """And metadata say -1 for the batch and for sizes that are open."""
    assert describe(TensorSpec(name="s", shape=(None, 2), dtype="int64")) == {
        "name": "s",
        "datatype": "INT64",
        "shape": [-1, -1, 2],
    }
    assert set(DATATYPES) == {np.dtype(name).name for name in DATATYPES}


SCORES = np.array([[0.25, np.nan, 0.1], [1, 1, -np.inf]], np.float32)
CLASSES = TensorSpec(name="c", shape=(3,), dtype="float32")


@pytest.mark.parametrize(
    ("classes", "texts"),
    [
        (1, ["0.25:0", "1.0:0"]),
        (2, ["0.25:0", "0.1:2", "1.0:0", "1.0:1"]),
        (9, ["0.25:0", "0.1:2", "nan:1", "1.0:0", "1.0:1", "-inf:2"]),
    ],
)
@pytest.mark.parametrize("binary", [True, False])
def test_classifications_are_the_largest_values(classes: int, texts: list[str], binary: bool) -> None:
    """With their places, the largest first, of equal ones the first; at most as many as there are."""
    ((tensor,), parts) = write_outputs({"c": SCORES}, [Wanted(spec=CLASSES, binary=binary, classes=classes)])
    assert tensor["datatype"] == "BYTES"
    assert tensor["shape"] == [2, len(texts) // 2]
    if binary:
        assert tensor["parameters"] == {"binary_data_size": len(parts[0])}
        assert parts[0] == b"".join(len(text).to_bytes(4, "little") + text.encode() for text in texts)
    else:
        assert (tensor["data"], parts) == (texts, [])


def test_classes_have_names_where_these_are_known() -> None:
    """Of those places that have one; as bytes in UTF-8."""
    labels = {"c": ("æ", "b:c")}
    for binary in (False, True):
        asked = [{"name": "c", "parameters": {"classification": 3, "binary_data": binary}}]
        wanted = read_outputs(asked, False, Signature(inputs=(), outputs=(CLASSES,)), labels)
        ((tensor,), parts) = write_outputs({"c": np.array([[0.25, 0.5, 0.75]], np.float32)}, wanted)
        texts = ["0.75:2", "0.5:1:b:c", "0.25:0:æ"]
        if binary:
            assert parts == [b"".join(len(text.encode()).to_bytes(4, "little") + text.encode() for text in texts)]
        else:
            assert tensor["data"] == texts


def test_classifications_of_any_shape_and_type() -> None:
    """A row is taken as a flat one; whole numbers are compared as such, and a batch may be empty."""
    spec = TensorSpec(name="c", shape=(2, 2), dtype="int32")
    wanted = [Wanted(spec=spec, binary=False, classes=1)]
    ((tensor,), _) = write_outputs({"c": np.array([[[-(2**31), 3], [7, 1]]], np.int32)}, wanted)
    assert tensor["data"] == ["7:2"]
    ((empty,), _) = write_outputs({"c": np.zeros((0, 2, 2), np.int32)}, wanted)
    assert (empty["shape"], empty["data"]) == ([0, 1], [])


@pytest.mark.parametrize("classes", [-1, 1.5, True, "2", None, 2**31])
def test_a_bad_number_of_classes_is_told(classes: Any) -> None:
    """Where it stands, and what came."""
    with pytest.raises(Invalid, match="how many classes, a whole number, was expected"):
        read_outputs([{"name": "y", "parameters": {"classification": classes}}], False, ONE)


def test_no_classes_mean_all_values() -> None:
    """As if nothing had been said of them."""
    assert read_outputs([{"name": "y", "parameters": {"classification": 0}}], False, ONE)[0].classes == 0
