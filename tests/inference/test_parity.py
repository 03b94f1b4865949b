"""Every layer of the catalog is served as Keras answers, by whichever engine serves it, masked and unmasked."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from service.architecture import catalog
from service.inference.conversion import forward
from service.inference.export import export
from service.inference.runtime import Session
from service.inference.signature import Engine, Signature
from tests.architecture.shape_cases import CASES
from tests.inference.models import signature_of
from tests.training.keras_files import of_cases, randomize, rows

Arrays = dict[str, np.ndarray[Any, Any]]

LAYERS = tuple(entry.type for entry in catalog.entries("layer"))
BATCHES = (1, 2, 33)
#: What a row of a masked sequence is: six steps of three numbers.
STEPS, FEATURES = 6, 3


def cases(type_name: str) -> list[tuple[Any, ...]]:
    """The layer's cases, but for those in which Keras gives one answer run eagerly and another one compiled."""
    if type_name != "TimeDistributed":
        return CASES[type_name]
    return [case for case in CASES[type_name] if None not in case[1]]


def takes_a_mask(type_name: str) -> bool:
    """Whether the layer has a use for a mask, or passes it on, and a case of it takes one sequence of numbers."""
    arguments = sequence_arguments(type_name)
    # Of a Softmax, a mask must have the shape of its input, which that of a sequence has not.
    if arguments is None or type_name == "Softmax":
        return False
    inner = of_cases(type_name, [(arguments, (STEPS, FEATURES))])
    return all(layer.supports_masking for layer in inner.layers if not isinstance(layer, keras.layers.InputLayer))


def sequence_arguments(type_name: str) -> dict[str, Any] | None:
    """The arguments of the first case that is fed with one sequence of numbers and does not look up words."""
    for arguments, *shapes in CASES[type_name]:
        words = type_name in ("Embedding", "CategoryEncoding") or arguments.get("layer", {}).get("type") == "Embedding"
        if len(shapes) == 1 and len(shapes[0]) == 2 and not words:
            return dict(arguments)
    return None


def served(model: keras.Model, signature: Signature, given: Arrays, folder: Path) -> tuple[Engine, Callable[..., Any]]:
    """The engine that serves the model, and its answers by the outputs' names."""
    path = folder / "model.onnx"
    exported = export(model, signature, given, path)
    if exported.engine == "onnxruntime":
        return exported.engine, Session(path).run
    compiled = forward(model, signature)
    return exported.engine, lambda arrays: compiled(*(arrays[spec.name] for spec in signature.inputs))


def assert_served_as_keras_answers(model: keras.Model, given: list[np.ndarray[Any, Any]], folder: Path) -> None:
    """In batches of 1, 2 and 33 rows, to 1e-5."""
    signature = signature_of(model)
    named = {spec.name: rows for spec, rows in zip(signature.inputs, given, strict=True)}
    engine, answer = served(model, signature, named, folder)
    for size in BATCHES:
        batch = [array[:size] for array in given]
        expected = keras.tree.flatten(model.predict_on_batch(batch if len(batch) > 1 else batch[0]))
        got = answer({name: array[:size] for name, array in named.items()})
        for spec, due in zip(signature.outputs, expected, strict=True):
            came = np.asarray(got[spec.name])
            where = f"{spec.name} by {engine}, {size} rows"
            np.testing.assert_allclose(came, due, rtol=1e-5, atol=1e-5, err_msg=where)


@pytest.mark.parametrize("type_name", LAYERS)
def test_every_layer_is_served_as_keras_answers(type_name: str, tmp_path: Path) -> None:
    """Each case that the rules of shapes are held to, in one network."""
    model = of_cases(type_name, cases(type_name))
    randomize(model)
    assert_served_as_keras_answers(model, rows(model, max(BATCHES)), tmp_path)


@pytest.mark.parametrize("type_name", [name for name in LAYERS if takes_a_mask(name)])
def test_every_layer_is_served_as_keras_answers_under_a_mask(type_name: str, tmp_path: Path) -> None:
    """Rows of which the last steps are masked: one has them all, one has none."""
    inner = of_cases(type_name, [(sequence_arguments(type_name), (STEPS, FEATURES))])
    (layer,) = [one for one in inner.layers if not isinstance(one, keras.layers.InputLayer)]
    given = keras.Input((STEPS, FEATURES), name="x")
    model = keras.Model(given, layer(keras.layers.Masking()(given)))
    randomize(model)
    padded = np.random.default_rng(3).uniform(0.1, 1, (max(BATCHES), STEPS, FEATURES)).astype("float32")
    for number, row in enumerate(padded):
        row[STEPS - number % (STEPS + 1) :] = 0
    assert_served_as_keras_answers(model, [padded], tmp_path)
