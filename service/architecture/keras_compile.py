"""The `compile_config` that Keras saves with a model becomes kerasd's form of `compile`; nothing of it is executed."""

from typing import Any

from service.architecture.arguments import at, shown
from service.errors import Fault

Json = dict[str, Any]

_KEPT = ("optimizer", "loss", "metrics", "loss_weights")
#: How deep lists and objects of metrics by output may nest, and a schedule in an optimizer.
_MAX_DEPTH = 4
_MODULES = ("keras.losses", "keras.metrics", "keras.optimizers", "keras.src.losses", "keras.src.metrics")


def translate_compile(value: object, pointer: str, faults: list[Fault]) -> Json | None:
    """Return what `check_compile` reads, or None after appending faults.

    How fast Keras was to train (`jit_compile`, `steps_per_execution`, `run_eagerly`) does not come along.
    """
    if not isinstance(value, dict):
        faults.append(Fault(pointer=pointer, detail=f"`compile_config` is {shown(value)}; an object was expected."))
        return None
    if value.get("weighted_metrics"):
        detail = "`weighted_metrics` came, which kerasd does not offer. Compile without them."
        faults.append(Fault(pointer=at(pointer, "weighted_metrics"), detail=detail))
    form = {key: _part(value[key], at(pointer, key), faults, 0) for key in _KEPT if value.get(key) is not None}
    return None if faults else form


def _part(value: Any, pointer: str, faults: list[Fault], depth: int) -> Any:
    """Return a name, a number, an object of Keras, or a list or object of such, in kerasd's form."""
    if depth > _MAX_DEPTH:
        faults.append(Fault(pointer=pointer, detail="This nests deeper than anything that Keras compiles with."))
        return None
    if isinstance(value, list):
        return [_part(one, at(pointer, index), faults, depth + 1) for index, one in enumerate(value)]
    if not isinstance(value, dict):
        return value
    if "class_name" not in value:
        return {key: _part(one, at(pointer, key), faults, depth + 1) for key, one in value.items()}
    return _object(value, pointer, faults, depth)


def _object(value: Json, pointer: str, faults: list[Fault], depth: int) -> Json | None:
    name, module, config = value["class_name"], value.get("module"), value.get("config")
    own = isinstance(module, str) and module.startswith(_MODULES) and value.get("registered_name") in (None, name)
    if not own or not isinstance(config, dict):
        detail = f"{shown(name)} comes from {shown(module)}; kerasd reads Keras's own losses, optimizers and metrics."
        faults.append(Fault(pointer=pointer, detail=detail))
        return None
    kept = {key: one for key, one in config.items() if not _is_left_out(key, one, str(module))}
    return {"type": name} | {
        key: _part(one, at(pointer, "config", key), faults, depth + 1) for key, one in kept.items()
    }


def _is_left_out(key: str, value: Any, module: str) -> bool:
    """Whether it only says what Keras calls an optimizer or a loss, or that it calculates in float32."""
    return (key == "name" and ".metrics" not in module) or (key == "dtype" and value in (None, "float32"))
