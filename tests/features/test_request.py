"""What a client asks for: every fault at once, each with its place and the way out."""

from typing import Any

import pytest

from service.data.table import ColumnFacts, Kind, Type
from service.errors import Fault
from service.features.preparation import Task
from service.features.request import Request, check_request


def column(name: str, stored: Type, kind: Kind) -> ColumnFacts:
    return ColumnFacts(name=name, type=stored, kind=kind)


COLUMNS = (
    column("age", "float64", Kind.NUMERIC),
    column("city", "string", Kind.CATEGORY),
    column("a/b~c", "float64", Kind.NUMERIC),
    column("note", "string", Kind.TEXT),
    column("born", "timestamp", Kind.DATE),
    column("face", "image", Kind.IMAGE),
    column("steps", "sequence", Kind.SEQUENCE),
    column("survived", "string", Kind.CATEGORY),
)


def checked(features: Any = None, target: Any = "survived", split: Any = None) -> tuple[Request | None, list[Fault]]:
    faults: list[Fault] = []
    return check_request(features, target, split, COLUMNS, faults), faults


def accepted(features: Any = None, target: Any = "survived", split: Any = None) -> Request:
    found, faults = checked(features, target, split)
    assert found is not None, faults
    assert faults == []
    return found


def only_fault(features: Any = None, target: Any = "survived", split: Any = None) -> Fault:
    found, faults = checked(features, target, split)
    assert found is None
    assert len(faults) == 1, faults
    return faults[0]


def test_all_columns_but_the_target_enter_by_themselves() -> None:
    """Without features, and with "auto", every column but the target is chosen for."""
    for features in (None, "auto", {"*": "auto"}):
        asked = accepted(features)
        assert [(one.column.name, one.way) for one in asked.features] == [
            (name, "auto") for name in ("age", "city", "a/b~c", "note", "born", "face", "steps")
        ]


def test_columns_that_are_not_named_are_left_out() -> None:
    """Only the named columns enter, in the order of the data set, unless "*" says otherwise; "drop" leaves one out."""
    asked = accepted({"city": {"as": "embedding", "output_dim": 8}, "age": "log"})
    assert [(one.column.name, one.way, dict(one.options)) for one in asked.features] == [
        ("age", "log", {}),
        ("city", "embedding", {"output_dim": 8}),
    ]
    others = accepted({"*": "auto", "age": "drop", "city": {}})
    assert [(one.column.name, one.way) for one in others.features][:2] == [("city", "one_hot"), ("a/b~c", "auto")]


def test_columns_that_the_client_named_are_told_from_the_others() -> None:
    """Whatever it said of them."""
    asked = accepted({"*": "auto", "age": "auto", "city": "one_hot"})
    assert [one.column.name for one in asked.features if one.named] == ["age", "city"]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("age", {"as": "standardize", "missing": "mean", "indicator": True}),
        ("age", {"as": "min_max", "missing": 7.5}),
        ("age", {"as": "none", "missing": "zero"}),
        ("age", {"as": "one_hot", "max_categories": 100_000, "unknown": "other", "missing": "error"}),
        ("age", {"as": "embedding", "output_dim": 4096}),
        ("city", {"as": "hashing", "num_bins": 1_000_000, "missing": "other"}),
        ("city", {"as": "hashing", "missing": {"category": "Oslo"}}),
        ("city", {"as": "one_hot", "missing": "most_frequent"}),
        ("city", {"as": "embedding", "missing": {"category": "most_frequent"}}),
        ("age", {"as": "one_hot", "missing": {"category": 18}}),
        ("note", {"as": "bag", "max_tokens": 2}),
        ("note", {"as": "tokens", "sequence_length": 4096}),
        ("born", {"as": "parts", "parts": ["year", "weekday"], "missing": "2020-02-29"}),
        ("face", {"as": "rescale", "height": 1, "width": 1024, "channels": 3}),
        ("steps", {"as": "none", "length": 512, "pad": "pre", "truncate": "post"}),
    ],
)
def test_every_way_has_its_options(name: str, value: dict[str, Any]) -> None:
    """What the ways of a kind take is taken as it came."""
    (one,) = accepted({name: value}).features
    assert {"as": one.way, **one.options} == value


