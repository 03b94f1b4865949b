"""multipart/form-data, read part by part while it comes; no part is ever whole in memory."""

import re
from collections import deque
from collections.abc import Iterator, Mapping
from typing import Final

from werkzeug.exceptions import RequestEntityTooLarge
from werkzeug.sansio.multipart import Data, Event, Field, File, MultipartDecoder, NeedData, State

from service.data.fault_list import escape
from service.data.npy_parts import FilePart
from service.data.streams import Readable
from service.errors import Fault, MalformedRequest, TooLarge

FORM: Final = "multipart/form-data"
#: What may stand before the first part, and what a part may say of itself.
MAX_HEAD_BYTES: Final = 2**16
MAX_PARTS: Final = 256
_PIECE_BYTES: Final = 2**22
#: The standard has 70, and common clients go beyond it by some digits of a random number.
_MAX_BOUNDARY: Final = 128
#: More than a boundary takes.
_TAIL_BYTES: Final = 2**8
_ADVICE: Final = "Let the client write the form: with curl, -F x=@x.npy -F y=@y.npy."


class Form:
    """The parts of one body, in the order in which they come."""

    def __init__(self, stream: Readable, parameters: Mapping[str, str], limit_bytes: int) -> None:
        """`parameters` are those of the Content-Type; raises MalformedRequest where they have no usable boundary."""
        self._stream, self._limit_bytes, self._size = stream, limit_bytes, 0
        boundary = _boundary(parameters)
        self._decoder = MultipartDecoder(boundary, max_parts=MAX_PARTS)
        self._mark = b"--" + boundary
        self._open_end = re.compile(rb"%s([ \t]*[-\r]?)\Z" % re.escape(self._mark))
        self._held = b""
        self._content: deque[memoryview] = deque()
        self._part: str | None = None

    def parts(self) -> Iterator[FilePart]:
        """Each part once; what is left of one is passed over before the next.

        Raises TooLarge for too many bytes or parts, and MalformedRequest where the form is cut off or damaged.
        """
        while (event := self._next_event()) is not None:
            if isinstance(event, File | Field):
                self._part = event.name or ""
                stream = _PartStream(self)
                yield FilePart(
                    name=self._part,
                    media_type=event.headers.get("Content-Type", ""),
                    is_file=isinstance(event, File),
                    stream=stream,
                )
                while stream.read(_PIECE_BYTES):
                    continue

    def next_data(self) -> tuple[memoryview, bool]:
        """The next piece of the part that is being read, and whether there are more."""
        while not self._content and isinstance(event := self._decoded(), NeedData):
            self._feed()
        if self._content:
            return self._content.popleft(), True
        assert isinstance(event, Data)
        return memoryview(event.data), event.more_data

    def _next_event(self) -> Event | None:
        """What comes next; None once all was read that follows the last part."""
        while isinstance(event := self._decoded(), NeedData):
            if self._decoder.state is State.EPILOGUE:
                self._pass_over_the_rest()
                return None
            self._check_head()
            self._feed()
        return event

    def _decoded(self) -> Event:
        try:
            return self._decoder.next_event()
        except RequestEntityTooLarge as error:
            raise TooLarge(f"More than {MAX_PARTS} parts came, the most that a form may have. Send fewer.") from error
        except ValueError as error:
            raise self._damaged() from error

    def _check_head(self) -> None:
        if self._decoder.state in (State.PREAMBLE, State.PART) and len(self._decoder.buffer) > MAX_HEAD_BYTES:
            raise _malformed(f"What stands before a part takes more than {MAX_HEAD_BYTES} bytes. {_ADVICE}")

    def _feed(self) -> None:
        """Take the next piece: what is content without a doubt passes the decoder by, which would copy it four times.

        The decoder gets no boundary without what ends its line: it would take a part of the line break before it for
        content.
        """
        came = self._read()
        if self._is_content(came):
            self._content.extend((memoryview(self._held), memoryview(came)[:-_TAIL_BYTES]))
            self._held = came[-_TAIL_BYTES:]
            return
        piece, self._held = self._held + came, b""
        held = self._length_to_hold(piece) if came else 0
        if held:
            piece, self._held = piece[:-held], piece[-held:]
        if piece or not came:
            self._decoder.receive_data(piece or None)

    def _is_content(self, came: bytes) -> bool:
        """Whether no boundary begins in what was held back, nor in this piece before its tail."""
        if self._decoder.state is not State.DATA or self._decoder.buffer or len(came) <= 2 * _TAIL_BYTES:
            return False
        return self._mark not in came and self._mark not in self._held + came[:_TAIL_BYTES]

    def _length_to_hold(self, piece: bytes) -> int:
        """How many bytes to hold back so that no boundary is whole at the end, unless the end of its line is there."""
        tail = piece[-_TAIL_BYTES:]
        if len(piece) < _TAIL_BYTES:
            tail = bytes(self._decoder.buffer[-_TAIL_BYTES:]) + tail
        found = self._open_end.search(tail)
        return 0 if found is None else min(len(piece), len(found[1]) + 1)

    def _read(self) -> bytes:
        piece = self._stream.read(_PIECE_BYTES)
        self._size += len(piece)
        if self._size > self._limit_bytes:
            raise TooLarge(
                f"More than {self._limit_bytes} bytes came, the most that this server takes at once. Send less."
            )
        return piece

    def _pass_over_the_rest(self) -> None:
        while self._read():
            continue

    def _damaged(self) -> MalformedRequest:
        if self._decoder.complete:
            place = "before its first part" if self._part is None else f"in or after the part {self._part[:64]!r}"
            detail = f"The form ends {place}, after {self._size} bytes; its last boundary was expected. Send it whole."
        else:
            detail = f"What stands before a part is not as a form has it. {_ADVICE}"
        return _malformed(detail, self._part)


class _PartStream:
    """The bytes of one part."""

    def __init__(self, form: Form) -> None:
        self._form = form
        self._piece = memoryview(b"")
        self._ended = False

    def read(self, size: int, /) -> bytes:
        return bytes(self._take(size))

    def readinto(self, buffer: memoryview, /) -> int:
        taken = self._take(len(buffer))
        buffer[: len(taken)] = taken
        return len(taken)

    def _take(self, size: int) -> memoryview:
        while not self._piece and not self._ended:
            self._piece, more = self._form.next_data()
            self._ended = not more
        taken, self._piece = self._piece[:size], self._piece[size:]
        return taken


def _boundary(parameters: Mapping[str, str]) -> bytes:
    boundary = parameters.get("boundary", "")
    if not (boundary.isascii() and 0 < len(boundary) <= _MAX_BOUNDARY):
        came = f"the boundary {boundary[:80]!r}" if boundary else "no boundary"
        raise _malformed(
            f"The Content-Type has {came}; one of 1 to {_MAX_BOUNDARY} ASCII characters was expected. {_ADVICE}"
        )
    return boundary.encode("ascii")


def _malformed(detail: str, part: str | None = None) -> MalformedRequest:
    return MalformedRequest(detail, [Fault(pointer="" if part is None else f"/{escape(part[:64])}", detail=detail)])
