"""The passes over a table by which features are fitted: one over all that is asked for, one for medians."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from service.data.table import Kind
from service.features.automatic import MAX_EMBEDDING
from service.features.columns import form_of, of_batch
from service.features.copies import Copies
from service.features.goals import Goals
from service.features.pieces import pieces, row_bytes
from service.features.preparation import Target
from service.features.request import FeatureRequest
from service.features.split import TRAIN, Parts
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
from service.features.ways import AUTO

#: The most different categories that are counted of a column.
_MOST_CATEGORIES: Final = 1_000_000
#: What all columns together keep of their values, to find a median, or that no two are alike.
_MOST_KEPT: Final = 8_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """What one pass over a table has found: of each column that is asked for, of the targets, and of their copies."""

    surveys: Mapping[str, Survey]
    goals: Goals
    copies: Mapping[str, str]


def read(folder: Path, features: Sequence[FeatureRequest], targets: Sequence[Target], parts: Parts) -> Findings:
    """Go through all rows once; `parts` says which of them train."""
    surveys = {one.column.name: _survey(one, len(features)) for one in features}
    goals, copies = Goals(targets), Copies([one.column for one in features], targets)
    names = [*surveys, *(target.column for target in targets)]
    for first, batch in pieces(folder, names, row_bytes(goals.preparation)):
        training = parts[first : first + batch.num_rows] == TRAIN
        copies.add(batch)
        goals.add({one.column: of_batch(batch, one.column, one.type, form_of(one)) for one in targets}, training)
        for one in features:
            survey = surveys[one.column.name]
            survey.add(of_batch(batch, one.column.name, one.column.type, survey.form), training)
    return Findings(surveys=surveys, goals=goals, copies=copies.found())


def medians(folder: Path, wanted: Sequence[FeatureRequest], parts: Parts) -> dict[str, float | None]:
    """The medians of the training rows by column; that of dates is in microseconds since 1970."""
    if not wanted:
        return {}
    samples = {one.column.name: Sample(_share(len(wanted))) for one in wanted}
    for first, batch in pieces(folder, list(samples)):
        training = parts[first : first + batch.num_rows] == TRAIN
        for one in wanted:
            values = np.asarray(of_batch(batch, one.column.name, one.column.type, one.column.kind))
            dates = values.dtype.kind == "M"
            there = np.flatnonzero(training & ~(np.isnat(values) if dates else np.isnan(values)))
            own = values[there].astype(np.int64) if dates else values[there]
            samples[one.column.name].add(own, first + there)
    return {name: sample.median() for name, sample in samples.items()}


def _survey(asked: FeatureRequest, number: int) -> Survey:
    """What gathers what must be known of a column, one of so many."""
    kind = asked.column.kind
    if kind is Kind.CATEGORY or asked.way in ("one_hot", "embedding"):
        return CategorySurvey({AUTO: MAX_EMBEDDING, "hashing": 1}.get(asked.way, _MOST_CATEGORIES))
    match kind:
        case Kind.NUMERIC:
            return NumberSurvey(_share(number))
        case Kind.TEXT:
            return TextSurvey(MAX_EMBEDDING)
        case Kind.DATE:
            return DateSurvey()
        case Kind.IMAGE:
            return ImageSurvey()
        case Kind.SEQUENCE:
            return SequenceSurvey()


def _share(number: int) -> int:
    """How many values one of so many columns may keep."""
    return max(1_000, min(SAMPLE, _MOST_KEPT // number))
