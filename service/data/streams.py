"""What bytes come from: request bodies, parts of them, members of archives, files."""

from typing import Protocol


class Readable(Protocol):
    """Gives up to `size` bytes at once, and none only at its end."""

    def read(self, size: int, /) -> bytes: ...


class Stream(Readable, Protocol):
    """The same, and can also put them where they are wanted; 0 is the end."""

    def readinto(self, buffer: memoryview, /) -> int: ...
