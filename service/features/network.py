"""The layers that go in front of a client's: they make of a preparation's inputs what the client's layers begin with.

What is made is one vector, `features`, of everything that is no tensor of its own: numbers, categories, and bags of
words; and a tensor for each sequence of words, image, and sequence of numbers. A list of layers begins with the only
tensor; the layers of a graph name tensors among their `inputs` as they would name inputs of their own.

The client's layers keep their places in the list, so that what is found wrong with them later is found where they
stand in the request; those in front follow them in it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, Literal

from service.errors import Fault
from service.features.front import Front, Json, free_name, vector_width
from service.features.preparation import FEATURES, Feature, Image, Preparation, Sequence, Text
from service.features.wording import listed, shown, similar

_INPUT_TYPES: Final = ("Input", "InputLayer")


@dataclass(frozen=True, slots=True, kw_only=True)
class Tensor:
    """What a client's layers begin with; `shape` is that of one row.

    `vocabulary` is the number of words of "tokens", which are whole numbers below it, and None otherwise.
    """

    name: str
    shape: tuple[int, ...]
    kind: Literal["vector", "tokens", "image", "sequence"]
    vocabulary: int | None

    @property
    def dtype(self) -> str:
        return "int32" if self.kind == "tokens" else "float32"


def tensors(preparation: Preparation) -> tuple[Tensor, ...]:
    """The tensors that the features make, the vector first."""
    width = sum(map(vector_width, preparation.features))
    vector = [Tensor(name=FEATURES, shape=(width,), kind="vector", vocabulary=None)] if width else []
    return (*vector, *(tensor for feature in preparation.features for tensor in _own_tensor(feature)))


def with_features(architecture: Any, preparation: Preparation, pointer: str, faults: list[Fault]) -> Any:
    """A client's architecture as a graph that begins with the preparation's inputs, or None after appending faults.

    Lists of layers and graphs are taken; what has neither form is given back as it came, for its reader to refuse.
    """
    if isinstance(architecture, str) or (isinstance(architecture, dict) and "class_name" in architecture):
        detail = (
            "Keras's `model.to_json()` came together with features. Its inputs are its own, while those of a table are "
            'made by the features: send the layers that follow these as {"layers": [...]}.'
        )
        faults.append(Fault(pointer=pointer, detail=detail))
        return None
    if not _is_readable(architecture):
        return architecture
    before = len(faults)
    start = _Start(tensors={tensor.name: tensor for tensor in tensors(preparation)}, front=Front(preparation))
    rows = architecture["layers"]
    graph = any(key in architecture for key in ("inputs", "outputs")) or any("inputs" in row for row in rows)
    layers = _graph(architecture, start, pointer, faults) if graph else _chain(rows, start, pointer, faults)
    _check_names(rows, start, pointer, faults)
    return {**architecture, "inputs": start.front.inputs, "layers": layers} if len(faults) == before else None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Start:
    """What the client's layers begin with, and the layers that make it."""

    tensors: dict[str, Tensor]
    front: Front


def _own_tensor(feature: Feature) -> Iterator[Tensor]:
    match feature:
        case Text(enters="tokens"):
            shape: tuple[int, ...] = (feature.sequence_length,)
            yield Tensor(name=feature.slug, shape=shape, kind="tokens", vocabulary=feature.width)
        case Image():
            shape = (feature.height, feature.width, feature.channels)
            yield Tensor(name=feature.slug, shape=shape, kind="image", vocabulary=None)
        case Sequence():
            shape = (feature.length, feature.channels)
            yield Tensor(name=feature.slug, shape=shape, kind="sequence", vocabulary=None)


def _is_readable(architecture: Any) -> bool:
    layers = architecture.get("layers") if isinstance(architecture, dict) else None
    return isinstance(layers, list) and bool(layers) and all(isinstance(row, dict) for row in layers)


def _is_input(row: Json) -> bool:
    return row.get("type") in _INPUT_TYPES


def _chain(rows: list[Json], start: _Start, pointer: str, faults: list[Fault]) -> list[Json]:
    """The layers of a list, each naming the one before it; the first takes the only tensor, or stands for it."""
    if len(start.tensors) != 1:
        faults.append(Fault(pointer=f"{pointer}/layers", detail=_several(start)))
        return rows
    (tensor,) = start.tensors.values()
    layers: list[Json] = []
    name, ends = tensor.name, []
    taken = {*start.front.names, *(str(row["name"]) for row in rows if "name" in row)}
    for index, row in enumerate(rows):
        if index == 0 and _is_input(row):
            _check_input(row, tensor, f"{pointer}/layers/0", faults)
            layers.append(start.front.end(tensor.name))
            ends.append(tensor.name)
            continue
        own = row["name"] if "name" in row else free_name(_default_name(row.get("type")), taken)
        taken.add(str(own))
        layers.append({**row, "name": own, "inputs": name})
        name = str(own)
    return layers + start.front.rest(ends)


