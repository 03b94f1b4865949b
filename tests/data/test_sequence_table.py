"""Long tables of steps: each sequence, or each window of one, becomes a row, in whatever order the steps came."""

import datetime
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from service.data.profile import profile_table
from service.data.read_options import ReadOptions
from service.data.sequence_table import Grouping, group_sequences
from service.data.table import Origin, TableWriter, batches, stored_origins, stored_types
from service.data.table_readers import TableOptions, table_sha256
from service.errors import Fault, Invalid, TooLarge


def store(folder: Path, columns: dict[str, Any], step: int = 7) -> None:
    """Write a table in batches of a few rows."""
    table = pa.table(columns)
    with TableWriter(folder, table.schema, ReadOptions()) as writer:
        for batch in table.to_batches(max_chunksize=step):
            writer.write(batch)


def group(folder: Path, columns: dict[str, Any], **options: Any) -> list[dict[str, Any]]:
    store(folder, columns)
    group_sequences(folder, TableOptions(**{"sequence": "id", **options}))
    return rows_in(folder)


def rows_in(folder: Path) -> list[dict[str, Any]]:
    return [row for batch in batches(folder) for row in batch.to_pylist()]


def faults_of(folder: Path, columns: dict[str, Any], **options: Any) -> tuple[Fault, ...]:
    """The faults of a table, which must be as it was afterwards, with nothing beside it."""
    store(folder, columns)
    before = table_sha256(folder)
    with pytest.raises(Invalid) as raised:
        group_sequences(folder, TableOptions(**{"sequence": "id", **options}))
    assert table_sha256(folder) == before
    assert [path.name for path in folder.iterdir()] == ["table.arrow"]
    return raised.value.faults


def moment(month: int, day: int) -> datetime.datetime:
    """A moment without a zone, as tables keep them."""
    return datetime.datetime(2024, month, day, tzinfo=datetime.UTC).replace(tzinfo=None)


#: Two sequences, of three steps and two, whose rows are mixed and not in the order of time.
MIXED = {
    "id": ["b", "a", "b", "a", "b"],
    "time": [3, 1, 1, 0, 2],
    "speed": [0.5, 10.0, 0.25, 20.0, 0.125],
    "label": ["car", "bus", "car", "bus", "car"],
    "gear": [3, 1, 1, 2, 2],
}


def test_sequences_become_rows(tmp_path: Path) -> None:
    """Steps are put in order, sequences stand as they first came, and what does not change stays a column."""
    assert group(tmp_path, MIXED, time="time") == [
        {"id": "b", "label": "car", "sequence": [[0.25, 1.0], [0.125, 2.0], [0.5, 3.0]]},
        {"id": "a", "label": "bus", "sequence": [[20.0, 2.0], [10.0, 1.0]]},
    ]
    assert stored_types(tmp_path) == {"id": "string", "label": "string", "sequence": "sequence"}


def test_without_a_time_the_order_is_the_files(tmp_path: Path) -> None:
    """A column that only numbers the steps is a value as any other then."""
    rows = group(tmp_path, {name: MIXED[name] for name in ("id", "speed")})
    assert rows == [{"id": "b", "sequence": [[0.5], [0.25], [0.125]]}, {"id": "a", "sequence": [[10.0], [20.0]]}]


def test_numbers_that_do_not_change_belong_to_the_row(tmp_path: Path) -> None:
    """A class that is a number, and a measure of the whole, are no steps, with or without a value."""
    columns = {
        "id": [7, 7, 8, 8, 8],
        "value": [1, 2, 3, 4, 5],
        "class": [0, 0, 1, 1, 1],
        "age": [None, None, 2.5, 2.5, 2.5],
        "on": [True, False, False, True, True],
    }
    assert group(tmp_path, columns) == [
        {"id": 7, "class": 0, "age": None, "sequence": [[1.0, 1.0], [2.0, 0.0]]},
        {"id": 8, "class": 1, "age": 2.5, "sequence": [[3.0, 0.0], [4.0, 1.0], [5.0, 1.0]]},
    ]


def test_ids_are_categories_also_where_they_are_numbers(tmp_path: Path) -> None:
    """What names a sequence is no quantity."""
    group(tmp_path, {"id": [7, 7, 8, 8], "value": [1, 2, 3, 4], "size": [1, 1, 2, 2]})
    assert [column.kind.value for column in profile_table(tmp_path)[0]] == ["category", "numeric", "sequence"]


