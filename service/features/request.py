"""What a client asks for: which columns enter a network and how, what is learned, and which rows are kept apart.

Nothing here looks at a row: a request is held against the columns' names and kinds, and what is left to "auto", or to
the values, is settled when the features are fitted.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, get_args

from service.data.array_writer import escape
from service.data.table import ColumnFacts, Kind
from service.errors import Fault
from service.features.preparation import Split, Task
from service.features.ways import AUTO, DROP, WAYS, default_way, kinds_with
from service.features.wording import listed, shown, similar

#: Stands for every column that is not named.
OTHERS: Final = "*"
MAX_TARGETS: Final = 16

#: What can be learned of a column of each kind; images and dates are nothing to predict.
TASKS: Final[Mapping[Kind, tuple[Task, ...]]] = {
    Kind.NUMERIC: (Task.NUMBER, Task.BINARY, Task.CLASSES),
    Kind.CATEGORY: (Task.BINARY, Task.CLASSES, Task.LABELS),
    Kind.TEXT: (Task.BINARY, Task.CLASSES, Task.LABELS),
    Kind.SEQUENCE: (Task.SEQUENCE,),
    Kind.DATE: (),
    Kind.IMAGE: (),
}
RULES: Final[tuple[str, ...]] = get_args(Split.__annotations__["by"])
#: The rules that go by the values of a column.
BY_COLUMN: Final = ("group", "time", "column")


@dataclass(frozen=True, slots=True, kw_only=True)
class FeatureRequest:
    """One column that is to enter: `way` is one of its kind's ways or "auto"; only the options given are there."""

    column: ColumnFacts
    way: str
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def pointer(self) -> str:
        return f"/features/{escape(self.column.name)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetRequest:
    """One column that is to be learned; without a `task`, its values say which."""

    column: ColumnFacts
    task: Task | None
    pointer: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SplitRequest:
    """The parts of the rows that do not train; without a rule, the target's task says which."""

    validation: float
    test: float
    by: str | None
    column: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """All that a client asks for, in the order of the data set's columns."""

    features: tuple[FeatureRequest, ...]
    targets: tuple[TargetRequest, ...]
    split: SplitRequest | None


def check_request(
    features: Any, target: Any, split: Any, columns: Sequence[ColumnFacts], faults: list[Fault]
) -> Request | None:
    """Check the JSON of `features`, `target` and `split` of a job on a table; None after appending faults.

    Features that are not given are "auto"; without a split all rows train.
    """
    before, known = len(faults), {column.name: column for column in columns}
    targets = tuple(_targets(target, known, faults))
    wanted = _split(split, known, [one.column.name for one in targets], faults)
    taken = {one.column.name for one in targets}
    asked = tuple(_features(AUTO if features is None else features, known, taken, wanted, faults))
    if not asked and len(faults) == before:
        detail = "No feature is left, and a network needs one at least. Name a column"
        faults.append(Fault(pointer="/features", detail=f'{detail}, or send "features": "auto".'))
    if wanted is not None and targets and len(faults) == before:
        faults.extend(_stratification_faults(wanted, targets[0]))
    return None if len(faults) > before else Request(features=asked, targets=targets, split=wanted)


def _within(value: object) -> str:
    """A client's value within a sentence, however large the value is."""
    text = shown(value)
    return text[0].lower() + text[1:]


def _near(value: object, known: Sequence[str]) -> str:
    """The nearest of the known words, where a word came at all."""
    return similar(value, known) if isinstance(value, str) else ""


def _unknown_column(name: object, known: Mapping[str, ColumnFacts], pointer: str) -> Fault:
    if not isinstance(name, str):
        detail = f"{shown(name)} came; the name of a column was expected: one of {listed(tuple(known))}."
        return Fault(pointer=pointer, detail=detail)
    came = f"The data set has no column {name[:60]!r}.{similar(name, known)}"
    return Fault(pointer=pointer, detail=f"{came} Its columns are {listed(tuple(known))}: name one of them.")


# Targets ------------------------------------------------------------------------------------------------------------


def _targets(value: Any, known: Mapping[str, ColumnFacts], faults: list[Fault]) -> Iterator[TargetRequest]:
    if value is None or value == []:
        detail = 'No target came, and there is nothing to learn without one. Name a column, such as "target": '
        faults.append(Fault(pointer="/target", detail=f"{detail}{json.dumps(next(iter(known), 'y'))}."))
        return
    entries = value if isinstance(value, list) else [value]
    if len(entries) > MAX_TARGETS:
        detail = f"{len(entries)} targets came; at most {MAX_TARGETS} can be learned at once. Send fewer."
        faults.append(Fault(pointer="/target", detail=detail))
        return
    seen: set[str] = set()
    for index, entry in enumerate(entries):
        pointer = f"/target/{index}" if isinstance(value, list) else "/target"
        found = _target(entry, pointer, known, faults)
        if found is None:
            continue
        if found.column.name in seen:
            detail = f"The column {found.column.name!r} came twice as a target. Send it once."
            faults.append(Fault(pointer=pointer, detail=detail))
            continue
        seen.add(found.column.name)
        yield found


