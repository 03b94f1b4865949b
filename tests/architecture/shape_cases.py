"""For every layer of the catalog, arguments and input shapes that the rules are held against Keras with."""

from typing import Any

from service.architecture import catalog
from service.architecture.network import Layer, Shape
from service.errors import Fault


def layer(type_name: str, arguments: dict[str, Any], inputs: int = 1) -> Layer:
    """Make a layer with complete arguments, fed by the inputs `x0`, `x1` ..."""
    entry = catalog.find("layer", type_name)
    faults: list[Fault] = []
    assert entry is not None
    complete = catalog.check_arguments(entry, arguments, "", faults)
    assert faults == []
    names = tuple(f"x{index}" for index in range(inputs))
    return Layer(name="it", type=type_name, arguments=complete, inputs=names, pointer="/architecture/layers/0")


LSTM = {"type": "LSTM", "units": 3}
GRU = {"type": "GRU", "units": 3}
DENSE = {"type": "Dense", "units": 3}
CONV = {"type": "Conv2D", "filters": 4, "kernel_size": 3}
#: Samples for layers of one, two and three spatial axes.
SPATIAL: dict[int, Shape] = {1: (12, 2), 2: (12, 11, 2), 3: (9, 8, 7, 2)}
ANY: list[tuple[Any, ...]] = [({}, (5,)), ({}, (4, 5)), ({"trainable": False}, (None, 4, 5))]
MERGED: list[tuple[Any, ...]] = [
    ({}, (5,), (5,)),
    ({}, (4, 1, 3), (5, 3)),
    ({}, (None, 3), (None, 3)),
    ({}, (1,), (3, 4)),
]
RECURRENT: list[tuple[Any, ...]] = [
    ({"units": 4}, (6, 3)),
    ({"units": 4, "return_sequences": True, "use_bias": False}, (None, 3)),
    ({"units": 1, "go_backwards": True, "trainable": False, "return_sequences": True}, (6, 1)),
]
IMAGES: list[tuple[Any, ...]] = [({}, (8, 6, 3)), ({}, (8, 8, 1)), ({"seed": 7}, (None, None, 3))]


def each_image(arguments: dict[str, Any]) -> list[tuple[Any, ...]]:
    """The images, each with these arguments too."""
    return [({**arguments, **more}, shape) for more, shape in IMAGES]


def each_shape(arguments: dict[str, Any], *shapes: Shape) -> list[tuple[Any, ...]]:
    """The same arguments for several shapes of samples."""
    return [(arguments, shape) for shape in shapes]


