"""What there is to say of predictions beside their targets, by scikit-learn; runs in a child.

The task is told by the loss, by the activation and by the targets: binary, multiclass, multilabel or regression. What
is not defined for the data at hand is null, and `reasons` say why.
"""

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from service.architecture.compilation import family_of

Array = np.ndarray[Any, Any]
Task = Literal["binary", "multiclass", "multilabel", "regression"]

#: With more classes, or labels, or numbers in an output, there are no tables and no areas under curves.
MOST_COLUMNS = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class Answers:
    """One output: its targets, its predictions and the rows' weights, each with as many rows; and how it is made."""

    y: Array
    predictions: Array
    weight: Array | None
    loss: Any
    activation: str | None
    threshold: float

    @property
    def columns(self) -> int:
        """How many numbers there are at each place of the output."""
        return int(self.predictions.shape[-1]) if self.predictions.ndim > 1 else 1

    def option(self, name: str) -> Any:
        return self.loss.get(name) if isinstance(self.loss, dict) else None

    def zero_or_one(self) -> bool:
        return bool(np.isin(self.y, (0, 1)).all())

    def numbered(self) -> bool:
        """Whether the targets are one class number for each place."""
        places = self.predictions.size // max(1, self.columns)
        return self.columns > 1 and self.y.size == places


def report(answers: Answers) -> dict[str, Any]:
    """The report on one output."""
    if not np.isfinite(answers.predictions).all():
        return _none("Some predictions are not finite numbers.")
    if answers.weight is not None and not answers.weight.any():
        return _none("The sample_weight of each row is 0.")
    if answers.option("axis") not in (None, -1):
        return _none("The loss works along another axis than the last.")
    task = task_of(answers)
    if task is None:
        return _none("The targets are neither 0 nor 1, so that predictions are neither right nor wrong.")
    with warnings.catch_warnings():
        # What scikit-learn warns of is null here, with its reason.
        warnings.simplefilter("ignore")
        return {"task": task, **_REPORTS[task](answers)}


def task_of(answers: Answers) -> Task | None:
    """What kind of answer the output gives; None for a classification without classes."""
    family, several = family_of(answers.loss), answers.columns > 1
    zero_or_one = answers.zero_or_one()
    if family in ("sparse", "categorical"):
        return "multiclass"
    if family == "binary":
        if not zero_or_one:
            return None
        return "multilabel" if several else "binary"
    if several and answers.activation == "softmax" and (answers.numbered() or zero_or_one):
        return "multiclass"
    if several and answers.activation == "sigmoid" and zero_or_one:
        return "multilabel"
    return "binary" if zero_or_one and not several else "regression"


def _none(reason: str) -> dict[str, Any]:
    return {"task": None, "reasons": {"task": reason}}


def _binary(answers: Answers) -> dict[str, Any]:
    from sklearn import metrics

    truth = answers.y.reshape(-1).astype(np.int64)
    scores = _probabilities(answers).reshape(-1)
    weight = _weights(answers, len(truth))
    # As Keras's accuracy has it: what lies on the threshold is a no.
    said = (scores > answers.threshold).astype(np.int64)
    areas = _Areas()
    return {
        "places": len(truth),
        "threshold": answers.threshold,
        "accuracy": float(metrics.accuracy_score(truth, said, sample_weight=weight)),
        "confusion_matrix": _confusion(truth, said, 2, weight),
        "per_class": _per_class(truth, said, 2, weight),
        "roc_auc": areas.roc(truth, scores, weight, "roc_auc"),
        "pr_auc": areas.pr(truth, scores, weight, "pr_auc"),
        "reasons": areas.reasons,
    }


