"""Features are fitted, when a job is submitted: from what a client asked for and the table's rows to a `Preparation`.

prepare (in a child) -> _plan (check_request, settle_targets over all rows, parts_of) -> read (one pass over all that is
asked for) -> _fitted (choose_all where "auto" stands, medians, Fitter) -> _check_validation (of another table)
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from service.data.table import ColumnFacts
from service.errors import Fault, Invalid
from service.features.automatic import choose_all
from service.features.extents import input_facts
from service.features.fitted import Fitter, needs_median
from service.features.preparation import Preparation, Split, Target, Task
from service.features.reading import Findings, medians, read
from service.features.request import Request, check_request
from service.features.slugs import slugs_of
from service.features.split import Parts, parts_of
from service.features.split_request import SplitRequest
from service.features.targets import settle_targets
from service.features.write import check_labels, check_table

_VALIDATION: Final = "/fit/validation_data"


def prepare(request: dict[str, Any]) -> dict[str, Any]:
    """Fit the features that a job asks for on its training rows.

    The request has the table's `folder` and `columns`, the client's `features`, `target` and `split`, a `seed`, and
    perhaps the `validation_folder` of another table. The answer has the `preparation`, the facts of the `arrays` that
    the training rows become (of x with bounds that hold, of y exact), and `notes`: sentences on what was chosen.

    Raises:
        Invalid: with every fault there is in the request, or else in the rows.
    """
    notes: list[str] = []
    plan = _plan(request, notes)
    findings = read(plan.folder, plan.asked.features, plan.targets, plan.parts)
    preparation = _fitted(plan, findings, notes)
    if request.get("validation_folder"):
        _check_validation(Path(request["validation_folder"]), preparation)
    arrays = [*input_facts(preparation, findings.surveys), *findings.goals.facts()]
    return {"preparation": preparation.to_json(), "arrays": [one.to_json() for one in arrays], "notes": notes}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Plan:
    """What is known before features are looked at; `slugs` are the names of columns that inputs can have."""

    folder: Path
    columns: tuple[ColumnFacts, ...]
    asked: Request
    slugs: Mapping[str, str]
    targets: tuple[Target, ...]
    split: Split | None
    parts: Parts


def _plan(request: dict[str, Any], notes: list[str]) -> _Plan:
    folder, columns = Path(request["folder"]), tuple(map(ColumnFacts.from_json, request["columns"]))
    faults: list[Fault] = []
    asked = check_request(request.get("features"), request.get("target"), request.get("split"), columns, faults)
    if asked is None:
        raise _invalid(faults)
    slugs = slugs_of([column.name for column in columns])
    targets = settle_targets(asked.targets, slugs, folder, faults, notes)
    split = None if faults else _settled(asked.split, targets, request.get("seed") or 0, faults)
    if faults:
        raise _invalid(faults)
    parts = parts_of(split, folder, targets)
    return _Plan(folder=folder, columns=columns, asked=asked, slugs=slugs, targets=targets, split=split, parts=parts)


def _fitted(plan: _Plan, findings: Findings, notes: list[str]) -> Preparation:
    faults: list[Fault] = []
    surveys = findings.surveys
    chosen = choose_all(plan.asked.features, surveys, findings.copies, notes)
    if not chosen:
        detail = f"No feature is left for a network: {' '.join(notes)} Name one under features, with how it enters."
        faults.append(Fault(pointer="/features", detail=detail))
    middles = medians(plan.folder, [one for one in chosen if needs_median(one, surveys[one.column.name])], plan.parts)
    fitter = Fitter(slugs=plan.slugs, faults=faults, notes=notes)
    features = [fitter.fit(one, surveys[one.column.name], middles.get(one.column.name)) for one in chosen]
    targets = findings.goals.settled(plan.asked.targets, faults)
    if faults:
        raise _invalid(faults)
    used = {*(one.column.name for one in chosen), *(target.column for target in targets)}
    train, validation, test = np.bincount(plan.parts, minlength=3).tolist()
    return Preparation(
        features=tuple(one for one in features if one is not None),
        targets=targets,
        split=plan.split,
        rows=(train, validation, test),
        ignored=tuple(column.name for column in plan.columns if column.name not in used),
    )


def _invalid(faults: Sequence[Fault]) -> Invalid:
    if len(faults) == 1:
        return Invalid(f"One thing is wrong with the submission: {faults[0].detail}", faults)
    headline = f"{len(faults)} things are wrong with the submission: see errors for where each is and how to mend it."
    return Invalid(headline, faults)


def _settled(asked: SplitRequest | None, targets: Sequence[Target], seed: int, faults: list[Fault]) -> Split | None:
    """The split, by a rule that suits the first target where none is asked for."""
    if asked is None:
        return None
    classes = targets[0].task in (Task.BINARY, Task.CLASSES)
    if asked.by == "stratified" and not classes:
        came = f"The target {targets[0].column!r} is learned as {targets[0].task}, and only classes are stratified"
        faults.append(Fault(pointer="/split/by", detail=f'{came}. Use "random", "group", "time" or "order".'))
    by: Any = asked.by or ("stratified" if classes else "random")
    return Split(validation=asked.validation, test=asked.test, by=by, column=asked.column, seed=seed)


def _check_validation(folder: Path, preparation: Preparation) -> None:
    """Check that another table has what this one's features and targets are made of."""
    faults: list[Fault] = []
    if preparation.rows[1]:
        detail = "Both split.validation and fit.validation_data came, and one of them says which rows validate."
        faults.append(Fault(pointer=_VALIDATION, detail=f"{detail} Leave one out."))
    check_table(folder, preparation, _VALIDATION, faults)
    if not faults:
        check_labels(folder, preparation, _VALIDATION, faults)
    if faults:
        raise _invalid(faults)
