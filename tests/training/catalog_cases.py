"""For every entry of the catalog, a training in which it takes part; what is alike shares a network, to save time."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from service.architecture import catalog
from service.architecture.network import Input, Layer, Network, Shape
from service.architecture.shapes import infer
from service.training.rows import Array
from tests.architecture.shape_cases import CASES, layer
from tests.training.trainings import Case, floats, named

ROWS = 6
#: What a size that is not fixed is in the data.
OPEN = 6


FAMILIES = tuple(dict.fromkeys(str(entry.family) for entry in catalog.entries("layer")))


def layer_case(family: str) -> Case:
    """A network in which each layer of a family is a branch of its own, with the arguments of the shape cases.

    Each input goes through a PReLU that the branches share, so that the gradients of a layer's inputs count too. Of
    layers that step through time, which take long to trace, only the first case is taken.
    """
    entries = [entry for entry in catalog.entries("layer") if entry.family == family]
    taken = {entry.type: CASES[entry.type][: 1 if family == "rnn" else None] for entry in entries}
    cases = [(name, arguments, list(shapes)) for name in taken for arguments, *shapes in taken[name]]
    return branches([case for case in cases if _is_fixed(*case)])


def _is_fixed(type_name: str, arguments: dict[str, Any], shapes: list[Shape]) -> bool:
    """Whether the size of what the layer makes is known once that of its inputs is."""
    fixed = [tuple(size or OPEN for size in shape) for shape in shapes]
    return None not in infer(layer(type_name, arguments), fixed).output_shape


def branches(cases: Sequence[tuple[str, dict[str, Any], list[Shape]]], **changes: Any) -> Case:
    """A network that adds up what each of these layers makes of inputs of its shapes."""
    inputs: dict[str, Shape] = {}
    layers: list[Layer] = []
    ends: list[str] = []
    for number, (type_name, arguments, shapes) in enumerate(cases):
        fed = [_feed(index, shape, _takes_indexes(type_name, arguments), inputs) for index, shape in enumerate(shapes)]
        layers.append(named(f"b{number}", type_name, arguments, *fed))
        layers.append(named(f"b{number}-flat", "Flatten", {}, f"b{number}"))
        layers.append(named(f"b{number}-end", "Dense", {"units": 1}, f"b{number}-flat"))
        ends.append(f"b{number}-end")
    shared = [
        named(f"{name}-in", "PReLU", {"alpha_initializer": {"type": "Constant", "value": 0.5}}, name) for name in inputs
    ]
    layers = [*[one for one in shared if one.inputs[0].startswith("f")], *layers]
    if len(ends) > 1:
        layers.append(named("sum", "Add", {}, *ends))
    network = Network(
        inputs=tuple(Input(name=name, shape=inputs[name], dtype=_dtype(name), pointer="") for name in inputs),
        layers=tuple(layers),
        outputs=(layers[-1].name,),
    )
    x = tuple(_data(name, inputs[name]) for name in inputs)
    return Case(network=network, shapes=inputs, x=x, y=(floats(ROWS, 1, seed=1),)).but(**changes)


def _takes_indexes(type_name: str, arguments: dict[str, Any]) -> bool:
    return {type_name, arguments.get("layer", {}).get("type")} & {"Embedding", "CategoryEncoding"} != set()


def _feed(index: int, shape: Shape, indexes: bool, inputs: dict[str, Shape]) -> str:
    fixed = tuple(size or OPEN for size in shape)
    name = f"{'i' if indexes else 'f'}{index}-{'-'.join(map(str, fixed))}"
    inputs[name] = fixed
    return name if indexes else f"{name}-in"


def _dtype(name: str) -> str:
    return "int32" if name.startswith("i") else "float32"


def _data(name: str, shape: Shape) -> Array:
    sizes = [size or OPEN for size in shape]
    if _dtype(name) == "int32":
        return np.random.default_rng(sizes).integers(0, 3, (ROWS, *sizes)).astype("int32")
    return floats(ROWS, *sizes)


def dense_case(kind: str, values: Sequence[Any]) -> Case:
    """A network with a Dense of its own for each activation, initializer, regularizer or constraint."""
    if kind == "activation":
        given: list[dict[str, Any]] = [{"activation": value} for value in values]
    else:
        given = [{f"kernel_{kind}": value, f"bias_{kind}": _of_a_vector(value)} for value in values]
    return branches([("Dense", {"units": 5, **arguments}, [(5,)]) for arguments in given])


def _of_a_vector(value: Any) -> Any:
    """The value, or what stands for it where it takes matrices alone."""
    name = value if isinstance(value, str) else value["type"]
    return {"Identity": "Zeros", "Orthogonal": "Zeros", "OrthogonalRegularizer": None}.get(name, value)


#: Arguments where Keras has no default, or where the default does nothing.
CHOICES: dict[str, dict[str, dict[str, Any]]] = {
    "activation": {},
    "initializer": {"Constant": {"value": 0.25}},
    "regularizer": {},
    "constraint": {"MaxNorm": {"max_value": 0.5}, "MinMaxNorm": {"min_value": 0.2, "max_value": 0.5, "rate": 0.5}},
}


def choices(kind: str) -> list[Any]:
    """Every entry of a kind, by its name and, where it has arguments, as an object."""
    named_alone = [entry.type for entry in catalog.entries(kind)]
    given = CHOICES[kind]
    return [*named_alone, *({"type": entry.type, **given.get(entry.type, {})} for entry in catalog.entries(kind))]


#: What each loss compares: which of the targets below, and the activation of the output.
LOSSES: dict[str, tuple[str, str]] = {
    "BinaryCrossentropy": ("yes or no", "sigmoid"),
    "BinaryFocalCrossentropy": ("yes or no", "sigmoid"),
    "CategoricalCrossentropy": ("one-hot", "softmax"),
    "CategoricalFocalCrossentropy": ("one-hot", "softmax"),
    "CategoricalGeneralizedCrossEntropy": ("classes", "softmax"),
    "CategoricalHinge": ("one-hot", "tanh"),
    "Circle": ("classes", "linear"),
    "CosineSimilarity": ("numbers", "linear"),
    "Dice": ("one-hot", "softmax"),
    "Hinge": ("signs", "tanh"),
    "Huber": ("numbers", "linear"),
    "KLDivergence": ("one-hot", "softmax"),
    "LogCosh": ("numbers", "linear"),
    "MeanAbsoluteError": ("numbers", "linear"),
    "MeanAbsolutePercentageError": ("numbers", "linear"),
    "MeanSquaredError": ("numbers", "linear"),
    "MeanSquaredLogarithmicError": ("counts", "softplus"),
    "Poisson": ("counts", "softplus"),
    "SparseCategoricalCrossentropy": ("classes", "softmax"),
    "SquaredHinge": ("signs", "tanh"),
    "Tversky": ("one-hot", "softmax"),
}
#: Arguments of losses that are not the defaults.
LOSS_ARGUMENTS: tuple[dict[str, Any], ...] = (
    {"type": "BinaryCrossentropy", "from_logits": True, "label_smoothing": 0.1},
    {"type": "BinaryFocalCrossentropy", "apply_class_balancing": True, "alpha": 0.3, "gamma": 1.5},
    {"type": "CategoricalCrossentropy", "from_logits": True, "label_smoothing": 0.2, "reduction": "sum"},
    {"type": "CategoricalFocalCrossentropy", "from_logits": True},
    {"type": "CategoricalGeneralizedCrossEntropy", "q": 0.7},
    {"type": "Circle", "gamma": 16.0, "margin": 0.2},
    {"type": "Dice", "axis": [1]},
    {"type": "Huber", "delta": 0.5, "reduction": "mean"},
    {"type": "SparseCategoricalCrossentropy", "from_logits": True, "ignore_class": 0},
    {"type": "MeanSquaredError", "reduction": "mean_with_sample_weight"},
    {"type": "Tversky", "alpha": 0.3, "beta": 0.7},
)

#: What each metric compares, and its arguments where Keras asks for some. One with {} is given by name too.
METRICS: dict[str, tuple[str, tuple[dict[str, Any], ...]]] = {
    "AUC": ("yes or no", ({}, {"curve": "PR", "num_thresholds": 7})),
    "Accuracy": ("counts", ({},)),
    "BinaryAccuracy": ("yes or no", ({}, {"threshold": 0.4})),
    "BinaryCrossentropy": ("yes or no", ({}, {"label_smoothing": 0.1})),
    "BinaryIoU": ("yes or no", ({}, {"target_class_ids": [0], "threshold": 0.4})),
    "CategoricalAccuracy": ("one-hot", ({},)),
    "CategoricalCrossentropy": ("one-hot", ({},)),
    "CategoricalHinge": ("one-hot", ({},)),
    "ConcordanceCorrelation": ("numbers", ({},)),
    "CosineSimilarity": ("numbers", ({},)),
    "F1Score": ("one-hot", ({"average": "macro"}, {"average": "micro", "threshold": 0.4})),
    "FBetaScore": ("one-hot", ({"average": "weighted", "beta": 2.0},)),
    "FalseNegatives": ("yes or no", ({}, {"thresholds": 0.4})),
    "FalsePositives": ("yes or no", ({},)),
    "Hinge": ("signs", ({},)),
    "IoU": ("yes or no", ({"num_classes": 2, "target_class_ids": [0], "sparse_y_pred": True},)),
    "KLDivergence": ("one-hot", ({},)),
    "LogCoshError": ("numbers", ({},)),
    "MeanAbsoluteError": ("numbers", ({},)),
    "MeanAbsolutePercentageError": ("numbers", ({},)),
    "MeanIoU": ("yes or no", ({"num_classes": 2},)),
    "MeanSquaredError": ("numbers", ({},)),
    "MeanSquaredLogarithmicError": ("counts", ({},)),
    "OneHotIoU": ("one-hot", ({"num_classes": 3, "target_class_ids": [0, 2]},)),
    "OneHotMeanIoU": ("one-hot", ({"num_classes": 3},)),
    "PearsonCorrelation": ("numbers", ({},)),
    "Poisson": ("counts", ({},)),
    "Precision": ("yes or no", ({}, {"thresholds": 0.4}, {"top_k": 1, "class_id": 0})),
    "PrecisionAtRecall": ("yes or no", ({"recall": 0.5, "num_thresholds": 9},)),
    "R2Score": ("numbers", ({}, {"class_aggregation": "variance_weighted_average"})),
    "Recall": ("yes or no", ({},)),
    "RecallAtPrecision": ("yes or no", ({"precision": 0.5},)),
    "RootMeanSquaredError": ("numbers", ({},)),
    "SensitivityAtSpecificity": ("yes or no", ({"specificity": 0.5},)),
    "SparseCategoricalAccuracy": ("classes", ({},)),
    "SparseCategoricalCrossentropy": ("classes", ({},)),
    "SparseTopKCategoricalAccuracy": ("classes", ({"k": 2},)),
    "SpecificityAtSensitivity": ("yes or no", ({"sensitivity": 0.5},)),
    "SquaredHinge": ("signs", ({},)),
    "TopKCategoricalAccuracy": ("one-hot", ({"k": 2},)),
    "TrueNegatives": ("yes or no", ({},)),
    "TruePositives": ("yes or no", ({},)),
    "accuracy": ("one-hot", ()),
}
TARGETS = tuple(dict.fromkeys(target for target, _ in LOSSES.values()))


def loss_case(losses: Sequence[Any]) -> Case:
    """A network with an output for each loss, all fed by one layer."""
    kinds = [LOSSES[loss if isinstance(loss, str) else loss["type"]] for loss in losses]
    activations = [_logits(loss) or activation for loss, (_, activation) in zip(losses, kinds, strict=True)]
    return _headed([target for target, _ in kinds], activations, losses=tuple(losses))


def metric_case(target: str, *, weighted: bool) -> Case:
    """A network with one output that is measured by every metric for such targets, by name and as an object."""
    loss = {"yes or no": "binary_crossentropy", "one-hot": "mse", "classes": "sparse_categorical_crossentropy"}
    activation = next(activation for kind, activation in LOSSES.values() if kind == target)
    given = {name: cases for name, (kind, cases) in METRICS.items() if kind == target}
    metrics = [{"type": name, **arguments} for name in given for arguments in given[name]]
    names = [name for name in given if {} in given[name] or not given[name]]
    case = _headed([target], [activation], losses=(loss.get(target, "mse"),), metrics=((*names, *metrics),))
    return case.but(weight=np.linspace(0.1, 2, ROWS * 2).astype("float32")) if weighted else case


def _logits(loss: Any) -> str | None:
    return "linear" if isinstance(loss, dict) and loss.get("from_logits") else None


def _headed(targets: Sequence[str], activations: Sequence[str], **changes: Any) -> Case:
    """A network with an output of three units for each target; one alone is its own name's end."""
    heads = [
        named(f"o{number}", "Dense", {"units": 3, "activation": activation}, "body")
        for number, activation in enumerate(activations)
    ]
    network = Network(
        inputs=(Input(name="x", shape=(4,), dtype="float32", pointer=""),),
        layers=(named("body", "Dense", {"units": 5, "activation": "tanh"}, "x"), *heads),
        outputs=tuple(head.name for head in heads),
    )
    rows = 2 * ROWS
    y = tuple(target(kind, rows) for kind in targets)
    metrics = tuple(() for _ in targets)
    case = Case(network=network, shapes={"x": (4,)}, x=(floats(rows, 4),), y=y, metrics=metrics)
    # The last batch is not full, and the last rows are for validation.
    return case.but(batch_size=5, validation_split=0.25, **changes)


