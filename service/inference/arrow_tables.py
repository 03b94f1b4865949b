"""Arrow's stream and file formats as bodies and answers: a column for each input or output, or for each number.

PyArrow trusts what a stream says of itself. So the schema is read first, then the size of what is packed, and each
batch is validated in full before a value is touched. Its memory comes from the system's allocator, which gives it back.
"""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from service.data.array_writer import MAX_RANK
from service.data.arrow_messages import unpacked_bytes
from service.data.csv_table import MAX_COLUMNS
from service.data.fault_list import escape
from service.errors import Fault, Invalid, MalformedRequest, TooLarge
from service.inference.fitting import in_column, refusal
from service.inference.signature import Signature
from service.inference.table_columns import are_features, by_feature, by_input

Array = np.ndarray[Any, Any]
Arrays = dict[str, Array]

MAX_BATCHES = 4096
#: A boolean is one bit in Arrow, and a number of four or eight bytes as an input.
MAX_BOOLEANS = 2**25
#: What a file begins with; the stream format follows, and after it a directory that is not needed here.
_FILE_START = b"ARROW1\0\0"


def read_stream(content: bytes, signature: Signature, limit_bytes: int) -> Arrays:
    """Turn a table in Arrow's stream format into arrays by input name.

    Raises MalformedRequest where it is damaged, TooLarge where it would unpack to more than the limit, and Invalid with
    what does not fit.
    """
    table = read_table(content, limit_bytes, lambda schema: _check_schema(schema, signature))
    names = table.schema.names
    features = are_features(names, signature)
    faults: list[Fault] = []
    columns: list[Array] = []
    for place, name in enumerate(names):
        try:
            columns.append(_column(table.column(place), name))
        except Invalid as error:
            faults.extend(error.faults)
    if faults:
        raise refusal(faults)
    if features:
        return by_feature(columns, names, signature)
    return by_input(zip(names, columns, strict=True), signature)


def read_file(content: bytes, signature: Signature, limit_bytes: int) -> Arrays:
    """Do the same for Arrow's file format, Feather's too."""
    return read_stream(stream_in(content), signature, limit_bytes)


def stream_in(content: bytes) -> bytes:
    """The stream that a file is made of; raises MalformedRequest where it is no file."""
    if not content.startswith(_FILE_START):
        raise _damaged("it does not begin as one")
    return content[len(_FILE_START) :]


def read_table(content: bytes, limit_bytes: int, check_schema: Callable[[Any], None]) -> Any:
    """The table of a stream, whose columns are in one piece each; `check_schema` refuses it before a row is read.

    Raises MalformedRequest where it is damaged, TooLarge where it would unpack to more than the limit.
    """
    import pyarrow

    try:
        return _read(content, limit_bytes, check_schema)
    except (pyarrow.ArrowException, OSError, ValueError) as error:
        raise _damaged(str(error)) from error


def write_stream(outputs: Arrays, signature: Signature) -> bytes:
    """The outputs as a table in Arrow's stream format: a column each, of fixed-size lists where rows have a shape."""
    import pyarrow.ipc

    return written(pyarrow.ipc.new_stream, _columns(outputs, signature))


def write_file(outputs: Arrays, signature: Signature) -> bytes:
    """The same in Arrow's file format."""
    import pyarrow.ipc

    return written(pyarrow.ipc.new_file, _columns(outputs, signature))


def written(new_writer: Any, columns: dict[str, Any]) -> bytes:
    """Columns of Arrow as a table, in the format of a writer."""
    import pyarrow

    batch = pyarrow.record_batch(columns)
    sink = pyarrow.BufferOutputStream(pyarrow.system_memory_pool())
    with new_writer(sink, batch.schema) as writer:
        writer.write_batch(batch)
    return bytes(sink.getvalue().to_pybytes())


def as_lists(array: Array) -> Any:
    """Arrow's column of an array, (rows, ...): fixed-size lists where rows have a shape."""
    import pyarrow

    column = pyarrow.array(array.reshape(-1))
    for size in reversed(array.shape[1:]):
        column = pyarrow.FixedSizeListArray.from_arrays(column, size)
    return column


def _read(content: bytes, limit_bytes: int, check_schema: Callable[[Any], None]) -> Any:
    import pyarrow
    from pyarrow import ipc

    options = ipc.IpcReadOptions(use_threads=False)
    buffer, pool = pyarrow.py_buffer(content), pyarrow.system_memory_pool()
    with ipc.open_stream(buffer, options=options, memory_pool=pool) as reader:
        check_schema(reader.schema)
        _check_messages(buffer, limit_bytes)
        batches = list(reader)
        for batch in batches:
            batch.validate(full=True)
        return pyarrow.Table.from_batches(batches, reader.schema).combine_chunks(pool)