def _multiclass(answers: Answers) -> dict[str, Any]:
    from sklearn import metrics

    classes = answers.columns
    probabilities = _probabilities(answers).reshape(-1, classes)
    truth, reasons = _classes(answers, classes)
    weight = _weights(answers, len(truth))
    ignored = answers.option("ignore_class")
    if ignored is not None:
        counted = truth != ignored
        truth, probabilities = truth[counted], probabilities[counted]
        weight = None if weight is None else weight[counted]
    if not len(truth):
        return {"places": 0, "reasons": {"accuracy": "All targets are of the class that the loss ignores."}}
    said = probabilities.argmax(axis=1)
    made: dict[str, Any] = {
        "places": len(truth),
        "accuracy": float(metrics.accuracy_score(truth, said, sample_weight=weight)),
        **_averages(truth, said, range(classes), weight, ("macro", "weighted")),
    }
    if classes > MOST_COLUMNS:
        tables = ("confusion_matrix", "per_class", "roc_auc", "pr_auc")
        return {**made, **dict.fromkeys(tables), "reasons": {**reasons, **_too_many(classes, "classes", tables)}}
    rows, areas = _per_class(truth, said, classes, weight), _Areas()
    for number, row in enumerate(rows):
        is_it = (truth == number).astype(np.int64)
        row["roc_auc"] = areas.roc(is_it, probabilities[:, number], weight, f"per_class/{number}/roc_auc")
        row["pr_auc"] = areas.pr(is_it, probabilities[:, number], weight, f"per_class/{number}/pr_auc")
    return {
        **made,
        "confusion_matrix": _confusion(truth, said, classes, weight),
        "per_class": rows,
        "roc_auc": areas.mean(rows, "roc_auc"),
        "pr_auc": areas.mean(rows, "pr_auc"),
        "reasons": {**reasons, **areas.reasons},
    }


def _multilabel(answers: Answers) -> dict[str, Any]:
    from sklearn import metrics

    labels = answers.columns
    scores = _probabilities(answers).reshape(-1, labels)
    truth = answers.y.reshape(-1, labels).astype(np.int64)
    said = (scores > answers.threshold).astype(np.int64)
    weight = _weights(answers, len(truth))
    made: dict[str, Any] = {
        "places": len(truth),
        "threshold": answers.threshold,
        "accuracy": float(metrics.accuracy_score(truth, said, sample_weight=weight)),
        **_averages(truth, said, range(labels), weight, ("macro", "micro", "weighted")),
    }
    if labels > MOST_COLUMNS:
        tables = ("per_label", "roc_auc", "pr_auc")
        return {**made, **dict.fromkeys(tables), "reasons": _too_many(labels, "labels", tables)}
    rows, areas = [], _Areas()
    for number in range(labels):
        row = {**_per_class(truth[:, number], said[:, number], 2, weight)[1], "class": number}
        row["confusion_matrix"] = _confusion(truth[:, number], said[:, number], 2, weight)
        row["roc_auc"] = areas.roc(truth[:, number], scores[:, number], weight, f"per_label/{number}/roc_auc")
        row["pr_auc"] = areas.pr(truth[:, number], scores[:, number], weight, f"per_label/{number}/pr_auc")
        rows.append(row)
    return {
        **made,
        "per_label": rows,
        "roc_auc": areas.mean(rows, "roc_auc"),
        "pr_auc": areas.mean(rows, "pr_auc"),
        "reasons": areas.reasons,
    }


def _regression(answers: Answers) -> dict[str, Any]:
    """The numbers of an output, in their order; the output's own values are their means."""
    from sklearn import metrics

    rows = len(answers.y)
    truth = answers.y.reshape(rows, -1).astype(np.float64)
    said = answers.predictions.reshape(rows, -1).astype(np.float64)
    if truth.shape != said.shape:
        return {"reasons": {"mae": f"Targets of shape {list(answers.y.shape[1:])} are not compared number by number."}}
    weight, reasons = _weights(answers, rows), {}
    values: dict[str, Array] = {
        "mae": metrics.mean_absolute_error(truth, said, sample_weight=weight, multioutput="raw_values"),
        "rmse": metrics.root_mean_squared_error(truth, said, sample_weight=weight, multioutput="raw_values"),
    }
    if rows < 2:
        values["r2"], reasons["r2"] = np.full(truth.shape[1], np.nan), "R2 needs two rows or more."
    else:
        values["r2"] = metrics.r2_score(truth, said, sample_weight=weight, multioutput="raw_values")
    few = truth.shape[1] <= MOST_COLUMNS
    return {
        "places": rows,
        **{name: _finite(each.mean()) for name, each in values.items()},
        "per_number": [
            {"index": index, **{name: _finite(each[index]) for name, each in values.items()}}
            for index in range(truth.shape[1] if few else 0)
        ]
        if few
        else None,
        "reasons": reasons | ({} if few else _too_many(truth.shape[1], "numbers", ("per_number",))),
    }


