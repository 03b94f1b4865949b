"""The closed catalog: everything that a network, `compile` or `fit` may name, with typed and bounded arguments."""

import difflib
import functools
import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from importlib import resources
from typing import Any

from service.architecture.arguments import Argument, at, read_plain, refuse, shown
from service.architecture.contradictions import contradictions
from service.architecture.network import Layer
from service.errors import Fault

KINDS = (
    "layer",
    "activation",
    "initializer",
    "regularizer",
    "constraint",
    "loss",
    "optimizer",
    "schedule",
    "metric",
    "callback",
)
#: Choices nested deeper than this are refused before they are read.
MAX_DEPTH = 6

_A = {kind: f"{'an' if kind[0] in 'aio' else 'a'} {kind}" for kind in KINDS}

#: The unknown arguments of one object that are compared with the known ones; comparing takes time.
MAX_HINTS = 16

NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,63}")
NAME_RULE = "letters, digits, `_` and `-`, a letter first, at most 64 characters"


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One thing that a client may name. `inputs` is how few and how many layers may feed a layer.

    `left_out` holds arguments of Keras that are not offered, with Keras's defaults: only these defaults are accepted.
    """

    kind: str
    type: str
    aliases: tuple[str, ...]
    arguments: tuple[Argument, ...]
    left_out: dict[str, Any] = field(hash=False)
    family: str | None = None
    inputs: tuple[int, int] = (1, 1)

    def to_json(self) -> dict[str, Any]:
        """Return what `GET /v1/catalog` shows, ready for JSON; arguments that are not offered are not shown."""
        row: dict[str, Any] = {"kind": self.kind, "type": self.type, "aliases": list(self.aliases)}
        if self.kind == "layer":
            row |= {"family": self.family, "inputs": {"minimum": self.inputs[0], "maximum": self.inputs[1]}}
        return row | {"arguments": [argument.to_json() for argument in self.arguments]}


def entries(kind: str | None = None) -> tuple[Entry, ...]:
    """Return all entries, or those of one kind, in the catalog's order."""
    return tuple(entry for entry in _load() if kind in (None, entry.kind))


def find(kind: str, name: str) -> Entry | None:
    """Return the entry of that type or alias. Case counts as in Keras: not at all for optimizers, elsewhere it does."""
    return _index().get((kind, name)) or (_index().get((kind, name.lower())) if kind == "optimizer" else None)


def check(kind: str, value: object, pointer: str, faults: list[Fault], *, depth: int = 0) -> Any:
    """Return the normal form of a name, or of an object with `type` and arguments; None after appending faults.

    A name comes back as the entry's type. An object comes back as {"type": ..., all arguments}, or as the type alone
    where the entry has no arguments.
    """
    if isinstance(value, str):
        entry, given = _named(kind, value, pointer, faults), {}
    elif isinstance(value, dict) and depth < MAX_DEPTH:
        entry, given = typed(kind, value, pointer, faults), {key: value[key] for key in value if key != "type"}
    else:
        expected = f"the name of {_A[kind]}, or an object with `type` and its arguments"
        faults.append(
            Fault(pointer=pointer, detail=f"{shown(value)} came; kerasd expects {expected}. Send one of them.")
        )
        return None
    if entry is None:
        return None
    before = len(faults)
    arguments = check_arguments(entry, given, pointer, faults, depth=depth)
    if len(faults) > before:
        return None
    return entry.type if isinstance(value, str) or not entry.arguments else {"type": entry.type, **arguments}


def check_arguments(
    entry: Entry, given: dict[str, Any], pointer: str, faults: list[Fault], *, depth: int = 0
) -> dict[str, Any]:
    """Return all arguments of an entry, defaults filled in; what is wrong is appended to `faults`.

    Numbers come back as floats, and one integer that Keras would spread over a list comes back as that list.
    """
    before = len(faults)
    faults.extend(_unknown(entry, given, pointer))
    result: dict[str, Any] = {}
    for argument in entry.arguments:
        if argument.required and argument.name not in given:
            faults.append(
                Fault(pointer=pointer, detail=f"{entry.type} lacks `{argument.name}`. Send {argument.expected()}.")
            )
            continue
        value = given.get(argument.name, argument.default)
        result[argument.name] = _read(argument, value, at(pointer, argument.name), faults, depth)
    if len(faults) == before:
        faults.extend(contradictions(result, pointer))
    return result


def typed(kind: str, value: dict[str, Any], pointer: str, faults: list[Fault]) -> Entry | None:
    """Return the entry that an object's `type` names, or None after appending a fault."""
    if isinstance(value.get("type"), str):
        return _named(kind, value["type"], at(pointer, "type"), faults)
    if "type" in value:
        detail = f"`type` came as {shown(value['type'])}; kerasd expects the name of {_A[kind]}. Send it as a string."
        faults.append(Fault(pointer=at(pointer, "type"), detail=detail))
    else:
        detail = f"This object has no `type`, so it does not say which {kind} it is. Add `type`."
        faults.append(Fault(pointer=pointer, detail=detail))
    return None


