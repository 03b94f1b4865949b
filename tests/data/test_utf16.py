"""UTF-16 becomes UTF-8 on its way, whatever the blocks it comes in, and other text passes as it is."""

import codecs
import gzip
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from service.data.packed import BLOCK_BYTES
from service.data.utf16 import as_utf8, is_plain, opened_text
from service.errors import MalformedRequest, TooLarge

MARKS = {"utf-16-le": codecs.BOM_UTF16_LE, "utf-16-be": codecs.BOM_UTF16_BE}
LIMIT = 2**26


def read(path: Path, content: bytes, limit: int = LIMIT) -> bytes:
    path.write_bytes(content)
    with opened_text(path, limit) as file:
        return b"".join(iter(lambda: file.read(50_000), b""))


@pytest.mark.parametrize("encoding", MARKS)
@pytest.mark.parametrize("packed", [False, True])
def test_files_of_many_blocks_come_out_whole(tmp_path: Path, encoding: str, packed: bool) -> None:
    """Also where a block ends within a character of four bytes."""
    for shift in ("", "x"):
        text = shift + "æ😀€\n" * (BLOCK_BYTES // 5)
        content = MARKS[encoding] + text.encode(encoding)
        found = read(tmp_path / "body", gzip.compress(content, 1) if packed else content)
        assert found == text.encode()
        assert not is_plain(tmp_path / "body")


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(text=st.text(max_size=30), encoding=st.sampled_from(sorted(MARKS)))
def test_any_text_is_the_same_in_both(tmp_path: Path, text: str, encoding: str) -> None:
    """As a file and in memory; UTF-16 cannot begin with a NUL, by which UTF-32 is told from it."""
    text = text.lstrip("\0")
    content = MARKS[encoding] + text.encode(encoding)
    assert read(tmp_path / "body", content) == as_utf8(content) == text.encode()


@pytest.mark.parametrize("content", [b"", b"\xff", b"a,b\n1,\xff\n", "\ufeffa".encode(), "a".encode("utf-32")])
def test_other_bytes_pass_as_they_are(tmp_path: Path, content: bytes) -> None:
    """Whoever reads them says what is wrong with them."""
    assert read(tmp_path / "body", content) == as_utf8(content) == content
    assert is_plain(tmp_path / "body")


@pytest.mark.parametrize(
    ("rest", "position"),
    [
        (b"a\0b", 4),
        (b"a\0\x00\xdc", 4),
        (b"\x00\xd8a\0", 2),
        (b"a\0\x00\xd8", 4),
        (b"a\0" * BLOCK_BYTES + b"\x00\xd8\x00\xd8", 2 + 2 * BLOCK_BYTES),
        (b"a\0" * (BLOCK_BYTES // 2 - 1) + b"\x00\xd8" + b"b\0", BLOCK_BYTES),
    ],
)
def test_what_is_wrong_is_told_by_its_position(tmp_path: Path, rest: bytes, position: int) -> None:
    """Half a character, and halves of pairs that stand alone, in any block."""
    content = codecs.BOM_UTF16_LE + rest
    for body in (content, gzip.compress(content)):
        with pytest.raises(MalformedRequest, match=f"what is at position {position} is not"):
            read(tmp_path / "body", body)
    with pytest.raises(MalformedRequest, match=f"what is at position {position} is not"):
        as_utf8(content)


def test_what_unpacks_to_too_much_is_refused(tmp_path: Path) -> None:
    """The limit is that of the bytes before they become UTF-8."""
    content = codecs.BOM_UTF16_LE + b"a\0" * 1000
    assert read(tmp_path / "body", gzip.compress(content), len(content)) == b"a" * 1000
    with pytest.raises(TooLarge):
        read(tmp_path / "body", gzip.compress(content), len(content) - 1)
