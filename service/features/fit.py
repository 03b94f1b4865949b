"""Features are fitted, when a job is submitted: from what a client asked for and the table's rows to a `Preparation`.

prepare (in a child) -> check_request -> settle_targets (all rows) -> parts_of -> _read (one pass over what is needed,
surveys are of the rows that train) -> choose where "auto" stands -> _medians (a pass over columns that need one)
-> Fitter -> check_validation (another table, if there is one)
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from service.data.table import ColumnFacts, Kind
from service.errors import Fault, Invalid
from service.features.automatic import MAX_EMBEDDING, choose
from service.features.columns import Values, form_of, of_batch
from service.features.copies import Copies
from service.features.extents import input_facts
from service.features.fitted import Fitter, needs_median
from service.features.goals import Goals
from service.features.pieces import pieces, row_bytes
from service.features.preparation import Preparation, Split, Target, Task
from service.features.request import FeatureRequest, Request, SplitRequest, check_request
from service.features.slugs import slugs_of
from service.features.split import TRAIN, Parts, parts_of
from service.features.statistics import SAMPLE, Sample
from service.features.survey import (
    CategorySurvey,
    DateSurvey,
    ImageSurvey,
    NumberSurvey,
    SequenceSurvey,
    Survey,
    TextSurvey,
)
from service.features.targets import settle_targets
from service.features.ways import AUTO
from service.features.write import check_labels, check_table

if TYPE_CHECKING:
    import pyarrow as pa

#: The most different categories that are counted of a column.
_MOST_CATEGORIES: Final = 1_000_000
#: What all columns together keep of their values, to find a median, or that no two are alike.
_MOST_KEPT: Final = 8_000_000
_VALIDATION: Final = "/fit/validation_data"


def prepare(request: dict[str, Any]) -> dict[str, Any]:
    """Fit the features that a job asks for on its training rows.

    The request has the table's `folder` and `columns`, the client's `features`, `target` and `split`, a `seed`, and
    perhaps the `validation_folder` of another table. The answer has the `preparation`, the facts of the `arrays` that
    the training rows become (of x with bounds that hold, of y exact), and `notes`: sentences on what was chosen.

    Raises:
        Invalid: with every fault there is in the request, or else in the rows.
    """
    folder, columns = Path(request["folder"]), tuple(map(ColumnFacts.from_json, request["columns"]))
    faults: list[Fault] = []
    notes: list[str] = []
    asked = check_request(request.get("features"), request.get("target"), request.get("split"), columns, faults)
    if asked is None:
        raise _invalid(faults)
    slugs = slugs_of([column.name for column in columns])
    targets = settle_targets(asked.targets, slugs, folder, faults, notes)
    split = None if faults else _settled(asked.split, targets, request.get("seed") or 0, faults)
    if faults:
        raise _invalid(faults)
    parts = parts_of(split, folder, targets)
    surveys = {one.column.name: _survey(one, len(asked.features)) for one in asked.features}
    goals, copies = Goals(targets), Copies([one.column for one in asked.features], targets)
    _read(folder, asked, targets, parts, surveys, goals, copies)
    chosen = list(_chosen(asked, surveys, copies.found(), notes, faults))
    medians = _medians(folder, [one for one in chosen if needs_median(one, surveys[one.column.name])], parts)
    fitter = Fitter(slugs=slugs, faults=faults, notes=notes)
    features = [fitter.fit(one, surveys[one.column.name], medians.get(one.column.name)) for one in chosen]
    settled = goals.settled(asked.targets, faults)
    if faults:
        raise _invalid(faults)
    used = {*(one.column.name for one in chosen), *(target.column for target in settled)}
    train, validation, test = np.bincount(parts, minlength=3).tolist()
    preparation = Preparation(
        features=tuple(one for one in features if one is not None),
        targets=settled,
        split=split,
        rows=(train, validation, test),
        ignored=tuple(column.name for column in columns if column.name not in used),
    )
    if request.get("validation_folder"):
        _check_validation(Path(request["validation_folder"]), preparation)
    arrays = [*input_facts(preparation, surveys), *goals.facts()]
    return {"preparation": preparation.to_json(), "arrays": [one.to_json() for one in arrays], "notes": notes}


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


def _survey(asked: FeatureRequest, number: int) -> Survey:
    """What gathers what must be known of a column, one of so many."""
    most = max(1_000, min(SAMPLE, _MOST_KEPT // number))
    kind = asked.column.kind
    if kind is Kind.CATEGORY or asked.way in ("one_hot", "embedding"):
        counted = {AUTO: MAX_EMBEDDING, "hashing": 1}.get(asked.way, _MOST_CATEGORIES)
        return CategorySurvey(counted)
    match kind:
        case Kind.NUMERIC:
            return NumberSurvey(most)
        case Kind.TEXT:
            return TextSurvey(MAX_EMBEDDING)
        case Kind.DATE:
            return DateSurvey()
        case Kind.IMAGE:
            return ImageSurvey()
        case Kind.SEQUENCE:
            return SequenceSurvey()


def _read(
    folder: Path,
    asked: Request,
    targets: Sequence[Target],
    parts: Parts,
    surveys: Mapping[str, Survey],
    goals: Goals,
    copies: Copies,
) -> None:
    """One pass over the columns that are asked for."""
    names = [*(one.column.name for one in asked.features), *(one.column.name for one in asked.targets)]
    for first, batch in pieces(folder, names, row_bytes(goals.preparation)):
        training = parts[first : first + batch.num_rows] == TRAIN
        copies.add(batch)
        goals.add(_goal_values(batch, targets), training)
        for one in asked.features:
            survey = surveys[one.column.name]
            survey.add(of_batch(batch, one.column.name, one.column.type, survey.form), training)


def _goal_values(batch: pa.RecordBatch, targets: Sequence[Target]) -> dict[str, Values]:
    return {one.column: of_batch(batch, one.column, one.type, form_of(one)) for one in targets}


def _chosen(
    asked: Request, surveys: Mapping[str, Survey], copies: Mapping[str, str], notes: list[str], faults: list[Fault]
) -> Iterator[FeatureRequest]:
    """The features with nothing left to "auto"."""
    found = 0
    for one in asked.features:
        name = one.column.name
        if one.way != AUTO:
            if name in copies:
                notes.append(f"{name!r} repeats the target {copies[name]!r}: what is learned of it says nothing new.")
            found += 1
            yield one
            continue
        choice = choose(one, surveys[name], copies.get(name), alone=len(asked.features) == 1)
        if choice.note is not None:
            notes.append(choice.note)
        if choice.chosen is not None:
            found += 1
            yield choice.chosen
    if not found:
        detail = f"No feature is left for a network: {' '.join(notes)} Name one under features, with how it enters."
        faults.append(Fault(pointer="/features", detail=detail))


def _medians(folder: Path, wanted: Sequence[FeatureRequest], parts: Parts) -> dict[str, float | None]:
    """The medians of the training rows; that of dates is in microseconds since 1970."""
    if not wanted:
        return {}
    size = max(1_000, min(SAMPLE, _MOST_KEPT // len(wanted)))
    samples = {one.column.name: Sample(size) for one in wanted}
    for first, batch in pieces(folder, [one.column.name for one in wanted]):
        training = parts[first : first + batch.num_rows] == TRAIN
        for one in wanted:
            values = np.asarray(of_batch(batch, one.column.name, one.column.type, one.column.kind))
            there = np.flatnonzero(training & (values == values))
            own = values[there].astype(np.int64) if values.dtype.kind == "M" else values[there]
            samples[one.column.name].add(own, first + there)
    return {name: sample.median() for name, sample in samples.items()}


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
