"""Words for faults: a value as a client wrote it, a few names of many, and the nearest of them."""

import difflib
import json
from collections.abc import Iterable, Sequence
from typing import Final

_LONGEST: Final = 60
#: Comparing takes time: of more names than these, those beyond are not compared.
_MOST_COMPARED: Final = 1_000


def shown(value: object) -> str:
    """A value as the beginning of a sentence, however large it is."""
    match value:
        case bool() | None:
            return json.dumps(value)
        case dict():
            return "An object"
        case list() | tuple():
            return f"A list of {len(value)}"
        case str():
            # Half a character, which JSON can hold, cannot be sent back.
            text = json.dumps(value[:_LONGEST], ensure_ascii=False).encode(errors="replace").decode()
            return f"The text {text}{'...' if len(value) > _LONGEST else ''}"
        case bytes():
            return f"Binary content of {len(value)} bytes"
        case int() if value.bit_length() > 128:
            # Python refuses to write an integer of more than 4300 digits.
            return f"An integer of {value.bit_length()} bits"
        case int() | float():
            return f"The number {json.dumps(value)}"
    return f"A {type(value).__name__}"


def listed(names: Sequence[str], most: int = 10) -> str:
    """Names in quotes: all of them, or the first and how many more there are."""
    few = ", ".join(repr(name[:_LONGEST]) for name in names[:most])
    return few + (f" and {len(names) - most} more" if len(names) > most else "")


def similar(name: str, known: Iterable[str]) -> str:
    """` Did you mean ...?` with the nearest names, or nothing where none is near."""
    by_case = {candidate.lower(): candidate for candidate in list(known)[:_MOST_COMPARED]}
    near = difflib.get_close_matches(name[:_LONGEST].lower(), by_case, n=3, cutoff=0.6)
    return f" Did you mean {' or '.join(repr(by_case[key]) for key in near)}?" if near else ""
