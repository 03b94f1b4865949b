"""The plain form of a request, straight from its bytes to one array, without a Python object for each number.

Plain is `{"instances": [...]}` of nested lists of numbers in exactly the shape of the only input. A request that is not
plain, or that is wrong, is none of this module's business: it takes the way through `instances`, which says what is
wrong. Both ways give the same array.

The shape is checked apart from the numbers: what is left of a body when all that numbers and space are made of is taken
away must be the brackets and commas of so many rows, and the key. simdjson then reads the numbers, and refuses what
is not JSON.
"""

import threading
from typing import Any

import numpy as np
import simdjson

from service.inference.instances import cast_exactly
from service.inference.signature import Signature, TensorSpec

Array = np.ndarray[Any, Any]

_KEY = "instances"
_OF_NUMBERS_AND_SPACE = b"0123456789+-.eE \t\r\n"
_HEAD = b'{"instances":['.translate(None, _OF_NUMBERS_AND_SPACE)
_TAIL = b"]}"
#: Types whose every number a float64 holds, as which simdjson gives them.
_EXACT = ("float16", "float32", "float64", "int8", "int16", "int32", "uint8", "uint16", "uint32")
#: Up to this, each number in a float64 becomes a finite one.
_LARGEST = {name: float(np.finfo(name).max) for name in ("float16", "float32")}
#: A parser keeps the memory that its largest body took, so that larger ones get a parser of their own.
_KEPT_BYTES = 2**20


class PlainReader:
    """Reads plain bodies for one signature; may be shared by threads."""

    def __init__(self, signature: Signature) -> None:
        self._spec = _only_fixed(signature)
        self._shape = () if self._spec is None else tuple(size or 0 for size in self._spec.shape)
        self._dtype = "" if self._spec is None else self._spec.dtype
        self._largest = _LARGEST.get(self._dtype)
        self._row = _brackets(self._shape)
        self._parsers = threading.local()

    def read(self, content: bytes) -> dict[str, Array] | None:
        """Give the array by the input's name, (rows, *shape) in its dtype; None where the body is not plain."""
        if self._spec is None:
            return None
        rows = self._rows(content)
        if rows is None:
            return None
        numbers = self._numbers(content)
        if numbers is None:
            return None
        array = self._cast(numbers)
        return None if array is None else {self._spec.name: array.reshape(rows, *self._shape)}

    def _cast(self, numbers: Array) -> Array | None:
        """The numbers in the input's type, as `cast_exactly` gives them; None where they do not fit it."""
        if self._largest is None:
            return cast_exactly(numbers, self._dtype)
        # No number that simdjson gives is infinite, but one may become so. Where the sum of the squares is small, all
        # are; that is the quickest to find out.
        small = numbers.dot(numbers) <= self._largest * self._largest or abs(numbers).max() <= self._largest
        return numbers.astype(self._dtype) if small else None

    def _rows(self, content: bytes) -> int | None:
        """How many rows the body's brackets and commas are those of; None if they are not."""
        shape = content.translate(None, _OF_NUMBERS_AND_SPACE)
        rows, rest = divmod(len(shape) - len(_HEAD) - len(_TAIL) + 1, len(self._row) + 1)
        if rest or rows < 1:
            return None
        return rows if shape == _HEAD + b",".join([self._row] * rows) + _TAIL else None

    def _numbers(self, content: bytes) -> Array | None:
        """All numbers of the body, flat; None where it is not JSON, or not under the right key."""
        try:
            found = self._parser(len(content)).parse(content)[_KEY]  # type: ignore[index]
            return np.frombuffer(found.as_buffer(of_type="d"))  # type: ignore[union-attr]
        except (ValueError, KeyError, TypeError, RuntimeError):
            return None

    def _parser(self, size: int) -> simdjson.Parser:
        if size > _KEPT_BYTES:
            return simdjson.Parser()
        if not hasattr(self._parsers, "own"):
            self._parsers.own = simdjson.Parser()
        parser: simdjson.Parser = self._parsers.own
        return parser


def _only_fixed(signature: Signature) -> TensorSpec | None:
    """The only input, if a fixed number of numbers makes a row of it."""
    if len(signature.inputs) != 1:
        return None
    (spec,) = signature.inputs
    return spec if spec.dtype in _EXACT and spec.shape and all(spec.shape) else None


def _brackets(shape: tuple[int, ...]) -> bytes:
    """The brackets and commas of one row."""
    inner = b""
    for size in reversed(shape):
        inner = b"[" + b",".join([inner] * size) + b"]"
    return inner
