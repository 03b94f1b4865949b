"""Long lists of numbers, lifted out of a request under the Open Inference Protocol before it is read as JSON.

A JSON parser makes a Python object of each number, which takes many times as long as to read them. So each flat list
under a key `data` is read by `plain.flat_numbers`, and a stand-in takes its place in the JSON, which is short then.
Where anything is not just so, the request is read as any other: nothing is lifted.
"""

import re
import secrets
from typing import Any

import numpy as np
import orjson

from service.inference.plain import flat_numbers

Array = np.ndarray[Any, Any]

#: Shorter requests are read as quickly without.
LEAST_BYTES = 2**12
_KEY = b'"data"'
_OPENS = re.compile(rb"[ \t\r\n]*:[ \t\r\n]*\[")
#: Numbers of other types than these may be larger than what a float64 holds exactly.
_DATATYPES = ("FP16", "FP32", "FP64")
#: No client knows it.
_STAND_IN = secrets.token_hex(16)


def read_lifted(content: bytes) -> dict[str, Any] | None:
    """The request, a JSON object, whose inputs have arrays of float64, (numbers,), for `data`.

    None where not all inputs can have these.
    """
    parts = _lift(content)
    if parts is None:
        return None
    arrays, shortened = parts
    try:
        body = orjson.loads(shortened)
    except orjson.JSONDecodeError:
        return None
    inputs = body.get("inputs") if isinstance(body, dict) else None
    for given in inputs if isinstance(inputs, list) else ():
        array = arrays.pop(given.get("data"), None) if _is_of_floats(given) else None
        if array is None:
            return None
        given["data"] = array
    # What stood in for a list elsewhere must not be taken for what the client sent.
    return None if arrays else body


def _lift(content: bytes) -> tuple[dict[str, Array], bytes] | None:
    """The lists by what stands in for them, and the rest of the request with these."""
    arrays: dict[str, Array] = {}
    rest: list[bytes] = []
    done = seen = 0
    while (place := content.find(_KEY, seen)) >= 0:
        seen = place + len(_KEY)
        opens = _OPENS.match(content, seen)
        if opens is None:
            continue
        end = content.find(b"]", opens.end())
        numbers = None if end < 0 else flat_numbers(content[opens.end() : end])
        if numbers is None:
            return None
        stand_in = f"{_STAND_IN}{len(arrays)}"
        arrays[stand_in] = numbers
        rest += (content[done : opens.end() - 1], b'"%b"' % stand_in.encode())
        done = seen = end + 1
    return arrays, b"".join([*rest, content[done:]])


def _is_of_floats(given: object) -> bool:
    return isinstance(given, dict) and given.get("datatype") in _DATATYPES and isinstance(given.get("data"), str)
