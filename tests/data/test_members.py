"""The files in a zip file: which count, and what is not touched."""

import io
import stat
import struct
import zipfile
from pathlib import Path

import pytest

from service.data import archive
from service.data.fault_list import FaultList
from service.data.members import content, kind_of_zip, members_of, opened
from service.errors import Invalid, KerasdError, MalformedRequest, TooLarge


def zipped(members: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return file.getvalue()


def names_in(body: bytes, limit_bytes: int = 10**6) -> list[str]:
    faults = FaultList()
    with opened(io.BytesIO(body)) as files:
        members = members_of(files, limit_bytes, faults)
    faults.raise_if_any()
    return [member.name for member in members]


def kind(tmp_path: Path, members: dict[str, bytes]) -> str:
    (tmp_path / "body").write_bytes(zipped(members))
    return kind_of_zip(tmp_path / "body")


def test_members_come_sorted_and_without_what_systems_add() -> None:
    """Folders and the files of macOS and Windows are no members, and the order of packing is nothing."""
    ignored = ["b/", "__MACOSX/b/._2.png", ".DS_Store", "b/.DS_Store", "b/Thumbs.db", "b/desktop.ini", "b/._1.png"]
    assert names_in(zipped({"b/2.png": b"2", "b/10.png": b"1", "a.png": b"0", **dict.fromkeys(ignored, b"")})) == [
        "a.png",
        "b/10.png",
        "b/2.png",
    ]


def test_utf8_names_need_no_flag() -> None:
    """A name in UTF-8 is read as such also where its writer did not say so, and else as the zip format has it."""
    marked = bytearray(zipped({"Köln/1.png": b"1"}))
    for place, offset in ((marked.index(b"PK\x03\x04"), 6), (marked.index(b"PK\x01\x02"), 8)):
        struct.pack_into("<H", marked, place + offset, 0)
    assert names_in(bytes(marked)) == ["Köln/1.png"]
    plain = bytes(marked).replace("ö".encode(), b"\x94x")
    assert names_in(plain) == ["Köxln/1.png"]


@pytest.mark.parametrize(
    "name",
    ["../x.png", "/x.png", "a/../x.png", "..\\x.png", "C:/x.png", "C:\\x.png", "a//x.png", "./x.png", "a\nb.png"],
)
def test_names_that_lead_elsewhere_are_faults(name: str) -> None:
    """Only plain names are members."""
    with pytest.raises(Invalid) as raised:
        names_in(zipped({"good.png": b"1", name: b"2"}))
    assert len(raised.value.faults) == 1
    assert "This name came" in raised.value.faults[0].detail


def test_names_with_a_zero_byte_are_faults() -> None:
    """The zip reader would cut such a name there."""
    with pytest.raises(Invalid, match="Faults"):
        names_in(zipped({"abcd.png": b"1"}).replace(b"abcd", b"a\0bc"))


def test_links_and_devices_are_faults() -> None:
    """A symbolic link is not followed, nor read as a file."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, mode in (("link.png", stat.S_IFLNK), ("pipe.png", stat.S_IFIFO), ("file.png", stat.S_IFREG)):
            info = zipfile.ZipInfo(name)
            info.external_attr = (mode | 0o644) << 16
            archive.writestr(info, "/etc/passwd")
    with pytest.raises(Invalid) as raised:
        names_in(file.getvalue())
    assert [fault.pointer for fault in raised.value.faults] == ["/link.png", "/pipe.png"]


def test_duplicates_are_faults() -> None:
    """A name that comes twice is told once."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("a.png", b"1")
        with pytest.warns(UserWarning, match="Duplicate"):
            archive.writestr("a.png", b"2")
    with pytest.raises(Invalid) as raised:
        names_in(file.getvalue())
    assert [fault.pointer for fault in raised.value.faults] == ["/a.png"]
    assert "twice" in raised.value.faults[0].detail


def test_what_cannot_be_unpacked_is_a_fault() -> None:
    """Encrypted members and rare methods are told, all of them."""
    body = bytearray(zipped({"a.png": b"1" * 100, "b.png": b"2" * 100}, zipfile.ZIP_LZMA))
    with pytest.raises(Invalid) as raised:
        names_in(bytes(body))
    assert [fault.pointer for fault in raised.value.faults] == ["/a.png", "/b.png"]
    body = bytearray(zipped({"a.png": b"1"}))
    body[body.index(b"PK\x01\x02") + 8] |= 1
    with pytest.raises(Invalid) as raised:
        names_in(bytes(body))
    assert "encrypted" in raised.value.faults[0].detail


def test_what_unpacks_to_more_than_the_limit_is_too_large() -> None:
    """The sizes are added up before anything is unpacked."""
    with pytest.raises(TooLarge, match=r"2000000 bytes once unpacked; 1000000 is"):
        names_in(zipped({"a.png": bytes(10**6), "b.png": bytes(10**6)}))


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
@pytest.mark.parametrize("declared", [50, 200])
def test_a_size_that_lies_is_damage(method: int, declared: int) -> None:
    """A member that brings more or less than its directory entry declares is never read as something else."""
    body = bytearray(zipped({"a.png": bytes(range(100))}, method))
    struct.pack_into("<L", body, body.index(b"PK\x01\x02") + 24, declared)
    with pytest.raises(MalformedRequest), opened(io.BytesIO(body)) as files:
        content(files, members_of(files, 10**6, FaultList())[0])


def test_very_many_members_are_too_large(monkeypatch: pytest.MonkeyPatch) -> None:
    """Members are counted before the directory is read; as many as there are images in a data set are fine."""
    body = zipped({f"{number}.png": b"" for number in range(3000)})
    assert len(names_in(body)) == 3000
    monkeypatch.setattr(archive, "MAX_MEMBERS", 2999)
    with pytest.raises(TooLarge, match="more than 2999 members"):
        names_in(body)
    monkeypatch.setattr("service.data.members.MAX_DIRECTORY_BYTES", 1000)
    with pytest.raises(TooLarge, match="far more members"):
        names_in(body)


@pytest.mark.parametrize(
    ("members", "expected"),
    [
        ({"x.npy": b"", "y.npy": b""}, "npz"),
        ({"a/1.PNG": b"", "a/notes.txt": b""}, "images"),
        ({"a/1.jpeg": b"", "labels.csv": b""}, "images"),
        ({"a/1": b"\x89PNG\r\n\x1a\n"}, "images"),
        ({"a/1.CSV": b"", "a/.DS_Store": b""}, "sequences"),
        ({"1.tsv": b""}, "sequences"),
    ],
)
def test_the_kind_is_told_by_the_members(tmp_path: Path, members: dict[str, bytes], expected: str) -> None:
    """Suffixes decide, and the first bytes where there are none."""
    assert kind(tmp_path, members) == expected


def test_the_kind_of_a_large_zip_file_takes_no_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first names are enough; the others are looked at only where those tell nothing."""
    members = {f"{number}.{'png' if number < 5 else 'bin'}": b"" for number in range(2000)}
    with monkeypatch.context() as patch:
        patch.setattr("service.data.members.opened", None)
        assert kind(tmp_path, members) == "images"
    assert kind(tmp_path, dict(reversed(members.items()))) == "images"


def test_the_directory_is_found_behind_other_bytes_and_in_long_files(tmp_path: Path) -> None:
    """A zip file may follow a programme, and may be of the form for large ones."""
    body = zipped({"a.png": b"1"})
    wide = struct.pack("<4sQHHLLQQQQ", b"PK\x06\x06", 44, 45, 45, 0, 0, 1, 1, 51, 35)
    locator = struct.pack("<4sLQL", b"PK\x06\x07", 0, 86, 1)
    end = struct.pack("<4sHHHHLLH", b"PK\x05\x06", 0, 0, 0xFFFF, 0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF, 0)
    for whole in (body, b"#!/bin/sh\n" * 100 + body, body[:-22] + wide + locator + end):
        assert archive.first_names(io.BytesIO(whole), 5) == ["a.png"]
    assert archive.first_names(io.BytesIO(body[:-30]), 5) == []
    assert archive.first_names(io.BytesIO(b""), 5) == []


def test_other_zip_files_are_told_what_was_expected(tmp_path: Path) -> None:
    """The error names what is in the file."""
    with pytest.raises(Invalid) as raised:
        kind(tmp_path, {"a.docx": b"1", "b": b""})
    assert raised.value.faults[0].detail.startswith("The zip file holds 'a.docx', 'b'; arrays (.npy), images")
    with pytest.raises(Invalid) as raised:
        kind(tmp_path, {"empty/": b"", "__MACOSX/a.png": b""})
    assert raised.value.faults[0].detail.startswith("The zip file holds no files")


@pytest.mark.parametrize("body", [b"", b"PK\x05\x06", b"no zip file" * 100])
def test_what_is_no_zip_file_is_damage(tmp_path: Path, body: bytes) -> None:
    """The advice is to make it anew."""
    (tmp_path / "body").write_bytes(body)
    with pytest.raises(KerasdError, match="Make the zip file anew"):
        kind_of_zip(tmp_path / "body")
