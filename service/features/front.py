"""The layers that make tensors of a preparation's inputs, as JSON that the builder of networks takes.

Everything that is no tensor of its own becomes one vector, `features`: numbers are scaled, categories and words of a
bag become ones and zeros, embeddings vectors; a Concatenate joins them. The last layer of each tensor bears its name.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Final

from service.features.preparation import (
    CATEGORIES,
    FEATURES,
    NUMBERS,
    Category,
    Date,
    Feature,
    Hashed,
    Image,
    Number,
    Preparation,
    Sequence,
    Text,
)

Json = dict[str, Any]

#: How many layers one Concatenate joins.
_MOST_JOINED: Final = 64
#: The bounds of the catalog for the numbers of a Normalization.
_LARGEST: Final = 1e30


class Front:
    """The inputs and layers of a preparation; `names` are those of all of them."""

    def __init__(self, preparation: Preparation) -> None:
        self.inputs: list[Json] = [
            {"name": one.name, "shape": list(one.shape), "dtype": one.dtype} for one in preparation.inputs
        ]
        self.layers: list[Json] = []
        # The names of the tensors are kept free for their last layers.
        ends = (FEATURES if vector_width(feature) else feature.slug for feature in preparation.features)
        self.names: set[str] = {*ends, *(one["name"] for one in self.inputs)}
        self._put_vector(preparation)
        for feature in preparation.features:
            if not vector_width(feature):
                self._add(_own_layer(feature), feature.slug, f"{feature.slug}_input")

    def end(self, tensor: str) -> Json:
        """The layer that makes a tensor."""
        return next(layer for layer in self.layers if layer["name"] == tensor)

    def rest(self, ends: Iterable[str]) -> list[Json]:
        """All layers but those that make these tensors."""
        left_out = set(ends)
        return [layer for layer in self.layers if layer["name"] not in left_out]

    def _put_vector(self, preparation: Preparation) -> None:
        parts = list(_parts(preparation))
        if len(parts) == 1:
            *first, (last, _) = parts[0][1]
            name = self._chain(first, parts[0][0])
            self._add(last, FEATURES, name)
        elif parts:
            self._join([self._chain(layers, name) for name, layers in parts])

    def _chain(self, layers: Iterable[tuple[Json, str]], name: str) -> str:
        """Add layers one after the other, after the input of that name; returns the name of the last."""
        for layer, wanted in layers:
            name = self._add(layer, self._free(wanted), name)
        return name

    def _join(self, names: list[str]) -> None:
        while len(names) > _MOST_JOINED:
            groups = [names[first : first + _MOST_JOINED] for first in range(0, len(names), _MOST_JOINED)]
            names = [
                self._add({"type": "Concatenate"}, self._free("joined"), group) if len(group) > 1 else group[0]
                for group in groups
            ]
        self._add({"type": "Concatenate"}, FEATURES, names)

    def _add(self, layer: Json, name: str, inputs: str | list[str]) -> str:
        self.names.add(name)
        self.layers.append({**layer, "name": name, "inputs": inputs})
        return name

    def _free(self, wanted: str) -> str:
        """A name that nothing has: the wanted one, or that with a number."""
        return free_name(wanted, self.names)


def free_name(wanted: str, taken: Iterable[str]) -> str:
    """The wanted name, or the first with a number after it that is not taken; of 64 characters at most."""
    wanted, number, name = wanted[:58], 1, wanted[:64]
    while name in taken:
        name, number = f"{wanted}_{number}", number + 1
    return name


def vector_width(feature: Feature) -> int:
    """How many numbers of the vector a feature makes."""
    match feature:
        case Number():
            return 1 + int(feature.indicator)
        case Date():
            return len(feature.parts)
        case Category(enters="embedding"):
            return feature.output_dim or 0
        case Category() | Hashed():
            return feature.width
        case Text(enters="bag"):
            return feature.width
    return 0


def _own_layer(feature: Feature) -> Json:
    match feature:
        case Image():
            return {"type": "Rescaling", "scale": 1 / 255}
        case Sequence():
            return _normalization(feature.centers, feature.spreads)
    # It only bears the name; an input must not have that of an output.
    return {"type": "Identity"}


def _parts(preparation: Preparation) -> Iterator[tuple[str, list[tuple[Json, str]]]]:
    """The parts of the vector: the name of the input, and the layers after it, each with the name that it wants."""
    numbers = [feature for feature in preparation.features if isinstance(feature, Number)]
    dates = [feature for feature in preparation.features if isinstance(feature, Date)]
    if numbers or dates:
        yield NUMBERS, [(_scaling(numbers, dates), "numbers_scaled")]
    width = sum(map(_one_hot_width, preparation.features))
    if width:
        yield CATEGORIES, [({"type": "CategoryEncoding", "num_tokens": width}, "categories_encoded")]
    for feature in preparation.features:
        name, slug = f"{feature.slug}_input", feature.slug
        match feature:
            case Category(enters="embedding"):
                embedding = {"type": "Embedding", "input_dim": feature.width, "output_dim": feature.output_dim}
                yield name, [(embedding, f"{slug}_embedded"), ({"type": "Flatten"}, f"{slug}_flat")]
            case Text(enters="bag"):
                yield name, [({"type": "CategoryEncoding", "num_tokens": feature.width}, f"{slug}_bag")]


def _one_hot_width(feature: Feature) -> int:
    alone = isinstance(feature, Category) and feature.enters == "embedding"
    return feature.width if isinstance(feature, Category | Hashed) and not alone else 0


def _scaling(numbers: list[Number], dates: list[Date]) -> Json:
    """Numbers, then indicators, which stay as they are, then parts of dates: in the order in which they are encoded."""
    indicators = sum(feature.indicator for feature in numbers)
    centers = [0.0 if one.early else one.center for one in numbers] + [0.0] * indicators
    spreads = [1.0 if one.early else one.spread for one in numbers] + [1.0] * indicators
    centers += [center for date in dates for center in date.centers]
    spreads += [spread for date in dates for spread in date.spreads]
    return _normalization(centers, spreads)


def _normalization(centers: Iterable[float], spreads: Iterable[float]) -> Json:
    """`(value - center) / spread`; what does not vary, and so has no spread, keeps its scale."""
    return {
        "type": "Normalization",
        "mean": [min(max(float(center), -_LARGEST), _LARGEST) for center in centers],
        "variance": [min(float(spread) ** 2, _LARGEST) if spread else 1.0 for spread in spreads],
    }
