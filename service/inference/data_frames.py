"""Data frames as MLflow's clients write them in JSON, to arrays: by split, or by record."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from service.data.fault_list import escape
from service.errors import Fault, Invalid
from service.inference.fitting import MOST_FAULTS, refusal
from service.inference.instances import decode
from service.inference.signature import Signature
from service.inference.table_columns import are_features

Arrays = dict[str, np.ndarray[Any, Any]]


def read_split(value: object, signature: Signature, pointer: str = "/dataframe_split") -> Arrays:
    """Turn `{"columns": [...], "data": [[...], ...]}` into arrays by input name; an `index` says nothing to a network.

    The columns are the inputs by name, or the numbers of the only input in their order; without `columns`, the latter.
    Raises Invalid with what is wrong.
    """
    if not isinstance(value, dict) or not isinstance(value.get("data"), list):
        detail = 'An object {"columns": [...], "data": [[...], ...]} was expected.'
        raise refusal([Fault(pointer=pointer, detail=detail)])
    rows, columns = value["data"], value.get("columns")
    if columns is None:
        return decode(rows, signature, f"{pointer}/data")
    if not isinstance(columns, list) or not all(isinstance(name, str | int) for name in columns):
        raise refusal([Fault(pointer=f"{pointer}/columns", detail="A list of the columns' names was expected.")])
    faults = [
        Fault(pointer=f"{pointer}/data/{place}", detail=f"A row of {len(columns)} values was expected in row {place}.")
        for place, row in enumerate(rows)
        if not isinstance(row, list) or len(row) != len(columns)
    ]
    if faults:
        raise refusal(faults)
    return _decode(rows, [str(name) for name in columns], signature, f"{pointer}/data")


def read_records(value: object, signature: Signature, pointer: str = "/dataframe_records") -> Arrays:
    """Turn `[{"column": value, ...}, ...]` into arrays by input name; the first record gives the columns' order.

    Raises Invalid with what is wrong.
    """
    if not isinstance(value, list) or not value or not isinstance(value[0], dict):
        detail = "A list of objects was expected, one a row, with at least one of them."
        raise refusal([Fault(pointer=pointer, detail=detail)])
    names = list(value[0])
    faults = [
        Fault(pointer=f"{pointer}/{place}", detail=f"The columns of row {place} are not those of the first row.")
        for place, row in enumerate(value)
        if not isinstance(row, dict) or row.keys() != value[0].keys()
    ]
    if faults:
        raise refusal(faults)
    return _decode([[row[name] for name in names] for row in value], names, signature, pointer, by_name=True)


def _decode(
    rows: list[list[Any]], names: Sequence[str], signature: Signature, pointer: str, by_name: bool = False
) -> Arrays:
    if not are_features(names, signature):
        return decode([dict(zip(names, row, strict=True)) for row in rows], signature, pointer)
    bare = signature.inputs[0].shape == ()
    try:
        return decode([row[0] for row in rows] if bare else rows, signature, pointer)
    except Invalid as error:
        if not by_name:
            raise
        faults = [_named(fault, names, pointer) for fault in error.faults[:MOST_FAULTS]]
        raise Invalid(error.detail.replace(error.faults[0].pointer, faults[0].pointer, 1), faults) from error


def _named(fault: Fault, names: Sequence[str], pointer: str) -> Fault:
    """The fault with its column's name in the pointer, where rows of values stand for records."""
    row, _, place = fault.pointer.removeprefix(f"{pointer}/").partition("/")
    if not place.isdecimal():
        return fault
    name = names[int(place)]
    return Fault(pointer=f"{pointer}/{row}/{escape(name)}", detail=f"Column {name[:64]!r}: {fault.detail}")
