"""A table becomes arrays by part: what is read back is what the encoders make of the rows, in little memory."""

import io
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as Pictures

from service.data.store import load
from service.data.table import ColumnFacts, batches
from service.errors import Invalid, StorageFull
from service.features.columns import form_of, of_batch
from service.features.encode import encode_inputs, encode_targets
from service.features.fit import prepare
from service.features.preparation import Category, Preparation
from service.features.split import parts_of
from service.features.write import Written, write_all, write_arrays
from tests.features.tables import PASSENGER_KINDS, passengers, stored

ROOT = Path(__file__).parents[2]


def preparation(folder: Path, columns: Sequence[ColumnFacts], **asked: Any) -> Preparation:
    request = {"folder": str(folder), "columns": [one.to_json() for one in columns], "seed": 3, **asked}
    return Preparation.from_json(json.loads(json.dumps(prepare(request)))["preparation"])


def arrays_of(written: Written) -> dict[str, np.ndarray[Any, Any]]:
    folder, facts = written
    found = {**load(folder, facts, "x"), **load(folder, facts, "y")}
    for one in facts:
        array = found[one.name]
        assert (array.shape, array.dtype.name) == (one.shape, one.dtype)
        if array.size:
            assert (one.minimum, one.maximum) == (float(array.min()), float(array.max()))
            assert one.integral == bool((np.trunc(array) == array).all())
    return {name or "y": array for name, array in found.items()}


def encoded(folder: Path, prepared: Preparation) -> dict[str, np.ndarray[Any, Any]]:
    """All rows at once, by the encoders."""
    used = (*prepared.features, *prepared.targets)
    (batch,) = batches(folder)
    values = {one.column: of_batch(batch, one.column, one.type, form_of(one)) for one in used}
    targets = encode_targets(values, prepared)
    named = {slug if len(targets) > 1 else "y": array for slug, array in targets.items()}
    return {**encode_inputs(values, prepared), **named}


@pytest.mark.parametrize("by", ["random", "stratified", "order"])
def test_parts_are_the_encoded_rows(tmp_path: Path, by: str) -> None:
    """Each part has its rows in the order of the table, as the encoders make them, however the table was cut."""
    table = passengers(700)
    columns = stored(tmp_path / "cut", table, batch_rows=93, **PASSENGER_KINDS)
    stored(tmp_path / "whole", table, batch_rows=700, **PASSENGER_KINDS)
    asked = {
        "target": ["survived", {"column": "fare", "as": "number"}],
        "split": {"validation": 0.2, "test": 0.1, "by": by},
    }
    prepared = preparation(tmp_path / "cut", columns, **asked)
    expected = encoded(tmp_path / "whole", prepared)
    parts = parts_of(prepared.split, tmp_path / "cut", prepared.targets)
    written = write_arrays(tmp_path / "cut", prepared, tmp_path / "into")
    assert written.validation is not None
    assert written.test is not None
    for part, one in enumerate((written.train, written.validation, written.test)):
        found = arrays_of(one)
        assert found.keys() == expected.keys() == {"numbers", "categories", "name_input", "survived", "fare"}
        for name, array in found.items():
            np.testing.assert_array_equal(array, expected[name][parts == part])


def test_the_facts_of_the_fit_hold(tmp_path: Path) -> None:
    """What a fit foretells of the training rows: shapes and y exactly, x within its bounds."""
    columns = stored(tmp_path, passengers(500), batch_rows=93, **PASSENGER_KINDS)
    request = {"folder": str(tmp_path), "columns": [one.to_json() for one in columns], "seed": 3, "target": "survived"}
    answer = prepare({**request, "split": {"test": 0.2}})
    written = write_arrays(tmp_path, Preparation.from_json(answer["preparation"]), tmp_path / "into")
    for foretold, fact in zip(answer["arrays"], written.train[1], strict=True):
        found = fact.to_json()
        same = ("part", "name", "shape", "dtype", *(("minimum", "maximum", "integral") if fact.part == "y" else ()))
        assert {key: foretold[key] for key in same} == {key: found[key] for key in same}
        assert foretold["minimum"] <= found["minimum"] <= found["maximum"] <= foretold["maximum"]


def test_without_a_split_there_is_one_part(tmp_path: Path) -> None:
    """All rows train, and the others have no arrays."""
    columns = stored(tmp_path, {"x": [1.0, 2.0, 3.0], "y": [0, 1, 1]})
    written = write_arrays(
        tmp_path, preparation(tmp_path, columns, features={"x": "none"}, target="y"), tmp_path / "into"
    )
    assert (written.validation, written.test) == (None, None)
    found = arrays_of(written.train)
    assert found["numbers"].tolist() == [[1.0], [2.0], [3.0]]
    assert found["y"].tolist() == [0, 1, 1]


def test_the_same_rows_give_the_same_bytes(tmp_path: Path) -> None:
    """Written twice, from a table that was cut in another way, every file is the same."""
    table = passengers(400)
    columns = stored(tmp_path / "a", table, batch_rows=31, **PASSENGER_KINDS)
    stored(tmp_path / "b", table, batch_rows=400, **PASSENGER_KINDS)
    prepared = preparation(tmp_path / "a", columns, target="survived", split={"validation": 0.3})
    for name in "ab":
        write_arrays(tmp_path / name, prepared, tmp_path / f"into_{name}")
    first, second = (sorted((tmp_path / f"into_{name}").rglob("*.npy")) for name in "ab")
    assert len(first) == 8
    assert [file.read_bytes() for file in first] == [file.read_bytes() for file in second]


