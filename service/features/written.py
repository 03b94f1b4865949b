"""A preparation in the words of a client: a request that asks for the same, with nothing left to be chosen."""

from typing import Any

from service.features.preparation import Category, Date, Feature, Hashed, Image, Number, Preparation, Sequence, Text

#: The fewest categories that a client can ask for.
_FEWEST = 2


def request_of(preparation: Preparation) -> dict[str, Any]:
    """The `features` and, if there is one, the `split` of a submission that is prepared in this way."""
    written: dict[str, Any] = {"features": {one.column: feature_of(one) for one in preparation.features}}
    split = preparation.split
    if split is not None:
        # A column that names the parts says by itself how large they are.
        parts = {} if split.by == "column" else {"validation": split.validation, "test": split.test}
        column = {} if split.column is None else {"column": split.column}
        written["split"] = {**parts, "by": split.by, **column}
    return written


def feature_of(feature: Feature) -> dict[str, Any]:
    """How one column enters, in full."""
    match feature:
        case Number():
            missing = "error" if feature.fill is None else feature.fill
            return {"as": feature.scale, "missing": missing, "indicator": feature.indicator}
        case Category():
            options = {"unknown": feature.unknown, "missing": missing_of(feature)}
            most = {"max_categories": max(_FEWEST, len(feature.categories))}
            size = {} if feature.output_dim is None else {"output_dim": feature.output_dim}
            return {"as": feature.enters, **size, **most, **options}
        case Hashed():
            return {"as": "hashing", "num_bins": feature.num_bins, "missing": missing_of(feature)}
        case Text():
            # No word and an unknown one count among the tokens.
            size = {"max_tokens": feature.width}
            return {"as": feature.enters, **size, "sequence_length": feature.sequence_length}
        case Date():
            missing = "error" if feature.fill is None else feature.fill
            return {"as": "parts", "parts": list(feature.parts), "missing": missing}
        case Image():
            return {"as": "rescale", "height": feature.height, "width": feature.width, "channels": feature.channels}
        case Sequence():
            scaled = any(feature.centers) or any(spread != 1 for spread in feature.spreads)
            shape = {"length": feature.length, "pad": feature.pad, "truncate": feature.truncate}
            return {"as": "standardize" if scaled else "none", **shape}
    raise AssertionError(f"a {type(feature).__name__} is no feature that a client asks for")


def missing_of(feature: Category | Hashed) -> str | dict[str, str]:
    """The `missing` of a category: a policy, or the category that stands for a missing one."""
    return feature.missing if feature.fill is None else {"category": feature.fill}
