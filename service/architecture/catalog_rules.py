"""The types and bounds of Keras's arguments, written by hand: what `generate_catalog` joins to Keras's names."""

from typing import Any

Rule = dict[str, Any]


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
PAIRS = {"type": "pairs", "scalar": True, "minimum": 0, "maximum": 65_536, "length": "rank"}
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
    "ModelCheckpoint.mode": string("auto", "min", "max"),
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
    # Keras has the default None, and refuses it.
    "CategoryEncoding.num_tokens": integer(1, SIZE) | {"required": True},
    "CategoryEncoding.output_mode": string("multi_hot", "one_hot", "count"),
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
        "staircase cycle multi_label sparse_y_true sparse_y_pred from_sorted_ids restore_best_weights save_best_only "
        "trainable": BOOLEAN,
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
        "mask_value fill_value value threshold initial_value_threshold baseline mean minval maxval": number(),
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