def test_small_pictures_become_large_arrays_piece_by_piece(tmp_path: Path) -> None:
    """Rows that grow when they are encoded are written in pieces; nothing is lost at their ends."""
    pictures = []
    for number in range(60):
        file = io.BytesIO()
        Pictures.new("L", (4, 4), number).save(file, "PNG")
        pictures.append(file.getvalue())
    columns = stored(tmp_path, {"x": pictures, "y": [0, 1] * 30})
    features = {"x": {"height": 256, "width": 256, "channels": 3}}
    prepared = preparation(tmp_path, columns, features=features, target="y")
    found = arrays_of(write_arrays(tmp_path, prepared, tmp_path / "into").train)["x_input"]
    assert found.shape == (60, 256, 256, 3)
    assert found[:, 100, 200, 1].tolist() == list(range(60))


def test_another_table(tmp_path: Path) -> None:
    """All rows of another table become one part; numbers may be whole there, and columns in another order."""
    columns = stored(tmp_path / "a", {"x": [1.5, 2.0] * 9, "c": ["p", "q"] * 9, "y": ["no", "yes"] * 9})
    features = {"x": "none", "c": "one_hot"}
    prepared = preparation(tmp_path / "a", columns, features=features, target="y", split={"validation": 0.2})
    stored(tmp_path / "b", {"y": ["yes", "no"], "more": [1, 2], "c": [None, "q"], "x": [7, 8]})
    found = arrays_of(write_all(tmp_path / "b", prepared, tmp_path / "into"))
    category = prepared.features[1]
    assert isinstance(category, Category)
    assert {name: array.tolist() for name, array in found.items()} == {
        "numbers": [[7.0], [8.0]],
        "categories": [[0], [category.numbers["q"]]],
        "y": [1, 0],
    }


def test_another_table_that_does_not_fit(tmp_path: Path) -> None:
    """Columns that are missing or of another type are told at once, a label that is unknown with its row."""
    columns = stored(tmp_path / "a", {"x": [1.5, 2.0] * 9, "c": ["p", "q"] * 9, "y": ["no", "yes"] * 9})
    prepared = preparation(tmp_path / "a", columns, features={"x": "none", "c": "one_hot"}, target="y")
    stored(tmp_path / "b", {"x": [True], "y": ["no"]})
    with pytest.raises(Invalid) as caught:
        write_all(tmp_path / "b", prepared, tmp_path / "into", "/dataset")
    assert [fault.pointer for fault in caught.value.faults] == ["/dataset", "/dataset"]
    stored(tmp_path / "b", {"x": [1.0, 2.0], "c": ["p", "q"], "y": ["no", "perhaps"]})
    with pytest.raises(Invalid) as caught:
        write_all(tmp_path / "b", prepared, tmp_path / "into")
    assert [fault.pointer for fault in caught.value.faults] == ["/1/y"]
    stored(tmp_path / "b", {"x": [1.0], "c": ["p"], "y": ["no"]})
    batch = next(batches(tmp_path / "b")).slice(0, 0)
    stored(tmp_path / "b", {name: batch.column(name) for name in batch.schema.names})
    with pytest.raises(Invalid, match="no rows"):
        write_all(tmp_path / "b", prepared, tmp_path / "into")


def test_a_full_disk(tmp_path: Path) -> None:
    """Where the disk is full, it is said so."""
    columns = stored(tmp_path, {"x": [1.5, 2.0] * 9, "y": ["no", "yes"] * 9})
    prepared = preparation(tmp_path, columns, features={"x": "none"}, target="y")
    (tmp_path / "into" / "train").mkdir(parents=True)
    (tmp_path / "into" / "train" / "y.npy").symlink_to("/dev/full")
    with pytest.raises(StorageFull):
        write_arrays(tmp_path, prepared, tmp_path / "into")


_CHILD = """
import json, sys, threading, time
from pathlib import Path
import numpy as np, pyarrow as pa
from service.features.fit import prepare
from service.features.preparation import Preparation
from service.features.write import write_arrays

def anonymous():
    status = Path("/proc/self/status").read_text()
    return int(status.split("RssAnon:")[1].split()[0]) / 1024

request, into = json.loads(sys.argv[1]), Path(sys.argv[2])
peak, done = 0.0, False
def watch():
    global peak
    while not done:
        peak = max(peak, anonymous())
        time.sleep(0.002)
start = anonymous()
thread = threading.Thread(target=watch)
thread.start()
answer = prepare(request)
write_arrays(Path(request["folder"]), Preparation.from_json(answer["preparation"]), into)
done = True
thread.join()
print(peak - start)
"""


def test_memory_does_not_grow_with_the_rows(tmp_path: Path) -> None:
    """200 MB of a table are fitted and written within 80 MB, and of twice as much within hardly more."""
    peaks = []
    for number, rows in enumerate((600_000, 1_200_000)):
        folder = tmp_path / str(number)
        draw = np.random.default_rng(number)
        table = {f"x{column}": draw.normal(size=rows) for column in range(18)}
        table["c"] = np.array(["red", "green", "blue"])[draw.integers(0, 3, rows)]
        table["y"] = np.array(["no", "yes"])[draw.integers(0, 2, rows)]
        columns = stored(folder, table, batch_rows=65_536)
        split = {"validation": 0.2, "test": 0.1}
        request = {
            "folder": str(folder),
            "columns": [one.to_json() for one in columns],
            "target": "y",
            "split": split,
            "seed": 1,
        }
        command = [sys.executable, "-c", _CHILD, json.dumps(request), str(folder / "into")]
        answer = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        assert answer.returncode == 0, answer.stderr
        peaks.append(float(answer.stdout))
    assert (tmp_path / "1" / "table.arrow").stat().st_size > 175e6
    assert peaks[1] < 80, peaks
    assert peaks[1] - peaks[0] < 25, peaks
