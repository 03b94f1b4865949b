"""UTF-16 text, as spreadsheets save it: known by its byte order mark, and passed on as UTF-8, a block at a time."""

import codecs
import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, Final

from service.data.packed import BLOCK_BYTES, is_packed, opened
from service.errors import Fault, MalformedRequest

_ENCODINGS: Final = {codecs.BOM_UTF16_LE: "utf-16-le", codecs.BOM_UTF16_BE: "utf-16-be"}
_MARK_BYTES: Final = 2


@contextmanager
def opened_text(path: Path, limit_bytes: int) -> Iterator[BinaryIO]:
    """Open a file, unpacked if it is packed, and as UTF-8 without its mark if it begins with that of UTF-16.

    What is read from it raises what `packed.opened` says, and MalformedRequest with the position where UTF-16 is wrong.
    """
    with opened(path, limit_bytes) as file:
        encoding = _encoding(file.read(4))
    with opened(path, limit_bytes) as file:
        if encoding is None:
            yield file
            return
        with io.BufferedReader(_Recoded(file, encoding), BLOCK_BYTES) as text:
            yield text


def is_plain(path: Path) -> bool:
    """Whether `opened_text` gives a file's very bytes, so that they can be read from anywhere."""
    with path.open("rb") as file:
        return _encoding(file.read(4)) is None and not is_packed(path)


def as_utf8(content: bytes) -> bytes:
    """Text as UTF-8; only what begins with the mark of UTF-16 is changed, and can raise MalformedRequest."""
    encoding = _encoding(content[:4])
    return content if encoding is None else _Recoded(io.BytesIO(content), encoding).readall()


def _encoding(start: bytes) -> str | None:
    """The encoding of a file that begins so, if it is UTF-16; UTF-32 begins alike, with a NUL after the mark."""
    return None if start[_MARK_BYTES:] == b"\0\0" else _ENCODINGS.get(start[:_MARK_BYTES])


class _Recoded(io.RawIOBase):
    """The text of a file behind its mark, in UTF-8."""

    def __init__(self, file: BinaryIO, encoding: str) -> None:
        self._file = file
        self._decoder = codecs.getincrementaldecoder(encoding)()
        self._position = len(file.read(_MARK_BYTES))
        self._rest = memoryview(b"")
        self._ended = False

    def readable(self) -> bool:
        return True

    def readinto(self, target: Any) -> int:
        # A block may hold no more than the first half of a character.
        while not self._rest and not self._ended:
            self._rest = memoryview(self._next())
        view = memoryview(target)
        size = min(len(view), len(self._rest))
        view[:size] = self._rest[:size]
        self._rest = self._rest[size:]
        return size

    def _next(self) -> bytes:
        block = self._file.read(BLOCK_BYTES)
        pending = len(self._decoder.getstate()[0])
        try:
            text = self._decoder.decode(block, final=not block)
        except UnicodeDecodeError as error:
            raise _malformed(self._position - pending + error.start, error.reason) from error
        self._position += len(block)
        self._ended = not block
        return text.encode()


def _malformed(position: int, reason: str) -> MalformedRequest:
    detail = (
        f"The file's byte order mark says that it is UTF-16, and what is at position {position} is not ({reason}). "
        "Perhaps a part is missing; save the file again, as UTF-8 if that can be had."
    )
    return MalformedRequest(detail, [Fault(pointer="", detail=detail)])
