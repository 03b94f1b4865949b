"""ONNX files without their weights, kept from one job to the next: only the numbers are new in a network seen before.

What in a converted file stands for a weight is found by converting the same network twice, with different weights:
a tensor that stays the same belongs to the structure, one that changes must be a weight, perhaps with its axes in
another order. Where a tensor is neither, there is no template. What is made from one is compared with Keras as every
export is.
"""

import io
import itertools
import json
import os
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper

Array = np.ndarray[Any, Any]

#: Weights of more axes than this are only looked for as they are.
_MOST_AXES = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A tensor of the file, by its number, is a weight, by its number, with its axes in `order`, in `shape`."""

    tensor: int
    weight: int
    order: tuple[int, ...]
    shape: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Template:
    """An ONNX file without the tensors of `places`."""

    model: bytes
    places: tuple[Place, ...]

    def fill(self, weights: Sequence[Array]) -> Any:
        """Make the ONNX model of these weights, which come in the order of the model's `weights`."""
        model = onnx.ModelProto.FromString(self.model)
        tensors = list(_tensors(model.graph))
        for place in self.places:
            values = weights[place.weight].transpose(place.order).reshape(place.shape)
            tensors[place.tensor].raw_data = np.ascontiguousarray(values).tobytes()
        return model


def make(first: Any, first_weights: Sequence[Array], second: Any, second_weights: Sequence[Array]) -> Template | None:
    """Compare two conversions of one network with different weights; None where not every difference is a weight."""
    if _outline(first.graph) != _outline(second.graph):
        return None
    model = onnx.ModelProto.FromString(first.SerializeToString())
    places = []
    pairs = zip(_tensors(model.graph), _tensors(second.graph), strict=True)
    for number, (tensor, twin) in enumerate(pairs):
        values, other = numpy_helper.to_array(tensor), numpy_helper.to_array(twin)
        if values.shape == other.shape and values.tobytes() == other.tobytes():
            continue
        place = _find(number, (values, other), list(zip(first_weights, second_weights, strict=True)))
        if place is None:
            return None
        places.append(place)
        _empty(tensor)
    return Template(model=model.SerializeToString(), places=tuple(places))


def read(path: Path) -> Template | None:
    """Read a kept template; None if there is none, or none that can be read."""
    try:
        with zipfile.ZipFile(path) as archive:
            places = [
                Place(tensor=row[0], weight=row[1], order=tuple(row[2]), shape=tuple(row[3]))
                for row in json.loads(archive.read("places.json"))
            ]
            return Template(model=archive.read("model.onnx"), places=tuple(places))
    except (OSError, zipfile.BadZipFile, KeyError, ValueError):
        return None


def write(template: Template, path: Path) -> None:
    """Keep a template; a reader finds all of it or nothing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        rows = [(place.tensor, place.weight, place.order, place.shape) for place in template.places]
        archive.writestr("places.json", json.dumps(rows))
        archive.writestr("model.onnx", template.model)
    unfinished = path.with_suffix(f".{os.getpid()}.tmp")
    unfinished.write_bytes(content.getvalue())
    unfinished.rename(path)


def _tensors(graph: Any) -> Iterator[Any]:
    """All tensors that a graph holds, also those in its nodes and in the graphs inside these, in one fixed order."""
    yield from graph.initializer
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.HasField("t"):
                yield attribute.t
            if attribute.HasField("g"):
                yield from _tensors(attribute.g)


def _outline(graph: Any) -> list[Any]:
    """The operations in their order; the names of what flows between them count up from one conversion to the next."""
    return [
        (
            node.op_type,
            len(node.input),
            len(node.output),
            [_outline(one.g) for one in node.attribute if one.HasField("g")],
        )
        for node in graph.node
    ]


def _find(number: int, values: tuple[Array, Array], weights: Sequence[tuple[Array, Array]]) -> Place | None:
    for weight, pair in enumerate(weights):
        if pair[0].size == values[0].size and pair[0].dtype == values[0].dtype:
            for order in _orders(pair[0].ndim):
                if all(_same(own.transpose(order), found) for own, found in zip(pair, values, strict=True)):
                    return Place(tensor=number, weight=weight, order=order, shape=values[0].shape)
    return None


def _orders(axes: int) -> Iterator[tuple[int, ...]]:
    if axes > _MOST_AXES:
        return iter([tuple(range(axes))])
    return itertools.permutations(range(axes))


def _same(own: Array, found: Array) -> bool:
    return bool(np.array_equal(own.reshape(found.shape), found))


def _empty(tensor: Any) -> None:
    """Take the numbers out of a tensor, whichever of its fields they are in; type, shape and name stay."""
    for field in ("raw_data", "float_data", "double_data", "int32_data", "int64_data", "uint64_data"):
        tensor.ClearField(field)
