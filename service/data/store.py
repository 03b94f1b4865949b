"""The file store: uploads, data sets, versions, attempts and checkpoints as folders whose names the server makes."""

import errno
import hashlib
import math
import os
import re
import secrets
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final, Literal

import numpy as np

from service.data.arrays import ArrayFacts, Part
from service.data.content_digest import head_line
from service.data.streams import Readable
from service.errors import NotFound, StorageFull, TooLarge

Kind = Literal["datasets", "versions", "attempts", "checkpoints"]

BLOCK_BYTES: Final = 2**20
CHUNK_BYTES: Final = 2**20
#: Every .npy file kept here starts with a header of this length, so that it can be written after the rows.
HEADER_BYTES: Final = 256
#: How the name of a folder ends that has left its place and is being removed.
_DOOMED: Final = ".doomed"
#: The folder in a version's own that holds what was made of it later; all else there never changes.
_EXPORTS: Final = "exports"
_ID: Final = re.compile(r"[a-z]+_[0-9a-z]{26}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Spooled:
    """A request's body, now a file of `size` bytes; whoever asked for it removes it."""

    path: Path
    size: int


class FileStore:
    """Everything kerasd keeps outside the database, under one root.

    `datasets` and `versions` hold finished folders only, each put there by one rename; `incoming` holds what is not
    finished; `attempts` holds the working folders of running jobs, `checkpoints` what jobs go on from. Nothing in
    `cache` is needed: it only saves time.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._incoming = root / "incoming"
        for folder in ("datasets", "versions", "attempts", "checkpoints", "incoming", "cache"):
            (root / folder).mkdir(parents=True, exist_ok=True)

    def spool(self, stream: Readable, limit_bytes: int) -> Spooled:
        """Copy `stream` to a file, a block at a time; raise TooLarge beyond the limit, StorageFull on a full disk."""
        path = self._incoming / f"{secrets.token_hex(16)}.body"
        try:
            with storage_full(), path.open("xb") as file:
                size = _copy(stream, file, limit_bytes)
        except BaseException:
            path.unlink(missing_ok=True)
            raise
        return Spooled(path=path, size=size)

    def new_folder(self) -> Path:
        """Make an empty folder in which something to be published can grow."""
        folder = self._incoming / secrets.token_hex(16)
        with storage_full():
            folder.mkdir()
        return folder

    def discard(self, folder: Path) -> None:
        """Remove what `new_folder` has made; nothing happens if it has been published."""
        shutil.rmtree(folder, ignore_errors=True)

    def publish(self, temp: Path, kind: Literal["datasets", "versions"], item_id: str) -> Path:
        """Make `temp` durable and give it its final place in one step; raise FileExistsError if that is taken."""
        target = self._path(kind, item_id)
        if target.exists():
            raise FileExistsError(f"{kind}/{item_id} is published already, and what is published never changes.")
        with storage_full():
            _sync_tree(temp)
            temp.rename(target)
            _sync(target.parent)
        return target

    def share(self, temp: Path, twin: Path) -> None:
        """Make each file of `temp` that is the same as the twin's of that name a hard link to it.

        A file that differs, or that cannot be linked, stays as it is: the twin may be just being deleted.
        """
        for entry in temp.iterdir():
            if entry.is_file():
                with suppress(OSError):
                    _link_to_same(entry, twin / entry.name)

    def dataset(self, item_id: str) -> Path:
        return self._path("datasets", item_id)

    def version(self, item_id: str) -> Path:
        return self._path("versions", item_id)

    def export(self, version_id: str, form: str) -> Path:
        """The folder of a version's export in one of the formats that this service writes, if it is there."""
        return self._path("versions", version_id) / _EXPORTS / form

    def keep_export(self, temp: Path, version_id: str, form: str) -> None:
        """Make `temp` durable and put it beside the version's files, unless somebody was faster.

        Raises FileNotFoundError where the version is gone.
        """
        target = self.export(version_id, form)
        with storage_full():
            _sync_tree(temp)
            target.parent.mkdir(exist_ok=True)
            if not target.exists():
                with suppress(FileExistsError):
                    _rename_to_new(temp, target)
                _sync(target.parent)

    def attempt(self, job_id: str, number: int) -> Path:
        """The working folder of one attempt at a job; it is made if it is not there."""
        folder = self._path("attempts", job_id) / str(int(number))
        with storage_full():
            folder.mkdir(parents=True, exist_ok=True)
        return folder

    def drop_attempt(self, job_id: str, number: int) -> None:
        """Remove the working folder of one attempt, and with the job's last one the job's own."""
        job = self._path("attempts", job_id)
        shutil.rmtree(job / str(int(number)), ignore_errors=True)
        # It is not empty while another attempt is at work, and may be gone already.
        with suppress(OSError):
            job.rmdir()

    @property
    def cache(self) -> Path:
        """Where children keep what later children can use."""
        return self._root / "cache"

    @property
    def standby(self) -> Path:
        """Where the child that stands by warms up; nothing in it is worth keeping."""
        return self._root / "standby"

    def checkpoints(self, job_id: str) -> Path:
        """The folder of a job's checkpoints; it is made if it is not there."""
        folder = self._path("checkpoints", job_id)
        with storage_full():
            folder.mkdir(parents=True, exist_ok=True)
        return folder

    def drop_checkpoint(self, job_id: str, name: str) -> None:
        """Remove one checkpoint of a job; nothing happens if it is not there."""
        _remove(self._path("checkpoints", job_id) / name)

    def keep_checkpoint(self, job_id: str, name: str | None, attempt: int) -> None:
        """Remove what attempts before this one have left in a job's folder, beside the checkpoint `name`.

        Whose a file is, its name says, which begins with the number of the attempt: a supervisor that was stopped and
        replaced comes too late to remove what its successor's child writes.
        """
        for entry in self.checkpoints(job_id).iterdir():
            if entry.name != name and _attempt(entry) < attempt:
                _remove(entry)

    def remove(self, kind: Kind, item_id: str) -> None:
        """Remove a folder (for `attempts`, all attempts at the job); nothing happens if it is not there."""
        path = self._path(kind, item_id)
        if not path.exists():
            return
        # The folder leaves its place in one step first, so that nobody finds half of it.
        _remove(path.rename(self._incoming / f"{secrets.token_hex(16)}{_DOOMED}"))

    def clean_incoming(self, older_than: float, now: float | None = None) -> int:
        """Remove what was left in `incoming` and not touched for `older_than` seconds; return how many entries.

        What was being removed when a process ended is removed at once.
        """
        limit = (time.time() if now is None else now) - older_than
        stale = [entry for entry in self._incoming.iterdir() if entry.suffix == _DOOMED or _touched_at(entry) < limit]
        for entry in stale:
            _remove(entry)
        return len(stale)

    def clean_unknown(self, kind: Kind, known: Callable[[], set[str]], older_than: float) -> tuple[str, ...]:
        """Remove the folders of a kind that no id in `known` names, if `older_than` seconds old; return their names.

        A process that ends between the rename of a folder and the commit of its row leaves such a folder behind.
        """
        limit = time.time() - older_than
        old = [entry for entry in (self._root / kind).iterdir() if _touched_at(entry) < limit]
        # What is old was written long before this question, so that a row that is to come is there by now.
        named = known() if old else set()
        unknown = [entry for entry in old if entry.name not in named]
        for entry in unknown:
            _remove(entry)
        return tuple(sorted(entry.name for entry in unknown))

    def clean_attempts(self) -> None:
        """Remove every working folder; only for a supervisor that starts, when no job is running."""
        for folder in (self._root / "attempts").iterdir():
            shutil.rmtree(folder, ignore_errors=True)

    def _path(self, kind: Kind, item_id: str) -> Path:
        if not _ID.fullmatch(item_id):
            raise NotFound(
                f"The id {item_id[:64]!r} came; ids look like ds_ and 26 letters and digits. Check the address."
            )
        return self._root / kind / item_id


@contextmanager
def storage_full() -> Iterator[None]:
    """Turn the operating system's errors about a full disk into StorageFull."""
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise StorageFull(
            "The server has no disk space left for this. Delete data sets or models, then retry."
        ) from error


def npy_header(facts: ArrayFacts) -> bytes:
    """The start of an array's .npy file: little endian, C order, always `HEADER_BYTES` long."""
    text = repr({"descr": np.dtype(facts.dtype).newbyteorder("<").str, "fortran_order": False, "shape": facts.shape})
    start = b"\x93NUMPY\x01\x00" + (HEADER_BYTES - 10).to_bytes(2, "little")
    return start + text.ljust(HEADER_BYTES - 11).encode("ascii") + b"\n"


def rows_per_chunk(shape: Sequence[int], itemsize: int) -> int:
    """How many rows of an array of this shape make a chunk of about `CHUNK_BYTES`; at least one."""
    return max(1, CHUNK_BYTES // max(1, math.prod(shape[1:]) * itemsize))


def stored_chunks(
    path: Path, dtype: np.dtype[Any], shape: tuple[int, ...]
) -> Iterator[tuple[int, np.ndarray[Any, Any]]]:
    """Read the values after a file's header in chunks of whole rows; each comes with the index of its first row."""
    step = rows_per_chunk(shape, dtype.itemsize)
    with path.open("rb") as file:
        file.seek(HEADER_BYTES)
        for first in range(0, shape[0], step):
            rows = min(step, shape[0] - first)
            yield first, np.fromfile(file, dtype, rows * math.prod(shape[1:])).reshape(rows, *shape[1:])


def load(folder: Path, facts: Iterable[ArrayFacts], part: Part) -> dict[str | None, np.ndarray[Any, Any]]:
    """Map the arrays of one part by name (None for a single one); pages are read from disk as they are touched."""
    return {fact.name: np.load(folder / fact.filename, mmap_mode="r") for fact in facts if fact.part == part}


def first_rows(folder: Path, facts: Iterable[ArrayFacts], limit: int) -> dict[str, Any]:
    """The first `limit` rows as JSON-ready lists, whole numbers as ints: {"x": ..., "y": ...}."""
    rows: dict[str, Any] = {}
    for fact in facts:
        array = np.load(folder / fact.filename, mmap_mode="r")[:limit].tolist()
        if fact.name is None:
            rows[fact.part] = array
        else:
            rows.setdefault(fact.part, {})[fact.name] = array
    return rows


def content_sha256(folder: Path, facts: Iterable[ArrayFacts]) -> str:
    """The hexadecimal SHA-256 of the arrays in order: a JSON line of part, name, dtype and shape, then the values."""
    digest = hashlib.sha256()
    for fact in facts:
        digest.update(head_line(fact))
        with (folder / fact.filename).open("rb") as file:
            file.seek(HEADER_BYTES)
            while block := file.read(BLOCK_BYTES):
                digest.update(block)
    return digest.hexdigest()


def _link_to_same(own: Path, other: Path) -> None:
    """Let the other file take the place of one's own, if they are the same to the byte."""
    if not _same(own, other):
        return
    link = own.with_name(f"{own.name}.link")
    try:
        link.hardlink_to(other)
        link.replace(own)
    finally:
        link.unlink(missing_ok=True)


def _same(one: Path, other: Path) -> bool:
    if one.stat().st_size != other.stat().st_size:
        return False
    with one.open("rb") as first, other.open("rb") as second:
        while block := first.read(BLOCK_BYTES):
            if block != second.read(BLOCK_BYTES):
                return False
    return True


def _rename_to_new(temp: Path, target: Path) -> None:
    """Rename a folder; raises FileExistsError where the target is there and not empty."""
    try:
        temp.rename(target)
    except OSError as error:
        if error.errno != errno.ENOTEMPTY:
            raise
        raise FileExistsError(str(target)) from error


def _copy(stream: Readable, file: BinaryIO, limit_bytes: int) -> int:
    size = 0
    while block := stream.read(BLOCK_BYTES):
        size += len(block)
        if size > limit_bytes:
            raise TooLarge(f"More than {limit_bytes} bytes came, the most that this server takes at once. Send less.")
        file.write(block)
    return size


def _attempt(checkpoint: Path) -> int:
    digits = checkpoint.name.partition("-")[0]
    return int(digits) if digits.isdecimal() else 0


def _remove(entry: Path) -> None:
    if entry.is_dir():
        shutil.rmtree(entry, ignore_errors=True)
    else:
        entry.unlink(missing_ok=True)


def _sync_tree(folder: Path) -> None:
    for entry in folder.iterdir():
        if entry.is_dir():
            _sync_tree(entry)
        else:
            _sync(entry)
    _sync(folder)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _touched_at(entry: Path) -> float:
    """When anything in `entry` last changed; an entry that has gone meanwhile counts as just touched."""
    try:
        inside = entry.iterdir() if entry.is_dir() else ()
        return max(float(path.stat().st_mtime) for path in (entry, *inside))
    except FileNotFoundError:
        return float("inf")
