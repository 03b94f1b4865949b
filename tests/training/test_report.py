"""Reports on predictions: scikit-learn's numbers, and reasons where there are none."""

from typing import Any

import numpy as np
import pytest
from scipy import special
from sklearn import metrics

from service.training import report as report_module
from service.training.report import Answers, report

RANDOM = np.random.default_rng(2)
ROWS = 60
TRUTH = RANDOM.integers(0, 3, size=ROWS)
LOGITS = RANDOM.normal(size=(ROWS, 3)) + 1.2 * np.eye(3)[TRUTH]
SHARES = special.softmax(LOGITS, axis=1)
WEIGHT = RANDOM.uniform(0.1, 3, size=ROWS)
YES = (TRUTH > 0).astype(int)


def answers(y: Any, predictions: Any, loss: Any = None, **change: Any) -> Answers:
    given = {"weight": None, "activation": None, "threshold": 0.5} | change
    return Answers(y=np.asarray(y), predictions=np.asarray(predictions, np.float32), loss=loss, **given)


@pytest.mark.parametrize("weight", [None, WEIGHT])
def test_binary(weight: Any) -> None:
    """One unit, yes or no."""
    scores = SHARES[:, 1:].sum(axis=1, keepdims=True).astype(np.float32)
    said, made = scores[:, 0] > 0.5, report(answers(YES, scores, "BinaryCrossentropy", weight=weight))
    assert (made["task"], made["places"], made["reasons"]) == ("binary", ROWS, {})
    table = metrics.confusion_matrix(YES, said, sample_weight=weight)
    np.testing.assert_allclose(made["confusion_matrix"], table)
    due = metrics.classification_report(YES, said, output_dict=True, sample_weight=weight)
    for number in (0, 1):
        for ours, theirs in (("precision",) * 2, ("recall",) * 2, ("f1", "f1-score"), ("support",) * 2):
            assert made["per_class"][number][ours] == pytest.approx(due[str(number)][theirs])
    assert made["accuracy"] == pytest.approx(due["accuracy"])
    assert made["roc_auc"] == pytest.approx(metrics.roc_auc_score(YES, scores[:, 0], sample_weight=weight))
    assert made["pr_auc"] == pytest.approx(metrics.average_precision_score(YES, scores[:, 0], sample_weight=weight))


@pytest.mark.parametrize("weight", [None, WEIGHT])
@pytest.mark.parametrize(
    ("y", "predictions", "loss"),
    [
        (TRUTH, SHARES, "SparseCategoricalCrossentropy"),
        (TRUTH[:, None], LOGITS, {"type": "SparseCategoricalCrossentropy", "from_logits": True}),
        (np.eye(3)[TRUTH], SHARES, "categorical_crossentropy"),
    ],
)
def test_multiclass(y: Any, predictions: Any, loss: Any, weight: Any) -> None:
    """Class numbers or one-hot rows, shares or logits: one of several classes."""
    if loss == "categorical_crossentropy":
        loss = "CategoricalCrossentropy"
    made, said = report(answers(y, predictions, loss, weight=weight)), SHARES.argmax(axis=1)
    assert (made["task"], made["reasons"]) == ("multiclass", {})
    np.testing.assert_allclose(made["confusion_matrix"], metrics.confusion_matrix(TRUTH, said, sample_weight=weight))
    due = metrics.classification_report(TRUTH, said, output_dict=True, sample_weight=weight)
    for ours, theirs in (("macro_average", "macro avg"), ("weighted_average", "weighted avg")):
        assert made[ours]["precision"] == pytest.approx(due[theirs]["precision"])
        assert made[ours]["f1"] == pytest.approx(due[theirs]["f1-score"])
    area = metrics.roc_auc_score(TRUTH, SHARES, multi_class="ovr", sample_weight=weight)
    assert made["roc_auc"] == pytest.approx(area, rel=1e-5)
    precision = metrics.average_precision_score(np.eye(3)[TRUTH], SHARES, sample_weight=weight)
    assert made["pr_auc"] == pytest.approx(precision, rel=1e-5)


def test_multilabel() -> None:
    """Several units, each a yes or no of its own."""
    y = np.stack([YES, 1 - YES], axis=1)
    made = report(answers(y, SHARES[:, :2], "BinaryCrossentropy", weight=WEIGHT, threshold=0.3))
    said = SHARES[:, :2].astype(np.float32) > 0.3
    assert (made["task"], made["threshold"]) == ("multilabel", 0.3)
    assert made["accuracy"] == pytest.approx(metrics.accuracy_score(y, said, sample_weight=WEIGHT))
    due = metrics.classification_report(y, said, output_dict=True, sample_weight=WEIGHT, zero_division=0)
    assert made["micro_average"]["recall"] == pytest.approx(due["micro avg"]["recall"])
    assert [row["class"] for row in made["per_label"]] == [0, 1]
    assert made["per_label"][1]["f1"] == pytest.approx(due["1"]["f1-score"])
    assert made["roc_auc"] == pytest.approx(metrics.roc_auc_score(y, SHARES[:, :2], sample_weight=WEIGHT), rel=1e-5)


def test_regression() -> None:
    """Each number of the output, and their means."""
    y, said = LOGITS[:, :2], LOGITS[:, :2] + RANDOM.normal(size=(ROWS, 2))
    made = report(answers(y, said, "MeanSquaredError", weight=WEIGHT))
    said = said.astype(np.float32)
    assert (made["task"], made["places"]) == ("regression", ROWS)
    for index in (0, 1):
        row = made["per_number"][index]
        assert row["mae"] == pytest.approx(
            metrics.mean_absolute_error(y[:, index], said[:, index], sample_weight=WEIGHT)
        )
        assert row["r2"] == pytest.approx(metrics.r2_score(y[:, index], said[:, index], sample_weight=WEIGHT))
    assert made["rmse"] == pytest.approx(metrics.root_mean_squared_error(y, said, sample_weight=WEIGHT))


