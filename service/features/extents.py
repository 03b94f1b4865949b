"""The facts of prepared arrays: those of y and of what is written exactly, those of x to be as bounds that hold."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from service.data.arrays import ArrayFacts, Part
from service.features.dates import PARTS, date_part
from service.features.preparation import (
    CATEGORIES,
    NUMBERS,
    Category,
    Date,
    Feature,
    Hashed,
    Image,
    InputFacts,
    Number,
    Preparation,
    Target,
    Task,
    Text,
)
from service.features.preparation import Sequence as Steps
from service.features.survey import DateSurvey, NumberSurvey, SequenceSurvey, Survey


class Extent:
    """Rows, minimum, maximum, and whether all values are whole, of an array that comes in pieces."""

    def __init__(self, rows: int = 0) -> None:
        self.rows = rows
        self._minimum, self._maximum, self._integral = math.inf, -math.inf, True

    def add(self, array: npt.NDArray[Any]) -> None:
        """Add rows, (rows, ...)."""
        self.rows += len(array)
        if not array.size:
            return
        self._minimum = min(self._minimum, array.min().item())
        self._maximum = max(self._maximum, array.max().item())
        if self._integral and array.dtype.kind == "f":
            self._integral = bool((np.trunc(array) == array).all())

    def facts(self, part: Part, name: str | None, shape: tuple[int, ...], dtype: str) -> ArrayFacts:
        """The facts of the array; `shape` is that of one row."""
        known = self._minimum <= self._maximum
        return ArrayFacts(
            part=part,
            name=name,
            shape=(self.rows, *shape),
            dtype=dtype,
            minimum=float(self._minimum) if known else 0.0,
            maximum=float(self._maximum) if known else 0.0,
            integral=self._integral,
        )


def target_dtype(target: Target) -> str:
    """What y is kept as: the numbers of labels as int32, all else as float32."""
    return "int32" if target.task in (Task.BINARY, Task.CLASSES) else "float32"


def target_names(targets: Sequence[Target]) -> dict[str, str | None]:
    """What the array of each target is called, by its slug: a single one has no name."""
    return {target.slug: target.slug if len(targets) > 1 else None for target in targets}


def input_facts(preparation: Preparation, surveys: Mapping[str, Survey]) -> tuple[ArrayFacts, ...]:
    """The facts of x of the training rows, by input, with bounds that the surveys of the columns give."""
    return tuple(_facts(one, preparation, surveys) for one in preparation.inputs)


def _facts(one: InputFacts, preparation: Preparation, surveys: Mapping[str, Survey]) -> ArrayFacts:
    features = [feature for feature in preparation.features if feature.column in one.columns]
    low, high = _bounds(one, features, surveys)
    return ArrayFacts(
        part="x",
        name=one.name,
        shape=(preparation.rows[0], *one.shape),
        dtype=one.dtype,
        minimum=float(np.float32(low)) if one.dtype == "float32" else low,
        maximum=float(np.float32(high)) if one.dtype == "float32" else high,
        integral=one.dtype == "int32",
    )


def _bounds(one: InputFacts, features: Sequence[Feature], surveys: Mapping[str, Survey]) -> tuple[float, float]:
    if one.name == CATEGORIES:
        return 0.0, float(sum(feature.width for feature in features if isinstance(feature, Category | Hashed)) - 1)
    if one.name == NUMBERS:
        each = [bound for feature in features for bound in _bounds_of_numbers(feature, surveys[feature.column])]
        return min(low for low, _ in each), max(high for _, high in each)
    (feature,) = features
    match feature:
        case Category() | Text():
            return 0.0, float(feature.width - 1)
        case Image():
            return 0.0, 255.0
        case Steps():
            moments = _survey_of(SequenceSurvey, surveys[feature.column]).moments
            assert moments is not None
            lows, highs = (*moments.minimum, *feature.centers), (*moments.maximum, *feature.centers)
            return float(min(lows)), float(max(highs))
    raise AssertionError(f"a {type(feature).__name__} has no input of its own")


def _bounds_of_numbers(feature: Feature, survey: Survey) -> Iterator[tuple[float, float]]:
    match feature, survey:
        case Number(), NumberSurvey():
            moments = survey.logarithm if feature.scale == "log" else survey.moments
            ends = [float(moments.minimum[0]), float(moments.maximum[0])]
            if feature.fill is not None and survey.missing:
                ends.append(_logarithm(feature.fill) if feature.scale == "log" else feature.fill)
            if feature.early:
                ends = [(end - feature.center) / (feature.spread or 1.0) for end in ends]
            yield min(ends), max(ends)
            if feature.indicator:
                yield 0.0, 1.0
        case Date(), DateSurvey():
            for part in feature.parts:
                place = PARTS.index(part)
                ends = [float(survey.moments.minimum[place]), float(survey.moments.maximum[place])]
                if feature.fill is not None and survey.missing:
                    ends.append(float(date_part(np.array([feature.fill], "datetime64[us]"), part)[0]))
                yield min(ends), max(ends)


def _logarithm(value: float) -> float:
    return math.copysign(math.log1p(abs(value)), value)


def _survey_of(kind: type[SequenceSurvey], survey: Survey) -> SequenceSurvey:
    assert isinstance(survey, kind)
    return survey
