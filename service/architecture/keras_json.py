"""The reading of Keras's own `model.to_json()`: its structure becomes kerasd's form, and nothing of it is executed."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from service.architecture import catalog
from service.architecture.arguments import at, shown
from service.errors import Fault

#: Nesting deeper than this is refused; Keras's own files nest a wrapper in a wrapper at most.
MAX_DEPTH = 8
#: More layers than this, operations of masks included, are refused before they are translated.
MAX_NODES = 2048
#: What Keras writes although its constructors do not name it; only the default can be dropped without a change.
_UNNAMED = {
    "zero_output_for_mask": False,
    "unroll": False,
    "rms_scaling": False,
    "activity_regularizer": None,
    "seed": None,
    "data_format": "channels_last",
}
_RENAMED = {"type": "class_name", "shape": "batch_shape", "inputs": "input_layers", "outputs": "output_layers"}
_MODELS = ("Sequential", "Functional", "Model")
_INPUT_SWITCHES = ("sparse", "ragged", "optional")

Json = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Translation:
    """An architecture in kerasd's form, what it was made from, and where in that each of its layers stood."""

    form: Json
    source: Json
    positions: tuple[int, ...]

    def locate(self, root: str, pointer: str) -> str:
        """Return where the client wrote what `pointer`, below `root`, names in the translated form."""
        tokens = pointer[len(root) :].split("/")[1:]
        if len(tokens) > 1 and tokens[0] == "layers":
            tokens[1] = str(self.positions[int(tokens[1])])
        found: list[str] = []
        node: Any = self.source
        for token in tokens:
            if token == "inputs" and "inbound_nodes" in (node if isinstance(node, dict) else {}):
                return at(root, *found, "inbound_nodes")
            for key in _steps(node, token):
                node = _child(node, key)
                found.append(key)
        return at(root, *found)


def is_keras_json(value: object) -> bool:
    """Say whether a value has the form of `model.to_json()`, as text or parsed."""
    return isinstance(value, str) or (isinstance(value, dict) and "class_name" in value)


def is_operation(layer: Json) -> bool:
    """Say whether an entry of a graph is an operation between layers, such as the one that makes a mask."""
    return str(layer.get("module")).startswith("keras.src.ops")


def translate(value: object, pointer: str, faults: list[Fault]) -> Translation | None:
    """Return the translation of a Sequential or Functional model, or None after appending faults."""
    before = len(faults)
    source = _parse(value, pointer, faults)
    if source is None:
        return None
    layers = source.get("config", {}).get("layers") if isinstance(source.get("config"), dict) else None
    if source.get("class_name") not in _MODELS:
        detail = f"The class {shown(source.get('class_name'))} came; kerasd reads Sequential and Functional. Send one."
        faults.append(Fault(pointer=at(pointer, "class_name"), detail=detail))
    elif (
        not isinstance(layers, list) or len(layers) > MAX_NODES or not all(isinstance(layer, dict) for layer in layers)
    ):
        detail = f"`config` has no list of at most {MAX_NODES} layers. Send what `model.to_json()` returns, unchanged."
        faults.append(Fault(pointer=at(pointer, "config"), detail=detail))
    else:
        places = [at(pointer, "config", "layers", index) for index in range(len(layers))]
        graph = source["class_name"] != "Sequential"
        translation = _functional(source, pointer, places, faults) if graph else _sequential(source, places, faults)
        return translation if len(faults) == before else None
    return None


def masked_calls(graph: Json) -> dict[str, frozenset[str]]:
    """Return, for each layer of a graph that Keras wrote, the arguments by which its call is given a mask."""
    return {
        str(layer.get("name")): frozenset(
            key for key, value in _kwargs_of(layer).items() if key.endswith("mask") and any(_tensors(value))
        )
        for layer in graph["config"]["layers"]
        if not is_operation(layer)
    }


