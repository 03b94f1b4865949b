"""Preparations: their JSON, and the inputs that they give a network."""

import json
from typing import Any

from service.data.table import Kind
from service.features.preparation import (
    Category,
    Date,
    Feature,
    Hashed,
    Image,
    InputFacts,
    Number,
    Preparation,
    Sequence,
    Split,
    Target,
    Task,
    Text,
)


def number(column: str, **given: Any) -> Number:
    options = {"scale": "standardize", "center": 1.0, "spread": 2.0, "fill": None, "indicator": False} | given
    return Number(column=column, type="float64", kind=Kind.NUMERIC, slug=column, **options)


def category(column: str, **given: Any) -> Category:
    options = {"enters": "one_hot", "categories": ("a", "b"), "output_dim": None, "unknown": "error"} | given
    return Category(column=column, type="string", kind=Kind.CATEGORY, slug=column, missing="other", **options)


FEATURES: tuple[Feature, ...] = (
    category("town"),
    number("age", indicator=True, fill=3.0),
    Date(
        column="born",
        type="timestamp",
        kind=Kind.DATE,
        slug="born",
        parts=("year", "month"),
        centers=(2000.0, 6.0),
        spreads=(1.0, 2.0),
        fill=None,
    ),
    Hashed(column="street", type="string", kind=Kind.CATEGORY, slug="street", num_bins=9, missing="other"),
    category("job", enters="embedding", output_dim=4),
    Text(
        column="note",
        type="string",
        kind=Kind.TEXT,
        slug="note",
        enters="tokens",
        vocabulary=("yes",),
        sequence_length=7,
    ),
    Image(column="face", type="image", kind=Kind.IMAGE, slug="face", height=5, width=6, channels=3),
    Sequence(
        column="steps",
        type="sequence",
        kind=Kind.SEQUENCE,
        slug="steps",
        length=8,
        channels=2,
        pad="post",
        truncate="post",
        centers=(0.0, 0.0),
        spreads=(1.0, 1.0),
    ),
)
TARGET = Target(
    column="answer",
    type="string",
    kind=Kind.CATEGORY,
    slug="answer",
    task=Task.BINARY,
    labels=("no", "yes"),
    separator=None,
    center=None,
    spread=None,
    shape=(),
)
PREPARATION = Preparation(
    features=FEATURES,
    targets=(TARGET,),
    split=Split(validation=0.2, test=0.1, by="stratified", column=None, seed=7),
    rows=(70, 20, 10),
    ignored=("remark",),
)


def test_json_keeps_all_of_it() -> None:
    """What is written as JSON and read again is the same preparation."""
    assert Preparation.from_json(json.loads(json.dumps(PREPARATION.to_json()))) == PREPARATION


def test_what_an_earlier_release_has_stored_is_read() -> None:
    """Of a category it does not say what stands for a missing one, and nothing did."""
    row = PREPARATION.to_json()
    assert [feature.pop("fill") for feature in row["features"] if feature["feature"] in ("category", "hashing")]
    assert Preparation.from_json(row) == PREPARATION


def test_inputs_come_in_one_order() -> None:
    """Numbers share an input, one-hot categories another; each other feature has one of its own."""
    assert PREPARATION.inputs == (
        InputFacts(name="numbers", shape=(4,), dtype="float32", columns=("age", "born")),
        InputFacts(name="categories", shape=(2,), dtype="int32", columns=("town", "street")),
        InputFacts(name="job_input", shape=(1,), dtype="int32", columns=("job",)),
        InputFacts(name="note_input", shape=(7,), dtype="int32", columns=("note",)),
        InputFacts(name="face_input", shape=(5, 6, 3), dtype="float32", columns=("face",)),
        InputFacts(name="steps_input", shape=(8, 2), dtype="float32", columns=("steps",)),
    )


def test_the_first_place_is_for_other_values() -> None:
    """A category has one more place than it has names; a text two, for no word and for an unknown one."""
    assert (category("town").width, len(FEATURES)) == (3, 8)
    assert [one.width for one in FEATURES if isinstance(one, Hashed | Text)] == [10, 3]
