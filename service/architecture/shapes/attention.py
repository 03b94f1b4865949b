"""Shapes of the attention layers, whose inputs are query, value and key; one input alone stands for all three."""

from collections.abc import Sequence
from math import prod

from service.architecture.network import Layer, Shape
from service.architecture.shapes.rule import JoiningRule, LayerShape, ShapeError, axis_index, expect_axes, known, show


def _roles(layer: Layer, shapes: Sequence[Shape]) -> tuple[Shape, Shape, Shape]:
    """Give the shapes of query, value and key; value and key must have the same steps."""
    if not 1 <= len(shapes) <= 3:
        raise ShapeError(
            f"{layer.type} got {len(shapes)} inputs; it expects [query, value] or [query, value, key], "
            "or one alone for self-attention."
        )
    query = shapes[0]
    value = shapes[1] if len(shapes) > 1 else query
    key = shapes[2] if len(shapes) > 2 else value
    if len({len(query), len(value), len(key)}) > 1 or len(query) < 2:
        raise ShapeError(
            f"{layer.type} expects inputs of shape (timesteps, features), got {_shown(query, value, key)}; "
            "put a Reshape before it."
        )
    if value[:-1] != key[:-1]:
        raise ShapeError(
            f"{layer.type} expects value and key with equal timesteps, got {_shown(query, value, key)}; "
            "let one layer feed both."
        )
    return query, value, key


def _shown(query: Shape, value: Shape, key: Shape) -> str:
    return f"query {show(query)}, value {show(value)} and key {show(key)}"


def _multi_head(layer: Layer, shapes: Sequence[Shape]) -> LayerShape:
    query, value, key = _roles(layer, shapes)
    _check_attention_axes(layer, query, value)
    heads, key_dim = layer.arguments["num_heads"], layer.arguments["key_dim"]
    value_dim = layer.arguments["value_dim"] or key_dim
    bias, features = int(layer.arguments["use_bias"]), [_features(layer, shape) for shape in (query, key, value)]
    output = _output_sizes(layer, features[0])
    gate = heads * value_dim if layer.arguments.get("use_gate") else 0
    projections = (features[0] + bias) * (heads * key_dim + gate) + (features[1] + bias) * heads * key_dim
    projections += (features[2] + bias) * heads * value_dim
    return LayerShape(
        output_shape=(*query[:-1], *output),
        trainable=projections + (heads * value_dim + bias) * prod(output),
    )


def _output_sizes(layer: Layer, features: int) -> tuple[int, ...]:
    given = layer.arguments["output_shape"]
    if not given:
        return (features,)
    return (given,) if isinstance(given, int) else tuple(given)


def _features(layer: Layer, shape: Shape) -> int:
    return known(layer, shape, -1, "number of features")


def _check_attention_axes(layer: Layer, query: Shape, value: Shape) -> None:
    """Raise ShapeError when an axis over which no attention goes differs between query and value."""
    given = layer.arguments.get("attention_axes")
    if given is None:
        return
    axes = [given] if isinstance(given, int) else list(given)
    attended = {axis_index(layer, query, axis, "attention_axes") for axis in axes}
    for index in range(len(query) - 1):
        if index not in attended and query[index] != value[index]:
            raise ShapeError(
                f"{layer.type} got attention_axes={axes}, but query {show(query)} and value {show(value)} differ on "
                f"axis {index + 1}, which is not among them; make them equal or attend over it.",
                "attention_axes",
            )


def _group_query(layer: Layer, shapes: Sequence[Shape]) -> LayerShape:
    query, value, key = _roles(layer, shapes)
    for shape in (query, value, key):
        expect_axes(layer, shape, ("timesteps", "features"))
    features, size = _features(layer, query), layer.arguments["head_dim"]
    if features != value[-1]:
        raise ShapeError(
            f"GroupQueryAttention expects query and value with equal features, got {_shown(query, value, key)}; "
            "put a Dense before one of them."
        )
    heads, shared = layer.arguments["num_query_heads"], layer.arguments["num_key_value_heads"]
    bias, gates = int(layer.arguments["use_bias"]), 2 if layer.arguments.get("use_gate") else 1
    return LayerShape(
        output_shape=query,
        trainable=(features + bias) * heads * size * gates
        + (_features(layer, key) + features + 2 * bias) * shared * size
        + (heads * size + bias) * features,
    )


def _dot_product(layer: Layer, shapes: Sequence[Shape]) -> LayerShape:
    query, value = _matching(layer, shapes)
    weights = int(layer.arguments["use_scale"]) + int(layer.arguments["score_mode"] == "concat")
    return LayerShape(output_shape=(*query[:-1], value[-1]), trainable=weights)


def _additive(layer: Layer, shapes: Sequence[Shape]) -> LayerShape:
    query, value = _matching(layer, shapes)
    weights = _features(layer, query) if layer.arguments["use_scale"] else 0
    return LayerShape(output_shape=(*query[:-1], value[-1]), trainable=weights)


def _matching(layer: Layer, shapes: Sequence[Shape]) -> tuple[Shape, Shape]:
    """Give query and value, once query and key are known to have equal features."""
    query, value, key = _roles(layer, shapes)
    if query[-1] != key[-1] or query[:-2] != key[:-2]:
        raise ShapeError(
            f"{layer.type} expects query and key with equal features, got {_shown(query, value, key)}; "
            "put a Dense before one of them."
        )
    return query, value


RULES: dict[str, JoiningRule] = {
    "Attention": _dot_product,
    "AdditiveAttention": _additive,
    "MultiHeadAttention": _multi_head,
    "GroupQueryAttention": _group_query,
}
