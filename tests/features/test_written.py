"""What is written of a preparation asks for the same one."""

import json
from pathlib import Path
from typing import Any

import pytest

from service.data.table import Kind
from service.features.fit import prepare
from service.features.preparation import Preparation
from service.features.written import request_of
from tests.features.tables import PASSENGER_KINDS, passengers, stored

PARTS = ["train", "train", "val", "test"]


@pytest.mark.parametrize(
    "split",
    [
        None,
        {"validation": 0.2, "test": 0.1},
        {"validation": 0.2, "by": "random"},
        {"test": 0.2, "by": "group", "column": "port"},
        {"validation": 0.2, "by": "time", "column": "boarded"},
        {"by": "column", "column": "part"},
    ],
)
def test_a_preparation_asks_for_itself(tmp_path: Path, split: dict[str, Any] | None) -> None:
    """What "auto" chose, written out and sent again, gives the same preparation, with nothing left to choose."""
    table = passengers(400)
    table["port"] = [port or "none" for port in table["port"]]
    table["part"] = PARTS * 100
    columns = stored(tmp_path, table, **PASSENGER_KINDS)
    request = {"folder": str(tmp_path), "columns": [one.to_json() for one in columns], "target": "survived", "seed": 5}
    first = json.loads(json.dumps(prepare({**request, "split": split})))["preparation"]
    written = request_of(Preparation.from_json(first))
    assert ("split" in written) == (split is not None)
    again = json.loads(json.dumps(prepare({**request, **written})))
    assert again["preparation"] == first


def test_every_kind_asks_for_itself(tmp_path: Path) -> None:
    """Cut vocabularies, categories that are left out, and fillers are asked for as they are."""
    table = {
        "word": [f"w{number % 7} w{number % 3}" for number in range(60)],
        "order": [f"v{number % 7} v{number % 3}" for number in range(60)],
        "many": [f"c{number % 9}" for number in range(60)],
        "hash": [f"h{number % 9}" for number in range(60)],
        "named": ["error", None, "b"] * 20,
        "hashed": ["a", None, "c"] * 20,
        "usual": ["a", None, "b", "b"] * 15,
        "day": ["2020-01-01", None, "2021-02-02"] * 20,
        "gap": [1.0, None, 3.0] * 20,
        "steps": [[[1.0], [2.0]], [[3.0]]] * 30,
        "y": [number / 7 for number in range(60)],
    }
    columns = stored(tmp_path, table, word=Kind.TEXT, order=Kind.TEXT, day=Kind.DATE)
    features = {
        "word": {"as": "bag", "max_tokens": 5},
        "order": {"as": "tokens", "max_tokens": 6, "sequence_length": 3},
        "many": {"as": "embedding", "output_dim": 3, "max_categories": 4, "unknown": "error"},
        "hash": {"as": "hashing", "num_bins": 5, "missing": "error"},
        "named": {"as": "one_hot", "missing": {"category": "error"}},
        "hashed": {"as": "hashing", "num_bins": 5, "missing": {"category": "new"}},
        "usual": {"as": "embedding", "output_dim": 2, "missing": "most_frequent"},
        "day": {"parts": ["month"], "missing": "2022-03-04"},
        "gap": {"as": "min_max", "missing": "mean", "indicator": True},
        "steps": {"as": "none", "pad": "pre"},
    }
    request = {"folder": str(tmp_path), "columns": [one.to_json() for one in columns], "target": "y", "seed": 5}
    first = json.loads(json.dumps(prepare({**request, "features": features})))["preparation"]
    written = request_of(Preparation.from_json(first))
    again = json.loads(json.dumps(prepare({**request, **written})))
    assert again["preparation"] == first
    assert written["features"]["named"]["missing"] == {"category": "error"}
    assert written["features"]["hashed"]["missing"] == {"category": "new"}
    assert written["features"]["usual"]["missing"] == {"category": "b"}
