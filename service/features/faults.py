"""Sentences that several checks of a request need."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from service.data.fault_list import escape
from service.data.table import ColumnFacts
from service.errors import Fault
from service.features.wording import listed, shown, similar

MEND_KIND: Final = " PUT /v1/datasets/{id}/schema changes the kind of a column."


def within(value: object) -> str:
    """A client's value within a sentence, however large the value is."""
    text = shown(value)
    return text[0].lower() + text[1:]


def near(value: object, known: Sequence[str]) -> str:
    """The nearest of the known words, where a word came at all."""
    return similar(value, known) if isinstance(value, str) else ""


def whole(fault: Fault) -> Fault:
    """The fault in whole characters: half of one, which JSON can hold, cannot be sent back."""
    pointer, detail = (text.encode(errors="replace").decode() for text in (fault.pointer, fault.detail))
    return Fault(pointer=pointer, detail=detail)


def unknown_column(name: object, known: Mapping[str, ColumnFacts], pointer: str) -> Fault:
    """What is wrong with a name that is none of the known columns."""
    if not isinstance(name, str):
        detail = f"{shown(name)} came; the name of a column was expected: one of {listed(tuple(known))}."
        return Fault(pointer=pointer, detail=detail)
    came = f"The data set has no column {name[:60]!r}.{similar(name, known)}"
    return Fault(pointer=pointer, detail=f"{came} Its columns are {listed(tuple(known))}: name one of them.")


def check_keys(value: Mapping[str, Any], known: Sequence[str], subject: str, pointer: str, faults: list[Fault]) -> bool:
    """Whether an object, called `subject`, has known keys alone; each other one has its fault."""
    wrong = [key for key in value if key not in known]
    for key in wrong:
        detail = f"{subject} has no {key[:60]!r}; it has {', '.join(known)}.{similar(key, known)}"
        faults.append(Fault(pointer=f"{pointer}/{escape(key[:64])}", detail=f"{detail} Correct it, or leave it out."))
    return not wrong