def test_columns_that_tell_where_rows_come_from_are_known(tmp_path: Path) -> None:
    """The id of the sequence, and the times of a window, which are told by no name: any column can bear theirs."""
    columns = {"start": ["a", "a", "b", "b"], "day": [1, 2, 1, 2], "value": [1, 2, 3, 4], "end": ["x", "x", "y", "y"]}
    group(tmp_path, columns, sequence="start", time="day")
    assert stored_origins(tmp_path) == {"start": Origin.SEQUENCE}
    group(tmp_path, MIXED, time="time", window=2)
    assert stored_origins(tmp_path) == {"id": Origin.SEQUENCE, "start": Origin.START, "end": Origin.END}
    facts, _ = profile_table(tmp_path)
    assert {one.name: one.origin for one in facts} == {
        "id": Origin.SEQUENCE,
        "label": None,
        "start": Origin.START,
        "end": Origin.END,
        "sequence": None,
    }


def test_windows_become_rows(tmp_path: Path) -> None:
    """A window has the first and the last time, and with a horizon the steps after it."""
    columns = {
        "id": ["a"] * 6 + ["b"] * 2 + ["c"] * 4,
        "day": [moment(5, day) for day in (1, 2, 3, 4, 5, 6, 1, 2, 1, 2, 3, 4)],
        "value": [1.0, 2, 3, 4, 5, 6, 50, 60, 7, 8, 9, 10],
        "place": ["x"] * 6 + ["y"] * 6,
    }
    store(tmp_path, columns)
    options = TableOptions(sequence="id", time="day", window=3, horizon=1, stride=2)
    assert group_sequences(tmp_path, options) == Grouping(sequences=3, rows=3, short=1)
    day = {number: moment(5, number) for number in range(1, 7)}
    assert [[*row.values()] for row in rows_in(tmp_path)] == [
        ["a", "x", day[1], day[3], [[1.0], [2.0], [3.0]], [[4.0]]],
        ["a", "x", day[3], day[5], [[3.0], [4.0], [5.0]], [[6.0]]],
        ["c", "y", day[1], day[3], [[7.0], [8.0], [9.0]], [[10.0]]],
    ]
    assert [*stored_types(tmp_path)] == ["id", "place", "start", "end", "sequence", "target"]


def test_windows_without_a_horizon_have_no_target(tmp_path: Path) -> None:
    """Nor have they times where none are named; a stride of one is the rule."""
    rows = group(tmp_path, {"id": ["a"] * 4, "v": [1, 2, 3, 4]}, window=3)
    assert rows == [
        {"id": "a", "sequence": [[1.0], [2.0], [3.0]]},
        {"id": "a", "sequence": [[2.0], [3.0], [4.0]]},
    ]


@pytest.mark.parametrize(
    "times",
    [
        [30, 10, 20],
        [3.5, -1.5, 0.0],
        [moment(3, 1), moment(1, 1), moment(2, 1)],
        ["2024-03-01", "2024-01-01", "2024-02-01"],
        ["2024-03-01T10:00:00Z", "2024-03-01T10:00:00+02:00", "2024-03-01T09:30:00Z"],
        ["2024-03-01T10:00:00", "2024-03-01T10:00:00+02:00", "2024-03-01T09:30:00"],
    ],
)
def test_times_are_numbers_or_moments(tmp_path: Path, times: list[Any]) -> None:
    """Moments can be texts, with a zone or in UTC, and are sorted as moments."""
    rows = group(tmp_path, {"id": ["a"] * 3, "t": times, "v": [3, 1, 2]}, time="t", window=3)
    assert rows[0]["sequence"] == [[1.0], [2.0], [3.0]]
    assert (rows[0]["start"], rows[0]["end"]) == (times[1], times[0])


