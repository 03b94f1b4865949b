"""The trainings that are timed: networks as kerasd takes them, and the rows that they are trained on.

`COURSE` is the usual run. `SIZES` has other layers and sizes, to find a network that kerasd trains slower than `fit`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

BATCH_SIZE = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One network and its data; `classes` is 0 where the answer is yes or no.

    `graph_step_seconds` is about what a step takes as one graph without XLA. It sizes kerasd's long jobs and enters no
    result. `needs` names the library that brings the data.
    """

    name: str
    title: str
    row_shape: tuple[int, ...]
    rows: int
    layers: tuple[Mapping[str, Any], ...]
    classes: int
    graph_step_seconds: float
    needs: tuple[str, ...] = ()

    @property
    def loss(self) -> str:
        """The loss under Keras's name."""
        return "sparse_categorical_crossentropy" if self.classes else "binary_crossentropy"

    @property
    def steps(self) -> int:
        """Steps in one epoch; the last one may have fewer rows."""
        return -(-self.rows // BATCH_SIZE)


def dense(units: int, activation: str) -> dict[str, Any]:
    return {"type": "Dense", "units": units, "activation": activation}


def _size(name: str, title: str, row_shape: tuple[int, ...], step_seconds: float, *layers: dict[str, Any]) -> Case:
    """A case of `SIZES`: a network that tells yes from no in 512 rows."""
    return Case(
        name=name,
        title=title,
        row_shape=row_shape,
        rows=512,
        layers=(*layers, dense(1, "sigmoid")),
        classes=0,
        graph_step_seconds=step_seconds,
    )


def _convolution(filters: int, **more: Any) -> dict[str, Any]:
    return {"type": "Conv2D", "filters": filters, "kernel_size": 3, "activation": "relu", **more}


_POOL = {"type": "GlobalAveragePooling2D"}

SIZES = {
    case.name: case
    for case in (
        _size("dense_8", "Dense(8)", (4,), 120e-6, dense(8, "tanh")),
        _size("dense_512", "2 x Dense(512)", (512,), 4e-3, dense(512, "relu"), dense(512, "relu")),
        _size("dense_2048", "2 x Dense(2048)", (1024,), 50e-3, dense(2048, "relu"), dense(2048, "relu")),
        _size("deep", "8 x Dense(64)", (64,), 700e-6, *[dense(64, "relu")] * 8),
        _size("simple_rnn_256", "SimpleRNN(256)", (20, 64), 8e-3, {"type": "SimpleRNN", "units": 256}),
        _size("gru", "GRU(64)", (20, 32), 4e-3, {"type": "GRU", "units": 64}),
        _size("lstm_256", "LSTM(256)", (20, 64), 20e-3, {"type": "LSTM", "units": 256}),
        _size(
            "conv1d",
            "Conv1D(64)",
            (128, 16),
            3e-3,
            {"type": "Conv1D", "filters": 64, "kernel_size": 5, "activation": "relu"},
            {"type": "GlobalAveragePooling1D"},
        ),
        _size("conv2d_8", "Conv2D(8)", (16, 16, 3), 600e-6, _convolution(8), _POOL),
        _size(
            "conv2d_64",
            "2 x Conv2D(64), BatchNormalization",
            (32, 32, 3),
            60e-3,
            _convolution(64),
            {"type": "BatchNormalization"},
            _convolution(64, strides=2),
            _POOL,
        ),
        _size(
            "separable",
            "SeparableConv2D(32), Dropout",
            (32, 32, 8),
            10e-3,
            {"type": "SeparableConv2D", "filters": 32, "kernel_size": 3},
            {"type": "Dropout", "rate": 0.2},
            _POOL,
        ),
    )
}

COURSE = {
    case.name: case
    for case in (
        Case(
            name="dense",
            title="Dense(64)",
            row_shape=(20,),
            rows=1000,
            layers=(dense(64, "relu"), dense(1, "sigmoid")),
            classes=0,
            graph_step_seconds=140e-6,
        ),
        Case(
            name="simple_rnn",
            title="SimpleRNN(64)",
            row_shape=(10, 20),
            rows=1000,
            layers=({"type": "SimpleRNN", "units": 64}, dense(1, "sigmoid")),
            classes=0,
            graph_step_seconds=1100e-6,
        ),
        Case(
            name="lstm",
            title="LSTM(64)",
            row_shape=(10, 20),
            rows=1000,
            layers=({"type": "LSTM", "units": 64}, dense(1, "sigmoid")),
            classes=0,
            graph_step_seconds=1500e-6,
        ),
        Case(
            name="conv2d",
            title="Conv2D(32)",
            row_shape=(28, 28, 1),
            rows=1000,
            layers=(
                {"type": "Conv2D", "filters": 32, "kernel_size": [3, 3], "activation": "relu"},
                {"type": "MaxPooling2D"},
                {"type": "Flatten"},
                dense(10, "softmax"),
            ),
            classes=10,
            graph_step_seconds=1700e-6,
        ),
        Case(
            name="digits",
            title="digits",
            row_shape=(64,),
            rows=1797,
            layers=(dense(64, "relu"), dense(10, "softmax")),
            classes=10,
            graph_step_seconds=140e-6,
            needs=("sklearn",),
        ),
    )
}

CASES = COURSE | SIZES


def arrays(case: Case) -> tuple[np.ndarray, np.ndarray]:
    """The rows as float32 and the answers as int32: the same in every process."""
    if case.name == "digits":
        return digits()
    rng = np.random.default_rng(0)
    x = rng.normal(size=(case.rows, *case.row_shape)).astype("float32")
    flat = x.reshape(case.rows, -1)
    if not case.classes:
        return x, (flat.sum(axis=1) > 0).astype("int32")
    directions = rng.normal(size=(flat.shape[1], case.classes))
    return x, (flat @ directions).argmax(axis=1).astype("int32")


def digits() -> tuple[np.ndarray, np.ndarray]:
    """scikit-learn's 1797 scanned digits of 8x8 pixels, scaled from 0..16 to 0..1."""
    from sklearn.datasets import load_digits

    x, y = load_digits(return_X_y=True)
    return (x / 16).astype("float32"), y.astype("int32")
