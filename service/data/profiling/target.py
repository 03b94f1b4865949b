"""What a stored profile says of the column that is to be learned: the balance of classes, or the spread of a number."""

from collections.abc import Mapping
from itertools import pairwise
from typing import Any, Final

from service.errors import Fault, Invalid

#: A class with a smaller part of the rows than this is told of.
RARE_CLASS: Final = 0.05


def target_view(profile: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Describe the column `name` of a profile as a target; raises Invalid where there is none of that name.

    Categories, and whole numbers that have a bin each in the histogram, have `classes` with the fraction of each.
    """
    column = next((one for one in profile["columns"] if one["name"] == name), None)
    if column is None:
        detail = f"There is no column {name[:60]!r} to be the target. Name one of the table's columns."
        raise Invalid(detail, [Fault(pointer="/target", detail=detail)])
    rows = profile["rows"] - column["missing"]
    warnings = [warning for warning in profile["warnings"] if name in warning["columns"]]
    classes = _classes(column)
    if classes is not None:
        told = [{**one, "fraction": round(one["count"] / rows, 6)} for one in classes] if rows else []
        return {**column, "rows": rows, "classes": told, "warnings": [*_imbalance(column, classes, rows), *warnings]}
    return {**column, "rows": rows, "classes": None, "warnings": warnings}


def _classes(column: Mapping[str, Any]) -> list[dict[str, Any]] | None:
    """The classes with their rows, the most frequent first, as far as the profile shows them."""
    if column["kind"] == "category":
        return list(column["values"])
    histogram = column.get("histogram")
    if column["kind"] != "numeric" or not column["whole"] or histogram is None:
        return None
    edges, counts = histogram["edges"], histogram["counts"]
    if any(high - low != 1 for low, high in pairwise(edges)):
        return None
    classes = [
        {"value": str(int(edge + 0.5)), "count": count} for edge, count in zip(edges, counts, strict=False) if count
    ]
    return sorted(classes, key=lambda one: -one["count"])


def _imbalance(column: Mapping[str, Any], classes: list[dict[str, Any]], rows: int) -> list[dict[str, Any]]:
    """A warning where the rarest class has few of the rows."""
    if len(classes) < 2 or column.get("count_error"):
        return []
    rarest = column.get("rarest") or classes[-1]
    fraction = rarest["count"] / rows
    if fraction >= RARE_CLASS:
        return []
    message = (
        f"The class {rarest['value']!r} of {column['name']!r} has {rarest['count']} of {rows} rows. A network that "
        'never names it is right in almost all rows: weigh the rows by "class_weight", look at more than accuracy, and '
        "split stratified."
    )
    evidence = {
        "rarest": rarest,
        "fraction": round(fraction, 6),
        "most_frequent": {"value": classes[0]["value"], "count": classes[0]["count"]},
    }
    return [{"code": "imbalanced_classes", "columns": [column["name"]], "message": message, "evidence": evidence}]