def _check_schema(schema: Any, signature: Signature) -> None:
    """Refuse columns that are none of numbers, before a row of them is read."""
    if len(schema.names) > MAX_COLUMNS:
        detail = f"{len(schema.names)} columns came; {MAX_COLUMNS} is the most allowed. Send one column of lists."
        raise refusal([Fault(pointer="", detail=detail)])
    faults = []
    for field in schema:
        if not is_numbers(field.type):
            detail = (
                f"The column {field.name[:64]!r} is of Arrow's type {str(field.type)[:80]}; booleans, integers or "
                "floats were expected, or lists of them, all rows of one length. Dictionaries must be decoded."
            )
            faults.append(Fault(pointer=f"/{escape(field.name[:64])}", detail=detail))
    if faults:
        raise refusal(faults)
    are_features(schema.names, signature)


def is_numbers(kind: Any) -> bool:
    """Whether a type is one of numbers or booleans, or of lists of them."""
    from pyarrow import types

    kind = _stored(kind)
    for _ in range(MAX_RANK):
        if not _is_list(kind):
            break
        kind = kind.value_type
    return bool(types.is_integer(kind) or types.is_floating(kind) or types.is_boolean(kind))


def _stored(kind: Any) -> Any:
    """The type of what is stored of a tensor column; other extensions are what they are."""
    import pyarrow

    tensor = isinstance(kind, pyarrow.FixedShapeTensorType)
    return kind.storage_type if tensor and kind.permutation in (None, sorted(kind.permutation or ())) else kind


def _is_list(kind: Any) -> bool:
    from pyarrow import types

    return bool(types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind))


def _check_messages(buffer: Any, limit_bytes: int) -> None:
    """Refuse what would take more memory than the limit, before it is unpacked."""
    from pyarrow import ipc

    total = 0
    for count, message in enumerate(_messages(ipc.MessageReader.open_stream(buffer))):
        total += unpacked_bytes(message.metadata.to_pybytes(), memoryview(message.body or b""))
        if total > limit_bytes:
            raise TooLarge(f"The table takes more than {limit_bytes} bytes once unpacked, the most allowed. Send less.")
        if count > MAX_BATCHES:
            raise TooLarge(f"More than {MAX_BATCHES} record batches came. Send fewer and larger ones.")


def _messages(reader: Any) -> Iterator[Any]:
    # The reader raises StopIteration from a method of its own, which a `for` cannot use.
    while True:
        try:
            message = reader.read_next_message()
        except StopIteration:
            return
        yield message


def _column(column: Any, name: str) -> Array:
    """One column as an array, (rows, ...); raise Invalid for nulls, and for lists that differ in length."""
    if not len(column):
        return np.empty(0, np.float32)
    (array,) = column.chunks
    return _values(array, name, 1)


def _values(array: Any, name: str, per_row: int) -> Array:
    """Arrow's array as NumPy's; `per_row` of its elements make a row."""
    import pyarrow

    if isinstance(array, pyarrow.FixedShapeTensorArray):
        inner = _values(array.storage, name, per_row)
        return inner.reshape(len(array), *array.type.shape)
    if array.null_count:
        element = int(np.argmax(array.is_null().to_numpy(zero_copy_only=False)))
        place = in_column(name)([element // per_row])
        raise refusal([Fault(pointer=place.pointer, detail=f"A null came {place.words}; a number was expected.")])
    if pyarrow.types.is_boolean(array.type) and len(array) > MAX_BOOLEANS:
        raise TooLarge(f"More than {MAX_BOOLEANS} booleans came in one batch, the most allowed. Send fewer rows.")
    if not _is_list(array.type):
        return np.asarray(array.to_numpy(zero_copy_only=False))
    size = _list_size(array, name, per_row)
    inner = _values(array.flatten(), name, per_row * max(size, 1))
    return inner.reshape(len(array), size, *inner.shape[1:])


def _list_size(array: Any, name: str, per_row: int) -> int:
    from pyarrow import types

    if types.is_fixed_size_list(array.type):
        return int(array.type.list_size)
    sizes = np.diff(array.offsets.to_numpy())
    if not len(sizes):
        return 0
    odd = np.flatnonzero(sizes != sizes[0])
    if len(odd):
        raise _ragged(name, int(odd[0]) // per_row, int(sizes[odd[0]]), int(sizes[0]))
    return int(sizes[0])


def _ragged(name: str, row: int, came: int, due: int) -> Invalid:
    place = in_column(name)([row])
    detail = (
        f"A list of {came} came {place.words}; {due} were expected, as in the first. The rows of one request must be "
        "equally long: pad them, or send them in requests of their own."
    )
    return refusal([Fault(pointer=place.pointer, detail=detail)])


def _columns(outputs: Arrays, signature: Signature) -> dict[str, Any]:
    return {spec.name: as_lists(np.ascontiguousarray(outputs[spec.name])) for spec in signature.outputs}


def _damaged(reason: str) -> MalformedRequest:
    detail = (
        f"The body is no whole Arrow table ({reason.strip()[:160]}). Write it with Arrow's own stream or file writer."
    )
    return MalformedRequest(detail, [Fault(pointer="", detail=detail)])
