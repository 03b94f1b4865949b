"""Values of columns become the network's arrays: the one piece of code for training, evaluation and prediction.

A row is encoded alike alone and among a million: nothing here depends on other rows. What the values mean was settled
when the preparation was fitted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from service.data.fault_list import FaultList, escape
from service.features import preparation as prepared
from service.features.columns import MISSING, REFUSED_IMAGE, Codes, Values
from service.features.dates import date_part
from service.features.pictures import PictureError, pixels_of
from service.features.preparation import CATEGORIES, NUMBERS, InputFacts, Preparation, Target, Task
from service.features.wording import listed, similar
from service.features.words import words_of

Array = npt.NDArray[Any]
Mask = npt.NDArray[np.bool_]

#: Of Hashed, how much of the hash counts.
_HASH_BYTES: Final = 8
_TOO_LARGE: Final = "a number came that no float32 holds; expected one up to 3.4e38. Correct it, or leave the row out."


def encode_inputs(
    values: Mapping[str, Values],
    preparation: Preparation,
    faults: FaultList | None = None,
    pointer: str = "",
    first_row: int = 0,
) -> dict[str, Array]:
    """The network's inputs by name, (rows, *shape), from the values of the features' columns.

    With `faults`, these are a client's records at `pointer`: a new category and a missing value are faults where the
    feature's policies say so. Without, they are stored rows, the first of which is `first_row` of its table: both are
    then "other" as categories, unless one stands for what is missing, and what cannot be encoded at all raises Invalid,
    which names the rows.
    """
    rows = _Rows(faults, pointer, first_row)
    arrays = {one.name: _input(one, values, preparation, rows) for one in preparation.inputs}
    rows.end()
    return arrays


def encode_targets(values: Mapping[str, Values], preparation: Preparation, first_row: int = 0) -> dict[str, Array]:
    """The targets by slug, (rows, *shape), from the values of their columns in stored rows.

    Labels are int32, all else is float32. Raises Invalid, which names the rows, for a value that is missing or is none
    of the labels; only of several labels a row may have none.
    """
    rows = _Rows(None, "", first_row)
    arrays = {target.slug: _target(values[target.column], target, rows) for target in preparation.targets}
    rows.end()
    return arrays


class _Rows:
    """Where faults of rows go, and whose rows they are: a client's, or stored ones."""

    def __init__(self, faults: FaultList | None, pointer: str, first: int) -> None:
        self.stored = faults is None
        self._faults = FaultList() if faults is None else faults
        self._pointer, self._first = pointer, first

    def refuse(self, column: str, wrong: Mask | Sequence[int], detail: str) -> None:
        """Add the same fault for rows, given as a mask or by their numbers."""
        numbers = np.flatnonzero(wrong) if isinstance(wrong, np.ndarray) else wrong
        for number in numbers[: FaultList.LIMIT]:
            self._faults.add(f"{self._pointer}/{self._first + int(number)}/{escape(column)}", detail)
        self._faults.count_more(max(0, len(numbers) - FaultList.LIMIT))

    @property
    def full(self) -> bool:
        """Whether further faults are only counted."""
        return self._faults.full

    def count(self, wrong: Mask) -> None:
        """Count faults that nobody will read."""
        self._faults.count_more(int(np.count_nonzero(wrong)))

    def end(self) -> None:
        """Raise Invalid for stored rows; a client's faults are the caller's, who may have more of them."""
        if self.stored:
            self._faults.raise_if_any()


def _input(one: InputFacts, values: Mapping[str, Values], preparation: Preparation, rows: _Rows) -> Array:
    features = preparation.features_of[one.name]
    if one.name == NUMBERS:
        return _numbers(one, features, values, rows)
    if one.name == CATEGORIES:
        return _categories(one, features, values, rows)
    (feature,) = features
    return _alone(feature, values[feature.column], rows)


def _alone(feature: prepared.Feature, values: Any, rows: _Rows) -> Array:
    match feature:
        case prepared.Category():
            return _category(feature, values, rows).reshape(-1, 1)
        case prepared.Text():
            return _text(feature, values)
        case prepared.Image():
            return _image(feature, values, rows)
        case prepared.Sequence():
            return _sequence(feature, values, rows)
    raise AssertionError(f"a {type(feature).__name__} has no input of its own")


def _numbers(one: InputFacts, features: Sequence[prepared.Feature], values: Mapping[str, Any], rows: _Rows) -> Array:
    """All quantities, then whether they were missing, then the parts of dates, in the order of the features."""
    numbers = [feature for feature in features if isinstance(feature, prepared.Number)]
    array = np.empty((len(values[features[0].column]), *one.shape), np.float32)
    with np.errstate(over="ignore"):
        for place, feature in enumerate(numbers):
            array[:, place] = _scaled(values[feature.column], feature)
        if not np.isfinite(array[:, : len(numbers)]).all():
            _fill_numbers(array, numbers, values, rows)
    place = len(numbers)
    for feature in numbers:
        if feature.indicator:
            array[:, place] = np.isnan(values[feature.column])
            place += 1
    for date in features:
        if isinstance(date, prepared.Date):
            for part in _date(date, values[date.column], rows):
                array[:, place] = part
                place += 1
    return array