def _parse(value: object, pointer: str, faults: list[Fault]) -> Json | None:
    try:
        parsed = json.loads(value) if isinstance(value, str) else value
    except (ValueError, RecursionError) as error:
        reason = str(error) if isinstance(error, ValueError) else "it nests too deeply"
        detail = f"This string is not JSON: {reason}. Send what `model.to_json()` returns, unchanged."
        faults.append(Fault(pointer=pointer, detail=detail))
        return None
    if isinstance(parsed, dict):
        return parsed
    detail = f"The JSON in this string is {shown(parsed)}; kerasd expects an object. Send `model.to_json()`."
    faults.append(Fault(pointer=pointer, detail=detail))
    return None


def _sequential(source: Json, places: list[str], faults: list[Fault]) -> Translation:
    layers = source["config"]["layers"]
    rows = [_layer(layer, place, faults) for layer, place in zip(layers, places, strict=True)]
    return Translation(form={"layers": rows}, source=source, positions=tuple(range(len(rows))))


def _functional(source: Json, pointer: str, places: list[str], faults: list[Fault]) -> Translation:
    config = source["config"]
    nodes = {str(layer.get("name")): layer for layer in config["layers"]}
    masks = _mask_makers(nodes)
    rows: list[Json] = []
    positions: list[int] = []
    for index, layer in enumerate(config["layers"]):
        if str(layer.get("name")) in masks:
            continue
        row = _layer(layer, places[index], faults)
        if layer.get("class_name") != "InputLayer":
            row["inputs"] = _inbound(layer, masks, places[index], faults)
        rows.append(row)
        positions.append(index)
    place = at(pointer, "config")
    ends = {key: _ends(config, f"{key[:-1]}_layers", place, faults) for key in ("inputs", "outputs")}
    return Translation(form={"layers": rows, **ends}, source=source, positions=tuple(positions))


def _ends(config: Json, key: str, pointer: str, faults: list[Fault]) -> list[str]:
    """Return the names of the inputs or outputs: Keras writes one address, a list of them, or an object of them."""
    value = config.get(key)
    rows = list(value.values()) if isinstance(value, dict) else value
    rows = [rows] if _is_address(rows) else rows
    if isinstance(rows, list) and rows and all(_is_address(row) for row in rows):
        return [row[0] for row in rows]
    detail = f"`{key}` must name layers as Keras writes them, [name, 0, 0]. Send `model.to_json()` unchanged."
    faults.append(Fault(pointer=at(pointer, key), detail=detail))
    return []


def _is_address(value: object) -> bool:
    return isinstance(value, list) and len(value) == 3 and isinstance(value[0], str)


def _layer(layer: Json, pointer: str, faults: list[Fault]) -> Json:
    """Return one layer in kerasd's form; its type is looked up later, in the catalog."""
    config = layer.get("config")
    if layer.get("class_name") in _MODELS:
        detail = (
            f"A {layer['class_name']} stands here as a layer; kerasd has none in a model. Put its layers in its place."
        )
        faults.append(Fault(pointer=at(pointer, "class_name"), detail=detail))
        return {}
    _check_origin(layer, pointer, faults, "keras.layers")
    if not isinstance(config, dict):
        detail = "This layer has no `config`. Send what `model.to_json()` returns, unchanged."
        faults.append(Fault(pointer=pointer, detail=detail))
        return {}
    if layer.get("class_name") == "InputLayer":
        return _input(config, pointer, faults)
    name = {"name": layer["name"]} if isinstance(layer.get("name"), str) else {}
    return {"type": layer.get("class_name"), **_config(layer, at(pointer, "config"), faults, 1)} | name


def _input(config: Json, pointer: str, faults: list[Fault]) -> Json:
    for switch in _INPUT_SWITCHES:
        if config.get(switch):
            detail = f"An input with `{switch}` came; kerasd feeds dense arrays only. Set `{switch}` to false."
            faults.append(Fault(pointer=at(pointer, "config", switch), detail=detail))
    row = {"type": "Input"} | {key: config[key] for key in ("name", "dtype") if key in config}
    shape = config.get("batch_shape")
    # The first size is the batch, which is chosen in `fit`.
    return row | ({"shape": shape[1:]} if isinstance(shape, list) else {})


