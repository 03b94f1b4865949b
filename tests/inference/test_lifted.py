"""What is lifted out of a request is what a JSON parser would have read, and nothing is read more kindly."""

import json
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.inference import plain
from service.inference.lifted import read_lifted
from service.inference.plain import flat_numbers

SPACE = st.text(" \t\r\n", max_size=2)
NUMBERS = st.one_of(st.integers(-(2**53), 2**53), st.floats(-(2.0**53), 2.0**53, allow_nan=False))


def tensor(data: Any, **changes: Any) -> dict[str, Any]:
    return {"name": "x", "shape": [1, 3], "datatype": "FP32", "data": data, **changes}


def request(*inputs: Any, **more: Any) -> bytes:
    return json.dumps({"id": "1", "inputs": list(inputs), **more}).encode()


def test_lists_become_arrays_and_all_else_stays() -> None:
    """Whatever comes before, between and behind them."""
    more = {"outputs": [{"name": "y"}], "parameters": {"binary_data_output": True}}
    body = read_lifted(request(tensor([1, 2.5, -3e2]), tensor([4], name="data"), **more))
    assert body is not None
    first, second = (one.pop("data") for one in body["inputs"])
    np.testing.assert_array_equal(first, [1, 2.5, -300])
    np.testing.assert_array_equal(second, [4])
    assert first.dtype == np.float64
    expected = orjson.loads(request(tensor(0), tensor(0, name="data"), **more))
    for one in expected["inputs"]:
        del one["data"]
    assert body == expected


@given(st.lists(st.tuples(SPACE, NUMBERS, SPACE), min_size=1, max_size=50))
def test_numbers_are_what_they_are_in_json(parts: list[tuple[str, float, str]]) -> None:
    """With space anywhere, to the last bit."""
    text = ",".join(f"{before}{number!r}{after}" for before, number, after in parts)
    body = read_lifted(b'{"inputs":[{"datatype":"FP64","data" : [%b]}]}' % text.encode())
    assert body is not None
    expected = np.array(orjson.loads(f"[{text}]"), np.float64)
    assert body["inputs"][0]["data"].tobytes() == expected.tobytes()


@pytest.mark.parametrize("pieces", [1, 7, 1000])
def test_long_lists_are_read_in_pieces(monkeypatch: pytest.MonkeyPatch, pieces: int) -> None:
    """Wherever they are cut."""
    monkeypatch.setattr(plain, "_PIECE_BYTES", pieces)
    numbers = np.random.default_rng(3).normal(size=500).round(4)
    found = flat_numbers(json.dumps(numbers.tolist())[1:-1].encode())
    assert found is not None
    assert found.tobytes() == numbers.tobytes()


@pytest.mark.parametrize("pieces", [1, 4, 2**16])
@pytest.mark.parametrize(
    "text",
    [
        *("", " ", ",", "1,", ",1", "1,,2", "1 2", "1,2,", "01", "+1", ".5", "1.", "1e", "0x1", "--1", "1-2"),
        *("null", "true", "1,true", '"1"', "[1]", "1,[2]", "{}", "NaN", "Infinity", "1e400", "-1e999", "1e"),
        *("9007199254740994", "-1e17", "1\x00", "1,\xff", "1\u00a02"),
    ],
)
def test_what_is_no_flat_list_of_such_numbers_is_left_alone(
    monkeypatch: pytest.MonkeyPatch, text: str, pieces: int
) -> None:
    """Faults are told by whoever reads the whole, and numbers that may have been rounded are read there."""
    monkeypatch.setattr(plain, "_PIECE_BYTES", pieces)
    assert flat_numbers(text.encode("latin-1")) is None


@pytest.mark.parametrize(
    "content",
    [
        request(tensor([[1, 2], [3, 4]])),
        request(tensor([1, 2, 3], datatype="INT64")),
        request(tensor([1, 2, 3], datatype="BOOL")),
        request(tensor([1, 2, 3], datatype=7)),
        request(tensor([1, 2, 3]), tensor(None)),
        request(tensor([1, 2, 3]), parameters={"data": [1]}),
        request(tensor([1, 2, 3], parameters={"data": [1]})),
        request(tensor([1, 2, 3]), 5),
        request(tensor([])),
        request(),
        b'{"inputs": {"datatype": "FP32", "data": [1]}}',
        b'[{"datatype": "FP32", "data": [1]}]',
        b'{"inputs":[{"datatype":"FP32","data":[1]}]',
        b'{"inputs":[{"datatype":"FP32","data":[1}]}',
        b'{"inputs":[{"datatype":"FP32","data":[1,2',
        b'{"inputs":[{"datatype":"FP32","data":[1],"data":[2]}]}',
        b'{"inputs":[{"datatype":"FP32","\\"data":[1]}]}',
        b'{"inputs":[{"datatype":"FP32","a":"data":[1]}]}',
    ],
)
def test_a_request_of_another_kind_is_left_alone(content: bytes) -> None:
    """It is read whole: as it is, or with its faults."""
    body = read_lifted(content)
    assert body is None or body["inputs"] == []


def test_texts_that_look_like_data_are_texts() -> None:
    """In a JSON text the quotes are escaped."""
    odd = '"data":[1,2]'
    body = read_lifted(request(tensor([5]), id=odd, parameters={odd: odd}))
    assert body is not None
    assert (body["id"], body["parameters"]) == (odd, {odd: odd})
