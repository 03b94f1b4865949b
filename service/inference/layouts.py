"""Requests with tensors as bytes whose JSON has come before: what it says of the bytes is not worked out again.

Clients ask again and again for tensors of the same names, types and shapes, in the very same words.
"""

import math
from collections.abc import Mapping
from typing import Any, Generic, NamedTuple, TypeVar

import numpy as np

Array = np.ndarray[Any, Any]
Said = TypeVar("Said")

#: How many are remembered, and how long their JSON may be.
MOST, LONGEST = 1024, 4096


class _Part(NamedTuple):
    """Where a tensor's bytes lie, counted from the end of the JSON, and what they are."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    start: int


class _Layout(NamedTuple, Generic[Said]):
    parts: tuple[_Part, ...]
    size: int
    said: Said


class Layouts(Generic[Said]):
    """Remembers by version and JSON how the bytes are laid out, and what else was `said`; threads may share one."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, bytes], _Layout[Said]] = {}

    def read(self, version: str, content: bytes, length: int) -> tuple[dict[str, Array], Said] | None:
        """The arrays by name, (rows, *shape), and what was said; None where these first `length` bytes are new."""
        layout = self._known.get((version, content[:length])) if length <= LONGEST else None
        if layout is None or layout.size != len(content) - length:
            return None
        arrays = {
            name: np.frombuffer(content, np.dtype(dtype).newbyteorder("<"), math.prod(shape), length + start)
            .reshape(shape)
            .astype(dtype, copy=False)
            for name, dtype, shape, start in layout.parts
        }
        return arrays, layout.said

    def note(self, version: str, content: bytes, length: int, arrays: Mapping[str, Array], said: Said) -> None:
        """Remember what was read of a request, if all of its tensors came as bytes."""
        size = sum(array.nbytes for array in arrays.values())
        if length > LONGEST or not size or size != len(content) - length:
            return
        parts, start = [], 0
        for name, array in arrays.items():
            parts.append(_Part(name, array.dtype.name, array.shape, start))
            start += array.nbytes
        if len(self._known) >= MOST:
            self._known.clear()
        self._known[version, content[:length]] = _Layout(tuple(parts), size, said)
