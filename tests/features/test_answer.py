"""What outputs say of targets: by row, by column, and as a flat table."""

import warnings
from typing import Any

import numpy as np
import orjson
import pytest

from service.data.table import Kind
from service.features.answer import in_columns, joined, labelled, tabulated
from service.features.preparation import Preparation, Target, Task

NAN = float("nan")


def target(task: Task, column: str = "answer", labels: tuple[str, ...] = (), **given: Any) -> Target:
    options = {"separator": None, "center": None, "spread": None, "shape": ()} | given
    return Target(
        column=column, type="string", kind=Kind.CATEGORY, slug=f"{column}_out", task=task, labels=labels, **options
    )


def prepared(*targets: Target) -> Preparation:
    return Preparation(features=(), targets=targets, split=None, rows=(1, 0, 0))


BINARY = prepared(target(Task.BINARY, labels=("no", "yes")))
CLASSES = prepared(target(Task.CLASSES, labels=("a", "b", "c")))
LABELS = prepared(target(Task.LABELS, labels=("x", "y", "z"), separator="|"))
NUMBER = prepared(target(Task.NUMBER))
SEVERAL = prepared(target(Task.BINARY, "won", ("no", "yes")), target(Task.NUMBER, "by"))


def rows(*values: Any, dtype: str = "float32") -> dict[str, Any]:
    return {"out": np.array(values, dtype)}


def written(value: Any) -> Any:
    """What a client reads."""
    return orjson.loads(orjson.dumps(value, option=orjson.OPT_SERIALIZE_NUMPY))


def test_one_of_two_labels() -> None:
    """The number is the probability of the second; from a half on downwards it is the first."""
    assert written(labelled(rows([0.75], [0.5], [0.25]), BINARY)) == [
        {"label": "yes", "probability": 0.75, "probabilities": {"no": 0.25, "yes": 0.75}},
        {"label": "no", "probability": 0.5, "probabilities": {"no": 0.5, "yes": 0.5}},
        {"label": "no", "probability": 0.75, "probabilities": {"no": 0.75, "yes": 0.25}},
    ]


@pytest.mark.parametrize("array", [[0.75], [[0.75]], [[0.25, 0.75]], [[[0.75]]]])
def test_a_network_may_give_two_labels_in_other_shapes(array: Any) -> None:
    """One number a row, with or without an axis of its own, or one number for each label."""
    (found,) = written(labelled({"out": np.array(array, np.float32)}, BINARY))
    assert found == {"label": "yes", "probability": 0.75, "probabilities": {"no": 0.25, "yes": 0.75}}


def test_one_of_several_labels() -> None:
    """The most probable, the first of equal ones; places that no label has do not count."""
    found = written(labelled(rows([0.25, 0.5, 0.125, 0.75], [0.5, 0.5, 0, 0]), CLASSES))
    assert found == [
        {"label": "b", "probability": 0.5, "probabilities": {"a": 0.25, "b": 0.5, "c": 0.125}},
        {"label": "a", "probability": 0.5, "probabilities": {"a": 0.5, "b": 0.5, "c": 0.0}},
    ]


def test_several_labels() -> None:
    """All that are more probable than not, which can be none."""
    assert written(labelled(rows([0.75, 0.5, 1], [0, 0, 0]), LABELS)) == [
        {"labels": ["x", "z"], "probabilities": {"x": 0.75, "y": 0.5, "z": 1.0}},
        {"labels": [], "probabilities": {"x": 0.0, "y": 0.0, "z": 0.0}},
    ]


@pytest.mark.parametrize("array", [[1.5, -2], [[1.5], [-2]]])
def test_a_quantity_is_a_number(array: Any) -> None:
    """With or without an axis of its own."""
    assert written(labelled({"out": np.array(array, np.float32)}, NUMBER)) == [1.5, -2.0]


def test_steps_in_time_are_lists() -> None:
    """As the network gives them."""
    steps = [[[1.0], [2.0]], [[3.0], [4.0]]]
    assert written(labelled(rows(*steps), prepared(target(Task.SEQUENCE, shape=(2, 1))))) == steps


