"""Predictions over HTTP equal Keras's own on the same stored model, for every family of layers."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

from typing import Any

import keras
import numpy as np
import pytest

from tests.end_to_end.conftest import Service

Layers = list[dict[str, Any]]
HEAD: Layers = [{"type": "Dense", "units": 1}]


def graph(*layers: dict[str, Any], outputs: list[str]) -> dict[str, Any]:
    return {"inputs": ["x"], "layers": list(layers), "outputs": outputs}


SEQUENTIAL: dict[str, tuple[list[int], Layers]] = {
    "dense": ([5], [{"type": "Dense", "units": 4, "activation": "gelu"}]),
    "embedding": (
        [6],
        [{"type": "Embedding", "input_dim": 10, "output_dim": 3, "mask_zero": True}, {"type": "LSTM", "units": 3}],
    ),
    "masking": ([5, 3], [{"type": "Masking"}, {"type": "GRU", "units": 3}]),
    "conv1d": (
        [9, 2],
        [{"type": "Conv1D", "filters": 3, "kernel_size": 3}, {"type": "MaxPooling1D"}, {"type": "Flatten"}],
    ),
    "conv2d": (
        [8, 8, 2],
        [{"type": "Conv2D", "filters": 3, "kernel_size": 3, "strides": 2}, {"type": "GlobalAveragePooling2D"}],
    ),
    "conv3d": (
        [5, 5, 5, 1],
        [
            {"type": "Conv3D", "filters": 2, "kernel_size": 2},
            {"type": "AveragePooling3D", "pool_size": 2},
            {"type": "Flatten"},
        ],
    ),
    "separable": ([8, 8, 2], [{"type": "SeparableConv2D", "filters": 3, "kernel_size": 3}, {"type": "Flatten"}]),
    "depthwise": ([8, 8, 2], [{"type": "DepthwiseConv2D", "kernel_size": 3}, {"type": "GlobalMaxPooling2D"}]),
    "transposed": (
        [4, 4, 2],
        [{"type": "Conv2DTranspose", "filters": 2, "kernel_size": 3, "strides": 2}, {"type": "Flatten"}],
    ),
    # ONNX Runtime refuses a transposed convolution whose stride is above its kernel; TensorFlow serves it.
    "fallback": (
        [4, 4, 2],
        [
            {"type": "Conv2DTranspose", "filters": 2, "kernel_size": 2, "strides": 3, "padding": "same"},
            {"type": "Flatten"},
        ],
    ),
    "recurrent": ([6, 3], [{"type": "SimpleRNN", "units": 4, "return_sequences": True}, {"type": "LSTM", "units": 4}]),
    "bidirectional": ([6, 3], [{"type": "Bidirectional", "layer": {"type": "LSTM", "units": 3}}]),
    "timedistributed": (
        [6, 3],
        [{"type": "TimeDistributed", "layer": {"type": "Dense", "units": 2}}, {"type": "Flatten"}],
    ),
    "convlstm": ([3, 6, 6, 1], [{"type": "ConvLSTM2D", "filters": 2, "kernel_size": 3}, {"type": "Flatten"}]),
    "normalization": ([6], [{"type": "Normalization"}, {"type": "BatchNormalization"}, {"type": "LayerNormalization"}]),
    "group-normalization": (
        [4, 4, 4],
        [{"type": "GroupNormalization", "groups": 2}, {"type": "UnitNormalization"}, {"type": "Flatten"}],
    ),
    "reshaping": (
        [12],
        [
            {"type": "Reshape", "target_shape": [2, 3, 2]},
            {"type": "Permute", "dims": [2, 1, 3]},
            {"type": "UpSampling2D"},
            {"type": "ZeroPadding2D"},
            {"type": "Cropping2D"},
            {"type": "Flatten"},
        ],
    ),
    "repeat": ([4], [{"type": "RepeatVector", "n": 3}, {"type": "GRU", "units": 3}]),
    "regularization": (
        [6],
        [
            {"type": "Dropout", "rate": 0.2},
            {"type": "GaussianNoise", "stddev": 0.1},
            {"type": "ActivityRegularization", "l2": 0.01},
            {"type": "Dense", "units": 3, "kernel_regularizer": {"type": "L2", "l2": 0.01}},
        ],
    ),
    "activations": (
        [6],
        [
            {"type": "Dense", "units": 4},
            {"type": "LeakyReLU"},
            {"type": "PReLU"},
            {"type": "ELU"},
            {"type": "Activation", "activation": "swish"},
        ],
    ),
}
GRAPHS: dict[str, tuple[list[int], dict[str, Any]]] = {
    "merging": (
        [6],
        graph(
            {"name": "a", "type": "Dense", "units": 4, "inputs": "x"},
            {"name": "b", "type": "Dense", "units": 4, "inputs": "x"},
            {"name": "sum", "type": "Add", "inputs": ["a", "b"]},
            {"name": "product", "type": "Multiply", "inputs": ["a", "b"]},
            {"name": "joined", "type": "Concatenate", "inputs": ["sum", "product"]},
            {"name": "out", "type": "Dense", "units": 1, "inputs": "joined"},
            outputs=["out"],
        ),
    ),
    "attention": (
        [5, 4],
        graph(
            {"name": "attended", "type": "MultiHeadAttention", "num_heads": 2, "key_dim": 3, "inputs": ["x", "x"]},
            {"name": "plain", "type": "Attention", "inputs": ["x", "x"]},
            {"name": "sum", "type": "Add", "inputs": ["attended", "plain"]},
            {"name": "pooled", "type": "GlobalAveragePooling1D", "inputs": "sum"},
            {"name": "out", "type": "Dense", "units": 1, "inputs": "pooled"},
            outputs=["out"],
        ),
    ),
}
CASES = {
    **{name: (shape, {"layers": [*layers, *HEAD]}) for name, (shape, layers) in SEQUENTIAL.items()},
    **GRAPHS,
}


@pytest.mark.parametrize("name", CASES)
def test_predictions_equal_keras(service: Service, name: str) -> None:
    """A trained network of this family answers over HTTP what Keras answers, to 1e-5."""
    shape, architecture = CASES[name]
    rng = np.random.default_rng(0)
    tokens = name == "embedding"
    x = rng.integers(0, 10, (40, *shape)) if tokens else rng.normal(size=(40, *shape)).astype("float32")
    job = service.train(
        model=f"parity-{name}",
        architecture=architecture,
        compile={"loss": "mse"},
        fit={"epochs": 2},
        seed=2,
        data={"x": x.tolist(), "y": rng.normal(size=40).tolist()},
    )
    version = service.get(f"/v1/models/{job['model']}/versions/{job['version']}").json()
    assert version["engine"] == ("tensorflow" if name == "fallback" else "onnxruntime"), version["engine_reason"]
    stored = keras.saving.load_model(service.data / "versions" / version["id"] / "model.keras")
    assert version["parameters"] == stored.count_params()
    assert [layer["parameters"] for layer in version["summary"]] == [
        stored.get_layer(layer["name"]).count_params() for layer in version["summary"]
    ]
    for rows in (1, 2, 33):
        expected = np.asarray(stored(x[:rows].astype("float32"), training=False))
        predictions = service.predict(job["model"], x[:rows].tolist())
        np.testing.assert_allclose(predictions, expected, rtol=1e-5, atol=1e-5, err_msg=version["engine"])
