"""The reading of an architecture: a list of layers, a graph of named layers, or Keras's own JSON becomes a Network."""

import heapq
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

from service.architecture import catalog, keras_json
from service.architecture.arguments import at, shown
from service.architecture.network import Input, Layer, Network, Shape
from service.errors import Fault

MAX_LAYERS = 512
MAX_RANK = 8
MAX_SIZE = 16_777_216
DTYPES = ("float32", "int32", "int64", "bool")

_KEYS = ("layers", "inputs", "outputs")
_INPUT_KEYS = ("type", "name", "shape", "dtype")
_INPUT_TYPES = ("Input", "InputLayer")


@dataclass(slots=True, kw_only=True)
class _Draft:
    """A layer (`entry` is its type) or an input (`entry` is None) as sent, while its name and inputs are worked out."""

    given: dict[str, Any]
    pointer: str
    entry: catalog.Entry | None
    name: str = ""
    inputs: tuple[str, ...] = ()


def read_architecture(value: object, pointer: str, faults: list[Fault]) -> Network | None:
    """Return the network that a client's architecture describes, or None after appending all faults.

    Three forms are read: {"layers": [...]} one after the other; the same with `inputs` on layers, a graph; and what
    Keras's `model.to_json()` returns, as text or parsed.
    """
    if not keras_json.is_keras_json(value):
        return _read(value, pointer, faults)
    translation = keras_json.translate(value, pointer, faults)
    if translation is None:
        return None
    found: list[Fault] = []
    network = _read(translation.form, pointer, found)
    faults.extend(replace(fault, pointer=translation.locate(pointer, fault.pointer)) for fault in found)
    return None if network is None else _relocate(network, pointer, translation)


def write_architecture(network: Network) -> dict[str, Any]:
    """Return a network as a graph ready for JSON; reading it gives an equal network, pointers aside."""
    return {
        "inputs": [
            {"name": one.name, "shape": None if one.shape is None else list(one.shape), "dtype": one.dtype}
            for one in network.inputs
        ],
        "layers": [_written(layer) | {"inputs": list(layer.inputs)} for layer in network.layers],
        "outputs": list(network.outputs),
    }


def _written(layer: Layer) -> dict[str, Any]:
    nested = {key: _written(one) for key, one in layer.arguments.items() if isinstance(one, Layer)}
    return {"type": layer.type, "name": layer.name, **layer.arguments, **nested}


def _relocate(network: Network, root: str, translation: keras_json.Translation) -> Network:
    inputs = tuple(replace(one, pointer=translation.locate(root, one.pointer)) for one in network.inputs)
    return replace(network, inputs=inputs, layers=tuple(_moved(one, root, translation) for one in network.layers))


def _moved(layer: Layer, root: str, translation: keras_json.Translation) -> Layer:
    arguments = {
        key: _moved(one, root, translation) if isinstance(one, Layer) else one for key, one in layer.arguments.items()
    }
    return replace(layer, arguments=arguments, pointer=translation.locate(root, layer.pointer))


def _read(value: object, pointer: str, faults: list[Fault]) -> Network | None:
    before = len(faults)
    rows = _rows(value, pointer, faults)
    if rows is None or not isinstance(value, dict):
        return None
    graph = any(key in value for key in ("inputs", "outputs")) or any("inputs" in row for row in rows)
    drafts = [_draft(row, at(pointer, "layers", index), faults) for index, row in enumerate(rows)]
    drafts = _listed_inputs(value, drafts, pointer, faults) + drafts
    _name(drafts, faults)
    if graph:
        _connect(drafts, faults)
    else:
        drafts = _chain(drafts, pointer, faults)
    inputs = tuple(_input(draft, faults) for draft in drafts if draft.entry is None and draft.given)
    layers = [_layer(draft, draft.entry, faults) for draft in drafts if draft.entry is not None]
    if len(faults) > before:
        return None
    outputs = _outputs(value, drafts, pointer, faults) if graph else (layers[-1].name,)
    ordered = _ordered(layers, faults)
    if len(faults) == before:
        _check_use(drafts, outputs, faults)
    if len(faults) > before:
        return None
    return Network(inputs=_as_listed(inputs, value.get("inputs")), layers=ordered, outputs=outputs)


