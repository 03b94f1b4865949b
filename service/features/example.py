"""A record that a version takes, made of its preparation: what to send to `predict`."""

import base64
import math
import struct
import zlib
from typing import Any, Final

from service.data.table import Type
from service.features.preparation import (
    Category,
    Date,
    Feature,
    Hashed,
    Image,
    Number,
    Preparation,
    Sequence,
    Text,
)

#: How many words and steps are enough to show what they are.
_FEW: Final = 2
_MONTHS_WITHOUT_31: Final = 28


def example_record(preparation: Preparation) -> dict[str, Any]:
    """A valid record as JSON: the middle of numbers and dates, the first category, and so on, by column."""
    return {feature.column: _value(feature) for feature in preparation.features}


def _value(feature: Feature) -> Any:
    match feature:
        case Number():
            return _typed_number(_middle(feature), feature.type)
        case Category():
            return _category(feature.categories[0], feature.type) if feature.categories else _some(feature.type)
        case Hashed():
            return _some(feature.type)
        case Text():
            return " ".join(feature.vocabulary[:_FEW]) or "words"
        case Date():
            return feature.fill or _date(feature)
        case Image():
            return base64.b64encode(_png()).decode()
        case Sequence():
            step = [_rounded(center) for center in feature.centers]
            return (step if feature.channels == 1 else [step]) * min(_FEW, feature.length)
    raise AssertionError(f"a {type(feature).__name__} has no example")


def _middle(feature: Number) -> float:
    """A usual value in the column's own unit."""
    if feature.fill is not None:
        return feature.fill
    if feature.scale == "min_max":
        return feature.center + feature.spread / 2
    if feature.scale == "log":
        return math.copysign(math.expm1(min(abs(feature.center), 80.0)), feature.center)
    return feature.center


def _typed_number(number: float, stored: Type) -> float | bool:
    if stored == "bool":
        return number > 1 / 2
    return round(number) if stored == "int64" else _rounded(number)


def _rounded(number: float) -> float:
    """Three digits are enough for an example."""
    return float(f"{number:.3g}")


def _category(text: str, stored: Type) -> Any:
    """A category as the value that its text stands for in a column of a type."""
    match stored:
        case "bool":
            return text == "true"
        case "int64":
            return int(text)
        case "float64":
            return float(text)
    return text


def _some(stored: Type) -> Any:
    return {"bool": True, "int64": 1, "float64": 1.5, "timestamp": "2024-02-29"}.get(stored, "text")


def _date(feature: Date) -> str:
    """The middle of the parts that are known, on a day that every month has."""
    centers = dict(zip(feature.parts, feature.centers, strict=True))
    due = {"year": (2024, 1, 9999), "month": (6, 1, 12), "day": (15, 1, _MONTHS_WITHOUT_31)}
    year, month, day = (
        min(max(round(centers.get(part, usual)), least), most) for part, (usual, least, most) in due.items()
    )
    time = "T12:00:00" if {"hour", "minute"} & centers.keys() else ""
    return f"{year:04}-{month:02}-{day:02}{time}"


def _png() -> bytes:
    """A picture of one grey pixel, which is as large as it needs to be."""

    def chunk(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    header = struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 0)
    chunks = [chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(b"\0\x80")), chunk(b"IEND", b"")]
    return b"".join([b"\x89PNG\r\n\x1a\n", *chunks])
