"""The plain form of a request, straight from its bytes to one array, without a Python object for each number.

Plain is `{"instances": [...]}` of nested lists of numbers in exactly the shape of the only input. A request that is not
plain, or that is wrong, is none of this module's business: it takes the way through `instances`, which says what is
wrong. Both ways give the same array.

The shape is checked apart from the numbers: what is left of a body when all that numbers and space are made of is taken
away must be the brackets and commas of so many rows, and the key. simdjson then reads the numbers, and refuses what
is not JSON. A large body is read in pieces of whole rows, which fit into a processor's cache; between two of them other
threads have their turn.
"""

import math
import re
import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import simdjson

from service.inference.instances import cast_exactly
from service.inference.signature import Signature, TensorSpec

Array = np.ndarray[Any, Any]

_OF_NUMBERS_AND_SPACE = b"0123456789+-.eE \t\r\n"
_KEY = "instances"
_START = b'{"instances":['.translate(None, _OF_NUMBERS_AND_SPACE)
_END = b"]}"
_SPACE = rb"[ \t\r\n]*"
_HEAD = re.compile(_SPACE.join([b"", rb"\{", b'"instances"', b":", rb"\[", b""]))
_TAIL = re.compile(_SPACE.join([b"", rb"\]", rb"\}", b""]))
#: The longest that a tail is looked for, from the end.
_LONGEST_TAIL = 64
#: About how many bytes a piece of a large body has.
_PIECE_BYTES = 2**16
#: Types whose every number a float64 holds, as which simdjson gives them.
_EXACT = ("float16", "float32", "float64", "int8", "int16", "int32", "uint8", "uint16", "uint32")
#: Up to this, each number becomes a finite one, and a whole number is rounded once: a float64 holds it exactly.
_EXACTLY = 2.0**53
_LARGEST = {name: min(float(np.finfo(name).max), _EXACTLY) for name in ("float16", "float32")}


_parsers = threading.local()


def flat_numbers(content: bytes) -> Array | None:
    """The numbers of a flat list, without its brackets, as float64; None where there is anything else, or none.

    None also where a number is so large that a float64 may have rounded it: what it is then depends on who reads it.
    """
    numbers: list[Array] = []
    start = 0 if b"[" not in content else len(content) + 1
    while start <= len(content):
        end = content.find(b",", start + _PIECE_BYTES)
        piece = content[start:] if end < 0 else content[start:end]
        start = len(content) + 1 if end < 0 else end + 1
        try:
            found = np.frombuffer(_parser().parse(b"[%b]" % piece).as_buffer(of_type="d"))
        except (ValueError, TypeError, RuntimeError):
            return None
        # Between two commas there is a number, also where the list is cut.
        if not len(found) or not _are_within(found, _EXACTLY):
            return None
        numbers.append(found)
    return np.concatenate(numbers) if numbers else None


def _parser() -> Any:
    """This thread's own: a parser keeps the memory that its largest piece took."""
    try:
        return _parsers.own
    except AttributeError:
        _parsers.own = simdjson.Parser()
        return _parsers.own


def _are_within(numbers: Array, largest: float) -> bool:
    """Whether no number is larger, or as small below zero; none is NaN."""
    # The sum of their squares, one quick pass, is less than that of one that was too large: rounding keeps an order.
    if np.vdot(numbers, numbers) < largest * largest:
        return True
    return bool(np.maximum.reduce(np.abs(numbers)) <= largest)


class PlainReader:
    """Reads plain bodies for one signature; may be shared by threads."""

    def __init__(self, signature: Signature) -> None:
        self._spec = _only_fixed(signature)
        self._shape = () if self._spec is None else tuple(size or 0 for size in self._spec.shape)
        self._dtype = "" if self._spec is None else self._spec.dtype
        self._largest = _LARGEST.get(self._dtype)
        self._row, self._numbers_a_row = _brackets(self._shape), math.prod(self._shape)
        self._single = _START + self._row + _END
        self._between_rows = re.compile(_SPACE.join([rb"\]"] * len(self._shape) + [rb"(,)", rb"\["]))

    def read(self, content: bytes) -> dict[str, Array] | None:
        """Give the array by the input's name, (rows, *shape) in its dtype; None where the body is not plain."""
        if self._spec is None:
            return None
        numbers = self._whole(content) if len(content) <= _PIECE_BYTES else self._by_pieces(content)
        return None if numbers is None else {self._spec.name: numbers.reshape(-1, *self._shape)}

    def _whole(self, content: bytes) -> Array | None:
        """The numbers of a small body."""
        brackets = content.translate(None, _OF_NUMBERS_AND_SPACE)
        if brackets == self._single:
            return self._numbers(self._row, content, _KEY)
        if not (brackets.startswith(_START) and brackets.endswith(_END)):
            return None
        return self._numbers(brackets[len(_START) : -len(_END)], content, _KEY)

    def _by_pieces(self, content: bytes) -> Array | None:
        """The numbers of a large body."""
        inside = self._inside(content)
        if inside is None:
            return None
        numbers: list[Array] = []
        for piece in self._pieces(content, *inside):
            found = self._numbers(piece.translate(None, _OF_NUMBERS_AND_SPACE), b"[%b]" % piece, None)
            if found is None:
                return None
            numbers.append(found)
        return np.concatenate(numbers)

    def _inside(self, content: bytes) -> tuple[int, int] | None:
        """Where the rows begin and end; None if something else stands around them."""
        head = _HEAD.match(content)
        tail = None if head is None else _TAIL.fullmatch(content, max(head.end(), content.rfind(b"]", -_LONGEST_TAIL)))
        return None if head is None or tail is None else (head.end(), tail.start())

    def _pieces(self, content: bytes, start: int, end: int) -> Iterator[bytes]:
        """Cut between rows, about each so many bytes."""
        while end - start > 2 * _PIECE_BYTES:
            cut = self._between_rows.search(content, start + _PIECE_BYTES, end)
            if cut is None:
                break
            yield content[start : cut.start(1)]
            start = cut.end(1)
        yield content[start:end]

    def _numbers(self, brackets: bytes, content: bytes, key: str | None) -> Array | None:
        """All numbers in `content`, or under its `key`, in the input's type, flat; `brackets` are those of its rows.

        None where the rows are not plain.
        """
        rows = 1
        if brackets != self._row:
            rows, rest = divmod(len(brackets) + 1, len(self._row) + 1)
            if rest or rows < 1 or brackets != b",".join([self._row] * rows):
                return None
        try:
            parsed: Any = _parser().parse(content)
            found = parsed if key is None else parsed[key]
            numbers = np.frombuffer(found.as_buffer(of_type="d"))
            # Where a list has one number, an empty one has the same brackets.
            return self._cast(numbers) if len(numbers) == rows * self._numbers_a_row else None
        except (ValueError, KeyError, TypeError, RuntimeError):
            return None

    def _cast(self, numbers: Array) -> Array | None:
        """The numbers in the input's type, as `cast_exactly` gives them; None where they do not fit it."""
        if self._largest is None:
            return cast_exactly(numbers, self._dtype)
        # No number that simdjson gives is infinite, but one may become so, or may have been rounded.
        return numbers.astype(self._dtype) if _are_within(numbers, self._largest) else None


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
