"""A checked network and the facts of its data become a plan: every shape and parameter count, or every fault."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

from service.architecture.arguments import at
from service.architecture.network import Input, Layer, Network, Plan, PlannedLayer, Shape
from service.architecture.shapes import ShapeError, infer
from service.data.arrays import ArrayFacts
from service.errors import Fault

_X = "/data/x"
_ARCHITECTURE = "/architecture"
#: How many numbers each optimizer keeps for each weight, at most.
_SLOTS = {
    "sgd": 1,
    "rmsprop": 3,
    "adam": 3,
    "adamw": 3,
    "adadelta": 2,
    "adagrad": 1,
    "adamax": 2,
    "adafactor": 2,
    "nadam": 2,
    "ftrl": 2,
    "lion": 1,
    "lamb": 2,
    "muon": 2,
}
_FLOAT_BYTES = 4
#: Layers that take whole numbers from 0 on, and the argument that says how many there are.
INDEXED = {"Embedding": "input_dim", "CategoryEncoding": "num_tokens"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How large a network may be."""

    max_layers: int = 512
    max_parameters: int = 200_000_000
    max_memory_bytes: int = 8 * 2**30


DEFAULT_LIMITS = Limits()


def make_plan(
    network: Network, x: Sequence[ArrayFacts], faults: list[Fault], limits: Limits = DEFAULT_LIMITS
) -> Plan | None:
    """Work out every shape of a network for its data; return None after appending each fault that there is.

    `x` may be empty, for a dry run without data, if every input has a shape. A layer that is fed by a faulty one is not
    reported again. Memory is compared for one row and the leanest optimizer; `memory_estimate` knows the true batch.
    """
    before = len(faults)
    if len(network.layers) > limits.max_layers:
        detail = f"The network has {len(network.layers)} layers; at most {limits.max_layers} are served. Use fewer."
        faults.append(Fault(pointer=_ARCHITECTURE, detail=detail))
        return None
    arrays = match_arrays(network.inputs, x, faults)
    shapes = _input_shapes(network.inputs, arrays, bool(x), faults)
    layers = _plan_layers(network, shapes, arrays, faults)
    plan = Plan(
        network=network,
        layers=tuple(layers),
        input_shapes={one.name: shapes[one.name] for one in network.inputs if one.name in shapes},
        output_shapes={name: shapes[name] for name in network.outputs if name in shapes},
    )
    if len(faults) == before:
        faults.extend(_too_large(plan, limits))
    return plan if len(faults) == before else None


def memory_estimate(plan: Plan, batch_size: int, optimizer: str) -> int:
    """Estimate the bytes that training takes: weights, gradients, the optimizer's slots, and activations both ways.

    A size that is not fixed counts as 1, so sequences of varied length take more. Unknown optimizers count 3 slots.
    """
    slots = _SLOTS.get(optimizer.lower(), 3)
    parameters = sum(layer.parameters for layer in plan.layers)
    activations = sum(prod(size or 1 for size in layer.output_shape) for layer in plan.layers)
    return parameters * _FLOAT_BYTES * (2 + slots) + activations * _FLOAT_BYTES * batch_size * 2


def summary(plan: Plan) -> list[dict[str, Any]]:
    """Return one JSON-ready row for each input and layer, in order; `output_shape` starts with null for the rows."""
    inputs = [_row(one.name, "Input", plan.input_shapes[one.name], 0, 0, ()) for one in plan.network.inputs]
    fed_by = {layer.name: layer.inputs for layer in plan.network.layers}
    return inputs + [
        _row(one.name, one.type, one.output_shape, one.parameters, one.trainable_parameters, fed_by[one.name])
        for one in plan.layers
    ]


def operations_estimate(rows: Sequence[dict[str, Any]], batch_size: int) -> int:
    """Estimate the multiplications of one pass forward through a batch, from what `summary` returns.

    Each parameter is used once at every place of its layer's output. Embeddings only look up; the steps of a recurrent
    layer that returns the last one are not seen.
    """
    uses = [
        int(row["parameters"]) * prod(int(size or 1) for size in row["output_shape"][1:-1])
        for row in rows
        if row["type"] != "Embedding"
    ]
    return batch_size * sum(uses)


def _row(
    name: str, type_name: str, shape: Shape, parameters: int, trainable: int, inputs: tuple[str, ...]
) -> dict[str, Any]:
    return {
        "name": name,
        "type": type_name,
        "output_shape": [None, *shape],
        "parameters": parameters,
        "trainable_parameters": trainable,
        "inputs": list(inputs),
    }


def match_arrays(inputs: Sequence[Input], x: Sequence[ArrayFacts], faults: list[Fault]) -> dict[str, ArrayFacts]:
    """Give each input's array by the input's name; one array without a name goes to the single input."""
    if not x:
        return {}
    names = [one.name for one in inputs]
    if any(facts.name is None for facts in x):
        if len(x) == len(names) == 1:
            return {names[0]: x[0]}
        detail = f"x is one array, but the network has the inputs {_listed(names)}. Send x as an object with each."
        faults.append(Fault(pointer=_X, detail=detail))
        return {}
    arrays = {facts.name: facts for facts in x if facts.name is not None}
    for name in sorted(arrays.keys() - set(names)):
        detail = f"There is no input {name!r}; the inputs are {_listed(names)}. Rename this array or leave it out."
        faults.append(Fault(pointer=at(_X, name), detail=detail))
    for name in sorted(set(names) - arrays.keys()):
        detail = f"The input {name!r} gets no array; x has {_listed(list(arrays))}. Send an array of that name."
        faults.append(Fault(pointer=_X, detail=detail))
    return {name: arrays[name] for name in names if name in arrays}