def _as_listed(inputs: tuple[Input, ...], listed: Any) -> tuple[Input, ...]:
    """Return the inputs in the order of the top-level `inputs`, which may name some that stand among the layers."""
    rows = listed if isinstance(listed, list) else []
    order = {row if isinstance(row, str) else row.get("name"): index for index, row in enumerate(rows)}
    return tuple(sorted(inputs, key=lambda one: order.get(one.name, len(order))))


def _rows(value: object, pointer: str, faults: list[Fault]) -> list[dict[str, Any]] | None:
    """Return the list of layers, each an object, or None after appending faults."""
    before = len(faults)
    if not isinstance(value, dict):
        detail = f"{shown(value)} came; kerasd expects an object with `layers`. Send one, or Keras's `model.to_json()`."
        faults.append(Fault(pointer=pointer, detail=detail))
        return None
    for key in value:
        if key not in _KEYS:
            detail = (
                f"An architecture has no {shown(key)}.{catalog.similar(key, _KEYS)} Send layers, inputs and outputs."
            )
            faults.append(Fault(pointer=at(pointer, key), detail=detail))
    layers = value.get("layers")
    place = at(pointer, "layers") if "layers" in value else pointer
    if not isinstance(layers, list) or not 1 <= len(layers) <= MAX_LAYERS:
        detail = f"`layers` is {shown(layers)}; kerasd expects a list of 1 to {MAX_LAYERS} layers. Send one."
        faults.append(Fault(pointer=place, detail=detail))
        return None
    for index, layer in enumerate(layers):
        if not isinstance(layer, dict):
            detail = f'{shown(layer)} came; kerasd expects a layer. Send an object such as {{"type": "Flatten"}}.'
            faults.append(Fault(pointer=at(place, index), detail=detail))
    return layers if len(faults) == before else None


def _draft(row: dict[str, Any], pointer: str, faults: list[Fault]) -> _Draft:
    if row.get("type") in _INPUT_TYPES:
        return _Draft(given=row, pointer=pointer, entry=None)
    entry = catalog.typed("layer", row, pointer, faults)
    # An unknown type has its fault; the name still counts, so that no other layer is told that it does not exist.
    return _Draft(given=row if entry else {}, pointer=pointer, entry=entry, name=str(row.get("name", "")))


def _listed_inputs(value: dict[str, Any], drafts: list[_Draft], pointer: str, faults: list[Fault]) -> list[_Draft]:
    """Return the inputs that stand in the top-level `inputs`, less those that name an Input among the layers."""
    rows = value.get("inputs", [])
    rows = [rows] if isinstance(rows, str | dict) else rows
    if not isinstance(rows, list) or len(rows) > MAX_LAYERS:
        detail = f"`inputs` is {shown(rows)}; kerasd expects a list of names or of objects with `name`. Send one."
        faults.append(Fault(pointer=at(pointer, "inputs"), detail=detail))
        return []
    among_layers = [draft.given.get("name") for draft in drafts if draft.entry is None]
    found = []
    for index, row in enumerate(rows):
        place = at(pointer, "inputs", index)
        if isinstance(row, dict):
            found.append(_Draft(given={"type": "Input"} | row, pointer=place, entry=None))
        elif not isinstance(row, str):
            detail = (
                f"{shown(row)} came; kerasd expects a name, or an object with `name` and `shape`. Send one of them."
            )
            faults.append(Fault(pointer=place, detail=detail))
        elif row not in among_layers:
            found.append(_Draft(given={"type": "Input", "name": row}, pointer=place, entry=None))
    return found


def _name(drafts: list[_Draft], faults: list[Fault]) -> None:
    """Give each draft its name: the client's, or the one that Keras would count up to."""
    taken: dict[str, str] = {}
    for draft in drafts:
        name = draft.given.get("name", draft.name or None)
        if name is None:
            continue
        draft.name = str(name)
        if not isinstance(name, str) or not catalog.NAME.fullmatch(name):
            detail = f"The name {shown(name)} cannot be used; names are {catalog.NAME_RULE}. Choose another."
            faults.append(Fault(pointer=at(draft.pointer, "name"), detail=detail))
        elif taken.setdefault(name, draft.pointer) != draft.pointer:
            detail = f"The name {shown(name)} is taken by {taken[name]}; each is used once. Choose another."
            faults.append(Fault(pointer=at(draft.pointer, "name"), detail=detail))
    counts: Counter[str] = Counter()
    for draft in drafts:
        if not draft.name:
            draft.name = _count_up(catalog.default_name(draft.entry.type) if draft.entry else "x", counts, taken)


