"""Arrays that come with a type of their own, fitted to an input: rank, sizes, type and each value are checked."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np

from service.data.fault_list import escape
from service.errors import Fault, Invalid
from service.inference.instances import cast_exactly
from service.inference.signature import Signature, TensorSpec

Array = np.ndarray[Any, Any]

#: How many faults an answer names.
MOST_FAULTS = 20


class Place(NamedTuple):
    """Where a value stands in a body: a JSON Pointer into it, and the same in words."""

    pointer: str
    words: str


#: The place of the value at an index, whose first number is the row.
Locate = Callable[[Sequence[int]], Place]


def in_array(pointer: str = "") -> Locate:
    """Places of values in an array, which is the body itself or stands at `pointer`."""
    return lambda index: Place("/".join([pointer, *map(str, index)]), f"at {list(index)}")


def in_columns(names: Sequence[str]) -> Locate:
    """Places of values in a table whose columns make one input: an index is (row, column)."""
    return lambda index: in_column(names[index[1]])([index[0], *index[2:]])


def in_column(name: str) -> Locate:
    """Places of values in one column of a table: an index is (row, ...)."""

    def locate(index: Sequence[int]) -> Place:
        row, *rest = index
        inside = f", at {rest}" if rest else ""
        pointer = "/".join(["", str(row), escape(name[:64]), *map(str, rest)])
        return Place(pointer, f"in row {row + 1}, column {name[:64]!r}{inside}")

    return locate


def fit(array: Array, spec: TensorSpec, pointer: str, locate: Locate) -> Array:
    """Give an array as the input takes it, (rows, *shape) in its dtype; booleans count as 0 and 1.

    One number a row is enough where the shape is (1,). Raises Invalid with what does not fit: no rows, a type that is
    none of numbers, other sizes, and up to 20 values that are not finite, not whole or out of range.
    """
    if array.dtype.kind not in "biuf" or array.dtype.itemsize > 8:
        came = f"Values of type {str(array.dtype)[:60]} came"
        raise refusal(
            [Fault(pointer=pointer, detail=f"{came}; numbers of at most 64 bits were expected. {says(spec)}")]
        )
    if array.ndim == 1 and spec.shape == (1,):
        array = array.reshape(-1, 1)
    if array.ndim == 0 or not spec.takes(array.shape[1:]):
        came = f"The shape {list(array.shape)[:20]} came"
        raise refusal([Fault(pointer=pointer, detail=f"{came}; {_shape(spec)} was expected. {says(spec)}")])
    if not len(array):
        raise refusal([Fault(pointer=pointer, detail=f"No rows came; at least one was expected. {says(spec)}")])
    if array.dtype == np.float16:
        # The limits of whole numbers are beyond what this type can be compared with.
        array = array.astype(np.float32)
    cast = _cast(array, spec.dtype)
    if cast is None:
        raise refusal(_value_faults(array, spec, locate))
    return cast


def same_rows(arrays: dict[str, Array]) -> dict[str, Array]:
    """Give the arrays back; raise Invalid where they differ in rows."""
    if len({len(array) for array in arrays.values()}) > 1:
        counted = ", ".join(f"{name!r} has {len(array)}" for name, array in arrays.items())
        raise refusal([Fault(pointer="", detail=f"The inputs differ in rows: {counted}. Send as many of each.")])
    return arrays


def refusal(faults: Iterable[Fault]) -> Invalid:
    """The error for a body that does not fit, its first fault in the sentence."""
    kept = list(faults)[:MOST_FAULTS]
    return Invalid(f"The body does not fit the model's inputs: {kept[0].detail}", kept)


def says(spec: TensorSpec) -> str:
    """What an input is, in a sentence."""
    return f"The input {spec.name!r} is {spec.dtype} of shape {_shape(spec)}."


def names_of(signature: Signature) -> str:
    """The inputs, listed for a sentence."""
    return ", ".join(repr(spec.name) for spec in signature.inputs)


def _shape(spec: TensorSpec) -> str:
    sizes = ["any" if size is None else str(size) for size in spec.shape]
    return f"[{', '.join(['rows', *sizes])}]"


def _cast(array: Array, dtype: str) -> Array | None:
    if dtype != "bool":
        return cast_exactly(array, dtype)
    return None if _bad(array, dtype).any() else array.astype(np.bool_)


def _value_faults(array: Array, spec: TensorSpec, locate: Locate) -> list[Fault]:
    due = {"f": "a finite number", "b": "true or false, or 1 or 0,"}.get(np.dtype(spec.dtype).kind, "a whole number")
    faults = []
    for index in np.argwhere(_bad(array, spec.dtype))[:MOST_FAULTS].tolist():
        place = locate(index)
        detail = f"{array[tuple(index)]} came {place.words}; {due} that fits {spec.dtype} was expected."
        faults.append(Fault(pointer=place.pointer, detail=f"{detail} {says(spec)}"))
    return faults


def _bad(array: Array, dtype: str) -> Array:
    with np.errstate(over="ignore", invalid="ignore"):
        cast = array.astype(dtype)
    if cast.dtype.kind == "f":
        good = np.isfinite(cast)
    elif cast.dtype.kind == "b":
        good = cast == array
    else:
        limits = np.iinfo(cast.dtype)
        good = (array >= limits.min) & (array <= limits.max) & (cast == array)
    bad: Array = np.logical_not(good)
    return bad
