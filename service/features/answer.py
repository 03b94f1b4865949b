"""What a network's outputs say of a preparation's targets: labels with their probabilities, and quantities.

A target is answered by rows, as JSON lists them; by columns, as JSON does where columns came; or as a flat table, for
CSV and Arrow. Numbers stay NumPy's, so that float32 is written in its short form, and what is not finite as null.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final, Literal

import numpy as np

from service.features.preparation import Preparation, Target, Task

Array = np.ndarray[Any, Any]
#: What makes probabilities of an output whose loss takes logits, by output; of the others, the numbers are some.
Logits = Mapping[str, Literal["sigmoid", "softmax"]]

#: Above this, a label is true of a row.
THRESHOLD: Final = 0.5
#: Between the labels of one row in a flat table, where the data had none of their own.
_SEPARATOR: Final = ";"


def labelled(outputs: Mapping[str, Array], preparation: Preparation, logits: Logits | None = None) -> list[Any]:
    """One prediction a row, (rows, ...) of each output; an object by target's column where there are several.

    A number is a number; one of two or more labels is `{"label", "probability", "probabilities": {label: number}}`, any
    number of labels `{"labels", "probabilities"}`, and steps in time are an array. The label of a row whose numbers are
    not finite is None.
    """
    answers = {target.column: _rows(target, array) for target, array in _by_target(outputs, preparation, logits or {})}
    if len(answers) == 1:
        return next(iter(answers.values()))
    return [dict(zip(answers, row, strict=True)) for row in zip(*answers.values(), strict=True)]


def in_columns(outputs: Mapping[str, Array], preparation: Preparation, logits: Logits | None = None) -> Any:
    """The same by columns: where `labelled` has a value in each row, there is a list or an array of all rows."""
    answers = {
        target.column: _columns(target, array) for target, array in _by_target(outputs, preparation, logits or {})
    }
    return answers if len(answers) > 1 else next(iter(answers.values()))


def tabulated(outputs: Mapping[str, Array], preparation: Preparation, logits: Logits | None = None) -> dict[str, Any]:
    """The same as a flat table of columns: `label`, `labels` or `value`, `probability`, and `probability_<label>`.

    Where there are several targets, their columns stand before these names, with a dot.
    """
    table: dict[str, Any] = {}
    for target, array in _by_target(outputs, preparation, logits or {}):
        prefix = f"{target.column}." if len(preparation.targets) > 1 else ""
        found = _columns(target, array)
        flat = dict(found) if isinstance(found, dict) else {"value": found}
        probabilities = flat.pop("probabilities", {})
        table.update({f"{prefix}{name}": column for name, column in flat.items()})
        table.update({f"{prefix}probability_{label}": column for label, column in probabilities.items()})
    return table


def labels_of_numbers(preparation: Preparation, places: Mapping[str, int]) -> dict[str, tuple[str, ...]]:
    """What the numbers of each output are the probabilities of, one after another; `places` is how many it has a row.

    Outputs of quantities are left out.
    """
    targets = preparation.targets
    named = {target.slug: target for target in targets} if len(targets) > 1 else {next(iter(places)): targets[0]}
    found = {}
    for name, target in named.items():
        if target.task is Task.BINARY and places[name] == 1:
            found[name] = target.labels[1:]
        elif 0 < len(target.labels) <= places[name]:
            found[name] = target.labels
    return found


def joined(labels: list[str], target: Target) -> str:
    """The labels of one row as one text."""
    return (target.separator or _SEPARATOR).join(labels)


def _by_target(outputs: Mapping[str, Array], preparation: Preparation, logits: Logits) -> list[tuple[Target, Array]]:
    """Each target with its probabilities, (rows, labels), or its values, (rows, ...)."""
    targets = preparation.targets
    named = {target.slug: target for target in targets} if len(targets) > 1 else {next(iter(outputs)): targets[0]}
    learned = [(name, _as_learned(target, outputs[name])) for name, target in named.items()]
    return [(target, _scores(target, outputs[name], logits.get(name))) for name, target in learned]


def _as_learned(target: Target, array: Array) -> Target:
    """The target; one with fewer numbers than labels was learned as a quantity, the number of the label."""
    places = array.size // max(1, len(array))
    fewer = places < len(target.labels) and not (target.task is Task.BINARY and places == 1)
    return replace(target, task=Task.NUMBER, labels=()) if fewer else target


def _scores(target: Target, array: Array, logits: Literal["sigmoid", "softmax"] | None) -> Array:
    if array.dtype == np.float16:
        array = array.astype(np.float32)
    if target.task in (Task.NUMBER, Task.SEQUENCE):
        return array
    scores = _probabilities(array.reshape(len(array), -1), logits)
    if scores.shape[1] == 1 and target.task is Task.BINARY:
        return np.concatenate([1 - scores, scores], axis=1)
    # A network may have more places than there are labels; none was ever shown a row for the others.
    return scores[:, : len(target.labels)]


def _probabilities(scores: Array, logits: Literal["sigmoid", "softmax"] | None) -> Array:
    if logits is None:
        return scores
    if logits == "sigmoid":
        # In this form, no large number overflows.
        return (1 + np.tanh(scores / 2)) / 2
    with np.errstate(invalid="ignore"):
        powers = np.exp(scores - scores.max(axis=1, keepdims=True))
    made: Array = powers / powers.sum(axis=1, keepdims=True)
    return made


def _rows(target: Target, array: Array) -> list[Any]:
    columns = _columns(target, array)
    if not isinstance(columns, dict):
        return list(columns)
    probabilities = [dict(zip(target.labels, row, strict=True)) for row in array]
    firsts = [column for name, column in columns.items() if name != "probabilities"]
    names = tuple(columns)
    return [dict(zip(names, row, strict=True)) for row in zip(*firsts, probabilities, strict=True)]


def _columns(target: Target, array: Array) -> Any:
    match target.task:
        case Task.BINARY | Task.CLASSES:
            return _one_label(target, array)
        case Task.LABELS:
            return _several_labels(target, array)
        case Task.NUMBER if array.size == len(array):
            return array.reshape(-1)
    return np.ascontiguousarray(array)


def _one_label(target: Target, probabilities: Array) -> dict[str, Any]:
    finite: Any = np.isfinite(probabilities).all(axis=1)
    best = probabilities.argmax(axis=1)
    labels = [target.labels[place] for place in best.tolist()]
    if not finite.all():
        labels = [label if good else None for label, good in zip(labels, finite.tolist(), strict=True)]
    highest = np.where(finite, probabilities[np.arange(len(best)), best], np.float32(np.nan))
    return {"label": labels, "probability": highest, "probabilities": _by_label(target, probabilities)}


def _several_labels(target: Target, probabilities: Array) -> dict[str, Any]:
    chosen = np.greater(probabilities, THRESHOLD)
    labels = [[label for label, true in zip(target.labels, row, strict=True) if true] for row in chosen.tolist()]
    return {"labels": labels, "probabilities": _by_label(target, probabilities)}


def _by_label(target: Target, probabilities: Array) -> dict[str, Array]:
    return {label: np.ascontiguousarray(probabilities[:, place]) for place, label in enumerate(target.labels)}
