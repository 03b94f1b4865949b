"""What columns mean, guessed from how they are stored and, where that is as texts, from what the texts are.

- Names of files, folders and sequences are categories, also where they are numbers.
- Numbers are numeric, whole ones too: whether 1, 2 and 3 are names is the client's to say. Booleans are categories,
  and moments dates. Images and sequences are what they are.
- Texts are numeric where at least 95 in 100 are numbers, unless 1 in 100 begins with a zero before another digit: that
  is how postal codes and other names are written.
- Else they are dates where at least 95 in 100 are dates in ISO 8601.
- Else they are categories where they have one word on average (at most 1.5), or where they are few: no more different
  ones than 20, or than twice the root of the number of cells, and each twice on average.
- All others are text.

Missing cells, and those of a text of length zero, do not count. Of a table of more than MAX_ROWS rows, slices are
looked at that lie evenly in it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Set
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from service.data.fault_list import escape
from service.data.parsing import dates_of, numbers_of
from service.data.profiling.bounds import Bounds, slices
from service.data.profiling.cells import cells_of, filled
from service.data.profiling.sketches import Distinct
from service.data.profiling.texts import word_counts
from service.data.table import ColumnFacts, Kind, Type, batches
from service.errors import Fault, Invalid

if TYPE_CHECKING:
    import pyarrow as pa

#: The kinds that a column can have, by how it is stored; the first is the one guessed, but for texts.
ALLOWED: Final[Mapping[Type, tuple[Kind, ...]]] = {
    "float64": (Kind.NUMERIC, Kind.CATEGORY),
    "int64": (Kind.NUMERIC, Kind.CATEGORY),
    "bool": (Kind.CATEGORY, Kind.NUMERIC),
    "string": (Kind.CATEGORY, Kind.TEXT, Kind.NUMERIC, Kind.DATE),
    "timestamp": (Kind.DATE, Kind.CATEGORY),
    "image": (Kind.IMAGE,),
    "sequence": (Kind.SEQUENCE,),
}

#: The texts of about so many rows are looked at.
MAX_ROWS: Final = 262_144

_LEADING_ZERO: Final = "^[ ]*[+-]?0[0-9]"


@dataclass(frozen=True, slots=True, kw_only=True)
class Guess:
    """What a column means; `reason` is a sentence for the client."""

    kind: Kind
    reason: str


def check_kinds(kinds: Mapping[str, Any], types: Mapping[str, Type]) -> dict[str, Kind]:
    """The kinds that a client names for columns stored as `types`; raises Invalid with all that is wrong with them."""
    faults = []
    for name, kind in kinds.items():
        pointer = f"/columns/{escape(name[:200])}"
        if name not in types:
            shown = ", ".join(map(repr, list(types)[:20])) + (", ..." if len(types) > 20 else "")
            detail = f"There is no column {name[:60]!r}; the columns are {shown}. Name one of them."
            faults.append(Fault(pointer=pointer, detail=detail))
        elif kind not in ALLOWED[types[name]]:
            due = ", ".join(f'"{one.value}"' for one in ALLOWED[types[name]])
            came = f"The kind {str(kind)[:60]!r} came for the column {name[:60]!r}, stored as {types[name]}"
            faults.append(Fault(pointer=pointer, detail=f"{came}; expected one of {due}. Choose among these."))
    if faults:
        raise Invalid(f"The columns cannot be of these kinds: {len(faults)} are wrong. See `errors`.", faults[:20])
    return {name: Kind(kind) for name, kind in kinds.items()}


def guess_kinds(
    folder: Path, types: Mapping[str, Type], given: Mapping[str, Kind], names: Set[str] = frozenset()
) -> dict[str, Guess]:
    """The kinds of all columns: those in `given` are the client's, even where another would be guessed.

    Columns in `names` hold names.
    """
    texts = [name for name, stored in types.items() if stored == "string" and name not in names]
    guesses = _guess_texts(folder, texts) if texts else {}
    for name in names:
        guesses[name] = Guess(kind=Kind.CATEGORY, reason="Its values are names of files, folders or sequences.")
    for name, stored in types.items():
        guesses.setdefault(name, Guess(kind=ALLOWED[stored][0], reason=f"It is stored as {stored}."))
    said = {name: Guess(kind=kind, reason="The client said so.") for name, kind in given.items()}
    return {name: guesses[name] if given.get(name) in (None, guesses[name].kind) else said[name] for name in types}


def _guess_texts(folder: Path, names: list[str]) -> dict[str, Guess]:
    rows = sum(batch.num_rows for batch in batches(folder, names))
    bounds = Bounds.of(len(names))
    columns = {name: _Texts(name, min(rows, 2 * MAX_ROWS), bounds.distinct) for name in names}
    # One slice of every `stride` is looked at.
    stride = math.ceil(rows / MAX_ROWS)
    for piece in islice(slices(folder, names), 0, None, max(1, stride)):
        for name, column in columns.items():
            column.add(piece.column(name))
    return {name: column.guess() for name, column in columns.items()}


class _Texts:
    """What has been seen of a column of texts. A kind that can no longer come to 95 in 100 is not looked for again.

    No more than `rows` are shown to it.
    """

    def __init__(self, name: str, rows: int, bound: int) -> None:
        self._facts = ColumnFacts(name=name, type="string", kind=Kind.CATEGORY)
        self._most_wrong = rows // 20
        self._present = self._words = self._zeros = 0
        self._no_numbers = self._no_dates = 0
        self._distinct = Distinct(bound)

    def add(self, array: pa.Array) -> None:
        array = filled(array, self._facts)
        cells = cells_of(array, self._facts, few=True)
        assert cells.dictionary is not None
        self._present += int((~cells.missing).sum())
        self._distinct.add(cells.dictionary.hashes)
        self._words += int((word_counts(cells.dictionary.values) * cells.dictionary.rows).sum())
        if self._no_numbers <= self._most_wrong:
            self._no_numbers += int(numbers_of(array)[1].sum())
            self._zeros += _leading_zeros(array)
        if self._no_dates <= self._most_wrong:
            self._no_dates += int(dates_of(array)[1].sum())

    def guess(self) -> Guess:
        present, distinct = self._present, self._distinct.count
        if not present:
            return Guess(kind=Kind.CATEGORY, reason="It is stored as string, and all of its cells are missing.")
        coded = self._zeros * 100 >= present
        if self._no_numbers * 20 <= present and not coded:
            reason = f"{present - self._no_numbers} of {present} texts in it are numbers."
            return Guess(kind=Kind.NUMERIC, reason=reason)
        if self._no_dates * 20 <= present:
            return Guess(kind=Kind.DATE, reason=f"{present - self._no_dates} of {present} texts in it are dates.")
        words = self._words / present
        facts = f"{present} texts in it have {words:.1f} words on average, and {distinct} of them differ."
        few = distinct <= max(20, 2 * math.sqrt(present)) and distinct * 2 <= present
        kind = Kind.CATEGORY if words <= 1.5 or few else Kind.TEXT
        if self._no_numbers * 20 <= present:
            kind, facts = Kind.CATEGORY, f"Texts in it are numbers, but {self._zeros} begin with a zero, as codes do."
        return Guess(kind=kind, reason=facts)


def _leading_zeros(array: pa.Array) -> int:
    """How many texts begin with a zero and another digit, and have neither point nor dash as numbers and dates do."""
    import pyarrow.compute as pc

    return pc.sum(pc.match_substring_regex(array, f"{_LEADING_ZERO}[0-9]*[ ]*$")).as_py() or 0
