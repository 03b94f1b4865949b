"""What separates the cells of CSV files, said or found out."""

import csv
import io
from itertools import islice
from typing import Final

#: What may separate cells, where a client does not say what does.
DELIMITERS: Final = (",", ";", "\t", "|")
#: Where cells are separated by one of these, numbers may have decimal commas, if a client does not say whether they do.
SPREADSHEETS: Final = (";", "\t")
#: How many rows the choice of a delimiter goes by.
_CHOICE_ROWS: Final = 20
_CHOICE_BYTES: Final = 2**16


def delimiter_of(head: bytes, decimal: str | None = None) -> str:
    """The delimiter that as many times as in the first line is in each of the first ones, outside quotes.

    Where several are, it is the one that makes the most columns; where none is, the one that the first line has most.
    With decimal commas, a comma is what is left if the first line has others as often.
    """
    text = head[:_CHOICE_BYTES].decode("utf-8-sig", errors="replace")
    lines = list(io.StringIO(text, newline=""))
    # The last line may be cut.
    whole = lines[:-1] if len(head) > _CHOICE_BYTES and len(lines) > 1 else lines
    candidates = sorted(DELIMITERS, key=lambda one: one == decimal)
    counts = {one: _counts(whole, one) for one in candidates}
    steady = {one: found for one, found in counts.items() if found and found[0] and len(set(found)) == 1}
    choice = steady or {one: found for one, found in counts.items() if found}
    return max(choice, key=lambda one: choice[one][0], default=candidates[0])


def _counts(lines: list[str], delimiter: str) -> list[int]:
    """How many delimiters each of the first rows has."""
    rows = csv.reader(lines, delimiter=delimiter)
    try:
        return [len(row) - 1 for row in islice((row for row in rows if row), _CHOICE_ROWS)]
    except csv.Error:
        return []
