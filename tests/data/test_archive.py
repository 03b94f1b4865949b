"""Zip files from clients: whatever is wrong with them is one of three errors."""

import struct
import zipfile
from pathlib import Path

import pytest

from service.data.archive import opened, unreadable
from service.errors import KerasdError, MalformedRequest, TooLarge

ADVICE = "Write it anew."


def a_zip(path: Path, members: dict[str, bytes]) -> bytes:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path.read_bytes()


def taken(path: Path, body: bytes) -> dict[str, bytes]:
    path.write_bytes(body)
    with path.open("rb") as file, opened(file, ".keras", ADVICE) as archive:
        return {info.filename: archive.read(info) for info in archive.infolist()}


def test_a_whole_file_is_read(tmp_path: Path) -> None:
    """Members come as they were written."""
    members = {"a": b"1" * 1000, "b": b""}
    assert taken(tmp_path / "body", a_zip(tmp_path / "body", members)) == members


@pytest.mark.parametrize("body", [b"", b"PK", b"no zip file at all" * 100, b"\x89HDF\r\n\x1a\n" + bytes(5000)])
def test_what_is_no_zip_file_is_damaged(tmp_path: Path, body: bytes) -> None:
    """The advice says how to make one."""
    with pytest.raises(MalformedRequest, match=r"This \.keras file is damaged.*Write it anew"):
        taken(tmp_path / "body", body)


def test_every_truncation_is_told(tmp_path: Path) -> None:
    """A file cut anywhere is damaged."""
    body = a_zip(tmp_path / "body", {"a": bytes(range(256)) * 8})
    for length in range(0, len(body), 3):
        with pytest.raises(MalformedRequest):
            taken(tmp_path / "body", body[:length])


def test_every_flipped_byte_ends_in_a_known_error(tmp_path: Path) -> None:
    """A flipped byte is never an unexpected exception, and never changes what is read unnoticed."""
    content = bytes(range(256)) * 2
    body = a_zip(tmp_path / "body", {"a": content})
    for place in range(len(body)):
        damaged = bytearray(body)
        damaged[place] ^= 0xFF
        try:
            members = taken(tmp_path / "body", bytes(damaged))
        except (KerasdError, RuntimeError):
            # The zip reader asks for a password, which nothing here does before `unreadable` was asked.
            continue
        assert set(members.values()) <= {content}


def test_a_directory_of_very_many_members_is_too_large(tmp_path: Path) -> None:
    """The directory's length is looked at before it is read, also in its longer form."""
    wide = struct.pack("<4sQHHLLQQQQ", b"PK\x06\x06", 44, 45, 45, 0, 0, 9, 9, 2**40, 0)
    locator = struct.pack("<4sLQL", b"PK\x06\x07", 0, 0, 1)
    end = struct.pack("<4sHHHHLLH", b"PK\x05\x06", 0, 0, 9, 9, 0xFFFFFFFF, 0, 0)
    with pytest.raises(TooLarge, match="far more members"):
        taken(tmp_path / "body", wide + locator + end)
    short = struct.pack("<4sHHHHLLH", b"PK\x05\x06", 0, 0, 9, 9, 2**21, 0, 0)
    with pytest.raises(TooLarge, match="far more members"):
        taken(tmp_path / "body", short)


def test_what_cannot_be_read_says_why() -> None:
    """Encrypted members and uncommon methods are named."""
    info = zipfile.ZipInfo("a")
    assert unreadable(info, ADVICE) is None
    info.flag_bits = 1
    assert "encrypted" in str(unreadable(info, ADVICE))
    info.flag_bits, info.compress_type = 0, zipfile.ZIP_LZMA
    assert "Zip method 14" in str(unreadable(info, ADVICE))
