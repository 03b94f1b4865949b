"""The profile of a table, made as it arrives: what its columns mean and hold, and what is the matter with them.

It runs in a child process and reads the table twice, slice by slice (three times where there are texts, whose kinds are
guessed first); what it remembers is bounded by `Bounds`, whatever the number of rows. The same table has the same
profile, byte for byte. In its JSON all numbers are finite, and texts of cells are cut to 100 characters.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from service.data.profiling.bounds import Bounds, sample_rows, slices
from service.data.profiling.column import Column
from service.data.profiling.copies import RepeatedRows, joined, salts
from service.data.profiling.findings import findings, limited
from service.data.profiling.kinds import Guess, check_kinds, guess_kinds
from service.data.table import ColumnFacts, Kind, batches, stored_names, stored_origins, stored_types
from service.errors import Fault, Invalid

_TARGETS: Final = ("target", "label", "labels", "class", "y", "outcome")
_FEW_CLASSES: Final = 20


def profile_table(
    folder: Path, kinds: Mapping[str, Kind] | None = None, target: str | None = None
) -> tuple[tuple[ColumnFacts, ...], dict[str, Any]]:
    """Say what the columns of the table in `folder` mean, and describe them.

    The kinds that `kinds` names are the client's; the others are guessed, as `service.data.profiling.kinds` says.
    `target` is the column that is to be learned; without it one is proposed. Raises Invalid for a column that is not
    there, or a kind that it cannot have.
    """
    types = stored_types(folder)
    guesses = guess_kinds(folder, types, check_kinds(kinds or {}, types), stored_names(folder))
    if target is not None and target not in types:
        detail = f"There is no column {target[:60]!r} to be the target. Name one of the table's columns."
        raise Invalid(detail, [Fault(pointer="/target", detail=detail)])
    origins = stored_origins(folder)
    facts = tuple(
        ColumnFacts(name=name, type=types[name], kind=guess.kind, origin=origins.get(name))
        for name, guess in guesses.items()
    )
    return facts, _profile(folder, facts, guesses, target)


def _profile(
    folder: Path, facts: Sequence[ColumnFacts], guesses: Mapping[str, Guess], target: str | None
) -> dict[str, Any]:
    bounds = Bounds.of(len(facts))
    rows = sum(batch.num_rows for batch in batches(folder))
    sampled = sample_rows(rows, bounds.sampled)
    columns = [Column(fact, guesses[fact.name].reason, bounds, len(sampled)) for fact in facts]
    repeated = _survey(folder, columns, sampled)
    _fill_histograms(folder, columns)
    warnings, left_out = limited(findings(columns, repeated))
    return {
        "rows": rows,
        "sampled_rows": len(sampled),
        "target": _named_target(target) if target is not None else _likely_target(columns),
        "columns": [column.to_json() for column in columns],
        "warnings": [finding.to_json() for finding in warnings],
        "warnings_left_out": left_out,
    }


def _survey(folder: Path, columns: Sequence[Column], sampled: np.ndarray[Any, Any]) -> RepeatedRows:
    """The first pass: all but the histograms."""
    repeated = RepeatedRows()
    for piece in slices(folder):
        first, salt = piece.first, salts(piece.first, piece.rows)
        rows = np.zeros(piece.rows, np.uint64)
        places = slice(*np.searchsorted(sampled, [first, first + piece.rows]).tolist())
        for column in columns:
            cells = column.read(piece.column(column.name))
            column.add(cells, first, salt)
            column.add_sample(cells, places, sampled[places] - first)
            rows = joined(rows, cells.hashes)
        repeated.add(rows, first)
    return repeated


def _fill_histograms(folder: Path, columns: Sequence[Column]) -> None:
    """The second pass, now that the ends of the bins are known."""
    drawn = [column for column in columns if column.begin_histogram()]
    for piece in slices(folder, [column.name for column in drawn]) if drawn else ():
        for column in drawn:
            column.add_to_histogram(piece.column(column.name))


def _named_target(name: str) -> dict[str, Any]:
    return {"column": name, "reason": "The client named it."}


def _likely_target(columns: Sequence[Column]) -> dict[str, Any] | None:
    """The column that is most likely to be learned: by its name, or the last one of categories."""
    for name in _TARGETS:
        for column in columns:
            if column.name.casefold() == name:
                return {"column": column.name, "reason": f"Columns to be learned are often named {name!r}."}
    names = [one.name for one in columns if one.facts.kind == Kind.CATEGORY and 1 < one.distinct <= _FEW_CLASSES]
    reason = f"It is the last column of 2 to {_FEW_CLASSES} categories."
    return {"column": names[-1], "reason": reason} if names else None
