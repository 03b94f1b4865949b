"""UTF-16 text, as spreadsheets save it: known by its byte order mark, and passed on as UTF-8, a block at a time."""

import codecs
import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Final

from service.data.packed import BLOCK_BYTES, Blocks, is_packed, opened
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
        with io.BufferedReader(Blocks(_recoded(file, encoding)), BLOCK_BYTES) as text:
            yield text


def is_plain(path: Path) -> bool:
    """Whether `opened_text` gives a file's very bytes, so that they can be read from anywhere."""
    with path.open("rb") as file:
        return _encoding(file.read(4)) is None and not is_packed(path)


def as_utf8(content: bytes) -> bytes:
    """Text as UTF-8; only what begins with the mark of UTF-16 is changed, and can raise MalformedRequest."""
    encoding = _encoding(content[:4])
    return content if encoding is None else b"".join(_recoded(io.BytesIO(content), encoding))


def _encoding(start: bytes) -> str | None:
    """The encoding of a file that begins so, if it is UTF-16; UTF-32 begins alike, with a NUL after the mark."""
    return None if start[_MARK_BYTES:] == b"\0\0" else _ENCODINGS.get(start[:_MARK_BYTES])


def _recoded(file: BinaryIO, encoding: str) -> Iterator[bytes]:
    """The text of a file behind its mark, in UTF-8, in blocks that are never empty."""
    decoder = codecs.getincrementaldecoder(encoding)()
    position = len(file.read(_MARK_BYTES))
    ended = False
    while not ended:
        block = file.read(BLOCK_BYTES)
        pending, ended = len(decoder.getstate()[0]), not block
        try:
            text = decoder.decode(block, final=ended)
        except UnicodeDecodeError as error:
            raise _malformed(position - pending + error.start, error.reason) from error
        position += len(block)
        # A block may hold no more than the first half of a character.
        if text:
            yield text.encode()


def _malformed(position: int, reason: str) -> MalformedRequest:
    detail = (
        f"The file's byte order mark says that it is UTF-16, and what is at position {position} is not ({reason}). "
        "Perhaps a part is missing; save the file again, as UTF-8 if that can be had."
    )
    return MalformedRequest(detail, [Fault(pointer="", detail=detail)])
