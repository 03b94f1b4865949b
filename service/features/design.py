"""`"architecture": "auto"`: a network and its training for data of a kind, in the words in which a client posts one.

Nothing is hidden in it: what `design` returns can be sent back as it is, or changed first. It is chosen by the kinds
and sizes of the data alone, never by trying, so the same data always get the same design.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from service.data.arrays import ArrayFacts
from service.features import design_arrays, design_layers
from service.features.design_layers import Layer
from service.features.network import Tensor
from service.features.preparation import Target, Task

#: The part of the rows that tells when to stop, where the client names none.
VALIDATION: Final = 0.2
#: An epoch is this many batches, as far as batches may be so small or so large.
_BATCHES: Final = 100
_BATCH_SIZES: Final = (16, 512)
#: What a batch of pictures costs hardly falls below this size.
_PICTURE_BATCH: Final = 32
#: How many numbers a batch may be on its way through the layers, which keep them all: half a gigabyte, both ways.
_NUMBERS_A_BATCH: Final = 2**26
#: About how many batches a training may take without getting better, how many in all, and how many without validation.
_PATIENT_BATCHES: Final = 800
_MOST_BATCHES: Final = 20_000
_BLIND_BATCHES: Final = 2_000
_PATIENCE: Final = (5, 30)
_EPOCHS: Final = (30, 500)
_BLIND_EPOCHS: Final = (10, 150)
_MAX_WEIGHT: Final = 1e9


@dataclass(frozen=True, slots=True, kw_only=True)
class Design:
    """What a client could have posted; `reasons` has a sentence for each choice in it."""

    architecture: dict[str, Any]
    compile: dict[str, Any]
    fit: dict[str, Any]
    reasons: tuple[str, ...]


def design(tensors: Sequence[Tensor], targets: Sequence[Target], rows: int, *, validates: bool = True) -> Design:
    """Design for the tensors that a preparation makes, which the architecture names as if they were its inputs.

    `rows` train; `validates` says whether others tell when to stop.
    """
    return _design(tensors, targets, rows, validates, {})


def design_for_arrays(x: Sequence[ArrayFacts], y: Sequence[ArrayFacts], *, validates: bool = False) -> Design:
    """Design for ready numbers, whose kinds are guessed by their shapes and values; the reasons say how.

    Unless the client says what validates, nothing does: Keras's validation_split takes the last rows, and rows that are
    sorted by class would be judged by classes that they have never seen.
    """
    guesses: list[str] = []
    tensors, fronts = design_arrays.tensors(x, guesses)
    targets = design_arrays.targets(y, guesses)
    made = _design(tensors, targets, y[0].rows, validates, fronts)
    architecture = _with_names(made.architecture, x, y)
    return replace(made, architecture=architecture, reasons=(*guesses, *made.reasons))


def _design(
    tensors: Sequence[Tensor],
    targets: Sequence[Target],
    rows: int,
    validates: bool,
    fronts: Mapping[str, Sequence[Layer]],
) -> Design:
    reasons: list[str] = []
    architecture = design_layers.architecture(tensors, targets, rows, fronts, reasons)
    compiled = _compile(targets, reasons)
    fit = _fit(tensors, rows, validates, reasons)
    return Design(architecture=architecture, compile=compiled, fit=fit, reasons=tuple(reasons))


def _with_names(architecture: dict[str, Any], x: Sequence[ArrayFacts], y: Sequence[ArrayFacts]) -> dict[str, Any]:
    """Give inputs and outputs the names that the arrays have: a list of layers needs none for arrays without."""
    if "outputs" in architecture:
        return {"inputs": [facts.name or design_arrays.X for facts in x], **architecture}
    layers = list(architecture["layers"])
    if x[0].name is not None:
        layers.insert(0, {"type": "Input", "name": x[0].name})
    if y[0].name is not None:
        layers[-1] = {**layers[-1], "name": y[0].name}
    return {"layers": layers}


def _compile(targets: Sequence[Target], reasons: list[str]) -> dict[str, Any]:
    reasons.append("Adam with its usual learning_rate: it suits most networks without any tuning.")
    losses = {target.slug: _LOSSES.get(target.task, "mse") for target in targets}
    metrics = {target.slug: _metrics(target) for target in targets}
    reasons.extend(
        f"{losses[target.slug]} measures how far {target.slug!r} is off: {_WHY[losses[target.slug]]}."
        for target in targets
    )
    if any(target.task in (Task.BINARY, Task.CLASSES) for target in targets):
        reasons.append(
            "No class_weight: it would make the probabilities untrue. Give fit.class_weight where missing a rare label "
            "costs more than a false alarm."
        )
    optimizer = {"type": "Adam", "learning_rate": 0.001}
    if len(targets) == 1:
        slug = targets[0].slug
        return {"optimizer": optimizer, "loss": losses[slug], "metrics": metrics[slug]}
    weights = {target.slug: _weight(target) for target in targets}
    if any(weight != 1.0 for weight in weights.values()):
        reasons.append("loss_weights bring all targets to one scale, so that one in large units does not drown others.")
    return {"optimizer": optimizer, "loss": losses, "metrics": metrics, "loss_weights": weights}


_LOSSES: Final[dict[Task, str]] = {
    Task.BINARY: "binary_crossentropy",
    Task.CLASSES: "sparse_categorical_crossentropy",
    Task.LABELS: "binary_crossentropy",
}
_WHY: Final = {
    "binary_crossentropy": "it makes true probabilities of the sigmoid's answers",
    "sparse_categorical_crossentropy": "it makes true probabilities of the softmax's answers",
    "mse": "it leads to the mean of what is likely",
}


def _metrics(target: Target) -> list[Any]:
    match target.task:
        case Task.BINARY:
            return ["accuracy", {"type": "AUC", "name": "auc"}]
        case Task.CLASSES:
            return ["accuracy"]
        case Task.LABELS:
            return ["binary_accuracy"]
    return ["mae"]


def _weight(target: Target) -> float:
    """What brings a squared error in the target's own unit to one in its standard deviations."""
    if _LOSSES.get(target.task) is not None or not target.spread:
        return 1.0
    return max(1 / _MAX_WEIGHT, min(_MAX_WEIGHT, target.spread**-2))


