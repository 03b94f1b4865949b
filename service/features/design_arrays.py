"""What ready numbers probably are: the kinds of x and the tasks of y, guessed by their shapes and values."""

import math
from collections.abc import Sequence
from typing import Final

from service.data.arrays import ArrayFacts
from service.data.table import Kind
from service.features.design_layers import Layer
from service.features.network import Tensor
from service.features.preparation import Target, Task

#: What an array is called that has no name.
X: Final = "x"
Y: Final = "y"
#: Whole numbers above a byte's, in rows at least this long, are numbers of words rather than quantities.
MAX_BYTE: Final = 255
MIN_WORDS: Final = 8
MAX_VOCABULARY: Final = 1_000_000
#: Whole numbers from 0 are classes up to this many, if there are so many rows for each.
MAX_CLASSES: Final = 1_000
ROWS_OF_CLASS: Final = 5
#: A matrix of bytes at least this high and wide is a grey picture rather than steps in time.
MIN_PICTURE: Final = 8


def tensors(x: Sequence[ArrayFacts], guesses: list[str]) -> tuple[tuple[Tensor, ...], dict[str, list[Layer]]]:
    """Return what each array is, and by its name the layers that go before its branch."""
    found: list[Tensor] = []
    fronts: dict[str, list[Layer]] = {}
    for facts in x:
        tensor, front = _tensor(facts, guesses)
        found.append(tensor)
        fronts[tensor.name] = front
    return tuple(found), fronts


def targets(y: Sequence[ArrayFacts], guesses: list[str]) -> tuple[Target, ...]:
    """Return what is to be learned of each array."""
    return tuple(_target(facts, guesses) for facts in y)


def _tensor(facts: ArrayFacts, guesses: list[str]) -> tuple[Tensor, list[Layer]]:
    name, shape = facts.name or X, facts.sample_shape
    normalization: Layer = {"type": "Normalization"}
    if _is_words(facts):
        guesses.append(
            f"{name!r} is read as words by number: whole numbers up to {facts.maximum:g} in rows of {shape[0]}. If "
            "they are quantities, put a Normalization before Dense layers instead."
        )
        return Tensor(name=name, shape=shape, kind="tokens", vocabulary=int(facts.maximum) + 1), []
    if len(shape) == 3 or _is_grey(facts):
        guesses.append(f"{name!r} is read as pictures of {shape[0]} x {shape[1]}, brought to numbers from 0 to 1.")
        front: list[Layer] = [] if len(shape) == 3 else [{"type": "Reshape", "target_shape": [*shape, 1]}]
        full = (*shape, 1)[:3]
        return Tensor(name=name, shape=full, kind="image", vocabulary=None), [*front, _to_one(facts)]
    if len(shape) == 2:
        guesses.append(f"{name!r} is read as {shape[0]} steps in time of {shape[1]} numbers each, normalized.")
        return Tensor(name=name, shape=shape, kind="sequence", vocabulary=None), [normalization]
    size = math.prod(shape)
    guesses.append(f"{name!r} is read as {size} quantities a row, which a Normalization brings to one scale.")
    front = [] if len(shape) == 1 else [{"type": "Reshape", "target_shape": [size]}]
    return Tensor(name=name, shape=(size,), kind="vector", vocabulary=None), [*front, normalization]


def _is_words(facts: ArrayFacts) -> bool:
    whole = facts.integral and facts.dtype != "float32" and facts.minimum >= 0 and facts.columns is None
    words = len(facts.sample_shape) == 1 and facts.sample_shape[0] >= MIN_WORDS
    return whole and words and MAX_BYTE < facts.maximum < MAX_VOCABULARY


def _is_grey(facts: ArrayFacts) -> bool:
    shape = facts.sample_shape
    return (
        len(shape) == 2
        and min(shape) >= MIN_PICTURE
        and facts.integral
        and facts.minimum >= 0
        and facts.maximum <= MAX_BYTE
    )


def _to_one(facts: ArrayFacts) -> Layer:
    """What brings pixels to numbers from 0 to 1; bytes by 255, whatever the brightest of them."""
    low, high = facts.minimum, facts.maximum
    if facts.integral and low >= 0 and 1 < high <= MAX_BYTE:
        low, high = 0.0, float(MAX_BYTE) if high > MAX_BYTE // 4 else high
    spread = (high - low) or 1.0
    return {"type": "Rescaling", "scale": 1 / spread, "offset": -low / spread}


def _target(facts: ArrayFacts, guesses: list[str]) -> Target:
    name, shape = facts.name or Y, facts.sample_shape
    task, labels = _task(facts)
    center, spread = (facts.maximum + facts.minimum) / 2, (facts.maximum - facts.minimum) / 4
    guesses.append(f"{name!r} is {_WHY[task]}.")
    return Target(
        column=name,
        type="float64",
        kind=Kind.NUMERIC if task in (Task.NUMBER, Task.SEQUENCE) else Kind.CATEGORY,
        slug=name,
        task=task,
        labels=tuple(map(str, range(labels))),
        separator=None,
        center=center if task in (Task.NUMBER, Task.SEQUENCE) else None,
        spread=spread if task in (Task.NUMBER, Task.SEQUENCE) else None,
        shape=shape,
    )


def _task(facts: ArrayFacts) -> tuple[Task, int]:
    """The task, and how many labels it has."""
    shape = facts.sample_shape
    if math.prod(shape) == 1:
        count = int(facts.maximum) + 1 if facts.integral and facts.minimum == 0 else 0
        if count == 2:
            return Task.BINARY, 2
        if 2 < count <= min(MAX_CLASSES, facts.rows // ROWS_OF_CLASS):
            return Task.CLASSES, count
        return Task.NUMBER, 0
    if len(shape) == 1 and facts.integral and facts.minimum >= 0 and facts.maximum <= 1:
        return Task.LABELS, shape[0]
    return (Task.NUMBER if len(shape) == 1 else Task.SEQUENCE), 0


_WHY: Final[dict[Task, str]] = {
    Task.BINARY: "0 or 1 in each row: one of two classes",
    Task.CLASSES: "a whole number from 0 in each row: a class",
    Task.LABELS: "ones and zeros in each row: any number of labels, or one of them",
    Task.NUMBER: "a quantity, in rows",
    Task.SEQUENCE: "quantities of more than one dimension in each row",
}
