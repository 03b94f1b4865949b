"""JSON as a stream of records: line by line, or out of a list that is never whole in memory.

A list is cut where a prefix of it is JSON by itself once it is closed; such a place is between two of its elements, as
within a text or within an element the rest would be missing.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final

import orjson

from service.data.csv_table import not_utf8
from service.data.fault_list import FaultList
from service.data.packed import opened
from service.errors import Fault, Invalid, MalformedRequest

MAX_RECORD_BYTES: Final = 2**24
_BLOCK_BYTES: Final = 2**20
#: How many places a list is tried to be cut at, before more of it is read.
_TRIES: Final = 8
_BOM: Final = b"\xef\xbb\xbf"
_OPENING: Final = re.compile(rb'\s*(?P<object>\{\s*"records"\s*:\s*)?\[\s*')
_UNFINISHED: Final = "unexpected end of data"
_BEYOND: Final = "unexpected content after document"
_EXPECTED: Final = 'a list of objects, or {"records": [...]} with nothing else in it, was expected'


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """Records that follow each other; `lines` are their lines in the file, where each has one."""

    records: list[Any]
    lines: list[int] | None = None


def lines(path: Path, limit_bytes: int) -> Iterator[Block]:
    """The values of a file's lines, those that are empty left out; raises MalformedRequest with all that are no JSON.

    What is raised comes once the other lines have been given.
    """
    faults = FaultList()
    with opened(path, limit_bytes) as file:
        for block in _numbered_lines(file):
            records, numbers = [], []
            for number, line in block:
                try:
                    records.append(orjson.loads(line))
                    numbers.append(number)
                except orjson.JSONDecodeError as error:
                    detail = f"Line {number} is no JSON at column {error.pos + 1} ({error.msg}). Correct it there."
                    faults.add("", detail)
            yield Block(records=records, lines=numbers)
    try:
        faults.raise_if_any()
    except Invalid as error:
        raise MalformedRequest(error.detail, error.faults) from error


def elements(path: Path, limit_bytes: int) -> Iterator[Block]:
    """The elements of a list, or of that in {"records": [...]}; raises MalformedRequest with the byte where it ends.

    Raises Invalid where it is other JSON, and where an element is longer than MAX_RECORD_BYTES.
    """
    with opened(path, limit_bytes) as file:
        head = file.read(_BLOCK_BYTES)
        start = len(_BOM) if head.startswith(_BOM) else 0
        opening = _OPENING.match(head, start)
        if opening is None:
            raise _other(head[start:])
        rest, closing = head[opening.end() :], b"}" if opening["object"] else b""
        if rest[:1] not in (b"{", b"]", b""):
            raise _refusal(f"The list's first element is no object; {_EXPECTED}. Send that.")
        yield from _List(file, rest, opening.end(), closing=closing).blocks()


def begins_as_list(head: bytes) -> bool:
    """Whether a file with these first bytes is one whose records `elements` gives."""
    return _OPENING.match(head.removeprefix(_BOM)) is not None


def _numbered_lines(file: BinaryIO) -> Iterator[list[tuple[int, bytes]]]:
    """Lines with their numbers, as many as a block has."""
    block: list[tuple[int, bytes]] = []
    size = number = 0
    while line := file.readline(MAX_RECORD_BYTES + 1):
        number += 1
        if len(line) > MAX_RECORD_BYTES:
            raise _too_long(f"Line {number}")
        line = line.removeprefix(_BOM) if number == 1 else line
        if not line.isspace():
            block.append((number, line))
            size += len(line)
        if size > _BLOCK_BYTES:
            yield block
            block, size = [], 0
    if block:
        yield block


class _List:
    """The elements of a list that is open: `_rest` is what has been read and not yet given, `_position` where it is."""

    def __init__(self, file: BinaryIO, rest: bytes, position: int, *, closing: bytes) -> None:
        self._file, self._rest, self._position, self._closing = file, rest, position, closing
        self._count = 0

    def blocks(self) -> Iterator[Block]:
        more, wanted = self._rest, _BLOCK_BYTES
        while more:
            records, cut = self._cut()
            if cut == len(self._rest):
                break
            if records:
                yield self._given(records)
                self._drop(cut)
                wanted = _BLOCK_BYTES
            elif len(self._rest) > MAX_RECORD_BYTES:
                raise _too_long(f"Record {self._count + 1}, or what is in it,")
            else:
                wanted = max(_BLOCK_BYTES, min(len(self._rest), MAX_RECORD_BYTES + 1 - len(self._rest)))
            more = self._file.read(wanted)
            self._rest += more
        yield self._given(self._last())

    def _given(self, records: list[Any]) -> Block:
        self._count += len(records)
        return Block(records=records)

    def _cut(self) -> tuple[list[Any], int]:
        """The elements up to a place where they can be cut, and that place; no elements where none was found.

        The place is the end of what has been read where the list ends before it.
        """
        place = len(self._rest)
        for _ in range(_TRIES):
            place = self._rest.rfind(b"}", 0, place)
            if place < 0:
                break
            if not self._rest[place + 1 : place + 64].lstrip().startswith(b","):
                continue
            document = b"[" + self._rest[: place + 1] + b"]"
            try:
                return orjson.loads(document), place + 1
            except orjson.JSONDecodeError as error:
                if error.msg.startswith(_BEYOND):
                    return [], len(self._rest)
                if not error.msg.startswith(_UNFINISHED):
                    raise self._broken(document, error) from error
        return [], 0

    def _drop(self, cut: int) -> None:
        """Go on behind the comma that follows a place."""
        comma = self._rest.index(b",", cut)
        self._position += comma + 1
        self._rest = self._rest[comma + 1 :]

    def _last(self) -> list[Any]:
        """The elements up to the list's end, behind which there is only what closes the whole."""
        self._rest += self._file.read(MAX_RECORD_BYTES)
        document = b"[" + self._rest
        records: list[Any]
        try:
            records, rest = orjson.loads(document), b""
        except orjson.JSONDecodeError as error:
            if not error.msg.startswith(_BEYOND):
                raise self._broken(document, error) from error
            end = len(error.doc[: error.pos].encode())
            records, rest = orjson.loads(document[:end]), document[end:].strip()
        if not records and self._count:
            raise self._malformed(0, "a comma before the end of the list")
        if rest.rstrip() != self._closing:
            position = len(document) - len(rest) - 1
            if not rest and self._closing:
                raise self._malformed(position, "a } is missing")
            raise _refusal(
                f"After the records, at byte {self._position + position}, comes more; {_EXPECTED}. Remove it."
            )
        return records

    def _broken(self, document: bytes, error: orjson.JSONDecodeError) -> MalformedRequest:
        try:
            text = document.decode()
        except UnicodeDecodeError as wrong:
            return not_utf8(self._position + wrong.start - 1, "JSON")
        position = len(text[: error.pos].encode()) - 1
        if error.msg.startswith(_UNFINISHED):
            place = self._position + position
            return _malformed(f"The JSON ends too soon, at byte {place}; its brackets are not closed. Send it whole.")
        return self._malformed(position, error.msg)

    def _malformed(self, position: int, reason: str) -> MalformedRequest:
        return _malformed(
            f"This is not JSON at byte {self._position + position} ({reason}). Correct it there, and send it again."
        )


def _other(head: bytes) -> MalformedRequest | Invalid:
    """The error of a file that begins as no list of records."""
    start = head.lstrip()[:1]
    if not start:
        return _malformed(f"The file is empty; {_EXPECTED}. Send that.")
    came = {b"{": "An object with another key, or with other records,", b'"': "A text"}.get(start)
    if came is None:
        came = "A number or a word" if start.isalnum() or start == b"-" else f"The byte {start!r}"
    return _refusal(f"{came} came; {_EXPECTED}. Send that.")


def _too_long(what: str) -> Invalid:
    return _refusal(f"{what} is longer than {MAX_RECORD_BYTES} bytes, the most allowed. Send shorter records.")


def _refusal(detail: str) -> Invalid:
    return Invalid("The records cannot be used as they are.", [Fault(pointer="", detail=detail)])


def _malformed(detail: str) -> MalformedRequest:
    return MalformedRequest(detail, [Fault(pointer="", detail=detail)])
