"""For clients who would rather have an error than a prediction with values that are no numbers."""

from typing import Any

import numpy as np

from service.data.fault_list import escape
from service.errors import Fault, NotFinite
from service.inference.signature import Signature

#: How many values an answer names.
_MOST_FAULTS = 20


def require_finite(
    outputs: dict[str, np.ndarray[Any, Any]], signature: Signature, pointer: str = "/predictions"
) -> None:
    """Raise NotFinite, naming rows and outputs, where a prediction has a value that is NaN or infinite."""
    faults: list[Fault] = []
    bad_rows: set[int] = set()
    for spec in signature.outputs:
        array = outputs[spec.name]
        if array.dtype.kind != "f" or np.isfinite(array).all():
            continue
        bad = np.argwhere(~np.isfinite(array))
        bad_rows.update(np.unique(bad[:, 0]).tolist())
        named = [] if len(signature.outputs) == 1 else [escape(spec.name)]
        for row, *rest in bad[: _MOST_FAULTS - len(faults)].tolist():
            place = "/".join([pointer, str(row), *named, *map(str, rest)])
            detail = f"The output {spec.name!r} is {array[(row, *rest)]} in row {row}, at {rest}."
            faults.append(Fault(pointer=place, detail=detail))
    if faults:
        listed = ", ".join(map(str, sorted(bad_rows)[:_MOST_FAULTS])) + (
            ", ..." if len(bad_rows) > _MOST_FAULTS else ""
        )
        raise NotFinite(
            f"The predictions of {len(bad_rows)} row{'s' if len(bad_rows) > 1 else ''} ({listed}) have values that are "
            "not finite. Leave these rows out, or ask with nan=null to get null in their place.",
            faults,
        )
