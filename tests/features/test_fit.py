"""Fitting: from a client's words and a table to a preparation, on the rows that train alone."""

import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image as Pictures
from sklearn import datasets as sklearn_data

from service.data.arrays import ArrayFacts
from service.data.table import ColumnFacts, Kind
from service.errors import Invalid
from service.features.fit import prepare
from service.features.preparation import (
    Category,
    Date,
    Hashed,
    Image,
    Number,
    Preparation,
    Split,
    Task,
    Text,
)
from service.features.preparation import Sequence as Steps
from service.features.split import parts_of
from tests.features.tables import PASSENGER_KINDS, passengers, stored


def fitted(
    folder: Path, columns: Sequence[ColumnFacts], **asked: Any
) -> tuple[Preparation, dict[str, ArrayFacts], list[str]]:
    """What an errand answers, after a round through JSON: the preparation, the facts of arrays by name, and notes."""
    request = {"folder": str(folder), "columns": [one.to_json() for one in columns], "seed": 3, **asked}
    answer = json.loads(json.dumps(prepare(json.loads(json.dumps(request)))))
    facts = [ArrayFacts.from_json(one) for one in answer["arrays"]]
    return Preparation.from_json(answer["preparation"]), {one.name or one.part: one for one in facts}, answer["notes"]


def refused(folder: Path, columns: Sequence[ColumnFacts], **asked: Any) -> list[tuple[str, str]]:
    with pytest.raises(Invalid) as caught:
        fitted(folder, columns, **asked)
    return [(fault.pointer, fault.detail) for fault in caught.value.faults]


def png(width: int, height: int, mode: str = "L") -> bytes:
    file = io.BytesIO()
    Pictures.new(mode, (width, height)).save(file, "PNG")
    return file.getvalue()


# Real tables ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "task", "labels"),
    [
        ("breast_cancer", Task.BINARY, 2),
        ("wine", Task.CLASSES, 3),
        ("iris", Task.CLASSES, 3),
        ("digits", Task.CLASSES, 10),
    ],
)
def test_classes_of_real_tables(tmp_path: Path, name: str, task: Task, labels: int) -> None:
    """Scikit-learn's tables, whose targets are whole numbers, are learned as classes, with the statistics of NumPy."""
    bunch = getattr(sklearn_data, f"load_{name}")()
    names = [str(one) for one in bunch.feature_names]
    values = dict(zip(names, bunch.data.T, strict=True))
    columns = stored(tmp_path, {**values, "target": bunch.target.astype(np.int64)}, batch_rows=100)
    split = {"validation": 0.2, "test": 0.1}
    preparation, facts, _ = fitted(tmp_path, columns, features="auto", target="target", split=split)
    (target,) = preparation.targets
    assert (target.task, target.labels) == (task, tuple(map(str, range(labels))))
    assert preparation.split == Split(validation=0.2, test=0.1, by="stratified", column=None, seed=3)
    parts = parts_of(preparation.split, tmp_path, preparation.targets)
    assert preparation.rows == tuple(np.bincount(parts).tolist())
    for feature in preparation.features:
        assert isinstance(feature, Number)
        own = values[feature.column][parts == 0]
        own = np.log1p(own) if feature.scale == "log" else own
        assert (feature.center, feature.spread) == (pytest.approx(own.mean(), 1e-12), pytest.approx(own.std(), 1e-12))
    assert (facts["y"].minimum, facts["y"].maximum, facts["y"].dtype) == (0, labels - 1, "int32")
    assert facts["numbers"].shape == (preparation.rows[0], len(preparation.features))