def _target(entry: Any, pointer: str, known: Mapping[str, ColumnFacts], faults: list[Fault]) -> TargetRequest | None:
    if isinstance(entry, dict):
        if not _check_keys(entry, ("column", "as"), "A target", pointer, faults):
            return None
        name, place = entry.get("column"), f"{pointer}/column"
    else:
        entry, name, place = {}, entry, pointer
    if not isinstance(name, str) or name not in known:
        faults.append(_unknown_column(name, known, place))
        return None
    column, asked = known[name], entry.get("as")
    fitting = TASKS[column.kind]
    if not fitting:
        detail = f"The column {name!r} is of the kind {column.kind}, which cannot be learned; a target is of the kind "
        faults.append(Fault(pointer=place, detail=f"{detail}numeric, category, text or sequence.{_MEND_KIND}"))
        return None
    if asked is not None and asked not in fitting:
        detail = f"{shown(asked)} came for the target {name!r} of the kind {column.kind}; it can be learned as "
        advice = f"{' or '.join(fitting)}.{_near(asked, [task.value for task in fitting])}{_other_task(asked)}"
        faults.append(Fault(pointer=f"{pointer}/as", detail=detail + advice))
        return None
    return TargetRequest(column=column, task=None if asked is None else Task(asked), pointer=pointer)


_MEND_KIND: Final = " PUT /v1/datasets/{id}/schema changes the kind of a column."


def _other_task(asked: object) -> str:
    kinds = [kind for kind, tasks in TASKS.items() if asked in tasks]
    return f" {asked!r} is for columns of the kind {' or '.join(kinds)}.{_MEND_KIND}" if kinds else ""


# Features -----------------------------------------------------------------------------------------------------------


def _features(
    value: Any,
    known: Mapping[str, ColumnFacts],
    taken: set[str],
    split: SplitRequest | None,
    faults: list[Fault],
) -> Iterator[FeatureRequest]:
    """The features asked for, in the order of the columns; `taken` are the targets."""
    if value == AUTO:
        value = {OTHERS: AUTO}
    if not isinstance(value, dict):
        detail = f'{shown(value)} came; "auto" or an object from column to how it enters was expected, such as '
        faults.append(Fault(pointer="/features", detail=f'{detail}{{"age": "standardize", "*": "auto"}}.'))
        return
    for name in value:
        if name != OTHERS and name not in known:
            faults.append(_unknown_column(name, known, f"/features/{escape(name[:64])}"))
        elif name in taken and value[name] != DROP:
            detail = f"{name!r} is the target, and a network that is given it learns nothing else. Leave it out here."
            faults.append(Fault(pointer=f"/features/{escape(name)}", detail=detail))
    others = _others(value, faults)
    # The rows of a group, or of a named part, are told apart by the column, which says nothing about new rows.
    marks = {split.column} if split is not None and split.by in ("group", "column") else set()
    for name, column in known.items():
        if name in taken:
            continue
        if name in value:
            found = _feature(column, value[name], faults)
        else:
            found = FeatureRequest(column=column, way=AUTO) if others and name not in marks else None
        if found is not None:
            yield found


def _others(value: Mapping[str, Any], faults: list[Fault]) -> bool:
    """Whether the columns that are not named enter too."""
    asked = value.get(OTHERS, DROP)
    if asked not in (AUTO, DROP):
        detail = f'{shown(asked)} came for all columns that are not named; expected "auto" or "drop".'
        faults.append(Fault(pointer=f"/features/{OTHERS}", detail=f"{detail} Name the columns that enter otherwise."))
    return bool(asked == AUTO)


def _feature(column: ColumnFacts, value: Any, faults: list[Fault]) -> FeatureRequest | None:
    """How one column enters; None where it is left out, or after appending faults."""
    pointer = f"/features/{escape(column.name)}"
    if not isinstance(value, dict | str):
        expected = 'a way to enter, such as "auto", or an object such as'
        example = json.dumps({"as": default_way(column.kind)})
        faults.append(Fault(pointer=pointer, detail=f"{shown(value)} came; expected {expected} {example}."))
        return None
    given = value if isinstance(value, dict) else {"as": value}
    way = given.get("as", default_way(column.kind))
    options = {key: one for key, one in given.items() if key != "as"}
    if way not in (AUTO, DROP) and (not isinstance(way, str) or way not in WAYS[column.kind]):
        faults.append(_unfit(column, way, f"{pointer}/as" if isinstance(value, dict) else pointer))
        return None
    if not _check_options(column, way, options, pointer, faults) or way == DROP:
        return None
    return FeatureRequest(column=column, way=way, options=options)


def _unfit(column: ColumnFacts, way: object, pointer: str) -> Fault:
    ways = (*WAYS[column.kind], AUTO, DROP)
    came = f"{shown(way)} came for the column {column.name!r} of the kind {column.kind}"
    detail = f"{came}; it can enter as {', '.join(ways)}."
    kinds = kinds_with(way) if isinstance(way, str) else ()
    if kinds:
        detail += f" {way!r} is for columns of the kind {' or '.join(kinds)}.{_MEND_KIND}"
    else:
        detail += _near(way, ways)
    return Fault(pointer=pointer, detail=detail)


