"""What a client asks for: which columns enter a network and how, what is learned, and which rows are kept apart.

Nothing here looks at a row: a request is held against the columns' names and kinds, and what is left to "auto", or to
the values, is settled when the features are fitted.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from service.data.fault_list import escape
from service.data.table import ColumnFacts, Kind
from service.errors import Fault
from service.features.faults import MEND_KIND, check_keys, near, unknown_column, whole, within
from service.features.preparation import Task
from service.features.split_request import SplitRequest, check_split
from service.features.ways import AUTO, DROP, WAYS, default_way, kinds_with
from service.features.wording import shown, similar

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


@dataclass(frozen=True, slots=True, kw_only=True)
class FeatureRequest:
    """One column that is to enter: `way` is one of its kind's ways or "auto"; only the options given are there.

    `named` says whether the client named the column, and not just all that are left.
    """

    column: ColumnFacts
    way: str
    named: bool = True
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
    wanted = check_split(split, known, [one.column.name for one in targets], faults)
    taken = {one.column.name for one in targets}
    asked = tuple(_features(AUTO if features is None else features, known, taken, wanted, faults))
    if not asked and len(faults) == before:
        detail = "No feature is left, and a network needs one at least. Name a column"
        faults.append(Fault(pointer="/features", detail=f'{detail}, or send "features": "auto".'))
    if wanted is not None and targets and len(faults) == before:
        faults.extend(_stratification_faults(wanted, targets[0]))
    faults[before:] = map(whole, faults[before:])
    return None if len(faults) > before else Request(features=asked, targets=targets, split=wanted)


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
        if not check_keys(entry, ("column", "as"), "A target", pointer, faults):
            return None
        name, place = entry.get("column"), f"{pointer}/column"
    else:
        entry, name, place = {}, entry, pointer
    if not isinstance(name, str) or name not in known:
        faults.append(unknown_column(name, known, place))
        return None
    column, asked = known[name], entry.get("as")
    fitting = TASKS[column.kind]
    if not fitting:
        detail = f"The column {name!r} is of the kind {column.kind}, which cannot be learned; a target is of the kind "
        faults.append(Fault(pointer=place, detail=f"{detail}numeric, category, text or sequence.{MEND_KIND}"))
        return None
    if asked is not None and asked not in fitting:
        detail = f"{shown(asked)} came for the target {name!r} of the kind {column.kind}; it can be learned as "
        advice = f"{' or '.join(fitting)}.{near(asked, [task.value for task in fitting])}{_other_task(asked)}"
        faults.append(Fault(pointer=f"{pointer}/as", detail=detail + advice))
        return None
    return TargetRequest(column=column, task=None if asked is None else Task(asked), pointer=pointer)


def _other_task(asked: object) -> str:
    kinds = [kind for kind, tasks in TASKS.items() if asked in tasks]
    return f" {asked!r} is for columns of the kind {' or '.join(kinds)}.{MEND_KIND}" if kinds else ""


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
            faults.append(unknown_column(name, known, f"/features/{escape(name[:64])}"))
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
            taking = others and name not in marks
            found = FeatureRequest(column=column, way=AUTO, named=False) if taking else None
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
        detail += f" {way!r} is for columns of the kind {' or '.join(kinds)}.{MEND_KIND}"
    else:
        detail += near(way, ways)
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
            detail = f"{name} is {within(value)}; expected {known[name].expected}."
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


def _stratification_faults(split: SplitRequest, target: TargetRequest) -> Iterator[Fault]:
    classes = (None, Task.BINARY, Task.CLASSES)
    if split.by == "stratified" and (target.task not in classes or target.column.kind == Kind.SEQUENCE):
        came = f"The target {target.column.name!r} is no class, and stratified rows have each class alike in every part"
        yield Fault(pointer="/split/by", detail=f'{came}. Use "random", "group", "time" or "order".')