def _scaled(values: Array, feature: prepared.Number) -> Array:
    """What the network's Normalization takes: the value itself, or on a scale of its logarithm, or scaled already."""
    if feature.scale == "log":
        values = np.sign(values) * np.log1p(np.abs(values))
    return (values - feature.center) / (feature.spread or 1.0) if feature.early else values


def _fill_numbers(array: Array, numbers: Sequence[prepared.Number], values: Mapping[str, Any], rows: _Rows) -> None:
    """Put the fill where a value is missing; a value that no float32 holds is refused."""
    for place, feature in enumerate(numbers):
        missing = np.isnan(values[feature.column])
        if feature.fill is not None:
            array[missing, place] = _scaled(np.array(feature.fill), feature)
        elif missing.any():
            rows.refuse(feature.column, missing, _missing(feature, '"missing": "mean"'))
        large = np.isinf(array[:, place])
        if large.any():
            rows.refuse(feature.column, large, f"In the column {feature.column!r}: {_TOO_LARGE}")


def _date(feature: prepared.Date, moments: npt.NDArray[np.datetime64], rows: _Rows) -> list[Array]:
    missing = np.isnat(moments)
    if missing.any():
        if feature.fill is None:
            rows.refuse(feature.column, missing, _missing(feature, '"missing": a date to take instead'))
        fill = np.datetime64("1970-01-01" if feature.fill is None else feature.fill, "us")
        moments = np.where(missing, fill, moments)
    return [date_part(moments, part) for part in feature.parts]


def _categories(one: InputFacts, features: Sequence[prepared.Feature], values: Mapping[str, Any], rows: _Rows) -> Array:
    """The number of each category, after those of the features before it."""
    array = np.empty((len(values[features[0].column]), *one.shape), np.int32)
    offset = 0
    for place, feature in enumerate(features):
        codes = values[feature.column]
        if isinstance(feature, prepared.Category):
            array[:, place] = _category(feature, codes, rows) + offset
            offset += feature.width
        elif isinstance(feature, prepared.Hashed):
            array[:, place] = _hashed(feature, codes, rows) + offset
            offset += feature.width
    return array


def _category(feature: prepared.Category, codes: Codes, rows: _Rows) -> Array:
    known = feature.numbers
    if not rows.stored:
        if feature.unknown == "error":
            _refuse_unknown(feature, codes, rows)
        _check_missing(feature, codes, rows)
    fill = 0 if feature.fill is None else known[feature.fill]
    return _in_places(codes, [known.get(text, 0) for text in codes.texts], fill)


def _hashed(feature: prepared.Hashed, codes: Codes, rows: _Rows) -> Array:
    if not rows.stored:
        _check_missing(feature, codes, rows)
    fill = 0 if feature.fill is None else hash_number(feature.fill, feature.num_bins)
    return _in_places(codes, [hash_number(text, feature.num_bins) for text in codes.texts], fill)


def _in_places(codes: Codes, numbers: list[int], missing: int) -> Array:
    """For each row the number of its text, or that of a missing value."""
    table = np.array([*numbers, 0, 0], np.int32)
    # From the end count the numbers that are no place in the texts.
    table[MISSING] = missing
    return table[codes.numbers]


def hash_number(text: str, num_bins: int) -> int:
    """The number of a category by its hash, from 1 to `num_bins`."""
    digest = sha256(text.encode("utf-8", "surrogatepass")).digest()
    return 1 + int.from_bytes(digest[:_HASH_BYTES], "little") % num_bins


def _refuse_unknown(feature: prepared.Category, codes: Codes, rows: _Rows) -> None:
    for place, text in enumerate(codes.texts):
        if text not in feature.numbers:
            if rows.full:
                # To look for what was meant takes time, in each of thousands of categories.
                rows.count(codes.numbers == place)
                continue
            detail = (
                f"In the column {feature.column!r}: the category {text[:60]!r} came, which is new; expected one of "
                f"{listed(feature.categories)}.{similar(text, feature.categories)} Send one of these, or train with "
                '"unknown": "other".'
            )
            rows.refuse(feature.column, codes.numbers == place, detail)


def _check_missing(feature: prepared.Category | prepared.Hashed, codes: Codes, rows: _Rows) -> None:
    if feature.missing == "error":
        missing = codes.numbers == MISSING
        if missing.any():
            rows.refuse(feature.column, missing, _missing(feature, '"missing": "other"'))


def _missing(feature: prepared.Feature, option: str) -> str:
    return (
        f"In the column {feature.column!r}: no value came, and the model was trained without missing ones here. "
        f"Send a value, or train with {option}."
    )


def _text(feature: prepared.Text, texts: Sequence[str | None]) -> Array:
    """The numbers of words; places that no word has are 0, and come last."""
    array = np.zeros((len(texts), feature.sequence_length), np.int32)
    known = feature.numbers
    for row, text in enumerate(texts):
        if text:
            words = words_of(text, feature.enters)[: feature.sequence_length]
            array[row, : len(words)] = [known.get(word, 1) for word in words]
    return array