def test_classes_that_were_learned_as_a_quantity_are_one() -> None:
    """A network with fewer numbers than labels says no probabilities."""
    assert written(labelled(rows([1.25]), CLASSES)) == [1.25]
    assert written(labelled(rows([1.25, 2]), LABELS)) == [[1.25, 2.0]]


def test_several_targets_have_names() -> None:
    """Those of their columns; the network's outputs have those of their slugs, in any order."""
    outputs = {"by_out": np.array([[2.5]], np.float32), "won_out": np.array([[1.0]], np.float32)}
    won = {"label": "yes", "probability": 1.0, "probabilities": {"no": 0.0, "yes": 1.0}}
    assert written(labelled(outputs, SEVERAL)) == [{"won": won, "by": 2.5}]
    assert written(in_columns(outputs, SEVERAL)) == {
        "won": {"label": ["yes"], "probability": [1.0], "probabilities": {"no": [0.0], "yes": [1.0]}},
        "by": [2.5],
    }
    assert written(tabulated(outputs, SEVERAL)) == {
        "won.label": ["yes"],
        "won.probability": [1.0],
        "won.probability_no": [0.0],
        "won.probability_yes": [1.0],
        "by.value": [2.5],
    }


def test_columns_say_what_rows_say() -> None:
    """Whatever the task is."""
    assert written(in_columns(rows([0.75], [0.25]), NUMBER)) == [0.75, 0.25]
    assert written(in_columns(rows([1, 0, 0.5]), LABELS)) == {
        "labels": [["x"]],
        "probabilities": {"x": [1.0], "y": [0.0], "z": [0.5]},
    }
    assert written(tabulated(rows([0.75], [0.25]), NUMBER)) == {"value": [0.75, 0.25]}
    assert list(tabulated(rows([1, 0, 0.5]), LABELS)) == ["labels", *(f"probability_{name}" for name in "xyz")]


@pytest.mark.parametrize(
    ("preparation", "row", "kept"),
    [(BINARY, [NAN], {"label": None}), (CLASSES, [0.5, NAN, 0.25], {"label": None}), (LABELS, [1, NAN, 0], {})],
)
def test_what_is_not_finite_is_null(preparation: Preparation, row: Any, kept: dict[str, Any]) -> None:
    """And nobody is told a label that was not found; the other rows are as ever."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found, good = written(labelled(rows(row, [1] + [0] * (len(row) - 1)), preparation))
    assert None in found["probabilities"].values()
    assert {name: found[name] for name in kept} == kept
    assert found.get("probability") is None
    assert None not in good["probabilities"].values()


def test_logits_become_probabilities() -> None:
    """As the loss reads them: each by itself, or all together; large ones too."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        (one, most) = labelled(rows([0.0], [1e6]), BINARY, {"out": "sigmoid"})
        (three,) = labelled(rows([0.0, np.log(2), 0.0]), CLASSES, {"out": "softmax"})
        (large,) = labelled(rows([1e6, -1e6, 1e6]), CLASSES, {"out": "softmax"})
        (none,) = labelled(rows([NAN, 0, np.inf]), CLASSES, {"out": "softmax"})
    assert (one["label"], one["probability"], most["probability"]) == ("no", 0.5, 1.0)
    assert (three["label"], round(float(three["probability"]), 6)) == ("b", 0.5)
    assert (large["label"], large["probability"]) == ("a", 0.5)
    assert none["label"] is None


def test_half_precision_is_written() -> None:
    """JSON has it as float32."""
    assert written(labelled(rows([0.5], dtype="float16"), NUMBER)) == [0.5]


def test_labels_of_a_row_become_one_text() -> None:
    """With what stood between them in the data, or a semicolon where they were lists."""
    assert joined(["x", "z"], LABELS.targets[0]) == "x|z"
    assert joined(["x", "z"], target(Task.LABELS)) == "x;z"
