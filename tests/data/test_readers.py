"""What holds for every format: which one it is, which arrays are needed, and how many rows each must have."""

import errno
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from service.data import readers
from service.data.content_digest import ContentDigest
from service.data.read_options import ReadOptions
from service.data.readers import FORMATS, format_of, read, read_value
from service.data.store import content_sha256
from service.errors import Invalid, StorageFull, TooLarge, UnsupportedMediaType


def faults_of(value: Any, folder: Path) -> list[tuple[str, str]]:
    with pytest.raises(Invalid) as raised:
        read_value(value, folder)
    return [(fault.pointer, fault.detail) for fault in raised.value.faults]


def test_inline_data_become_arrays(tmp_path: Path) -> None:
    """Parsed JSON gives the same arrays as a file does."""
    facts = read_value({"y": [0, 1], "x": [[0.5, 1], [2, 3]], "sample_weight": [1, 2]}, tmp_path)
    assert [fact.filename for fact in facts] == ["x.npy", "y.npy", "sample_weight.npy"]
    assert np.load(tmp_path / "x.npy").tolist() == [[0.5, 1], [2, 3]]


def test_named_inputs_and_outputs_have_files_of_their_own(tmp_path: Path) -> None:
    """x and y may be objects of arrays."""
    facts = read_value({"x": {"a": [[1]], "b": [[2]]}, "y": {"c": [3]}}, tmp_path)
    assert [fact.filename for fact in facts] == ["x.a.npy", "x.b.npy", "y.c.npy"]


@pytest.mark.parametrize(
    ("value", "pointers"),
    [
        (3, ["/data"]),
        ({}, ["/data/x", "/data/y"]),
        ({"x": [[1]]}, ["/data/y"]),
        ({"x": [[1]], "y": []}, ["/data/y", "/data/y"]),
        ({"x": {}, "y": [1]}, ["/data/x"]),
        ({"x": [[1]], "y": [1, 2]}, ["/data/y"]),
        ({"x": [[1]], "y": [1], "z/1": 0}, ["/data/z~11"]),
        ({"x": 3, "y": [1]}, ["/data/x"]),
        ({"x": [[1]], "y": [1], "sample_weight": [[1]]}, ["/data/sample_weight"]),
        ({"x": [[1]], "y": [1], "sample_weight": [-1]}, ["/data/sample_weight/0"]),
        ({"x": [[1]], "y": [1], "sample_weight": {"a": [1]}}, ["/data/sample_weight/a"]),
        ({"x": {"1a": [[1]]}, "y": [1]}, ["/data/x/1a"]),
        ({"x": {"a" * 65: [[1]]}, "y": [1]}, ["/data/x/" + "a" * 64]),
        ({"x": {"../a": [[1]]}, "y": [1]}, ["/data/x/..~1a"]),
        ({"x": [[1], [None]], "y": [1, "2"], "z": 1}, ["/data/x/1/0", "/data/y/1", "/data/z"]),
    ],
)
def test_every_fault_is_told(tmp_path: Path, value: Any, pointers: list[str]) -> None:
    """All that is wrong comes at once, each with its pointer."""
    assert [pointer for pointer, _ in faults_of(value, tmp_path)] == pointers


def test_row_counts_are_both_told(tmp_path: Path) -> None:
    """Where rows do not match, both numbers are in the sentence."""
    ((_, detail),) = faults_of({"x": [[1], [2], [3]], "y": [1, 2]}, tmp_path)
    assert "2 rows" in detail
    assert "has 3" in detail


@pytest.mark.parametrize("media_type", FORMATS)
def test_media_types_have_formats(tmp_path: Path, media_type: str) -> None:
    """Each media type leads to its format, with or without parameters."""
    path = tmp_path / "body"
    path.write_bytes(b"PK\x03\x04")
    assert format_of(media_type.upper() + "; charset=utf-8", path) == FORMATS[media_type]


@pytest.mark.parametrize("media_type", ["text/html", "", "application/zip", "application/octet-stream"])
def test_other_media_types_are_refused(tmp_path: Path, media_type: str) -> None:
    """What is unknown, or general and no zip file, is not read."""
    path = tmp_path / "body"
    path.write_bytes(b"{}")
    with pytest.raises(UnsupportedMediaType):
        format_of(media_type, path)


@pytest.mark.parametrize("media_type", ["application/x-npy", "application/octet-stream", "application/zip"])
def test_one_array_is_no_data_set(tmp_path: Path, media_type: str) -> None:
    """The sentence says how two come together."""
    np.save(tmp_path / "x.npy", np.ones((3, 2)))
    with pytest.raises(Invalid, match=r"-F x=@x\.npy -F y=@y\.npy"):
        format_of(media_type, tmp_path / "x.npy")


def test_the_digest_follows_what_it_can(tmp_path: Path) -> None:
    """Arrays of an .npz file are hashed as they are written; those of JSON are not: nobody knows how many rows come."""
    np.savez(tmp_path / "body.npz", x=np.ones((3, 2)) / 3, y=np.arange(3))
    (tmp_path / "body.json").write_text('{"x": [[1.5]], "y": [1]}')
    for name, followed in (("npz", True), ("json", False)):
        digest, folder = ContentDigest(), tmp_path / name
        folder.mkdir()
        facts = read(tmp_path / f"body.{name}", name, folder, digest=digest)
        assert digest.of(facts) == (content_sha256(folder, facts) if followed else None)


def test_limits_reach_the_reader(tmp_path: Path) -> None:
    """More rows than allowed end the reading."""
    path = tmp_path / "body"
    path.write_text('{"x": [1, 2, 3], "y": [1, 2, 3]}')
    with pytest.raises(TooLarge):
        read(path, "json", tmp_path, ReadOptions(max_rows=2))


def test_a_full_disk_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """ENOSPC while arrays are written becomes StorageFull."""

    def full(path: Path, intake: Any) -> None:
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setitem(readers._READERS, "json", full)
    with pytest.raises(StorageFull):
        read(tmp_path / "body", "json", tmp_path)
