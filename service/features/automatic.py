"""What "auto" makes of a column, by its kind and its training rows, and a sentence for each choice that is no default.

A quantity is standardized; its logarithm is, where it leans far to one side and its logarithm does so less. A category
of few names is one-hot, of more an embedding, of very many hashed. A text is a bag of words, or, as the only feature,
its words in order. Columns that tell nothing are left out: constant ones, identifiers, copies of a target; and so are
those that tell where a row comes from, unless the client names them.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from service.data.table import ColumnFacts, Kind, Origin
from service.features.request import FeatureRequest
from service.features.survey import (
    LARGEST,
    CategorySurvey,
    DateSurvey,
    ImageSurvey,
    NumberSurvey,
    Survey,
    TextSurvey,
)
from service.features.ways import AUTO

#: Up to so many categories are one-hot, more are an embedding, and beyond the other number they are hashed.
MAX_ONE_HOT: Final = 32
MAX_EMBEDDING: Final = 10_000
NUM_BINS: Final = 1_024
#: A quantity leans far to one side from this skewness on, which is about that of an exponential distribution.
_SKEWED: Final = 2.0
#: From so many rows on, a column in which no two are alike names its rows.
_IDENTIFYING_ROWS: Final = 20
#: New categories are to be expected where more than this part of the rows would be of one.
_EXPECTED_NEW: Final = 0.01
_IDENTIFIERS: Final = ("id", "uuid", "guid", "key", "index")
_SIDES: Final = (32, 128)
_ORIGINS: Final[Mapping[Origin, str]] = {
    Origin.FILENAME: "the file that the row comes from",
    Origin.SEQUENCE: "the sequence that the row comes from",
    Origin.START: "the time at which the row's window begins",
    Origin.END: "the time at which the row's window ends",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """How a column enters, None where it is left out, and why."""

    chosen: FeatureRequest | None
    note: str | None = None


def choose_all(
    features: Sequence[FeatureRequest], surveys: Mapping[str, Survey], copies: Mapping[str, str], notes: list[str]
) -> list[FeatureRequest]:
    """The features with nothing left to "auto"; `copies` are the targets that columns repeat, by the column's name."""
    chosen = []
    for one in features:
        choice = _choose(one, surveys[one.column.name], copies.get(one.column.name))
        if choice.note is not None:
            notes.append(choice.note)
        if choice.chosen is not None:
            chosen.append(choice.chosen)
    automatic = {one.column.name for one in features if one.way == AUTO}
    if [one.column.kind for one in chosen] == [Kind.TEXT] and chosen[0].column.name in automatic:
        notes.append(f"{chosen[0].column.name!r} enters as words in their order: it is the only feature.")
        chosen = [replace(chosen[0], way="tokens")]
    return chosen


def _choose(asked: FeatureRequest, survey: Survey, copied: str | None) -> Choice:
    column = asked.column
    if asked.way != AUTO:
        note = f"{column.name!r} repeats the target {copied!r}: what is learned of it says nothing new."
        return Choice(chosen=asked, note=None if copied is None else note)
    if copied is not None:
        return _left_out(column, f"it repeats the target {copied!r}")
    if column.origin is not None and not asked.named:
        told = f"it names {_ORIGINS[column.origin]}, which new rows do not share"
        return _left_out(column, f"{told} (name it under features to have it enter)")
    if survey.rows and survey.missing == survey.rows:
        return _left_out(column, "it has no value in any row")
    if survey.constant:
        return _left_out(column, "it is the same in every row that trains, or empty")
    if _identifies(column, survey):
        return _left_out(column, "it has another value in each row, as identifiers do")
    return _CHOOSERS[column.kind](asked, survey)


def embedding_size(categories: int) -> int:
    """How many numbers stand for one of so many categories, by a rule of thumb: 1.6 times their 0.56th power."""
    return max(1, min(50, round(1.6 * math.pow(categories, 0.56))))


def _left_out(column: ColumnFacts, why: str) -> Choice:
    return Choice(chosen=None, note=f"{column.name!r} is left out: {why}.")


def _identifies(column: ColumnFacts, survey: Survey) -> bool:
    """Whether the column names rows, as far as that can be seen."""
    match survey:
        case NumberSurvey():
            moments = survey.moments
            rows = moments.count[0]
            if not survey.distinct.all_distinct or rows < _IDENTIFYING_ROWS:
                return False
            # Quantities, too, can all be different; numbers without gaps, or so called, are counted through.
            without_gaps = moments.maximum[0] - moments.minimum[0] < 1.1 * survey.rows
            return bool(without_gaps or _is_called_identifier(column.name))
        case CategorySurvey():
            counts = survey.counts
            return counts.all_different and counts.total >= _IDENTIFYING_ROWS
        case TextSurvey():
            texts = survey.texts
            return texts.all_different and survey.single_words and texts.total >= _IDENTIFYING_ROWS
    return False


