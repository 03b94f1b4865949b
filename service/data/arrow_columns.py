"""Columns of Arrow's types as a table stores them: what can be stored is cast, the rest is told by column or cell."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from service.data.column_checks import add_infinite, finite, place_of
from service.data.fault_list import FaultList, escape
from service.data.table import Type, arrow_of
from service.errors import Fault

if TYPE_CHECKING:
    import pyarrow as pa

#: What PNG and JPEG files begin with.
_IMAGE_STARTS: Final = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff")
#: A moment in microseconds has 64 bits.
_INT64_MAX: Final = 2**63 - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class ArrowColumn:
    """A column of a file, and what it is stored as; `channels` is how many numbers a step of a sequence has.

    None where only the lists themselves can tell; `channels_of` asks them.
    """

    name: str
    type: Type
    channels: int | None = 1


def arrow_column(name: str, arrow: pa.DataType) -> ArrowColumn | Fault:
    """How a column of Arrow's type is stored; the fault where it cannot be."""
    found = _stored(_plain(arrow))
    if found is None:
        said = f"The column {name[:64]!r} is of Arrow's type {str(arrow)[:80]}, which no column is stored as."
        return Fault(pointer=f"/{escape(name[:64])}", detail=f"{said} {_advice(_plain(arrow))}")
    if found == "sequence":
        return ArrowColumn(name=name, type=found, channels=_channels(_plain(arrow)))
    return ArrowColumn(name=name, type=found)


def channels_of(values: pa.Array) -> int | None:
    """How many numbers the first step of any of these sequences has; None where none of them has a step."""
    import pyarrow.compute as pc

    lengths = pc.list_value_length(_storage(values).flatten())
    known = lengths.drop_null()
    return known[0].as_py() if len(known) else None


def stored_values(values: pa.Array, column: ArrowColumn, first: int, faults: FaultList) -> pa.Array:
    """The values as they are stored; what is wrong goes to `faults`, and `first` is the number of the first row.

    NaN is a missing value in a column of numbers.
    """
    values = _storage(values)
    match column.type:
        case "int64":
            return _whole(values, column.name, first, faults)
        case "float64":
            return _numbers(values, column.name, first, faults)
        case "timestamp":
            return _moments(values, column.name, first, faults)
        case "image":
            return _images(values, column.name, first, faults)
        case "sequence":
            return _sequences(values, column, first, faults)
    if _is_list(values.type):
        return _joined(values, column.name, first, faults)
    return values.cast(arrow_of(column.type))


