"""Real time series that the package sktime ships, read from its files: the package itself is never imported."""

import csv
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.accuracy.time_series import rows_of, series

Array = np.ndarray[Any, Any]


def labelled(name: str, part: str) -> list[tuple[Array, str]]:
    """The series of a set's own part, TRAIN or TEST: each (steps, channels), and its class."""
    text = (folder() / name / f"{name}_{part}.ts").read_text("utf-8")
    return [series(line) for line in rows_of(text)]


def long_series(name: str) -> list[list[str]]:
    """The lines of one long series: the time and the value of each step, as texts."""
    with (folder() / name / f"{name}.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.reader(file))[1:]


def folder() -> Path:
    """Where the installed package keeps its sets."""
    found = find_spec("sktime")
    assert found is not None, "sktime is not installed; pip install '.[test]' installs it"
    assert found.submodule_search_locations
    return Path(found.submodule_search_locations[0], "datasets", "data")