def test_a_quantity_of_a_real_table(tmp_path: Path) -> None:
    """The progression of diabetes is a number, with the mean and the spread of the rows that train."""
    bunch = sklearn_data.load_diabetes(scaled=False)
    values = dict(zip(bunch.feature_names, bunch.data.T, strict=True))
    columns = stored(tmp_path, {**values, "target": bunch.target}, batch_rows=100)
    preparation, facts, _ = fitted(tmp_path, columns, target="target", split={"test": 0.2})
    (target,) = preparation.targets
    assert (target.task, preparation.split and preparation.split.by) == (Task.NUMBER, "random")
    own = bunch.target[parts_of(preparation.split, tmp_path, preparation.targets) == 0]
    assert target.center == pytest.approx(own.mean(), 1e-12)
    assert target.spread == pytest.approx(own.std(), 1e-12)
    assert (facts["y"].minimum, facts["y"].maximum, facts["y"].shape) == (own.min(), own.max(), (len(own),))
    assert len(preparation.features) == 10


def test_a_mixed_table(tmp_path: Path) -> None:
    """Of a table as people have it each column enters by its kind, and every choice that is no default is told."""
    columns = stored(tmp_path, passengers(1000), batch_rows=130, **PASSENGER_KINDS)
    preparation, facts, notes = fitted(tmp_path, columns, target="survived", split={"validation": 0.2, "test": 0.1})
    by_column = {one.column: one for one in preparation.features}
    assert preparation.ignored == ("id", "crew")
    assert by_column.keys() == {"name", "sex", "grade", "age", "fare", "port", "boarded"}
    assert isinstance(by_column["name"], Text)
    assert by_column["name"].vocabulary[:2] == ("mrs", "mr") or by_column["name"].vocabulary[:2] == ("mr", "mrs")
    assert isinstance(by_column["age"], Number)
    assert (by_column["age"].indicator, by_column["age"].fill is None) == (True, False)
    assert isinstance(by_column["fare"], Number)
    assert (by_column["fare"].scale, by_column["fare"].fill) == ("log", None)
    assert isinstance(by_column["grade"], Category)
    assert sorted(by_column["grade"].categories) == ["1", "2", "3"]
    assert isinstance(by_column["boarded"], Date)
    assert by_column["boarded"].parts == ("day", "weekday", "hour", "minute")
    assert preparation.targets[0].labels == ("no", "yes")
    assert [one.name for one in preparation.inputs] == ["numbers", "categories", "name_input"]
    assert facts["categories"].maximum == 3 + 4 + 4 - 1
    assert len(notes) == 5
    assert any("'id' is left out" in note for note in notes)


def test_only_rows_that_train_count(tmp_path: Path) -> None:
    """What the last rows say, which test, changes no feature."""
    numbers = [float(value) for value in range(90)]
    names = ["a", "b"] * 45
    answers = []
    for last in (1.0, 1e6):
        values = {"x": numbers + [last] * 10, "c": names + [f"new{last}"] * 10, "y": ["no", "yes"] * 50}
        columns = stored(tmp_path, values, batch_rows=33)
        answers.append(
            fitted(
                tmp_path,
                columns,
                features={"x": "min_max", "c": "one_hot"},
                target="y",
                split={"test": 0.1, "by": "order"},
            )
        )
    assert answers[0] == answers[1]
    number, category = answers[0][0].features
    assert isinstance(number, Number)
    assert isinstance(category, Category)
    assert (number.center, number.spread, category.categories) == (0.0, 89.0, ("a", "b"))


# Features ------------------------------------------------------------------------------------------------------------


def test_numbers(tmp_path: Path) -> None:
    """Each scale has its center and spread; a spread of 0 is 1; what stands for a missing value is asked for."""
    x = [1.0, 2.0, None, 9.0] * 10
    columns = stored(tmp_path, {"a": x, "b": x, "c": x, "d": x, "e": [7] * 40, "y": [0, 1] * 20}, batch_rows=7)
    features = {
        "a": {"as": "standardize", "missing": "mean", "indicator": True},
        "b": {"as": "min_max", "missing": "median"},
        "c": {"as": "log", "missing": "zero"},
        "d": {"as": "none", "missing": -3},
        "e": "standardize",
    }
    preparation, facts, _ = fitted(tmp_path, columns, features=features, target="y")
    found = [one for one in preparation.features if isinstance(one, Number)]
    own = np.array([1.0, 2.0, 9.0])
    assert [(one.center, one.spread, one.fill) for one in found] == [
        (pytest.approx(own.mean()), pytest.approx(own.std()), pytest.approx(4.0)),
        (1.0, 8.0, 2.0),
        (pytest.approx(np.log1p(own).mean()), pytest.approx(np.log1p(own).std()), 0.0),
        (0.0, 1.0, -3.0),
        (7.0, 1.0, None),
    ]
    assert (facts["numbers"].minimum, facts["numbers"].maximum) == (-3.0, 9.0)