def expected_rows(columns: dict[str, list[Any]], options: dict[str, Any]) -> list[list[Any]]:
    """What the rows are, by the plainest means."""
    found: dict[str, list[tuple[Any, ...]]] = {}
    for row in zip(columns["id"], columns["time"], columns["a"], columns["b"], strict=True):
        found.setdefault(row[0], []).append(row[1:])
    window, horizon, stride = (options.get(name) for name in ("window", "horizon", "stride"))
    rows: list[list[Any]] = []
    for identity, steps in found.items():
        steps.sort()
        values = [[float(a), float(b)] for _, a, b in steps]
        if window is None:
            rows.append([identity, values])
            continue
        for first in range(0, len(steps) - window - (horizon or 0) + 1, stride or 1):
            end = first + window
            targets = [values[end : end + horizon]] if horizon else []
            rows.append([identity, steps[first][0], steps[end - 1][0], values[first:end], *targets])
    return rows


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    ids=st.lists(st.integers(0, 6), min_size=2, max_size=60),
    seed=st.integers(0, 2**16),
    window=st.none() | st.integers(1, 5),
    horizon=st.none() | st.integers(1, 3),
    stride=st.none() | st.integers(1, 3),
    part_bytes=st.integers(60, 4000),
    sorted_bytes=st.integers(60, 4000),
    batch_bytes=st.integers(10, 4000),
)
def test_any_order_of_steps_gives_the_same_rows(
    tmp_path: Path,
    ids: list[int],
    seed: int,
    window: int | None,
    horizon: int | None,
    stride: int | None,
    part_bytes: int,
    sorted_bytes: int,
    batch_bytes: int,
) -> None:
    """Rows are as plain Python makes them, in however many parts and batches they are sorted and written."""
    random = np.random.default_rng(seed)
    columns = {
        "id": [f"s{number}" for number in ids],
        "time": random.permutation(len(ids)).tolist(),
        "a": random.permutation(len(ids)).tolist(),
        "b": random.permutation(len(ids)).astype(float).tolist(),
    }
    options = {"window": window} if window is None else {"window": window, "horizon": horizon, "stride": stride}
    wanted = expected_rows(columns, options)
    if not wanted or len(ids) == len(set(ids)):
        faults_of(tmp_path, columns, time="time", **options)
        return
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("service.data.sequence_parts.PART_BYTES", part_bytes)
        patch.setattr("service.data.sequence_parts._HELD_BYTES", part_bytes)
        patch.setattr("service.data.sequence_sort.PART_BYTES", part_bytes)
        patch.setattr("service.data.sequence_sort.MAX_SORTED_BYTES", sorted_bytes)
        patch.setattr("service.data.sequence_rows.MAX_BATCH_BYTES", batch_bytes)
        patch.setattr("service.data.table.MAX_BATCH_BYTES", batch_bytes)
        rows = group(tmp_path, columns, time="time", **options)
    assert [[*row.values()] for row in rows] == wanted


VALUES = {
    "int64": st.integers(-(2**63), 2**63 - 1) | st.integers(0, 3),
    "float64": st.floats(),
    "bool": st.booleans(),
    "string": st.text(max_size=3) | st.sampled_from(["2024-05-01", "2024-05-01T10:00:00Z"]),
    "timestamp[us]": st.integers(-(2**63), 2**63 - 1) | st.integers(0, 3),
    "binary": st.binary(max_size=3),
}


