"""Time series that the package aeon ships, read from its files without the package itself."""

from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.serving.environments import python_of

Array = np.ndarray[Any, Any]


def read(name: str) -> tuple[list[Array], list[str]]:
    """All series of a set, (steps, channels) each, and their classes; the set's own two parts one after the other.

    Raises:
        NotInstalled: aeon could not be fetched.
    """
    folder = data_folder() / name
    lines = [line for part in ("TRAIN", "TEST") for line in rows_of((folder / f"{name}_{part}.ts").read_text("utf-8"))]
    parsed = [series(line) for line in lines]
    return [values for values, _ in parsed], [label for _, label in parsed]


def data_folder() -> Path:
    """Where the package keeps its sets, in an environment of its own."""
    libraries = python_of("aeon").parent.parent / "lib"
    return next(libraries.glob("python*/site-packages/aeon/datasets/data"))


def rows_of(text: str) -> list[str]:
    """The lines after `@data`, one for each series."""
    return text.partition("@data")[2].strip().splitlines()


def series(line: str) -> tuple[Array, str]:
    """Channels are parted by colons, steps by commas; the class comes last."""
    *channels, label = line.strip().split(":")
    return np.array([[float(value) for value in channel.split(",")] for channel in channels]).T, label
