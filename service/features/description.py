"""A preparation in the words in which a client asks for one, with what was fitted beside them."""

from typing import Any

from service.features.preparation import (
    Category,
    Date,
    Feature,
    Hashed,
    Image,
    Number,
    Preparation,
    Sequence,
    Target,
    Text,
)
from service.features.written import missing_of


def described(preparation: Preparation) -> dict[str, Any]:
    """What a version says of its preparation: features and how they enter, targets, the split, and the inputs.

    `ignored` are the columns that records may have and that nothing is made of.
    """
    train, validation, test = preparation.rows
    return {
        "features": [_feature(one) for one in preparation.features],
        "targets": [_target(one) for one in preparation.targets],
        "ignored": list(preparation.ignored),
        "split": None if preparation.split is None else preparation.split.to_json(),
        "rows": {"train": train, "validation": validation, "test": test},
        "inputs": [
            {"name": one.name, "shape": list(one.shape), "dtype": one.dtype, "columns": list(one.columns)}
            for one in preparation.inputs
        ],
    }


def _feature(feature: Feature) -> dict[str, Any]:
    own = {"column": feature.column, "type": feature.type, "kind": feature.kind.value}
    match feature:
        case Number():
            missing = "error" if feature.fill is None else feature.fill
            fitted = {"center": feature.center, "spread": feature.spread}
            return own | {"as": feature.scale, "missing": missing, "indicator": feature.indicator} | fitted
        case Category():
            dimension = {} if feature.output_dim is None else {"output_dim": feature.output_dim}
            policies = {"unknown": feature.unknown, "missing": missing_of(feature)}
            return own | {"as": feature.enters} | dimension | policies | {"categories": list(feature.categories)}
        case Hashed():
            return own | {"as": "hashing", "num_bins": feature.num_bins, "missing": missing_of(feature)}
        case Text():
            sizes = {"max_tokens": feature.width, "sequence_length": feature.sequence_length}
            return own | {"as": feature.enters} | sizes
        case Date():
            missing = "error" if feature.fill is None else feature.fill
            return own | {"as": "parts", "parts": list(feature.parts), "missing": missing}
        case Image():
            sizes = {"height": feature.height, "width": feature.width, "channels": feature.channels}
            return own | {"as": "rescale"} | sizes
        case Sequence():
            options = {"length": feature.length, "pad": feature.pad, "truncate": feature.truncate}
            return own | {"as": _scaling(feature), "channels": feature.channels} | options
    raise AssertionError(f"a {type(feature).__name__} has no description")


def _scaling(feature: Sequence) -> str:
    """Steps that are taken as they are have centers of 0 and spreads of 1."""
    left = all(center == 0 for center in feature.centers) and all(spread == 1 for spread in feature.spreads)
    return "none" if left else "standardize"


def _target(target: Target) -> dict[str, Any]:
    own: dict[str, Any] = {"column": target.column, "as": target.task.value}
    if target.labels:
        own["labels"] = list(target.labels)
    if target.center is not None:
        own |= {"mean": target.center, "standard_deviation": target.spread}
    return own
