"""Tables for the tests of profiles: real ones from scikit-learn, and a mixed one that has every defect."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from sklearn import datasets

from service.data.read_options import ReadOptions
from service.data.table import TableWriter

ROWS = 600


def write(folder: Path, columns: Mapping[str, Any], batch_rows: int = 65_536) -> Path:
    """Store a table of these columns: Arrow arrays, NumPy arrays, or lists."""
    table = pa.RecordBatch.from_arrays(
        [one if isinstance(one, pa.Array) else pa.array(one) for one in columns.values()], list(columns)
    )
    with TableWriter(folder, table.schema, ReadOptions()) as writer:
        for first in range(0, max(1, table.num_rows), batch_rows):
            writer.write(table.slice(first, batch_rows))
    return folder


def real(name: str) -> dict[str, Any]:
    """A table of scikit-learn's, with its target last, by name where it is of classes."""
    bunch = getattr(datasets, f"load_{name}")()
    columns: dict[str, Any] = {str(column): bunch.data[:, at] for at, column in enumerate(bunch.feature_names)}
    named = getattr(bunch, "target_names", None)
    columns["target"] = bunch.target if named is None else [str(named[number]) for number in bunch.target]
    return columns


def passengers() -> dict[str, Any]:
    """A list of passengers as people have it: 600 rows of which the last 3 repeat the first ones."""
    rng = np.random.default_rng(5)
    rows = ROWS - 3
    survived = (rng.random(rows) < 0.38).astype(int)
    sex = np.where(rng.random(rows) < np.where(survived, 0.7, 0.15), "female", "male")
    age = np.round(rng.normal(30, 12, rows).clip(1, 75), 1)
    ages: list[str | None] = [repr(float(one)) for one in age]
    ages[7], ages[41], ages[300] = "unknown", "about 40", None
    fare = np.round(np.exp(rng.normal(2.5, 1.1, rows)), 2)
    ports = rng.choice(["Southampton", "Cherbourg", "Queenstown"], rows, p=[0.7, 0.2, 0.1]).tolist()
    ports[3], ports[5], ports[8] = "southampton", "Southampton ", None
    cabin = [f"C{number}" if number % 5 == 0 else None for number in range(rows)]
    start = np.datetime64("1912-04-01T08:30:00")
    boarded: list[str | None] = [str(start + np.timedelta64(number % 240, "h")) for number in range(rows)]
    boarded[10] = "tomorrow"
    height = np.round(rng.normal(170, 9, rows), 1)
    height[[20, 50, 80]] = -999
    return {
        "ticket": _repeated(np.arange(1000, 1000 + rows)),
        "survived": _repeated(survived),
        "alive": _repeated(["yes" if one else "no" for one in survived]),
        "sex": _repeated(sex.tolist()),
        "age": _repeated(ages),
        "fare": _repeated(fare),
        "fare_pence": _repeated(fare * 240),
        "fare_again": _repeated(fare),
        "port": _repeated(ports),
        "cabin": _repeated(cabin),
        "boarded": _repeated(boarded),
        "height": _repeated(height),
        "ship": _repeated(["Titanic"] * rows),
        "note": _repeated([f"passenger number {number} came on board quite early" for number in range(rows)]),
        "deck": _repeated([f"deck {number % 3}" if number % 200 else "bridge" for number in range(rows)]),
        "locker": _repeated([f"L{(number * 7) % 150}" for number in range(rows)]),
    }


def _repeated(values: Sequence[Any]) -> list[Any]:
    """The values with the first three of them again."""
    listed = [one.item() if isinstance(one, np.generic) else one for one in values]
    return [*listed, *listed[:3]]
