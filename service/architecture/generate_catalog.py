"""Write catalog.json: names and defaults come from the installed Keras, types and bounds from the tables below."""

import inspect
import json
import math
import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import keras

TARGET = Path(__file__).with_name("catalog.json")

Rule = dict[str, Any]

#: What is offered of each kind. The ranks of a class are written once: `Conv{1,2,3}D`.
OFFERED = {
    "layer": (
        "Dense EinsumDense Embedding Masking Identity Conv{1,2,3}D Conv{1,2,3}DTranspose SeparableConv{1,2}D "
        "DepthwiseConv{1,2}D MaxPooling{1,2,3}D AveragePooling{1,2,3}D GlobalMaxPooling{1,2,3}D "
        "GlobalAveragePooling{1,2,3}D SimpleRNN LSTM GRU Bidirectional TimeDistributed ConvLSTM{1,2,3}D "
        "BatchNormalization LayerNormalization GroupNormalization RMSNormalization UnitNormalization "
        "SpectralNormalization Attention AdditiveAttention MultiHeadAttention GroupQueryAttention Reshape Flatten "
        "RepeatVector Permute Cropping{1,2,3}D ZeroPadding{1,2,3}D UpSampling{1,2,3}D Add Subtract Multiply Average "
        "Maximum Minimum Concatenate Dot Dropout SpatialDropout{1,2,3}D GaussianNoise GaussianDropout AlphaDropout "
        "ActivityRegularization Activation ReLU LeakyReLU PReLU ELU Softmax Normalization Rescaling RandomFlip "
        "RandomRotation RandomZoom RandomTranslation RandomContrast RandomBrightness Resizing CenterCrop"
    ),
    # Not `threshold`, which has required arguments, and not `glu`, which halves the axis it is applied to.
    "activation": (
        "celu elu exponential gelu hard_shrink hard_sigmoid hard_silu hard_tanh leaky_relu linear log_sigmoid "
        "log_softmax mish relu relu6 selu sigmoid silu soft_shrink softmax softplus softsign sparse_plus "
        "sparse_sigmoid sparsemax squareplus tanh tanh_shrink"
    ),
    "initializer": (
        "Constant GlorotNormal GlorotUniform HeNormal HeUniform Identity LecunNormal LecunUniform Ones Orthogonal "
        "RandomNormal RandomUniform TruncatedNormal VarianceScaling Zeros"
    ),
    "regularizer": "L1 L1L2 L2 OrthogonalRegularizer",
    "constraint": "MaxNorm MinMaxNorm NonNeg UnitNorm",
    "loss": (
        "BinaryCrossentropy BinaryFocalCrossentropy CategoricalCrossentropy CategoricalFocalCrossentropy "
        "CategoricalGeneralizedCrossEntropy CategoricalHinge Circle CosineSimilarity Dice Hinge Huber KLDivergence "
        "LogCosh MeanAbsoluteError MeanAbsolutePercentageError MeanSquaredError MeanSquaredLogarithmicError Poisson "
        "SparseCategoricalCrossentropy SquaredHinge Tversky"
    ),
    "optimizer": "SGD RMSprop Adam AdamW Adadelta Adagrad Adamax Adafactor Nadam Ftrl Lion Lamb Muon",
    "schedule": (
        "CosineDecay CosineDecayRestarts ExponentialDecay InverseTimeDecay PiecewiseConstantDecay PolynomialDecay"
    ),
    "metric": (
        "AUC Accuracy BinaryAccuracy BinaryCrossentropy BinaryIoU CategoricalAccuracy CategoricalCrossentropy "
        "CategoricalHinge ConcordanceCorrelation CosineSimilarity F1Score FBetaScore FalseNegatives FalsePositives "
        "Hinge IoU KLDivergence LogCoshError MeanAbsoluteError MeanAbsolutePercentageError MeanIoU MeanSquaredError "
        "MeanSquaredLogarithmicError OneHotIoU OneHotMeanIoU PearsonCorrelation Poisson Precision PrecisionAtRecall "
        "R2Score Recall RecallAtPrecision RootMeanSquaredError SensitivityAtSpecificity SparseCategoricalAccuracy "
        "SparseCategoricalCrossentropy SparseTopKCategoricalAccuracy SpecificityAtSensitivity SquaredHinge "
        "TopKCategoricalAccuracy TrueNegatives TruePositives"
    ),
    "callback": "EarlyStopping ReduceLROnPlateau TerminateOnNaN",
}

