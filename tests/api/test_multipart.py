"""Forms are read part by part, however their bytes come, and whatever is wrong with them has one of two errors."""

import contextlib
import io
import tracemalloc
from collections.abc import Mapping

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.api.multipart import MAX_HEAD_BYTES, MAX_PARTS, Form
from service.errors import KerasdError, MalformedRequest, TooLarge

BOUNDARY = "line-0f1e"
PARAMETERS = {"boundary": BOUNDARY}
LIMIT = 2**40


class Pieces:
    """A body in pieces of the sizes given, the last of which repeats."""

    def __init__(self, content: bytes, sizes: list[int]) -> None:
        self._file, self._sizes = io.BytesIO(content), sizes

    def read(self, size: int, /) -> bytes:
        wanted = self._sizes.pop(0) if len(self._sizes) > 1 else self._sizes[0]
        return self._file.read(min(size, wanted))


class Sequence:
    """A body whose pieces are given."""

    def __init__(self, pieces: list[bytes]) -> None:
        self._pieces = iter(pieces)

    def read(self, size: int, /) -> bytes:
        return next(self._pieces, b"")


def body(*parts: tuple[str, bytes], end: bytes = b"--\r\n", filename: str | None = "a.npy") -> bytes:
    named = "" if filename is None else f'; filename="{filename}"'
    start, own = f"--{BOUNDARY}\r\nContent-Disposition: form-data; name=", f"{named}\r\nContent-Type: text/csv\r\n\r\n"
    content = b"".join(f'{start}"{name}"{own}'.encode() + value + b"\r\n" for name, value in parts)
    return content + b"--" + BOUNDARY.encode() + end


def read(
    content: bytes, sizes: list[int] | None = None, parameters: Mapping[str, str] = PARAMETERS, limit: int = LIMIT
) -> list[tuple[str, bytes]]:
    """The name and the content of each part."""
    form = Form(Pieces(content, sizes or [2**20]), parameters, limit)
    found = []
    for part in form.parts():
        pieces = []
        while piece := part.stream.read(1000):
            pieces.append(piece)
        found.append((part.name, b"".join(pieces)))
    return found


@settings(max_examples=200, deadline=None)
@given(
    contents=st.lists(
        st.lists(st.sampled_from([b"\r", b"\n", b"-", b"--", BOUNDARY.encode(), b"\r\n--line", b"0f1e", b"a"])).map(
            b"".join
        ),
        max_size=3,
    ),
    sizes=st.lists(st.integers(1, 40), min_size=1, max_size=20),
)
def test_parts_come_whole_in_whatever_pieces(contents: list[bytes], sizes: list[int]) -> None:
    """Contents that look like boundaries, cut anywhere, are the same again."""
    parts = [(f"x.{number}", content) for number, content in enumerate(contents)]
    if any(f"\n--{BOUNDARY}".encode() in b"\n" + content.replace(b"\r", b"\n") for content in contents):
        # A client must choose a boundary that is in no file, and these have not.
        return
    assert read(body(*parts), sizes) == parts


@pytest.mark.parametrize("padding", [b"", b" \t "])
def test_boundaries_may_be_cut_anywhere(padding: bytes) -> None:
    """Also between a boundary and the end of its line, where there may be blanks."""
    content = body(("x", b"abc"), ("y", b"\r\n"), end=b"--" + padding + b"\r\n")
    content = content.replace(b"\r\n--line-0f1e\r\n", b"\r\n--line-0f1e" + padding + b"\r\n")
    for cut in range(1, len(content)):
        for size in (1, 2, 2**20):
            assert read(content, [cut, size]) == [("x", b"abc"), ("y", b"\r\n")]


@pytest.mark.parametrize("shift", range(0, 330, 7))
def test_large_parts_come_whole_wherever_their_pieces_end(shift: int) -> None:
    """Most of a large part is not searched twice, and what looks like a boundary at a piece's end is held back."""
    content = (b"\r\n--line-0f1" + bytes(range(256)) + b"\r\n--line-0f") * 40
    parts = [("x", content), ("y", content[:-1]), ("z", content + b"\r")]
    assert read(body(*parts), [1000 + shift, 1024]) == parts


def test_what_a_part_says_of_itself_is_given() -> None:
    """Name, type, and whether it is a file; the filename, with whatever path, is of no use."""
    form = Form(io.BytesIO(body(("x", b"1"), filename="../../etc/passwd")), PARAMETERS, LIMIT)
    (part,) = form.parts()
    assert (part.name, part.media_type, part.is_file) == ("x", "text/csv", True)
    (field,) = Form(io.BytesIO(body(("x", b"1"), filename=None)), PARAMETERS, LIMIT).parts()
    assert not field.is_file


