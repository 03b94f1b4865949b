"""Arrays in the parts of a form: every numeric dtype and order is read as it comes, and nothing hostile is."""

import io
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from service.data.arrays import ArrayFacts
from service.data.content_digest import ContentDigest
from service.data.npy_parts import FilePart, check_alone
from service.data.read_options import ReadOptions
from service.data.readers import read_parts
from service.data.store import content_sha256
from service.errors import Invalid, TooLarge

DTYPES = ["?", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8", ">i4", ">i8", ">u2", ">f4", ">f8"]
GOOD = {"x": np.array([[0.5, 1.0], [1.5, 2.0], [3.0, 4.0]]), "y": np.array([0, 1, 0])}


class Trickle(io.BytesIO):
    """A stream that gives a few bytes at a time, as a network may."""

    def read(self, size: int | None = -1, /) -> bytes:
        return super().read(min(size, 7) if size is not None and size > 0 else 7)

    def readinto(self, buffer: Any, /) -> int:
        return super().readinto(memoryview(buffer)[:7])


def npy(array: Any) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def headed(
    shape: str, values: bytes, descr: str = "'<f4'", fortran: bool = False, version: bytes = b"\x01\x00"
) -> bytes:
    """A .npy file whose header says what it likes."""
    text = f"{{'descr': {descr}, 'fortran_order': {fortran}, 'shape': {shape}, }}\n".encode()
    length = len(text).to_bytes(2 if version == b"\x01\x00" else 4, "little")
    return b"\x93NUMPY" + version + length + text + values


def part(name: str, content: Any, is_file: bool = True, stream: type[io.BytesIO] = io.BytesIO) -> FilePart:
    content = content if isinstance(content, bytes) else npy(content)
    return FilePart(name=name, media_type="", is_file=is_file, stream=stream(content))


def take(folder: Path, parts: dict[str, Any], digest: ContentDigest | None = None, **options: Any) -> Any:
    streams: Iterator[FilePart] = (part(name, content) for name, content in parts.items())
    return read_parts(streams, folder, ReadOptions(**options), digest or ContentDigest())


def faults_of(folder: Path, parts: dict[str, Any]) -> dict[str, str]:
    with pytest.raises(Invalid) as raised:
        take(folder, parts)
    return {fault.pointer: fault.detail for fault in raised.value.faults}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("order", ["C", "F"])
def test_every_dtype_and_order_is_read(tmp_path: Path, dtype: str, order: Any) -> None:
    """Booleans, integers and floats of both byte orders give equal values, and the digest follows."""
    x = np.asarray(np.arange(24).reshape(4, 3, 2) % 7, dtype=dtype, order=order)
    digest = ContentDigest()
    facts = take(tmp_path, {"x": x, "y": np.arange(4)}, digest)
    np.testing.assert_array_equal(np.load(tmp_path / "x.npy"), x)
    assert np.load(tmp_path / "x.npy").dtype == np.int32
    assert digest.of(facts) == content_sha256(tmp_path, facts)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["x.npy", "y.npy"]


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8", ">f8"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_bytes_may_come_as_they_like(tmp_path: Path, dtype: str, order: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither a few bytes at a time nor chunks of one row change the values."""
    monkeypatch.setattr("service.data.store.CHUNK_BYTES", 16)
    x = np.asarray(np.arange(60).reshape(10, 3, 2) / 4, dtype=dtype, order=order)
    facts = read_parts(
        iter([part("x", x, stream=Trickle), part("y", np.arange(10), stream=Trickle)]),
        tmp_path,
        ReadOptions(),
        ContentDigest(),
    )
    np.testing.assert_array_equal(np.load(tmp_path / "x.npy"), x)
    assert facts[0] == ArrayFacts(
        part="x", name=None, shape=(10, 3, 2), dtype="float32", minimum=0.0, maximum=14.75, integral=False
    )


def test_names_and_weights_are_read(tmp_path: Path) -> None:
    """x.<name> and y.<name> are named arrays, in whatever order they come."""
    facts = take(
        tmp_path,
        {"y.c": np.ones(2), "sample_weight": np.ones(2, int), "x.a": np.ones((2, 1)), "x.b": np.ones((2, 3))},
    )
    assert [fact.filename for fact in facts] == ["x.a.npy", "x.b.npy", "y.c.npy", "sample_weight.npy"]
    assert facts[3].dtype == "float32"


@pytest.mark.parametrize(
    ("parts", "pointers"),
    [
        ({}, ["/x", "/y"]),
        ({"x": GOOD["x"]}, ["/y"]),
        ({**GOOD, "z": GOOD["y"]}, ["/z"]),
        ({**GOOD, "file": b"PK\x03\x04"}, ["/file"]),
        ({**GOOD, "": GOOD["y"]}, ["/"]),
        ({**GOOD, "x.": GOOD["x"]}, ["/x/"]),
        ({**GOOD, "x.a": GOOD["x"]}, ["/x/a"]),
        ({**GOOD, "x.../../etc/passwd": GOOD["x"]}, ["/x...~1..~1etc~1passwd"]),
        ({**GOOD, "sample_weight.a": GOOD["y"]}, ["/sample_weight/a"]),
        ({**GOOD, "sample_weight": np.array([1.0, -0.5, 2.0])}, ["/sample_weight/1"]),
        ({**GOOD, "sample_weight": np.ones((3, 1))}, ["/sample_weight"]),
        ({**GOOD, "y": np.arange(4)}, ["/y"]),
        ({**GOOD, "x": np.array([[1, np.nan], [np.inf, 2], [0.5, 3]])}, ["/x/0/1", "/x/1/0"]),
        ({**GOOD, "x": np.array([[1e300, 0.5]] * 3)}, ["/x/0/0", "/x/1/0", "/x/2/0"]),
        ({**GOOD, "x": np.array([[2**63], [0], [1]], np.uint64)}, ["/x/0/0"]),
        ({**GOOD, "x": np.ones((3, 1), complex)}, ["/x"]),
        ({**GOOD, "x": np.array([["a"], ["b"], ["c"]])}, ["/x"]),
        ({**GOOD, "x": np.array([[None], [1], [2]])}, ["/x"]),
        ({**GOOD, "x": np.ones(3, [("a", "f4")])}, ["/x"]),
        ({**GOOD, "x": headed("(3,)", bytes(12), descr="[('ä€', '<f4')]", version=b"\x03\x00")}, ["/x"]),
        ({**GOOD, "x": np.array(["2020"] * 3, "M8[D]")}, ["/x"]),
        ({**GOOD, "x": np.float64(3)}, ["/x"]),
        ({**GOOD, "x": np.ones((0, 3))}, ["/x"]),
        ({**GOOD, "x": np.ones((3, 0))}, ["/x"]),
        ({**GOOD, "x": np.ones((1,) * 10)}, ["/x"]),
        ({"x": b"text", "y": b""}, ["/x", "/y"]),
        ({**GOOD, "x": npy(GOOD["x"])[:-1]}, ["/x"]),
        ({**GOOD, "x": npy(GOOD["x"])[:40]}, ["/x"]),
        ({**GOOD, "x": npy(np.asfortranarray(GOOD["x"]))[:-1]}, ["/x"]),
        ({**GOOD, "x": npy(GOOD["x"]) + b"1"}, ["/x"]),
        ({**GOOD, "x": npy(np.asfortranarray(GOOD["x"])) + bytes(2**21)}, ["/x"]),
        ({**GOOD, "x": headed("(-3, -2)", bytes(24))}, ["/x"]),
        ({**GOOD, "x": headed("(3, -2)", bytes(24))}, ["/x"]),
        ({**GOOD, "x": headed("(9999999999, 9999)", bytes(24))}, ["/x"]),
        ({**GOOD, "x": headed(f"({10**3000}, 2)", bytes(24))}, ["/x"]),
        ({**GOOD, "x": headed(f"({10**18}, {2**24})", bytes(24), fortran=True)}, ["/x"]),
        ({**GOOD, "x": headed("(3,)", bytes(24), descr="('<f4', (2,))")}, ["/x"]),
    ],
)
def test_what_cannot_be_kept_is_a_fault(tmp_path: Path, parts: dict[str, Any], pointers: list[str]) -> None:
    """Parts, headers, shapes and values are told by place; objects are never unpickled, and nothing is made of it."""
    assert list(faults_of(tmp_path, parts)) == pointers
    assert not list(tmp_path.glob("*.raw"))


def test_all_faults_come_at_once(tmp_path: Path) -> None:
    """Those of each part, and what is missing."""
    found = faults_of(tmp_path, {"x": np.array([[np.nan]]), "z": b"", "sample_weight": b"PK"})
    assert list(found) == ["/x/0/0", "/z", "/sample_weight", "/y"]
    assert "nan came" in found["/x/0/0"]
    assert "-F x=@x.npy" in found["/z"]
    assert "numpy.save" in found["/sample_weight"]


def test_a_header_that_is_not_true_is_told_with_both_figures(tmp_path: Path) -> None:
    """What it promises and what came are both in the sentence."""
    detail = faults_of(tmp_path, {**GOOD, "x": headed("(1000, 2)", bytes(24))})["/x"]
    assert "8000 bytes" in detail
    assert "24 bytes" in detail


def test_a_part_that_comes_twice_is_a_fault(tmp_path: Path) -> None:
    """The first one is not overwritten in silence."""
    parts = [part("x", GOOD["x"]), part("y", GOOD["y"]), part("x", GOOD["x"])]
    with pytest.raises(Invalid) as raised:
        read_parts(iter(parts), tmp_path, ReadOptions(), ContentDigest())
    assert [(fault.pointer, "twice" in fault.detail) for fault in raised.value.faults] == [("/x", True)]


def test_a_text_field_is_no_file(tmp_path: Path) -> None:
    """How a file is sent is in the sentence."""
    parts = [part("x", b"[[1, 2]]", is_file=False), part("y", GOOD["y"])]
    with pytest.raises(Invalid) as raised:
        read_parts(iter(parts), tmp_path, ReadOptions(), ContentDigest())
    (fault,) = raised.value.faults
    assert fault.pointer == "/x"
    assert "-F x=@x.npy" in fault.detail


def test_a_whole_data_set_comes_alone() -> None:
    """Each part beside it is named."""
    check_alone([])
    with pytest.raises(Invalid) as raised:
        check_alone([part("x", b""), part("a/b", b"")])
    assert [fault.pointer for fault in raised.value.faults] == ["/x", "/a~1b"]


@pytest.mark.parametrize("options", [{"max_rows": 2}, {"max_bytes": 20}])
def test_limits_hold_while_rows_come(tmp_path: Path, options: dict[str, int]) -> None:
    """Too many rows, or bytes of arrays, end the reading."""
    with pytest.raises(TooLarge):
        take(tmp_path, GOOD, **options)


@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_a_hundred_megabytes_need_little_memory(tmp_path: Path, dtype: str) -> None:
    """100 MB of values stream through a few MB of memory."""
    np.save(tmp_path / "large.npy", np.full((100 * 2**20 // 400, 100), 0.5, dtype))
    folder = tmp_path / "folder"
    folder.mkdir()
    with (tmp_path / "large.npy").open("rb") as file:
        parts = [FilePart(name="x", media_type="", is_file=True, stream=file), part("y", np.zeros(100 * 2**20 // 400))]
        tracemalloc.start()
        facts = read_parts(iter(parts), folder, ReadOptions(), ContentDigest())
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert facts[0].shape == (100 * 2**20 // 400, 100)
    assert peak < 32 * 2**20
