"""A version's model on disk: its canonical architecture, and its weights in a file that Keras reads."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import keras

from service.architecture.build import build
from service.architecture.graph import read_architecture
from service.architecture.network import Network
from service.errors import Fault

_WEIGHTS = "model.keras"
_NETWORK = "network.json"


def save(
    model: keras.Model, architecture: dict[str, Any], input_shapes: Mapping[str, Sequence[int | None]], folder: Path
) -> None:
    """Write the model into `folder`; `architecture` is canonical, and `input_shapes` are without the batch."""
    model.save(folder / _WEIGHTS)
    stored = {"architecture": architecture, "input_shapes": {name: list(input_shapes[name]) for name in input_shapes}}
    (folder / _NETWORK).write_text(json.dumps(stored))


def load(folder: Path, optimizer: keras.Optimizer | None = None) -> tuple[Network, keras.Model]:
    """Build a saved network anew and give it its weights, and `optimizer`, if given, the state that was saved.

    Nothing in the file that Keras wrote says what is built: the checked architecture does.
    """
    stored = json.loads((folder / _NETWORK).read_text())
    network = read_canonical(stored["architecture"])
    model = build(network, {name: tuple(shape) for name, shape in stored["input_shapes"].items()})
    if optimizer is not None:
        model.compile(optimizer=optimizer)
        optimizer.build(model.trainable_variables)
    model.load_weights(folder / _WEIGHTS)
    return network, model


def read_canonical(architecture: dict[str, Any]) -> Network:
    """Read an architecture that was checked and written by this service."""
    faults: list[Fault] = []
    network = read_architecture(architecture, "/architecture", faults)
    if network is None:
        raise ValueError(f"This release no longer reads the stored architecture: {faults[0].detail}")
    return network