def test_a_part_that_nobody_reads_is_passed_over() -> None:
    """The next one is found all the same, and what follows the last boundary too."""
    form = Form(io.BytesIO(body(("x", bytes(5000)), ("y", b"1")) + b"epilogue"), PARAMETERS, LIMIT)
    assert [part.name for part in form.parts()] == ["x", "y"]


def test_values_can_be_put_where_they_are_wanted() -> None:
    """A buffer is filled as far as the piece at hand goes; 0 is the end of the part."""
    form = Form(io.BytesIO(body(("x", b"abc"))), PARAMETERS, LIMIT)
    buffer = bytearray(2)
    for part in form.parts():
        counts = [part.stream.readinto(memoryview(buffer)) for _ in range(3)]
    assert (counts, buffer) == ([2, 1, 0], bytearray(b"cb"))


@pytest.mark.parametrize("boundary", [None, "", "a" * 129, "lïne"])
def test_without_a_boundary_nothing_can_be_read(boundary: str | None) -> None:
    """What the Content-Type has instead is told."""
    with pytest.raises(MalformedRequest, match="1 to 128 ASCII characters"):
        read(b"", parameters={} if boundary is None else {"boundary": boundary})


def test_every_truncation_is_told_with_its_part() -> None:
    """A form that ends before its last boundary is malformed, wherever that is; the pointer names the part."""
    content = body(("x", b"abc\r\n--li"), ("a/b", b"123"), end=b"--")
    second = content.index(b'name="a/b"')
    assert len(read(content)) == 2
    for length in range(len(content)):
        with pytest.raises(MalformedRequest) as raised:
            read(content[:length])
        (fault,) = raised.value.faults
        assert fault.pointer in (("", "/x") if length < second else ("/x", "/a~1b"))
        assert "its last boundary" in fault.detail


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"x" * (MAX_HEAD_BYTES + 1), MalformedRequest),
        (b"--line-0f1e\r\n" + b"x" * (MAX_HEAD_BYTES + 1), MalformedRequest),
        (b"--line-0f1e\r\nA: b\r\n\r\ncontent\r\n--line-0f1e--", MalformedRequest),
        (b"--line-0f1e\r\nContent-Disposition: \xff\r\n\r\ncontent\r\n--line-0f1e--", MalformedRequest),
        (body(*[("x", b"")] * (MAX_PARTS + 1)), TooLarge),
    ],
)
def test_heads_that_are_no_heads_are_refused(content: bytes, expected: type[KerasdError]) -> None:
    """Too long, without a disposition, not UTF-8, or too many of them."""
    with pytest.raises(expected):
        read(content, [1000])


def test_a_part_without_a_name_has_an_empty_one() -> None:
    """Whoever knows the names says what is wrong with it."""
    assert read(b"--line-0f1e\r\nContent-Disposition: form-data\r\n\r\n1\r\n--line-0f1e--") == [("", b"1")]


@pytest.mark.parametrize("content", [body(("x", bytes(1000))), body(("x", b"")) + bytes(1000)])
def test_more_bytes_than_allowed_are_too_large(content: bytes) -> None:
    """Those after the last part count as well."""
    with pytest.raises(TooLarge, match="More than 500 bytes"):
        read(content, [100], limit=500)


@settings(max_examples=300, deadline=None)
@given(
    pieces=st.lists(
        st.one_of(
            st.binary(max_size=20),
            st.sampled_from(
                [b"--line-0f1e", b"\r\n", b"--", b'Content-Disposition: form-data; name="x"', b"; filename"]
            ),
        ),
        max_size=12,
    ),
    size=st.integers(1, 50),
)
def test_whatever_comes_has_a_known_error(pieces: list[bytes], size: int) -> None:
    """No bytes lead to an unexpected exception."""
    with contextlib.suppress(KerasdError):
        read(b"".join(pieces), [size])


def test_a_hundred_megabytes_need_little_memory() -> None:
    """A part is never whole in memory."""

    start = body(("x", b""), end=b"")[: -len(BOUNDARY) - 4]
    form, came = Form(Sequence([start, *[bytes(2**20)] * 100, b"\r\n--line-0f1e--"]), PARAMETERS, LIMIT), 0
    tracemalloc.start()
    for part in form.parts():
        while piece := part.stream.read(2**16):
            came += len(piece)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert came == 100 * 2**20
    assert peak < 16 * 2**20


@pytest.mark.parametrize("length", [1, 70, 74, 128])
def test_boundaries_have_the_lengths_that_clients_give_them(length: int) -> None:
    """Wherever the pieces end, the longest is held back whole."""
    boundary = "a" * length
    content = body(("x", b"1\r\n2"), ("y", b"")).replace(BOUNDARY.encode(), boundary.encode())
    for size in range(1, len(content)):
        assert read(content, [size], {"boundary": boundary}) == [("x", b"1\r\n2"), ("y", b"")]
