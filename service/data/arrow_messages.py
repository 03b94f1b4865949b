"""The messages of Arrow's stream format, and how much memory each takes once unpacked, by its own metadata.

A buffer may be packed, behind its length as it was, and PyArrow makes room for that length before it unpacks. The
metadata is a FlatBuffer, which PyArrow has verified; of it, this reads what `Message.fbs` calls a RecordBatch.
"""

import struct
from collections.abc import Iterator
from typing import Any

_HEADER_TYPE, _HEADER = 1, 2
_DICTIONARY_BATCH, _RECORD_BATCH = 2, 3
#: Where a dictionary's message has its RecordBatch.
_DATA = 1
_BUFFERS, _COMPRESSION = 2, 3
#: An offset and a length, eight bytes each.
_BUFFER_BYTES = 16
_LENGTH_BYTES = 8


def messages(stream: Any) -> Iterator[Any]:
    """Each message of a stream; raises what PyArrow raises of a damaged one."""
    from pyarrow import ipc

    reader = ipc.MessageReader.open_stream(stream)
    # The reader raises StopIteration from a method of its own, which a `for` cannot use.
    while True:
        try:
            message = reader.read_next_message()
        except StopIteration:
            return
        yield message


def unpacked_bytes(metadata: bytes, body: memoryview) -> int:
    """The bytes that a message's buffers take in memory beside the message; raise ValueError where it is damaged.

    0 where they are not packed, since they are used where they lie.
    """
    try:
        message = _Table(metadata, struct.unpack_from("<I", metadata)[0])
        kind = message.field(_HEADER_TYPE)
        header = message.table(_HEADER)
        if kind is not None and metadata[kind] == _DICTIONARY_BATCH and header is not None:
            header = header.table(_DATA)
        elif kind is None or metadata[kind] != _RECORD_BATCH:
            header = None
        if header is None or header.field(_COMPRESSION) is None:
            return 0
        return sum(_unpacked(body, *buffer) for buffer in header.pairs(_BUFFERS))
    except (struct.error, IndexError) as error:
        raise ValueError("a message's buffers lie outside of it") from error


def _unpacked(body: memoryview, offset: int, length: int) -> int:
    if not length:
        return 0
    if offset < 0 or length < 0:
        raise ValueError("a buffer has a negative place")
    size: int = struct.unpack_from("<q", body, offset)[0]
    # -1 marks a buffer that was not worth packing.
    return max(size, length - _LENGTH_BYTES)


class _Table:
    """A FlatBuffer's table at a position; a field that is not there is None."""

    def __init__(self, content: bytes, position: int) -> None:
        self._content, self._position = content, position
        self._offsets = position - struct.unpack_from("<i", content, position)[0]

    def field(self, number: int) -> int | None:
        """Where a field's value stands."""
        place = 4 + 2 * number
        if place + 2 > struct.unpack_from("<H", self._content, self._offsets)[0]:
            return None
        offset: int = struct.unpack_from("<H", self._content, self._offsets + place)[0]
        return self._position + offset if offset else None

    def table(self, number: int) -> "_Table | None":
        """The table that a field points to."""
        at = self._target(number)
        return None if at is None else _Table(self._content, at)

    def pairs(self, number: int) -> list[tuple[int, int]]:
        """The elements of a vector of two 64-bit numbers each."""
        at = self._target(number)
        if at is None:
            return []
        count = struct.unpack_from("<I", self._content, at)[0]
        whole = self._content[at + 4 : at + 4 + count * _BUFFER_BYTES]
        return list(struct.iter_unpack("<qq", whole[: len(whole) // _BUFFER_BYTES * _BUFFER_BYTES]))

    def _target(self, number: int) -> int | None:
        at = self.field(number)
        return None if at is None else at + struct.unpack_from("<I", self._content, at)[0]
