"""Versions on disk, as training leaves them, for the tests of exports and evaluations."""

from pathlib import Path
from typing import Any

import keras
import numpy as np

from service.architecture import stored
from service.architecture.build import build
from service.architecture.graph import write_architecture
from service.architecture.network import Network
from service.architecture.stored import read_canonical
from service.inference import sample
from service.inference.signature import Signature
from tests.inference.models import rows_for, signature_of


def layer(kind: str, **arguments: Any) -> dict[str, Any]:
    return {"type": kind, **arguments}


def store(
    folder: Path, layers: list[dict[str, Any]], shape: tuple[int | None, ...], *, with_sample: bool = True
) -> tuple[Network, keras.Model, Signature]:
    """Write an untrained network of one input into `folder`."""
    network = read_canonical({"layers": layers})
    name = network.inputs[0].name
    model = build(network, {name: shape})
    folder.mkdir(parents=True, exist_ok=True)
    stored.save(model, write_architecture(network), {name: list(shape)}, folder)
    signature = signature_of(model)
    if with_sample:
        sample.write(rows_for(signature, 40), folder)
    return network, model, signature


def answers(model: keras.Model, x: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """What Keras itself answers."""
    return np.asarray(model(x, training=False))
