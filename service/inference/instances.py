"""Instances as clients write them, to and from arrays; one NumPy call on the good path, the diagnosis only after it."""

import json
import math
from collections.abc import Iterator
from itertools import chain, islice
from typing import Any

import numpy as np

from service.errors import Fault, Invalid
from service.inference.signature import Signature, TensorSpec

Array = np.ndarray[Any, Any]

#: How many bad rows an answer names, and how many faults of each.
_MOST_ROWS = 20
_MOST_FAULTS_A_ROW = 3
#: Above this many numbers an example is described by its lists' sizes instead of written out.
_MOST_NUMBERS = 32
_LONGEST = 60
#: An unfixed size, in an example.
_SOME_STEPS = 2


def decode(value: object, signature: Signature, pointer: str = "/instances") -> dict[str, Array]:
    """Turn a list of instances into arrays by input name, (rows, *shape) in the input's dtype.

    An instance is nested lists where there is one input, or an object by input name. A bare number is an instance of
    the shape (1,). Raises Invalid with a fault for each bad value, of at most 20 rows.
    """
    if not isinstance(value, list) or not value:
        came = "an empty list" if value == [] else _shown(value)
        raise _invalid([Fault(pointer=pointer, detail=f"{came} came; expected a list of instances.")], signature)
    columns = _columns(value, signature)
    arrays = {spec.name: _array(columns[spec.name], spec) for spec in signature.inputs} if columns else {}
    good = {name: array for name, array in arrays.items() if array is not None}
    if len(good) == len(signature.inputs):
        return good
    raise _invalid(list(_diagnosis(value, signature, pointer)), signature)


def decode_columns(value: object, signature: Signature, pointer: str = "/inputs") -> dict[str, Array]:
    """Turn columns into arrays by input name: an object of a list for each input, or the list of the only input.

    Other names are passed over. Raises Invalid as `decode` does, and where the columns differ in length.
    """
    if not isinstance(value, dict):
        if len(signature.inputs) == 1:
            return decode(value, signature, pointer)
        names = ", ".join(repr(spec.name) for spec in signature.inputs)
        raise _invalid(
            [Fault(pointer=pointer, detail=f"{_shown(value)} came; expected an object of {names}.")], signature
        )
    arrays: dict[str, Array] = {}
    faults: list[Fault] = []
    for spec in signature.inputs:
        try:
            arrays[spec.name] = _column(value, spec, pointer)
        except Invalid as error:
            faults.extend(error.faults)
    if not faults and len({len(array) for array in arrays.values()}) > 1:
        counted = ", ".join(f"{name!r} has {len(array)}" for name, array in arrays.items())
        faults.append(Fault(pointer=pointer, detail=f"The inputs differ in rows: {counted}."))
    if faults:
        raise _invalid(faults, signature)
    return arrays


def _column(columns: dict[str, Any], spec: TensorSpec, pointer: str) -> Array:
    alone = Signature(inputs=(spec,), outputs=())
    if spec.name not in columns:
        raise _invalid([Fault(pointer=pointer, detail=f"Missing named input: {spec.name} in 'inputs' object.")], alone)
    return decode(columns[spec.name], alone, f"{pointer}/{_escaped(spec.name)}")[spec.name]


def encode(outputs: dict[str, Array], signature: Signature) -> Array | list[dict[str, Array]]:
    """Turn outputs into one prediction a row: one array for one output, objects by output name for several.

    Rows stay NumPy arrays: `orjson.dumps(..., option=OPT_SERIALIZE_NUMPY)` writes float32 in its short form, and NaN
    and infinities as null.
    """
    names = [spec.name for spec in signature.outputs]
    if len(names) == 1:
        return np.ascontiguousarray(outputs[names[0]])
    columns = [np.ascontiguousarray(outputs[name]) for name in names]
    return [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]


def _columns(rows: list[Any], signature: Signature) -> dict[str, list[Any]] | None:
    """Split the rows by input; None where the rows do not have the inputs."""
    names = [spec.name for spec in signature.inputs]
    if not isinstance(rows[0], dict):
        return {names[0]: rows} if len(names) == 1 else None
    if not all(isinstance(row, dict) and len(row) == len(names) for row in rows):
        return None
    try:
        return {name: [row[name] for row in rows] for name in names}
    except KeyError:
        return None


