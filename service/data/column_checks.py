"""What holds for the columns of every table, whatever form it came in: names, rows, and numbers that are finite."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from service.data.fault_list import FaultList, escape
from service.errors import Fault, Invalid

if TYPE_CHECKING:
    import pyarrow as pa


def name_faults(names: Sequence[str]) -> list[Fault]:
    """Each column that has no name, and each name that several have."""
    faults = [
        Fault(pointer="", detail=f"Column {place} has no name; each column needs one. Give it one.")
        for place, name in enumerate(names, 1)
        if not name
    ]
    return faults + [
        Fault(pointer="", detail=f"The column name {name[:64]!r} came {count} times; each must be unique. Rename them.")
        for name, count in Counter(names).items()
        if name and count > 1
    ]


def check_rows(rows: int) -> None:
    """Raise Invalid where a table has none."""
    if not rows:
        detail = "The table has no rows; at least one was expected. Send one or more."
        raise Invalid("The table is empty.", [Fault(pointer="", detail=detail)])


def place_of(row: int, column: str) -> tuple[str, str]:
    """The JSON Pointer to a cell, and where it is in words; rows are counted from 0 in the one, from 1 in the other."""
    return f"/{row}/{escape(column)}", f"in row {row + 1}, column {column[:64]!r}"


def finite(values: pa.Array) -> tuple[pa.Array, np.ndarray[Any, Any]]:
    """Floats with null for NaN, and the places of infinities among them, which are left for whoever can name them."""
    import pyarrow.compute as pc

    raw = np.frombuffer(values.buffers()[1] or b"", np.float64)[values.offset : values.offset + len(values)]
    # The numbers under nulls count for nothing, and may be anything; this asks about all, which is fast.
    if np.isfinite(raw).all():
        return values, np.empty(0, np.int64)
    missing = pc.is_nan(values)
    infinite = np.flatnonzero(pc.fill_null(pc.is_inf(values), False).to_numpy(zero_copy_only=False))
    return pc.if_else(missing, None, values), infinite


def add_infinite(faults: FaultList, rows: np.ndarray[Any, Any], column: str) -> None:
    """Add a fault for each of these rows, whose number in a column is infinite."""
    for row in rows[: FaultList.LIMIT].tolist():
        pointer, place = place_of(row, column)
        faults.add(pointer, f"An infinite number came {place}; a finite one was expected. Replace it, or leave it out.")
    faults.count_more(max(0, len(rows) - FaultList.LIMIT))
