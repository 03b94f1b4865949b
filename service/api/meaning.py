"""What requests and answers mean to a version: arrays, or records and labels where it has a preparation."""

from typing import Any, Final

import numpy as np
import orjson

from service.api.operation import dump
from service.api.versions import Served
from service.features.answer import in_columns, labelled
from service.inference import records
from service.inference.instances import decode, decode_columns, encode

Arrays = dict[str, np.ndarray[Any, Any]]

#: How many labelled predictions are there as objects at a time: they take many times the memory of their JSON.
_ROWS_AT_ONCE: Final = 1024


def read_instances(served: Served, value: object, pointer: str = "/instances") -> Arrays:
    """The network's arrays for rows; raises Invalid."""
    if served.preparation is None:
        return decode(value, served.signature, pointer)
    return records.read_rows(value, served.preparation, pointer)


def read_inputs(served: Served, value: object, pointer: str = "/inputs") -> Arrays:
    """The network's arrays for columns; raises Invalid."""
    if served.preparation is None:
        return decode_columns(value, served.signature, pointer)
    return records.read_columns(value, served.preparation, pointer)


def by_row(served: Served, outputs: Arrays) -> Any:
    """One prediction a row, as `dump` takes it."""
    preparation, logits = served.preparation, served.logits
    if preparation is None:
        return encode(outputs, served.signature)
    rows = len(next(iter(outputs.values())))
    if rows <= _ROWS_AT_ONCE:
        return labelled(outputs, preparation, logits)
    parts = []
    for first in range(0, rows, _ROWS_AT_ONCE):
        some = {name: array[first : first + _ROWS_AT_ONCE] for name, array in outputs.items()}
        parts.append(dump(labelled(some, preparation, logits))[1:-1])
    return orjson.Fragment(b"[%b]" % b",".join(parts))


def by_column(served: Served, outputs: Arrays) -> Any:
    """Predictions by column, as `dump` takes them."""
    if served.preparation is None:
        return columns(served, outputs)
    return in_columns(outputs, served.preparation, served.logits)


def columns(served: Served, outputs: Arrays) -> Any:
    """The network's outputs: bare for one, by name for several."""
    named = {spec.name: np.ascontiguousarray(outputs[spec.name]) for spec in served.signature.outputs}
    return named if len(named) > 1 else next(iter(named.values()))
