"""Packed uploads: read as streams, and every damage is told."""

import gzip
import os
from contextlib import suppress
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from service.data.packed import is_packed, opened
from service.errors import KerasdError, MalformedRequest, TooLarge

CONTENT = b"".join(b"%d,%d\n" % (number, number**2) for number in range(200_000)) + os.urandom(100_000)
LIMIT = 2**24


def pack(form: str, content: bytes) -> bytes:
    packed: bytes = gzip.compress(content) if form == "gzip" else pa.compress(content, codec="zstd", asbytes=True)
    return packed


def read(folder: Path, packed: bytes, limit: int = LIMIT) -> bytes:
    path = folder / "body"
    path.write_bytes(packed)
    with opened(path, limit) as file:
        return b"".join(iter(lambda: file.read(50_000), b""))


@pytest.mark.parametrize("form", ["gzip", "zstd"])
def test_what_is_packed_comes_out_whole(tmp_path: Path, form: str) -> None:
    """One member, several, and an empty one among them give their contents one after the other."""
    packed = pack(form, CONTENT)
    assert read(tmp_path, packed) == CONTENT
    assert is_packed(tmp_path / "body")
    assert read(tmp_path, packed + pack(form, b"") + packed) == CONTENT * 2
    assert read(tmp_path, pack(form, b"")) == b""


def test_what_is_not_packed_comes_as_it_is(tmp_path: Path) -> None:
    """A file without the marks of either form is not touched."""
    assert read(tmp_path, b"a,b\n1,2\n", limit=1) == b"a,b\n1,2\n"
    assert not is_packed(tmp_path / "body")
    assert read(tmp_path, b"") == b""


def test_a_zstd_file_may_begin_with_a_frame_to_skip(tmp_path: Path) -> None:
    """Tools put notes of their own there."""
    note = bytes.fromhex("502a4d18") + (4).to_bytes(4, "little") + b"note"
    assert read(tmp_path, note + pack("zstd", CONTENT)) == CONTENT


@pytest.mark.parametrize("form", ["gzip", "zstd"])
@pytest.mark.parametrize("kept", [5, 12, 1000, -1, -8])
def test_a_file_that_is_cut_is_told(tmp_path: Path, form: str, kept: int) -> None:
    """Wherever it is cut."""
    with pytest.raises(MalformedRequest, match=f"The {form} data end too soon"):
        read(tmp_path, pack(form, CONTENT)[:kept])


def test_what_follows_after_the_end_is_told(tmp_path: Path) -> None:
    """Zeros may follow after gzip, as tapes have them; other bytes may not, be it a single one."""
    packed = pack("gzip", CONTENT)
    assert read(tmp_path, packed + bytes(3_000_000)) == CONTENT
    for garbage in (b"x", bytes(1_500_000) + b"garbage"):
        with pytest.raises(MalformedRequest, match=f"at byte {len(packed + garbage.rstrip(b'xgarbe'))}"):
            read(tmp_path, packed + garbage)
    with pytest.raises(MalformedRequest, match="zstd data are damaged"):
        read(tmp_path, pack("zstd", CONTENT) + b"garbage")


@pytest.mark.parametrize("form", ["gzip", "zstd"])
def test_a_bomb_is_refused(tmp_path: Path, form: str) -> None:
    """What unpacks to more than the limit is not unpacked further."""
    bomb = pack(form, bytes(LIMIT + 1))
    assert len(bomb) < 50_000
    with pytest.raises(TooLarge, match=f"more than {LIMIT} bytes"):
        read(tmp_path, bomb)
    assert len(read(tmp_path, bomb, LIMIT + 1)) == LIMIT + 1


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(form=st.sampled_from(["gzip", "zstd"]), place=st.integers(0, 10_000), value=st.integers(0, 255))
def test_a_changed_byte_is_told_or_harmless(tmp_path: Path, form: str, place: int, value: int) -> None:
    """Nothing but an error of ours comes of damage."""
    packed = bytearray(pack(form, CONTENT[:30_000]))
    packed[place % len(packed)] = value
    with suppress(KerasdError):
        read(tmp_path, bytes(packed))
