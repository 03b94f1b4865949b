"""The configuration in a `.keras` file becomes a planned network in the catalog's terms, or every fault that it has."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from service.architecture import keras_json
from service.architecture.arguments import at, shown
from service.architecture.compilation import Compilation, check_compile, output_activations
from service.architecture.graph import read_architecture
from service.architecture.keras_compile import translate_compile
from service.architecture.keras_file import CONFIG
from service.architecture.network import Network, Plan
from service.architecture.plan import Limits, make_plan
from service.errors import Fault, Invalid

_ROOT = at("", CONFIG)
#: Keras itself writes these beside the model's own configuration.
_BESIDE = ("build_config", "compile_config")
#: Faults beyond these say nothing new.
_MAX_FAULTS = 100

Json = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class KerasModel:
    """A model in a `.keras` file: what is built for it, and the names of its layers in the order in which it has them.

    `compilation` is None where the file has none or one that kerasd does not offer; `compile_reason` says which.
    """

    plan: Plan
    layer_names: tuple[str, ...]
    compilation: Compilation | None
    compile_reason: str | None


def plan_model(config: Json, limits: Limits) -> KerasModel:
    """Check a file's `config.json` and plan its network, before anything is built; raises Invalid with all faults."""
    faults: list[Fault] = []
    model = {key: value for key, value in config.items() if key not in _BESIDE}
    network = _network(model, faults)
    faults.extend(_unlike_keras(model))
    plan = None if network is None or faults else _plan(network, limits, faults)
    if plan is None or faults:
        raise Invalid(_headline(faults), faults[:_MAX_FAULTS])
    compilation, reason = _compilation(config.get("compile_config"), plan)
    # Operations, such as those that make a mask, are no layers and have no weights.
    layers = [layer for layer in model["config"]["layers"] if not keras_json.is_operation(layer)]
    names = tuple(str(layer["config"]["name"]) for layer in layers)
    return KerasModel(plan=plan, layer_names=names, compilation=compilation, compile_reason=reason)


def check_masks(config: Json, rebuilt: Json) -> None:
    """Refuse a graph in which masks reach other layers than they do in what was `rebuilt`, as Keras writes that.

    Releases of Keras differ in which layers pass a mask on. A Sequential model says nothing of it, and is built anew by
    Keras itself.
    """
    if config["class_name"] == "Sequential":
        return
    theirs, ours = keras_json.masked_calls(config), keras_json.masked_calls(rebuilt)
    faults = [
        Fault(
            pointer=at(_ROOT, "config", "layers", index, "inbound_nodes"),
            detail=_unlike_masks(theirs[name], ours[name]),
        )
        for index, name in enumerate(str(layer.get("name")) for layer in config["config"]["layers"])
        if theirs.get(name, frozenset()) != ours.get(name, frozenset())
    ]
    if faults:
        raise Invalid(_headline(faults), faults[:_MAX_FAULTS])


def _unlike_masks(theirs: frozenset[str], ours: frozenset[str]) -> str:
    called, built = (", ".join(f"`{name}`" for name in sorted(names)) or "no mask" for names in (theirs, ours))
    return (
        f"This call is given {called} in the file, and {built} when Keras builds the model now, so that its answers "
        "would be others. Build the model anew with the present Keras, load the weights into it, and save it."
    )


def _network(model: Json, faults: list[Fault]) -> Network | None:
    if keras_json.is_keras_json(model):
        return read_architecture(model, _ROOT, faults)
    detail = "This is no model as Keras writes it: it has no `class_name`. Write it with `model.save`."
    faults.append(Fault(pointer=_ROOT, detail=detail))
    return None


def _unlike_keras(model: Json) -> Iterator[Fault]:
    """Yield what would make the predictions differ from Keras's, although the architecture can be built.

    A job may drop these, since it trains anew; an import may not.
    """
    layers = model["config"].get("layers") if isinstance(model.get("config"), dict) else None
    for index, layer in enumerate(layers if isinstance(layers, list) else []):
        if isinstance(layer, dict):
            pointer = at(_ROOT, "config", "layers", index)
            yield from _misnamed(layer, pointer)
            if layer.get("class_name") != "InputLayer":
                yield from _dtype_faults(layer, pointer, 0)


def _misnamed(layer: Json, pointer: str) -> Iterator[Fault]:
    """Keras writes a graph's layers' names twice; what goes by one must find what goes by the other."""
    config = layer.get("config")
    own = config.get("name") if isinstance(config, dict) else None
    if layer.get("name", own) != own or not isinstance(own, str):
        detail = (
            f"This layer is called {shown(layer.get('name'))} and {shown(own)}; one name was expected. Save it anew."
        )
        yield Fault(pointer=at(pointer, "name"), detail=detail)


def _dtype_faults(owner: Json, pointer: str, depth: int) -> Iterator[Fault]:
    """Yield a fault for each layer that calculates in something else than float32, wrapped ones included."""
    config = owner.get("config")
    if not isinstance(config, dict) or depth > keras_json.MAX_DEPTH:
        return
    policy = config.get("dtype")
    named = policy.get("config") if isinstance(policy, dict) else None
    name = named.get("name") if isinstance(named, dict) else policy
    if name not in (None, "float32"):
        detail = f"This layer's dtype is {shown(name)}; kerasd calculates in float32. Set it to float32 and save anew."
        yield Fault(pointer=at(pointer, "config", "dtype"), detail=detail)
    for key, value in config.items():
        if key != "dtype" and isinstance(value, dict):
            yield from _dtype_faults(value, at(pointer, "config", key), depth + 1)


def _plan(network: Network, limits: Limits, faults: list[Fault]) -> Plan | None:
    for one in network.inputs:
        if one.shape is None:
            detail = f"The input {one.name!r} has no shape: the model was saved before it was built, so that it has no "
            detail += "weights either. Give it a keras.Input, or call it once, train it, and save it again."
            faults.append(Fault(pointer=one.pointer, detail=detail))
    found: list[Fault] = []
    plan = None if faults else make_plan(network, (), found, limits)
    # What concerns the network as a whole is told of the whole configuration.
    faults.extend(replace(fault, pointer=_ROOT) if fault.pointer == "/architecture" else fault for fault in found)
    return plan


def _compilation(compile_config: object, plan: Plan) -> tuple[Compilation | None, str | None]:
    """The file's compilation, or None and why it was left out; that never keeps a model from being imported."""
    if not compile_config:
        return None, "The file has no compilation."
    faults: list[Fault] = []
    root = at(_ROOT, "compile_config")
    translated = translate_compile(compile_config, root, faults)
    compilation = None
    if translated is not None and not faults:
        activations = output_activations(plan.network)
        compilation = check_compile(translated, plan.output_shapes, (), activations, root, faults)
    if compilation is None:
        return None, f"The file's compilation was left out. {faults[0].pointer}: {faults[0].detail}"
    return compilation, None


def _headline(faults: list[Fault]) -> str:
    if len(faults) == 1:
        return f"One thing in the file is not what kerasd can serve: {faults[0].detail}"
    return f"{len(faults)} things in the file are not what kerasd can serve: see errors for each, and how to mend it."
