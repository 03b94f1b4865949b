"""Tables as inputs: a column for each input by name, or a column for each number of the only input."""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from service.data.fault_list import escape
from service.errors import Fault, Invalid
from service.inference.fitting import MOST_FAULTS, fit, in_column, names_of, refusal, same_rows, says
from service.inference.signature import Signature, TensorSpec

Array = np.ndarray[Any, Any]
Arrays = dict[str, Array]

_MOST_LISTED = 20


def are_features(names: Sequence[str], signature: Signature) -> bool:
    """Whether a table's columns are the numbers of the only input, in their order; else there is one for each input.

    Raises Invalid where they are neither, or a name repeats.
    """
    repeated = [name for name, count in Counter(names).items() if count > 1]
    if repeated:
        raise refusal(
            Fault(
                pointer=f"/{escape(name[:64])}", detail=f"The column {name[:64]!r} came more than once; send it once."
            )
            for name in repeated
        )
    if set(names) == {spec.name for spec in signature.inputs}:
        return False
    spec = signature.inputs[0]
    if len(signature.inputs) == 1 and len(spec.shape) < 2 and len(names) in (*spec.shape, *_open_sizes(spec, names)):
        return True
    raise refusal([Fault(pointer="", detail=_misfit(names, signature))])


def by_feature(columns: Sequence[Array], names: Sequence[str], signature: Signature) -> Arrays:
    """Join columns of one number a row each, (rows,), into the only input, (rows, columns)."""
    (spec,) = signature.inputs
    one = TensorSpec(name=spec.name, shape=(), dtype=spec.dtype)
    joined: Array | None = None
    faults: list[Fault] = []
    for place, (name, column) in enumerate(zip(names, columns, strict=True)):
        try:
            fitted = fit(column, one, f"/{escape(name[:64])}", in_column(name))
            joined = np.empty((len(fitted), len(names)), spec.dtype) if joined is None else joined
            joined[:, place] = fitted
        except Invalid as error:
            faults.extend(error.faults)
        if len(faults) >= MOST_FAULTS:
            break
    if faults or joined is None:
        raise refusal(faults)
    return {spec.name: joined if spec.shape else joined[:, 0]}


def by_input(columns: Iterable[tuple[str, Array]], signature: Signature) -> Arrays:
    """Fit a column, (rows, ...), to the input of its name."""
    specs = {spec.name: spec for spec in signature.inputs}
    arrays: Arrays = {}
    faults: list[Fault] = []
    for name, column in columns:
        try:
            arrays[name] = fit(column, specs[name], f"/{escape(name)}", in_column(name))
        except Invalid as error:
            faults.extend(error.faults)
    if faults:
        raise refusal(faults)
    return same_rows(arrays)


def _open_sizes(spec: TensorSpec, names: Sequence[str]) -> tuple[int, ...]:
    """The number of columns that the input takes besides its shape's: one for one number, any where none is fixed."""
    if spec.shape == ():
        return (1,)
    return (len(names),) if spec.shape == (None,) and names else ()


def _misfit(names: Sequence[str], signature: Signature) -> str:
    listed = ", ".join(repr(name[:64]) for name in names[:_MOST_LISTED]) or "No columns"
    more = f", and {len(names) - _MOST_LISTED} more" if len(names) > _MOST_LISTED else ""
    detail = f"{listed}{more} came; a column for each input was expected, named {names_of(signature)}"
    spec = signature.inputs[0]
    if len(signature.inputs) == 1 and len(spec.shape) < 2:
        count = "any number of" if spec.shape == (None,) else str(spec.shape[0] if spec.shape else 1)
        detail += f", or {count} columns of one number each, in the order in which the model was trained"
    return f"{detail}. {' '.join(says(spec) for spec in signature.inputs)}"