def test_the_median_stands_for_what_is_missing(tmp_path: Path) -> None:
    """Where nothing is asked the median stands for missing values, and a note says so; without any, none may miss."""
    columns = stored(tmp_path, {"a": [1.0, 2.0, None, 9.0] * 10, "b": [1.0, 2.0] * 20, "y": [0, 1] * 20})
    preparation, _, notes = fitted(tmp_path, columns, features={"a": "log", "b": "log"}, target="y")
    assert [one.fill for one in preparation.features if isinstance(one, Number)] == [2.0, None]
    assert notes == ["'a' has no value in 10 of 40 rows: the median stands for it."]


def test_categories(tmp_path: Path) -> None:
    """The most frequent come first, equally frequent ones by text; those beyond the limit are other ones."""
    values = ["b"] * 5 + ["a"] * 5 + ["c"] * 9 + ["d"]
    columns = stored(tmp_path, {"a": values, "b": values, "c": values, "y": [0, 1] * 10}, batch_rows=3)
    features = {"a": "one_hot", "b": {"as": "embedding", "max_categories": 2}, "c": {"as": "hashing", "num_bins": 9}}
    preparation, facts, notes = fitted(tmp_path, columns, features=features, target="y")
    one_hot, embedding, hashed = preparation.features
    assert isinstance(one_hot, Category)
    assert isinstance(embedding, Category)
    assert isinstance(hashed, Hashed)
    assert (one_hot.categories, one_hot.unknown, one_hot.missing) == (("c", "a", "b", "d"), "error", "other")
    assert (embedding.categories, embedding.unknown, embedding.output_dim) == (("c", "a"), "other", 2)
    assert hashed.num_bins == 9
    assert notes == ["Of the 4 categories of 'b', the 2 most frequent enter; the others are taken together."]
    assert (facts["categories"].maximum, facts["b_input"].maximum) == (5 + 10 - 1, 2)


def test_what_stands_for_a_missing_category(tmp_path: Path) -> None:
    """The most frequent one, or one that is named as a value of its column; a hash can be that of any."""
    towns = ["Oslo", None, "Bergen", "Oslo", "other"]
    table = {"a": towns, "b": towns, "c": towns, "d": towns, "e": [1.0, 2.5, None, 2.5, 1.0]}
    columns = stored(tmp_path, {**table, "f": [True, None, False, False, True], "y": [0, 1, 0, 1, 1]})
    features = {
        "a": {"as": "one_hot", "missing": "most_frequent"},
        "b": {"as": "embedding", "missing": {"category": "other"}},
        "c": {"as": "hashing", "missing": {"category": "Rome"}},
        "d": {"as": "one_hot", "missing": "error"},
        "e": {"as": "one_hot", "missing": {"category": 1}},
        "f": {"as": "one_hot", "missing": {"category": True}},
    }
    preparation, _, notes = fitted(tmp_path, columns, features=features, target="y")
    assert [(one.fill, one.missing) for one in preparation.features if isinstance(one, Category | Hashed)] == [
        ("Oslo", "other"),
        ("other", "other"),
        ("Rome", "other"),
        (None, "error"),
        ("1", "other"),
        ("true", "other"),
    ]
    assert notes == []


