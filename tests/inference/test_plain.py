"""The plain form: what it reads is what `instances` reads, and what it does not read, `instances` judges."""

import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from service.errors import Invalid
from service.inference import plain
from service.inference.instances import decode
from service.inference.plain import PlainReader
from service.inference.signature import Signature, TensorSpec
from tests.inference.signatures import TWO, one

DTYPES = ("float16", "float32", "float64", "int8", "int16", "int32", "uint8", "uint16", "uint32")

space = st.text(" \t\r\n", max_size=2)
whole = st.integers(-(2**65), 2**65) | st.integers(-300, 300)
fraction = st.floats(allow_nan=False, allow_infinity=False) | st.floats(-300, 300)
#: Numbers as people and programs write them.
number = st.one_of(
    whole.map(str),
    fraction.map(repr),
    st.tuples(st.integers(-999, 999), st.sampled_from("eE"), st.integers(-45, 40)).map(
        lambda it: "".join(map(str, it))
    ),
    st.tuples(st.integers(-9, 9), st.integers(0, 10**20), st.integers(0, 38)).map(lambda it: "{}.{}e+{}".format(*it)),
    st.sampled_from(["-0", "-0.0", "0", "1.0", "3.4028234663852886e38", "3.4028235e38", "3.5e38", "1e-400", "65504"]),
)
shapes = st.lists(st.integers(1, 3), min_size=1, max_size=3).map(tuple)


@st.composite
def plain_body(draw: Any, shape: tuple[int, ...]) -> bytes:
    """A body in the plain form, with space wherever JSON allows some."""

    def row(sizes: tuple[int, ...]) -> str:
        if not sizes:
            return draw(space) + draw(number) + draw(space)
        return f"{draw(space)}[{','.join(row(sizes[1:]) for _ in range(sizes[0]))}]{draw(space)}"

    rows = ",".join(row(shape) for _ in range(draw(st.integers(1, 4))))
    a, b, c, d = (draw(space) for _ in range(4))
    return f'{a}{{{b}"instances"{c}:{d}[{rows}]{a}}}{b}'.encode()


def slowly(content: bytes, signature: Signature) -> dict[str, Any] | None:
    """What the way through `instances` makes of a body; None where it refuses it."""
    try:
        body = orjson.loads(content)
        if not isinstance(body, dict) or set(body) != {"instances"}:
            return None
        return decode(body["instances"], signature)
    except (orjson.JSONDecodeError, Invalid):
        return None


def assert_agree(content: bytes, signature: Signature) -> bool:
    """The plain way gives nothing or what the other way gives, in any pieces; tell whether it gave something."""
    due = slowly(content, signature)
    found = [in_pieces(content, signature, size) for size in (2**16, 1, 7, 40)]
    for one_of_them in found:
        assert_same(one_of_them, due, content)
    return found[0] is not None