MODULES: dict[str, ModuleType] = {
    "layer": keras.layers,
    "activation": keras.activations,
    "initializer": keras.initializers,
    "regularizer": keras.regularizers,
    "constraint": keras.constraints,
    "loss": keras.losses,
    "optimizer": keras.optimizers,
    "schedule": keras.optimizers.schedules,
    "metric": keras.metrics,
    "callback": keras.callbacks,
}

#: Arguments that are not offered: they carry state, places, precision, or functions, or make a graph that grows with
#: the data. A client may send one of them only with Keras's default.
LEFT_OUT = frozenset(
    "self args kwargs name dtype weights lora_rank lora_alpha quantization_config gptq_unpacked_column_size return_state "
    "stateful unroll use_cudnn flash_attention renorm renorm_clipping renorm_momentum synchronized input_axes "
    "output_axes loss_scale_factor exclude_layers verbose raise_error".split()
)

#: A metric's name is what the client sees among the results, so this one kind keeps it.
KEPT = frozenset({("metric", "name")})


def integer(minimum: int, maximum: int) -> Rule:
    return {"type": "integer", "minimum": minimum, "maximum": maximum}


def number(minimum: float = -1e9, maximum: float = 1e9) -> Rule:
    return {"type": "number", "minimum": minimum, "maximum": maximum}


def positive(maximum: float = 1e9) -> Rule:
    return {"type": "number", "exclusive_minimum": 0, "maximum": maximum}


def below(bound: float) -> Rule:
    return {"type": "number", "minimum": 0, "exclusive_maximum": bound}


def string(*choices: str) -> Rule:
    return {"type": "string", "choices": list(choices)}


def text(pattern: str) -> Rule:
    return {"type": "string", "pattern": pattern}


def integers(minimum: int, maximum: int, length: int | str | None = None, scalar: bool = True) -> Rule:
    """A list, or with `scalar` one integer, which is spread over `length`. The length "rank" is the class's own."""
    rule: Rule = {"type": "integers", "minimum": minimum, "maximum": maximum, "scalar": scalar}
    return rule if length is None else rule | {"length": length}


def numbers(minimum: float, maximum: float, length: int | None = None, scalar: bool = True) -> Rule:
    """A list, or with `scalar` a single number, which keeps its own meaning."""
    rule: Rule = {"type": "numbers", "minimum": minimum, "maximum": maximum, "scalar": scalar}
    return rule if length is None else rule | {"length": length}


SIZE = 1_048_576
BOOLEAN: Rule = {"type": "boolean"}
AXIS = integer(-16, 16) | {"type": "axis"}
AXES = integers(-16, 16)
UNIT = number(0, 1)
FACTOR = numbers(-1, 1, length=2)
CROP = integers(0, 65_536, length=2)
PAIRS = {"type": "pairs", "minimum": 0, "maximum": 65_536, "length": "rank"}
WORD = text(r"^[A-Za-z][A-Za-z0-9_-]{0,63}$")
IMAGE_INTERPOLATIONS = ("nearest", "bilinear", "bicubic", "lanczos3", "lanczos5")

