"""Starting from a stored version: whether its weights, and its optimizer's state, fit the network that is to train.

A layer takes the weights of the stored layer of its name; one without a namesake starts fresh. All of it is checked
from what is known of both networks, before anything is built.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from service.architecture.compilation import Compilation
from service.architecture.graph import read_architecture
from service.architecture.network import Layer, Plan, PlannedLayer
from service.errors import Fault, NotFound
from service.registry.models import Models, Version

#: The arguments that decide the shapes of weights, or which weights there are.
_SHAPING = (
    "units",
    "filters",
    "kernel_size",
    "depth_multiplier",
    "groups",
    "use_bias",
    "reset_after",
    "center",
    "scale",
    "input_dim",
    "output_dim",
    "equation",
    "bias_axes",
    "num_heads",
    "key_dim",
    "value_dim",
    "head_dim",
    "num_query_heads",
    "num_key_value_heads",
    "use_gate",
)
#: The optimizers' arguments that, when they are not zero, null or false, add to their state.
_KEPT_BY_OPTIMIZER = ("momentum", "amsgrad", "centered", "use_ema", "gradient_accumulation_steps")


@dataclass(frozen=True, slots=True, kw_only=True)
class Initial:
    """A version to start from; `version` None is the newest, `optimizer_state` goes on with its optimizer's state."""

    model: str
    version: int | None
    optimizer_state: bool


def find_initial(initial: Initial, models: Models, faults: list[Fault]) -> Version | None:
    """Return the version to start from, or None after appending a fault."""
    pointer = "/initial/model"
    try:
        model = models.get(initial.model)
        pointer = "/initial/version"
        return models.version(initial.model, model.latest if initial.version is None else initial.version)
    except NotFound as error:
        faults.append(Fault(pointer=pointer, detail=error.detail))
        return None


def check_initial(
    version: Version, plan: Plan, compilation: Compilation | None, optimizer_state: bool, faults: list[Fault]
) -> None:
    """Append a fault for each layer that cannot take its namesake's weights, and for an optimizer that cannot go on."""
    stored = {row["name"]: row for row in version.summary}
    before = len(faults)
    faults.extend(_misfits(version, plan, stored))
    shared = [layer for layer in plan.layers if layer.parameters and layer.name in stored]
    if not shared and len(faults) == before:
        named = ", ".join(repr(row["name"]) for row in version.summary if row["parameters"]) or "none"
        detail = (
            f"No layer with weights has the name of one in {_named(version)}, which has {named}. Name the layers alike"
        )
        faults.append(Fault(pointer="/initial", detail=f"{detail}, or leave initial out."))
    if optimizer_state and compilation is not None:
        faults.extend(_optimizer_misfits(version, plan, compilation))


def _misfits(version: Version, plan: Plan, stored: Mapping[str, dict[str, Any]]) -> Iterator[Fault]:
    earlier, now = _stored_layers(version), {layer.name: layer for layer in plan.network.layers}
    for layer in plan.layers:
        row = stored.get(layer.name)
        if row is None or not (layer.parameters or row["parameters"]):
            continue
        differences = list(_differences(layer, now[layer.name], row, earlier.get(layer.name)))
        if differences:
            detail = (
                f"The layer {layer.name!r} differs from the one of that name in {_named(version)}: "
                f"{', '.join(differences)}. Make it alike, or give it another name to start it fresh."
            )
            yield Fault(pointer=now[layer.name].pointer, detail=detail)


def _differences(planned: PlannedLayer, layer: Layer, row: Mapping[str, Any], earlier: Layer | None) -> Iterator[str]:
    if planned.type != row["type"]:
        yield f"it is of type {planned.type}, there {row['type']}"
        return
    if earlier is not None:
        yield from _argument_differences(layer, earlier)
    if planned.parameters != row["parameters"]:
        yield f"it has {planned.parameters} parameters, there {row['parameters']}"
    elif _is_trainable(layer, planned) and 0 < row["trainable_parameters"] != planned.trainable_parameters:
        yield f"{planned.trainable_parameters} of them are trainable, there {row['trainable_parameters']}"


def _argument_differences(layer: Layer, earlier: Layer) -> Iterator[str]:
    for name in _SHAPING:
        if name in layer.arguments and name in earlier.arguments:
            here, there = _even(layer.arguments[name]), _even(earlier.arguments[name])
            if here != there:
                yield f"its {name} is {here}, there {there}"
    for name, inner in layer.arguments.items():
        if isinstance(inner, Layer) and isinstance(earlier.arguments.get(name), Layer):
            yield from _argument_differences(inner, earlier.arguments[name])


def _even(value: Any) -> Any:
    """One number for all axes means the same as a list of it."""
    if isinstance(value, (list, tuple)) and value and all(one == value[0] for one in value):
        return value[0]
    return value


def _is_trainable(layer: Layer, planned: PlannedLayer) -> bool:
    return bool(layer.arguments.get("trainable", True)) and planned.trainable_parameters > 0


def _stored_layers(version: Version) -> dict[str, Layer]:
    """The stored network's layers by name; none where this release no longer reads its architecture."""
    network = read_architecture(version.architecture, "", [])
    return {} if network is None else {layer.name: layer for layer in network.layers}


def _optimizer_misfits(version: Version, plan: Plan, compilation: Compilation) -> Iterator[Fault]:
    pointer = "/initial/optimizer_state"
    if version.imported is not None or version.compile is None:
        detail = f"{_named(version)} was imported, and an optimizer's state is not, so that there is none to go on from"
        yield Fault(pointer=pointer, detail=f"{detail}. Leave optimizer_state out to start it anew.")
        return
    here, there = _optimizer(compilation.optimizer), _optimizer(version.compile.get("optimizer"))
    if here != there:
        detail = f"{_named(version)} was trained with {_shown(there)}, and this job's optimizer is {_shown(here)}"
        yield Fault(pointer=pointer, detail=f"{detail}. Use the same, or leave optimizer_state out to start it anew.")
    rows = [(row["name"], row["type"], row["parameters"], row["trainable_parameters"]) for row in version.summary]
    layers = [(one.name, one.type, one.parameters, one.trainable_parameters) for one in plan.layers]
    if [row for row in rows if row[2]] != [layer for layer in layers if layer[2]]:
        detail = (
            f"An optimizer's state goes with the very same layers, of which the same are trainable, and those of "
            f"{_named(version)} are others. Use its architecture, or leave optimizer_state out to start it anew."
        )
        yield Fault(pointer=pointer, detail=detail)


def _optimizer(entry: Any) -> tuple[str, tuple[str, ...]]:
    """An optimizer's type, and which of the arguments that add to its state it uses."""
    arguments = entry if isinstance(entry, dict) else {"type": entry}
    return str(arguments["type"]), tuple(name for name in _KEPT_BY_OPTIMIZER if arguments.get(name))


def _shown(optimizer: tuple[str, tuple[str, ...]]) -> str:
    kind, used = optimizer
    return f"{kind} with {' and '.join(used)}" if used else kind


def _named(version: Version) -> str:
    return f"version {version.number} of {version.model!r}"