def _config(owner: Json, pointer: str, faults: list[Fault], depth: int) -> Json:
    config = {key: value for key, value in owner["config"].items() if key != "dtype" and not _is_unnamed(key, value)}
    found = {key: _nested(value, at(pointer, key), faults, depth) for key, value in config.items()}
    if owner.get("class_name") == "Bidirectional":
        # Bidirectional sets this switch of its layers itself, whatever they were made with.
        for one in (found.get("layer"), found.get("backward_layer")):
            if isinstance(one, dict):
                one.pop("zero_output_for_mask", None)
    return found


def _is_unnamed(key: str, value: object) -> bool:
    return key in _UNNAMED and value == _UNNAMED[key]


def _nested(value: Any, pointer: str, faults: list[Fault], depth: int) -> Any:
    """Return an initializer, wrapped layer or the like in kerasd's form; plain values stay as they are."""
    if not isinstance(value, dict) or "class_name" not in value:
        return value
    config = value.get("config")
    if depth > MAX_DEPTH or not isinstance(config, dict):
        detail = f"{shown(value['class_name'])} is nothing that kerasd reads from Keras's JSON. Use a part of Keras."
        faults.append(Fault(pointer=pointer, detail=detail))
        return None
    _check_origin(value, pointer, faults, "keras.")
    return {"type": value["class_name"], **_config(value, at(pointer, "config"), faults, depth + 1)}


def _check_origin(value: Json, pointer: str, faults: list[Fault], module: str) -> None:
    """Refuse what is not Keras's own: classes of the client, and operations such as `a + b` between layers."""
    name, registered = value.get("class_name"), value.get("registered_name")
    origin = value.get("module", module)
    if isinstance(origin, str) and origin.startswith(module) and registered in (None, name):
        return
    detail = (
        f"{shown(name)} comes from {shown(origin)}; kerasd reads Keras's own parts. Replace it by a layer of Keras."
    )
    faults.append(Fault(pointer=pointer, detail=detail))


def _inbound(layer: Json, masks: set[str], pointer: str, faults: list[Fault]) -> list[str]:
    """Return the names of the layers that feed one; a layer that is called twice is a fault."""
    place = at(pointer, "inbound_nodes")
    calls = layer.get("inbound_nodes")
    if not isinstance(calls, list) or len(calls) != 1 or not isinstance(calls[0], dict):
        count = len(calls) if isinstance(calls, list) else 0
        detail = f"This layer is called {count} times; kerasd expects one call of each layer. Give each call its layer."
        faults.append(Fault(pointer=place, detail=detail))
        return []
    args, kwargs = calls[0].get("args"), calls[0].get("kwargs")
    kwargs = kwargs if isinstance(kwargs, dict) else {}
    tensors = list(_tensors(args)) + [
        tensor for key in ("query", "value", "key") for tensor in _tensors(kwargs.get(key))
    ]
    for key, value in kwargs.items():
        plain = value is None or value is False or (key == "training" and value is True and _trains_by_default(layer))
        if not (plain or key in ("query", "value", "key") or _is_own_mask(key, value, masks)):
            detail = f"This call passes `{key}`, which kerasd does not carry over. Call the layer without it."
            faults.append(Fault(pointer=at(place, 0, "kwargs", key), detail=detail))
    if not is_operation(layer) and any(not (value is None or value is False) for value in _others(args)):
        detail = "This call passes what is no tensor, which kerasd does not carry over. Call the layer without it."
        faults.append(Fault(pointer=at(place, 0, "args"), detail=detail))
    if any(tensor[2:] != [0] for tensor in tensors):
        detail = "This layer takes a second output of another; in kerasd layers have one. Use the first output."
        faults.append(Fault(pointer=place, detail=detail))
    return [str(tensor[0]) for tensor in tensors]


