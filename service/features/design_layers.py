"""The layers that "auto" chooses: a branch for each tensor, a trunk that they share, and a head for each target."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal

from service.features.network import Tensor
from service.features.preparation import Target, Task

Layer = dict[str, Any]


#: Steps in time up to this many are read one after the other; longer ones are convolved.
MAX_STEPS_READ: Final = 12
#: From so many rows on, the order of words is worth learning.
ROWS_FOR_ORDER: Final = 5_000
#: From so many rows on, more and wider layers have enough to learn from.
MANY_ROWS: Final = 20_000
#: Pictures of this size, in colour, are photographs rather than letters: a mirrored one shows the same thing.
PHOTOGRAPH: Final = 32
#: A picture's shorter side from which on every second pixel is enough to begin with.
LARGE_PICTURE: Final = 128
_MAX_NAME: Final = 48
#: Sequences of up to so many numbers are taken as they are where steps are forecast.
MOST_FLATTENED: Final = 2**14


def architecture(
    tensors: Sequence[Tensor],
    targets: Sequence[Target],
    rows: int,
    fronts: Mapping[str, Sequence[Layer]],
    reasons: list[str],
) -> dict[str, Any]:
    """Return the layers in a list where there is one tensor and one target, and otherwise a graph of named layers.

    `fronts` holds the layers that go before the branches of some tensors.
    """
    forecasts = any(target.task is Task.SEQUENCE and len(target.shape) > 1 for target in targets)
    branches = [[*fronts.get(one.name, ()), *_branch(one, rows, forecasts, reasons)] for one in tensors]
    trunk = _trunk(tensors, rows, forecasts, reasons)
    heads = [_head(target, reasons) for target in targets]
    if len(tensors) == len(targets) == 1:
        return {"layers": [*branches[0], *trunk, *heads[0]]}
    return _graph(tensors, targets, branches, trunk, heads)


def numbers_on_the_way(tensor: Tensor) -> int:
    """About how many numbers the layers of a tensor's branch make of one row."""
    if tensor.kind == "image":
        height, width, _ = tensor.shape
        first = height * width // (4 if min(height, width) >= LARGE_PICTURE else 1)
        return 3 * 32 * first * 3 // 2
    a_step = {"vector": 1, "tokens": 192, "sequence": 3 * (64 + 128 + 64)}[tensor.kind]
    return tensor.shape[0] * a_step


def _branch(tensor: Tensor, rows: int, forecasts: bool, reasons: list[str]) -> list[Layer]:
    """What makes one row of numbers of a tensor; of a vector, nothing is to be made."""
    match tensor.kind:
        case "tokens":
            return _words(tensor, rows, reasons)
        case "image":
            return _picture(tensor, rows, reasons)
        case "sequence":
            return _steps(tensor, forecasts, reasons)
    return []


def _words(tensor: Tensor, rows: int, reasons: list[str]) -> list[Layer]:
    dimensions = 32 if rows < ROWS_FOR_ORDER else 64
    embedding = {"type": "Embedding", "input_dim": tensor.vocabulary, "output_dim": dimensions}
    if rows < ROWS_FOR_ORDER:
        reasons.append(
            f"{tensor.name!r} is words: an Embedding of {dimensions} numbers a word and their maximum, because {rows} "
            f"rows teach which words count, but hardly their order."
        )
        return [embedding, _dropout(0.2), {"type": "GlobalMaxPooling1D"}]
    reasons.append(
        f"{tensor.name!r} is words: an Embedding of {dimensions} numbers a word, and a Conv1D that reads "
        f"{_kernel(tensor)} neighbours at a time, because {rows} rows teach phrases too."
    )
    convolution = {"type": "Conv1D", "filters": 128, "kernel_size": _kernel(tensor), "padding": "same"}
    return [embedding, _dropout(0.2), {**convolution, "activation": "relu"}, {"type": "GlobalMaxPooling1D"}]


def _kernel(tensor: Tensor) -> int:
    return min(5, tensor.shape[0])


def _picture(tensor: Tensor, rows: int, reasons: list[str]) -> list[Layer]:
    height, width, channels = tensor.shape
    side = min(height, width)
    blocks = max(1, min(5, int(math.log2(max(side, 2))) - 1))
    layers: list[Layer] = []
    if channels == 3 and side >= PHOTOGRAPH:
        layers.append({"type": "RandomFlip", "mode": "horizontal"})
        reasons.append(
            f"{tensor.name!r} is in colour and at least {PHOTOGRAPH} pixels high and wide, as photographs are: a "
            "RandomFlip shows it mirrored every other time. Leave that out where left and right mean something."
        )
    for number in range(blocks):
        strides = 2 if number == 0 and side >= LARGE_PICTURE else 1
        layers.extend(_convolution(2, min(256, 32 * 2**number), 3, strides))
        if side >> (number + 1) >= 1:
            layers.append({"type": "MaxPooling2D"})
    reasons.append(
        f"{tensor.name!r} is pictures of {height} x {width}: {blocks} blocks of convolution, normalization and pooling "
        "each see twice as far as the one before, and their means over the picture go on."
    )
    return [*layers, {"type": "GlobalAveragePooling2D"}]