@pytest.mark.parametrize(
    ("features", "pointer", "words"),
    [
        ({"aeg": "log"}, "/features/aeg", "Did you mean 'age'?"),
        ({"survived": "one_hot"}, "/features/survived", "is the target"),
        ({"city": "log"}, "/features/city", "'log' is for columns of the kind numeric. PUT /v1/datasets/{id}/schema"),
        ({"city": {"as": "log"}}, "/features/city/as", "it can enter as one_hot, embedding, hashing, auto, drop"),
        ({"city": "one-hot"}, "/features/city", "Did you mean 'one_hot'"),
        ({"city": 7}, "/features/city", "The number 7 came"),
        ({"city": {"as": 7}}, "/features/city/as", "The number 7 came"),
        ({"city": {"as": None}}, "/features/city/as", "null came"),
        ({"city": {"output_dim": 8}}, "/features/city/output_dim", "It is one of embedding: name that"),
        ({"city": {"as": "embedding", "ouput_dim": 8}}, "/features/city/ouput_dim", "Did you mean 'output_dim'"),
        ({"city": {"as": "embedding", "output_dim": 0}}, "/features/city/output_dim", "from 1 to 4_096"),
        ({"city": {"as": "embedding", "output_dim": True}}, "/features/city/output_dim", "is true; expected a whole"),
        ({"city": {"as": "hashing", "num_bins": 1_000_001}}, "/features/city/num_bins", "from 2 to 1_000_000"),
        ({"city": {"as": "hashing", "unknown": "other"}}, "/features/city/unknown", "one of one_hot and embedding"),
        ({"city": {"unknown": "ignore"}}, "/features/city/unknown", 'expected "error" or "other"'),
        ({"city": {"missing": "Oslo"}}, "/features/city/missing", 'or a category such as {"category": "red"}'),
        ({"city": {"missing": {"category": ""}}}, "/features/city/missing", '"error", "other", "most_frequent" or'),
        ({"city": {"missing": {"category": ["a"]}}}, "/features/city/missing", "an object; expected"),
        ({"city": {"missing": {"kategory": "a"}}}, "/features/city/missing", "an object; expected"),
        ({"city": {"missing": None}}, "/features/city/missing", "is null; expected"),
        (
            {"city": {"as": "hashing", "missing": "most_frequent"}},
            "/features/city/missing",
            'expected "error", "other" or',
        ),
        ({"age": {"missing": "mode"}}, "/features/age/missing", '"mean", "median", "zero", "error" or a number'),
        ({"age": {"missing": 1e999}}, "/features/age/missing", "or a number"),
        ({"age": {"indicator": 1}}, "/features/age/indicator", "expected true or false"),
        ({"a/b~c": {"missing": []}}, "/features/a~1b~0c/missing", "a list of 0"),
        ({"note": {"max_tokens": 1}}, "/features/note/max_tokens", "from 2 to 100_000"),
        ({"note": {"as": "tokens", "sequence_length": 5000}}, "/features/note/sequence_length", "from 1 to 4_096"),
        ({"born": {"parts": ["year", "year"]}}, "/features/born/parts", "a list of different parts out of year"),
        ({"born": {"missing": "yesterday"}}, "/features/born/missing", 'a date such as "2020-12-31"'),
        ({"born": {"missing": "2021-02-29"}}, "/features/born/missing", "a date such as"),
        ({"face": {"channels": 2}}, "/features/face/channels", "expected 1 or 3"),
        ({"face": {"height": 1025}}, "/features/face/height", "from 1 to 1_024"),
        ({"steps": {"pad": "middle"}}, "/features/steps/pad", 'expected "post" or "pre"'),
        ({"age": {"as": "auto", "missing": "mean"}}, "/features/age/missing", "which has no option 'missing'"),
        ({"*": "log"}, "/features/*", 'expected "auto" or "drop"'),
        ({}, "/features", "No feature is left"),
        ({"*": "auto", **dict.fromkeys([one.name for one in COLUMNS], "drop")}, "/features", "No feature is left"),
        (["age"], "/features", '"auto" or an object from column'),
        ("all", "/features", '"auto" or an object from column'),
    ],
)
def test_faults_of_features(features: Any, pointer: str, words: str) -> None:
    """What is wrong with a feature is said at its place, with what is expected."""
    fault = only_fault(features)
    assert (fault.pointer, words in fault.detail) == (pointer, True), fault


@pytest.mark.parametrize(
    ("target", "pointer", "words"),
    [
        (None, "/target", "No target came"),
        ([], "/target", "No target came"),
        ("survive", "/target", "Did you mean 'survived'?"),
        (7, "/target", "the name of a column was expected"),
        ({"column": "survive"}, "/target/column", "Did you mean 'survived'?"),
        ({}, "/target/column", "null came"),
        ({"column": "survived", "task": "binary"}, "/target/task", "it has column, as"),
        ({"column": "survived", "as": "number"}, "/target/as", "'number' is for columns of the kind numeric"),
        ({"column": "survived", "as": "clases"}, "/target/as", "Did you mean 'classes'"),
        ({"column": "survived", "as": ["binary"]}, "/target/as", "A list of 1 came"),
        ("face", "/target", "of the kind image, which cannot be learned"),
        ("born", "/target", "of the kind date, which cannot be learned"),
        (["survived", "survived"], "/target/1", "came twice"),
        (["survived", "nobody"], "/target/1", "has no column 'nobody'"),
        (["survived"] * 17, "/target", "at most 16"),
    ],
)
def test_faults_of_targets(target: Any, pointer: str, words: str) -> None:
    """What is wrong with a target is said at its place, with what is expected."""
    fault = only_fault(None, target)
    assert (fault.pointer, words in fault.detail) == (pointer, True), fault