def in_pieces(content: bytes, signature: Signature, size: int) -> dict[str, Any] | None:
    """What the plain way makes of a body in pieces of about that size."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plain, "_PIECE_BYTES", size)
        return PlainReader(signature).read(content)


def assert_same(found: dict[str, Any] | None, due: dict[str, Any] | None, content: bytes) -> None:
    if found is None:
        return
    assert due is not None, content
    assert found.keys() == due.keys()
    for name, array in due.items():
        assert (found[name].dtype, found[name].shape) == (array.dtype, array.shape)
        np.testing.assert_array_equal(found[name], array, err_msg=str(content))


@given(st.data(), shapes, st.sampled_from(DTYPES))
def test_plain_bodies_are_read_as_ever(data: Any, shape: tuple[int, ...], dtype: str) -> None:
    """Whatever the numbers are, the array is the same."""
    assert_agree(data.draw(plain_body(shape)), one(*shape, dtype=dtype))


@given(st.data(), shapes, st.sampled_from(DTYPES))
def test_spoilt_bodies_are_never_read_more_kindly(data: Any, shape: tuple[int, ...], dtype: str) -> None:
    """Bytes taken away, put in and changed: what `instances` would refuse is not read."""
    content = bytearray(data.draw(plain_body(shape)))
    bytes_of_json = st.sampled_from(b'[]{},:"0123456789+-.eE \t\n\\instacet\x00\xff')
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.integers(0, len(content) - 1))
        cut = data.draw(st.integers(0, 2))
        content[place : place + cut] = bytes(data.draw(st.lists(bytes_of_json, max_size=2)))
    assert_agree(bytes(content), one(*shape, dtype=dtype))


@given(
    st.lists(st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=2, max_size=2), min_size=1)
)
@example([[0.1, -0.0], [1e-45, 3.4e15]])
def test_what_clients_send_is_plain(rows: list[list[float]]) -> None:
    """Numbers of float32 up to 2**53 are read by this way, not just left to the other."""
    small = [[number if abs(number) <= 2**53 else 0.5 for number in row] for row in rows]
    assert assert_agree(json.dumps({"instances": small}).encode(), one(2))
    assert assert_agree(orjson.dumps({"instances": small}), one(2))


@pytest.mark.parametrize(
    "text",
    [
        '{"instances":[[1,2]],"instances":[[1,2]]}',
        '{"instances":[[1,2]],"nan":"null"}',
        '{"instances":[[1,2],[3]]}',
        '{"instances":[[1,2]]}{}',
        '{"instances":[[1,2]]}7',
        '7{"instances":[[1,2]]}',
        '{"instances":[[1,2]7]}',
        '{"instances":[7[1,2]]}',
        '{"instances":[[1 2,3]]}',
        '{"instances":[[,]]}',
        '{"instances":[[1,]]}',
        '{"instances":[[1,2]',
        '{"instances":[]}',
        '{"instances":[[]]}',
        '{"instances":[[1,true]]}',
        '{"instances":[[1,null]]}',
        '{"instances":[[1,NaN]]}',
        '{"instances":[[1,01]]}',
        '{"instances":[[1,+1]]}',
        '{"instances":[[1,.5]]}',
        '{"instances":[[1,1.]]}',
        '{"instances":[[1,-]]}',
        '{"instances":[[1,1e]]}',
        '{"instances":[[1,1e999]]}',
        '{"instances":[["1",2]]}',
        '{"instances":[{"x":[1,2]}]}',
        '{"inputs":[[1,2]]}',
        '{"instance9s":[[1,2]]}',
        '{"instancs":[[1,2]]}',
        '{"insta nces":[[1,2]]}',
        '{"\\u0069nstances":[[1,2]]}',
        '\ufeff{"instances":[[1,2]]}',
        "[[1,2]]",
        "",
    ],
)
def test_what_is_not_plain_is_left_to_others(text: str) -> None:
    """Wrong ones and right ones alike."""
    assert PlainReader(one(2)).read(text.encode()) is None


@pytest.mark.parametrize("rows", ["[[], [1]]", "[[1], []]", "[[]]", "[[1], [], [2]]"])
def test_an_empty_row_has_the_brackets_of_one_with_one_number(rows: str) -> None:
    assert_agree(f'{{"instances": {rows}}}'.encode(), one(1))
    assert PlainReader(one(1)).read(f'{{"instances": {rows}}}'.encode()) is None


def test_images_without_their_numbers() -> None:
    image = [[[], [1.0]], [[0.5], []]]
    assert PlainReader(one(2, 2, 1)).read(json.dumps({"instances": [image, image]}).encode()) is None


@pytest.mark.parametrize(
    ("number", "dtype"),
    [
        ("1e39", "float32"),
        ("-1e39", "float32"),
        ("1e300", "float32"),
        ("65520", "float16"),
        ("0.5", "int32"),
        ("2147483648", "int32"),
        ("-1", "uint8"),
        ("256", "uint8"),
    ],
)
def test_numbers_that_do_not_fit(number: str, dtype: str) -> None:
    """They become neither infinite nor others."""
    content = b'{"instances":[[1,%b]]}' % number.encode()
    assert PlainReader(one(2, dtype=dtype)).read(content) is None
    assert slowly(content, one(2, dtype=dtype)) is None


def test_large_whole_numbers_are_rounded_once() -> None:
    """Rounded to a float64 before, this one would become the smaller of its neighbours in float32."""
    number = 2**60 + 2**36 + 1
    content = b'{"instances":[[%d,0]]}' % number
    assert not assert_agree(content, one(2))
    due = slowly(content, one(2))
    assert due is not None
    assert due["x"][0, 0] == 2**60 + 2**37


@pytest.mark.parametrize(
    "signature",
    [
        TWO,
        one(None, 2),
        one(),
        one(2, dtype="int64"),
        one(2, dtype="bool"),
        Signature(inputs=(TensorSpec(name="x", shape=(0,), dtype="float32"),), outputs=()),
    ],
    ids=["several inputs", "an open size", "bare numbers", "64 bits", "booleans", "nothing"],
)
def test_other_inputs_have_no_plain_form(signature: Signature) -> None:
    """Their bodies go the other way."""
    for content in (b'{"instances":[[1,0]]}', b'{"instances":[[]]}', b'{"instances":[1]}', b"{}"):
        assert PlainReader(signature).read(content) is None


def test_threads_may_share_a_reader() -> None:
    """Their bodies do not mix."""
    reader = PlainReader(one(3))
    rows = [np.full((50 + i, 3), i + 0.25, np.float32) for i in range(64)]
    bodies = [orjson.dumps({"instances": array.tolist()}) for array in rows]
    with ThreadPoolExecutor(8) as threads:
        for _ in range(5):
            for found, due in zip(threads.map(reader.read, bodies), rows, strict=True):
                assert found is not None
                np.testing.assert_array_equal(found["x"], due)


def test_an_array_outlives_the_next_body() -> None:
    """The parser's memory is used again, the arrays' is not."""
    reader = PlainReader(one(2, dtype="float64"))
    first = reader.read(b'{"instances":[[1,2],[3,4]]}')
    for _ in range(10):
        reader.read(b'{"instances":[[9,9],[9,9]]}')
    assert first is not None
    np.testing.assert_array_equal(first["x"], [[1, 2], [3, 4]])


def test_large_bodies() -> None:
    """Of some megabytes, several at once, and small ones after them."""
    rows = np.random.default_rng(3).standard_normal((2000, 784)).astype(np.float32).round(3)
    reader, content = PlainReader(one(784)), orjson.dumps({"instances": rows.tolist()})
    assert len(content) > 2**23
    with ThreadPoolExecutor(2) as threads:
        for found in threads.map(reader.read, [content] * 4):
            assert found is not None
            np.testing.assert_array_equal(found["x"], rows)
    small = reader.read(orjson.dumps({"instances": rows[:1].tolist()}))
    assert small is not None
    np.testing.assert_array_equal(small["x"], rows[:1])
