"""Counts of predictions by model, version and protocol, summed over the web processes, and kept when one of them dies.

Each process adds to numbers of its own, which lie in a file that is mapped into its memory: an addition is no system
call, takes no lock that another process holds, and is there for all to read at once. A process that takes the place of
another begins a file of its own, and the old one goes on counting in the sum. The folder is the run folder's, so that
the counts begin anew with the server, as those of other servers do.
"""

import mmap
import os
import secrets
import threading
import time
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import Final

import structlog

#: The longest durations of the histogram's buckets, in seconds; the last bucket has no limit.
BUCKETS: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)
_NANOSECONDS: Final = tuple(int(seconds * 1e9) for seconds in BUCKETS)
_SLOTS: Final = 256
_KEY_BYTES: Final = 256
#: Three counts, three durations, then these; the buckets come last.
_ROWS, _EXECUTIONS, _READ, _INFER, _WRITE, _LAST, _BUCKETS = range(6, 13)
_VALUES: Final = _BUCKETS + len(BUCKETS) + 1
_SEGMENT_BYTES: Final = _SLOTS * (8 * _VALUES + _KEY_BYTES)

_log = structlog.get_logger()


class Outcome(IntEnum):
    """How a request for predictions ended."""

    #: With predictions.
    SUCCESS = 0
    #: With an error that the client can mend.
    REJECTED = 1
    #: With an error of the server.
    FAILED = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """What was counted of one version under one protocol; durations are nanoseconds, `buckets` are not cumulative.

    `counts` and `durations` are by outcome. Reading, inferring and writing are of successes only, as are `rows`,
    `executions` and the buckets; `last` is when the newest success ended, in milliseconds since 1970.
    """

    model: str
    number: int
    protocol: str
    counts: tuple[int, ...]
    durations: tuple[int, ...]
    rows: int
    executions: int
    read: int
    infer: int
    write: int
    last: int
    buckets: tuple[int, ...]


class PredictionStatistics:
    """The counts of this process, and the sums over all that share its folder; without one it counts for itself."""

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self._lock = threading.Lock()
        self._segments: list[_Segment] = []
        self._slots: dict[tuple[str, int, str], tuple[memoryview, int]] = {}

    def record_success(
        self, model: str, number: int, protocol: str, rows: int, executions: int, read: int, infer: int, write: int
    ) -> None:
        """Count a request that was answered, with how many nanoseconds each of its stages took."""
        total = read + infer + write
        bucket = bisect_left(_NANOSECONDS, total)
        with self._lock:
            values, at = self._slots.get((model, number, protocol)) or self._new_slot(model, number, protocol)
            values[at] += 1
            values[at + 3] += total
            values[at + _ROWS] += rows
            values[at + _EXECUTIONS] += executions
            values[at + _READ] += read
            values[at + _INFER] += infer
            values[at + _WRITE] += write
            values[at + _LAST] = time.time_ns() // 1_000_000
            values[at + _BUCKETS + bucket] += 1

    def record_failure(self, model: str, number: int, protocol: str, outcome: Outcome, total: int) -> None:
        """Count a request that ended with an error after so many nanoseconds."""
        with self._lock:
            values, at = self._slots.get((model, number, protocol)) or self._new_slot(model, number, protocol)
            values[at + outcome] += 1
            values[at + 3 + outcome] += total

    def all(self) -> list[Counts]:
        """What all processes have counted so far, a sum for each version and protocol, in their order."""
        sums: dict[tuple[str, int, str], list[int]] = {}
        for content in self._contents():
            for key, values in _parse(content):
                known = sums.setdefault(key, [0] * _VALUES)
                last = max(known[_LAST], values[_LAST])
                known[:] = map(sum, zip(known, values, strict=True))
                known[_LAST] = last
        return [_counts(key, values) for key, values in sorted(sums.items())]

    def _contents(self) -> Iterator[bytes]:
        """The segments of all processes that share the folder, and those of this one that are in no file."""
        for segment in list(self._segments):
            if not segment.shared:
                yield bytes(segment.content)
        if self._folder is not None and self._folder.is_dir():
            for path in self._folder.glob("*.counts"):
                yield path.read_bytes()

    def _new_slot(self, model: str, number: int, protocol: str) -> tuple[memoryview, int]:
        key = f"{model}\n{number}\n{protocol}".encode()
        if not self._segments or self._segments[-1].full:
            self._segments.append(_Segment(self._folder))
        slot = self._segments[-1].add(key)
        self._slots[model, number, protocol] = slot
        return slot


class _Segment:
    """Room for the counts of 256 versions: first all numbers, then all keys, in a file where that can be had."""

    def __init__(self, folder: Path | None) -> None:
        self.content: mmap.mmap | bytearray = bytearray(_SEGMENT_BYTES)
        self.shared = False
        if folder is not None:
            try:
                self.content = _mapped(folder)
                self.shared = True
            except OSError as error:
                # Predictions matter more than their number.
                _log.warning("statistics_not_shared", reason=str(error))
        self._whole = memoryview(self.content)
        self._numbers = self._whole[: 8 * _VALUES * _SLOTS].cast("q")
        self._used = 0

    @property
    def full(self) -> bool:
        return self._used == _SLOTS

    def add(self, key: bytes) -> tuple[memoryview, int]:
        """A new slot: the numbers, and where its own begin."""
        at = 8 * _VALUES * _SLOTS + _KEY_BYTES * self._used
        self._whole[at + 1 : at + 1 + len(key)] = key
        # A reader takes a key for written once its first byte is set, which is its length.
        self._whole[at] = len(key)
        self._used += 1
        return self._numbers, (self._used - 1) * _VALUES


def _mapped(folder: Path) -> mmap.mmap:
    folder.mkdir(exist_ok=True)
    path = folder / f"{os.getpid()}-{secrets.token_hex(4)}.counts"
    with path.open("x+b") as file:
        # The zeros are written, not skipped: a full disk is an error here, and would be a dead process later.
        file.write(bytes(_SEGMENT_BYTES))
        file.flush()
        return mmap.mmap(file.fileno(), _SEGMENT_BYTES)


def _parse(content: bytes) -> Iterator[tuple[tuple[str, int, str], list[int]]]:
    if len(content) < _SEGMENT_BYTES:
        # Another process is just making the file.
        return
    numbers = memoryview(content)[: 8 * _VALUES * _SLOTS].cast("q")
    for slot in range(_SLOTS):
        at = 8 * _VALUES * _SLOTS + _KEY_BYTES * slot
        if not content[at]:
            return
        model, number, protocol = content[at + 1 : at + 1 + content[at]].decode().split("\n")
        yield (model, int(number), protocol), numbers[slot * _VALUES : (slot + 1) * _VALUES].tolist()


def _counts(key: tuple[str, int, str], values: list[int]) -> Counts:
    model, number, protocol = key
    return Counts(
        model=model,
        number=number,
        protocol=protocol,
        counts=tuple(values[:3]),
        durations=tuple(values[3:6]),
        rows=values[_ROWS],
        executions=values[_EXECUTIONS],
        read=values[_READ],
        infer=values[_INFER],
        write=values[_WRITE],
        last=values[_LAST],
        buckets=tuple(values[_BUCKETS:]),
    )
