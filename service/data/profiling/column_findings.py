"""Warnings about single columns, each with its evidence and with what to do."""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from service.data.profiling.bounds import counted, cut
from service.data.profiling.column import Column
from service.data.profiling.media import Images
from service.data.profiling.summaries import Categories, Numbers
from service.data.table import Kind

_SOME_ROWS: Final = 20
_MANY_CATEGORIES: Final = 100
_RARE: Final = 5
_SKEWED: Final = 3.0
_SHOWN: Final = 10
_NAMED_ID: Final = re.compile(r"(^|[_\W])(id|uuid|guid)([_\W]|$)", re.IGNORECASE)
_CAMEL_ID: Final = re.compile(r"[a-z](Id|ID|UUID|GUID)$")
#: What is written where a number is not known.
_PLACEHOLDERS: Final = tuple(sign * (10**digits - 1) for digits in range(1, 7) for sign in (-1, 1))


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """Something about columns, or about all rows where there are none, that a client should know before training."""

    code: str
    columns: tuple[str, ...]
    message: str
    evidence: dict[str, Any]

    def to_json(self) -> dict[str, Any]:
        return {
            "code": self.code,
            "columns": list(self.columns),
            "message": self.message,
            "evidence": self.evidence,
        }


def column_findings(column: Column) -> Iterator[Finding]:
    """All warnings about a column by itself."""
    for look in _LOOKS:
        yield from look(column)


def is_identifier(column: Column) -> bool:
    """Whether a column names rows: each value comes once, and is a word, or a whole number that only counts."""
    present = column.present
    if present < _SOME_ROWS or column.distinct < present * (0.95 if column.distinct_error else 0.99):
        return False
    if column.facts.kind == Kind.CATEGORY:
        return True
    if column.facts.kind != Kind.NUMERIC or column.facts.type != "int64":
        return False
    assert isinstance(column.summary, Numbers)
    dense = (column.summary.maximum - column.summary.minimum + 1) * 0.95 <= column.distinct
    return column.increasing or dense or _is_named_id(column.name)


def _constant(column: Column) -> Iterator[Finding]:
    if column.distinct == 1 and column.present > 1:
        value = column.examples[0] if column.examples else None
        shown = "" if value is None else f", {value!r}"
        evidence = {"value": value, "rows": column.present, "missing": column.missing}
        message = (
            f"All {column.present} cells of {column.shown} that are not missing have the same value{shown}: nothing "
            "can be learned from it. Leave it out."
        )
        yield Finding(code="constant_column", columns=(column.name,), message=message, evidence=evidence)


def _mostly_missing(column: Column) -> Iterator[Finding]:
    gone = column.missing
    if gone * 2 > column.rows:
        share = round(gone / column.rows, 4)
        message = (
            f"{gone} of the {column.rows} cells of {column.shown} are missing. Leave it out, unless it tells "
            "something that a cell is missing."
        )
        evidence = {"missing": gone, "rows": column.rows, "fraction": share}
        yield Finding(code="mostly_missing", columns=(column.name,), message=message, evidence=evidence)


def _identifier(column: Column) -> Iterator[Finding]:
    if is_identifier(column):
        message = (
            f"The {column.present} cells of {column.shown} have {column.distinct} values, as names of rows have: a "
            "network would learn rows by heart from it. Leave it out."
        )
        evidence = {
            "distinct": column.distinct,
            "rows": column.present,
            "increasing": column.increasing,
            "examples": column.examples,
        }
        yield Finding(code="identifier_like", columns=(column.name,), message=message, evidence=evidence)


def _unparsable(column: Column) -> Iterator[Finding]:
    if column.unparsable:
        text = column.unparsable_cells[0][1]
        due = "numbers" if column.facts.kind == Kind.NUMERIC else "dates"
        message = (
            f"{counted(column.unparsable, 'cell')} of {column.shown} cannot be read as {due}; such cells count as "
            f"missing. The first is {text!r}. Correct them, or say that the column is of another kind."
        )
        cells = [{"row": row, "text": text} for row, text in column.unparsable_cells]
        evidence = {"count": column.unparsable, "cells": cells}
        yield Finding(code="unparsable_cells", columns=(column.name,), message=message, evidence=evidence)


def _unreadable_images(column: Column) -> Iterator[Finding]:
    if isinstance(column.summary, Images) and column.summary.unreadable:
        message = (
            f"{column.summary.unreadable} of the first {counted(column.summary.headers, 'image')} of {column.shown} "
            "cannot be opened. Send them anew as PNG or JPEG, or leave them out."
        )
        evidence = {"count": column.summary.unreadable, "headers": column.summary.headers}
        yield Finding(code="unreadable_images", columns=(column.name,), message=message, evidence=evidence)


def _duplicate_images(column: Column) -> Iterator[Finding]:
    if column.repeated is None:
        return
    count, pairs = column.repeated.found()
    if count:
        share = column.repeated.share
        about, total = "" if share == 1 else "About ", round(count / share)
        message = (
            f"{about}{counted(total, 'image')} of {column.shown} repeat an earlier one, byte for byte. Remove what is "
            "there twice: else copies can be among the rows to train with and those to test with."
        )
        evidence = {"count": total, "exact": share == 1, "followed": share, "pairs": pairs}
        yield Finding(code="duplicate_images", columns=(column.name,), message=message, evidence=evidence)


