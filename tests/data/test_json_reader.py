"""JSON bodies: rows stream in, faults carry pointers, and broken text carries its position."""

import json
import time
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from service.data import json_reader
from service.data.arrays import ArrayFacts
from service.data.readers import read
from service.errors import Invalid, MalformedRequest


def take(folder: Path, body: str | bytes) -> tuple[ArrayFacts, ...]:
    path = folder / "body"
    path.write_bytes(body.encode() if isinstance(body, str) else body)
    return read(path, "json", folder)


def pointers_of(folder: Path, body: str) -> list[str]:
    with pytest.raises(Invalid) as raised:
        take(folder, body)
    return [fault.pointer for fault in raised.value.faults]


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    x=hnp.arrays(
        np.float64,
        hnp.array_shapes(min_dims=1, max_dims=4, max_side=4),
        elements=st.floats(width=32, allow_nan=False, allow_infinity=False).map(lambda value: min(value, 1e9)),
    ),
    block=st.integers(1, 64),
)
def test_arrays_come_back_equal_from_blocks_of_any_size(tmp_path: Path, x: np.ndarray[Any, Any], block: int) -> None:
    """Where blocks end makes no difference."""
    x = np.clip(x, -1e9, 1e9)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_reader, "BLOCK_BYTES", block)
        patch.setattr(json_reader, "MAX_OPEN_BLOCKS", 10_000)
        take(tmp_path, json.dumps({"y": [0] * len(x), "x": x.tolist()}))
    got = np.load(tmp_path / "x.npy")
    np.testing.assert_array_equal(got, x.reshape(got.shape).astype(np.float32))


def test_names_and_weights_are_read(tmp_path: Path) -> None:
    """x and y may be objects of arrays, in any order."""
    facts = take(tmp_path, '{"sample_weight":[1,1],"y":{"o":[true,false]},"x":{"a":[[1.5],[2]],"b":[[[1]],[[2]]]}}')
    shapes = {fact.filename: fact.shape for fact in facts}
    assert shapes == {"x.a.npy": (2, 1), "x.b.npy": (2, 1, 1), "y.o.npy": (2,), "sample_weight.npy": (2,)}


@pytest.mark.parametrize(
    ("body", "pointers"),
    [
        ("[]", ["", "/x", "/y"]),
        ("3", ["", "/x", "/y"]),
        ('{"x": 3, "y": [1]}', ["/x"]),
        ('{"x": [[1]], "y": null}', ["/y"]),
        ('{"x": {"a": {"b": [1]}}, "y": [1]}', ["/x/a"]),
        ('{"x": [[1]], "y": [1], "sample_weight": {"a": [2]}}', ["/sample_weight"]),
        ('{"x": [[1]], "y": [1], "z": {"a": [[1, {"b": []}]]}}', ["/z"]),
        ('{"x": [[1]], "y": [1], "z": [1, [2]]}', ["/z"]),
        ('{"x": [[1]], "x": [[1]], "y": [1]}', ["/x"]),
        ('{"x": [[1]], "x": {"a": [[1]]}, "y": [1]}', ["/x/a"]),
        ('{"x": [[1], [{"a": [3, {"b": 1}]}], ["t"], [null], [1, 2]], "y": [1,1,1,1,1]}',
         ["/x/1/0", "/x/2/0", "/x/3/0", "/x/4"]),
        ('{"x": {"left": [[1, 2], [3, false]]}, "y": [1, 2]}', ["/x/left/1/1"]),
        ('{"x": [[1], [1e400]], "y": [1, 2]}', ["/x/1"]),
        ('{"x": [[1], [99999999999999999999]], "y": [1, 2]}', ["/x/1"]),
        ('{"x": [[1], [9007199254740993]], "y": [1, 2]}', ["/x/1/0"]),
    ],
)  # fmt: skip
def test_every_fault_has_a_pointer(tmp_path: Path, body: str, pointers: list[str]) -> None:
    """All that is wrong in a body that parses comes at once."""
    assert pointers_of(tmp_path, body) == pointers


@pytest.mark.parametrize(
    ("body", "position"),
    [
        ('{"x": [[1], [NaN]]}', 13),
        ('{"x": [[1], [2', 14),
        ("", 0),
        ("nonsense", 1),
        ('{"x": [1,]}', 9),
        (b'{"x": ["\xff"]}', 8),
        ('{"x": [1], "y": [1]} more', 21),
    ],
)
def test_broken_text_has_a_position(tmp_path: Path, body: str | bytes, position: int) -> None:
    """The byte at which the text stops being JSON is told."""
    with pytest.raises(MalformedRequest, match=f"byte {position}\\b"):
        take(tmp_path, body)


def test_position_is_right_in_a_later_block(tmp_path: Path) -> None:
    """The position counts from the start of the body, not of the block."""
    body = '{"x": [' + "1, " * 100_000
    with pytest.raises(MalformedRequest, match=f"byte {len(body)}\\b"):
        take(tmp_path, body + "?")


def test_an_endless_row_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A row that does not end within the limit is not collected further."""
    monkeypatch.setattr(json_reader, "MAX_OPEN_VALUES", 1000)
    assert pointers_of(tmp_path, '{"x": [[' + "1," * 200_000) == ["/x/0"]


def test_an_endless_text_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A text that goes on over many blocks is not collected further."""
    monkeypatch.setattr(json_reader, "MAX_OPEN_BLOCKS", 2)
    assert pointers_of(tmp_path, '{"x": ["' + "a" * 2_000_000) == ["/x/0"]


def test_nesting_without_end_is_a_fault(tmp_path: Path) -> None:
    """Deep nesting neither crashes nor passes."""
    body = '{"x": ' + "[" * 50_000 + "]" * 50_000 + ', "y": [1]}'
    assert pointers_of(tmp_path, body) == ["/x"]


def test_two_hundred_thousand_numbers_take_less_than_a_second(tmp_path: Path) -> None:
    """1000 rows of 10 x 20 numbers are read at once, and not all in memory."""
    x = np.random.default_rng(1).random((1000, 10, 20))
    body = json.dumps({"x": x.tolist(), "y": [0] * 1000})
    started = time.perf_counter()
    take(tmp_path, body)
    assert time.perf_counter() - started < 1
    np.testing.assert_array_equal(np.load(tmp_path / "x.npy"), x.astype(np.float32))


def test_memory_is_bounded(tmp_path: Path) -> None:
    """A body of 13 MB takes a few MB of memory."""
    path = tmp_path / "body"
    row = json.dumps([0.123456789] * 100)
    path.write_text('{"x": [' + ",".join([row] * 10_000) + '], "y": [' + ",".join(["1"] * 10_000) + "]}")
    tracemalloc.start()
    read(path, "json", tmp_path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 12 * 2**20
