"""The checks between the arguments of one entry that Keras makes itself and that need no shapes."""

from collections.abc import Callable, Iterator
from typing import Any

from service.architecture.arguments import at
from service.errors import Fault

Arguments = dict[str, Any]
#: The argument to change, and why.
Found = Iterator[tuple[str, str]]


def contradictions(arguments: Arguments, pointer: str) -> Iterator[Fault]:
    """Yield what complete arguments, each right alone, say against each other."""
    for names, rule in _RULES:
        if all(name in arguments for name in names):
            for name, detail in rule(arguments):
                yield Fault(pointer=at(pointer, name), detail=detail)


def _strides_or_dilation(given: Arguments) -> Found:
    if given["strides"] and max(given["strides"]) > 1 and max(given["dilation_rate"]) > 1:
        yield (
            "dilation_rate",
            "`strides` and `dilation_rate` are both above 1, and Keras takes one of them. Set one to 1.",
        )


def _groups_divide(given: Arguments) -> Found:
    if given["filters"] % given["groups"]:
        detail = f"`groups` is {given['groups']} and does not divide `filters`, {given['filters']}. Make it a divisor."
        yield "groups", detail


def _groups_exist(given: Arguments) -> Found:
    if given["groups"] == 0:
        yield "groups", "`groups` is 0; kerasd expects at least 1, or -1 for one group a channel. Send one of these."


def _padding_below_strides(given: Arguments) -> Found:
    if any(padding >= stride for padding, stride in zip(given["output_padding"] or (), given["strides"], strict=False)):
        yield "output_padding", "`output_padding` must be below `strides` in each dimension. Lower it, or leave it out."


def _equal_strides(given: Arguments) -> Found:
    if len(set(given["strides"])) > 1:
        yield "strides", "A depthwise convolution takes the same stride in each dimension. Send one integer."


def _permutation(given: Arguments) -> Found:
    if sorted(given["dims"]) != list(range(1, len(given["dims"]) + 1)):
        yield (
            "dims",
            f"`dims` must hold each of 1 to {len(given['dims'])} once; the batch is not counted. Mend the list.",
        )


def _one_unknown_size(given: Arguments) -> Found:
    if given["target_shape"].count(-1) > 1 or 0 in given["target_shape"]:
        yield "target_shape", "`target_shape` must hold sizes of at least 1, and -1 at most once. Write the others out."


def _a_value_each(given: Arguments) -> Found:
    boundaries, values = given["boundaries"], given["values"]
    if len(values) != len(boundaries) + 1:
        needed = f"{len(boundaries)} `boundaries` need {len(boundaries) + 1} `values`"
        yield "values", f"{needed}, and {len(values)} came. Add or drop some."
    if sorted(set(boundaries)) != boundaries:
        yield "boundaries", "`boundaries` must rise from each to the next. Sort them, and drop those that come twice."


def _one_clip(given: Arguments) -> Found:
    chosen = [name for name in ("clipnorm", "clipvalue", "global_clipnorm") if given[name] is not None]
    for name in chosen[1:]:
        yield name, f"`{name}` came together with `{chosen[0]}`, and Keras takes one of them. Leave the others out."


def _mean_with_variance(given: Arguments) -> Found:
    mean, variance = given["mean"], given["variance"]
    if (mean is None) != (variance is None):
        missing = "mean" if mean is None else "variance"
        yield missing, "`mean` and `variance` come together or not at all. Send both, or none to have them learned."
    elif isinstance(mean, list) != isinstance(variance, list) or (
        isinstance(mean, list) and len(mean) != len(variance)
    ):
        yield "variance", "`mean` and `variance` must have the same length. Send one value of each for each column."


def _one_aspect(given: Arguments) -> Found:
    if given["crop_to_aspect_ratio"] and given["pad_to_aspect_ratio"]:
        yield "pad_to_aspect_ratio", "A picture is cropped or padded to its new shape, not both. Set one to false."


def _rising(low: str, high: str) -> Callable[[Arguments], Found]:
    def rule(given: Arguments) -> Found:
        if given[low] > given[high]:
            yield low, f"`{low}` is {given[low]}, above `{high}`, which is {given[high]}. Exchange them."

    return rule


def _rising_range(given: Arguments) -> Found:
    if given["value_range"][0] >= given["value_range"][1]:
        yield "value_range", "`value_range` must be [lowest, highest]. Exchange the two."


def _heads_divide(given: Arguments) -> Found:
    if given["num_query_heads"] % given["num_key_value_heads"]:
        yield "num_key_value_heads", "`num_key_value_heads` must divide `num_query_heads`. Make it a divisor."


def _opposite_directions(given: Arguments) -> Found:
    forward, backward = given["layer"], given["backward_layer"]
    if backward is None:
        return
    if forward.arguments["go_backwards"] == backward.arguments["go_backwards"]:
        yield "backward_layer", "`layer` and `backward_layer` read in one direction. Set `go_backwards` of one to true."
    if forward.arguments["return_sequences"] != backward.arguments["return_sequences"]:
        yield "backward_layer", "`layer` and `backward_layer` differ in `return_sequences`. Make it the same in both."


def _known_classes(given: Arguments) -> Found:
    if max(given["target_class_ids"]) >= given["num_classes"]:
        yield (
            "target_class_ids",
            f"With {given['num_classes']} `num_classes` the highest id is one less. Lower the ids.",
        )


def _labels_for_weights(given: Arguments) -> Found:
    if given["label_weights"] is not None and not given["multi_label"]:
        yield (
            "label_weights",
            "`label_weights` weigh the labels of `multi_label`. Set that to true, or leave these out.",
        )


_RULES: tuple[tuple[tuple[str, ...], Callable[[Arguments], Found]], ...] = (
    (("strides", "dilation_rate"), _strides_or_dilation),
    (("filters", "groups"), _groups_divide),
    (("groups", "epsilon"), _groups_exist),
    (("output_padding", "strides"), _padding_below_strides),
    (("depth_multiplier", "strides"), _equal_strides),
    (("dims",), _permutation),
    (("target_shape",), _one_unknown_size),
    (("boundaries", "values"), _a_value_each),
    (("clipnorm", "clipvalue", "global_clipnorm"), _one_clip),
    (("mean", "variance"), _mean_with_variance),
    (("crop_to_aspect_ratio", "pad_to_aspect_ratio"), _one_aspect),
    (("minval", "maxval"), _rising("minval", "maxval")),
    (("min_value", "max_value"), _rising("min_value", "max_value")),
    (("value_range",), _rising_range),
    (("num_query_heads", "num_key_value_heads"), _heads_divide),
    (("layer", "backward_layer"), _opposite_directions),
    (("target_class_ids", "num_classes"), _known_classes),
    (("label_weights", "multi_label"), _labels_for_weights),
)