def test_a_category_that_does_not_enter_stands_for_none(tmp_path: Path) -> None:
    """Those of other rows than the training ones, and those beyond the limit, are none that is known."""
    values = ["b"] * 5 + ["a"] * 4 + ["c"]
    parts = ["train"] * 9 + ["val"]
    columns = stored(tmp_path, {"a": values, "b/b": values, "part": parts, "y": [0, 1] * 5})
    features = {
        "a": {"as": "one_hot", "missing": {"category": "c"}},
        "b/b": {"as": "embedding", "max_categories": 2, "missing": {"category": "B"}},
    }
    faults = dict(refused(tmp_path, columns, features=features, target="y", split={"by": "column", "column": "part"}))
    assert [*faults] == ["/features/a/missing/category", "/features/b~1b/missing/category"]
    due = "The column 'a' has no category 'c' that could stand for a missing one; those that enter are 'b', 'a'."
    assert faults["/features/a/missing/category"].startswith(due)
    assert "Did you mean 'b'?" in faults["/features/b~1b/missing/category"]


def test_numbers_as_categories(tmp_path: Path) -> None:
    """Numbers can enter as categories, by their text."""
    columns = stored(tmp_path, {"a": [1.0, 2.5, 1.0, 7.0], "y": [0, 1, 0, 1]})
    preparation, _, _ = fitted(tmp_path, columns, features={"a": "one_hot"}, target="y")
    assert isinstance(preparation.features[0], Category)
    assert preparation.features[0].categories == ("1", "2.5", "7")


def test_texts(tmp_path: Path) -> None:
    """Words come by how many texts have them; a bag has room for all words of a text, tokens for those of most."""
    texts = ["the cat the cat", "The dog!", None, "a CAT", "bird " * 900] * 8
    columns = stored(tmp_path, {"a": texts, "b": texts, "y": [0, 1] * 20}, a=Kind.TEXT, b=Kind.TEXT)
    features = {"a": {"as": "bag", "max_tokens": 5}, "b": "tokens"}
    preparation, facts, _ = fitted(tmp_path, columns, features=features, target="y")
    bag, tokens = preparation.features
    assert isinstance(bag, Text)
    assert isinstance(tokens, Text)
    assert bag.vocabulary == ("cat", "the", "a")
    assert (bag.sequence_length, tokens.sequence_length) == (512, 256)
    assert set(tokens.vocabulary) == {"cat", "the", "a", "bird", "dog"}
    assert (facts["a_input"].maximum, facts["b_input"].shape) == (4, (40, 256))


def test_dates(tmp_path: Path) -> None:
    """The parts that vary enter, each with its own center and spread; a date in the middle stands for a missing one."""
    dates = ["2020-01-01", "2020-03-01", "2020-05-01", None] * 5
    columns = stored(tmp_path, {"a": dates, "y": [0, 1] * 10}, a=Kind.DATE)
    preparation, facts, _ = fitted(tmp_path, columns, features={"a": "parts"}, target="y")
    (date,) = preparation.features
    assert isinstance(date, Date)
    assert date.parts == ("month", "weekday")
    assert date.centers == (pytest.approx(3.0), pytest.approx((2 + 6 + 4) / 3))
    assert date.spreads[0] == pytest.approx(np.std([1, 3, 5]))
    assert str(date.fill).startswith("2020-03-01")
    assert (facts["numbers"].minimum, facts["numbers"].maximum) == (1, 6)
    given = {"a": {"parts": ["year", "hour"], "missing": "2021-02-28T23:30:00-02:00"}}
    preparation, facts, _ = fitted(tmp_path, columns, features=given, target="y")
    (date,) = preparation.features
    assert isinstance(date, Date)
    assert (date.parts, date.spreads, date.fill) == (("year", "hour"), (1.0, 1.0), "2021-03-01T01:30:00.000000")
    assert (facts["numbers"].minimum, facts["numbers"].maximum) == (0, 2021)


def test_images(tmp_path: Path) -> None:
    """Pictures are brought to the size of most of them, within bounds; grey ones have one channel."""
    pictures = [png(50, 40), png(50, 40), png(300, 20)] * 4
    columns = stored(tmp_path, {"a": pictures, "b": [png(500, 8, "RGB")] * 12, "y": [0, 1] * 6})
    preparation, facts, _ = fitted(tmp_path, columns, target="y")
    sizes = [(one.height, one.width, one.channels) for one in preparation.features if isinstance(one, Image)]
    assert sizes == [(40, 50, 1), (32, 128, 3)]
    assert (facts["a_input"].maximum, facts["b_input"].shape) == (255, (12, 32, 128, 3))
    given = {"a": {"height": 8, "channels": 3}}
    preparation, _, _ = fitted(tmp_path, columns, features=given, target="y")
    assert preparation.inputs[0].shape == (8, 50, 3)


