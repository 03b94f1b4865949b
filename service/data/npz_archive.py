"""The outside of .npz files: zip archives that are opened with care, and their members."""

import zipfile
from contextlib import AbstractContextManager
from typing import IO, Final

from service.data import archive
from service.data.npy_header import ArrayHeader, read_header
from service.errors import TooLarge

_KIND: Final = ".npz"
_ADVICE: Final = "Use numpy.savez_compressed."


def opened(file: IO[bytes]) -> AbstractContextManager[zipfile.ZipFile]:
    """Open an archive of arrays; raises what `archive.opened` does."""
    return archive.opened(file, _KIND, _ADVICE)


def check_total(members: zipfile.ZipFile, limit_bytes: int) -> None:
    """Raise TooLarge where the members declare that they unpack to more than the limit; none gives more than that."""
    total = sum(info.file_size for info in members.infolist())
    if total > limit_bytes:
        raise TooLarge(
            f"The arrays take {total} bytes once unpacked; {limit_bytes} is the most allowed here. Send less."
        )


def unreadable(info: zipfile.ZipInfo) -> str | None:
    """Why a member cannot be read here, if so."""
    return archive.unreadable(info, _ADVICE)


def member_header(members: zipfile.ZipFile, info: zipfile.ZipInfo) -> ArrayHeader:
    """The header of a member; raise ValueError, with a sentence for the client, where it is no array."""
    with members.open(info) as stream:
        try:
            return read_header(stream)
        except ValueError as error:
            raise ValueError(f"This is no .npy array ({str(error)[:120]}). Write it with numpy.savez.") from error


def exactly(stream: IO[bytes], size: int) -> bytes:
    """Read `size` bytes; EOFError where there are fewer."""
    data = stream.read(size)
    if len(data) < size:
        raise EOFError("a member ends too soon")
    return data