def _is_called_identifier(name: str) -> bool:
    last = name.replace("-", "_").replace(" ", "_").rpartition("_")[2]
    return last.lower() in _IDENTIFIERS or last.endswith(("Id", "ID"))


def _number(asked: FeatureRequest, survey: Any) -> Choice:
    assert isinstance(survey, NumberSurvey)
    name, way, notes = asked.column.name, "standardize", []
    before, after = abs(survey.moments.skewness[0]), abs(survey.logarithm.skewness[0])
    if survey.moments.minimum[0] >= 0 and before > _SKEWED and after < before / 2:
        way = "log"
        notes.append(f"{name!r} enters by its logarithm, whose skewness is {after:.1f}, not {before:.1f}.")
    elif survey.largest > LARGEST:
        way = "log"
        notes.append(f"{name!r} enters by its logarithm: it has values up to {survey.largest:.1g}.")
    options: dict[str, Any] = {}
    if survey.missing:
        options = {"missing": "median", "indicator": True}
        found = f"{survey.missing} of {survey.rows} rows"
        notes.append(f"{name!r} has no value in {found}: the median stands for it, and a number says so.")
    return Choice(chosen=replace(asked, way=way, options=options), note=" ".join(notes) or None)


def _category(asked: FeatureRequest, survey: Any) -> Choice:
    assert isinstance(survey, CategorySurvey)
    name, counts = asked.column.name, survey.counts
    if counts.full:
        note = f"{name!r} is hashed into {NUM_BINS} bins: it has more than {MAX_EMBEDDING} categories."
        return Choice(chosen=replace(asked, way="hashing", options={"num_bins": NUM_BINS}), note=note)
    options: dict[str, Any] = {}
    notes = []
    # By Good's estimate (1953) the part of the rows to come that are new is that of the categories seen once.
    new = counts.once / max(1, counts.total)
    if new > _EXPECTED_NEW:
        options["unknown"] = "other"
        notes.append(f"{name!r} takes categories that are new as other ones: {counts.once} came a single time.")
    if counts.distinct <= MAX_ONE_HOT:
        return Choice(chosen=replace(asked, way="one_hot", options=options), note=" ".join(notes) or None)
    options["output_dim"] = embedding_size(counts.distinct)
    notes.insert(0, f"{name!r} is embedded in {options['output_dim']} numbers: it has {counts.distinct} categories.")
    return Choice(chosen=replace(asked, way="embedding", options=options), note=" ".join(notes))


def _text(asked: FeatureRequest, survey: Any) -> Choice:
    return Choice(chosen=replace(asked, way="bag"))


def _date(asked: FeatureRequest, survey: Any) -> Choice:
    assert isinstance(survey, DateSurvey)
    options: dict[str, Any] = {"parts": list(survey.varying)}
    if survey.missing:
        options["missing"] = "median"
    note = f"{asked.column.name!r} enters by what varies of it: {', '.join(survey.varying)}."
    return Choice(chosen=replace(asked, way="parts", options=options), note=note)


def _image(asked: FeatureRequest, survey: Any) -> Choice:
    assert isinstance(survey, ImageSurvey)
    return Choice(chosen=replace(asked, way="rescale", options=image_size(survey)))


def image_size(survey: ImageSurvey) -> dict[str, Any]:
    """The size that pictures are brought to: that of most of them, within bounds; grey if all of them are."""
    sides = survey.typical_size() or (_SIDES[0], _SIDES[0])
    height, width = (min(max(side, _SIDES[0]), _SIDES[1]) for side in sides)
    return {"height": height, "width": width, "channels": 1 if survey.grey else 3}


def _sequence(asked: FeatureRequest, survey: Any) -> Choice:
    return Choice(chosen=replace(asked, way="standardize"))


_CHOOSERS: Final[Mapping[Kind, Callable[[FeatureRequest, Any], Choice]]] = {
    Kind.NUMERIC: _number,
    Kind.CATEGORY: _category,
    Kind.TEXT: _text,
    Kind.DATE: _date,
    Kind.IMAGE: _image,
    Kind.SEQUENCE: _sequence,
}
