"""Tensors as the Open Inference Protocol writes them, to and from arrays: as JSON, or as bytes behind the JSON.

Bytes are little-endian and row-major. A tensor in JSON is `{"name", "shape", "datatype", "data"}`, its data flat or
nested; one whose bytes follow has `"parameters": {"binary_data_size": n}` in place of `data`.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from service.errors import Fault, Invalid
from service.inference.instances import cast_exactly, kinds
from service.inference.signature import Signature, TensorSpec

Array = np.ndarray[Any, Any]

#: The protocol's names of NumPy's types.
DATATYPES = {
    "bool": "BOOL",
    "uint8": "UINT8",
    "uint16": "UINT16",
    "uint32": "UINT32",
    "uint64": "UINT64",
    "int8": "INT8",
    "int16": "INT16",
    "int32": "INT32",
    "int64": "INT64",
    "float16": "FP16",
    "float32": "FP32",
    "float64": "FP64",
}
#: No size of a tensor is larger.
_LARGEST = 2**31


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """An output that a client asks for, whether as bytes, and how many of its largest values if not all of them.

    `labels` are the names of its values, where they have any.
    """

    spec: TensorSpec
    binary: bool
    classes: int = 0
    labels: Sequence[str] = ()


def read_inputs(inputs: object, content: memoryview, signature: Signature) -> dict[str, Array]:
    """Turn a request's inputs into arrays by name, (rows, *shape); `content` is what follows the JSON.

    The data of an input can be an array already, flat, as `lifted` gives it.

    Raises Invalid with all that is wrong: names, types, shapes, sizes, and rows that differ in number.
    """
    if not isinstance(inputs, list) or not inputs:
        raise _invalid([Fault(pointer="/inputs", detail=f"A list of the inputs {_names(signature)} was expected.")])
    faults: list[Fault] = []
    arrays: dict[str, Array] = {}
    parts = _parts(inputs, content, faults)
    for place, (given, part) in enumerate(zip(inputs, parts, strict=True)):
        try:
            spec = _spec(given, signature.inputs, f"/inputs/{place}")
            if spec.name in arrays:
                raise _fault(f"/inputs/{place}/name", f"The input {spec.name!r} came twice.")
            arrays[spec.name] = _array(given, part, spec, f"/inputs/{place}")
        except Invalid as error:
            faults.extend(error.faults)
    if not faults:
        faults.extend(_disagreements(arrays, signature))
    if faults:
        raise _invalid(faults)
    return arrays


def read_raw(content: memoryview, signature: Signature) -> dict[str, Array]:
    """Turn a body without any JSON into one row of the only input, in which one size may be open."""
    if len(signature.inputs) != 1:
        raise _fault("/inputs", f"Only bytes came, and the network has the inputs {_names(signature)}: name them.")
    (spec,) = signature.inputs
    known = math.prod(size for size in spec.shape if size is not None) * np.dtype(spec.dtype).itemsize
    if spec.shape.count(None) > 1 or len(content) % known or (None not in spec.shape and len(content) != known):
        raise _fault("/inputs", f"{len(content)} bytes came; one row of {_described(spec)} was expected.")
    shape = (1, *(len(content) // known if size is None else size for size in spec.shape))
    return {spec.name: np.frombuffer(content, _little(spec.dtype)).reshape(shape).astype(spec.dtype)}


def read_outputs(
    outputs: object, all_binary: bool, signature: Signature, labels: Mapping[str, Sequence[str]] | None = None
) -> list[Wanted]:
    """What a client wants of the outputs, all if it says nothing; raises Invalid. `labels` name an output's values."""
    if outputs is None or outputs == []:
        return [Wanted(spec=spec, binary=all_binary) for spec in signature.outputs]
    if not isinstance(outputs, list):
        raise _invalid([Fault(pointer="/outputs", detail="A list of outputs was expected, or none for all.")])
    wanted: list[Wanted] = []
    faults: list[Fault] = []
    for place, given in enumerate(outputs):
        try:
            spec = _spec(given, signature.outputs, f"/outputs/{place}")
            parameters = _parameters(given, f"/outputs/{place}")
            binary, classes = parameters.get("binary_data", all_binary), parameters.get("classification", 0)
            if not isinstance(binary, bool):
                raise _fault(f"/outputs/{place}/parameters/binary_data", "True or false was expected.")
            if not isinstance(classes, int) or isinstance(classes, bool) or not 0 <= classes < _LARGEST:
                detail = f"{classes!r:.40} came; how many classes, a whole number, was expected."
                raise _fault(f"/outputs/{place}/parameters/classification", detail)
            named = (labels or {}).get(spec.name, ())
            wanted.append(Wanted(spec=spec, binary=binary, classes=classes, labels=named))
        except Invalid as error:
            faults.extend(error.faults)
    if faults:
        raise _invalid(faults)
    return wanted