def _check_options(
    column: ColumnFacts, way: str, options: Mapping[str, Any], pointer: str, faults: list[Fault]
) -> bool:
    before = len(faults)
    known = {one.name: one for one in WAYS[column.kind].get(way, ())}
    for name, value in options.items():
        place = f"{pointer}/{escape(name[:64])}"
        if name not in known:
            faults.append(Fault(pointer=place, detail=_unknown_option(column, way, name)))
        elif not known[name].fits(value):
            detail = f"{name} is {_within(value)}; expected {known[name].expected}."
            faults.append(Fault(pointer=place, detail=detail))
    return len(faults) == before


def _unknown_option(column: ColumnFacts, way: str, name: str) -> str:
    known = [one.name for one in WAYS[column.kind].get(way, ())]
    others = [
        other
        for other, options in WAYS[column.kind].items()
        if other != way and name in [option.name for option in options]
    ]
    choices = f"its options are {', '.join(known)}" if known else "it has no options"
    detail = f"The column {column.name!r} enters as {way!r}, which has no option {name[:60]!r}; {choices}."
    if others:
        return f"{detail} It is one of {' and '.join(others)}: name that as `as`, or leave it out."
    return f"{detail}{similar(name, known)} Leave it out, or correct it."


def _check_keys(
    value: Mapping[str, Any], known: Sequence[str], subject: str, pointer: str, faults: list[Fault]
) -> bool:
    wrong = [key for key in value if key not in known]
    for key in wrong:
        detail = f"{subject} has no {key[:60]!r}; it has {', '.join(known)}.{similar(key, known)}"
        faults.append(Fault(pointer=f"{pointer}/{escape(key[:64])}", detail=f"{detail} Correct it, or leave it out."))
    return not wrong


# Split --------------------------------------------------------------------------------------------------------------


def _split(
    value: Any, known: Mapping[str, ColumnFacts], targets: Sequence[str], faults: list[Fault]
) -> SplitRequest | None:
    if value is None:
        return None
    if not isinstance(value, dict):
        detail = f'{shown(value)} came; an object such as {{"validation": 0.2, "test": 0.1}} was expected.'
        faults.append(Fault(pointer="/split", detail=detail))
        return None
    before = len(faults)
    _check_keys(value, ("validation", "test", "by", "column"), "A split", "/split", faults)
    by = value.get("by")
    if by is not None and by not in RULES:
        detail = f"by is {_within(by)}; expected one of {', '.join(RULES)}.{_near(by, RULES)}"
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
                f'{part} is {_within(fraction)}, but with "by": "column" the column says which rows validate and test.'
            )
            faults.append(Fault(pointer=place, detail=f"{detail} Leave {part} out."))
        elif type(fraction) in (int, float) and 0 <= fraction < 1:
            found[index] = float(fraction)
        elif fraction is not None:
            detail = f"{part} is {_within(fraction)}; expected a part of the rows, at least 0 and below 1, such as 0.2."
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
            detail = f"column is {_within(name)}, but {rule} no column decides; expected "
            mend = f"it with {' or '.join(BY_COLUMN)} alone. Leave it out, or name one of these as `by`."
            faults.append(Fault(pointer=place, detail=detail + mend))
        return None
    if name is None:
        detail = f'"by": "{by}" came without a column, and goes by the values of one. Add "column" with its name.'
        faults.append(Fault(pointer=place, detail=detail))
        return None
    if not isinstance(name, str) or name not in known:
        faults.append(_unknown_column(name, known, place))
        return None
    faults.extend(_column_faults(known[name], by, targets))
    return name


def _column_faults(column: ColumnFacts, by: str, targets: Sequence[str]) -> Iterator[Fault]:
    place, came = "/split/column", f"The column {column.name!r} is of the kind {column.kind}"
    if by != "time" and column.name in targets:
        detail = f"{column.name!r} is the target: rows that are split by it have other targets in each part."
        yield Fault(pointer=place, detail=f'{detail} Name another column, or use "by": "stratified".')
    if by == "time" and column.kind not in (Kind.DATE, Kind.NUMERIC):
        yield Fault(pointer=place, detail=f"{came}; the order of time needs a date or a numeric one.{_MEND_KIND}")
    elif column.kind in (Kind.IMAGE, Kind.SEQUENCE):
        yield Fault(pointer=place, detail=f"{came}; rows are split by values such as texts or numbers. Name another.")


def _stratification_faults(split: SplitRequest, target: TargetRequest) -> Iterator[Fault]:
    classes = (None, Task.BINARY, Task.CLASSES)
    if split.by == "stratified" and (target.task not in classes or target.column.kind == Kind.SEQUENCE):
        came = f"The target {target.column.name!r} is no class, and stratified rows have each class alike in every part"
        yield Fault(pointer="/split/by", detail=f'{came}. Use "random", "group", "time" or "order".')
