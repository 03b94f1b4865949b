"""Versions that take records: networks of numbers and categories with known weights, and what they answer."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from service.data.table import Kind
from service.features.preparation import Category, Feature, Number, Preparation, Split, Target, Task
from service.registry.models import Version
from tests.api.served import Published, graph_of, tensor

Array = np.ndarray[Any, Any]

FEATURES: tuple[Feature, ...] = (
    Number(
        column="age",
        type="float64",
        kind=Kind.NUMERIC,
        slug="age",
        scale="standardize",
        center=30.0,
        spread=10.0,
        fill=30.0,
        indicator=True,
    ),
    Number(
        column="fare",
        type="float64",
        kind=Kind.NUMERIC,
        slug="fare",
        scale="min_max",
        center=0.0,
        spread=100.0,
        fill=None,
        indicator=False,
    ),
    Category(
        column="sex",
        type="string",
        kind=Kind.CATEGORY,
        slug="sex",
        enters="one_hot",
        categories=("female", "male"),
        output_dim=None,
        unknown="error",
        missing="error",
    ),
    Category(
        column="home town",
        type="string",
        kind=Kind.CATEGORY,
        slug="home_town",
        enters="one_hot",
        categories=("Bergen", "Oslo"),
        output_dim=None,
        unknown="other",
        missing="other",
    ),
)
#: The places of all categories: three of each, the first for others.
WIDTH = 6
ROWS: list[dict[str, Any]] = [
    {"age": 22, "fare": 7.25, "sex": "male", "home town": "Oslo"},
    {"age": 38.5, "fare": 71, "sex": "female", "home town": "Bergen"},
    {"age": None, "fare": 8.05, "sex": "female", "home town": "Nowhere"},
    {"fare": 53.1, "sex": "male"},
]
#: What the network gets of them: age, fare, whether the age was missing; then sex and town.
NUMBERS = np.array([[22, 7.25, 0], [38.5, 71, 0], [30, 8.05, 1], [30, 53.1, 1]], np.float32)
CATEGORIES = np.array([[2, 5], [1, 4], [1, 3], [2, 3]], np.int32)
_MEAN, _SPREAD = np.array([30, 0, 0], np.float32), np.array([10, 100, 1], np.float32)


def target(task: Task, column: str, labels: tuple[str, ...] = (), separator: str | None = None) -> Target:
    numeric = task is Task.NUMBER
    return Target(
        column=column,
        type="float64" if numeric else "string",
        kind=Kind.NUMERIC if numeric else Kind.CATEGORY,
        slug=column,
        task=task,
        labels=labels,
        separator=separator,
        center=1.0 if numeric else None,
        spread=2.0 if numeric else None,
        shape=(),
    )


SURVIVED = target(Task.BINARY, "survived", ("no", "yes"))
CLASS = target(Task.CLASSES, "class", ("first", "second", "third"))
TAGS = target(Task.LABELS, "tags", ("crew", "rich"), "|")
PRICE = target(Task.NUMBER, "price")


def preparation(*targets: Target) -> Preparation:
    return Preparation(
        features=FEATURES,
        targets=targets,
        split=Split(validation=0.2, test=0.1, by="stratified", column=None, seed=7),
        rows=(70, 20, 10),
        ignored=("name",),
    )


def publish(published: Published, model: str, *targets: Target, broken: bool = False, **facts: Any) -> Version:
    """A network for the targets: a layer on the normalised numbers and the categories' ones, and an activation.

    One that is broken answers what is no number.
    """
    outputs = [tensor(one.slug if len(targets) > 1 else "out", _units(one)) for one in targets]
    inputs = [tensor("numbers", 3), tensor("categories", 2, dtype="int32")]
    constants = [
        numpy_helper.from_array(_MEAN, "mean"),
        numpy_helper.from_array(_SPREAD, "spread"),
        numpy_helper.from_array(np.array([WIDTH], np.int64), "width"),
        numpy_helper.from_array(np.array([0, 1], np.float32), "off_on"),
    ]
    nodes = [
        helper.make_node("Sub", ["numbers", "mean"], ["centered"]),
        helper.make_node("Div", ["centered", "spread"], ["scaled"]),
        helper.make_node("Cast", ["categories"], ["places"], to=TensorProto.INT64),
        helper.make_node("OneHot", ["places", "width", "off_on"], ["each"], axis=-1),
        helper.make_node("ReduceMax", ["each"], ["ones"], axes=[1], keepdims=0),
        helper.make_node("Concat", ["scaled", "ones"], ["features"], axis=1),
    ]
    for one, output in zip(targets, outputs, strict=True):
        weights = f"weights_{one.slug}"
        constants.append(numpy_helper.from_array(weights_of(one) * np.float32(np.nan if broken else 1), weights))
        nodes.append(helper.make_node("MatMul", ["features", weights], [f"sum_{one.slug}"]))
        activation = {Task.CLASSES: "Softmax", Task.NUMBER: "Identity"}.get(one.task, "Sigmoid")
        nodes.append(helper.make_node(activation, [f"sum_{one.slug}"], [output["name"]]))
    graph = graph_of(nodes, inputs, outputs, constants)
    return published.publish(model, graph, inputs, outputs, preparation=preparation(*targets).to_json(), **facts)


def weights_of(one: Target) -> Array:
    """The weights of a target's layer, (features, numbers)."""
    drawn = np.random.default_rng(len(one.column)).normal(size=(3 + WIDTH, _units(one)))
    return drawn.astype(np.float32)


def numbers_for(one: Target) -> Array:
    """What the network answers to ROWS, (rows, numbers), worked out by NumPy."""
    ones = np.zeros((len(ROWS), WIDTH), np.float32)
    np.put_along_axis(ones, CATEGORIES, 1, axis=1)
    found = np.concatenate([(NUMBERS - _MEAN) / _SPREAD, ones], axis=1) @ weights_of(one)
    if one.task is Task.CLASSES:
        found = np.exp(found) / np.exp(found).sum(axis=1, keepdims=True)
    elif one.task is not Task.NUMBER:
        found = 1 / (1 + np.exp(-found))
    return found


def columns_of(rows: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
    """Records as columns."""
    return {feature.column: [row.get(feature.column) for row in rows] for feature in FEATURES}


def _units(one: Target) -> int:
    return 1 if one.task is Task.BINARY else max(1, len(one.labels))
