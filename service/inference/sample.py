"""Rows on which a version's exports are compared with Keras: some of its training rows, kept beside its weights."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np

from service.architecture.network import Network
from service.architecture.plan import INDEXED
from service.inference.signature import Signature, TensorSpec

Arrays = dict[str, np.ndarray[Any, Any]]

#: Rows on which an export is compared with Keras.
COMPARED_ROWS: Final = 33
#: About the most that they may take on disk; of rows that are larger there are fewer, but at least one.
MAX_BYTES: Final = 4 * 2**20
#: What stands for a size that is not fixed in rows that are made up.
_UNFIXED: Final = 32
_FILE: Final = "sample.npz"


def write(rows: Mapping[str, np.ndarray[Any, Any]], folder: Path) -> None:
    """Keep the first rows of each input in a version's folder; `rows` are by input name, (rows, *shape)."""
    row_bytes = sum(array[:1].nbytes for array in rows.values())
    kept = min(COMPARED_ROWS, max(1, MAX_BYTES // max(1, row_bytes)))
    # An input can have any name, also that of an argument of NumPy's function.
    arrays: dict[str, Any] = {f"x.{name}": array[:kept] for name, array in rows.items()}
    np.savez(folder / _FILE, **arrays)


def read(folder: Path) -> Arrays | None:
    """The rows that were kept; None in a version that is older than this."""
    try:
        with np.load(folder / _FILE, allow_pickle=False) as file:
            return {name.removeprefix("x."): file[name] for name in file.files}
    except FileNotFoundError:
        return None


def make_up(network: Network, signature: Signature) -> Arrays:
    """Rows of the right shapes and types, always the same ones; where the network looks words up, numbers of words."""
    random = np.random.default_rng(0)
    words = _words(network)
    return {spec.name: _array(random, spec, words.get(spec.name)) for spec in signature.inputs}


def _words(network: Network) -> dict[str, int]:
    """How many words each input can name: as many as the layer has that it leads to, whatever is on the way."""
    words: dict[str, int] = {}
    for layer in reversed(network.layers):
        inner = layer
        while "layer" in inner.arguments:
            inner = inner.arguments["layer"]
        found = [int(inner.arguments[INDEXED[inner.type]])] if inner.type in INDEXED else []
        found += [words[layer.name]] if layer.name in words else []
        for name in layer.inputs if found else ():
            words[name] = min(found + ([words[name]] if name in words else []))
    return words


def _array(random: np.random.Generator, spec: TensorSpec, words: int | None) -> np.ndarray[Any, Any]:
    shape = tuple(_UNFIXED if size is None else size for size in spec.shape)
    row_bytes = math.prod(shape) * np.dtype(spec.dtype).itemsize
    rows = (min(COMPARED_ROWS, max(1, MAX_BYTES // max(1, row_bytes))), *shape)
    if words is not None or np.dtype(spec.dtype).kind != "f":
        return random.integers(0, words or 2, size=rows).astype(spec.dtype)
    return random.standard_normal(rows).astype(spec.dtype)
