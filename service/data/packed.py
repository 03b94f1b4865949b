"""Gzip and Zstandard around an upload: known by the first bytes, and unpacked as a stream, never further than allowed.

Both may hold several members one after the other, as `cat a.gz b.gz` makes them. A zstd frame may ask for a window of
128 MiB at most.
"""

import io
import zlib
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, Final

from service.errors import Fault, MalformedRequest, TooLarge

BLOCK_BYTES: Final = 2**20
_GZIP: Final = b"\x1f\x8b"
_ZSTD: Final = b"\x28\xb5\x2f\xfd"
#: A zstd frame that holds no content can come first: its magic number ends in these bytes, after one of sixteen.
_ZSTD_SKIPPABLE: Final = b"\x2a\x4d\x18"


@contextmanager
def opened(path: Path, limit_bytes: int) -> Iterator[BinaryIO]:
    """Open a file, unpacked if it is packed.

    What is read from it raises MalformedRequest where packed bytes are damaged, end too soon or are followed by others,
    and TooLarge once they unpack to more than `limit_bytes`.
    """
    with path.open("rb") as file:
        blocks = _blocks(file)
        if blocks is None:
            yield file
            return
        with io.BufferedReader(_Unpacked(blocks, limit_bytes), BLOCK_BYTES) as unpacked:
            yield unpacked


def is_packed(path: Path) -> bool:
    """Whether a file begins as gzip or zstd does."""
    with path.open("rb") as file:
        return _blocks(file) is not None


def _blocks(file: BinaryIO) -> Iterator[bytes] | None:
    start = file.read(4)
    file.seek(0)
    if start.startswith(_GZIP):
        return _gunzipped(file)
    if start == _ZSTD or (start[1:] == _ZSTD_SKIPPABLE and start[0] >> 4 == 5):
        return _unzstd(file)
    return None


class Blocks(io.RawIOBase):
    """A stream of blocks, none of which is empty."""

    def __init__(self, blocks: Iterator[bytes]) -> None:
        self._blocks = blocks
        self._rest = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, target: Any) -> int:
        if not self._rest:
            self._rest = memoryview(next(self._blocks, b""))
        view = memoryview(target)
        size = min(len(view), len(self._rest))
        view[:size] = self._rest[:size]
        self._rest = self._rest[size:]
        return size


class _Unpacked(Blocks):
    """Such a stream, which counts what it gives."""

    def __init__(self, blocks: Iterator[bytes], limit_bytes: int) -> None:
        super().__init__(blocks)
        self._limit = limit_bytes
        self._given = 0

    def readinto(self, target: Any) -> int:
        size = super().readinto(target)
        self._given += size
        if self._given > self._limit:
            raise TooLarge(f"The file unpacks to more than {self._limit} bytes, the most allowed. Send less at once.")
        return size


def _gunzipped(file: BinaryIO) -> Iterator[bytes]:
    """The content of all members, in blocks that are never empty."""
    packed = file.read(BLOCK_BYTES)
    while packed:
        packed = yield from _member(file, packed)
        packed = _next_member(file, packed)


def _member(file: BinaryIO, packed: bytes) -> Generator[bytes, None, bytes]:
    """The content of the member that `packed` begins with; returns what was read beyond its end."""
    unpacker = zlib.decompressobj(wbits=31)
    while True:
        try:
            block = unpacker.decompress(packed, BLOCK_BYTES)
        except zlib.error as error:
            raise _damaged("gzip", str(error)) from error
        if block:
            yield block
        if unpacker.eof:
            return unpacker.unused_data
        packed = unpacker.unconsumed_tail or file.read(BLOCK_BYTES)
        # What is unpacked already may have to be fetched, though no bytes are left to be read.
        if not packed and not block:
            raise _cut_short("gzip", file.tell())


def _next_member(file: BinaryIO, packed: bytes) -> bytes:
    """What the next member begins with; nothing at the end, before which there may be zeros, as tapes have them."""
    packed = packed.lstrip(b"\0")
    while not packed and (block := file.read(BLOCK_BYTES)):
        packed = block.lstrip(b"\0")
    if len(packed) == 1:
        packed += file.read(BLOCK_BYTES)
    if packed and not packed.startswith(_GZIP):
        position = file.tell() - len(packed)
        raise _damaged("gzip", f"bytes that are no gzip follow after its end, at byte {position}")
    return packed


def _unzstd(file: BinaryIO) -> Iterator[bytes]:
    # PyArrow is heavy, and most files have no need of it.
    import pyarrow

    source = pyarrow.PythonFile(file, mode="r")
    with pyarrow.CompressedInputStream(source, "zstd") as stream:
        while True:
            try:
                block = stream.read(BLOCK_BYTES)
            except OSError as error:
                # An error of the disk has a number; those of the unpacking have a text alone.
                if error.errno is not None:
                    raise
                if "Truncated" in str(error):
                    raise _cut_short("zstd", file.tell()) from error
                raise _damaged("zstd", str(error)) from error
            if not block:
                return
            yield block


def _cut_short(form: str, position: int) -> MalformedRequest:
    return _malformed(f"The {form} data end too soon, at byte {position}: a part is missing. Send the file whole.")


def _damaged(form: str, reason: str) -> MalformedRequest:
    return _malformed(f"The {form} data are damaged ({reason[:120]}). Pack the file again, or send it unpacked.")


def _malformed(detail: str) -> MalformedRequest:
    return MalformedRequest(detail, [Fault(pointer="", detail=detail)])