def _image(feature: prepared.Image, pictures: Sequence[bytes | None], rows: _Rows) -> Array:
    array = np.zeros((len(pictures), feature.height, feature.width, feature.channels), np.float32)
    for row, picture in enumerate(pictures):
        if picture is None:
            detail = f"In the column {feature.column!r}: no image came. Send one; a model of images cannot do without."
            rows.refuse(feature.column, [row], detail)
        elif rows.stored or picture != REFUSED_IMAGE:
            try:
                array[row] = pixels_of(picture, feature.height, feature.width, feature.channels)
            except PictureError as error:
                rows.refuse(feature.column, [row], f"In the column {feature.column!r}: {error}")
    return array


def _sequence(feature: prepared.Sequence, sequences: Sequence[Array | None], rows: _Rows) -> Array:
    """Steps at the start or the end; where there are none, and where a number is missing, the centers."""
    array = np.empty((len(sequences), feature.length, feature.channels), np.float32)
    array[:] = np.asarray(feature.centers, np.float32)
    for row, steps in enumerate(sequences):
        if steps is None:
            detail = (
                f"In the column {feature.column!r}: no sequence came. Send a list of steps; an empty one is allowed."
            )
            rows.refuse(feature.column, [row], detail)
        elif steps.shape[1] != feature.channels:
            came = f"steps of {steps.shape[1]} numbers came; expected {feature.channels} numbers a step."
            rows.refuse(feature.column, [row], f"In the column {feature.column!r}: {came}")
        else:
            kept = steps[-feature.length :] if feature.truncate == "pre" else steps[: feature.length]
            first = feature.length - len(kept) if feature.pad == "pre" else 0
            place = array[row, first : first + len(kept)]
            np.copyto(place, kept, where=np.isfinite(kept))
    return array


def _target(values: Any, target: Target, rows: _Rows) -> Array:
    match target.task:
        case Task.BINARY | Task.CLASSES:
            return _label(target, values, rows)
        case Task.LABELS:
            return _labels(target, values, rows)
        case Task.NUMBER:
            return _quantity(target, values, rows)
        case Task.SEQUENCE:
            return _steps(target, values, rows)


def _label(target: Target, codes: Codes, rows: _Rows) -> Array:
    numbers = {label: number for number, label in enumerate(target.labels)}
    for place, text in enumerate(codes.texts):
        if text not in numbers:
            _refuse_label(target, text, codes.numbers == place, rows)
    _refuse_no_target(target, codes.numbers < 0, rows)
    table = np.array([*(numbers.get(text, 0) for text in codes.texts), 0, 0], np.int32)
    return table[codes.numbers].reshape(-1, *target.shape)


def _labels(target: Target, codes: Codes, rows: _Rows) -> Array:
    """Ones at the labels that a row has; a row without a value has none."""
    numbers = {label: number for number, label in enumerate(target.labels)}
    table = np.zeros((len(codes.texts) + 2, len(numbers)), np.float32)
    for place, text in enumerate(codes.texts):
        for label in labels_of(text, target.separator):
            if label in numbers:
                table[place, numbers[label]] = 1
            else:
                _refuse_label(target, label, codes.numbers == place, rows)
    return table[codes.numbers]


def labels_of(text: str, separator: str | None) -> list[str]:
    """The labels that a text names, without the spaces around them."""
    parts = [text] if separator is None else text.split(separator)
    return [part.strip() for part in parts if part.strip()]


def _quantity(target: Target, values: Array, rows: _Rows) -> Array:
    with np.errstate(over="ignore"):
        array = values.astype(np.float32)
    _refuse_no_target(target, np.isnan(values), rows)
    large = np.isinf(array)
    if large.any():
        rows.refuse(target.column, large, f"In the target {target.column!r}: {_TOO_LARGE}")
    return array.reshape(-1, *target.shape)


def _steps(target: Target, sequences: Sequence[Array | None], rows: _Rows) -> Array:
    array = np.zeros((len(sequences), *target.shape), np.float32)
    for row, steps in enumerate(sequences):
        if steps is None or steps.shape != target.shape or not np.isfinite(steps).all():
            came = "no steps" if steps is None else f"{steps.shape[0]} steps of {steps.shape[1]} numbers"
            due = f"{target.shape[0]} steps of {target.shape[1]} numbers, none of which is missing"
            rows.refuse(target.column, [row], f"In the target {target.column!r}: {came} came; expected {due}.")
        else:
            array[row] = steps
    return array


def _refuse_label(target: Target, text: str, wrong: Mask, rows: _Rows) -> None:
    if rows.full:
        rows.count(wrong)
        return
    detail = (
        f"In the target {target.column!r}: {text[:60]!r} came, which is none of the labels {listed(target.labels)}."
        f"{similar(text, target.labels)} Correct the row or leave it out."
    )
    rows.refuse(target.column, wrong, detail)


def _refuse_no_target(target: Target, missing: Mask, rows: _Rows) -> None:
    if missing.any():
        rows.refuse(target.column, missing, f"The target {target.column!r} is missing in this row. Leave the row out.")
