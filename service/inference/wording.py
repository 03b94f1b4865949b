"""The words in which faults of instances are told: what an input is, what came, and an instance that would do."""

import json
import math
from typing import Any

from service.inference.signature import Signature, TensorSpec

#: Above this many numbers an example is described by its lists' sizes instead of written out.
_MOST_NUMBERS = 32
_LONGEST = 60
#: An unfixed size, in an example.
_SOME_STEPS = 2


def expected(spec: TensorSpec) -> str:
    """Describe an input in words: "a list of 7 lists of 3 float32 numbers"."""
    number = f"{spec.dtype} number"
    if not spec.shape:
        return f"one {number}"
    sizes = ["any number of" if size is None else str(size) for size in spec.shape]
    inner = f"{number}{'' if spec.shape[-1] == 1 else 's'}"
    return "a list of " + " lists of ".join(sizes) + f" {inner}"


def shown(value: object) -> str:
    """Show a JSON value as the client wrote it, cut short."""
    if isinstance(value, list):
        return f"A list of {len(value)}"
    if isinstance(value, dict):
        return "An object"
    if isinstance(value, str):
        return f"The string {json.dumps(value[:_LONGEST])}"
    if isinstance(value, int) and not isinstance(value, bool) and value.bit_length() > 128:
        # Python refuses to write an integer of more than 4300 digits.
        return f"an integer of {value.bit_length()} bits"
    return json.dumps(value, default=str)


def example(signature: Signature) -> str:
    """Write an instance that fits the signature, as JSON where it is short."""
    parts = {spec.name: _example(spec) for spec in signature.inputs}
    if len(parts) == 1:
        return next(iter(parts.values()))
    return "{" + ", ".join(f"{json.dumps(name)}: {part}" for name, part in parts.items()) + "}"


def _example(spec: TensorSpec) -> str:
    shape = [_SOME_STEPS if size is None else size for size in spec.shape]
    if math.prod(shape) > _MOST_NUMBERS:
        return expected(spec)
    value: Any = 0.5 if spec.dtype.startswith("float") else 1
    for size in reversed(shape):
        value = [value] * size
    return json.dumps(value)