def _fit(tensors: Sequence[Tensor], rows: int, validates: bool, reasons: list[str]) -> dict[str, Any]:
    size = _batch_size(tensors, rows)
    batches = math.ceil(max(1, rows) / size)
    reasons.append(f"Batches of {size} rows: {batches} steps in an epoch, small enough to learn well from {rows} rows.")
    if not validates:
        epochs = _within(_BLIND_BATCHES // batches, _BLIND_EPOCHS)
        reasons.append(
            f"{epochs} epochs, a number that suits {rows} rows, because no rows are kept apart that tell when to stop. "
            "Shuffle the rows and give fit.validation_split, or give fit.validation_data, to stop by rows that are not "
            "trained on."
        )
        stop = {"type": "EarlyStopping", "monitor": "loss", "patience": _within(_PATIENT_BATCHES // batches, _PATIENCE)}
        return {"epochs": epochs, "batch_size": size, "callbacks": [{**stop, "restore_best_weights": True}]}
    patience = _within(_PATIENT_BATCHES // batches, _PATIENCE)
    epochs = _within(_MOST_BATCHES // batches, _EPOCHS)
    reasons.append(
        f"At most {epochs} epochs: the training stops when val_loss has not fallen for {patience} of them, and keeps "
        "the best weights."
    )
    stop = {"type": "EarlyStopping", "monitor": "val_loss", "patience": patience, "restore_best_weights": True}
    return {"epochs": epochs, "batch_size": size, "callbacks": [stop]}


def _batch_size(tensors: Sequence[Tensor], rows: int) -> int:
    """A power of two, by the rows, and not too large for the memory."""
    lowest = _PICTURE_BATCH if any(one.kind == "image" for one in tensors) else _BATCH_SIZES[0]
    bounds = (lowest, _BATCH_SIZES[1])
    wanted = _within(2 ** round(math.log2(max(1.0, rows / _BATCHES))), bounds)
    held = _NUMBERS_A_BATCH // sum(map(design_layers.numbers_on_the_way, tensors))
    return min(wanted, 1 << (max(1, held).bit_length() - 1))


def _within(number: int, bounds: tuple[int, int]) -> int:
    return max(bounds[0], min(bounds[1], number))
