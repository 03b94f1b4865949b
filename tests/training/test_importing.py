"""Files of Keras become versions that answer as Keras does, whatever of the catalog is in them."""

from pathlib import Path

import numpy as np
import pytest

from service.architecture import catalog, stored
from tests.architecture.shape_cases import CASES
from tests.training.keras_files import answers, bring, of_cases, randomize, rows, saved

LAYERS = tuple(entry.type for entry in catalog.entries("layer"))


@pytest.mark.parametrize("type_name", LAYERS)
def test_every_layer_of_the_catalog_comes_over(type_name: str, tmp_path: Path) -> None:
    """Weights are the same to the bit, and answers the same, for each case that the rules of shapes are held to."""
    cases = CASES[type_name]
    original = of_cases(type_name, cases)
    randomize(original)
    imported = bring(saved(original, tmp_path), tmp_path / "version")
    _, rebuilt = stored.load(tmp_path / "version")
    assert imported.parameters == original.count_params()
    for layer in original.layers:
        for theirs, ours in zip(layer.get_weights(), rebuilt.get_layer(layer.name).get_weights(), strict=True):
            np.testing.assert_array_equal(ours, theirs)
    given = rows(original)
    for expected, got in zip(answers(original, given), answers(rebuilt, given), strict=True):
        np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-5)
