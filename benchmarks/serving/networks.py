"""The networks that every server serves, the rows that they are trained on, and those that they are asked about."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.cases import BATCH_SIZE, dense

Array = np.ndarray[Any, Any]

SEED = 7
TRAINING_ROWS = 512
EPOCHS = 3
#: The most rows of one request.
MOST_ROWS = 1000
#: Digits after the point in the bodies: as much as scaled features or pixels have.
DECIMALS = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Network:
    """`classes` is 0 where the answer is yes or no; `row_connections` has the connections for each number of rows."""

    name: str
    title: str
    row_shape: tuple[int, ...]
    layers: tuple[Mapping[str, Any], ...]
    classes: int
    row_connections: Mapping[int, int]

    def submission(self, dataset: str) -> dict[str, Any]:
        """The request of the job that trains it."""
        loss = "sparse_categorical_crossentropy" if self.classes else "binary_crossentropy"
        return {
            "model": self.name,
            "architecture": {"layers": [dict(layer) for layer in self.layers]},
            "compile": {"loss": loss, "optimizer": "adam", "metrics": ["accuracy"]},
            "fit": {"epochs": EPOCHS, "batch_size": BATCH_SIZE},
            "seed": SEED,
            "dataset": dataset,
        }

    def training_arrays(self) -> tuple[Array, Array]:
        """Rows and labels of the short training, the same in every run."""
        x = self._rows(TRAINING_ROWS, SEED)
        sums = x.reshape(len(x), -1)[:, :10]
        return x, sums.argmax(axis=1) if self.classes else (sums.sum(axis=1) > 0).astype(np.int64)

    def rows(self, count: int) -> Array:
        """The first rows of those that are asked about, float32."""
        return self._rows(MOST_ROWS, SEED + 1)[:count]

    def _rows(self, count: int, seed: int) -> Array:
        random = np.random.default_rng(seed)
        shape = (count, *self.row_shape)
        values = random.random(shape) if self.classes else random.standard_normal(shape)
        return values.round(DECIMALS).astype(np.float32)


def _convolution(filters: int) -> dict[str, Any]:
    return {"type": "Conv2D", "filters": filters, "kernel_size": 3, "activation": "relu"}


NETWORKS = {
    network.name: network
    for network in (
        Network(
            name="dense",
            title="Dense 20-64-1",
            row_shape=(20,),
            layers=(dense(64, "relu"), dense(1, "sigmoid")),
            classes=0,
            row_connections={100: 8, 1000: 8},
        ),
        Network(
            name="conv2d",
            title="Conv2D 28x28x1",
            row_shape=(28, 28, 1),
            layers=(
                _convolution(16),
                {"type": "MaxPooling2D", "pool_size": 2},
                _convolution(32),
                {"type": "MaxPooling2D", "pool_size": 2},
                {"type": "Flatten"},
                dense(10, "softmax"),
            ),
            classes=10,
            # A body of 1000 images has 6 MB, of which some servers make a gigabyte of Python's objects.
            row_connections={100: 8, 1000: 2},
        ),
    )
}
