"""Sees whether anybody has committed anything to a SQLite database, thousands of times a second.

SQLite itself says so by `PRAGMA data_version`, which takes and gives back a lock of the file. Two such calls into the
kernel cost a prediction more than its network does, beside what they push out of the processor's caches. So the head of
the write-ahead log's index is looked at first, which all processes share in memory: as long as it is the very same,
nothing was committed. It holds a count of transactions and a checksum of the log's last frame
(https://sqlite.org/walformat.html). SQLite writes it as the last part of a commit, before it says that all is done.
"""

import mmap
import os
import sqlite3
import struct
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

#: The head comes twice, so that a reader can tell whether it is just being written.
_HEAD_BYTES = 96
#: The form of the index, which begins it.
_FORM = struct.pack("=I", 3_007_000)


class Watch:
    """A connection that only sees what others commit; its numbers raise sqlite3.Error while the database is busy."""

    def __init__(self, number: int, database: str, options: Mapping[str, Any]) -> None:
        """Watch by a connection of its own, made with `options`; `number` is another one for each of a process."""
        self._number = number
        given = {**options, "timeout": 0.0, "isolation_level": None, "check_same_thread": False}
        self._cursor = sqlite3.connect(database, **given).cursor()
        self._file: int | None = None
        self._index: mmap.mmap | None = None
        self._head: bytes | None = None
        self._state: int | None = None
        self._edition: tuple[int, int] | None = None

    def state(self) -> int:
        """A number that is another one after each change that another connection has committed."""
        head = None if self._index is None else self._index[:_HEAD_BYTES]
        if self._state is None or head is None or head != self._head:
            # What is committed after the look at the head changes it again.
            self._head, self._state = head, self._ask()
            self._index = self._index or self._mapped()
        return self._state

    def edition(self) -> int:
        """The number in the table of that name."""
        # What is committed between the two questions is in the answer of the second, and changes the next state.
        state = self.state()
        if self._edition is None or self._edition[0] != state:
            [(number,)] = self._cursor.execute("SELECT number FROM edition").fetchall()
            self._edition = state, number
        return self._edition[1]

    def close(self) -> None:
        """Close the connection, after all others of this process to the same database."""
        self._cursor.connection.close()
        if self._index is not None:
            self._index.close()
        if self._file is not None:
            os.close(self._file)

    def _ask(self) -> int:
        [(version,)] = self._cursor.execute("PRAGMA data_version").fetchall()
        # Each connection counts from the same number, so that a later one could repeat an earlier one's.
        return self._number << 32 | int(version)

    def _mapped(self) -> mmap.mmap | None:
        """The index of the log; None where there is none, as without a log, or another form of it.

        SQLite keeps the file for as long as any connection is open that has read: this one is, and has. The file is not
        closed before that: whichever descriptor of it is closed takes all locks of this process from SQLite.
        """
        if self._file is None:
            [(_, _, path)] = self._cursor.execute("PRAGMA database_list").fetchall()
            with suppress(OSError):
                self._file = os.open(f"{path}-shm", os.O_RDONLY)
        if self._file is None or os.fstat(self._file).st_size < _HEAD_BYTES:
            return None
        if os.pread(self._file, len(_FORM), 0) != _FORM:
            return None
        return mmap.mmap(self._file, _HEAD_BYTES, access=mmap.ACCESS_READ)