#: For each layer: its arguments, then the shape of each of its inputs.
CASES: dict[str, list[tuple[Any, ...]]] = {
    "Dense": [
        ({"units": 3}, (5,)),
        ({"units": 3, "use_bias": False}, (None, 5)),
        ({"units": 1, "trainable": False, "kernel_regularizer": {"type": "L2", "l2": 0.1}}, (2, 3, 4)),
    ],
    "EinsumDense": [
        ({"equation": "ab,bc->ac", "output_shape": 7, "bias_axes": "c"}, (5,)),
        ({"equation": "...x,xy->...y", "output_shape": [4], "bias_axes": "y"}, (None, 5)),
        ({"equation": "abc,cd->abd", "output_shape": [None, 4]}, (6, 5)),
        ({"equation": "abc,cde->abde", "output_shape": [6, 4, 2], "bias_axes": "de"}, (6, 5)),
        ({"equation": "ab...,bc->ac...", "output_shape": [4], "bias_axes": "c"}, (5, 3, 2)),
    ],
    "Embedding": [
        ({"input_dim": 10, "output_dim": 4}, (7,)),
        ({"input_dim": 10, "output_dim": 4, "mask_zero": True}, (None,)),
        ({"input_dim": 3, "output_dim": 1, "trainable": False}, (2, 7)),
    ],
    "PReLU": [({}, (5,)), ({"shared_axes": [1, 2]}, (None, 6, 3)), ({"shared_axes": 1}, (6, 3))],
    "Softmax": [({}, (5,)), ({"axis": 1}, (None, 5)), ({"axis": [1, 2]}, (4, 5))],
    "Activation": [({"activation": name}, (None, 5)) for name in ("relu", "softmax", "gelu")],
    "GaussianNoise": each_shape({"stddev": 0.5}, (5,), (None, 5), (2, 3, 4)),
    "GaussianDropout": each_shape({"rate": 0.5}, (5,), (None, 5), (2, 3, 4)),
    **{
        name: [({"rate": 0.5}, (5,)), ({"rate": 0.1, "noise_shape": [None, 1, 5]}, (4, 5)), ({"rate": 0.0}, (None, 5))]
        for name in ("Dropout", "AlphaDropout")
    },
    **{f"SpatialDropout{rank}D": [({"rate": rate}, SPATIAL[rank]) for rate in (0.1, 0.5, 0.9)] for rank in SPATIAL},
    **dict.fromkeys(("Identity", "Masking", "ActivityRegularization", "ReLU", "LeakyReLU", "ELU"), ANY),
    **{
        f"Conv{rank}D": [
            ({"filters": 4, "kernel_size": 3}, SPATIAL[rank]),
            ({"filters": 4, "kernel_size": 2, "strides": 2, "padding": "same", "use_bias": False}, SPATIAL[rank]),
            ({"filters": 4, "kernel_size": 2, "dilation_rate": 2, "groups": 2}, (*(None,) * rank, 2)),
        ]
        for rank in SPATIAL
    },
    **{
        f"Conv{rank}DTranspose": [
            ({"filters": 4, "kernel_size": 3}, SPATIAL[rank]),
            ({"filters": 4, "kernel_size": 2, "strides": 3, "padding": "same", "use_bias": False}, SPATIAL[rank]),
            ({"filters": 4, "kernel_size": 3, "strides": 2, "output_padding": 1}, (*(None,) * (rank - 1), 6, 2)),
            ({"filters": 1, "kernel_size": 2, "strides": 3}, SPATIAL[rank]),
        ]
        for rank in SPATIAL
    },
    **{
        f"SeparableConv{rank}D": [
            ({"filters": 4, "kernel_size": 3}, SPATIAL[rank]),
            ({"filters": 4, "kernel_size": 2, "strides": 2, "depth_multiplier": 3}, SPATIAL[rank]),
            ({"filters": 4, "kernel_size": 2, "padding": "same", "use_bias": False}, (*(None,) * rank, 2)),
        ]
        for rank in (1, 2)
    },
    **{
        f"DepthwiseConv{rank}D": [
            ({"kernel_size": 3}, SPATIAL[rank]),
            ({"kernel_size": 2, "strides": 2, "depth_multiplier": 3}, SPATIAL[rank]),
            ({"kernel_size": 2, "padding": "same", "use_bias": False}, (*(None,) * rank, 2)),
        ]
        for rank in (1, 2)
    },
    **{
        f"{kind}Pooling{rank}D": [
            ({"pool_size": 2}, SPATIAL[rank]),
            ({"pool_size": 3, "strides": 2, "padding": "same"}, SPATIAL[rank]),
            ({"pool_size": 2, "strides": 1}, (*(None,) * rank, 2)),
        ]
        for kind in ("Max", "Average")
        for rank in SPATIAL
    },
    **{
        f"Global{kind}Pooling{rank}D": [
            ({}, SPATIAL[rank]),
            ({"keepdims": True}, SPATIAL[rank]),
            ({}, (*(None,) * rank, 2)),
        ]
        for kind in ("Max", "Average")
        for rank in SPATIAL
    },
    "SimpleRNN": RECURRENT,
    "LSTM": RECURRENT,
    "GRU": [*RECURRENT, ({"units": 4, "reset_after": False}, (6, 3))],
    **{
        f"ConvLSTM{rank}D": [
            ({"filters": 2, "kernel_size": 2}, (3, *(4,) * rank, 1)),
            ({"filters": 2, "kernel_size": 2, "padding": "same", "return_sequences": True}, (None, *(4,) * rank, 1)),
            ({"filters": 1, "kernel_size": 2, "strides": 2, "use_bias": False}, (3, *(4,) * rank, 2)),
        ]
        for rank in SPATIAL
    },
    "Bidirectional": [
        ({"layer": LSTM}, (6, 2)),
        ({"layer": {**GRU, "return_sequences": True}, "merge_mode": "sum"}, (None, 2)),
        ({"layer": LSTM, "backward_layer": {**GRU, "go_backwards": True}, "merge_mode": "ave"}, (6, 2)),
        ({"layer": {**LSTM, "trainable": False}, "merge_mode": "mul"}, (6, 2)),
    ],
    "TimeDistributed": [
        ({"layer": DENSE}, (6, 2)),
        ({"layer": CONV}, (None, 8, 8, 1)),
        ({"layer": {"type": "BatchNormalization"}}, (6, 2)),
        ({"layer": {"type": "TimeDistributed", "layer": DENSE}}, (6, 5, 2)),
    ],
    "SpectralNormalization": [
        ({"layer": DENSE}, (5,)),
        ({"layer": CONV}, (8, 8, 3)),
        ({"layer": {**CONV, "type": "Conv2DTranspose"}}, (8, 8, 3)),
        ({"layer": {"type": "DepthwiseConv2D", "kernel_size": 3, "depth_multiplier": 2}}, (8, 8, 3)),
        ({"layer": {"type": "Embedding", "input_dim": 9, "output_dim": 4}}, (6,)),
        ({"layer": {"type": "EinsumDense", "equation": "ab,bc->ac", "output_shape": 7}}, (5,)),
    ],
    "BatchNormalization": [({}, (5,)), ({"axis": 1}, (5, None)), ({"scale": False, "trainable": False}, (4, 4, 3))],
    "LayerNormalization": [({}, (5,)), ({"axis": [1, -1]}, (4, 5)), ({"center": False}, (None, 5))],
    "GroupNormalization": [({"groups": 2}, (4,)), ({"groups": -1}, (None, 6)), ({"groups": 3, "axis": 1}, (6, 2))],
    "RMSNormalization": [({}, (5,)), ({"axis": [1, 2]}, (4, 5)), ({"axis": 2}, (None, 5))],
    "UnitNormalization": [({}, (5,)), ({"axis": [1, 2]}, (4, 5)), ({"axis": 1}, (None, 5))],
    "Normalization": [
        ({}, (5,)),
        ({"axis": [1, 2]}, (4, 5)),
        ({"mean": 2.0, "variance": 3.0}, (None, 5)),
        ({"mean": [1.0, 2.0], "variance": [1.0, 4.0]}, (2,)),
    ],
    "Attention": [
        ({}, (4, 5), (6, 5)),
        ({"use_scale": True}, (4, 5), (6, 3), (6, 5)),
        ({"use_scale": True, "score_mode": "concat"}, (None, 5), (None, 5)),
    ],
    "AdditiveAttention": [
        ({}, (4, 5), (6, 5)),
        ({}, (4, 5), (6, 3), (6, 5)),
        ({"use_scale": False}, (None, 5), (None, 5)),
    ],
    "MultiHeadAttention": [
        ({"num_heads": 2, "key_dim": 3}, (4, 5), (6, 7)),
        ({"num_heads": 2, "key_dim": 3, "value_dim": 4, "output_shape": [2, 3]}, (4, 5), (6, 7), (6, 8)),
        ({"num_heads": 2, "key_dim": 3, "use_bias": False, "output_shape": 9}, (None, 5), (None, 5)),
        ({"num_heads": 2, "key_dim": 3, "attention_axes": [2], "use_gate": True}, (4, 6, 5), (4, 7, 5)),
    ],
    "GroupQueryAttention": [
        ({"head_dim": 3, "num_query_heads": 4, "num_key_value_heads": 2}, (4, 5), (6, 5)),
        ({"head_dim": 3, "num_query_heads": 4, "num_key_value_heads": 1, "use_bias": False}, (None, 5), (None, 5)),
        ({"head_dim": 2, "num_query_heads": 2, "num_key_value_heads": 2, "use_gate": True}, (4, 5), (6, 5), (6, 7)),
    ],
    "Reshape": [
        ({"target_shape": [2, 3]}, (6,)),
        ({"target_shape": [-1, 2]}, (4, 3)),
        ({"target_shape": [-1, 6]}, (None, 2, 3)),
    ],
    "Flatten": [({}, (2, 3)), ({}, (None, 3)), ({}, (5,))],
    "RepeatVector": [({"n": n}, (size,)) for n, size in ((1, 5), (3, 1), (4, 2))],
    "Permute": [({"dims": [2, 1]}, (3, 4)), ({"dims": [3, 1, 2]}, (None, 4, 5)), ({"dims": [1]}, (5,))],
    "Cropping1D": [({"cropping": n}, SPATIAL[1]) for n in (0, 1, [3, 2])],
    "Cropping3D": [({"cropping": [n, [n, 2], 1]}, SPATIAL[3]) for n in (0, 1, 3)],
    "Cropping2D": [
        ({"cropping": [2, 2]}, (8, 7, 1)),
        ({"cropping": [[1, 2], [0, 3]]}, (8, 7, 1)),
        ({"cropping": [1, 2]}, (None, 7, 1)),
    ],
    "ZeroPadding1D": [({"padding": n}, SPATIAL[1]) for n in (0, 1, [3, 2])],
    "ZeroPadding3D": [({"padding": [n, [n, 2], 1]}, SPATIAL[3]) for n in (0, 1, 3)],
    "ZeroPadding2D": [
        ({"padding": [2, 2]}, (8, 7, 1)),
        ({"padding": [[1, 2], [0, 3]]}, (8, 7, 1)),
        ({"padding": [1, 2]}, (None, 7, 1)),
    ],
    **{f"UpSampling{rank}D": [({"size": n}, SPATIAL[rank]) for n in (1, 2, 3)] for rank in SPATIAL},
    **{name: [*MERGED, ({}, (2,), (2,), (2,))] for name in ("Add", "Multiply", "Average", "Maximum", "Minimum")},
    "Subtract": MERGED,
    "Concatenate": [
        ({}, (5,), (3,)),
        ({"axis": 1}, (2, 5), (3, 5), (4, 5)),
        ({}, (None, 5), (None, 2)),
        ({"axis": 1}, (None, 5), (2, 5)),
    ],
    "Dot": [
        ({"axes": 1}, (5,), (5,)),
        ({"axes": [2, 1]}, (4, 5), (5, 3)),
        ({"axes": -1, "normalize": True}, (4, 5), (6, 5)),
    ],
    "Rescaling": each_shape({"scale": 0.5}, (5,), (4, 4, 3), (None, 2)),
    "Resizing": each_shape({"height": 4, "width": 5}, (8, 6, 3), (2, 2, 1), (None, None, 3)),
    "CenterCrop": each_shape({"height": 4, "width": 5}, (8, 6, 3), (2, 2, 1), (None, None, 3)),
    "RandomFlip": IMAGES,
    "RandomRotation": each_image({"factor": 0.1}),
    "RandomZoom": each_image({"height_factor": 0.1}),
    "RandomTranslation": each_image({"height_factor": 0.1, "width_factor": [0.0, 0.2]}),
    "RandomContrast": each_image({"factor": 0.1}),
    "RandomBrightness": each_image({"factor": [-0.1, 0.1]}),
    "CategoryEncoding": [
        ({"num_tokens": 4}, (3,)),
        ({"num_tokens": 4}, (None,)),
        ({"num_tokens": 2}, (5,)),
        ({"num_tokens": 4, "output_mode": "count"}, (5,)),
        ({"num_tokens": 4, "output_mode": "one_hot"}, (1,)),
        ({"num_tokens": 4, "output_mode": "one_hot"}, (3,)),
        ({"num_tokens": 4, "output_mode": "one_hot"}, (2, 1)),
        ({"num_tokens": 4, "output_mode": "one_hot"}, (None, 3)),
    ],
}
