"""Write catalog.json: names and defaults come from the installed Keras, types and bounds from `catalog_rules`."""

import inspect
import json
import math
import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import keras

from service.architecture.catalog_rules import BY_CLASS, BY_KIND, BY_NAME, BY_WORDS, Rule

TARGET = Path(__file__).with_name("catalog.json")

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
        "RandomRotation RandomZoom RandomTranslation RandomContrast RandomBrightness Resizing CenterCrop "
        "CategoryEncoding"
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
    "callback": "EarlyStopping ModelCheckpoint ReduceLROnPlateau TerminateOnNaN",
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
LEFT_OUT = (
    "self args kwargs name dtype weights lora_rank lora_alpha quantization_config gptq_unpacked_column_size "
    "return_state stateful sparse unroll use_cudnn flash_attention renorm renorm_clipping renorm_momentum synchronized "
    "input_axes output_axes loss_scale_factor exclude_layers verbose raise_error filepath save_weights_only save_freq"
)

#: A metric's name is what the client sees among the results, so this one kind keeps it.
KEPT = frozenset({("metric", "name")})

#: How many layers feed one; all others take one.
INPUTS = {"Attention": (2, 3), "AdditiveAttention": (2, 3), "MultiHeadAttention": (2, 3), "GroupQueryAttention": (2, 3)}
INPUTS |= {"Subtract": (2, 2), "Dot": (2, 2)}
MERGED = (2, 64)

#: What makes no sense inside of another layer, for it speaks of whole samples or learns from all of them.
UNWRAPPED = ("Normalization", "Masking", "CategoryEncoding")
KERNELS = ("Dense", "EinsumDense", "Embedding", "Conv", "SeparableConv", "DepthwiseConv")
RECURRENT = ("SimpleRNN", "LSTM", "GRU", "ConvLSTM1D", "ConvLSTM2D", "ConvLSTM3D")


def generate() -> list[dict[str, Any]]:
    """Return every entry of the catalog, ready for JSON; an argument that no table knows is a KeyError."""
    entries = [_entry(kind, name) for kind, names in OFFERED.items() for name in _expand(names)]
    single = [e["type"] for e in entries if e.get("inputs") == [1, 1] and e["type"] not in UNWRAPPED]
    for entry in entries:
        for argument in entry["arguments"]:
            if argument["name"] in ("layer", "backward_layer"):
                argument["choices"] = _wrapped(entry["type"], single)
    return [*entries, _named("accuracy", "acc")]


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
    omitted = {key for key in parameters if key in LEFT_OUT.split() and (kind, key) not in KEPT}
    entry["left_out"] = {
        key: parameters[key] for key in sorted(omitted) if parameters[key] is not inspect.Parameter.empty
    }
    entry["arguments"] = [_argument(kind, name, key, parameters[key]) for key in parameters if key not in omitted]
    return entry


def _parameters(found: Any) -> dict[str, Any]:
    """Return the defaults of a class by name; one that takes nothing of its own inherits `object`'s `*args`."""
    return {key: parameter.default for key, parameter in inspect.signature(found.__init__).parameters.items()}


def _argument(kind: str, name: str, key: str, default: Any) -> dict[str, Any]:
    rule = dict(_rule(kind, name, key))
    if rule.get("length") == "rank":
        rule["length"] = int(re.sub(r"\D", "", name))
    if default is inspect.Parameter.empty or rule.pop("required", False):
        return {"name": key} | rule | {"required": True}
    if isinstance(default, float) and not math.isfinite(default):
        raise ValueError(f"{name}.{key} has the default {default}, which JSON cannot hold")
    nested = rule["type"] in MODULES and isinstance(default, str)
    return (
        {"name": key}
        | rule
        | {"default": _canonical(rule["type"], default) if nested else default}
        | ({"nullable": True} if default is None else {})
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
    known |= getattr(getattr(keras.src, module.__name__.split(".")[-1], None), "ALL_OBJECTS_DICT", {})
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