TASKS: dict[str, tuple[Answers, str | None]] = {
    "yes or no without a loss": (answers(YES, SHARES[:, :1]), "binary"),
    "classes without a loss": (answers(TRUTH, SHARES, activation="softmax"), "multiclass"),
    "labels without a loss": (answers(np.eye(3)[TRUTH], SHARES, activation="sigmoid"), "multilabel"),
    "one-hot rows by another loss": (
        answers(np.eye(3)[TRUTH], SHARES, "KLDivergence", activation="softmax"),
        "multiclass",
    ),
    "numbers": (answers(LOGITS, SHARES), "regression"),
    "shares": (answers(SHARES[:, :1], SHARES[:, :1], "BinaryCrossentropy"), None),
    "embeddings": (answers(TRUTH, LOGITS, "Circle"), "regression"),
}


@pytest.mark.parametrize("name", TASKS)
def test_the_task_is_told_by_loss_activation_and_targets(name: str) -> None:
    """Without a loss, as in networks that came from elsewhere, the other two must do."""
    given, task = TASKS[name]
    made = report(given)
    assert made["task"] == task
    assert task is not None or "neither 0 nor 1" in made["reasons"]["task"]


def test_a_class_that_is_missing_has_no_areas() -> None:
    """They are null, in all and for the class, and the reasons say so."""
    made = report(answers(np.clip(TRUTH, 0, 1), SHARES, "SparseCategoricalCrossentropy"))
    assert (made["roc_auc"], made["pr_auc"], made["per_class"][2]["roc_auc"]) == (None, None, None)
    assert made["per_class"][1]["roc_auc"] is not None
    assert made["reasons"]["roc_auc"] == "It is not defined for 2."
    assert made["reasons"]["per_class/2/roc_auc"] == "No row is of this class."


def test_one_class_alone_has_no_area() -> None:
    """There is nothing to tell it from."""
    made = report(answers(np.ones(5), np.full((5, 1), 0.7), "BinaryCrossentropy"))
    assert (made["roc_auc"], made["pr_auc"], made["accuracy"]) == (None, 1.0, 1.0)
    assert made["reasons"] == {"roc_auc": "Every row is of this class."}


def test_steps_are_counted_one_by_one() -> None:
    """Rows of several steps have a place for each, with their row's weight."""
    y, shares = TRUTH.reshape(20, 3), SHARES.reshape(20, 3, 3)
    made = report(answers(y, shares, "SparseCategoricalCrossentropy", weight=WEIGHT[:20]))
    due = metrics.accuracy_score(TRUTH, SHARES.argmax(axis=1), sample_weight=np.repeat(WEIGHT[:20], 3))
    assert (made["places"], made["accuracy"]) == (60, pytest.approx(due))


def test_the_class_that_the_loss_ignores_is_left_out() -> None:
    """It often marks what is no target at all."""
    loss = {"type": "SparseCategoricalCrossentropy", "ignore_class": 255}
    made = report(answers(np.where(TRUTH == 0, 255, TRUTH), SHARES, loss, weight=WEIGHT))
    assert made["places"] == (TRUTH != 0).sum()
    nothing = report(answers(np.full(ROWS, 255), SHARES, loss))
    assert nothing["places"] == 0
    assert "ignores" in nothing["reasons"]["accuracy"]


def test_targets_that_are_shares_count_as_their_largest() -> None:
    """And the reasons say so."""
    made = report(answers(SHARES, SHARES, "CategoricalCrossentropy"))
    assert made["accuracy"] == 1.0
    assert "largest entry counts" in made["reasons"]["targets"]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (answers(YES, np.full((ROWS, 1), np.nan), "BinaryCrossentropy"), "not finite"),
        (answers(YES, SHARES[:, :1], "BinaryCrossentropy", weight=np.zeros(ROWS)), "of each row is 0"),
        (answers(YES, SHARES, {"type": "BinaryCrossentropy", "axis": 1}), "another axis"),
    ],
)
def test_what_cannot_be_reported_has_a_reason(given: Answers, words: str) -> None:
    """The task is null."""
    made = report(given)
    assert made["task"] is None
    assert words in made["reasons"]["task"]


def test_one_row_has_no_r2() -> None:
    """Its error has one."""
    made = report(answers([[1.5]], [[3.5]], "MeanSquaredError"))
    assert (made["mae"], made["r2"]) == (2.0, None)
    assert made["reasons"] == {"r2": "R2 needs two rows or more."}


def test_very_many_columns_have_no_tables(monkeypatch: pytest.MonkeyPatch) -> None:
    """What can be said in a few numbers still is."""
    monkeypatch.setattr(report_module, "MOST_COLUMNS", 2)
    classes = report(answers(TRUTH, SHARES, "SparseCategoricalCrossentropy"))
    assert (classes["confusion_matrix"], classes["per_class"], classes["roc_auc"]) == (None, None, None)
    assert classes["accuracy"] > 0
    assert "There are 3 classes" in classes["reasons"]["roc_auc"]
    labels = report(answers(np.eye(3)[TRUTH], SHARES, "BinaryCrossentropy"))
    assert (labels["per_label"], labels["roc_auc"]) == (None, None)
    numbers = report(answers(LOGITS, SHARES, "MeanSquaredError"))
    assert numbers["per_number"] is None
    assert "per_number" in numbers["reasons"]
