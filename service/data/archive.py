"""Zip files from clients: opened only once their directory is known to be short, and every damage is one error."""

import errno
import io
import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Final

from service.errors import Fault, MalformedRequest, TooLarge

MAX_DIRECTORY_BYTES: Final = 2**20
#: The zip reader keeps some 600 bytes of each member, however few the directory has of it.
MAX_MEMBERS: Final = 250_000
_TAIL_BYTES: Final = 2**17
_ENCRYPTED: Final = 1
_SCAN_BYTES: Final = 2**20
_ENTRY: Final = b"PK\x01\x02"
#: What a member takes in the directory, if its name is a long one.
_NAMED_BYTES: Final = 256
#: What the zip reader raises for a damaged file, by the place of the damage. NotImplementedError is its word for
#: members that call for a version of the format which it does not read.
_DAMAGE: Final = (
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    EOFError,
    NotImplementedError,
    OverflowError,
    UnicodeDecodeError,
)


@contextmanager
def opened(file: IO[bytes], kind: str, advice: str, directory_bytes: int | None = None) -> Iterator[zipfile.ZipFile]:
    """Open a zip file of a `kind` such as ".keras"; what is wrong with it is told with the advice.

    Raise TooLarge for a directory of more than `directory_bytes` (MAX_DIRECTORY_BYTES unless told) or of more than
    MAX_MEMBERS, and MalformedRequest for damage, also for what is noticed while members are read.
    """
    limit = MAX_DIRECTORY_BYTES if directory_bytes is None else directory_bytes
    _check_directory(file, kind, advice, limit)
    try:
        with zipfile.ZipFile(file) as archive:
            yield archive
    except _DAMAGE as error:
        raise _damaged(str(error), kind, advice) from error
    except OSError as error:
        # The zip reader seeks to where a damaged directory points, even before the file's start.
        if error.errno != errno.EINVAL:
            raise
        raise _damaged("a member's place is outside the file", kind, advice) from error


def unreadable(info: zipfile.ZipInfo, advice: str) -> str | None:
    """Say why a member is not read here; None where nothing is against it."""
    if info.flag_bits & _ENCRYPTED:
        return "This member is encrypted; it cannot be read. Send it unencrypted."
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        return f"Zip method {info.compress_type} came; stored or deflated was expected. {advice}"
    return None


def first_names(file: IO[bytes], most: int) -> list[str]:
    """The names of the first members; fewer, or none, where the directory is damaged, since nothing is checked here."""
    sizes, end = _directory(file)
    file.seek(max(0, end - sizes[-1]))
    data = file.read(most * _NAMED_BYTES)
    names: list[str] = []
    place = 0
    while len(names) < most and data[place : place + 4] == _ENTRY and place + 46 <= len(data):
        lengths = struct.unpack_from("<3H", data, place + 28)
        names.append(data[place + 46 : place + 46 + lengths[0]].decode("utf-8", "replace"))
        place += 46 + sum(lengths)
    return names


def _check_directory(file: IO[bytes], kind: str, advice: str, limit: int) -> None:
    """Refuse a directory of members that is too long to be read whole, as the zip reader would."""
    size = max(_directory(file)[0])
    if size > limit:
        raise TooLarge(f"The zip file lists far more members than a {kind} file has. {advice}")
    if limit > MAX_DIRECTORY_BYTES and _entries(file, size + _TAIL_BYTES) > MAX_MEMBERS:
        raise TooLarge(f"The zip file has more than {MAX_MEMBERS} members, the most of a {kind} file. {advice}")


def _directory(file: IO[bytes]) -> tuple[list[int], int]:
    """The sizes of the directory that the file declares, the last of which counts, and where it ends."""
    size = file.seek(0, io.SEEK_END)
    start = file.seek(max(0, size - _TAIL_BYTES))
    tail = file.read()
    # The zip reader looks at these same places: the very end, else the last mark; and for zip64 right before it.
    end = len(tail) - 22 if tail[-22:-18] == b"PK\x05\x06" else tail.rfind(b"PK\x05\x06")
    sizes = [0]
    if 0 <= end <= len(tail) - 22:
        declared = struct.unpack_from("<L", tail, end + 12)[0]
        sizes.append(0 if declared == 0xFFFFFFFF else declared)
    if end >= 76 and tail[end - 76 : end - 72] == b"PK\x06\x06":
        sizes.append(struct.unpack_from("<Q", tail, end - 36)[0])
        end -= 76
    return sizes, start + max(0, end)


def _entries(file: IO[bytes], tail_bytes: int) -> int:
    """How often the mark of a directory's entry stands in the file's end: never less often than there are entries."""
    size = file.seek(0, io.SEEK_END)
    file.seek(max(0, size - tail_bytes))
    found, kept = 0, b""
    while block := file.read(_SCAN_BYTES):
        found += (kept + block).count(_ENTRY)
        kept = block[-3:]
    return found


def _damaged(reason: str, kind: str, advice: str) -> MalformedRequest:
    detail = f"This {kind} file is damaged ({reason[:120]}); it must be a whole zip file. {advice}"
    return MalformedRequest(detail, [Fault(pointer="", detail=detail)])