def write_outputs(arrays: dict[str, Array], wanted: Sequence[Wanted]) -> tuple[list[dict[str, Any]], list[bytes]]:
    """The outputs for the JSON, and the bytes that follow it; a number that is not finite is null in JSON alone."""
    described, parts = [], []
    for one in wanted:
        array = np.ascontiguousarray(arrays[one.spec.name], one.spec.dtype)
        if one.classes:
            tensor, part = _classification(array, one)
            described.append(tensor)
            parts.extend(part)
            continue
        tensor = {"name": one.spec.name, "datatype": DATATYPES[one.spec.dtype], "shape": list(array.shape)}
        if one.binary:
            parts.append(array.astype(_little(one.spec.dtype), copy=False).tobytes())
            described.append({**tensor, "parameters": {"binary_data_size": len(parts[-1])}})
        else:
            described.append({**tensor, "data": array.reshape(-1)})
    return described, parts


def describe(spec: TensorSpec) -> dict[str, Any]:
    """A tensor in a model's metadata; -1 is the batch, or a size that is not fixed."""
    shape = [-1 if size is None else size for size in (None, *spec.shape)]
    return {"name": spec.name, "datatype": DATATYPES[spec.dtype], "shape": shape}


def _classification(array: Array, wanted: Wanted) -> tuple[dict[str, Any], list[bytes]]:
    """The largest values of each row as texts "value:index", or "value:index:label" where they have names.

    The largest comes first, of equal ones that with the smaller index.
    """
    rows = array.reshape(len(array), math.prod(array.shape[1:]))
    count = min(wanted.classes, rows.shape[1])
    # As floats, so that no number wraps around when it is negated; what is no number is the last.
    order = np.argsort(-rows.astype(np.float64), axis=1, kind="stable")[:, :count]
    names = [f":{label}" for label in wanted.labels] + [""] * max(0, rows.shape[1] - len(wanted.labels))
    texts = [
        f"{row[index]!s}:{index}{names[index]}"
        for row, indices in zip(rows, order, strict=True)
        for index in indices.tolist()
    ]
    tensor = {"name": wanted.spec.name, "datatype": "BYTES", "shape": [len(rows), count]}
    if not wanted.binary:
        return {**tensor, "data": texts}, []
    encoded = [text.encode() for text in texts]
    part = b"".join(len(text).to_bytes(4, "little") + text for text in encoded)
    return {**tensor, "parameters": {"binary_data_size": len(part)}}, [part]


def _parts(inputs: list[Any], content: memoryview, faults: list[Fault]) -> list[memoryview | None]:
    """The bytes of each input, None where its data are in the JSON; what does not add up is a fault."""
    parts: list[memoryview | None] = []
    start = 0
    for place, given in enumerate(inputs):
        parameters = given.get("parameters") if isinstance(given, dict) else None
        size = parameters.get("binary_data_size") if isinstance(parameters, dict) else None
        if size is None:
            parts.append(None)
            continue
        left = len(content) - start
        if not isinstance(size, int) or isinstance(size, bool) or not 0 <= size <= left:
            detail = f"{size!r:.40} came; a number of bytes from 0 to the {left} that are left was expected."
            raise _fault(f"/inputs/{place}/parameters/binary_data_size", detail)
        parts.append(content[start : start + size])
        start += size
    if start != len(content):
        detail = f"{len(content)} bytes follow the JSON, and the inputs say that there are {start}."
        faults.append(Fault(pointer="/inputs", detail=detail))
    return parts


def _spec(given: object, specs: Sequence[TensorSpec], pointer: str) -> TensorSpec:
    name = given.get("name") if isinstance(given, dict) else None
    found = next((spec for spec in specs if spec.name == name), None)
    if found is None:
        known = ", ".join(repr(spec.name) for spec in specs)
        raise _fault(f"{pointer}/name", f"{name!r:.80} came; one of {known} was expected.")
    return found