@pytest.mark.parametrize(
    ("split", "pointer", "words"),
    [
        (0.2, "/split", "an object such as"),
        ({}, "/split", "keeps no rows apart"),
        ({"validation": 0}, "/split", "keeps no rows apart"),
        ({"validaton": 0.2, "test": 0.1}, "/split/validaton", "Did you mean 'validation'"),
        ({"validation": 1}, "/split/validation", "at least 0 and below 1"),
        ({"validation": -0.1}, "/split/validation", "at least 0 and below 1"),
        ({"validation": True}, "/split/validation", "is true; expected"),
        ({"validation": "0.2"}, "/split/validation", 'is the text "0.2"'),
        ({"validation": 0.6, "test": 0.4}, "/split", "leave no rows to train on"),
        ({"validation": 0.2, "by": "randon"}, "/split/by", "Did you mean 'random'"),
        ({"validation": 0.2, "by": 3}, "/split/by", "is the number 3"),
        ({"validation": 0.2, "by": "group"}, "/split/column", "came without a column"),
        ({"validation": 0.2, "by": "group", "column": "town"}, "/split/column", "has no column 'town'"),
        ({"validation": 0.2, "by": "group", "column": ["city"]}, "/split/column", "the name of a column was expected"),
        ({"validation": 0.2, "column": "city"}, "/split/column", "without `by` no column decides"),
        ({"validation": 0.2, "by": "order", "column": "city"}, "/split/column", "expected it with group or time"),
        ({"validation": 0.2, "by": "time", "column": "city"}, "/split/column", "needs a date or a numeric one"),
        ({"validation": 0.2, "by": "group", "column": "survived"}, "/split/column", "is the target"),
        ({"validation": 0.2, "by": "group", "column": "face"}, "/split/column", "of the kind image"),
        ({"validation": 0.2, "by": "column", "column": "city"}, "/split/validation", "the column says which rows"),
    ],
)
def test_faults_of_splits(split: Any, pointer: str, words: str) -> None:
    """What is wrong with a split is said at its place, with what is expected."""
    fault = only_fault(None, "survived", split)
    assert (fault.pointer, words in fault.detail) == (pointer, True), fault


def test_only_classes_are_stratified() -> None:
    """A stratified split of a quantity is refused as soon as it is known to be one."""
    fault = only_fault(None, {"column": "age", "as": "number"}, {"validation": 0.2, "by": "stratified"})
    assert (fault.pointer, "no class" in fault.detail) == ("/split/by", True)
    assert accepted(None, {"column": "age", "as": "classes"}, {"validation": 0.2, "by": "stratified"}).split


def test_all_faults_come_at_once() -> None:
    """Features, target and split are all checked, whatever is wrong with the others."""
    found, faults = checked({"aeg": "log", "city": "log"}, "nobody", {"validation": 2})
    assert found is None
    assert [fault.pointer for fault in faults] == ["/target", "/split/validation", "/features/aeg", "/features/city"]


def test_several_targets() -> None:
    """Targets can be a list of names and of objects; each says what is to be learned, or leaves it to the values."""
    asked = accepted({"city": "one_hot"}, ["age", {"column": "survived", "as": "binary"}])
    assert [(one.column.name, one.task, one.pointer) for one in asked.targets] == [
        ("age", None, "/target/0"),
        ("survived", Task.BINARY, "/target/1"),
    ]


def test_a_group_does_not_enter_by_itself() -> None:
    """The column that keeps groups together, or names the parts, is no feature unless it is named as one."""
    by_group = {"validation": 0.2, "by": "group", "column": "city"}
    assert "city" not in [one.column.name for one in accepted("auto", "survived", by_group).features]
    named = accepted({"*": "auto", "city": "one_hot"}, "survived", by_group)
    assert "city" in [one.column.name for one in named.features]


def test_half_a_character_can_be_answered() -> None:
    """A name that is no text, which JSON can hold, is refused in an answer that can be sent."""
    _, faults = checked({"\ud800": "log", "city": "\ud800", "age": {"\udfff": 1}}, "\ud800", {"by": "\ud800"})
    assert len(faults) == 5
    assert all(fault.detail.encode() and fault.pointer.encode() for fault in faults)