@st.composite
def tables(draw: st.DrawFn) -> pa.Table:
    """A few columns of any types, some values of which are missing or extreme."""
    rows = draw(st.integers(0, 12))
    columns = {}
    for name in ("id", "time", "a", "b"):
        kind = draw(st.sampled_from([*VALUES]))
        values = draw(
            st.lists(VALUES[kind] | st.none() if draw(st.booleans()) else VALUES[kind], min_size=rows, max_size=rows)
        )
        stored = pa.int64() if kind.startswith("timestamp") else pa.type_for_alias(kind)
        columns[name] = pa.array(values, stored).cast(pa.type_for_alias(kind))
    return pa.table(columns)


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    table=tables(),
    time=st.sampled_from([None, "time"]),
    window=st.none() | st.integers(1, 3),
    sorted_bytes=st.sampled_from([60, 10**6]),
)
def test_any_table_ends_in_rows_or_in_faults(
    tmp_path: Path, table: pa.Table, time: str | None, window: int | None, sorted_bytes: int
) -> None:
    """Values of any type, missing and extreme, are grouped or told."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("service.data.sequence_sort.MAX_SORTED_BYTES", sorted_bytes)
        patch.setattr("service.data.sequence_sort.PART_BYTES", 500)
        store(tmp_path, {name: table.column(name) for name in table.column_names})
        try:
            group_sequences(tmp_path, TableOptions(sequence="id", time=time, window=window))
        except Invalid:
            return
    assert sum(batch.num_rows for batch in batches(tmp_path)) > 0


def test_columns_that_are_not_there_are_faults(tmp_path: Path) -> None:
    """The error lists those that are."""
    faults = faults_of(tmp_path, MIXED, sequence="name", time="when")
    assert [fault.pointer for fault in faults] == ["/sequence", "/time"]
    assert faults[0].detail == (
        "sequence names 'name', which is no column; choose among 'id', 'time', 'speed', 'label', 'gear'."
    )


@pytest.mark.parametrize(
    ("options", "pointers"),
    [
        ({"sequence": None}, ["/sequence"]),
        ({"time": "id"}, ["/time"]),
        ({"time": "on"}, ["/on"]),
        ({"window": 0}, ["/window"]),
        ({"window": 2, "horizon": -1, "stride": 0}, ["/horizon", "/stride"]),
        ({"horizon": 1, "stride": 1}, ["/horizon", "/stride"]),
        ({"window": 2**25}, ["/window"]),
    ],
)
def test_options_that_make_no_sense_are_faults(tmp_path: Path, options: dict[str, Any], pointers: list[str]) -> None:
    """All of them at once."""
    columns = {"id": ["a", "a"], "on": [True, False], "v": [1, 2]}
    assert [fault.pointer for fault in faults_of(tmp_path, columns, **options)] == pointers


def test_rows_without_an_id_or_a_time_are_faults(tmp_path: Path) -> None:
    """Each is told with its row; the first twenty are described, and the others counted."""
    columns = {"id": ["a", None, "a"], "time": [1.5, 2, None], "v": [1, 2, 3]}
    faults = faults_of(tmp_path, columns, time="time")
    assert [fault.pointer for fault in faults] == ["/1/id", "/2/time"]
    assert faults[0].detail == "No value came in row 2, column 'id'; each row needs one. Fill it in."
    faults = faults_of(tmp_path, {"id": [1.5, float("nan")], "time": [float("nan"), 1.0], "v": [1, 2]}, time="time")
    assert [fault.pointer for fault in faults] == ["/1/id", "/0/time"]
    faults = faults_of(tmp_path, {"id": pa.nulls(30, "string"), "v": [*range(30)]})
    assert (len(faults), faults[-1].detail) == (21, "... and 10 more")


def test_equal_times_in_a_sequence_are_faults(tmp_path: Path) -> None:
    """Both rows are named; equal times in different sequences are nothing."""
    columns = {"id": ["a", "b", "a", "a"], "time": [1, 1, 2, 1], "v": [1, 2, 3, 4]}
    (fault,) = faults_of(tmp_path, columns, time="time")
    assert fault.pointer == "/3/time"
    assert fault.detail.startswith("Rows 1 and 4 are of one sequence and have the same time, '1'; each step needs")


@pytest.mark.parametrize(
    ("value", "came"), [(None, "No value"), (float("nan"), "nan"), (float("inf"), "inf"), (1e39, "1e+39")]
)
def test_steps_without_a_number_are_faults(tmp_path: Path, value: float | None, came: str) -> None:
    """The row and the column are named, in the file's own order."""
    columns = {"id": ["a", "b", "a", "b"], "time": [2, 1, 1, 2], "v": [1.0, value, 3.0, 4.0], "w": [1, 2, None, 5]}
    faults = faults_of(tmp_path, columns, time="time")
    assert [fault.pointer for fault in faults] == ["/1/v", "/2/w"]
    assert faults[0].detail.startswith(f"{came} came in row 2, column 'v'; each step needs a finite number")


def test_many_gaps_are_counted(tmp_path: Path) -> None:
    """The first twenty are described."""
    columns = {"id": ["a"] * 60, "v": [1.0, 2.0] + [None] * 58}
    faults = faults_of(tmp_path, columns)
    assert [fault.pointer for fault in faults] == [*(f"/{row}/v" for row in range(2, 22)), ""]
    assert faults[-1].detail == "... and 38 more"


def test_texts_that_change_within_a_sequence_are_faults(tmp_path: Path) -> None:
    """They are neither a step's numbers nor the row's."""
    columns = {"id": ["a", "a", "b"], "v": [1, 2, 3], "mood": ["good", "bad", "good"]}
    (fault,) = faults_of(tmp_path, columns)
    assert fault.pointer == "/1/mood"
    assert fault.detail == (
        "Column 'mood' changes within the sequence 'a', in row 2; a value of each step must be a number. "
        "Leave the column out, or make it numbers."
    )


def test_a_table_without_values_is_a_fault(tmp_path: Path) -> None:
    """The advice depends on why."""
    (fault,) = faults_of(tmp_path, {"id": ["a", "a", "b"], "v": [1, 1, 2], "w": ["x", "x", "y"]})
    assert "No column of numbers changes within a sequence" in fault.detail
    (fault,) = faults_of(tmp_path, {"id": ["a", "b"], "v": [1, 2]})
    assert "Each sequence has one row only" in fault.detail
    (fault,) = faults_of(tmp_path, {"id": pa.array([], "string"), "v": pa.array([], "int64")})
    assert "no rows" in fault.detail


def test_sequences_that_are_all_too_short_are_a_fault(tmp_path: Path) -> None:
    """The longest is named."""
    (fault,) = faults_of(tmp_path, MIXED, time="time", window=3, horizon=1)
    assert fault.detail == (
        "No sequence has the 4 steps of a window and its horizon; the longest has 3. Ask for fewer."
    )


