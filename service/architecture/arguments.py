"""One argument of the catalog: its type and bounds, and the reading of a client's value for it."""

import json
import math
import re
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any

from service.errors import Fault

#: The longest list that one argument may hold.
MAX_LIST = 65_536
#: The faults told of one list; a list that is wrong throughout would otherwise fill the answer.
MAX_LIST_FAULTS = 8
#: The types whose values are lists.
LISTS = ("integers", "numbers", "pairs", "shape")

_ONE = {
    "integer": "an integer",
    "number": "a number",
    "boolean": "true or false",
    "string": "a string",
    "integers": "an integer",
    "numbers": "a number",
    "pairs": "an integer",
    "shape": "an integer",
    "axis": "an integer",
    "number or schedule": "a schedule or a number",
    "layer": "an object with the `type` of a layer",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Argument:
    """One argument, its type and its bounds; `length` is that of a list, `scalar` says that one value stands for one.

    The types are integer, number, boolean, string, integers, numbers, pairs, shape, axis, "number or schedule", and the
    kinds activation, initializer, regularizer, constraint and layer.
    """

    name: str
    type: str
    required: bool = False
    default: Any = None
    nullable: bool = False
    minimum: float | None = None
    maximum: float | None = None
    exclusive_minimum: float | None = None
    exclusive_maximum: float | None = None
    choices: tuple[str, ...] = ()
    pattern: str | None = None
    length: int | None = None
    scalar: bool = False
    nulls: bool = False

    def to_json(self) -> dict[str, Any]:
        """Return the facts that say something, ready for JSON."""
        row = {one.name: getattr(self, one.name) for one in fields(self)}
        row["choices"] = list(self.choices)
        kept = {key: value for key, value in row.items() if value not in (None, False, [])}
        return kept | ({} if self.required else {"default": self.default})

    def expected(self) -> str:
        """Return what may be sent, as a piece of a sentence: `an integer from 1 to 1048576`."""
        one = _ONE.get(self.type, f"{self.type}") + self._bounds()
        if self.type not in LISTS:
            return one + (" or null" if self.nullable else "")
        each = one if not self.nulls else f"{one} or null"
        many = f"a list of {self.length}" if self.length else "a list"
        single = f"{one}, or " if self.scalar or self.type == "pairs" else ""
        pairs = " (or pairs of such)" if self.type == "pairs" else ""
        return f"{single}{many}, each {each}{pairs}" + (", or null" if self.nullable else "")

    def _bounds(self) -> str:
        if self.choices:
            return f" ({', '.join(self.choices)})"
        if self.pattern is not None:
            return f" that matches {self.pattern}"
        low = f" from {self.minimum:.10g}" if self.minimum is not None else ""
        low = f" above {self.exclusive_minimum:.10g}" if self.exclusive_minimum is not None else low
        high = f" to {self.maximum:.10g}" if self.maximum is not None else ""
        return low + (f" to below {self.exclusive_maximum:.10g}" if self.exclusive_maximum is not None else high)


def read_plain(argument: Argument, value: Any, pointer: str, faults: list[Fault]) -> Any:
    """Return a value that is no choice from the catalog in its normal form, or None after appending faults."""
    if argument.type in LISTS:
        return _read_list(argument, value, pointer, faults)
    if _SINGLE[argument.type](argument, value):
        return float(value) if argument.type in ("number", "number or schedule") else value
    return refuse(argument, value, pointer, faults)


def refuse(argument: Argument, value: object, pointer: str, faults: list[Fault]) -> None:
    """Append the fault of a value that the argument does not take."""
    mend = "Send such a value." if argument.required else f"Send such a value, or leave `{argument.name}` out."
    detail = f"`{argument.name}` has the value {shown(value)}; kerasd expects {argument.expected()}. {mend}"
    faults.append(Fault(pointer=pointer, detail=detail))


def at(pointer: str, *keys: str | int) -> str:
    """Return the JSON Pointer of what lies below `pointer`, escaped as RFC 6901 asks."""
    written = pointer + "".join("/" + str(key).replace("~", "~0").replace("/", "~1") for key in keys)
    # Half a character, which JSON and HDF5 can hold, cannot be sent back.
    return written.encode(errors="replace").decode()


def shown(value: object) -> str:
    """Return a client's value as a short piece of a sentence, however large the value is."""
    if isinstance(value, dict | list | tuple):
        return "an object" if isinstance(value, dict) else f"a list of {len(value)}"
    if isinstance(value, int) and value.bit_length() > 128:
        return "an integer of more than 128 bits"
    text = json.dumps(value, default=str)
    return text if len(text) <= 64 else text[:60] + '..."'


def _read_list(argument: Argument, value: Any, pointer: str, faults: list[Fault]) -> Any:
    """Return the items in their normal form; one value is spread where Keras spreads it, and kept where it does not."""
    single = _SINGLE[argument.type]
    if argument.scalar and not isinstance(value, list):
        if not single(argument, value):
            return refuse(argument, value, pointer, faults)
        return _spread(argument, value)
    if not isinstance(value, list) or not 1 <= len(value) <= MAX_LIST or len(value) != (argument.length or len(value)):
        if isinstance(value, list) and not value and argument.type == "shape":
            return value
        return refuse(argument, value, pointer, faults)
    wrong = [index for index, item in enumerate(value) if not (single(argument, item) or _is_pair(argument, item))]
    for index in wrong[:MAX_LIST_FAULTS]:
        refuse(argument, value[index], at(pointer, index), faults)
    return None if wrong else [_spread_item(argument, item) for item in value]


def _spread(argument: Argument, value: Any) -> Any:
    if argument.type == "numbers":
        return float(value)
    if argument.type == "pairs":
        return [[value, value]] * (argument.length or 1)
    if argument.type == "shape":
        return [value]
    return value if argument.length is None else [value] * argument.length


def _spread_item(argument: Argument, item: Any) -> Any:
    if argument.type == "numbers":
        return float(item)
    return [item, item] if argument.type == "pairs" and not isinstance(item, list) else item


def _is_pair(argument: Argument, value: Any) -> bool:
    whole = argument.type == "pairs" and isinstance(value, list) and len(value) == 2
    return whole and all(_is_integer(argument, side) for side in value)


def _is_string(argument: Argument, value: Any) -> bool:
    if not isinstance(value, str):
        return False
    return value in argument.choices if argument.pattern is None else re.fullmatch(argument.pattern, value) is not None


def _is_size(argument: Argument, value: Any) -> bool:
    return _is_integer(argument, value) or (argument.nulls and value is None)


def _is_integer(argument: Argument, value: Any) -> bool:
    # Python's True is an int, but no client who sends true means 1.
    return isinstance(value, int) and not isinstance(value, bool) and _within(argument, value)


def _is_number(argument: Argument, value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and _within(argument, value)


def _within(argument: Argument, value: float) -> bool:
    if isinstance(value, float) and not math.isfinite(value):
        return False
    return (
        (argument.minimum is None or value >= argument.minimum)
        and (argument.maximum is None or value <= argument.maximum)
        and (argument.exclusive_minimum is None or value > argument.exclusive_minimum)
        and (argument.exclusive_maximum is None or value < argument.exclusive_maximum)
    )


def _is_boolean(_argument: Argument, value: Any) -> bool:
    return isinstance(value, bool)


_SINGLE: dict[str, Callable[[Argument, Any], bool]] = {
    "integer": _is_integer,
    "number": _is_number,
    "boolean": _is_boolean,
    "string": _is_string,
    "integers": _is_integer,
    "numbers": _is_number,
    "pairs": _is_integer,
    "shape": _is_size,
    "axis": _is_integer,
    "number or schedule": _is_number,
}
