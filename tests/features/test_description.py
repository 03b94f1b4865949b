"""Preparations in the words of a client."""

from dataclasses import replace

import orjson

from service.features.description import described
from service.features.preparation import Preparation, Sequence, Task
from tests.features.features import category, hashed, preparation
from tests.features.test_preparation import FEATURES, PREPARATION, TARGET, number


def test_every_feature_says_how_it_enters() -> None:
    """With its options as they can be asked for, and as JSON."""
    found = orjson.loads(orjson.dumps(described(PREPARATION)))
    assert [(one["column"], one["as"]) for one in found["features"]] == [
        ("town", "one_hot"),
        ("age", "standardize"),
        ("born", "parts"),
        ("street", "hashing"),
        ("job", "embedding"),
        ("note", "tokens"),
        ("face", "rescale"),
        ("steps", "none"),
    ]
    by_column = {one["column"]: one for one in found["features"]}
    assert by_column["town"] == {
        "column": "town",
        "type": "string",
        "kind": "category",
        "as": "one_hot",
        "unknown": "error",
        "missing": "other",
        "categories": ["a", "b"],
    }
    assert (by_column["age"]["missing"], by_column["age"]["indicator"]) == (3.0, True)
    assert (by_column["born"]["parts"], by_column["born"]["missing"]) == (["year", "month"], "error")
    assert by_column["job"]["output_dim"] == 4
    assert (by_column["note"]["max_tokens"], by_column["note"]["sequence_length"]) == (3, 7)
    assert (by_column["face"]["height"], by_column["face"]["width"], by_column["face"]["channels"]) == (5, 6, 3)
    assert (by_column["steps"]["length"], by_column["steps"]["pad"]) == (8, "post")


def test_a_category_that_stands_for_a_missing_one_is_told() -> None:
    """As it can be asked for."""
    found = described(preparation(category(fill="Oslo"), hashed(fill="Rome"), hashed("lane")))["features"]
    assert [one["missing"] for one in found] == [{"category": "Oslo"}, {"category": "Rome"}, "other"]


def test_targets_split_and_rows_are_told() -> None:
    """Labels in the order of the network's numbers; how many rows did what."""
    found = described(PREPARATION)
    assert found["targets"] == [{"column": "answer", "as": "binary", "labels": ["no", "yes"]}]
    assert found["split"] == {"validation": 0.2, "test": 0.1, "by": "stratified", "column": None, "seed": 7}
    assert found["rows"] == {"train": 70, "validation": 20, "test": 10}
    assert found["inputs"][0] == {"name": "numbers", "shape": [4], "dtype": "float32", "columns": ["age", "born"]}


def test_a_quantity_and_no_split() -> None:
    """A number says its mean and how far it spreads; a missing value that none may have is an error."""
    price = replace(TARGET, column="price", task=Task.NUMBER, labels=(), center=2.5, spread=0.5)
    found = described(Preparation(features=(number("age"),), targets=(price,), split=None, rows=(5, 0, 0)))
    assert found["targets"] == [{"column": "price", "as": "number", "mean": 2.5, "standard_deviation": 0.5}]
    assert found["split"] is None
    assert found["features"][0]["missing"] == "error"


def test_steps_are_standardized_where_they_are() -> None:
    """By their centers and spreads."""
    steps = next(feature for feature in FEATURES if isinstance(feature, Sequence))
    scaled = replace(steps, centers=(1.0, 0.0))
    found = described(Preparation(features=(scaled,), targets=(), split=None, rows=(5, 0, 0)))
    assert found["features"][0]["as"] == "standardize"