def test_times_that_are_words_are_faults(tmp_path: Path) -> None:
    """Texts are times only where all of them are moments."""
    columns = {"id": ["a"] * 3, "time": ["2024-05-01", "later", None], "v": [1, 2, 3]}
    faults = faults_of(tmp_path, columns, time="time")
    assert [fault.pointer for fault in faults] == ["/2/time", "/1/time"]
    assert faults[1].detail.startswith("The text 'later' came in row 2, column 'time'; all times must be numbers")


def test_names_that_are_made_must_be_free(tmp_path: Path) -> None:
    """A label cannot be called what the steps are called."""
    columns = {"sequence": ["a", "a"], "v": [1, 2], "target": ["x", "x"], "time": [1, 2], "start": [0, 0]}
    faults = faults_of(tmp_path, columns, sequence="sequence", time="time", window=1, horizon=1)
    assert [fault.pointer for fault in faults] == ["/sequence", "/start", "/target"]
    renamed = {"id": columns.pop("sequence"), **columns}
    assert [*group(tmp_path, renamed, time="time")[0]] == ["id", "target", "start", "sequence"]


def test_a_column_of_sequences_is_a_fault(tmp_path: Path) -> None:
    """A table that is grouped already is not grouped again."""
    group(tmp_path, MIXED, time="time")
    with pytest.raises(Invalid) as raised:
        group_sequences(tmp_path, TableOptions(sequence="id"))
    assert [fault.pointer for fault in raised.value.faults] == ["/sequence"]


def test_rows_of_very_many_values_are_a_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Windows are the way out."""
    monkeypatch.setattr("service.data.sequence_table.MAX_ROW_VALUES", 5)
    (fault,) = faults_of(tmp_path, MIXED, time="time")
    assert "3 steps of 2 values; 5 values is the most" in fault.detail
    assert len(group(tmp_path, MIXED, time="time", window=2)) == 3


def test_windows_of_more_bytes_than_allowed_are_too_large(tmp_path: Path) -> None:
    """The size is known before the first is written."""
    store(tmp_path, {"id": ["a"] * 100, "v": [*range(100)]})
    options = TableOptions(sequence="id", window=50, limits=ReadOptions(max_bytes=10_000))
    with pytest.raises(TooLarge, match="The windows need 10200 bytes, 10000 is the most"):
        group_sequences(tmp_path, options)
    assert stored_types(tmp_path) == {"id": "string", "v": "int64"}


@pytest.mark.parametrize(("sequences", "windows"), [(1, 78_000), (3, 78_000), (997, 997 * 78)])
def test_what_is_in_memory_does_not_grow_with_the_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sequences: int, windows: int
) -> None:
    """Many times the memory of a part are sorted with no more than some parts' memory, in one sequence too."""
    for name in ("parts.PART_BYTES", "parts._HELD_BYTES", "sort.PART_BYTES", "rows.MAX_BATCH_BYTES"):
        monkeypatch.setattr(f"service.data.sequence_{name}", 2**19)
    monkeypatch.setattr("service.data.sequence_sort.MAX_SORTED_BYTES", 2**20)
    random = np.random.default_rng(3)
    rows = 390_000
    schema = pa.schema([("id", pa.int64()), ("time", pa.int64()), *((f"v{n}", pa.float64()) for n in range(3))])
    with TableWriter(tmp_path, schema, ReadOptions()) as writer:
        for first in range(0, rows, 10_000):
            numbers = np.arange(first, first + 10_000)
            times = pa.array(numbers * 7919 % 399_989)
            values = [pa.array(random.normal(size=10_000)) for _ in range(3)]
            writer.write(pa.record_batch([pa.array(numbers % sequences), times, *values], schema=schema))
    assert (tmp_path / "table.arrow").stat().st_size > 14 * 2**20
    default, pool = pa.default_memory_pool(), pa.proxy_memory_pool(pa.system_memory_pool())
    pa.set_memory_pool(pool)
    tracemalloc.start()
    try:
        grouping = group_sequences(tmp_path, TableOptions(sequence="id", time="time", window=5, stride=5))
        assert pool.max_memory() + tracemalloc.get_traced_memory()[1] < 12 * 2**20
    finally:
        tracemalloc.stop()
        pa.set_memory_pool(default)
    assert grouping == Grouping(sequences=sequences, rows=windows, short=0)
    assert sum(batch.num_rows for batch in batches(tmp_path)) == windows
