"""The profile of a table: what its columns mean and hold, and warnings with evidence."""

import json
import subprocess
import sys
import threading
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from service.data.profile import profile_table
from service.data.table import Kind
from service.errors import Invalid
from tests.data.profiling.tables import ROWS, passengers, real, write


@pytest.fixture(scope="module")
def liner(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The profile of the list of passengers."""
    return profile_table(write(tmp_path_factory.mktemp("liner"), passengers()))[1]


def column(profile: dict[str, Any], name: str) -> dict[str, Any]:
    return next(one for one in profile["columns"] if one["name"] == name)


def warnings(profile: dict[str, Any], code: str) -> list[tuple[list[str], dict[str, Any]]]:
    return [(one["columns"], one["evidence"]) for one in profile["warnings"] if one["code"] == code]


@pytest.mark.parametrize("name", ["breast_cancer", "wine", "iris", "diabetes"])
def test_real_numbers_are_described_as_numpy_does(tmp_path: Path, name: str) -> None:
    """Ends, mean, deviation, quartiles, distinct values and histograms are those of all rows."""
    columns = real(name)
    _, profile = profile_table(write(tmp_path, columns, batch_rows=64))
    for told in profile["columns"]:
        if told["kind"] == "numeric":
            values = np.asarray(columns[told["name"]], float)
            assert told["distinct"] == len(np.unique(values))
            assert (told["minimum"], told["maximum"]) == (values.min(), values.max())
            np.testing.assert_allclose(
                [told["mean"], told["std"]], [values.mean(), values.std()], rtol=1e-10, atol=1e-12
            )
            np.testing.assert_allclose(told["quartiles"], np.percentile(values, [25, 50, 75]))
            edges = told["histogram"]["edges"]
            assert told["histogram"]["counts"] == np.histogram(values, edges)[0].tolist()
    assert profile["target"]["column"] == "target"
    assert profile["rows"] == profile["sampled_rows"] == len(columns["target"])


def test_real_classes_are_counted(tmp_path: Path) -> None:
    """A column of names is a category with the rows of each."""
    columns = real("wine")
    _, profile = profile_table(write(tmp_path, columns))
    told = column(profile, "target")
    assert told["kind"] == "category"
    assert told["values"] == [
        {"value": value, "count": count}
        for value, count in sorted(Counter(columns["target"]).items(), key=lambda one: -one[1])
    ]
    assert told["rarest"] == {"value": "class_2", "count": 48}


def test_what_is_the_matter_with_real_tables(tmp_path: Path) -> None:
    """Iris repeats a row, which is told by its number; wine and diabetes are faultless."""
    found = {}
    for name in ("iris", "wine", "diabetes", "breast_cancer"):
        folder = tmp_path / name
        folder.mkdir()
        found[name] = [(one["code"], one["columns"]) for one in profile_table(write(folder, real(name)))[1]["warnings"]]
        if name == "iris":
            (repeated,) = warnings(profile_table(folder)[1], "duplicate_rows")
            assert repeated == ([], {"count": 1, "exact": True, "followed": 1.0, "pairs": [[101, 142]]})
    assert (found["wine"], found["diabetes"]) == ([], [])
    errors = ["radius error", "perimeter error", "area error", "concavity error", "fractal dimension error"]
    assert found["breast_cancer"] == [("skewed", [name]) for name in errors]


def test_kinds_of_a_mixed_table_are_guessed_with_reasons(liner: dict[str, Any]) -> None:
    """Texts are numbers, dates, categories or text by what most of them are."""
    assert {one["name"]: one["kind"] for one in liner["columns"]} == {
        **dict.fromkeys(("ticket", "survived", "age", "fare", "fare_pence", "fare_again", "height"), "numeric"),
        **dict.fromkeys(("alive", "sex", "port", "cabin", "ship", "deck", "locker"), "category"),
        "boarded": "date",
        "note": "text",
    }
    assert column(liner, "age")["reason"] == "597 of 599 texts in it are numbers."
    assert column(liner, "boarded")["reason"] == "599 of 600 texts in it are dates."
    assert column(liner, "fare")["reason"] == "It is stored as float64."


def test_repeated_rows_are_told_with_pairs(liner: dict[str, Any]) -> None:
    """The last three rows are the first three."""
    evidence = {"count": 3, "exact": True, "followed": 1.0, "pairs": [[0, 597], [1, 598], [2, 599]]}
    assert warnings(liner, "duplicate_rows") == [([], evidence)]


def test_columns_that_copy_others_are_told(liner: dict[str, Any]) -> None:
    """Equal columns, the same answer in other words, and the same numbers in another unit, once each."""
    assert [(columns, evidence["relation"]) for columns, evidence in warnings(liner, "copied_column")] == [
        (["fare", "fare_again"], "equal"),
        (["survived", "alive"], "one_to_one"),
        (["fare", "fare_pence"], "correlation"),
    ]
    (_, equal), (_, renamed), (_, line) = warnings(liner, "copied_column")
    assert equal == {"relation": "equal", "rows": ROWS}
    assert renamed == {"relation": "one_to_one", "rows": ROWS, "distinct": 2, "first_values": ["0", "no"]}
    assert line == {"relation": "correlation", "rows": ROWS, "coefficient": 1.0, "sampled_rows": ROWS}


def test_cells_that_cannot_be_read_are_told_with_rows(liner: dict[str, Any]) -> None:
    """Each has its row, counted from 0, and its text; they count as missing."""
    assert warnings(liner, "unparsable_cells") == [
        (["age"], {"count": 2, "cells": [{"row": 7, "text": "unknown"}, {"row": 41, "text": "about 40"}]}),
        (["boarded"], {"count": 1, "cells": [{"row": 10, "text": "tomorrow"}]}),
    ]
    assert (column(liner, "age")["missing"], column(liner, "age")["unparsable"]) == (3, 2)


def test_each_other_defect_of_a_mixed_table_is_told(liner: dict[str, Any]) -> None:
    """Constant, identifier-like, mostly missing, many, rare and misspelt categories, skewed and placed numbers."""
    assert warnings(liner, "constant_column") == [(["ship"], {"value": "Titanic", "rows": ROWS, "missing": 0})]
    assert warnings(liner, "identifier_like") == [
        (["ticket"], {"distinct": 597, "rows": 600, "increasing": False, "examples": ["1000", "1001", "1002"]}),
        (["cabin"], {"distinct": 120, "rows": 121, "increasing": False, "examples": ["C0", "C5", "C10"]}),
    ]
    assert warnings(liner, "mostly_missing") == [(["cabin"], {"missing": 479, "rows": ROWS, "fraction": 0.7983})]
    assert warnings(liner, "high_cardinality") == [(["locker"], {"distinct": 150, "rows": ROWS})]
    spellings = [["Southampton", "Southampton ", "southampton"]]
    assert warnings(liner, "mixed_case_duplicates") == [(["port"], {"count": 1, "groups": spellings})]
    rare = {columns[0]: evidence for columns, evidence in warnings(liner, "rare_categories")}
    assert rare.keys() == {"port", "deck", "locker"}
    examples = [{"value": "bridge", "count": 4}]
    assert rare["deck"] == {"categories": 1, "rows": 4, "fewer_than": 5, "examples": examples}
    assert {columns[0] for columns, _ in warnings(liner, "skewed")} == {"fare", "fare_pence", "fare_again"}
    heights = column(liner, "height")["quartiles"]
    ((columns, evidence),) = warnings(liner, "placeholder_value")
    assert (columns, evidence["value"], evidence["count"]) == (["height"], -999, 3)
    assert evidence["others"]["minimum"] < heights[0] < evidence["others"]["maximum"]


def test_every_warning_says_what_to_do(liner: dict[str, Any]) -> None:
    """A message has the column's name and a sentence that tells what to do."""
    ways = ("Leave it out", "Remove", "leave them out", "Correct", "Write each", "Join", "Let it enter", "leave those")
    for warning in liner["warnings"]:
        assert all(repr(name) in warning["message"] for name in warning["columns"])
        assert any(way in warning["message"] for way in ways), warning
        assert warning["message"].endswith(".")


def test_a_profile_is_plain_json_and_small(liner: dict[str, Any]) -> None:
    """It has no number that JSON lacks, and about a kilobyte a column."""
    text = json.dumps(liner, allow_nan=False)
    assert json.loads(text) == liner
    assert len(text) < 1_500 * len(liner["columns"])


def test_the_same_table_has_the_same_profile_in_another_process(tmp_path: Path, liner: dict[str, Any]) -> None:
    """Neither the seed of Python's hashes nor the size of batches shows in it."""
    write(tmp_path, passengers(), batch_rows=97)
    code = (
        "import sys, json, pathlib; from service.data.profile import profile_table;"
        "print(json.dumps(profile_table(pathlib.Path(sys.argv[1]))[1]))"
    )
    told = [
        subprocess.run(
            [sys.executable, "-c", code, str(tmp_path)],
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": str(Path(__file__).parents[2])},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    ]
    assert told[0] == told[1]
    again = json.loads(told[0])
    for one, other in zip(again["columns"], liner["columns"], strict=True):
        # Sums in another order differ in their last digits.
        assert one.get("mean") == pytest.approx(other.get("mean"))
        assert one.get("std") == pytest.approx(other.get("std"))
        assert {**one, "mean": 0, "std": 0} == {**other, "mean": 0, "std": 0}
    assert again["warnings"] == liner["warnings"]


def test_a_client_sets_kinds_and_the_target(tmp_path: Path) -> None:
    """Numbers can be categories, whose names have no point; the kinds of the other columns are guessed."""
    write(tmp_path, {"zip": [1.0, 2.0, 2.5, None, 2.0], "age": ["1", "2", "x", "4", "5"], "flag": [True] * 4 + [None]})
    kinds = {"zip": Kind.CATEGORY, "age": Kind.NUMERIC, "flag": Kind.NUMERIC}
    facts, profile = profile_table(tmp_path, kinds, "zip")
    assert {fact.name: fact.kind for fact in facts} == kinds
    values = [{"value": "2", "count": 2}, {"value": "1", "count": 1}, {"value": "2.5", "count": 1}]
    assert column(profile, "zip")["values"] == values
    assert column(profile, "zip")["reason"] == "The client said so."
    assert column(profile, "age")["unparsable"] == 1
    assert (column(profile, "flag")["mean"], column(profile, "flag")["missing"]) == (1.0, 1)
    assert profile["target"] == {"column": "zip", "reason": "The client named it."}


def test_a_target_that_is_not_there_is_refused(tmp_path: Path) -> None:
    """The answer names it."""
    with pytest.raises(Invalid, match="no column 'b'"):
        profile_table(write(tmp_path, {"a": [1]}), target="b")


def test_a_target_is_proposed_by_name_or_as_the_last_column_of_few_categories(tmp_path: Path) -> None:
    """`Label` is one; else a column of categories that is no name of rows; else there is none."""
    write(tmp_path, {"Label": [1, 2], "b": ["x", "y"]})
    assert profile_table(tmp_path)[1]["target"]["column"] == "Label"
    write(tmp_path, {"a": ["x", "y"] * 20, "b": [f"n{number}" for number in range(40)], "c": range(40)})
    assert profile_table(tmp_path)[1]["target"]["column"] == "a"
    write(tmp_path, {"c": range(40)})
    assert profile_table(tmp_path)[1]["target"] is None


def test_a_table_without_rows_and_cells_without_values_have_a_profile(tmp_path: Path) -> None:
    """Nothing is known of them, and that is told without a fault."""
    empty = {
        "number": pa.array([], pa.float64()),
        "whole": pa.array([], pa.int64()),
        "text": pa.array([], pa.string()),
        "flag": pa.array([], pa.bool_()),
        "day": pa.array([], pa.timestamp("us")),
        "image": pa.array([], pa.binary()),
        "steps": pa.array([], pa.list_(pa.list_(pa.float32(), 2))),
    }
    assert profile_table(write(tmp_path, empty))[1]["rows"] == 0
    missing = {name: pa.nulls(30, one.type) for name, one in empty.items()}
    _, profile = profile_table(write(tmp_path, missing))
    assert {one["missing"] for one in profile["columns"]} == {30}
    assert [one["columns"] for one in profile["warnings"]] == [[name] for name in missing]
    assert {one["code"] for one in profile["warnings"]} == {"mostly_missing"}
    json.dumps(profile, allow_nan=False)


def test_numbers_at_the_ends_of_what_there_is_are_told_finite(tmp_path: Path) -> None:
    """Neither sums that overflow nor infinities reach the JSON; whole numbers keep all digits."""
    large = 2**63 - 1
    write(
        tmp_path,
        {
            "huge": [1.7e308, -1.7e308, 1.7e308, 0.0],
            "infinite": [1.0, float("inf"), float("-inf"), float("nan")],
            "whole": [large, large - 1, -large, None],
            "near": [1.0, np.nextafter(1.0, 2), 1.0, 1.0],
        },
    )
    _, profile = profile_table(tmp_path)
    json.dumps(profile, allow_nan=False)
    assert sum(column(profile, "huge")["histogram"]["counts"]) == 4
    assert (column(profile, "whole")["maximum"], column(profile, "whole")["distinct"]) == (large, 3)
    assert column(profile, "near")["distinct"] == 2
    cells = [{"row": 1, "text": "inf"}, {"row": 2, "text": "-inf"}]
    assert warnings(profile, "unparsable_cells") == [(["infinite"], {"count": 2, "cells": cells})]
    assert column(profile, "infinite")["missing"] == 3


CELLS = st.one_of(
    st.lists(st.none() | st.floats(width=64), min_size=1, max_size=30).map(lambda one: pa.array(one, pa.float64())),
    st.lists(st.none() | st.integers(-(2**63), 2**63 - 1), max_size=30).map(lambda one: pa.array(one, pa.int64())),
    st.lists(st.none() | st.text(max_size=6), max_size=30).map(lambda one: pa.array(one, pa.string())),
    st.lists(st.none() | st.sampled_from(["1", "2.5", "2020-01-01", "x y z", ""]), max_size=30).map(
        lambda one: pa.array(one, pa.string())
    ),
    st.lists(st.none() | st.booleans(), max_size=30).map(lambda one: pa.array(one, pa.bool_())),
    st.lists(st.none() | st.integers(-(2**61), 2**61), max_size=30).map(lambda one: pa.array(one, pa.timestamp("us"))),
    st.lists(st.none() | st.binary(max_size=9), max_size=30).map(lambda one: pa.array(one, pa.binary())),
    st.lists(st.none() | st.lists(st.lists(st.floats(width=32), min_size=2, max_size=2), max_size=3), max_size=30).map(
        lambda one: pa.array(one, pa.list_(pa.list_(pa.float32(), 2)))
    ),
)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(cells=CELLS, batch_rows=st.integers(1, 40))
def test_whatever_a_column_holds_it_has_a_profile(tmp_path: Path, cells: pa.Array, batch_rows: int) -> None:
    """Every column of every type gives JSON, and counts what is missing."""
    facts, profile = profile_table(write(tmp_path, {"a": cells}, batch_rows))
    (told,) = profile["columns"]
    json.dumps(profile, allow_nan=False)
    assert told["kind"] == facts[0].kind
    assert cells.null_count <= told["missing"] <= len(cells)
    assert told["distinct"] <= len(cells) - told["missing"]


def test_memory_does_not_grow_with_the_rows(tmp_path: Path) -> None:
    """Eight times the rows take little more memory: of each row 16 bytes are kept, up to a million rows."""
    grown = []
    for rows in (50_000, 400_000):
        rng = np.random.default_rng(0)
        columns: dict[str, Any] = {f"n{number}": rng.normal(size=rows) for number in range(20)}
        columns |= {f"i{number}": rng.integers(0, 10**6, rows) for number in range(5)}
        columns["id"] = [f"user-{number}" for number in range(rows)]
        run = [
            sys.executable,
            "-c",
            "from tests.data.test_profile import report; report()",
            str(write(tmp_path, columns)),
        ]
        answer = subprocess.run(run, cwd=Path(__file__).parents[2], capture_output=True, text=True, check=True)
        grown.append(float(answer.stdout))
    assert grown[1] < grown[0] + 30
    assert grown[1] < 80


def report() -> None:
    """Print by how many MB the memory of this process grew, apart from mapped files, while it profiled a table."""
    import pyarrow.compute  # noqa: F401

    before, peaks, done = private_megabytes(), [0.0], threading.Event()

    def watch() -> None:
        while not done.wait(0.005):
            peaks.append(private_megabytes())

    watcher = threading.Thread(target=watch)
    watcher.start()
    profile_table(Path(sys.argv[1]))
    done.set()
    watcher.join()
    print(max(peaks) - before)


def private_megabytes() -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("RssAnon:"))
