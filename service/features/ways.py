"""The ways in which a column can enter a network, by its kind, and what each lets a client choose."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, get_args

from service.data.parsing import date_of
from service.data.table import Kind
from service.features.dates import PARTS
from service.features.preparation import Policy

#: kerasd chooses by the values of the training rows.
AUTO: Final = "auto"
#: The column is left out.
DROP: Final = "drop"

#: As `missing` of categories: the one that most of the training rows have.
MOST_FREQUENT: Final = "most_frequent"

#: The longest text that a client can send as a missing date.
_MAX_DATE: Final = 40


@dataclass(frozen=True, slots=True, kw_only=True)
class Option:
    """One thing that a client can choose: `expected` finishes a sentence, `fits` says what is right."""

    name: str
    expected: str
    fits: Callable[[Any], bool]


def _whole(name: str, low: int, high: int) -> Option:
    def fits(value: Any) -> bool:
        return type(value) is int and low <= value <= high

    return Option(name=name, expected=f"a whole number from {low} to {high:,}".replace(",", "_"), fits=fits)


def _one_of(name: str, *choices: Any) -> Option:
    written = " or ".join(str(one) if type(one) is int else f'"{one}"' for one in choices)
    return Option(name=name, expected=written, fits=lambda value: type(value) in (str, int) and value in choices)


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and abs(value) <= 1e300 and math.isfinite(value)


def _is_filler(value: Any) -> bool:
    return _is_number(value) or (isinstance(value, str) and value in ("mean", "median", "zero", "error"))


def _is_category(value: Any) -> bool:
    """Whether a value names a category, and not in a word: any word can be the name of one."""
    if not isinstance(value, dict) or value.keys() != {"category"}:
        return False
    named = value["category"]
    return isinstance(named, bool) or _is_number(named) or (isinstance(named, str) and named != "")


def _stands_for_missing(*words: str) -> Option:
    def fits(value: Any) -> bool:
        return value in words if isinstance(value, str) else _is_category(value)

    written = ", ".join(f'"{one}"' for one in words)
    return Option(name="missing", expected=f'{written} or a category such as {{"category": "red"}}', fits=fits)


def _is_date_filler(value: Any) -> bool:
    if not isinstance(value, str) or len(value) > _MAX_DATE:
        return False
    return value in ("median", "error") or date_of(value) is not None


def _are_parts(value: Any) -> bool:
    if not isinstance(value, list) or not 1 <= len(value) <= len(PARTS):
        return False
    return all(isinstance(one, str) and one in PARTS for one in value) and len(set(value)) == len(value)


_MISSING_NUMBER: Final = Option(
    name="missing", expected='"mean", "median", "zero", "error" or a number to put there', fits=_is_filler
)
_INDICATOR: Final = Option(name="indicator", expected="true or false", fits=lambda value: isinstance(value, bool))
_MAX_CATEGORIES: Final = _whole("max_categories", 2, 100_000)
_OUTPUT_DIM: Final = _whole("output_dim", 1, 4_096)
_NUM_BINS: Final = _whole("num_bins", 2, 1_000_000)
_MAX_TOKENS: Final = _whole("max_tokens", 2, 100_000)
_SEQUENCE_LENGTH: Final = _whole("sequence_length", 1, 4_096)
_UNKNOWN: Final = _one_of("unknown", *get_args(Policy))
_MISSING: Final = _stands_for_missing(*get_args(Policy), MOST_FREQUENT)
#: What hashes are made of is not counted.
_MISSING_HASHED: Final = _stands_for_missing(*get_args(Policy))
_PARTS: Final = Option(name="parts", expected=f"a list of different parts out of {', '.join(PARTS)}", fits=_are_parts)
_MISSING_DATE: Final = Option(
    name="missing", expected='"median", "error" or a date such as "2020-12-31"', fits=_is_date_filler
)
_HEIGHT: Final = _whole("height", 1, 1_024)
_WIDTH: Final = _whole("width", 1, 1_024)
_CHANNELS: Final = _one_of("channels", 1, 3)
_LENGTH: Final = _whole("length", 1, 4_096)
_PAD: Final = _one_of("pad", "post", "pre")
_TRUNCATE: Final = _one_of("truncate", "post", "pre")

_NUMBER: Final = (_MISSING_NUMBER, _INDICATOR)
_ONE_HOT: Final = (_MAX_CATEGORIES, _UNKNOWN, _MISSING)
_EMBEDDING: Final = (_OUTPUT_DIM, *_ONE_HOT)
_TEXT: Final = (_MAX_TOKENS, _SEQUENCE_LENGTH)
_STEPS: Final = (_LENGTH, _PAD, _TRUNCATE)

#: For each kind, the ways with their options; the first way is the one of a column for which none is named.
WAYS: Final[Mapping[Kind, Mapping[str, tuple[Option, ...]]]] = {
    Kind.NUMERIC: {
        "standardize": _NUMBER,
        "min_max": _NUMBER,
        "log": _NUMBER,
        "none": _NUMBER,
        "one_hot": _ONE_HOT,
        "embedding": _EMBEDDING,
    },
    Kind.CATEGORY: {"one_hot": _ONE_HOT, "embedding": _EMBEDDING, "hashing": (_NUM_BINS, _MISSING_HASHED)},
    Kind.TEXT: {"bag": _TEXT, "tokens": _TEXT},
    Kind.DATE: {"parts": (_PARTS, _MISSING_DATE)},
    Kind.IMAGE: {"rescale": (_HEIGHT, _WIDTH, _CHANNELS)},
    Kind.SEQUENCE: {"standardize": _STEPS, "none": _STEPS},
}


def default_way(kind: Kind) -> str:
    return next(iter(WAYS[kind]))


def kinds_with(way: str) -> tuple[Kind, ...]:
    """The kinds whose columns can enter in this way."""
    return tuple(kind for kind, ways in WAYS.items() if way in ways)
