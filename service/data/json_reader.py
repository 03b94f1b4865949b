"""JSON bodies, read as a stream of parser events, so that a body is never whole in memory."""

from pathlib import Path
from typing import Any, Final, cast

import ijson

from service.data.array_writer import ArrayWriter, Intake
from service.data.arrays import Part
from service.errors import Fault, Invalid, MalformedRequest

BLOCK_BYTES: Final = 2**17
#: What one row, or one text, may hold before its end is seen; this bounds the memory that a hostile body can take.
MAX_OPEN_VALUES: Final = 2**22
MAX_OPEN_BLOCKS: Final = 64


def read_json(path: Path, intake: Intake) -> None:
    """Write the arrays of {"x": ..., "y": ..., "sample_weight"?: ...} through `intake`.

    Raise MalformedRequest with the byte position where the body is no JSON.
    """
    events = ijson.sendable_list()
    parser = _backend().basic_parse_coro(events, use_float=True)
    body = _Body(intake)
    try:
        with path.open("rb") as file:
            while block := file.read(BLOCK_BYTES):
                parser.send(block)
                body.take(events)
                events.clear()
        parser.close()
    except ijson.JSONError as error:
        body.take(events)
        raise _broken(path, str(error), body, intake) from error
    body.take(events)


def _backend() -> Any:
    try:
        return ijson.get_backend("yajl2_c")
    except ImportError:
        return ijson.get_backend("python")


class _Body:
    """Sorts events into rows. `_open` is the stack of lists now open; the bottom one holds rows not yet written."""

    def __init__(self, intake: Intake) -> None:
        self._intake = intake
        self._open: list[list[Any]] = []
        self._writer: ArrayWriter | None = None
        self._keys: list[str | None] = []
        self._values_open = 0
        self._blocks_open = 0

    @property
    def pointer(self) -> str:
        """Where the reading stands: the array, and the row in it."""
        if self._writer is None:
            return self._intake.pointer(*self._keys)
        return f"{self._writer.pointer}/{self._writer.rows + max(0, len(self._open[0]) - 1)}"

    def take(self, events: list[tuple[str, Any]]) -> None:
        """Take the events of one block, and write the rows that are complete."""
        opened = self._open
        for event, value in events:
            if not opened:
                self._outside(event, value)
            elif event in {"number", "string", "null", "boolean"}:
                opened[-1].append(value)
            elif event == "start_array":
                inner: list[Any] = []
                opened[-1].append(inner)
                opened.append(inner)
            elif event == "end_array":
                if len(opened) == 1:
                    self._write_rows()
                    self._writer = None
                opened.pop()
            elif event == "start_map":
                # The row keeps an empty object, which is a fault; what is in it goes to a list that nobody reads.
                opened[-1].append({})
                opened.append([])
            elif event == "end_map":
                opened.pop()
        self._write_rows()
        self._check_open(len(events))

    def _write_rows(self) -> None:
        if not self._open:
            return
        bottom = self._open[0]
        complete = len(bottom) - (len(self._open) > 1)
        if complete and self._writer is not None:
            self._writer.append(bottom[:complete])
        if complete:
            del bottom[:complete]
            self._values_open = 0

    def _check_open(self, events: int) -> None:
        self._values_open = self._values_open + events if len(self._open) > 1 else 0
        self._blocks_open = 0 if events else self._blocks_open + 1
        if self._values_open > MAX_OPEN_VALUES or self._blocks_open > MAX_OPEN_BLOCKS:
            detail = (
                f"A row or a text goes on for too long; a row may have {MAX_OPEN_VALUES} values. Send smaller rows."
            )
            raise Invalid("The data have a row that is too long.", [Fault(pointer=self.pointer, detail=detail)])

    def _outside(self, event: str, value: Any) -> None:
        """Take an event that is in no array: keys, and the starts and ends of what holds arrays."""
        if event == "map_key":
            self._keys[-1] = value
            if len(self._keys) == 1:
                self._intake.known(value)
        elif event == "end_map":
            self._keys.pop()
        elif event == "start_map" and self._may_hold_keys():
            self._keys.append(None)
        elif event == "start_array" and self._keys:
            self._writer = self._writer_here()
            self._open.append([])
        else:
            self._unexpected(event)

    def _may_hold_keys(self) -> bool:
        return not self._keys or (len(self._keys) == 1 and self._keys[0] in ("x", "y"))

    def _writer_here(self) -> ArrayWriter | None:
        part, name = (*self._keys, None)[:2]
        return self._intake.open(cast(Part, part), name) if part in ("x", "y", "sample_weight") else None

    def _unexpected(self, event: str) -> None:
        if event.startswith("start_"):
            self._open.append([])
        if not self._keys or self._keys[0] in ("x", "y", "sample_weight"):
            came = {"start_map": "An object", "start_array": "A list"}.get(event, f"A {event}")
            expected = "a list of rows was expected" if self._keys else 'an object {"x": ..., "y": ...} was expected'
            self._intake.faults.add(self._intake.pointer(*self._keys), f"{came} came; {expected}. Send that.")


def _broken(path: Path, message: str, body: _Body, intake: Intake) -> Exception:
    position = _position(path)
    if "overflow" in message:
        detail = f"The number that ends before byte {position} is too large; scale it."
        intake.faults.add(body.pointer, detail)
        return _raised(intake)
    if "premature EOF" in message or "Incomplete" in message:
        detail = f"The JSON ends too soon, at byte {position}; its brackets are not all closed. Send it whole."
    else:
        reason = message.strip("b'\"").splitlines()[0].split("\\n")[0]
        hint = "NaN and Infinity are no JSON; leave such rows out" if "lexical" in message else "correct it there"
        detail = f"This is not JSON at byte {position} ({reason}); {hint}, and send it again."
    return MalformedRequest(detail, [Fault(pointer=body.pointer, detail=detail)])


def _raised(intake: Intake) -> Exception:
    try:
        intake.faults.raise_if_any()
    except Invalid as error:
        return error
    raise AssertionError("a fault was added before")


def _position(path: Path) -> int:
    """The byte at which the parser gives up: the failing block is parsed a second time, byte by byte."""
    parser, done = _backend().basic_parse_coro(ijson.sendable_list(), use_float=True), 0
    size = path.stat().st_size
    failing = _failing_block(path)
    with path.open("rb") as file:
        while done < size:
            block = file.read(1 if done >= failing else BLOCK_BYTES)
            try:
                parser.send(block)
            except ijson.JSONError:
                return done
            done += len(block)
    return size


def _failing_block(path: Path) -> int:
    """Where the block starts in which the parser gives up; the size of the file if it only misses more."""
    events = ijson.sendable_list()
    parser, done = _backend().basic_parse_coro(events, use_float=True), 0
    with path.open("rb") as file:
        while block := file.read(BLOCK_BYTES):
            try:
                parser.send(block)
            except ijson.JSONError:
                return done
            events.clear()
            done += len(block)
    return done
