"""Zip files of CSV files: each is a sequence, and what is wrong with one is told by its name."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from service.data.read_options import ReadOptions
from service.data.sequence_archive import read_sequence_archive
from service.data.table import Origin, batches, stored_origins, stored_types
from service.data.table_readers import TableOptions
from service.errors import Fault, Invalid, KerasdError, MalformedRequest, TooLarge
from tests.data.test_members import zipped


def take(folder: Path, members: dict[str, bytes] | bytes, **options: Any) -> list[dict[str, Any]]:
    (folder / "body").write_bytes(members if isinstance(members, bytes) else zipped(members))
    read_sequence_archive(folder / "body", folder, TableOptions(**options))
    return [row for batch in batches(folder) for row in batch.to_pylist()]


def faults_of(folder: Path, members: dict[str, bytes]) -> tuple[Fault, ...]:
    with pytest.raises(Invalid) as raised:
        take(folder, members)
    return raised.value.faults


def speakers(seed: int, files: int) -> dict[str, np.ndarray[Any, Any]]:
    """Utterances of nine speakers, as twelve numbers a step and of different lengths: each speaker has a mean."""
    random = np.random.default_rng(seed)
    means = random.normal(size=(9, 12))
    return {
        f"speaker{number % 9}/{number:04}.csv": means[number % 9]
        + random.normal(scale=0.3, size=(random.integers(7, 30), 12))
        for number in range(files)
    }


def csv(values: np.ndarray[Any, Any], delimiter: str = ",") -> bytes:
    lines = [delimiter.join(f"c{n}" for n in range(values.shape[1]))]
    lines += [delimiter.join(map(repr, row)) for row in values.tolist()]
    return "\n".join(lines).encode()


def test_each_file_is_a_sequence(tmp_path: Path) -> None:
    """Files come sorted by name, with their folders as labels and their numbers as float32."""
    values = speakers(1, 100)
    rows = take(tmp_path, {name: csv(steps) for name, steps in values.items()})
    assert stored_types(tmp_path) == {"filename": "string", "label": "string", "sequence": "sequence"}
    assert stored_origins(tmp_path) == {"filename": Origin.FILENAME}
    assert [row["filename"] for row in rows] == sorted(values)
    for row in rows:
        assert row["label"] == row["filename"].split("/")[0]
        np.testing.assert_array_equal(row["sequence"], values[row["filename"]].astype(np.float32))


def test_files_beside_folders_have_no_labels(tmp_path: Path) -> None:
    """Without folders there is no such column."""
    assert take(tmp_path, {"b.csv": b"x\n1\n2\n", "a.csv": b"x\n3"}) == [
        {"filename": "a.csv", "sequence": [[3.0]]},
        {"filename": "b.csv", "sequence": [[1.0], [2.0]]},
    ]


@pytest.mark.parametrize(
    ("name", "content", "options"),
    [
        ("a.csv", b"x,y\r\n1,2\r\n3,4\r\n", {}),
        ("a.csv", b"\xef\xbb\xbfx;y\n1;2\n3;4", {}),
        ("a.tsv", b"x\ty\n1\t2\n3\t4\n", {}),
        ("a.csv", b"x\ty\n1\t2\n3\t4\n", {}),
        ("a.txt", b"x|y\n1|2\n3|4\n", {"delimiter": "|"}),
        ("a.csv", b'"x",y\n"1",2e0\n3,4.\n', {}),
        ("a.txt", "x\ty\r\n1\t2\r\n3\t4\r\n".encode("utf-16"), {}),
    ],
)
def test_the_delimiter_is_found_out(tmp_path: Path, name: str, content: bytes, options: dict[str, Any]) -> None:
    """Commas, semicolons and tabs are; others can be said."""
    assert take(tmp_path, {name: content}, **options)[0]["sequence"] == [[1.0, 2.0], [3.0, 4.0]]


@pytest.mark.parametrize(
    ("content", "options"),
    [
        (b"x;y\n1,5;2\n-,25;1e1\n", {}),
        (b"x\ty\n1,5\t2\n-,25\t1e1\n", {"decimal": ","}),
        (b'x,y\n"1,5",2\n"-,25",1e1\n', {"decimal": ","}),
        (b"x;y\n1.5;2\n-.25;1e1\n", {}),
        (b"x;y\n1.5;2\n-.25;1e1\n", {"decimal": "."}),
    ],
)
def test_decimal_commas_are_found_out_or_said(tmp_path: Path, content: bytes, options: dict[str, Any]) -> None:
    """Each file has one mark in all of its cells."""
    assert take(tmp_path, {"a.csv": content}, **options)[0]["sequence"] == [[1.5, 2.0], [-0.25, 10.0]]


@pytest.mark.parametrize(
    ("content", "options", "words"),
    [
        (
            b"x;y\n1,5;2.5\n",
            {},
            "The text '1,5' came in row 1 (line 2 of the file), column 'x'; a number with a decimal",
        ),
        (b"x;y\n1,5;2\n", {"decimal": "."}, "Put a point in the place of the comma"),
        (b"x;y\n1,5;1.234,5\n", {"decimal": ","}, "The text '1.234,5' came in row 1 (line 2 of the file), column 'y'"),
        (b"x;y\n1,5;\n", {"decimal": ","}, "An empty cell came in row 1 (line 2 of the file), column 'y'"),
    ],
)
def test_other_decimal_marks_are_told(tmp_path: Path, content: bytes, options: dict[str, Any], words: str) -> None:
    """By the cells that are no numbers with the mark that is looked for."""
    with pytest.raises(Invalid) as raised:
        take(tmp_path, {"a.csv": content}, **options)
    assert words in raised.value.faults[0].detail


def test_faults_of_all_files_are_told(tmp_path: Path) -> None:
    """Each with the file, the row and the column."""
    faults = faults_of(
        tmp_path,
        {
            "a/1.csv": b"x,y\n1,2\n",
            "a/2.csv": b"x,y\n1,2\n3,slow\n",
            "a/3.csv": b"x,z\n1,2\n",
            "a/4.csv": b"x,y\n",
            "a/5.csv": b"1,2\n3,4\n",
            "a/6.csv": b"x,y\n1,2,3\n",
            "a/7.csv": b"x,y\n1,\n",
            "a/8.csv": b"",
            "a/9.csv": b"x,y\n1,1e39\n",
            "b.png": b"\x89PNG\r\n\x1a\n\xff",
        },
    )
    told = {fault.pointer: fault.detail for fault in faults}
    assert [*told] == [
        "/a~12.csv/1/y",
        "/a~13.csv",
        "/a~14.csv",
        "/a~15.csv",
        "/a~16.csv/0",
        "/a~17.csv/0/y",
        "/a~18.csv",
        "/a~19.csv",
        "/b.png",
    ]
    assert told["/a~12.csv/1/y"] == (
        "'a/2.csv': The text 'slow' came in row 2 (line 3 of the file), column 'y'; a finite number was expected. "
        "Correct it."
    )
    assert told["/a~13.csv"].startswith("'a/3.csv': The header 'x', 'z' came; 'x', 'y' was expected, as in the files")
    assert "0 steps of 2 values came" in told["/a~14.csv"]
    assert "beyond float32" in told["/a~19.csv"]
    assert "not UTF-8" in told["/b.png"]


def test_text_that_is_not_utf8_is_told(tmp_path: Path) -> None:
    """Below the header too, and in UTF-16."""
    (fault,) = faults_of(tmp_path, {"a.csv": "x\n1\n".encode("utf-16") + b"\0"})
    assert (fault.pointer, "position 10 is not" in fault.detail) == ("/a.csv", True)
    (fault,) = faults_of(tmp_path, {"a.csv": b"x\n1\n\xff2\n"})
    assert fault.pointer == "/a.csv"
    assert "is not UTF-8" in fault.detail


def test_hostile_members_are_faults(tmp_path: Path) -> None:
    """The care is that which images get."""
    (fault,) = faults_of(tmp_path, {"../a.csv": b"x\n1"})
    assert fault.pointer == "/..~1a.csv"
    (fault,) = faults_of(tmp_path, {"a/": b""})
    assert "holds no files" in fault.detail


def test_limits_are_held(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of all files, of one file, and of one row."""
    members = {f"{number}.csv": b"x\n1\n2\n3\n" for number in range(3)}
    with pytest.raises(TooLarge, match="once unpacked"):
        take(tmp_path, members, limits=ReadOptions(max_bytes=20))
    with pytest.raises(TooLarge, match="more than 2 rows"):
        take(tmp_path, members, limits=ReadOptions(max_rows=2))
    monkeypatch.setattr("service.data.sequence_archive.MAX_ROW_VALUES", 2)
    assert "3 steps of 1 values came; 1 to 2 values" in faults_of(tmp_path, members)[0].detail
    monkeypatch.setattr("service.data.sequence_archive.MAX_FILE_BYTES", 5)
    assert "The file has 8 bytes; 5 is the most" in faults_of(tmp_path, members)[0].detail


