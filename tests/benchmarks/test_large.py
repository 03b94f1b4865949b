"""The benchmark of a file larger than memory: what it sends, what it counts, and how it reports; nothing is timed."""

import re
import time
from pathlib import Path

import pyarrow.csv as arrow_csv
import pytest

from benchmarks import control_group, large
from benchmarks.control_group import FIRST, SECOND, Edition, Group, NoGroup, limited
from benchmarks.large import Reading, most_memory, parser, read_by_pyarrow, write_table

ROOT = Path(__file__).parent.parent.parent
READING = Reading(
    size=2 * 10**9,
    rows=5,
    limit=2**30,
    upload=8.0,
    pyarrow=5.0,
    training=4.0,
    accuracy=0.987,
    ready_bytes=2**20,
    upload_bytes=2**21,
    training_bytes=None,
    kills=0,
)


def test_the_table_has_the_size_that_was_asked_for(tmp_path: Path) -> None:
    """Its target is whether the sum of the features is above 0, and PyArrow reads all of its rows."""
    path = tmp_path / "table.csv"
    rows = write_table(path, 10**6)
    assert path.stat().st_size >= 10**6
    table = arrow_csv.read_csv(path)
    assert table.num_rows == rows == read_by_pyarrow(path)
    assert table.column_names == [*large.NAMES, large.TARGET]
    numbers = sum(table[name].to_numpy() for name in large.NAMES)
    assert ((numbers > 0) == table[large.TARGET].to_numpy()).all()


def test_the_report() -> None:
    """Seconds, speeds, memory, and what is not known."""
    text = READING.report()
    assert re.search(r"upload +8\.0 s +250 MB/s", text)
    assert re.search(r"memory, uploading +2 MiB", text)
    assert re.search(r"memory, training +unknown", text)
    assert "2.00 GB, 5 rows, of 1024 MiB of memory" in text
    assert "killed for memory: 0" in text
    assert "1.60 times as long as PyArrow alone" in text


@pytest.mark.parametrize("edition", [FIRST, SECOND])
def test_what_the_kernel_tells_is_read(tmp_path: Path, edition: Edition) -> None:
    """By the words of either edition, among others that begin alike."""
    (tmp_path / "memory.stat").write_text(f"{edition.anonymous}_thp 1\n{edition.anonymous} 12345\nfile 7\n")
    (tmp_path / edition.events).write_text("oom_kill_disable 0\noom 9\noom_kill 3\n")
    group = Group(folder=tmp_path, edition=edition)
    assert (group.anonymous_bytes(), group.kills()) == (12345, 3)
    found: dict[str, int] = {}
    with most_memory(group, found, "block"):
        time.sleep(4 * large.SAMPLE_SECONDS)
    with most_memory(None, found, "nothing"):
        pass
    assert found == {"block": 12345}


def test_where_there_is_no_group_it_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With what would help; nothing is measured."""
    monkeypatch.setattr(control_group, "FIRST", Edition(root=tmp_path / "absent", limit="l", anonymous="a", events="e"))
    monkeypatch.setattr(control_group, "ROOT", tmp_path)
    with pytest.raises(NoGroup, match="--limit-megabytes 0"), limited(2**30):
        pass
    assert large.main(["--folder", str(tmp_path)]) == 1
    assert "takes root on Linux" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_what_the_readme_says_can_be_run() -> None:
    """Each option that benchmarks/README.md names for this benchmark is known."""
    text = (ROOT / "benchmarks" / "README.md").read_text(encoding="utf-8")
    commands = re.findall(r"make bench-large BENCH='([^']*)'", text)
    assert commands
    for command in commands:
        parser().parse_args(command.split())
