"""A group of processes whose memory the kernel bounds, as it does a container's; Linux has them in two editions."""

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path("/sys/fs/cgroup")
#: How long the kernel may take to forget the processes of a group, in seconds.
EMPTY_SECONDS = 10.0
REFUSED = (
    "No group of processes with a bound of memory can be made here ({error}). It takes root on Linux; or run this in a "
    "container with that memory, with --limit-megabytes 0."
)


class NoGroup(Exception):
    """The kernel gives none; the message says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Edition:
    """Where an edition of control groups keeps what is needed of them."""

    root: Path
    limit: str
    #: The file of statistics, and the word in it for the memory that no file is behind.
    anonymous: str
    #: The file that counts the processes that were killed for memory, and the word in it.
    events: str
    kills: str = "oom_kill"


SECOND = Edition(root=ROOT, limit="memory.max", anonymous="anon", events="memory.events")
FIRST = Edition(root=ROOT / "memory", limit="memory.limit_in_bytes", anonymous="total_rss", events="memory.oom_control")


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """A group that processes can be started in."""

    folder: Path
    edition: Edition

    def command(self, words: Sequence[str]) -> list[str]:
        """The words of a command that runs those in the group."""
        return ["sh", "-c", f'echo $$ > {self.folder}/cgroup.procs && exec "$@"', "sh", *words]

    def anonymous_bytes(self) -> int:
        """The memory of all its processes that no file is behind: it cannot be given back as a file's can."""
        return self._word("memory.stat", self.edition.anonymous)

    def kills(self) -> int:
        """How many of its processes the kernel has killed for memory."""
        return self._word(self.edition.events, self.edition.kills)

    def _word(self, file: str, word: str) -> int:
        lines = (self.folder / file).read_text(encoding="ascii").splitlines()
        return next(int(line.split()[1]) for line in lines if line.split()[0] == word)


@contextmanager
def limited(limit_bytes: int) -> Iterator[Group]:
    """A group whose processes have so many bytes together, their files' pages included.

    Raises:
        NoGroup: none can be made here.
    """
    edition = SECOND if (ROOT / "cgroup.controllers").exists() else FIRST
    folder = edition.root / f"kerasd-benchmark-{os.getpid()}"
    try:
        folder.mkdir()
    except OSError as error:
        raise NoGroup(REFUSED.format(error=error.strerror)) from error
    try:
        try:
            (folder / edition.limit).write_text(str(limit_bytes), encoding="ascii")
        except OSError as error:
            raise NoGroup(REFUSED.format(error=error.strerror)) from error
        yield Group(folder=folder, edition=edition)
    finally:
        _remove(folder)


def _remove(folder: Path) -> None:
    """Remove a group, whose processes may just be ending."""
    deadline = time.monotonic() + EMPTY_SECONDS
    while True:
        try:
            folder.rmdir()
            return
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)
