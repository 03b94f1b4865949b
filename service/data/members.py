"""The files in a zip file from a client: which of them count, in which order, and what they are together.

No name of a member ever becomes a path here: members are read, never unpacked.
"""

import re
import stat
import zipfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Final, Literal, TypeVar

from service.data import archive
from service.data.fault_list import FaultList, escape
from service.data.table import MAX_BATCH_BYTES, MAX_BATCH_ROWS
from service.errors import Fault, Invalid, TooLarge

MAX_DIRECTORY_BYTES: Final = 2**26
IMAGE_SUFFIXES: Final = (".png", ".jpg", ".jpeg", ".jpe", ".jfif")
TEXT_SUFFIXES: Final = (".csv", ".tsv")
_IMAGE_STARTS: Final = (b"\x89PNG", b"\xff\xd8\xff")
_LOOKED_AT: Final = 1000
_ADVICE: Final = "Make the zip file anew, and send it whole."
#: What systems put beside the files that people see.
_IGNORED: Final = re.compile(r"(^|/)(__MACOSX/|\.DS_Store$|\._[^/]*$|Thumbs\.db$|desktop\.ini$)", re.IGNORECASE)
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")
_DRIVE: Final = re.compile(r"[A-Za-z]:")

Kind = Literal["npz", "images", "sequences"]
T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """One file in a zip file; `name` is its path there, with its folders."""

    name: str
    info: zipfile.ZipInfo

    @property
    def pointer(self) -> str:
        return f"/{escape(self.name[:200])}"

    @property
    def suffix(self) -> str:
        return _suffix(self.name)

    @property
    def folder(self) -> str | None:
        """The name of the folder right above the file, if there is one."""
        return PurePosixPath(self.name).parent.name or None


def kind_of_zip(path: Path) -> Kind:
    """Say what the members are: arrays, images, or texts that are a sequence each; raise Invalid for all else.

    Raise what `archive.opened` does for what is no zip file, or no whole one.
    """
    with path.open("rb") as file:
        # Whoever asks has no time for a hundred thousand members, and seldom needs more than some.
        kind = _kind_of(archive.first_names(file, _LOOKED_AT))
        if kind is not None:
            return kind
        with opened(file) as members:
            files = [member for info in members.infolist() if (member := _member(info)) is not None]
            kind = _kind_of(member.name for member in files)
            if kind is None and files and _starts_as_image(members, files[0]):
                kind = "images"
    if kind is None:
        raise _unknown(files)
    return kind


def opened(file: IO[bytes]) -> AbstractContextManager[zipfile.ZipFile]:
    """Open a zip file of many members; raises what `archive.opened` does."""
    return archive.opened(file, "zip", _ADVICE, MAX_DIRECTORY_BYTES)


def members_of(files: zipfile.ZipFile, limit_bytes: int, faults: FaultList) -> list[Member]:
    """The members that count, sorted by name: the same files packed in another order make the same table.

    A member that is not to be read becomes a fault. Raise TooLarge where they declare more than the limit once
    unpacked; none brings more than it declares.
    """
    found: dict[str, Member] = {}
    for info in files.infolist():
        member = _member(info)
        if member is None:
            continue
        wrong = "This member came twice; send it once." if member.name in found else _wrong(member)
        if wrong is not None:
            faults.add(member.pointer, f"{member.name[:200]!r}: {wrong}")
        found[member.name] = member
    total = sum(member.info.file_size for member in found.values())
    if total > limit_bytes:
        raise TooLarge(f"The files take {total} bytes once unpacked; {limit_bytes} is the most allowed. Send less.")
    return sorted(found.values(), key=lambda member: member.name)


def content(files: zipfile.ZipFile, member: Member) -> bytes:
    """All bytes of a member; raise EOFError, which `opened` takes for damage, where it brings fewer than it says."""
    with files.open(member.info) as stream:
        data = stream.read()
    if len(data) != member.info.file_size:
        raise EOFError(f"{member.name[:80]!r} ends too soon")
    return data


def labelled(members: Iterable[Member]) -> bool:
    """Whether the folders are labels: every file lies in one."""
    return all(member.folder is not None for member in members)


def in_batches(rows: Iterable[T], size: Callable[[T], int]) -> Iterator[list[T]]:
    """Give rows in lists of about MAX_BATCH_BYTES; `size` is how many bytes a row has."""
    batch: list[T] = []
    total = 0
    for row in rows:
        batch.append(row)
        total += size(row)
        if total >= MAX_BATCH_BYTES or len(batch) >= MAX_BATCH_ROWS:
            yield batch
            batch, total = [], 0
    if batch:
        yield batch


def _kind_of(names: Iterable[str]) -> Kind | None:
    suffixes = {_suffix(name) for name in names if not _IGNORED.search(name)}
    if ".npy" in suffixes:
        return "npz"
    if suffixes & {*IMAGE_SUFFIXES}:
        return "images"
    return "sequences" if suffixes & {*TEXT_SUFFIXES} else None


def _suffix(name: str) -> str:
    """The suffix of a file's name with its dot, in small letters."""
    return PurePosixPath(name).suffix.lower()


def _member(info: zipfile.ZipInfo) -> Member | None:
    """A member that counts; None for folders, and for what systems add."""
    name = _shown(info)
    if info.is_dir() or _IGNORED.search(name):
        return None
    return Member(name=name, info=info)


def _shown(info: zipfile.ZipInfo) -> str:
    """The name as its writer meant it: many write UTF-8 without the flag that says so."""
    try:
        return info.orig_filename.encode("cp437").decode("utf-8")
    except UnicodeError:
        return info.orig_filename


def _wrong(member: Member) -> str | None:
    parts = member.name.split("/")
    if _CONTROL.search(member.name) or "\\" in member.name or _DRIVE.match(member.name) or {"", ".", ".."} & {*parts}:
        return "This name came; a plain one, with / between folders and none of '..', was expected. Rename it."
    if stat.S_IFMT(member.info.external_attr >> 16) not in (0, stat.S_IFREG):
        return "This member is a link or a device; a file was expected. Put the file itself into the zip file."
    return archive.unreadable(member.info, "Pack it anew.")


def _starts_as_image(files: zipfile.ZipFile, member: Member) -> bool:
    if archive.unreadable(member.info, "") is not None:
        return False
    with files.open(member.info) as stream:
        return stream.read(4).startswith(_IMAGE_STARTS)


def _unknown(files: list[Member]) -> Invalid:
    expected = "arrays (.npy), images (.png, .jpg) or one CSV file for each sequence (.csv, .tsv) were expected"
    listed = ", ".join(repr(member.name[:80]) for member in files[:5]) + (", ..." if len(files) > 5 else "")
    came = f"The zip file holds {listed}" if files else "The zip file holds no files"
    detail = f"{came}; {expected}. Send a zip file of these."
    return Invalid("The zip file holds nothing that is read here.", [Fault(pointer="", detail=detail)])