def _steps(tensor: Tensor, forecasts: bool, reasons: list[str]) -> list[Layer]:
    length = tensor.shape[0]
    if forecasts and math.prod(tensor.shape) <= MOST_FLATTENED:
        reasons.append(
            f"{tensor.name!r} has {length} steps in time, and more are to be told from them: each keeps its place, "
            "because how long ago something was counts."
        )
        return [{"type": "Flatten"}]
    if length <= MAX_STEPS_READ:
        reasons.append(f"{tensor.name!r} has {length} steps in time, few enough for a GRU that reads them in order.")
        return [{"type": "Bidirectional", "layer": {"type": "GRU", "units": 64}}]
    reasons.append(
        f"{tensor.name!r} has {length} steps in time: convolutions over neighbouring steps find patterns wherever they "
        "are, and take less time than a GRU that reads one step after the other."
    )
    shapes = ((64, 8), (128, 5), (64, 3))
    layers = [layer for filters, kernel in shapes for layer in _convolution(1, filters, kernel, 1)]
    return [*layers, {"type": "GlobalAveragePooling1D"}]


def _convolution(dimensions: Literal[1, 2], filters: int, kernel: int, strides: int) -> list[Layer]:
    """A convolution whose bias the BatchNormalization after it makes needless."""
    layer: Layer = {"type": f"Conv{dimensions}D", "filters": filters, "kernel_size": kernel, "padding": "same"}
    layer |= {"use_bias": False} if strides == 1 else {"use_bias": False, "strides": strides}
    return [layer, {"type": "BatchNormalization"}, {"type": "ReLU"}]


def _trunk(tensors: Sequence[Tensor], rows: int, forecasts: bool, reasons: list[str]) -> list[Layer]:
    """Dense layers, as many and as wide as the rows can teach."""
    only_vectors = all(one.kind == "vector" for one in tensors)
    units = 64 if rows < 1_000 else 128 if rows < MANY_ROWS else 256
    count = (2 if rows < MANY_ROWS else 3) if only_vectors else 1
    rate = 0.3 if rows < MANY_ROWS else 0.2 if rows < 200_000 else 0.1
    many = f"{count} Dense layers" if count > 1 else "One Dense layer"
    reasons.append(f"{many} of {units} units with relu: what {rows} rows can teach without being learned by heart.")
    dense: Layer = {"type": "Dense", "units": units, "activation": "relu"}
    if forecasts:
        reasons.append("No Dropout: the next steps are near the last ones, which must come through as they are.")
        return [dict(dense) for _ in range(count)]
    reasons.append(f"A Dropout of {rate:g} after each, so that no single number is relied on; more rows need less.")
    before = [] if only_vectors else [_dropout(rate)]
    return before + [layer for _ in range(count) for layer in (dict(dense), _dropout(rate))]


def _dropout(rate: float) -> Layer:
    return {"type": "Dropout", "rate": rate}


def _head(target: Target, reasons: list[str]) -> list[Layer]:
    """The layers that answer; their numbers are in the target's own unit."""
    size = math.prod(target.shape)
    match target.task:
        case Task.BINARY:
            reasons.append(f"{target.slug!r} is one of two labels: a sigmoid gives the probability of the second.")
            return [{"type": "Dense", "units": 1, "activation": "sigmoid"}]
        case Task.CLASSES:
            count = len(target.labels)
            reasons.append(f"{target.slug!r} is one of {count} labels: a softmax gives each its probability.")
            return [{"type": "Dense", "units": count, "activation": "softmax"}]
        case Task.LABELS:
            count = len(target.labels)
            reasons.append(f"{target.slug!r} is any of {count} labels: a sigmoid for each gives its probability.")
            return [{"type": "Dense", "units": count, "activation": "sigmoid"}]
    layers: list[Layer] = [{"type": "Dense", "units": size}]
    if len(target.shape) > 1:
        layers.append({"type": "Reshape", "target_shape": list(target.shape)})
    if target.center is not None and target.spread is not None:
        reasons.append(f"{target.slug!r} is a quantity: a last Rescaling brings the answer to its own unit.")
        layers.append({"type": "Rescaling", "scale": target.spread or 1.0, "offset": target.center})
    else:
        reasons.append(f"{target.slug!r} is {size} numbers a row: as many units without an activation.")
    return layers


def _graph(
    tensors: Sequence[Tensor],
    targets: Sequence[Target],
    branches: Sequence[list[Layer]],
    trunk: list[Layer],
    heads: Sequence[list[Layer]],
) -> dict[str, Any]:
    taken = {one.name for one in tensors} | {target.slug for target in targets}
    layers: list[Layer] = []
    ends = [_chained(layers, branch, one.name, one.name, taken) for one, branch in zip(tensors, branches, strict=True)]
    if len(ends) > 1:
        name = _free("joined", taken)
        layers.append({"type": "Concatenate", "name": name, "inputs": ends})
        ends = [name]
    end = _chained(layers, trunk, "trunk", ends[0], taken)
    for target, head in zip(targets, heads, strict=True):
        _chained(layers, head, target.slug, end, taken, last=target.slug)
    return {"layers": layers, "outputs": [target.slug for target in targets]}


def _chained(
    layers: list[Layer], chain: Sequence[Layer], prefix: str, feed: str, taken: set[str], *, last: str = ""
) -> str:
    """Add a chain of layers that begins at `feed`, and return the name of its end, which is `last` if that is given."""
    for number, layer in enumerate(chain, 1):
        name = last if last and number == len(chain) else _free(f"{prefix[:_MAX_NAME]}_{number}", taken)
        layers.append({"type": layer["type"], "name": name, "inputs": feed, **layer})
        feed = name
    return feed


def _free(name: str, taken: set[str]) -> str:
    """The name, or the name with the first number that makes it one of its own."""
    free, number = name, 1
    while free in taken:
        number += 1
        free = f"{name}_{number}"
    taken.add(free)
    return free
