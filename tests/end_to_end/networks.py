"""The networks that the tests of endurance train: each is small, and has state that a careless resume would lose."""

from typing import Any

import numpy as np

#: What all of them force, since nothing may be chosen where bits are compared.
FORCED = {"seed": 11, "threads": 1}


def _rows(count: int, *shape: int) -> tuple[list[Any], list[float]]:
    """Rows with something to learn in them, and the number that is to be learnt from each."""
    random = np.random.default_rng(7)
    x = random.standard_normal((count, *shape)).round(4)
    flat = x.reshape(count, -1)
    y = np.sin(flat[:, 0] * 2) + flat[:, 1] * flat[:, 2] + 0.3 * random.standard_normal(count)
    return x.tolist(), y.round(4).tolist()


def dense(**changes: Any) -> dict[str, Any]:
    """Dense layers whose learning rate a callback lowers, and whose training another one ends before its last epoch."""
    x, y = _rows(400, 6)
    callbacks = [
        {"type": "ReduceLROnPlateau", "monitor": "val_loss", "factor": 0.7, "patience": 25},
        {"type": "EarlyStopping", "monitor": "val_loss", "patience": 150, "restore_best_weights": True},
    ]
    return {
        "model": "dense",
        "architecture": {"layers": [_layer("Dense", units=32, activation="relu"), _layer("Dense", units=1)]},
        "compile": {"loss": "mse", "optimizer": "adam", "metrics": ["mae"], "jit_compile": False},
        "fit": {"epochs": 2000, "batch_size": 8, "validation_split": 0.25, "callbacks": callbacks},
        "data": {"x": x, "y": y},
        **FORCED,
        **changes,
    }


def lstm(**changes: Any) -> dict[str, Any]:
    """An LSTM that draws random numbers at its inputs and at its recurrent state."""
    x, y = _rows(200, 10, 3)
    recurrent = _layer("LSTM", units=12, dropout=0.2, recurrent_dropout=0.2)
    return {
        "model": "lstm",
        "architecture": {"layers": [recurrent, _layer("Dropout", rate=0.1), _layer("Dense", units=1)]},
        "compile": {"loss": "mse", "optimizer": "rmsprop", "jit_compile": False},
        "fit": {"epochs": 70, "batch_size": 10, "validation_split": 0.2},
        "data": {"x": x, "y": y},
        **FORCED,
        **changes,
    }


def conv(**changes: Any) -> dict[str, Any]:
    """Convolutions with a batch normalization, whose moving averages are weights that no gradient changes."""
    x, y = _rows(200, 10, 10, 1)
    layers = [
        _layer("Conv2D", filters=8, kernel_size=3, activation="relu"),
        _layer("BatchNormalization"),
        _layer("Flatten"),
        _layer("Dense", units=1),
    ]
    optimizer = {"type": "SGD", "learning_rate": 0.001, "momentum": 0.9}
    return {
        "model": "conv",
        "architecture": {"layers": layers},
        "compile": {"loss": "mse", "optimizer": optimizer, "jit_compile": False},
        "fit": {"epochs": 240, "batch_size": 8},
        "data": {"x": x, "y": y},
        **FORCED,
        **changes,
    }


def large(**changes: Any) -> dict[str, Any]:
    """Millions of parameters, whose checkpoints take long enough to be met in the middle of one."""
    x, y = _rows(128, 64)
    units = [_layer("Dense", units=1200, activation="relu") for _ in range(3)]
    return {
        "model": "large",
        "architecture": {"layers": [*units, _layer("Dense", units=1)]},
        "compile": {"loss": "mse", "optimizer": "adam", "jit_compile": False},
        "fit": {"epochs": 16, "batch_size": 16},
        "data": {"x": x, "y": y},
        **FORCED,
        **changes,
    }


def _layer(kind: str, **arguments: Any) -> dict[str, Any]:
    return {"type": kind, **arguments}