def test_sequences(tmp_path: Path) -> None:
    """The longest sequence has room, and each channel its own center and spread; missing numbers do not count."""
    values = [[[1.0, 10.0], [3.0, 30.0]], [[5.0, float("nan")]]] * 5
    columns = stored(tmp_path, {"a": values, "b": values, "y": [0, 1] * 5}, batch_rows=3)
    features = {"a": "standardize", "b": {"as": "none", "length": 7, "pad": "pre"}}
    preparation, facts, _ = fitted(tmp_path, columns, features=features, target="y")
    scaled, plain = preparation.features
    assert isinstance(scaled, Steps)
    assert isinstance(plain, Steps)
    assert (scaled.length, scaled.channels, scaled.centers) == (2, 2, (pytest.approx(3.0), pytest.approx(20.0)))
    assert scaled.spreads == (pytest.approx(np.std([1, 3, 5])), pytest.approx(10.0))
    assert (plain.length, plain.pad, plain.centers, plain.spreads) == (7, "pre", (0.0, 0.0), (1.0, 1.0))
    assert (facts["a_input"].minimum, facts["a_input"].maximum) == (1.0, 30.0)


def test_names_that_are_no_names(tmp_path: Path) -> None:
    """Columns with any name have slugs that inputs can have, all different."""
    names = ["Ärger (€)", "arger", "7", "numbers", "a", "a_input", "世界"]
    columns = stored(tmp_path, {**{name: ["p", "q"] * 9 for name in names}, "y": [0, 1, 1] * 6})
    preparation, _, _ = fitted(tmp_path, columns, features=dict.fromkeys(names, "embedding"), target="y")
    slugs = [one.slug for one in preparation.features]
    assert slugs == ["Arger", "arger_2", "column_7", "numbers_2", "a", "a_input_2", "column"]


# What goes wrong -----------------------------------------------------------------------------------------------------


def test_faults_of_values(tmp_path: Path) -> None:
    """Each feature that its values do not allow has its fault, with the rows and the way out, all at once."""
    columns = stored(
        tmp_path,
        {
            "gaps": [1.0, None] * 15,
            "days": ["2020-01-01", None] * 15,
            "huge": [1e200, 1.0] * 15,
            "large": [1e39, 1.0] * 15,
            "endless": [float("inf"), 1.0] * 15,
            "filled": [2.0, 1.0] * 15,
            "blank": [None, "!?"] * 15,
            "empty": pa.nulls(30, pa.float64()),
            "void": pa.nulls(30, pa.string()),
            "face": [None, png(3, 3)] * 15,
            "steps": [None, [[1.0]]] * 15,
            "y": [0, 1] * 15,
        },
        days=Kind.DATE,
        blank=Kind.TEXT,
    )
    features = {
        "gaps": {"missing": "error"},
        "days": {"missing": "error"},
        "huge": "standardize",
        "large": "none",
        "endless": "log",
        "filled": {"missing": 1e200},
        "blank": "bag",
        "empty": "log",
        "void": "one_hot",
        "face": "rescale",
        "steps": "standardize",
    }
    faults = dict(refused(tmp_path, columns, features=features, target="y"))
    assert "has no number in 15 rows (2, 4, 6, 8" in faults["/features/gaps/missing"]
    assert "has no date in 15 rows (2, 4" in faults["/features/days/missing"]
    assert 'values up to 1e+200, which are too large to enter as they are. Use "log"' in faults["/features/huge"]
    assert "values up to 1e+39" in faults["/features/large"]
    assert "infinite values" in faults["/features/endless"]
    assert "missing is 1e+200, which is too large" in faults["/features/filled/missing"]
    assert "no word" in faults["/features/blank"]
    assert "has no number in the training rows" in faults["/features/empty"]
    assert "has no value in the training rows" in faults["/features/void"]
    assert "has no image in 15 rows (1, 3" in faults["/features/face"]
    assert "has no sequence in 15 rows (1, 3" in faults["/features/steps"]
    assert len(faults) == 11


