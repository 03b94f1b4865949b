"""A PyTorch training loop: batches by tensor indexing, Adam, loss and accuracy summed up on the way as Keras does."""

import os
import tempfile
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from benchmarks.cases import BATCH_SIZE, Case, arrays
from benchmarks.peers.in_process import Fit, measure_fit
from benchmarks.plan import Plan
from benchmarks.readings import Measurement


def measure(case: Case, plan: Plan, variant: str) -> Measurement:
    """`variant` "compile" compiles the forward pass with its loss, the backward pass and the optimizer's step."""
    torch.set_num_threads(plan.threads)
    x, y = tensors(case)
    with tempfile.TemporaryDirectory() as cache:
        # Code that an earlier process compiled is not taken, so that cold is cold.
        os.environ["TORCHINDUCTOR_CACHE_DIR"] = cache
        return measure_fit(lambda: trainer(case, x, y, compiled=variant == "compile"), case, plan)


def tensors(case: Case) -> tuple[Any, Any]:
    """The data in PyTorch's own order: channels first."""
    x, y = arrays(case)
    if len(case.row_shape) == 3:
        x = x.transpose(0, 3, 1, 2).copy()
    return torch.from_numpy(x), torch.from_numpy(y).long() if case.classes else torch.from_numpy(y).float()


def trainer(case: Case, x: Any, y: Any, *, compiled: bool) -> Fit:
    """A new network, ready to be trained."""
    model = network(case)
    # Keras's defaults for Adam.
    optimizer = torch.optim.Adam(model.parameters(), lr=0.001, eps=1e-7)
    forward, update = scorer(model, case), optimizer.step
    if compiled:
        forward, update = torch.compile(forward, dynamic=False), torch.compile(update, dynamic=False)

    def fit(epochs: int) -> float:
        loss = 0.0
        for _ in range(epochs):
            loss = run_epoch(optimizer, forward, update, x, y)
        return loss

    return fit


def run_epoch(optimizer: Any, forward: Callable[..., Any], update: Callable[[], Any], x: Any, y: Any) -> float:
    """One pass in a random order; the mean loss over its rows."""
    order, total, right = torch.randperm(len(x)), torch.zeros(()), torch.zeros(())
    for first in range(0, len(x), BATCH_SIZE):
        chosen = order[first : first + BATCH_SIZE]
        optimizer.zero_grad()
        loss, hits = forward(x[chosen], y[chosen])
        loss.backward()
        update()
        total += loss.detach() * len(chosen)
        right += hits
    return float(total) / len(x)


def scorer(model: Any, case: Case) -> Callable[[Any, Any], Any]:
    """A function from a batch to its mean loss and its number of right answers; the network's output are logits."""

    def score_classes(rows: Any, answers: Any) -> Any:
        logits = model(rows)
        return nn.functional.cross_entropy(logits, answers), (logits.argmax(dim=1) == answers).sum()

    def score_yes_or_no(rows: Any, answers: Any) -> Any:
        logits = model(rows)[:, 0]
        loss = nn.functional.binary_cross_entropy_with_logits(logits, answers)
        return loss, ((logits > 0) == (answers > 0.5)).sum()

    return score_classes if case.classes else score_yes_or_no


class LastStep(nn.Module):  # type: ignore[misc]
    """The last step's output of a recurrent layer, as Keras's recurrent layers return it."""

    def __init__(self, recurrent: Any) -> None:
        super().__init__()
        self.recurrent = recurrent

    def forward(self, sequences: Any) -> Any:
        return self.recurrent(sequences)[0][:, -1]


def network(case: Case) -> Any:
    """PyTorch's counterpart of each layer; the last activation is part of the loss."""
    parts: list[Any] = []
    size = case.row_shape[-1]
    for layer in case.layers:
        match layer["type"]:
            case "Dense":
                parts.append(nn.Linear(size, layer["units"]))
                size = layer["units"]
            case "SimpleRNN":
                parts.append(LastStep(nn.RNN(size, layer["units"], batch_first=True)))
                size = layer["units"]
            case "LSTM":
                parts.append(LastStep(nn.LSTM(size, layer["units"], batch_first=True)))
                size = layer["units"]
            case "Conv2D":
                parts.append(nn.Conv2d(size, layer["filters"], layer["kernel_size"]))
            case "MaxPooling2D":
                parts.append(nn.MaxPool2d(2))
            case "Flatten":
                parts.append(nn.Flatten())
                # 32 channels of 26x26 pixels, halved by the pooling.
                size = 32 * 13 * 13
        if layer.get("activation") == "relu":
            parts.append(nn.ReLU())
    return nn.Sequential(*parts)