def _count_up(prefix: str, counts: Counter[str], taken: Iterable[str]) -> str:
    while True:
        name = f"{prefix}_{counts[prefix]}" if counts[prefix] else prefix
        counts[prefix] += 1
        if name not in taken:
            return name


def _chain(drafts: list[_Draft], pointer: str, faults: list[Fault]) -> list[_Draft]:
    """Feed each layer by the one before it; the input comes first, and is added where the client left it out."""
    if not drafts[0].given or drafts[0].entry is not None:
        taken = {draft.name for draft in drafts}
        name = _count_up("x", Counter(), taken)
        drafts = [_Draft(given={"type": "Input"}, pointer=pointer, entry=None, name=name), *drafts]
    for before, draft in pairwise(drafts):
        draft.inputs = (before.name,)
        if draft.entry is None and draft.given:
            detail = (
                "An Input stands between layers; here it can only be the first. Move it, or name `inputs` on layers."
            )
            faults.append(Fault(pointer=draft.pointer, detail=detail))
        elif draft.entry is not None and draft.entry.inputs[0] > 1:
            detail = (
                f"{draft.entry.type} takes at least {draft.entry.inputs[0]} inputs, and one layer stands before it."
            )
            faults.append(Fault(pointer=draft.pointer, detail=f"{detail} Name what feeds it: `inputs` on each layer."))
    if len(drafts) == 1:
        detail = "There is an Input and no layer after it. Add at least one layer."
        faults.append(Fault(pointer=at(pointer, "layers"), detail=detail))
    return drafts


def _connect(drafts: list[_Draft], faults: list[Fault]) -> None:
    """Read what feeds each layer of a graph."""
    names = {draft.name for draft in drafts}
    for draft in drafts:
        if draft.entry is None:
            continue
        place = at(draft.pointer, "inputs")
        if "inputs" not in draft.given:
            detail = (
                "This layer does not say what feeds it, as others here do. Add `inputs`, a name or a list of names."
            )
            faults.append(Fault(pointer=draft.pointer, detail=detail))
            continue
        draft.inputs = _names(draft.given["inputs"], names, place, faults)
        low, high = draft.entry.inputs
        if draft.inputs and not low <= len(draft.inputs) <= high:
            expected = str(low) if low == high else f"{low} to {high}"
            detail = f"{draft.entry.type} has {len(draft.inputs)} inputs; it takes {expected}. Name that many."
            faults.append(Fault(pointer=place, detail=detail))


def _names(value: object, known: set[str], pointer: str, faults: list[Fault]) -> tuple[str, ...]:
    """Return one name or a list of names as a tuple; a name that nothing has is a fault."""
    names = [value] if isinstance(value, str) else value
    if not isinstance(names, list) or not names or not all(isinstance(name, str) for name in names):
        detail = f"{shown(value)} came; kerasd expects the name of a layer or input, or a list of names. Send them."
        faults.append(Fault(pointer=pointer, detail=detail))
        return ()
    for index, name in enumerate(names):
        if name not in known:
            detail = f"No layer or input here is called {shown(name)}.{catalog.similar(name, known)} Name one that is."
            faults.append(Fault(pointer=pointer if isinstance(value, str) else at(pointer, index), detail=detail))
    return tuple(names)


def _input(draft: _Draft, faults: list[Fault]) -> Input:
    for key in draft.given:
        if key not in _INPUT_KEYS:
            detail = f"An Input has no {shown(key)}.{catalog.similar(key, _INPUT_KEYS)} It takes name, shape and dtype."
            faults.append(Fault(pointer=at(draft.pointer, key), detail=detail))
    dtype = draft.given.get("dtype", "float32")
    if dtype not in DTYPES:
        detail = f"`dtype` is {shown(dtype)}; kerasd expects one of {', '.join(DTYPES)}. Send one of these."
        faults.append(Fault(pointer=at(draft.pointer, "dtype"), detail=detail))
    return Input(name=draft.name, shape=_shape(draft, faults), dtype=str(dtype), pointer=draft.pointer)