def target(kind: str, rows: int) -> Array:
    """Targets for an output of three units."""
    numbers = floats(rows, 3, seed=2)
    classes = np.arange(rows) * 5 % 7 % 3
    made = {
        "numbers": numbers,
        "yes or no": (numbers > 0).astype("float32"),
        "signs": np.where(numbers > 0, 1, -1).astype("float32"),
        "counts": np.round(np.abs(numbers) * 2),
        "one-hot": np.eye(3, dtype="float32")[classes],
        "classes": classes.astype("int64"),
    }
    return made[kind]


_SCHEDULED: dict[str, Any] = {"initial_learning_rate": 0.1}
SCHEDULES: dict[str, dict[str, Any]] = {
    "CosineDecay": {**_SCHEDULED, "decay_steps": 5, "warmup_target": 0.2, "warmup_steps": 2},
    "CosineDecayRestarts": {**_SCHEDULED, "first_decay_steps": 2},
    "ExponentialDecay": {**_SCHEDULED, "decay_steps": 2, "decay_rate": 0.5, "staircase": True},
    "InverseTimeDecay": {**_SCHEDULED, "decay_steps": 2, "decay_rate": 0.5},
    "PiecewiseConstantDecay": {"boundaries": [2, 4], "values": [0.1, 0.05, 0.01]},
    "PolynomialDecay": {**_SCHEDULED, "decay_steps": 4, "power": 2.0, "cycle": True},
}

