"""The sets of rows: records as people have them for kerasd, and the same values in columns for everybody else."""

import csv
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, Final, Literal

import numpy as np
from PIL import Image
from sklearn import datasets

from benchmarks.accuracy import time_series
from benchmarks.processes import ROOT

#: How a column enters for those who are given columns: "date" is written as its month, day and weekday.
Role = Literal["number", "category", "text", "date"]
#: How a set is uploaded: a CSV file, a zip of PNG files in folders, or a CSV file with a line for each step.
Form = Literal["table", "images", "sequences"]
Record = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """A set: `records` are what kerasd is sent, `columns` the same by role; a missing value is None.

    `labels` are texts where they are classes, and numbers otherwise.
    """

    records: Sequence[Record]
    columns: Sequence[Record]
    roles: Mapping[str, Role]
    labels: Sequence[Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A set by its name; `form` is how it is uploaded, and `target` the column that is to be learned."""

    name: str
    title: str
    form: Form
    target: str
    classes: bool
    load: Callable[[], Rows]


def flowers_and_the_like(name: str) -> Callable[[], Rows]:
    """One of scikit-learn's tables, with the labels by name."""

    def load() -> Rows:
        bunch = getattr(datasets, f"load_{name}")()
        named = [str(column).replace(" ", "_") for column in bunch.feature_names]
        records = [dict(zip(named, map(float, row), strict=True)) for row in bunch.data]
        names = getattr(bunch, "target_names", None)
        labels = [float(value) if names is None else str(names[value]) for value in bunch.target]
        return Rows(records=records, columns=records, roles=dict.fromkeys(named, "number"), labels=labels)

    return load


def digits() -> Rows:
    """Handwritten digits, each pixel a column."""
    bunch = datasets.load_digits()
    records = [{f"pixel_{number}": int(value) for number, value in enumerate(row)} for row in bunch.data]
    labels = [str(value) for value in bunch.target]
    return Rows(records=records, columns=records, roles=dict.fromkeys(records[0], "number"), labels=labels)


def digit_images() -> Rows:
    """The same digits as PNG files of 8 x 8 grey pixels."""
    rows = digits()
    pictures = [{"image": png(np.array([*row.values()]).reshape(8, 8) * 255 / 16)} for row in rows.columns]
    return Rows(records=pictures, columns=rows.columns, roles=rows.roles, labels=rows.labels)


def passengers() -> Rows:
    """The made-up passengers of the README: numbers, names, words, dates and gaps. Their numbers tell nothing."""
    roles: dict[str, Role] = {
        **dict.fromkeys(("cabin_class", "age", "relatives", "fare"), "number"),
        **dict.fromkeys(("sex", "port"), "category"),
        "remark": "text",
        "booked_on": "date",
    }
    with (ROOT / "examples" / "passengers.csv").open(newline="", encoding="utf-8") as file:
        people = [{name: value or None for name, value in person.items()} for person in csv.DictReader(file)]
    labels = [person.pop("rescued") for person in people]
    columns = [{name: plain(person[name], role) for name, role in roles.items()} for person in people]
    typed = [
        {**person, **{n: row[n] for n in roles if roles[n] == "number"}}
        for person, row in zip(people, columns, strict=True)
    ]
    return Rows(records=typed, columns=columns, roles=roles, labels=labels)


def plain(value: str | None, role: Role) -> Any:
    """A cell as those take it who are given columns."""
    if value is None:
        return None
    return float(value) if role == "number" else date.fromisoformat(value) if role == "date" else value


def steps(name: str) -> Callable[[], Rows]:
    """A set of time series; each step and channel is a column for those who know no time."""

    def load() -> Rows:
        series, labels = time_series.read(name)
        flat = [{f"step_{n}": float(value) for n, value in enumerate(one.ravel())} for one in series]
        records = [{"sequence": one.tolist()} for one in series]
        return Rows(records=records, columns=flat, roles=dict.fromkeys(flat[0], "number"), labels=labels)

    return load


def png(pixels: np.ndarray[Any, Any]) -> bytes:
    """The file of a grey picture, (height, width) from 0 to 255."""
    file = io.BytesIO()
    Image.fromarray(np.round(pixels).astype("uint8")).save(file, "PNG")
    return file.getvalue()


def _case(
    name: str,
    title: str,
    load: Callable[[], Rows],
    *,
    form: Form = "table",
    target: str = "class",
    classes: bool = True,
) -> Case:
    return Case(name=name, title=title, form=form, target=target, classes=classes, load=load)


CASES: Final[dict[str, Case]] = {
    case.name: case
    for case in (
        _case("breast_cancer", "breast cancer", flowers_and_the_like("breast_cancer")),
        _case("wine", "wine", flowers_and_the_like("wine")),
        _case("iris", "iris", flowers_and_the_like("iris")),
        _case("digits", "digits, a table", digits),
        _case("images", "digits, images", digit_images, form="images", target="label"),
        _case("passengers", "passengers", passengers, target="rescued"),
        _case("power", "power demand, sequences", steps("ItalyPowerDemand"), form="sequences"),
        _case("motions", "motions, sequences", steps("BasicMotions"), form="sequences"),
        _case("diabetes", "diabetes (R2)", flowers_and_the_like("diabetes"), target="progression", classes=False),
    )
}
