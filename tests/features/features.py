"""Features and preparations, for tests: each with what a test does not care about filled in."""

from typing import Any

from service.data.table import Kind
from service.features.preparation import (
    Category,
    Date,
    Feature,
    Hashed,
    Image,
    Number,
    Preparation,
    Sequence,
    Target,
    Task,
    Text,
)


def number(column: str = "age", **given: Any) -> Number:
    options = {"type": "float64", "scale": "standardize", "center": 1.0, "spread": 2.0, "fill": None}
    return Number(**_named(column, Kind.NUMERIC, {**options, "indicator": False, **given}))


def category(column: str = "town", **given: Any) -> Category:
    options = {"type": "string", "enters": "one_hot", "categories": ("Bergen", "Oslo"), "output_dim": None}
    return Category(**_named(column, Kind.CATEGORY, {**options, "unknown": "error", "missing": "other", **given}))


def hashed(column: str = "street", **given: Any) -> Hashed:
    options = {"type": "string", "num_bins": 9, "missing": "other"}
    return Hashed(**_named(column, Kind.CATEGORY, {**options, **given}))


def text(column: str = "note", **given: Any) -> Text:
    options = {"type": "string", "enters": "bag", "vocabulary": ("yes", "no"), "sequence_length": 4}
    return Text(**_named(column, Kind.TEXT, {**options, **given}))


def date(column: str = "born", **given: Any) -> Date:
    options = {"type": "timestamp", "parts": ("year", "month"), "centers": (2000.0, 6.0), "spreads": (10.0, 3.0)}
    return Date(**_named(column, Kind.DATE, {**options, "fill": None, **given}))


def image(column: str = "photo", **given: Any) -> Image:
    options = {"type": "image", "height": 2, "width": 3, "channels": 1}
    return Image(**_named(column, Kind.IMAGE, {**options, **given}))


def sequence(column: str = "pulse", **given: Any) -> Sequence:
    options = {"type": "sequence", "length": 3, "channels": 2, "pad": "post", "truncate": "post"}
    return Sequence(**_named(column, Kind.SEQUENCE, {**options, "centers": (5.0, 0.5), "spreads": (2.0, 1.0), **given}))


def target(column: str = "answer", **given: Any) -> Target:
    options = {"type": "string", "task": Task.BINARY, "labels": ("no", "yes"), "separator": None}
    options |= {"center": None, "spread": None, "shape": ()}
    return Target(**_named(column, Kind.CATEGORY, {**options, **given}))


def preparation(*features: Feature, **given: Any) -> Preparation:
    return Preparation(features=features, **{"targets": (), "split": None, "rows": (9, 0, 0), **given})


def _named(column: str, kind: Kind, given: dict[str, Any]) -> dict[str, Any]:
    return {"column": column, "kind": kind, "slug": column, **given}
