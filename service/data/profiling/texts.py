"""Hashes and words of many texts at once, taken from their bytes as Arrow keeps them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from service.data.profiling.bounds import mixed

if TYPE_CHECKING:
    import pyarrow as pa

Hashes = npt.NDArray[np.uint64]

#: Texts of more bytes are hashed one by one.
_LONG: Final = 256
_SPACE: Final = 32
#: What is left of a word of 8 bytes, the first of which is the lowest, when so many of them belong to a text.
_MASKS: Final = np.array([2 ** (8 * size) - 1 for size in range(9)], np.uint64)


def hashes_of_texts(texts: pa.StringArray) -> Hashes:
    """A hash of each text, none of which is missing: of its length, then of its bytes, 8 at a time."""
    content, starts, lengths = _bytes_of(texts)
    words = np.ndarray((len(content) - 7,), "<u8", content.data, strides=(1,))
    hashes = mixed(lengths.astype(np.uint64))
    for done in range(0, min(_LONG, int(lengths.max(initial=0))), 8):
        rows = np.flatnonzero(lengths > done)
        left = np.minimum(lengths[rows] - done, 8)
        hashes[rows] = mixed(hashes[rows] ^ (words[starts[rows] + done] & _MASKS[left]))
    long = np.flatnonzero(lengths > _LONG)
    if len(long):
        hashes[long] = hashes_of_bytes(content[starts[row] : starts[row] + lengths[row]].data for row in long)
    return hashes


def hashes_of_bytes(contents: Iterable[Any]) -> Hashes:
    """A hash of each of these buffers."""
    digests = [hashlib.blake2b(content, digest_size=8, usedforsecurity=False).digest() for content in contents]
    return np.frombuffer(b"".join(digests), "<u8").astype(np.uint64)


def word_counts(texts: pa.StringArray) -> npt.NDArray[np.int64]:
    """How many words each text has, none of which is missing: runs of characters above the space."""
    content, starts, lengths = _bytes_of(texts)
    inside = content > _SPACE
    begins = inside.copy()
    begins[1:] &= ~inside[:-1]
    # A text begins anew whatever the text before it ends with.
    begins[starts] = inside[starts]
    places = np.flatnonzero(begins)
    counts: npt.NDArray[np.int64] = np.searchsorted(places, starts + lengths) - np.searchsorted(places, starts)
    return counts


def _bytes_of(texts: pa.StringArray) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """The bytes of all texts, with 8 zeros after them, and where each begins and how many it has."""
    _, places, content = texts.buffers()
    if not len(texts):
        return np.zeros(8, np.uint8), np.empty(0, np.int64), np.empty(0, np.int64)
    ends = np.frombuffer(places, np.int32)[texts.offset : texts.offset + len(texts) + 1].astype(np.int64)
    padded = np.zeros(int(ends[-1] - ends[0]) + 8, np.uint8)
    if content is not None:
        padded[:-8] = np.frombuffer(content, np.uint8)[ends[0] : ends[-1]]
    return padded, ends[:-1] - ends[0], np.diff(ends)
