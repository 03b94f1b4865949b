"""The five trainings that are timed: networks as kerasd takes them, and the rows that they are trained on."""

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


CASES = {
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
