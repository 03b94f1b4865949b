"""Dense(64) with Adam written out in NumPy: what the arithmetic costs with nothing around it but Python's calls.

Parameters, gradients and moments each lie in one flat array, so that Adam is a handful of calls.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np

from benchmarks.cases import BATCH_SIZE, Case, arrays
from benchmarks.peers.in_process import Fit, measure_fit
from benchmarks.plan import Plan
from benchmarks.readings import Measurement


@dataclass(slots=True)
class Adam:
    """Parameters in one flat array with its moments, updated as in Kingma and Ba (2015), with Keras's defaults."""

    values: np.ndarray
    gradient: np.ndarray
    mean: np.ndarray
    variance: np.ndarray
    step: int = 0

    @classmethod
    def of(cls, values: np.ndarray) -> Self:
        return cls(values, np.zeros_like(values), np.zeros_like(values), np.zeros_like(values))

    def update(self) -> None:
        self.step += 1
        rate = 0.001 * (1 - 0.999**self.step) ** 0.5 / (1 - 0.9**self.step)
        self.mean += (self.gradient - self.mean) * np.float32(0.1)
        self.variance += (np.square(self.gradient) - self.variance) * np.float32(0.001)
        self.values -= np.float32(rate) * self.mean / (np.sqrt(self.variance) + np.float32(1e-7))


def measure(case: Case, plan: Plan, variant: str) -> Measurement:
    x, y = arrays(case)
    return measure_fit(lambda: trainer(case, x, y.astype("float32")), case, plan)


def trainer(case: Case, x: np.ndarray, y: np.ndarray) -> Fit:
    """A new network, ready to be trained."""
    inputs, units = case.row_shape[0], case.layers[0]["units"]
    rng = np.random.default_rng(1)
    adam = Adam.of(np.zeros(inputs * units + units + units + 1, "float32"))
    w1, _, w2, _ = views(adam.values, inputs, units)
    for weight, fan in ((w1, inputs + units), (w2, units + 1)):
        weight[...] = rng.uniform(-1, 1, weight.shape) * (6 / fan) ** 0.5

    def fit(epochs: int) -> float:
        loss = 0.0
        for _ in range(epochs):
            loss = run_epoch(adam, rng.permutation(len(x)), x, y, units)
        return loss

    return fit


def views(flat: np.ndarray, inputs: int, units: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """The two layers' kernels and biases as views of one flat array."""
    ends = np.cumsum([inputs * units, units, units])
    w1, b1, w2, b2 = np.split(flat, ends)
    return w1.reshape(inputs, units), b1, w2, b2


def run_epoch(adam: Adam, order: np.ndarray, x: np.ndarray, y: np.ndarray, units: int) -> float:
    """One pass in the given order; the mean loss over its rows."""
    w1, b1, w2, b2 = views(adam.values, x.shape[1], units)
    dw1, db1, dw2, db2 = views(adam.gradient, x.shape[1], units)
    total = right = 0.0
    for first in range(0, len(x), BATCH_SIZE):
        chosen = order[first : first + BATCH_SIZE]
        rows, answers = x[chosen], y[chosen]
        hidden = np.maximum(rows @ w1 + b1, 0)
        logits = hidden @ w2 + b2
        error = (1 / (1 + np.exp(-logits)) - answers) / np.float32(len(chosen))
        np.matmul(error, hidden, out=dw2)
        db2[0] = error.sum()
        back = np.outer(error, w2) * (hidden > 0)
        np.matmul(rows.T, back, out=dw1)
        np.sum(back, axis=0, out=db1)
        adam.update()
        total += float(np.logaddexp(0, logits).sum() - logits @ answers)
        right += float(((logits > 0) == (answers > 0.5)).sum())
    return total / len(x)