#: The first that fits is taken: "Class.argument", "kind.argument", then the words of BY_WORDS, then "argument".
BY_CLASS: dict[str, Rule] = {
    "Activation.activation": {"type": "activation"},
    "Conv1D.padding": string("valid", "same", "causal"),
    "DepthwiseConv1D.padding": string("valid", "same"),
    "ZeroPadding1D.padding": CROP,
    "ZeroPadding2D.padding": PAIRS,
    "ZeroPadding3D.padding": PAIRS,
    "Cropping1D.cropping": CROP,
    "UpSampling1D.size": integer(1, 1024),
    "UpSampling2D.interpolation": string(*IMAGE_INTERPOLATIONS),
    "Resizing.interpolation": string(*IMAGE_INTERPOLATIONS),
    "Resizing.fill_mode": string("constant"),
    "RandomRotation.factor": FACTOR,
    "RandomContrast.factor": numbers(0, 1, length=2),
    "RandomBrightness.factor": FACTOR,
    "RandomFlip.mode": string("horizontal", "vertical", "horizontal_and_vertical"),
    "BatchNormalization.momentum": UNIT,
    "LayerNormalization.axis": AXES,
    "RMSNormalization.axis": AXES,
    "UnitNormalization.axis": AXES,
    "Softmax.axis": AXES,
    "Normalization.axis": AXES | {"nullable": True},
    "Normalization.mean": numbers(-1e30, 1e30) | {"nullable": True},
    "Normalization.variance": numbers(0, 1e30) | {"nullable": True},
    "GroupNormalization.groups": integer(-1, SIZE),
    "EinsumDense.output_shape": {"type": "shape", "minimum": 1, "maximum": SIZE, "nulls": True, "scalar": True},
    "EinsumDense.bias_axes": text(r"^[A-Za-z]{1,16}$"),
    "MultiHeadAttention.output_shape": {"type": "shape", "minimum": 1, "maximum": SIZE, "scalar": True},
    "Bidirectional.merge_mode": string("concat", "sum", "mul", "ave"),
    "ReLU.threshold": number(0),
    "ReLU.max_value": number(0),
    "ReLU.negative_slope": number(0),
    "MaxNorm.max_value": number(0),
    "OrthogonalRegularizer.factor": number(0, 1e6),
    "OrthogonalRegularizer.mode": string("rows", "columns"),
    "VarianceScaling.mode": string("fan_in", "fan_out", "fan_avg"),
    "ReduceLROnPlateau.factor": {"type": "number", "minimum": 0, "exclusive_maximum": 1},
    "EarlyStopping.mode": string("auto", "min", "max"),
    "ReduceLROnPlateau.mode": string("auto", "min", "max"),
    "AUC.thresholds": numbers(0, 1, scalar=False),
    "Circle.gamma": positive(1e6),
    "Dice.axis": AXES | {"nullable": True},
    "Tversky.axis": AXES | {"nullable": True},
    "FBetaScore.beta": positive(1e6),
    "F1Score.threshold": positive(1),
    "FBetaScore.threshold": positive(1),
    "CosineDecay.alpha": UNIT,
    "CosineDecayRestarts.alpha": UNIT,
    "Ftrl.beta": number(0),
    "Adafactor.weight_decay": number(0, 1e6),
    "Embedding.input_dim": integer(1, 16_777_216),
    "ActivityRegularization.l1": number(0, 1e6),
}
BY_KIND: dict[str, Rule] = {
    "loss.alpha": UNIT,
    "loss.beta": UNIT,
    "loss.gamma": number(0, 1000),
    "constraint.axis": AXES,
    "constraint.rate": UNIT,
    "metric.threshold": number(),
    "metric.name": WORD,
}
#: A word of a name that gives the type of all arguments that end in it.
BY_WORDS: dict[str, Rule] = {
    "_initializer": {"type": "initializer"},
    "_regularizer": {"type": "regularizer", "nullable": True},
    "_constraint": {"type": "constraint", "nullable": True},
    "_factor": FACTOR,
    "activation": {"type": "activation", "nullable": True},
}
BY_NAME: dict[str, Rule] = {
    name: rule
    for names, rule in {
        "use_bias center mask_zero use_scale keepdims return_sequences go_backwards unit_forget_bias "
        "reset_after invert normalize use_gate crop_to_aspect_ratio pad_to_aspect_ratio antialias from_logits "
        "apply_class_balancing remove_diagonal nesterov centered amsgrad use_ema relative_step exclude_embeddings "
        "staircase cycle multi_label sparse_y_true sparse_y_pred from_sorted_ids restore_best_weights trainable": BOOLEAN,
        "units filters output_dim key_dim value_dim head_dim n": integer(1, SIZE),
        "num_heads num_query_heads num_key_value_heads": integer(1, 4096),
        "groups depth_multiplier": integer(1, SIZE),
        "sliding_window height width": integer(1, 65_536),
        "kernel_size strides dilation_rate pool_size size": integers(1, 1024, length="rank"),
        "output_padding": integers(0, 1023, length="rank"),
        "axis": AXIS,
        "attention_axes shared_axes": integers(-16, 16),
        "axes": integers(-16, 16, length=2),
        "dims": integers(1, 16, scalar=False),
        "cropping": PAIRS,
        "target_shape": {"type": "shape", "minimum": -1, "maximum": SIZE, "scalar": False},
        "noise_shape": {"type": "shape", "minimum": 1, "maximum": SIZE, "nulls": True, "scalar": False},
        "equation": text(r"^(\.\.\.)?[A-Za-z]{1,16}(\.\.\.)?,[A-Za-z]{1,16}->(\.\.\.)?[A-Za-z]{1,16}(\.\.\.)?$"),
        "padding": string("valid", "same"),
        "data_format": string("channels_last", "channels_first"),
        "fill_mode": string("reflect", "wrap", "constant", "nearest"),
        "interpolation": string("nearest", "bilinear"),
        "score_mode": string("dot", "concat"),
        "power_iterations ns_steps": integer(1, 100),
        "rate dropout recurrent_dropout": below(1),
        "stddev": UNIT,
        "seed": integer(0, 2**31 - 1),
        "momentum ema_momentum rho": UNIT,
        "beta_1 beta_2 adam_beta_1 adam_beta_2": below(1),
        "epsilon epsilon_1 epsilon_2": positive(1),
        "mask_value fill_value value threshold baseline mean minval maxval": number(),
        "offset": numbers(-1e9, 1e9),
        "value_range": numbers(-1e9, 1e9, length=2, scalar=False),
        "max_value min_value margin delta gain": number(0),
        "l1 l2": number(0, 1e6),
        "negative_slope alpha": number(-1e6, 1e6),
        "distribution": string("normal", "truncated_normal", "untruncated_normal", "uniform"),
        "reduction": string("sum_over_batch_size", "sum", "mean", "mean_with_sample_weight"),
        "label_smoothing recall precision sensitivity specificity": UNIT,
        "q": positive(1),
        "ignore_class": integer(-(2**31), 2**31 - 1),
        "learning_rate": number(0, 1e6) | {"type": "number or schedule"},
        "initial_learning_rate end_learning_rate warmup_target min_lr min_delta": number(0, 1e6),
        "weight_decay adam_weight_decay": number(0, 1e6),
        "clipnorm clipvalue global_clipnorm clip_threshold adam_lr_ratio rms_rate": positive(),
        "ema_overwrite_frequency": integer(1, 10**9),
        "gradient_accumulation_steps": integer(2, 1024),
        "initial_accumulator_value l1_regularization_strength l2_regularization_strength "
        "l2_shrinkage_regularization_strength": number(0, 1e6),
        "learning_rate_power beta_2_decay": number(-100, 0),
        "muon_a muon_b muon_c": number(-1000, 1000),
        "decay_steps first_decay_steps": integer(1, 10**9),
        "warmup_steps patience cooldown start_from_epoch": integer(0, 10**9),
        "decay_rate power t_mul m_mul": number(0, 1e6),
        "boundaries": integers(0, 10**9, scalar=False),
        "values": numbers(0, 1e6, scalar=False),
        "num_thresholds": integer(2, 10_000),
        "curve": string("ROC", "PR", "PRGAIN"),
        "summation_method": string("interpolation", "minoring", "majoring"),
        "thresholds": numbers(0, 1),
        "num_labels num_classes top_k k": integer(1, SIZE),
        "class_id": integer(0, SIZE),
        "label_weights": numbers(0, 1e9, scalar=False),
        "average": string("micro", "macro", "weighted"),
        "class_aggregation": string("uniform_average", "variance_weighted_average") | {"nullable": True},
        "num_regressors": integer(0, SIZE),
        "target_class_ids": integers(0, SIZE, scalar=False),
        "monitor": WORD,
    }.items()
    for name in names.split()
}
#: `scale` is a switch on normalizations, and a number elsewhere.
BY_CLASS |= {
    f"{name}.scale": BOOLEAN for name in ("BatchNormalization", "LayerNormalization", "GroupNormalization")
} | {"Rescaling.scale": numbers(-1e9, 1e9), "VarianceScaling.scale": positive()}

