"""What a client asks for of the rows: which parts of them are kept apart, and by which rule."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, get_args

from service.data.table import ColumnFacts, Kind
from service.errors import Fault
from service.features.faults import MEND_KIND, check_keys, near, unknown_column, within
from service.features.preparation import Split
from service.features.wording import shown

RULES: Final[tuple[str, ...]] = get_args(Split.__annotations__["by"])
#: The rules that go by the values of a column.
BY_COLUMN: Final = ("group", "time", "column")


@dataclass(frozen=True, slots=True, kw_only=True)
class SplitRequest:
    """The parts of the rows that do not train; without a rule, the target's task says which."""

    validation: float
    test: float
    by: str | None
    column: str | None


def check_split(
    value: Any, known: Mapping[str, ColumnFacts], targets: Sequence[str], faults: list[Fault]
) -> SplitRequest | None:
    """Check the JSON of a `split`; None where there is none, and after appending faults."""
    if value is None:
        return None
    if not isinstance(value, dict):
        detail = f'{shown(value)} came; an object such as {{"validation": 0.2, "test": 0.1}} was expected.'
        faults.append(Fault(pointer="/split", detail=detail))
        return None
    before = len(faults)
    check_keys(value, ("validation", "test", "by", "column"), "A split", "/split", faults)
    by = value.get("by")
    if by is not None and by not in RULES:
        detail = f"by is {within(by)}; expected one of {', '.join(RULES)}.{near(by, RULES)}"
        faults.append(Fault(pointer="/split/by", detail=detail))
        return None
    fractions = _fractions(value, by, faults)
    column = _split_column(value.get("column"), by, known, targets, faults)
    if len(faults) > before:
        return None
    return SplitRequest(validation=fractions[0], test=fractions[1], by=by, column=column)


def _fractions(value: Mapping[str, Any], by: str | None, faults: list[Fault]) -> tuple[float, float]:
    before, found = len(faults), [0.0, 0.0]
    for index, part in enumerate(("validation", "test")):
        fraction: Any = value.get(part)
        place = f"/split/{part}"
        if by == "column" and fraction is not None:
            detail = (
                f'{part} is {within(fraction)}, but with "by": "column" the column says which rows validate and test.'
            )
            faults.append(Fault(pointer=place, detail=f"{detail} Leave {part} out."))
        elif type(fraction) in (int, float) and 0 <= fraction < 1:
            found[index] = float(fraction)
        elif fraction is not None:
            detail = f"{part} is {within(fraction)}; expected a part of the rows, at least 0 and below 1, such as 0.2."
            faults.append(Fault(pointer=place, detail=detail))
    validation, test = found
    if len(faults) == before and validation + test >= 1:
        came = f"validation {validation:g} and test {test:g} leave no rows to train on"
        faults.append(Fault(pointer="/split", detail=f"{came}; together they must be below 1. Lower one of them."))
    if len(faults) == before and by != "column" and validation == test == 0:
        detail = 'The split keeps no rows apart; expected "validation", "test" or both, such as {"validation": 0.2}.'
        faults.append(Fault(pointer="/split", detail=f"{detail} Leave split out to train on all rows."))
    return validation, test


def _split_column(
    name: Any, by: str | None, known: Mapping[str, ColumnFacts], targets: Sequence[str], faults: list[Fault]
) -> str | None:
    place = "/split/column"
    if by not in BY_COLUMN:
        if name is not None:
            rule = "without `by`" if by is None else f'with "by": "{by}"'
            detail = f"column is {within(name)}, but {rule} no column decides; expected "
            mend = f"it with {' or '.join(BY_COLUMN)} alone. Leave it out, or name one of these as `by`."
            faults.append(Fault(pointer=place, detail=detail + mend))
        return None
    if name is None:
        detail = f'"by": "{by}" came without a column, and goes by the values of one. Add "column" with its name.'
        faults.append(Fault(pointer=place, detail=detail))
        return None
    if not isinstance(name, str) or name not in known:
        faults.append(unknown_column(name, known, place))
        return None
    faults.extend(_column_faults(known[name], by, targets))
    return name


def _column_faults(column: ColumnFacts, by: str, targets: Sequence[str]) -> Iterator[Fault]:
    place, came = "/split/column", f"The column {column.name!r} is of the kind {column.kind}"
    if by != "time" and column.name in targets:
        detail = f"{column.name!r} is the target: rows that are split by it have other targets in each part."
        yield Fault(pointer=place, detail=f'{detail} Name another column, or use "by": "stratified".')
    if by == "time" and column.kind not in (Kind.DATE, Kind.NUMERIC):
        yield Fault(pointer=place, detail=f"{came}; the order of time needs a date or a numeric one.{MEND_KIND}")
    elif column.kind in (Kind.IMAGE, Kind.SEQUENCE):
        yield Fault(pointer=place, detail=f"{came}; rows are split by values such as texts or numbers. Name another.")