def _listed(names: Sequence[str]) -> str:
    return ", ".join(repr(name) for name in names)


def _input_shapes(
    inputs: Sequence[Input], arrays: dict[str, ArrayFacts], has_data: bool, faults: list[Fault]
) -> dict[str, Shape]:
    """Give the shape of each input for which there is one; a given shape must match the data's, None matching any."""
    shapes: dict[str, Shape] = {}
    for one in inputs:
        facts = arrays.get(one.name)
        if one.shape is None and facts is not None:
            shapes[one.name] = facts.sample_shape
        elif one.shape is not None:
            shapes[one.name] = one.shape
            if facts is not None and not _matches(one.shape, facts.sample_shape):
                faults.append(_mismatch(one, one.shape, facts))
        elif not has_data:
            detail = f'The input {one.name!r} has no shape, and no data came to take it from. Give {{"type": "Input", '
            faults.append(Fault(pointer=one.pointer, detail=detail + '"shape": [...]} the shape of one row.'))
    return shapes


def _matches(shape: Shape, sample: tuple[int, ...]) -> bool:
    return len(shape) == len(sample) and all(
        size is None or size == have for size, have in zip(shape, sample, strict=True)
    )


def _mismatch(one: Input, shape: Shape, facts: ArrayFacts) -> Fault:
    sample = facts.sample_shape
    detail = f"The shape of the input {one.name!r} is {shape}, but one row of x has the shape {sample}. "
    if None not in shape and prod(size or 1 for size in shape) == prod(sample):
        detail += f"Give the Input the shape {list(sample)} and put a Reshape to {list(shape)} after it."
    else:
        detail += f"Give the Input the shape {list(sample)}, or leave its shape out, or send other data."
    return Fault(pointer=at(one.pointer, "shape"), detail=detail)


def _plan_layers(
    network: Network, shapes: dict[str, Shape], arrays: dict[str, ArrayFacts], faults: list[Fault]
) -> list[PlannedLayer]:
    """Infer the layers in order, adding each one's output to `shapes`; those fed by a faulty one are left out."""
    planned: list[PlannedLayer] = []
    # What can be computed from the data alone, before any weight is trained.
    untrained = {one.name for one in network.inputs}
    for layer in network.layers:
        if not all(name in shapes for name in layer.inputs):
            continue
        try:
            inferred = infer(layer, [shapes[name] for name in layer.inputs])
        except ShapeError as error:
            path = error.argument.split("/") if error.argument else ()
            faults.append(Fault(pointer=at(layer.pointer, *path), detail=error.detail))
            continue
        faults.extend(_misfed(layer, arrays, untrained))
        shapes[layer.name] = inferred.output_shape
        parameters = inferred.trainable + inferred.non_trainable
        if untrained.issuperset(layer.inputs) and (parameters == 0 or layer.type == "Normalization"):
            untrained.add(layer.name)
        planned.append(
            PlannedLayer(
                name=layer.name,
                type=layer.type,
                output_shape=inferred.output_shape,
                parameters=parameters,
                trainable_parameters=inferred.trainable,
            )
        )
    return planned


def _misfed(layer: Layer, arrays: dict[str, ArrayFacts], untrained: set[str]) -> Iterator[Fault]:
    """Yield what is wrong with the values, not the shape, that reach a layer."""
    if layer.type in INDEXED and layer.inputs[0] in arrays:
        yield from _bad_indexes(layer, arrays[layer.inputs[0]])
    if layer.type == "Normalization" and layer.arguments["mean"] is None and not untrained.issuperset(layer.inputs):
        yield Fault(
            pointer=layer.pointer,
            detail=f"Normalization {layer.name!r} learns mean and variance from the data before training, but a layer "
            "with weights stands before it. Put it before all such layers, give mean and variance, or use "
            "BatchNormalization.",
        )


def _bad_indexes(layer: Layer, facts: ArrayFacts) -> Iterator[Fault]:
    argument = INDEXED[layer.type]
    rows = layer.arguments[argument]
    if not facts.integral or facts.minimum < 0:
        found = f"values from {facts.minimum:g}" if facts.integral else "values that are no whole numbers"
        yield Fault(
            pointer=layer.pointer,
            detail=f"{layer.type} {layer.name!r} takes whole numbers from 0 to {rows - 1}, but x has {found}. "
            "Send indexes, or use Dense for measured values.",
        )
    if facts.maximum >= rows:
        yield Fault(
            pointer=at(layer.pointer, argument),
            detail=f"{layer.type} {layer.name!r} has {argument}={rows}, which serves 0 to {rows - 1}, but x goes up to "
            f"{facts.maximum:g}. Make {argument} at least {int(facts.maximum) + 1}.",
        )


def _too_large(plan: Plan, limits: Limits) -> Iterator[Fault]:
    parameters = sum(layer.parameters for layer in plan.layers)
    if parameters > limits.max_parameters:
        largest = max(plan.layers, key=lambda layer: layer.parameters)
        detail = (
            f"The network has {parameters} parameters, {largest.parameters} of them in {largest.name!r}; at most "
            f"{limits.max_parameters} are served. Use smaller layers, or fewer."
        )
        yield Fault(pointer=_ARCHITECTURE, detail=detail)
    memory = memory_estimate(plan, 1, "sgd")
    if memory > limits.max_memory_bytes:
        detail = (
            f"Training needs about {memory} bytes for one row at a time; at most {limits.max_memory_bytes} are served. "
            "Use smaller layers, or make the samples smaller."
        )
        yield Fault(pointer=_ARCHITECTURE, detail=detail)