class _Areas:
    """Areas under curves, and why there are none."""

    def __init__(self) -> None:
        self.reasons: dict[str, str] = {}

    def roc(self, truth: Array, scores: Array, weight: Array | None, name: str) -> float | None:
        from sklearn import metrics

        if not self._is_defined(truth, weight, name, needs_negatives=True):
            return None
        return _finite(metrics.roc_auc_score(truth, scores, sample_weight=weight))

    def pr(self, truth: Array, scores: Array, weight: Array | None, name: str) -> float | None:
        """Average precision: the sum over the curve's steps, without a line between its points."""
        from sklearn import metrics

        if not self._is_defined(truth, weight, name, needs_negatives=False):
            return None
        return _finite(metrics.average_precision_score(truth, scores, sample_weight=weight))

    def mean(self, rows: list[dict[str, Any]], name: str) -> float | None:
        """The mean over classes, each against all others."""
        missing = [str(row["class"]) for row in rows if row[name] is None]
        if missing:
            some = ", ".join(missing[:10]) + (" ..." if len(missing) > 10 else "")
            self.reasons[name] = f"It is not defined for {some}."
            return None
        return float(np.mean([row[name] for row in rows]))

    def _is_defined(self, truth: Array, weight: Array | None, name: str, *, needs_negatives: bool) -> bool:
        counted = truth if weight is None else truth[weight > 0]
        if not (counted == 1).any():
            self.reasons[name] = "No row is of this class."
        elif needs_negatives and not (counted == 0).any():
            self.reasons[name] = "Every row is of this class."
        else:
            return True
        return False


def _confusion(truth: Array, said: Array, classes: int, weight: Array | None) -> list[list[float]]:
    from sklearn import metrics

    table = metrics.confusion_matrix(truth, said, labels=range(classes), sample_weight=weight)
    return [[float(value) for value in row] for row in table]


def _per_class(truth: Array, said: Array, classes: int, weight: Array | None) -> list[dict[str, Any]]:
    from sklearn import metrics

    columns = metrics.precision_recall_fscore_support(
        truth, said, labels=range(classes), sample_weight=weight, zero_division=0
    )
    return [
        {"class": number, **dict(zip(("precision", "recall", "f1", "support"), map(float, values), strict=True))}
        for number, values in enumerate(zip(*columns, strict=True))
    ]


def _averages(
    truth: Array, said: Array, labels: range, weight: Array | None, kinds: tuple[str, ...]
) -> dict[str, dict[str, float]]:
    from sklearn import metrics

    averages = {}
    for kind in kinds:
        values = metrics.precision_recall_fscore_support(
            truth, said, labels=labels, average=kind, sample_weight=weight, zero_division=0
        )
        averages[f"{kind}_average"] = dict(zip(("precision", "recall", "f1"), map(float, values[:3]), strict=True))
    return averages


def _classes(answers: Answers, classes: int) -> tuple[Array, dict[str, str]]:
    """The class of each place: its number, or where its largest entry is."""
    if answers.numbered():
        return answers.y.reshape(-1).astype(np.int64), {}
    entries = answers.y.reshape(-1, classes)
    reasons = {} if answers.zero_or_one() else {"targets": "They are no whole classes; the largest entry counts."}
    return entries.argmax(axis=1), reasons


def _probabilities(answers: Answers) -> Array:
    """The predictions, or what they stand for where the loss takes logits."""
    scores = answers.predictions.astype(np.float64)
    if not answers.option("from_logits"):
        return scores
    from scipy import special

    softmax = family_of(answers.loss) != "binary"
    made: Array = special.softmax(scores, axis=-1) if softmax else special.expit(scores)
    return made


def _weights(answers: Answers, places: int) -> Array | None:
    """The weight of each place: that of its row."""
    if answers.weight is None:
        return None
    return np.repeat(answers.weight, places // len(answers.weight))


def _too_many(count: int, what: str, names: tuple[str, ...]) -> dict[str, str]:
    return dict.fromkeys(names, f"There are {count} {what}; up to {MOST_COLUMNS} have it.")


def _finite(value: Any) -> float | None:
    number = float(value)
    return number if np.isfinite(number) else None


_REPORTS: dict[Task, Callable[[Answers], dict[str, Any]]] = {
    "binary": _binary,
    "multiclass": _multiclass,
    "multilabel": _multilabel,
    "regression": _regression,
}