#: How many layers feed one; all others take one.
INPUTS = {"Attention": (2, 3), "AdditiveAttention": (2, 3), "MultiHeadAttention": (2, 3), "GroupQueryAttention": (2, 3)}
INPUTS |= {"Subtract": (2, 2), "Dot": (2, 2)}
MERGED = (2, 64)

KERNELS = ("Dense", "EinsumDense", "Embedding", "Conv", "SeparableConv", "DepthwiseConv")
RECURRENT = ("SimpleRNN", "LSTM", "GRU", "ConvLSTM1D", "ConvLSTM2D", "ConvLSTM3D")


def generate() -> list[dict[str, Any]]:
    """Return every entry of the catalog, ready for JSON; an argument that no table knows is a KeyError."""
    entries = [_entry(kind, name) for kind, names in OFFERED.items() for name in _expand(names)]
    single = [e["type"] for e in entries if e.get("inputs") == [1, 1] and e["type"] not in ("Normalization", "Masking")]
    for entry in entries:
        for argument in entry["arguments"]:
            if argument["name"] in ("layer", "backward_layer"):
                argument["choices"] = _wrapped(entry["type"], single)
    return entries + [_named("accuracy", "acc"), _named("crossentropy", "ce")]


def dump(entries: list[dict[str, Any]]) -> str:
    """Write the entries with one argument a line, so that a difference is read easily."""
    return "[\n" + ",\n".join(_dump_entry(entry) for entry in entries) + "\n]\n"


