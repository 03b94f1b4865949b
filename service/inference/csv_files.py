"""CSV text as bodies and answers: a header, then a row of numbers for each row of the batch."""

import io
import math
from collections.abc import Collection, Sequence
from itertools import islice
from typing import Any, Final

import numpy as np

from service.data.array_writer import EXACT_LIMIT
from service.data.csv_table import NotNumbers, block_bytes, cell_faults, read_names, read_rows
from service.data.delimiters import DELIMITERS
from service.data.utf16 import as_utf8
from service.errors import Fault, Invalid
from service.inference.fitting import MOST_FAULTS, Locate, fit, in_column, in_columns, refusal, says
from service.inference.signature import Signature, TensorSpec
from service.inference.table_columns import are_features, by_input

Array = np.ndarray[Any, Any]
Arrays = dict[str, Array]

_START_BYTES: Final = 2**16


def read_csv(content: bytes, signature: Signature) -> Arrays:
    """Turn CSV with a header into arrays by input name: a column for each input, or for each number of the only one.

    Raises MalformedRequest where it is neither UTF-8 nor UTF-16 with its mark, and Invalid with what does not fit: up
    to 20 cells.
    """
    content = as_utf8(content)
    header = read_names(io.BytesIO(content))
    check_delimiter(header, content, [spec.name for spec in signature.inputs])
    features = are_features(header, signature)
    _check_ranks(signature)
    blocks: list[Array] = []
    try:
        blocks.extend(read_rows(content, len(header)))
    except NotNumbers as error:
        raise refusal(_faults(content, header, sum(map(len, blocks)), str(error))) from error
    rows = np.concatenate(blocks) if blocks else np.empty((0, len(header)))
    if not features:
        columns = ((name, rows[:, place]) for place, name in enumerate(header))
        for place, name in enumerate(header):
            _check_digits(rows[:, place], signature, name, in_column(name))
        return by_input(columns, signature)
    (spec,) = signature.inputs
    _check_digits(rows, signature, spec.name, in_columns(header))
    return {spec.name: fit(rows if spec.shape else rows[:, 0], spec, "", in_columns(header))}


def check_delimiter(header: Sequence[str], content: bytes, known: Collection[str]) -> None:
    """Raise Invalid where not commas separate the cells, as of spreadsheets in which these are decimal marks.

    `known` are names that a column can have.
    """
    if len(header) > 1 or header[0] in known:
        return
    lines = content[:_START_BYTES].decode("utf-8", "replace").splitlines()[:2]
    found = next((one for one in DELIMITERS if all(one in line for line in lines)), ",")
    if found != ",":
        came = f"Cells seem to be separated by {found!r}; in CSV for predictions, commas separate them and numbers have"
        detail = f"{came} decimal points. Save it so, or send JSON."
        raise Invalid(detail, [Fault(pointer="", detail=detail)])


def write_csv(outputs: Arrays, signature: Signature) -> bytes:
    """The outputs as CSV: a column for each number, `y` where a row has one, else `y.0`, `y.1`, row-major.

    What is not finite is written nan, inf or -inf.
    """
    import pyarrow
    from pyarrow import csv

    columns: dict[str, Array] = {}
    for spec in signature.outputs:
        array = np.ascontiguousarray(outputs[spec.name])
        flat = array.reshape(len(array), math.prod(array.shape[1:]))
        wide = flat.astype(np.float32) if flat.dtype == np.float16 else flat
        columns.update(zip(_names(spec, array.shape[1:]), wide.T, strict=True))
    batch = pyarrow.record_batch({name: np.ascontiguousarray(column) for name, column in columns.items()})
    sink = pyarrow.BufferOutputStream(pyarrow.system_memory_pool())
    csv.write_csv(batch, sink, csv.WriteOptions(quoting_header="none"))
    return bytes(sink.getvalue().to_pybytes())


def _names(spec: TensorSpec, shape: tuple[int, ...]) -> list[str]:
    if math.prod(shape) == 1:
        return [spec.name]
    return [".".join([spec.name, *map(str, index)]) for index in np.ndindex(shape)]


def _check_ranks(signature: Signature) -> None:
    """Refuse what no table of bare numbers can hold."""
    wide = [spec for spec in signature.inputs if spec.shape not in ((), (1,))]
    if wide and (len(signature.inputs) > 1 or len(wide[0].shape) > 1):
        detail = f"A cell of CSV holds one number. {says(wide[0])} Send JSON, .npz or Arrow."
        raise refusal([Fault(pointer="", detail=detail)])


def _check_digits(values: Array, signature: Signature, name: str, locate: Locate) -> None:
    """Refuse whole numbers for 64-bit inputs that may have lost digits on their way through float64."""
    spec = next(spec for spec in signature.inputs if spec.name == name)
    if spec.dtype != "int64":
        return
    faults = []
    for index in np.argwhere(np.abs(values) >= EXACT_LIMIT)[:MOST_FAULTS].tolist():
        place = locate(index)
        detail = f"{values[tuple(index)]:.0f} came {place.words}; CSV carries whole numbers below 2**53 exactly."
        faults.append(Fault(pointer=place.pointer, detail=f"{detail} Send JSON, .npz or Arrow."))
    if faults:
        raise refusal(faults)


def _faults(content: bytes, header: list[str], good: int, reason: str) -> list[Fault]:
    # The first fault is in the block that follows the good rows, in which a cell takes two bytes at least. Those below
    # are not looked for: a microsecond for each cell of a large body is too long.
    rows = block_bytes(len(header)) // (2 * len(header)) + 1
    found = list(islice(cell_faults(io.BytesIO(content), header, good, rows), MOST_FAULTS))
    return found or [Fault(pointer="", detail=f"The rows cannot be read as numbers: {reason[:200]}. Correct them.")]