def _array(rows: list[Any], spec: TensorSpec) -> Array | None:
    """Give the rows as one array of the input's dtype, or None where any value does not fit."""
    try:
        array = np.asarray(rows)
    except (ValueError, OverflowError, RecursionError):
        return None
    if array.dtype.kind not in kinds(spec.dtype) or _hides_booleans(array, rows):
        return None
    if array.ndim == 1 and spec.shape == (1,):
        array = array.reshape(-1, 1)
    return cast_exactly(array, spec.dtype) if _fits(array.shape[1:], spec.shape) else None


def kinds(dtype: str) -> str:
    """The kinds of NumPy's arrays that an input takes from JSON: booleans are no numbers, and numbers no booleans."""
    return "b" if dtype == "bool" else "iuf"


def _hides_booleans(array: Array, rows: list[Any]) -> bool:
    """Tell whether NumPy has silently turned a boolean among numbers into 0 or 1; without either there is none."""
    if array.dtype.kind == "b":
        return False
    if not ((array == 0) | (array == 1)).any():
        return False
    values: Any = rows
    for _ in range(array.ndim - 1):
        values = chain.from_iterable(values)
    return bool in set(map(type, values))


def _fits(shape: tuple[int, ...], expected_shape: tuple[int | None, ...]) -> bool:
    return len(shape) == len(expected_shape) and all(
        size > 0 if due is None else size == due for size, due in zip(shape, expected_shape, strict=True)
    )


def cast_exactly(array: Array, dtype: str) -> Array | None:
    """Cast without loss of meaning: no infinity, no fraction and nothing out of range in whole-number inputs.

    Booleans are cast to booleans alone.
    """
    if dtype == "bool":
        return array if array.dtype.kind == "b" else None
    with np.errstate(over="ignore", invalid="ignore"):
        cast = array.astype(dtype)
        if cast.dtype.kind == "f":
            return cast if np.isfinite(cast).all() else None
    limits = np.iinfo(cast.dtype)
    # The comparison is made before the cast is trusted: a value out of range wraps around, or becomes anything.
    inside = ((array >= limits.min) & (array <= limits.max)).all()
    return cast if inside and (cast == array).all() else None


def _diagnosis(rows: list[Any], signature: Signature, pointer: str) -> Iterator[Fault]:
    """Yield what is wrong, of the first bad rows; runs only where something is."""
    by_row = (
        list(islice(_row_faults(row, signature, f"{pointer}/{i}"), _MOST_FAULTS_A_ROW)) for i, row in enumerate(rows)
    )
    found = False
    for faults in islice((faults for faults in by_row if faults), _MOST_ROWS):
        found = True
        yield from faults
    if not found:
        yield from _unequal_rows(rows, signature, pointer)


def _row_faults(row: Any, signature: Signature, pointer: str) -> Iterator[Fault]:
    specs = {spec.name: spec for spec in signature.inputs}
    if not isinstance(row, dict):
        if len(specs) == 1:
            yield from _value_faults(row, signature.inputs[0], pointer)
        else:
            detail = f"{_shown(row)} came; expected an object with the inputs {', '.join(map(repr, specs))}."
            yield Fault(pointer=pointer, detail=detail)
        return
    for name in [name for name in specs if name not in row]:
        yield Fault(pointer=pointer, detail=f"The input {name!r} is missing: it is {_described(specs[name])}.")
    for name in row:
        if name not in specs:
            detail = f"There is no input {str(name)[:64]!r}; the inputs are {', '.join(map(repr, specs))}."
            yield Fault(pointer=f"{pointer}/{_escaped(name)}", detail=detail)
        else:
            yield from _value_faults(row[name], specs[name], f"{pointer}/{name}")


def _value_faults(value: Any, spec: TensorSpec, pointer: str) -> Iterator[Fault]:
    if _array([value], spec) is not None:
        return
    if not isinstance(value, list) and spec.shape == (1,):
        shape: tuple[int | None, ...] = ()
    else:
        shape = _resolved(value, spec.shape)
    yield from _nested_faults(value, shape, spec, pointer)