def _shape(draft: _Draft, faults: list[Fault]) -> Shape | None:
    shape = draft.given.get("shape")
    if shape is None:
        return None
    if isinstance(shape, list) and len(shape) <= MAX_RANK and all(_is_size(size) for size in shape):
        return tuple(shape)
    detail = (
        f"`shape` is {shown(shape)}; kerasd expects a list of at most {MAX_RANK} sizes from 1 to {MAX_SIZE}, or null"
    )
    mend = "The batch is not counted: rows of 20 numbers have the shape [20]."
    faults.append(Fault(pointer=at(draft.pointer, "shape"), detail=f"{detail} for a size that is not fixed. {mend}"))
    return None


def _is_size(size: object) -> bool:
    return size is None or (isinstance(size, int) and not isinstance(size, bool) and 1 <= size <= MAX_SIZE)


def _layer(draft: _Draft, entry: catalog.Entry, faults: list[Fault]) -> Layer:
    given = {key: value for key, value in draft.given.items() if key not in ("type", "name", "inputs")}
    arguments = catalog.check_arguments(entry, given, draft.pointer, faults)
    return Layer(name=draft.name, type=entry.type, arguments=arguments, inputs=draft.inputs, pointer=draft.pointer)


def _outputs(value: dict[str, Any], drafts: list[_Draft], pointer: str, faults: list[Fault]) -> tuple[str, ...]:
    """Return the outputs: those named, or else the layers that feed no other."""
    layers = [draft for draft in drafts if draft.entry is not None]
    if "outputs" not in value:
        feeding = {name for draft in layers for name in draft.inputs}
        return tuple(draft.name for draft in layers if draft.name not in feeding)
    place = at(pointer, "outputs")
    named = _names(value["outputs"], {draft.name for draft in layers}, place, faults)
    for index, name in enumerate(named):
        if name in named[:index]:
            detail = f"The output {shown(name)} came twice; each layer is an output once. Leave this one out."
            faults.append(Fault(pointer=at(place, index), detail=detail))
    return named


def _ordered(layers: list[Layer], faults: list[Fault]) -> tuple[Layer, ...]:
    """Return the layers so that each comes after all that feed it, and otherwise as they were sent."""
    position = {layer.name: index for index, layer in enumerate(layers)}
    waiting = [sum(name in position for name in layer.inputs) for layer in layers]
    fed: dict[str, list[int]] = {}
    for index, layer in enumerate(layers):
        for name in layer.inputs:
            fed.setdefault(name, []).append(index)
    ready = [index for index, count in enumerate(waiting) if count == 0]
    order: list[Layer] = []
    while ready:
        layer = layers[heapq.heappop(ready)]
        order.append(layer)
        for index in fed.get(layer.name, []):
            waiting[index] -= 1
            if waiting[index] == 0:
                heapq.heappush(ready, index)
    for index, layer in enumerate(layers):
        if waiting[index]:
            detail = (
                f"{shown(layer.name)} waits for a layer that waits for it: a cycle. Take one of them out of `inputs`."
            )
            faults.append(Fault(pointer=at(layer.pointer, "inputs"), detail=detail))
    return tuple(order)


def _check_use(drafts: list[_Draft], outputs: tuple[str, ...], faults: list[Fault]) -> None:
    """Append a fault for each layer and input that leads to no output."""
    feeders = {draft.name: draft.inputs for draft in drafts}
    used: set[str] = set()
    open_names = list(outputs)
    while open_names:
        name = open_names.pop()
        if name not in used:
            used.add(name)
            open_names.extend(feeders.get(name, ()))
    for draft in drafts:
        if draft.name not in used:
            detail = f"{shown(draft.name)} leads to no output. Use it, name it in `outputs`, or leave it out."
            faults.append(Fault(pointer=draft.pointer, detail=detail))