def _trains_by_default(layer: Json) -> bool:
    """Say whether Keras writes `training` at each call of a layer by itself; `fit` and `predict` override it."""
    entry = catalog.find("layer", str(layer.get("class_name")))
    return entry is not None and entry.family == "preprocessing"


def _tensors(value: Any, depth: int = 0) -> Iterator[list[Any]]:
    """Yield the addresses of all tensors in a call's arguments, in their order."""
    if isinstance(value, dict) and value.get("class_name") == "__keras_tensor__":
        address = value["config"].get("keras_history") if isinstance(value.get("config"), dict) else None
        yield address if isinstance(address, list) and _is_address(address) else ["", 0, 0]
    elif isinstance(value, list) and depth < MAX_DEPTH:
        for item in value:
            yield from _tensors(item, depth + 1)


def _others(value: Any, depth: int = 0) -> Iterator[Any]:
    """Yield whatever is no tensor in a call's arguments, such as `True` for `training`."""
    if isinstance(value, list) and depth < MAX_DEPTH:
        for item in value:
            yield from _others(item, depth + 1)
    elif not (isinstance(value, dict) and value.get("class_name") == "__keras_tensor__"):
        yield value


def _calls(node: Json) -> list[Json]:
    calls = node.get("inbound_nodes")
    return [call for call in calls if isinstance(call, dict)] if isinstance(calls, list) else []


def _kwargs_of(node: Json) -> Json:
    kwargs = [call["kwargs"] for call in _calls(node) if isinstance(call.get("kwargs"), dict)]
    return kwargs[0] if kwargs else {}


def _fed_by(node: Json) -> set[str]:
    return {str(tensor[0]) for call in _calls(node) for tensor in _tensors(call.get("args"))}


def _sources(name: str, nodes: dict[str, Json]) -> set[str]:
    """Return the layers that feed an operation, through other operations."""
    seen: set[str] = set()
    open_names = [name]
    while open_names:
        one = open_names.pop()
        if one not in seen:
            seen.add(one)
            open_names.extend(_fed_by(nodes[one]) if one in nodes and is_operation(nodes[one]) else ())
    return {one for one in seen if one not in nodes or not is_operation(nodes[one])}


def _mask_makers(nodes: dict[str, Json]) -> set[str]:
    """Return the operations that compute the mask which an Embedding or Masking layer makes again by itself."""
    masking = [one for one in nodes.values() if one.get("class_name") == "Masking" or _config_of(one).get("mask_zero")]
    feeding = {name for node in masking for name in _fed_by(node)}
    makers = set()
    for name, node in nodes.items():
        if is_operation(node) and node.get("class_name") in ("NotEqual", "Any"):
            sources = _sources(name, nodes)
            makers |= {name} if sources and sources <= feeding else set()
    return makers


def _config_of(node: Json) -> Json:
    config = node.get("config")
    return config if isinstance(config, dict) else {}


def _is_own_mask(key: str, value: Any, masks: set[str]) -> bool:
    names = {str(tensor[0]) for tensor in _tensors(value)}
    return key.endswith("mask") and bool(names) and names <= masks


def _steps(node: Any, token: str) -> Iterator[str]:
    """Yield the keys that lead from a node of the source to what the translated form calls `token`."""
    renamed = _RENAMED.get(token, token)
    if isinstance(node, dict) and token not in node:
        if renamed in node:
            yield renamed
            return
        config = _config_of(node)
        if "config" in node:
            yield "config"
        yield renamed if renamed in config else token
        return
    yield token


def _child(node: Any, key: str) -> Any:
    if isinstance(node, dict):
        return node.get(key)
    return node[int(key)] if isinstance(node, list) and key.isdigit() and int(key) < len(node) else None
