"""The benchmark of uploads: what it sends, and how it reports; nothing is timed here."""

import hashlib
import io
import re
from pathlib import Path

import numpy as np
import pytest

from benchmarks import upload
from benchmarks.upload import Readings, head_of, parser, write_and_hash, write_files
from service.api.multipart import Form
from service.data.content_digest import ContentDigest
from service.data.read_options import ReadOptions
from service.data.readers import read_parts

ROOT = Path(__file__).parent.parent.parent


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    return write_files(tmp_path, 1)


def test_the_files_are_a_data_set_of_the_size_that_was_asked_for(files: dict[str, Path], tmp_path: Path) -> None:
    """x has a MiB, and kerasd takes the form that is sent and keeps float32 as it is."""
    x = np.load(files["x"])
    assert x.nbytes == 2**20
    body = b"".join(head_of(name) + file.read_bytes() for name, file in files.items()) + upload.END
    folder = tmp_path / "folder"
    folder.mkdir()
    parts = Form(io.BytesIO(body), {"boundary": upload.BOUNDARY}, 2**30).parts()
    facts = read_parts(parts, folder, ReadOptions(), ContentDigest())
    assert [(fact.part, fact.dtype) for fact in facts] == [("x", "float32"), ("y", "int32")]
    np.testing.assert_array_equal(np.load(folder / "x.npy"), x)


def test_the_floor_writes_and_hashes_all_of_them(files: dict[str, Path], tmp_path: Path) -> None:
    """The copy has all bytes, and the digest is theirs."""
    content = b"".join(file.read_bytes() for file in files.values())
    assert write_and_hash(files.values(), tmp_path / "copy") == hashlib.sha256(content).hexdigest()
    assert (tmp_path / "copy").read_bytes() == content


def test_the_ratio_is_that_of_the_medians() -> None:
    """One slow round changes nothing; the bar is told to be met, or not."""
    good = Readings(size=10**9, uploads=[3.0, 9.0, 2.0], floors=[2.0, 1.0, 2.0])
    assert good.ratio == 1.5
    assert "1.50" in good.report()
    assert "at most 2: met" in good.report()
    assert "NOT met" in Readings(size=1, uploads=[5.0], floors=[2.0]).report()
    assert good.to_json()["ratio"] == 1.5


def test_what_the_readme_says_can_be_run() -> None:
    """Each option that benchmarks/README.md names for this benchmark is known."""
    text = (ROOT / "benchmarks" / "README.md").read_text(encoding="utf-8")
    commands = re.findall(r"make bench-upload BENCH='([^']*)'", text)
    assert commands
    for command in commands:
        parser().parse_args(command.split())


@pytest.mark.parametrize("arguments", [["--rounds", "0"], ["--megabytes", "-1"]])
def test_sizes_that_measure_nothing_are_refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """At least one of each."""
    with pytest.raises(SystemExit):
        parser().parse_args(arguments)
    assert "at least 1" in capsys.readouterr().err