def test_faults_of_requests_come_first(tmp_path: Path) -> None:
    """A request that names unknown columns is refused before a row is read."""
    columns = stored(tmp_path, {"x": [1.0, 2.0], "y": [0, 1]})
    faults = refused(tmp_path, columns, features={"z": "log"}, target="yy")
    assert [pointer for pointer, _ in faults] == ["/target", "/features/z"]


def test_labels_that_no_training_row_has(tmp_path: Path) -> None:
    """A class that only rows have which are kept apart cannot be learned, and is named."""
    columns = stored(tmp_path, {"x": [1.0, 2.0] * 50, "y": ["a", "b"] * 45 + ["c"] * 10})
    faults = refused(tmp_path, columns, target="y", split={"test": 0.1, "by": "order"})
    assert [pointer for pointer, _ in faults] == ["/target"]
    assert "has the class(es) 'c' in no row that trains" in faults[0][1]


def test_a_rule_must_suit_the_target(tmp_path: Path) -> None:
    """A quantity is not stratified; that it is one, its values say."""
    columns = stored(tmp_path, {"x": [1.0, 2.0] * 50, "y": [value / 7 for value in range(100)]})
    faults = refused(tmp_path, columns, target="y", split={"test": 0.1, "by": "stratified"})
    assert [pointer for pointer, _ in faults] == ["/split/by"]


# Validation data -----------------------------------------------------------------------------------------------------


def test_validation_data_must_fit(tmp_path: Path) -> None:
    """Another table to validate on has the same columns of the same types, and labels that are known."""
    columns = stored(tmp_path / "a", {"x": [1.5, 2.0] * 10, "c": ["p", "q"] * 10, "y": ["no", "yes"] * 10})
    asked = {"target": "y", "validation_folder": str(tmp_path / "b")}
    stored(tmp_path / "b", {"x": [1, 2], "c": pa.nulls(2, pa.float64()), "y": ["no", "yes"], "more": [1, 2]})
    preparation, _, _ = fitted(tmp_path / "a", columns, **asked)
    assert preparation.rows == (20, 0, 0)
    stored(tmp_path / "b", {"x": ["one", "two"], "C": ["p", "q"], "y": ["no", "maybe"]})
    faults = refused(tmp_path / "a", columns, **asked)
    assert {pointer for pointer, _ in faults} == {"/fit/validation_data"}
    assert [detail for _, detail in faults] == [
        "The column 'x' is of the type string, and in the training data of float64. Send it with such values.",
        "The table has no column 'c', which the training data have. Did you mean 'C'? Add it.",
    ]
    stored(tmp_path / "b", {"x": [1, 2], "c": ["p", "q"], "y": ["no", "maybe"]})
    ((pointer, detail),) = refused(tmp_path / "a", columns, **asked)
    assert (pointer, detail.startswith("Row 2: "), "'maybe'" in detail) == ("/fit/validation_data", True, True)
    stored(tmp_path / "b", {"x": [1, None], "c": [None, "q"], "y": ["no", "yes"]})
    ((pointer, detail),) = refused(tmp_path / "a", columns, **asked)
    assert "The column 'x' has no value in 1 row(s)" in detail
    stored(tmp_path / "b", {"x": [1, 2], "c": ["p", "q"], "y": ["no", "yes"]})
    faults = refused(tmp_path / "a", columns, **asked, split={"validation": 0.2})
    assert "Both split.validation and fit.validation_data" in faults[0][1]