def _dump_entry(entry: dict[str, Any]) -> str:
    rows = [f'"{key}": {json.dumps(value)}' for key, value in entry.items() if key != "arguments"]
    lines = ",\n    ".join(json.dumps(argument) for argument in entry["arguments"])
    rows.append('"arguments": [' + (f"\n    {lines}\n  " if lines else "") + "]")
    return "  {" + ", ".join(rows) + "}"


def _expand(names: str) -> Iterator[str]:
    for name in names.split():
        ranks = re.search(r"\{(.*)\}", name)
        yield from [name.replace(ranks[0], rank) for rank in ranks[1].split(",")] if ranks else [name]


def _entry(kind: str, name: str) -> dict[str, Any]:
    found = getattr(MODULES[kind], name)
    entry: dict[str, Any] = {"kind": kind, "type": name, "aliases": _aliases(kind, name, found)}
    parameters = {} if kind == "activation" else _parameters(found)
    if kind == "layer":
        entry["family"] = found.__module__.split(".")[3]
        entry["inputs"] = list(INPUTS.get(name, MERGED if entry["family"] == "merging" else (1, 1)))
        parameters |= {"trainable": True} if "kwargs" in parameters else {}
    omitted = {key for key in parameters if key in LEFT_OUT and (kind, key) not in KEPT}
    entry["left_out"] = {key: parameters[key] for key in sorted(omitted) if parameters[key] is not inspect.Parameter.empty}
    entry["arguments"] = [_argument(kind, name, key, parameters[key]) for key in parameters if key not in omitted]
    return entry


def _parameters(found: Any) -> dict[str, Any]:
    """Return the defaults of a class by name; one that takes nothing of its own inherits `object`'s `*args`."""
    return {key: parameter.default for key, parameter in inspect.signature(found.__init__).parameters.items()}


def _argument(kind: str, name: str, key: str, default: Any) -> dict[str, Any]:
    rule = dict(_rule(kind, name, key))
    if rule.get("length") == "rank":
        rule["length"] = int(name.rstrip("Transpose")[-2])
    if default is inspect.Parameter.empty:
        return {"name": key} | rule | {"required": True}
    if isinstance(default, float) and not math.isfinite(default):
        raise ValueError(f"{name}.{key} has the default {default}, which JSON cannot hold")
    nested = rule["type"] in MODULES and isinstance(default, str)
    return {"name": key} | rule | {"default": _canonical(rule["type"], default) if nested else default} | (
        {"nullable": True} if default is None else {}
    )


def _rule(kind: str, name: str, key: str) -> Rule:
    if key in ("layer", "backward_layer"):
        return {"type": "layer"}
    words = [rule for word, rule in BY_WORDS.items() if key.endswith(word)]
    for rule in (BY_CLASS.get(f"{name}.{key}"), BY_KIND.get(f"{kind}.{key}"), BY_NAME.get(key), *words):
        if rule is not None:
            return rule
    raise KeyError(f"{kind} {name} has an argument {key!r} of which no table knows the type")


def _canonical(kind: str, name: str) -> str:
    found: Any = MODULES[kind].get(name)
    return str(found.__name__ if kind == "activation" else type(found).__name__)


def _aliases(kind: str, name: str, found: Any) -> list[str]:
    """Return the other names that Keras's own `get` takes for the same thing; functions stand for their class."""
    module = MODULES[kind]
    known = {key: getattr(module, key) for key in dir(module) if kind != "schedule"}
    known |= getattr(getattr(keras.src, f"{kind}s", None), "ALL_OBJECTS_DICT", {})
    function = known.get(keras.src.utils.naming.to_snake_case(name)) if kind == "loss" else found
    names = {key for key, value in known.items() if value is found or (value is function and value is not None)}
    names |= {name.lower()} if kind == "optimizer" else set()
    return sorted(names - {name, "accuracy"})


def _named(name: str, alias: str) -> dict[str, Any]:
    """Return a metric that Keras chooses itself, from the loss and the shape of the output."""
    return {"kind": "metric", "type": name, "aliases": [alias], "left_out": {}, "arguments": []}


def _wrapped(name: str, single: list[str]) -> list[str]:
    if name == "Bidirectional":
        return list(RECURRENT)
    if name == "SpectralNormalization":
        return [other for other in single if re.sub(r"\dD(Transpose)?$", "", other) in KERNELS]
    return single


if __name__ == "__main__":
    TARGET.write_text(dump(generate()), encoding="utf-8")