def decoded_bytes(values: pa.Array) -> int:
    """How much memory a column takes once its dictionaries are gone; 0 where it has none."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if isinstance(values, pa.StructArray):
        return sum(decoded_bytes(pc.struct_field(values, [place])) for place in range(values.type.num_fields))
    if _is_list(values.type):
        return decoded_bytes(values.flatten())
    if not isinstance(values, pa.DictionaryArray) or not is_bytes(values.type.value_type):
        return 0
    sizes = pc.binary_length(values.dictionary).cast(pa.int64()).take(values.indices)
    return pc.sum(sizes).as_py() or 0


def is_bytes(arrow: pa.DataType) -> bool:
    """Whether this is of texts, or of bytes that may be images."""
    return _is_string(arrow) or _is_binary(arrow)


def _stored(arrow: pa.DataType) -> Type | None:
    """What a type is stored as; None where it cannot be."""
    from pyarrow import types

    if types.is_boolean(arrow):
        return "bool"
    if types.is_integer(arrow):
        return "int64"
    if types.is_floating(arrow) or types.is_decimal(arrow) or types.is_null(arrow):
        return "float64"
    if _is_string(arrow):
        return "string"
    if types.is_date(arrow) or types.is_timestamp(arrow):
        return "timestamp"
    if _is_binary(arrow) or _is_image_struct(arrow):
        return "image"
    return _stored_list(arrow) if _is_list(arrow) else None


def _stored_list(arrow: pa.DataType) -> Type | None:
    from pyarrow import types

    inner = _plain(arrow.value_type)
    if _is_string(inner):
        return "string"
    if _is_list(inner):
        inner = inner.value_type
    return "sequence" if types.is_integer(inner) or types.is_floating(inner) else None


def _advice(arrow: pa.DataType) -> str:
    """What to do about a type that no column is stored as."""
    from pyarrow import types

    if _is_list(arrow):
        return "Lists must be of numbers, of lists of numbers, or of texts. Convert it to one of these."
    if types.is_time(arrow) or types.is_duration(arrow):
        return "Convert it to a number of seconds."
    if types.is_fixed_size_binary(arrow):
        return "Convert it to text, such as hexadecimal digits."
    if types.is_struct(arrow) or types.is_map(arrow):
        return "Make each of its fields a column of its own."
    return "Convert it to numbers, booleans, text or dates."


def _channels(arrow: pa.DataType) -> int | None:
    from pyarrow import types

    inner = arrow.value_type
    if types.is_fixed_size_list(inner):
        return int(inner.list_size)
    return None if _is_list(inner) else 1


def _plain(arrow: pa.DataType) -> pa.DataType:
    """The type of the values themselves: without a dictionary, and of an extension what it stores."""
    import pyarrow as pa

    if isinstance(arrow, pa.DictionaryType):
        return _plain(arrow.value_type)
    if isinstance(arrow, pa.FixedShapeTensorType) and len(arrow.shape) > 1:
        # What it stores has lost its shape.
        return arrow
    return _plain(arrow.storage_type) if isinstance(arrow, pa.BaseExtensionType) else arrow


def _storage(values: pa.Array) -> pa.Array:
    import pyarrow as pa

    if isinstance(values, pa.DictionaryArray):
        return _storage(values.dictionary_decode())
    return _storage(values.storage) if isinstance(values, pa.ExtensionArray) else values


def _is_string(arrow: pa.DataType) -> bool:
    from pyarrow import types

    return bool(types.is_string(arrow) or types.is_large_string(arrow) or types.is_string_view(arrow))


def _is_binary(arrow: pa.DataType) -> bool:
    from pyarrow import types

    return bool(types.is_binary(arrow) or types.is_large_binary(arrow) or types.is_binary_view(arrow))


def _is_list(arrow: pa.DataType) -> bool:
    from pyarrow import types

    return bool(types.is_list(arrow) or types.is_large_list(arrow) or types.is_fixed_size_list(arrow))


def _is_image_struct(arrow: pa.DataType) -> bool:
    """Whether this is what data sets of images have in Parquet files: the bytes of an image, and its path."""
    from pyarrow import types

    if not types.is_struct(arrow):
        return False
    fields = {field.name: field.type for field in arrow}
    return fields.keys() == {"bytes", "path"} and _is_binary(fields["bytes"]) and _is_string(fields["path"])


def _whole(values: pa.Array, name: str, first: int, faults: FaultList) -> pa.Array:
    import pyarrow as pa
    import pyarrow.compute as pc

    if pa.types.is_uint64(values.type):
        over = pc.greater(values, pa.scalar(_INT64_MAX, pa.uint64()))
        values = _without(
            values, over, name, first, faults, "A whole number beyond 2**63 - 1", "Send the column as text or floats."
        )
    return values.cast(pa.int64())


def _numbers(values: pa.Array, name: str, first: int, faults: FaultList) -> pa.Array:
    import pyarrow as pa

    numbers, infinite = finite(values.cast(pa.float64(), safe=False))
    add_infinite(faults, infinite + first, name)
    return numbers


def _moments(values: pa.Array, name: str, first: int, faults: FaultList) -> pa.Array:
    import pyarrow as pa
    import pyarrow.compute as pc

    per_unit = {"date32[day]": 86_400_000_000, "date64[ms]": 1000}.get(str(values.type))
    if per_unit is None:
        per_unit = {"s": 1_000_000, "ms": 1000}.get(values.type.unit, 1)
    if per_unit > 1:
        whole = values.view(pa.int32() if values.type.bit_width == 32 else pa.int64()).cast(pa.int64())
        far = pc.or_(pc.greater(whole, _INT64_MAX // per_unit), pc.less(whole, -(_INT64_MAX // per_unit)))
        said = "A date that 64 bits of microseconds cannot hold"
        values = _without(values, far, name, first, faults, said, "Correct it, or leave it out.")
    # Nanoseconds are cut off; a moment with a zone is kept in UTC, which is what Arrow stores of it.
    return values.cast(arrow_of("timestamp"), safe=False)


def _images(values: pa.Array, name: str, first: int, faults: FaultList) -> pa.Array:
    import pyarrow as pa
    import pyarrow.compute as pc

    if pa.types.is_struct(values.type):
        paths, values = pc.struct_field(values, "path"), pc.struct_field(values, "bytes").cast(pa.binary())
        alone = pc.and_(pc.is_null(values), pc.is_valid(paths))
        said = "The path of an image without its bytes"
        values = _without(values, alone, name, first, faults, said, "Put the image's file into the column.")
    files = values.cast(pa.binary())
    wrong = np.array([start is not None and not start.startswith(_IMAGE_STARTS) for start in _starts(files)], bool)
    said = "Bytes that are no PNG or JPEG file"
    return _without(files, pa.array(wrong), name, first, faults, said, "Send images, or convert the column to text.")


def _starts(files: pa.BinaryArray) -> list[bytes | None]:
    import pyarrow.compute as pc

    starts: list[bytes | None] = pc.binary_slice(files, 0, 8).to_pylist()
    return starts


def _joined(values: pa.Array, name: str, first: int, faults: FaultList) -> pa.Array:
    """Lists of texts as one text each, with semicolons between, as several labels of a row are stored."""
    import pyarrow as pa
    import pyarrow.compute as pc

    lists = values.cast(pa.list_(pa.string()))
    texts = lists.flatten()
    wrong = pc.or_(pc.is_null(texts), pc.fill_null(pc.match_substring(texts, ";"), False))
    rows = pc.list_parent_indices(lists).filter(wrong).unique()
    said = "A list with a null, or with a text that has a semicolon in it,"
    lists = _without(lists, _mask(rows, len(lists)), name, first, faults, said, "Texts are joined by semicolons.")
    return pc.binary_join(lists, ";").cast(pa.string())


def _sequences(values: pa.Array, column: ArrowColumn, first: int, faults: FaultList) -> pa.Array:
    """Lists of numbers, or of as many numbers each, as lists of steps."""
    import pyarrow as pa
    import pyarrow.compute as pc

    channels = column.channels or 1
    values = values.cast(pa.list_(values.type.value_type))
    steps = values.flatten()
    parents = pc.list_parent_indices(values)
    if _is_list(steps.type):
        uneven = pc.fill_null(pc.not_equal(pc.list_value_length(steps), channels), True)
        expected = f"{channels} numbers were expected in each, as in the first step. Make all alike."
        rows = parents.filter(uneven).unique()
        bad = _mask(rows, len(values))
        values = _without(values, bad, column.name, first, faults, "A sequence with an uneven step", expected)
        steps, parents = values.flatten(), pc.list_parent_indices(values)
        numbers, parents = steps.flatten(), pa.array(np.repeat(parents.to_numpy(), channels))
    else:
        numbers = steps
    floats = numbers.cast(pa.float32(), safe=False)
    infinite = pc.fill_null(pc.invert(pc.is_finite(floats)), True)
    bad = _mask(parents.filter(infinite).unique(), len(values))
    said = "A sequence with a number that is missing, not finite, or beyond float32"
    _without(values, bad, column.name, first, faults, said, "Fill it in, or leave the row out.")
    lengths = pc.fill_null(pc.list_value_length(values), 0).to_numpy()
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
    stepped = pa.FixedSizeListArray.from_arrays(pc.fill_null(floats, 0), channels)
    return pa.ListArray.from_arrays(pa.array(offsets), stepped, arrow_of("sequence", channels), mask=values.is_null())


def _mask(rows: Any, size: int) -> pa.Array:
    import pyarrow as pa

    mask = np.zeros(size, bool)
    mask[rows.to_numpy()] = True
    return pa.array(mask)


def _without(
    values: pa.Array, wrong: pa.Array, name: str, first: int, faults: FaultList, came: str, expected: str
) -> pa.Array:
    """The values with null for those that are wrong, for each of which there is a fault."""
    import pyarrow as pa
    import pyarrow.compute as pc

    mask = pc.fill_null(wrong, False)
    rows = np.flatnonzero(mask.to_numpy(zero_copy_only=False))
    if not len(rows):
        return values
    for row in rows[: FaultList.LIMIT].tolist():
        pointer, place = place_of(first + row, name)
        faults.add(pointer, f"{came} came {place}. {expected}")
    faults.count_more(max(0, len(rows) - FaultList.LIMIT))
    return pc.if_else(mask, pa.scalar(None, values.type), values)