def test_several_labels_and_steps(tmp_path: Path) -> None:
    """Several labels a row are learned as ones and zeros, steps as they are; the facts of both are exact."""
    values = {
        "x": [float(number % 7) for number in range(40)],
        "tags": ["red;blue", None, "blue", "green"] * 10,
        "next": [[[float(number)], [number + 0.5]] for number in range(40)],
    }
    columns = stored(tmp_path, values, batch_rows=9)
    target = [{"column": "tags", "as": "labels"}, "next"]
    preparation, facts, _ = fitted(
        tmp_path, columns, features={"x": "none"}, target=target, split={"test": 0.1, "by": "order"}
    )
    assert [(one.task, one.shape) for one in preparation.targets] == [(Task.LABELS, (3,)), (Task.SEQUENCE, (2, 1))]
    assert (facts["tags"].shape, facts["tags"].maximum, facts["tags"].integral) == ((36, 3), 1.0, True)
    steps = np.array(values["next"][:36])
    assert [one.center for one in preparation.targets] == [None, pytest.approx(steps.mean())]
    assert [one.spread for one in preparation.targets] == [None, pytest.approx(steps.std())]
    assert (facts["next"].shape, facts["next"].maximum, facts["next"].dtype) == ((36, 2, 1), 35.5, "float32")
    values["tags"][-1] = "rare"
    columns = stored(tmp_path, values)
    faults = refused(tmp_path, columns, features={"x": "none"}, target=target, split={"test": 0.1, "by": "order"})
    assert "has the label(s) 'rare' in no row that trains" in faults[0][1]


def test_a_quantity_must_vary_in_the_rows_that_train(tmp_path: Path) -> None:
    """A number that differs in the test rows alone cannot be learned."""
    columns = stored(tmp_path, {"x": [1.5, 2.5] * 20, "y": [3.5] * 39 + [4.5]})
    faults = refused(tmp_path, columns, target="y", split={"test": 0.1, "by": "order"})
    assert faults[0][0] == "/target"
    assert "is the same in every row that trains" in faults[0][1]


def test_bounds_of_numbers_that_are_scaled_early(tmp_path: Path) -> None:
    """What float32 would not tell apart is scaled as it is encoded, and its bounds are those of that."""
    columns = stored(tmp_path, {"x": [1e9 + number % 7 for number in range(42)], "y": [0, 1] * 21})
    preparation, facts, _ = fitted(tmp_path, columns, features={"x": "standardize"}, target="y")
    (number,) = preparation.features
    assert isinstance(number, Number)
    assert number.early
    assert (facts["numbers"].minimum, facts["numbers"].maximum) == (pytest.approx(-1.5), pytest.approx(1.5))


def test_too_many_categories(tmp_path: Path) -> None:
    """More different values than are counted are refused, with another way to enter."""
    rows = 1_000_001
    columns = stored(tmp_path, {"x": np.arange(rows), "y": np.arange(rows) % 2}, batch_rows=65_536)
    faults = refused(tmp_path, columns, features={"x": "embedding"}, target="y")
    assert faults[0][0] == "/features/x"
    assert 'Use "hashing"' in faults[0][1]


def test_steps_that_no_network_takes(tmp_path: Path) -> None:
    """Sequences without a number in some channel, and with huge ones, are refused."""
    nan = float("nan")
    steps = {"empty": [[[1.0, nan]], [[2.0, nan]]] * 9, "huge": [[[1e30]], [[1.0]]] * 9}
    columns = stored(tmp_path, {**steps, "y": [0, 1] * 9})
    faults = dict(refused(tmp_path, columns, features=dict.fromkeys(steps, "standardize"), target="y"))
    assert "no number in a channel" in faults["/features/empty"]
    assert "beyond 1e+15" in faults["/features/huge"]


def test_pictures_that_are_none(tmp_path: Path) -> None:
    """Bytes that are no picture have no size; that they are none is said, with the row, when they are encoded."""
    columns = stored(tmp_path, {"x": [b"GIF89a", png(70, 60, "RGB")] * 9, "y": [0, 1] * 9})
    preparation, _, _ = fitted(tmp_path, columns, target="y")
    assert preparation.inputs[0].shape == (60, 70, 3)
