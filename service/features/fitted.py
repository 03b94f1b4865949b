"""Features as they are stored: what was asked for, and what the survey of the training rows found, put together."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from service.data.fault_list import escape
from service.data.parsing import date_of
from service.data.table import ColumnFacts, Kind
from service.errors import Fault
from service.features import preparation as prepared
from service.features.automatic import NUM_BINS, embedding_size, image_size
from service.features.cells import text_of_cell
from service.features.dates import PARTS
from service.features.request import FeatureRequest
from service.features.survey import (
    LARGEST,
    CategorySurvey,
    DateSurvey,
    ImageSurvey,
    NumberSurvey,
    SequenceSurvey,
    Survey,
    TextSurvey,
)
from service.features.targets import rows_listed
from service.features.ways import MOST_FREQUENT
from service.features.wording import listed, similar

#: The most categories that enter where none is named: those that come most often.
_MAX_CATEGORIES: Final = {"one_hot": 1_000, "embedding": 100_000}
_MAX_TOKENS: Final = {"bag": 1_000, "tokens": 10_000}
#: How many words of a text enter: what so many of the texts have, up to so many.
_WORDS: Final[Mapping[str, tuple[float, int]]] = {"bag": (1.0, 512), "tokens": (0.95, 256)}
_MAX_STEPS: Final = 512
_FLOAT32_MAX: Final = float(np.finfo(np.float32).max)


@dataclass(slots=True)
class Fitter:
    """Makes features of requests in which nothing is left to "auto"; what is wrong goes to `faults`."""

    slugs: Mapping[str, str]
    faults: list[Fault]
    notes: list[str]

    def fit(self, asked: FeatureRequest, survey: Survey, median: float | None) -> prepared.Feature | None:
        """One feature, or None after appending faults; `median` is there where `needs_median` says so."""
        before = len(self.faults)
        # A sequence shares the names of its ways with numbers.
        fit = _sequence if asked.column.kind is Kind.SEQUENCE else _FITTERS[asked.way]
        feature = fit(self, asked, survey, median)
        return None if len(self.faults) > before else feature

    def fault(self, asked: FeatureRequest, detail: str, *options: str) -> None:
        """Add a fault of a column, or of what stands at some keys of its options."""
        pointer = "/".join([asked.pointer, *map(escape, options)])
        self.faults.append(Fault(pointer=pointer, detail=f"The column {asked.column.name!r} {detail}"))

    def own(self, column: ColumnFacts) -> dict[str, Any]:
        """What every feature says of its column."""
        return {"column": column.name, "type": column.type, "kind": column.kind, "slug": self.slugs[column.name]}


def needs_median(asked: FeatureRequest, survey: Survey) -> bool:
    """Whether a missing value is the median: if so asked, or if nothing is asked and some are missing."""
    if not isinstance(survey, NumberSurvey | DateSurvey):
        return False
    missing = asked.options.get("missing")
    return missing == "median" or (missing is None and survey.missing > 0)


def _number(fitter: Fitter, asked: FeatureRequest, survey: Any, median: float | None) -> prepared.Feature | None:
    assert isinstance(survey, NumberSurvey)
    if not survey.moments.count[0]:
        fitter.fault(asked, "has no number in the training rows. Leave it out.")
        return None
    if not np.isfinite(survey.largest):
        fitter.fault(asked, "has infinite values, which no network takes. Replace them, or leave it out.")
        return None
    center, spread = _center_and_spread(asked.way, survey)
    if not np.isfinite(spread) or (asked.way == "none" and survey.largest > _FLOAT32_MAX):
        detail = f'has values up to {survey.largest:.3g}, which are too large to enter as they are. Use "log".'
        fitter.fault(asked, detail)
        return None
    fill = _filler(fitter, asked, survey, median)
    return prepared.Number(
        **fitter.own(asked.column),
        scale=asked.way,  # type: ignore[arg-type]  # The ways of this fitter are the scales.
        center=center,
        spread=spread or 1.0,
        fill=fill,
        indicator=asked.options.get("indicator", False),
    )


def _center_and_spread(way: str, survey: NumberSurvey) -> tuple[float, float]:
    moments = survey.logarithm if way == "log" else survey.moments
    if way == "none":
        return 0.0, 1.0
    if way == "min_max":
        return float(moments.minimum[0]), float(moments.maximum[0] - moments.minimum[0])
    return float(moments.mean[0]), float(moments.spread[0])


def _filler(fitter: Fitter, asked: FeatureRequest, survey: NumberSurvey, median: float | None) -> float | None:
    missing = asked.options.get("missing")
    if missing is None and survey.missing:
        missing = _note_median(fitter, asked, survey)
    if missing == "error" and survey.missing:
        found = rows_listed([row + 1 for row in survey.missing_rows], survey.missing)
        detail = f'has no number in {found}, and its missing is "error". Fill them in, or send "missing": "median".'
        fitter.fault(asked, detail, "missing")
    if isinstance(missing, int | float) and asked.way != "log" and abs(missing) > _FLOAT32_MAX:
        detail = f"is to be filled in, and its missing is {missing:g}, which is too large to enter. Send another."
        fitter.fault(asked, detail, "missing")
    named = {"mean": float(survey.moments.mean[0]), "median": median, "zero": 0.0, "error": None, None: None}
    return named[missing] if missing is None or isinstance(missing, str) else float(missing)


def _note_median(fitter: Fitter, asked: FeatureRequest, survey: Survey) -> str:
    found = f"in {survey.missing} of {survey.rows} rows"
    fitter.notes.append(f"{asked.column.name!r} has no value {found}: the median stands for it.")
    return "median"


def _category(fitter: Fitter, asked: FeatureRequest, survey: Any, median: float | None) -> prepared.Feature | None:
    assert isinstance(survey, CategorySurvey)
    counts = survey.counts
    if counts.full:
        mend = 'Use "hashing", after making it a category by PUT /v1/datasets/{id}/schema if it is none.'
        fitter.fault(asked, f"has more different values than can be counted, which are 1,000,000. {mend}")
        return None
    if not counts.total:
        fitter.fault(asked, "has no value in the training rows. Leave it out.")
        return None
    limit = asked.options.get("max_categories", _MAX_CATEGORIES[asked.way])
    categories = counts.most_frequent(limit)
    unknown = asked.options.get("unknown", "error")
    if counts.distinct > limit:
        note = f"Of the {counts.distinct} categories of {asked.column.name!r}, the {limit} most frequent enter"
        # A rare category that was seen is no surprise at prediction.
        unknown = asked.options.get("unknown", "other")
        fitter.notes.append(f"{note}; the others are taken together.")
    return prepared.Category(
        **fitter.own(asked.column),
        enters=asked.way,  # type: ignore[arg-type]  # This fitter has these two ways.
        categories=categories,
        output_dim=asked.options.get("output_dim", embedding_size(len(categories))) if _is_embedded(asked) else None,
        unknown=unknown,
        **_missing_category(fitter, asked, categories),
    )


def _missing_category(fitter: Fitter, asked: FeatureRequest, categories: Sequence[str] | None) -> dict[str, Any]:
    """The `missing` and `fill` of a category; hashes are of any category, and know none."""
    missing = asked.options.get("missing", "other")
    if missing == MOST_FREQUENT and categories:
        return {"missing": "other", "fill": categories[0]}
    if not isinstance(missing, dict):
        return {"missing": missing, "fill": None}
    fill = text_of_cell(missing["category"], asked.column.type) or ""
    if categories is not None and fill not in categories:
        detail = (
            f"has no category {fill[:60]!r} that could stand for a missing one; those that enter are "
            f"{listed(categories)}.{similar(fill, categories)} Send one of these, or none."
        )
        fitter.fault(asked, detail, "missing", "category")
    return {"missing": "other", "fill": fill}


def _is_embedded(asked: FeatureRequest) -> bool:
    return asked.way == "embedding"


def _hashed(fitter: Fitter, asked: FeatureRequest, survey: Any, median: float | None) -> prepared.Feature | None:
    return prepared.Hashed(
        **fitter.own(asked.column),
        num_bins=asked.options.get("num_bins", NUM_BINS),
        **_missing_category(fitter, asked, None),
    )


def _text(fitter: Fitter, asked: FeatureRequest, survey: Any, median: float | None) -> prepared.Feature | None:
    assert isinstance(survey, TextSurvey)
    # As in Keras's TextVectorization, no word and an unknown one count among the tokens.
    vocabulary = survey.words.most_frequent(asked.options.get("max_tokens", _MAX_TOKENS[asked.way]) - 2)
    if not survey.lengths[1:].any():
        fitter.fault(asked, "has no word in the training rows. Leave it out.")
        return None
    part, most = _WORDS[asked.way]
    return prepared.Text(
        **fitter.own(asked.column),
        enters=asked.way,  # type: ignore[arg-type]  # This fitter has these two ways.
        vocabulary=vocabulary,
        sequence_length=asked.options.get("sequence_length", min(survey.longest(part), most)),
    )


def _date(fitter: Fitter, asked: FeatureRequest, survey: Any, median: float | None) -> prepared.Feature | None:
    assert isinstance(survey, DateSurvey)
    if not survey.moments.count[0]:
        fitter.fault(asked, "has no date in the training rows. Leave it out.")
        return None
    missing = asked.options.get("missing")
    if missing is None and survey.missing:
        missing = _note_median(fitter, asked, survey)
    if missing == "error" and survey.missing:
        found = rows_listed([row + 1 for row in survey.missing_rows], survey.missing)
        detail = f'has no date in {found}, and its missing is "error". Fill them in, or send "missing": "median".'
        fitter.fault(asked, detail, "missing")
    parts = tuple(asked.options.get("parts", survey.varying or PARTS[:1]))
    places = [PARTS.index(part) for part in parts]
    return prepared.Date(
        **fitter.own(asked.column),
        parts=parts,
        centers=tuple(survey.moments.mean[places].tolist()),
        spreads=tuple((one or 1.0) for one in survey.moments.spread[places].tolist()),
        fill=_date_filler(missing, median),
    )


def _date_filler(missing: str | None, median: float | None) -> str | None:
    """What stands for a missing date, in ISO 8601 and UTC."""
    if missing is None or missing == "error":
        return None
    if missing == "median":
        return None if median is None else str(np.datetime64(int(median), "us"))
    return str(np.datetime64(date_of(missing), "us"))


def _image(fitter: Fitter, asked: FeatureRequest, survey: Any, median: float | None) -> prepared.Feature | None:
    assert isinstance(survey, ImageSurvey)
    _refuse_missing(fitter, asked, survey, "image")
    return prepared.Image(**fitter.own(asked.column), **{**image_size(survey), **asked.options})


def _sequence(fitter: Fitter, asked: FeatureRequest, survey: Any, median: float | None) -> prepared.Feature | None:
    assert isinstance(survey, SequenceSurvey)
    _refuse_missing(fitter, asked, survey, "sequence")
    moments, channels = survey.moments, survey.channels
    if moments is None or not moments.count.all():
        fitter.fault(asked, "has no number in a channel of its steps in the training rows. Leave it out.")
        return None
    if not (np.maximum(np.abs(moments.minimum), np.abs(moments.maximum)) <= LARGEST).all():
        fitter.fault(asked, f"has steps beyond {LARGEST:g}, up to which numbers can enter. Scale them.")
        return None
    plain = asked.way == "none"
    return prepared.Sequence(
        **fitter.own(asked.column),
        length=asked.options.get("length", max(1, min(survey.longest, _MAX_STEPS))),
        channels=channels,
        pad=asked.options.get("pad", "post"),
        truncate=asked.options.get("truncate", "post"),
        centers=(0.0,) * channels if plain else tuple(moments.mean.tolist()),
        spreads=(1.0,) * channels if plain else tuple((one or 1.0) for one in moments.spread.tolist()),
    )


def _refuse_missing(fitter: Fitter, asked: FeatureRequest, survey: Survey, what: str) -> None:
    if survey.missing:
        found = rows_listed([row + 1 for row in survey.missing_rows], survey.missing)
        fitter.fault(asked, f"has no {what} in {found}, and nothing can stand for it. Leave these rows out.")


_Fit = Callable[[Fitter, FeatureRequest, Any, float | None], prepared.Feature | None]
_SCALES: Final = ("standardize", "min_max", "log", "none")
_FITTERS: Final[Mapping[str, _Fit]] = {
    **dict.fromkeys(_SCALES, _number),
    "one_hot": _category,
    "embedding": _category,
    "hashing": _hashed,
    "bag": _text,
    "tokens": _text,
    "parts": _date,
    "rescale": _image,
}
