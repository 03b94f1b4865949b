"""Targets: what is learned of a column, said by the client or by all of its values."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from service.data.table import Kind
from service.errors import Fault
from service.features.preparation import Target, Task
from service.features.request import TargetRequest
from service.features.targets import in_order, rows_listed, settle_targets
from tests.features.tables import stored


def settled(folder: Path, values: Any, task: Task | None = None, kind: Kind | None = None) -> tuple[Any, list[str]]:
    """The target, or what is wrong with it, and the notes."""
    (column,) = stored(folder, {"y": values}, batch_rows=7, **({} if kind is None else {"y": kind}))
    faults: list[Fault] = []
    notes: list[str] = []
    asked = TargetRequest(column=column, task=task, pointer="/target")
    targets = settle_targets([asked], {"y": "y"}, folder, faults, notes)
    assert len(targets) + len(faults) == 1
    assert all(fault.pointer == "/target" for fault in faults)
    return (targets[0] if targets else faults[0].detail), notes


@pytest.mark.parametrize(
    ("values", "kind", "task", "labels"),
    [
        ([True, False] * 9, None, Task.BINARY, ("false", "true")),
        (["yes", "no"] * 9, None, Task.BINARY, ("no", "yes")),
        (["b", "a", "c"] * 9, None, Task.CLASSES, ("a", "b", "c")),
        (["10", "9", "100"] * 9, None, Task.CLASSES, ("9", "10", "100")),
        ([10, 9, 100] * 9, Kind.CATEGORY, Task.CLASSES, ("9", "10", "100")),
        ([1.0, 2.5] * 9, Kind.CATEGORY, Task.BINARY, ("1", "2.5")),
        ([1, 0] * 9, None, Task.BINARY, ("0", "1")),
        ([1.0, 0.0] * 9, None, Task.BINARY, ("0", "1")),
        (["1", "0"] * 9, Kind.NUMERIC, Task.BINARY, ("0", "1")),
        ([2, 1] * 9, None, Task.NUMBER, ()),
        ([0, 1, 2] * 10, None, Task.CLASSES, ("0", "1", "2")),
        ([0, 1, 2] * 9, None, Task.NUMBER, ()),
        ([0.0, 1.0, 2.0] * 10, None, Task.NUMBER, ()),
        ([1, 2, 3] * 10, None, Task.CLASSES, ("1", "2", "3")),
        ([2, 1] * 10, None, Task.BINARY, ("1", "2")),
        ([2, 3, 4] * 10, None, Task.NUMBER, ()),
        ([1, 2, 4] * 10, None, Task.NUMBER, ()),
        ([*range(30)] * 10, None, Task.NUMBER, ()),
        (["so so", "very good"] * 9, Kind.TEXT, Task.BINARY, ("so so", "very good")),
    ],
)
def test_values_say_what_is_learned(
    tmp_path: Path, values: list[Any], kind: Kind | None, task: Task, labels: tuple[str, ...]
) -> None:
    """Without a task, the kind and the different values decide; labels have one order."""
    target, notes = settled(tmp_path, values, kind=kind)
    assert (target.task, target.labels, target.shape, target.separator) == (task, labels, (), None)
    counted = type(values[0]) is int and kind is None and {*values} != {0, 1}
    assert len(notes) == (counted and task is not Task.NUMBER)


def test_a_client_can_say_what_is_learned(tmp_path: Path) -> None:
    """Whole numbers can be a quantity or classes, as asked for."""
    assert settled(tmp_path, [0, 1, 2] * 10, Task.NUMBER)[0].task is Task.NUMBER
    assert settled(tmp_path, [4, 1, 2] * 2, Task.CLASSES)[0].labels == ("1", "2", "4")
    assert settled(tmp_path, [0, 1] * 10, Task.CLASSES)[0].task is Task.CLASSES


def test_several_labels(tmp_path: Path) -> None:
    """The separator is found out, spaces are no part of labels, and a row can have none."""
    target, _ = settled(tmp_path, ["red; blue", None, "blue", "red, dark; green"] * 3, Task.LABELS)
    assert isinstance(target, Target)
    assert (target.labels, target.separator, target.shape) == (("blue", "green", "red", "red, dark"), ";", (4,))
    single, _ = settled(tmp_path, ["red", "blue"], Task.LABELS)
    assert (single.labels, single.separator) == (("blue", "red"), None)


def test_sequences(tmp_path: Path) -> None:
    """A target of steps has their shape."""
    target, _ = settled(tmp_path, [[[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]] * 3)
    assert (target.task, target.shape) == (Task.SEQUENCE, (3, 2))


@pytest.mark.parametrize(
    ("values", "task", "kind", "words"),
    [
        (["a", None, "b", None], None, None, "has no value in 2 rows (2, 4), and every row needs one"),
        ([1.5, None, 2.5], None, None, "has no finite number in row 2"),
        ([1.5, float("inf"), 2.5], None, None, "has no finite number in row 2"),
        (["1", "2", "x", "3"], None, Kind.NUMERIC, "has no number in row 3"),
        ([None] * 30 + ["a", "b"], None, None, "in 30 rows (1, 2, 3"),
        (["a"] * 5, None, None, "has the value 'a' alone"),
        ([2.5] * 5, None, None, "is 2.5 in every row"),
        (["a", "b", "c"], Task.BINARY, None, "has 3 different values ('a', 'b', 'c'), and binary is for two"),
        (["a", "b", "c"], None, None, "has another value in each of the 3 rows"),
        (["a b", "b c", "c d", "a b"], None, Kind.TEXT, "has 3 different texts in 4 rows"),
        ([f"v{number}" for number in range(10_001)] * 2, None, None, "has more than 10000 different values"),
        ([";", None], Task.LABELS, None, "has no label in any row"),
        ([";".join(f"v{number}" for number in range(10_001))], Task.LABELS, None, "has 10001 labels"),
        (pa.nulls(3, pa.string()), None, None, "has no value in any row"),
        (pa.nulls(3, pa.float64()), None, None, "has no value in any row"),
        ([[[1.0], [2.0]], [[1.0]]], None, None, "has from 1 to 2 steps a row"),
        ([[[1.0], [2.0]], [[float("nan")], [2.0]]], None, None, "has no complete sequence in row 2"),
        ([[[1.0]], None], None, None, "has no complete sequence in row 2"),
    ],
)
def test_faults(tmp_path: Path, values: Any, task: Task | None, kind: Kind | None, words: str) -> None:
    """What cannot be learned is refused, with the rows and the way out."""
    detail, _ = settled(tmp_path, values, task, kind)
    assert isinstance(detail, str)
    assert words in detail


def test_labels_stand_in_the_order_of_their_numbers() -> None:
    """Labels that are all numbers are sorted as such, others by their letters."""
    assert in_order({"10", "9", "-1", "1e1"}) == ("-1", "9", "10", "1e1")
    assert in_order({"10", "9", "b"}) == ("10", "9", "b")


def test_rows_in_a_sentence() -> None:
    """One row, a few, and more than are told."""
    assert rows_listed([4], 1) == "row 4"
    assert rows_listed([4, 7], 2) == "2 rows (4, 7)"
    assert rows_listed([4, 7], 9) == "9 rows (4, 7 and 7 more)"