def _resolved(value: Any, shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
    """Put the row's own sizes where the shape leaves them open, as its first elements show them."""
    sizes = []
    for size in shape:
        own = len(value) if isinstance(value, list) else None
        sizes.append(size if size is not None or not own else own)
        value = value[0] if own else None
    return tuple(sizes)


def _nested_faults(value: Any, shape: tuple[int | None, ...], spec: TensorSpec, pointer: str) -> Iterator[Fault]:
    if not shape:
        detail = _number_fault(value, spec.dtype)
        if detail:
            yield Fault(pointer=pointer, detail=f"{detail} The input {spec.name!r} is {_described(spec)}.")
    elif not isinstance(value, list) or not value or len(value) != (shape[0] or len(value)):
        due = "at least 1 element" if shape[0] is None else f"{shape[0]} element{'' if shape[0] == 1 else 's'}"
        detail = f"{_shown(value)} came; expected a list of {due} here. The input {spec.name!r} is {_described(spec)}."
        yield Fault(pointer=pointer, detail=detail)
    else:
        for i, element in enumerate(value):
            yield from _nested_faults(element, shape[1:], spec, f"{pointer}/{i}")


def _number_fault(value: Any, dtype: str) -> str | None:
    if dtype == "bool":
        return None if isinstance(value, bool) else f"{_shown(value)} came; expected true or false."
    if isinstance(value, bool) or not isinstance(value, int | float):
        return f"{_shown(value)} came; expected a number."
    if _cast_one(value, dtype):
        return None
    due = "a finite number" if dtype.startswith("float") else "a whole number"
    return f"{_shown(value)} came; expected {due} that fits {dtype}."


def _cast_one(value: float, dtype: str) -> bool:
    array = np.asarray([value])
    return array.dtype.kind in "iuf" and cast_exactly(array, dtype) is not None


def _unequal_rows(rows: list[Any], signature: Signature, pointer: str) -> Iterator[Fault]:
    """Yield the rows that fit alone but not with the first: sizes that are not fixed must agree in one request."""
    for spec in signature.inputs:
        shapes = [np.shape(row[spec.name] if isinstance(row, dict) else row) for row in rows]
        for i in islice((i for i, shape in enumerate(shapes) if shape != shapes[0]), _MOST_ROWS):
            detail = (
                f"The input {spec.name!r} has the shape {list(shapes[i])} here and {list(shapes[0])} in row 0. The "
                "rows of one request must be equally long: pad them, or send them in requests of their own."
            )
            yield Fault(pointer=f"{pointer}/{i}", detail=detail)


def _escaped(name: object) -> str:
    return str(name)[:64].replace("~", "~0").replace("/", "~1")


def _invalid(faults: list[Fault], signature: Signature) -> Invalid:
    return Invalid(
        f"The instances do not fit the model's inputs; the first fault is at {faults[0].pointer}: {faults[0].detail} "
        f"A valid instance is {_instance(signature)}.",
        faults,
    )


def _described(spec: TensorSpec) -> str:
    """Describe an input in words: "a list of 7 lists of 3 float32 numbers"."""
    number = "boolean" if spec.dtype == "bool" else f"{spec.dtype} number"
    if not spec.shape:
        return f"one {number}"
    sizes = ["any number of" if size is None else str(size) for size in spec.shape]
    inner = f"{number}{'' if spec.shape[-1] == 1 else 's'}"
    return "a list of " + " lists of ".join(sizes) + f" {inner}"


def _shown(value: object) -> str:
    """Show a JSON value as the client wrote it, cut short."""
    if isinstance(value, list):
        return f"A list of {len(value)}"
    if isinstance(value, dict):
        return "An object"
    if isinstance(value, str):
        return f"The string {json.dumps(value[:_LONGEST])}"
    if isinstance(value, int) and not isinstance(value, bool) and value.bit_length() > 128:
        # Python refuses to write an integer of more than 4300 digits.
        return f"an integer of {value.bit_length()} bits"
    return json.dumps(value, default=str)


def _instance(signature: Signature) -> str:
    """Write an instance that fits the signature, as JSON where it is short."""
    parts = {spec.name: _example(spec) for spec in signature.inputs}
    if len(parts) == 1:
        return next(iter(parts.values()))
    return "{" + ", ".join(f"{json.dumps(name)}: {part}" for name, part in parts.items()) + "}"


def _example(spec: TensorSpec) -> str:
    shape = [_SOME_STEPS if size is None else size for size in spec.shape]
    if math.prod(shape) > _MOST_NUMBERS:
        return _described(spec)
    value: Any = True if spec.dtype == "bool" else 0.5 if spec.dtype.startswith("float") else 1
    for size in reversed(shape):
        value = [value] * size
    return json.dumps(value)