def _several(start: _Start) -> str:
    made = ", ".join(f"{tensor.name!r} {_as_shape(tensor)}" for tensor in start.tensors.values())
    first, second = list(start.tensors)[:2]
    return (
        f"The features make {len(start.tensors)} tensors: {made}. A list of layers takes one. Send a graph, whose "
        f'layers name what feeds them: {{"layers": [{{"type": "Flatten", "name": "flat", "inputs": "{second}"}}, '
        f'{{"type": "Concatenate", "name": "all", "inputs": ["{first}", "flat"]}}, '
        '{"type": "Dense", "units": 1, "inputs": "all"}]}.'
    )


def _graph(architecture: Json, start: _Start, pointer: str, faults: list[Fault]) -> list[Json]:
    """The layers of a graph; one that is an Input of a tensor's name is replaced by the layer that makes the tensor."""
    layers, ends = [], []
    for index, row in enumerate(architecture["layers"]):
        tensor = _named_tensor(row, start, f"{pointer}/layers/{index}", faults) if _is_input(row) else None
        if tensor is not None and tensor.name not in ends:
            ends.append(tensor.name)
            row = start.front.end(tensor.name)
        layers.append(row)
    _check_listed(architecture.get("inputs", []), start, f"{pointer}/inputs", faults)
    used = {name for row in architecture["layers"] for name in _fed_by(row)}
    for name in (name for name in start.tensors if name not in used):
        detail = (
            f"The tensor {name!r}, {_as_shape(start.tensors[name])}, is not used. Name it in the `inputs` of a layer, "
            "or leave out the features that it is made of."
        )
        faults.append(Fault(pointer=f"{pointer}/layers", detail=detail))
    return layers + start.front.rest(ends)


def _fed_by(row: Json) -> list[str]:
    inputs = row.get("inputs")
    named = inputs if isinstance(inputs, list) else [inputs]
    return [name for name in named if isinstance(name, str)]


def _check_listed(value: Any, start: _Start, pointer: str, faults: list[Fault]) -> None:
    """The top-level `inputs` may name tensors, and say what shape they have."""
    rows = [value] if isinstance(value, str | dict) else value if isinstance(value, list) else []
    for index, row in enumerate(rows):
        given = row if isinstance(row, dict) else {"name": row}
        _named_tensor(given, start, f"{pointer}/{index}", faults)


def _named_tensor(row: Json, start: _Start, pointer: str, faults: list[Fault]) -> Tensor | None:
    name = row.get("name")
    if not isinstance(name, str) or name not in start.tensors:
        hint = similar(name, start.tensors) if isinstance(name, str) else ""
        detail = (
            f"An input of the name {shown(name)} came; the features make the tensors {listed(list(start.tensors))}."
            f"{hint} Name one of these, or leave this out: layers can name tensors without it."
        )
        faults.append(Fault(pointer=pointer, detail=detail))
        return None
    _check_input(row, start.tensors[name], pointer, faults)
    return start.tensors[name]


def _check_input(row: Json, tensor: Tensor, pointer: str, faults: list[Fault]) -> None:
    """An Input may say again what the tensor is, and nothing else."""
    shape, dtype = row.get("shape"), row.get("dtype", tensor.dtype)
    sizes = shape if isinstance(shape, list) else list(tensor.shape) if shape is None else []
    if len(sizes) != len(tensor.shape) or any(
        size not in (None, due) for size, due in zip(sizes, tensor.shape, strict=True)
    ):
        detail = f"The shape came as {shown(shape) if not isinstance(shape, list) else shape}"
        faults.append(Fault(pointer=f"{pointer}/shape", detail=f"{detail}; {_due(tensor)}"))
    if dtype != tensor.dtype:
        faults.append(Fault(pointer=f"{pointer}/dtype", detail=f"The dtype came as {shown(dtype)}; {_due(tensor)}"))


def _due(tensor: Tensor) -> str:
    return f"the features make the tensor {tensor.name!r} of {_as_shape(tensor)}, {tensor.dtype}. Leave the Input out."


def _as_shape(tensor: Tensor) -> str:
    return f"shape {list(tensor.shape)}"


def _check_names(rows: list[Json], start: _Start, pointer: str, faults: list[Fault]) -> None:
    for index, row in enumerate(rows):
        name = row.get("name")
        if isinstance(name, str) and name in start.front.names and not _is_input(row):
            detail = f"The name {name!r} is taken by what the features make in front of these layers. Choose another."
            faults.append(Fault(pointer=f"{pointer}/layers/{index}/name", detail=detail))


def _default_name(type_name: object) -> str:
    """The name that Keras gives to the first unnamed layer of a type: `Conv2D` is `conv2d`."""
    name = re.sub("(.)([A-Z][a-z]+)", r"\1_\2", str(type_name))
    return re.sub("([a-z])([A-Z])", r"\1_\2", name).lower() if isinstance(type_name, str) else "layer"