#: Arguments that every optimizer has, each of which changes what it does; not all of which go together.
OPTIMIZER_ARGUMENTS: tuple[dict[str, Any], ...] = (
    {"weight_decay": 0.01, "clipnorm": 0.5},
    {"clipvalue": 0.01, "use_ema": True, "ema_momentum": 0.9, "ema_overwrite_frequency": 3},
    {"global_clipnorm": 0.1, "use_ema": True},
    {"gradient_accumulation_steps": 2},
)
#: Arguments of one optimizer that change what it computes.
OPTIMIZERS: tuple[dict[str, Any], ...] = (
    {"type": "SGD", "momentum": 0.9, "nesterov": True},
    {"type": "RMSprop", "momentum": 0.5, "centered": True},
    {"type": "Adam", "amsgrad": True},
    {"type": "Adafactor", "relative_step": False},
    {"type": "Ftrl", "l1_regularization_strength": 0.01, "l2_regularization_strength": 0.01, "beta": 0.1},
    {"type": "Muon", "exclude_embeddings": False, "nesterov": False},
)


def optimizer_case(optimizer: Any) -> Case:
    """A network with a matrix, a vector, an embedding and a factor of its own, all of them learning."""
    return branches(
        [
            ("Dense", {"units": 5, "activation": "tanh"}, [(5,)]),
            ("Embedding", {"input_dim": 3, "output_dim": 2}, [(4,)]),
        ],
        optimizer=optimizer,
        batch_size=4,
        epochs=3,
    )
