"""The doorbell: web processes ring it when there is something to do, so that the supervisor need not look all the time.

It is a Unix datagram socket. A ring says nothing but that the database has news; one that is lost costs a fraction of a
second, since the supervisor also looks by itself.
"""

import os
import socket
from contextlib import suppress
from pathlib import Path
from typing import Self

import structlog

#: Longer addresses do not fit into the kernel's structure: it has 108 bytes on Linux, 104 on macOS.
MAX_PATH_BYTES = 100

log = structlog.get_logger()


def ring(path: Path) -> None:
    """Wake the supervisor that listens at `path`; without one, or when it has been rung enough, nothing happens."""
    with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ringer:
        ringer.setblocking(False)
        ringer.sendto(b"!", str(path))


class Doorbell:
    """The supervisor's end."""

    def __init__(self, bell: socket.socket, path: Path) -> None:
        self._bell = bell
        self._path = path

    @classmethod
    def install(cls, path: Path) -> Self | None:
        """Listen at `path`, which only this user may ring; None where no socket can have that path."""
        if len(os.fsencode(path)) > MAX_PATH_BYTES:
            return None
        # What an earlier supervisor has left behind would refuse the new one.
        path.unlink(missing_ok=True)
        bell = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        try:
            bell.setblocking(False)
            bell.bind(str(path))
            path.chmod(0o600)
        except OSError as error:
            bell.close()
            log.warning("no_doorbell", path=str(path), error=str(error))
            return None
        return cls(bell, path)

    def fileno(self) -> int:
        """What to wait for; it is readable once somebody has rung."""
        return self._bell.fileno()

    def answer(self) -> None:
        """Take all rings that have come; what they were about is found in the database."""
        with suppress(BlockingIOError):
            while True:
                self._bell.recv(16)

    def remove(self) -> None:
        """Stop listening."""
        self._bell.close()
        self._path.unlink(missing_ok=True)