def _parameters(given: dict[str, Any], pointer: str) -> dict[str, Any]:
    parameters = given.get("parameters", {})
    if not isinstance(parameters, dict):
        raise _fault(f"{pointer}/parameters", "An object was expected.")
    return parameters


def _array(given: dict[str, Any], part: memoryview | None, spec: TensorSpec, pointer: str) -> Array:
    if given.get("datatype") != DATATYPES[spec.dtype]:
        detail = f"{given.get('datatype')!r:.40} came; {DATATYPES[spec.dtype]!r} was expected for {_described(spec)}."
        raise _fault(f"{pointer}/datatype", detail)
    shape = _shape(given.get("shape"), spec, pointer)
    if part is not None:
        return _from_bytes(part, shape, spec, f"{pointer}/parameters/binary_data_size")
    return _from_json(given.get("data"), shape, spec, f"{pointer}/data")


def _from_bytes(part: memoryview, shape: tuple[int, ...], spec: TensorSpec, pointer: str) -> Array:
    dtype = _little(spec.dtype)
    due = math.prod(shape) * dtype.itemsize
    if len(part) != due:
        raise _fault(pointer, f"{len(part)} came; {list(shape)} takes {due} bytes.")
    if not due:
        return np.zeros(shape, spec.dtype)
    return np.frombuffer(part, dtype).reshape(shape).astype(spec.dtype, copy=False)


def _shape(given: object, spec: TensorSpec, pointer: str) -> tuple[int, ...]:
    due = (None, *spec.shape)
    if isinstance(given, list) and len(given) == len(due) and all(map(_size_fits, given, due)):
        return tuple(given)
    expected = [-1 if size is None else size for size in due]
    raise _fault(f"{pointer}/shape", f"{given!r:.80} came; {expected} was expected, -1 being any number.")


def _size_fits(size: object, due: int | None) -> bool:
    whole = isinstance(size, int) and not isinstance(size, bool) and 0 <= size < _LARGEST
    return whole and due in (None, size)


def _from_json(data: object, shape: tuple[int, ...], spec: TensorSpec, pointer: str) -> Array:
    if not isinstance(data, list | np.ndarray):
        raise _fault(pointer, f"{type(data).__name__} came; a list of numbers was expected, flat or nested.")
    try:
        array = np.asarray(data)
    except (ValueError, OverflowError, RecursionError):
        raise _fault(pointer, "The lists differ in length or kind; numbers were expected, flat or nested.") from None
    if array.size != math.prod(shape):
        raise _fault(pointer, f"{array.size} numbers came; {list(shape)} takes {math.prod(shape)}.")
    if array.size == 0:
        return np.zeros(shape, spec.dtype)
    cast = cast_exactly(array, spec.dtype) if array.dtype.kind in kinds(spec.dtype) else None
    if cast is None:
        raise _fault(pointer, _unfit(spec))
    return cast.reshape(shape)


def _unfit(spec: TensorSpec) -> str:
    if spec.dtype == "bool":
        return f"Not all of these are booleans; true or false was expected in all of {_described(spec)}."
    return f"Not all of these are {spec.dtype} numbers; numbers that fit {_described(spec)} were expected."


def _disagreements(arrays: dict[str, Array], signature: Signature) -> Iterator[Fault]:
    missing = [spec.name for spec in signature.inputs if spec.name not in arrays]
    for name in missing:
        yield Fault(pointer="/inputs", detail=f"The input {name!r} is missing.")
    if len({len(array) for array in arrays.values()}) > 1:
        counted = ", ".join(f"{name!r} has {len(array)}" for name, array in arrays.items())
        yield Fault(pointer="/inputs", detail=f"The inputs differ in rows: {counted}.")


def _little(dtype: str) -> np.dtype[Any]:
    return np.dtype(dtype).newbyteorder("<")


def _described(spec: TensorSpec) -> str:
    return f"{spec.name!r} of shape {[-1 if size is None else size for size in (None, *spec.shape)]}"


def _names(signature: Signature) -> str:
    return ", ".join(repr(spec.name) for spec in signature.inputs)


def _fault(pointer: str, detail: str) -> Invalid:
    return _invalid([Fault(pointer=pointer, detail=detail)])


def _invalid(faults: list[Fault]) -> Invalid:
    """One sentence with all faults: clients of this protocol read one string."""
    return Invalid("; ".join(f"{fault.pointer}: {fault.detail}" for fault in faults[:20]), faults)
