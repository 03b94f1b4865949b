"""Tables as they are stored: batches that are not too large, limits, types, and first records as JSON has them."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from service.data.read_options import ReadOptions
from service.data.table import (
    MAX_BATCH_ROWS,
    TYPES,
    ColumnFacts,
    Kind,
    Origin,
    TableWriter,
    Type,
    arrow_of,
    batches,
    first_records,
    name_field,
    row_count,
    stored_names,
    stored_origins,
    stored_types,
    type_of,
    with_origin,
)
from service.errors import TooLarge


def write(folder: Path, columns: dict[str, pa.Array], options: ReadOptions | None = None) -> None:
    batch = pa.record_batch(columns)
    with TableWriter(folder, batch.schema, options or ReadOptions()) as writer:
        writer.write(batch)


@pytest.mark.parametrize("stored", TYPES)
def test_each_type_is_stored_as_one_of_arrows(stored: Type) -> None:
    """And is known again by it."""
    assert type_of(arrow_of(stored)) == stored


def test_no_column_is_stored_as_anything_else() -> None:
    """What has no type here is an error of the reader's."""
    with pytest.raises(ValueError, match="no column is stored as int8"):
        type_of(pa.int8())


def test_long_batches_are_cut(tmp_path: Path) -> None:
    """The rows stay in their order."""
    numbers = np.arange(2 * MAX_BATCH_ROWS + 5)
    write(tmp_path, {"n": pa.array(numbers)})
    found = list(batches(tmp_path, ["n"]))
    assert [batch.num_rows for batch in found] == [MAX_BATCH_ROWS, MAX_BATCH_ROWS, 5]
    assert np.concatenate([batch.column(0).to_numpy() for batch in found]).tolist() == numbers.tolist()
    assert (row_count(tmp_path), stored_types(tmp_path)) == (len(numbers), {"n": "int64"})


@pytest.mark.parametrize("options", [ReadOptions(max_rows=2), ReadOptions(max_bytes=10)])
def test_limits_hold(tmp_path: Path, options: ReadOptions) -> None:
    """Rows and bytes are counted as they are written."""
    with pytest.raises(TooLarge):
        write(tmp_path, {"n": pa.array([1, 2, 3])}, options)


def test_first_records_are_plain_json(tmp_path: Path) -> None:
    """Times in ISO 8601, whatever their year; images in Base64; missing values as null."""
    times = pa.array([0, None, 10**18], pa.int64()).cast(pa.timestamp("us"))
    images = pa.array([b"\x89PNG", None, b""], pa.binary())
    write(tmp_path, {"at": times, "image": images, "n": pa.array([1.5, None, 2.0])})
    first, second, third = first_records(tmp_path, 5)
    assert first == {"at": "1970-01-01T00:00:00", "image": "iVBORw==", "n": 1.5}
    assert second == {"at": None, "image": None, "n": None}
    assert third["at"].startswith("33658-")
    assert first_records(tmp_path, 1) == [first]


def test_what_readers_know_of_columns_is_kept_beside_them(tmp_path: Path) -> None:
    """That the values are names, and that they tell where rows come from: either, both or neither."""
    text = pa.string()
    schema = pa.schema(
        [
            with_origin(name_field("file", text), Origin.FILENAME),
            name_field("label", text),
            with_origin(pa.field("begin", text), Origin.START),
            pa.field("remark", text),
        ]
    )
    with TableWriter(tmp_path, schema, ReadOptions()) as writer:
        writer.write(pa.record_batch([pa.array(["a"])] * 4, schema=schema))
    assert stored_names(tmp_path) == {"file", "label"}
    assert stored_origins(tmp_path) == {"file": Origin.FILENAME, "begin": Origin.START}


@pytest.mark.parametrize("origin", [None, *Origin])
def test_facts_of_a_column_are_the_same_after_json(origin: Origin | None) -> None:
    """Those of data sets that are older than origins have none."""
    facts = ColumnFacts(name="a", type="string", kind=Kind.CATEGORY, origin=origin)
    assert ColumnFacts.from_json(facts.to_json()) == facts
    older = {name: value for name, value in facts.to_json().items() if name != "origin"}
    assert ColumnFacts.from_json(older).origin is None