def default_name(type_name: str) -> str:
    """Return the name that Keras gives to the first unnamed layer of a type: `Conv2D` is `conv2d`."""
    name = re.sub("(.)([A-Z][a-z]+)", r"\1_\2", type_name)
    return re.sub("([a-z])([A-Z])", r"\1_\2", name).lower()


def similar(name: str, known: Iterable[str]) -> str:
    """Return ` Did you mean ...?` with the nearest known names, or nothing where none is near."""
    by_case = {candidate.lower(): candidate for candidate in known}
    near = difflib.get_close_matches(name[:64].lower(), by_case, n=3, cutoff=0.6)
    return f" Did you mean {' or '.join(f'`{by_case[key]}`' for key in near)}?" if near else ""


@functools.cache
def _load() -> tuple[Entry, ...]:
    text = resources.files("service.architecture").joinpath("catalog.json").read_text(encoding="utf-8")
    return tuple(_entry(row) for row in json.loads(text))


@functools.cache
def _index() -> dict[tuple[str, str], Entry]:
    return {(entry.kind, name): entry for entry in _load() for name in (*entry.aliases, entry.type)}


def _entry(row: dict[str, Any]) -> Entry:
    arguments = tuple(Argument(**one | {"choices": tuple(one.get("choices", ()))}) for one in row["arguments"])
    return Entry(
        **row | {"aliases": tuple(row["aliases"]), "arguments": arguments, "inputs": tuple(row.get("inputs", (1, 1)))}
    )


def _named(kind: str, name: str, pointer: str, faults: list[Fault]) -> Entry | None:
    entry = find(kind, name)
    if entry is None:
        hint = similar(name, [known for family, known in _index() if family == kind])
        detail = f"There is no {kind} {shown(name)}.{hint} GET /v1/catalog lists all there are."
        faults.append(Fault(pointer=pointer, detail=detail))
    return entry


def _unknown(entry: Entry, given: dict[str, Any], pointer: str) -> Iterator[Fault]:
    known = [argument.name for argument in entry.arguments]
    strange = [name for name in given if name not in known]
    for index, name in enumerate(strange):
        if name in entry.left_out and given[name] == entry.left_out[name]:
            continue
        if name in entry.left_out:
            detail = f"`{name}` of {entry.type} came as {shown(given[name])}; kerasd does not offer it. Leave it out."
        elif entry.kind == "layer" and name in ("input_shape", "input_dim", "batch_input_shape", "batch_shape"):
            detail = f'kerasd does not read `{name}` on a layer. Put {{"type": "Input", "shape": [...]}} before it.'
        else:
            offered = f"It takes {', '.join(f'`{one}`' for one in known)}." if known else "It takes none."
            hint = similar(name, known) if index < MAX_HINTS else ""
            detail = f"{entry.type} has no argument {shown(name)}.{hint} {offered}"
        yield Fault(pointer=at(pointer, name), detail=detail)


def _read(argument: Argument, value: Any, pointer: str, faults: list[Fault], depth: int) -> Any:
    """Return one argument in its normal form, or None after appending faults."""
    if value is None and argument.nullable:
        return None
    if argument.type in KINDS:
        if argument.type == "layer":
            return _read_layer(argument, value, pointer, faults, depth + 1)
        return check(argument.type, value, pointer, faults, depth=depth + 1)
    if argument.type == "number or schedule" and isinstance(value, str | dict):
        return check("schedule", value, pointer, faults, depth=depth + 1)
    return read_plain(argument, value, pointer, faults)


def _read_layer(argument: Argument, value: Any, pointer: str, faults: list[Fault], depth: int) -> Layer | None:
    if not isinstance(value, dict) or depth > MAX_DEPTH:
        refuse(argument, value, pointer, faults)
        return None
    entry = typed("layer", value, pointer, faults)
    if entry is None:
        return None
    if entry.type not in argument.choices:
        refuse(argument, entry.type, at(pointer, "type"), faults)
        return None
    given = {key: value[key] for key in value if key not in ("type", "name")}
    name = value.get("name", default_name(entry.type))
    if not isinstance(name, str) or not NAME.fullmatch(name):
        detail = f"The name {shown(name)} cannot be used; names are {NAME_RULE}. Choose another."
        faults.append(Fault(pointer=at(pointer, "name"), detail=detail))
    arguments = check_arguments(entry, given, pointer, faults, depth=depth)
    return Layer(name=str(name), type=entry.type, arguments=arguments, inputs=(), pointer=pointer)
