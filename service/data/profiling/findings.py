"""Warnings about a table, each with its evidence and with what to do; rows are counted from 0, as in JSON Pointers."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

import numpy as np

from service.data.profiling.bounds import counted
from service.data.profiling.column import Column
from service.data.profiling.column_findings import Finding, column_findings
from service.data.profiling.copies import LEAST_ROWS, MAX_CORRELATED, RepeatedRows, correlated
from service.data.table import Kind

#: Of one code no more warnings are told, so that a profile stays small; the others are counted.
MAX_OF_A_CODE: Final = 50

#: So many columns are named in a message.
_NAMED: Final = 10


def findings(columns: Sequence[Column], repeated: RepeatedRows) -> list[Finding]:
    """All warnings: about rows, about columns that copy each other, then about single columns in their order."""
    found = [*_duplicate_rows(columns, repeated), *_copied_columns(columns)]
    for column in columns:
        found += column_findings(column)
    return found


def limited(found: Sequence[Finding]) -> tuple[list[Finding], int]:
    """The first warnings of each code, and how many are left out."""
    counts: defaultdict[str, int] = defaultdict(int)
    kept = []
    for finding in found:
        counts[finding.code] += 1
        if counts[finding.code] <= MAX_OF_A_CODE:
            kept.append(finding)
    return kept, len(found) - len(kept)


def _duplicate_rows(columns: Sequence[Column], repeated: RepeatedRows) -> Iterator[Finding]:
    rows = columns[0].rows if columns else 0
    count, pairs = repeated.found()
    # Where there are fewer different rows than rows, some must come again.
    if not count or math.prod(column.distinct + (column.missing > 0) for column in columns) < rows:
        return
    total = round(count / repeated.share)
    about = "" if repeated.share == 1 else "About "
    evidence = {"count": total, "exact": repeated.share == 1, "followed": repeated.share, "pairs": pairs}
    message = (
        f"{about}{counted(total, 'row')} of {rows} repeat an earlier one in every column. Remove what is there twice: "
        "else copies of one row can be among the rows to train with and those to test with."
    )
    yield Finding(code="duplicate_rows", columns=(), message=message, evidence=evidence)


def _copied_columns(columns: Sequence[Column]) -> Iterator[Finding]:
    varied = [column for column in columns if column.distinct > 1 and column.rows >= LEAST_ROWS]
    told: set[frozenset[str]] = set()
    again: set[str] = set()
    for group in _grouped(varied, lambda column: column.fingerprint.equal):
        told |= _pairs(group)
        again |= {column.name for column in group[1:]}
        yield _copy(group, "equal", f"are equal in all {group[0].rows} rows", {})
    # Columns in which no value comes again can all be renamed into each other.
    repeating = [column for column in varied if column.distinct * 2 <= column.present]
    for group in _grouped(repeating, lambda column: column.fingerprint.renamed):
        if _pairs(group) <= told:
            continue
        told |= _pairs(group)
        again |= {column.name for column in group[1:]}
        phrase = f"name the same {group[0].distinct} groups of rows by other values, in all {group[0].rows} rows"
        examples = [column.examples[0] for column in group if column.examples]
        yield _copy(group, "one_to_one", phrase, {"distinct": group[0].distinct, "first_values": examples})
    numeric = [one for one in varied if one.facts.kind == Kind.NUMERIC and one.name not in again][:MAX_CORRELATED]
    if len(numeric) > 1:
        yield from _on_a_line(numeric, told)


def _on_a_line(numeric: list[Column], told: set[frozenset[str]]) -> Iterator[Finding]:
    for line in correlated(np.column_stack([column.sample for column in numeric])):
        group = [numeric[place] for place in line.columns]
        if not _pairs(group) <= told:
            phrase = f"lie on a line: their correlation is {line.coefficient:.6f} in {line.rows} rows"
            evidence = {"coefficient": round(line.coefficient, 9), "sampled_rows": line.rows}
            yield _copy(group, "correlation", phrase, evidence)


def _copy(group: Sequence[Column], relation: str, phrase: str, evidence: dict[str, Any]) -> Finding:
    names = tuple(column.name for column in group)
    listed = ", ".join(column.shown for column in group[:_NAMED]) + (", ..." if len(names) > _NAMED else "")
    message = (
        f"The columns {listed} {phrase}. If one of them is the target, the others give it away: leave them out; "
        "otherwise one of them is enough."
    )
    evidence = {"relation": relation, "rows": group[0].rows, **evidence}
    return Finding(code="copied_column", columns=names, message=message, evidence=evidence)


def _grouped(columns: Sequence[Column], key: Callable[[Column], int | None]) -> list[list[Column]]:
    groups: dict[int, list[Column]] = {}
    for column in columns:
        if (value := key(column)) is not None:
            groups.setdefault(value, []).append(column)
    return [group for group in groups.values() if len(group) > 1]


def _pairs(group: Sequence[Column]) -> set[frozenset[str]]:
    # Of a large group, those with its first column stand for all.
    return {frozenset((group[0].name, column.name)) for column in group[1:]}