def _high_cardinality(column: Column) -> Iterator[Finding]:
    if column.facts.kind == Kind.CATEGORY and column.distinct > _MANY_CATEGORIES and not is_identifier(column):
        message = (
            f"{column.shown} has {column.distinct} categories, which take as many ones and zeros. Let it enter as "
            '"embedding" or "hashing", or limit it by "max_categories".'
        )
        evidence = {"distinct": column.distinct, "rows": column.present}
        yield Finding(code="high_cardinality", columns=(column.name,), message=message, evidence=evidence)


def _mixed_case(column: Column) -> Iterator[Finding]:
    if not isinstance(column.summary, Categories) or column.summary.frequent.error:
        return
    spellings: defaultdict[str, list[str]] = defaultdict(list)
    for text in column.summary.frequent.counts:
        spellings[" ".join(text.casefold().split())].append(text)
    groups = sorted(sorted(group) for group in spellings.values() if len(group) > 1)
    if groups:
        message = (
            f"Categories of {column.shown} differ only in capitals or spaces, such as "
            f"{' and '.join(repr(cut(text)) for text in groups[0][:2])}, and count as different. Write each in one way."
        )
        shown = [[cut(text) for text in group[:_SHOWN]] for group in groups[:_SHOWN]]
        evidence = {"count": len(groups), "groups": shown}
        yield Finding(code="mixed_case_duplicates", columns=(column.name,), message=message, evidence=evidence)


def _rare(column: Column) -> Iterator[Finding]:
    if not isinstance(column.summary, Categories) or column.present < 100 or is_identifier(column):
        return
    if column.summary.frequent.error:
        return
    rare = sorted((count, text) for text, count in column.summary.frequent.counts.items() if count < _RARE)
    if rare:
        rows = sum(count for count, _ in rare)
        message = (
            f"{column.shown} has {counted(len(rare), 'category')} with fewer than {_RARE} rows: too few to learn "
            'from, and perhaps none among the rows to train with. Join them, or limit them by "max_categories".'
        )
        examples = [{"value": cut(text), "count": count} for count, text in rare[:_SHOWN]]
        evidence = {"categories": len(rare), "rows": rows, "fewer_than": _RARE, "examples": examples}
        yield Finding(code="rare_categories", columns=(column.name,), message=message, evidence=evidence)


def _skewed(column: Column) -> Iterator[Finding]:
    if not isinstance(column.summary, Numbers) or column.distinct <= _SOME_ROWS or column.summary.minimum < 0:
        return
    if is_identifier(column):
        return
    numbers = column.sampled_numbers()
    skewness = _skewness(numbers)
    if skewness is not None and skewness > _SKEWED:
        message = (
            f"Few numbers of {column.shown} are far larger than the others: its skewness is {skewness:.2f}. "
            'Let it enter as "log".'
        )
        evidence = {
            "skewness": round(skewness, 6),
            "sampled_rows": len(numbers),
            "median": float(np.median(numbers)),
            "maximum": column.summary.maximum,
        }
        yield Finding(code="skewed", columns=(column.name,), message=message, evidence=evidence)


def _placeholder(column: Column) -> Iterator[Finding]:
    """A number such as -999 that stands further from all others than these from each other."""
    if not isinstance(column.summary, Numbers):
        return
    numbers = column.sampled_numbers()
    for value in {column.summary.minimum, column.summary.maximum} & set(_PLACEHOLDERS):
        others = numbers[numbers != value]
        if len(others) < _SOME_ROWS or len(others) == len(numbers):
            continue
        low, high = float(others.min()), float(others.max())
        if high > low and max(low - value, value - high) > high - low:
            message = (
                f"{value} in {column.shown} lies far from the other numbers, {low:g} to {high:g}, as if it stood for "
                "a missing one. If it does, leave those cells empty."
            )
            evidence = {
                "value": value,
                "sampled_rows": len(numbers),
                "count": len(numbers) - len(others),
                "others": {"minimum": low, "maximum": high},
            }
            yield Finding(code="placeholder_value", columns=(column.name,), message=message, evidence=evidence)


def _skewness(numbers: Any) -> float | None:
    """The third standardized moment, or None where the numbers do not vary."""
    if len(numbers) < _SOME_ROWS:
        return None
    with np.errstate(all="ignore"):
        # Scaled, so that no cube is too large for a float64.
        scaled = numbers / np.abs(numbers).max()
        spread = scaled.std()
        skewness = float(((scaled - scaled.mean()) ** 3).mean() / spread**3)
    return skewness if spread > 0 and math.isfinite(skewness) else None


def _is_named_id(name: str) -> bool:
    return bool(_NAMED_ID.search(name) or _CAMEL_ID.search(name))


_LOOKS: Final[tuple[Callable[[Column], Iterator[Finding]], ...]] = (
    _unparsable,
    _unreadable_images,
    _duplicate_images,
    _mostly_missing,
    _constant,
    _identifier,
    _high_cardinality,
    _mixed_case,
    _rare,
    _skewed,
    _placeholder,
)