SMALL = zipped({"a/1.csv": b"x,y\n1,2\n3,4\n", "b/2.csv": b"x,y\n5,6\n"})


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    cut=st.none() | st.integers(0, len(SMALL)),
    flips=st.lists(st.tuples(st.integers(0, len(SMALL) - 1), st.integers(1, 255)), max_size=4),
)
def test_damaged_zip_files_end_in_a_known_error(tmp_path: Path, cut: int | None, flips: list[tuple[int, int]]) -> None:
    """Whatever becomes of the bytes, the table is whole or the error is one for clients."""
    body = bytearray(SMALL)
    for place, bits in flips:
        body[place] ^= bits
    try:
        rows = take(tmp_path, bytes(body[:cut]))
    except KerasdError:
        return
    assert rows


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(text=st.text(alphabet='x,;\t1.e-\n\r" é', max_size=30) | st.binary(max_size=30))
def test_any_text_ends_in_a_table_or_in_faults(tmp_path: Path, text: str | bytes) -> None:
    """A file in a whole zip file is read, or told by its name."""
    content = text.encode() if isinstance(text, str) else text
    told: set[str] = set()
    try:
        take(tmp_path, {"good.csv": b"x\n1\n", "some.csv": content})
    except Invalid as error:
        told = {fault.pointer.split("/")[1] for fault in error.faults if fault.pointer}
    assert told <= {"some.csv"}


def test_a_damaged_zip_file_is_malformed(tmp_path: Path) -> None:
    """Damage of the file is told apart from faults of what is in it."""
    with pytest.raises(MalformedRequest, match="This zip file is damaged"):
        take(tmp_path, SMALL[:-30])
