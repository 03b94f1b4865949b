"""Files of Keras become versions that answer as Keras does, whatever of the catalog is in them."""

import random
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers

from service.architecture import catalog, stored
from service.architecture.graph import read_architecture
from service.architecture.plan import Limits
from service.errors import Invalid, StorageFull, TooLarge
from service.training import importing
from service.training.import_request import Imported
from tests.architecture.shape_cases import CASES
from tests.training import keras_files
from tests.training.keras_files import (
    answers,
    bring,
    of_cases,
    randomize,
    rows,
    saved,
    small,
    with_config,
    with_weights,
)

LAYERS = tuple(entry.type for entry in catalog.entries("layer"))


def brought(model: keras.Model, folder: Path) -> tuple[Imported, keras.Model]:
    """What a model has become, and the model that its version's folder holds."""
    imported = bring(saved(model, folder), folder / "version")
    return imported, stored.load(folder / "version")[1]


def assert_same(rebuilt: keras.Model, original: keras.Model) -> None:
    """The weights to the bit, and the answers, are those of the original."""
    for layer in original.layers:
        for theirs, ours in zip(layer.get_weights(), rebuilt.get_layer(layer.name).get_weights(), strict=True):
            np.testing.assert_array_equal(ours, theirs)
    given = rows(original)
    for expected, got in zip(answers(original, given), answers(rebuilt, given), strict=True):
        np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("type_name", LAYERS)
def test_every_layer_of_the_catalog_comes_over(type_name: str, tmp_path: Path) -> None:
    """Weights are the same to the bit, and answers the same, for each case that the rules of shapes are held to."""
    original = of_cases(type_name, CASES[type_name])
    randomize(original)
    imported, rebuilt = brought(original, tmp_path)
    assert imported.parameters == original.count_params()
    assert_same(rebuilt, original)


def graph() -> keras.Model:
    """Branches whose layers Keras saves in another order than they are built here, under names that say nothing."""
    first, second = keras.Input((4,), name="first"), keras.Input((6, 3), name="second")
    late = layers.Dense(5, "tanh", name="zeta")(first)
    early = layers.Bidirectional(layers.GRU(2), name="alpha")(second)
    merged = layers.Concatenate(name="merge")([early, late])
    one = layers.Dense(2, "softmax", name="dense_7")(layers.BatchNormalization(name="norm")(merged))
    two = layers.Dense(1, name="dense")(layers.Dense(4, "relu", name="dense_1")(late))
    model = keras.Model({"second": second, "first": first}, {"two": two, "one": one})
    randomize(model)
    return model


def test_a_graph_comes_over_whatever_its_layers_are_called(tmp_path: Path) -> None:
    """Weights are found by what Keras counts, and answers by the names of layers."""
    original = graph()
    imported, rebuilt = brought(original, tmp_path)
    given = {"first": np.ones((2, 4), "float32"), "second": np.ones((2, 6, 3), "float32")}
    theirs = original(given, training=False)
    ours = rebuilt([given[spec["name"]] for spec in imported.inputs], training=False)
    named = dict(zip([spec["name"] for spec in imported.outputs], ours, strict=True))
    np.testing.assert_allclose(named["dense_7"], theirs["one"], atol=1e-6)
    np.testing.assert_allclose(named["dense"], theirs["two"], atol=1e-6)


def test_a_model_that_was_built_by_its_first_call_comes_over(tmp_path: Path) -> None:
    """It has no Input of its own, and Keras has written one."""
    original = keras.Sequential([layers.Dense(3, "relu"), layers.Dense(2)])
    original(np.ones((1, 4), "float32"))
    randomize(original)
    imported, rebuilt = brought(original, tmp_path)
    assert imported.inputs[0]["shape"] == [4]
    assert_same(rebuilt, original)


def test_a_trained_model_comes_over_with_its_compilation(tmp_path: Path) -> None:
    """What a fit has made of it, the state of Adam included, is read; that state does not come along."""
    original = small()
    original.fit(np.ones((8, 4)), np.ones((8, 2)), verbose=0)
    imported, rebuilt = brought(original, tmp_path)
    assert_same(rebuilt, original)
    assert imported.compile is not None
    assert imported.compile["loss"] == {"out": "MeanSquaredError"}
    assert imported.compile["metrics"] == {"out": ["mae"]}
    names = sorted(path.name for path in (tmp_path / "version").iterdir())
    assert names == ["model.keras", "model.onnx", "network.json"]
    assert not any(name.startswith("optimizer") for name in keras_files.arrays(tmp_path / "version" / "model.keras"))


def test_the_facts_are_those_of_the_model(tmp_path: Path) -> None:
    """They say what is served, by what, and from which file it came."""
    imported, _ = brought(small(), tmp_path)
    assert (imported.engine, imported.engine_reason, imported.parameters) == ("onnxruntime", None, 23)
    assert imported.max_difference is not None
    assert imported.max_difference < 1e-5
    assert imported.inputs == [{"name": "x", "shape": [4], "dtype": "float32"}]
    assert imported.outputs == [{"name": "out", "shape": [2], "dtype": "float32"}]
    assert [row["name"] for row in imported.summary] == ["x", "hidden", "drop", "out"]
    assert (imported.keras_version, len(imported.file_sha256)) == (keras.__version__, 64)
    assert read_architecture(imported.architecture, "", []) is not None


def test_words_stay_in_the_vocabulary_while_the_export_is_compared(tmp_path: Path) -> None:
    """An Embedding that is reached through another layer is asked for rows that it has."""
    words = keras.Input((5,), dtype="int32", name="words")
    embedded = layers.Embedding(3, 4, mask_zero=True)(layers.Reshape((5,))(words))
    original = keras.Model(words, layers.LSTM(2)(embedded))
    randomize(original)
    imported, rebuilt = brought(original, tmp_path)
    assert (imported.engine, imported.engine_reason) == ("onnxruntime", None)
    assert_same(rebuilt, original)


def test_masks_that_reach_other_layers_than_now_are_a_fault(tmp_path: Path) -> None:
    """An older Keras, whose layers pass masks on otherwise, has saved a graph that would answer otherwise now."""
    words = keras.Input((5,), dtype="int32", name="words")
    embedded = layers.Embedding(3, 4, mask_zero=True, name="embedded")(words)
    original = keras.Model(words, layers.LSTM(2, name="read")(embedded))

    def forget(config: Any) -> None:
        for layer in config["config"]["layers"]:
            if layer["name"] == "read":
                layer["inbound_nodes"][0]["kwargs"]["mask"] = None

    with pytest.raises(Invalid, match="no mask in the file, and `mask` when Keras builds") as refused:
        bring(with_config(saved(original, tmp_path), forget), tmp_path / "version")
    assert refused.value.faults[0].pointer.endswith("/inbound_nodes")
    assert list((tmp_path / "version").iterdir()) == []


def test_what_onnx_cannot_hold_is_left_to_tensorflow(tmp_path: Path) -> None:
    """The version says why."""
    original = keras.Sequential([keras.Input((8, 8, 1)), layers.Resizing(5, 5, interpolation="lanczos3")])
    imported, rebuilt = brought(original, tmp_path)
    assert imported.engine == "tensorflow"
    assert imported.engine_reason
    assert not (tmp_path / "version" / "model.onnx").exists()
    assert_same(rebuilt, original)


def test_faults_of_the_configuration_are_told_before_anything_is_built(tmp_path: Path) -> None:
    """Nothing stays in the folder, weights included."""

    def enlarge(config: Any) -> None:
        config["config"]["layers"][1]["config"]["units"] = 1_000_000

    path = with_config(saved(small(), tmp_path), enlarge)
    with pytest.raises(Invalid, match="parameters"):
        bring(path, tmp_path / "version", limits=Limits(max_parameters=1000))
    assert list((tmp_path / "version").iterdir()) == []


def test_weights_of_another_network_are_a_fault(tmp_path: Path) -> None:
    """The configuration says what shapes there must be."""

    def widen(config: Any) -> None:
        config["config"]["layers"][1]["config"]["units"] = 4

    path = with_config(saved(small(), tmp_path), widen)
    with pytest.raises(Invalid) as refused:
        bring(path, tmp_path / "version")
    assert [fault.pointer for fault in refused.value.faults] == [
        f"/model.weights.h5/layers/{place}" for place in ("dense/vars/0", "dense/vars/1", "dense_1/vars/0")
    ]
    assert list((tmp_path / "version").iterdir()) == []


def test_weights_that_unpack_to_far_more_than_the_layers_need_are_too_large(tmp_path: Path) -> None:
    """A bomb of zeros is given up before the disk is full of it; an optimizer's state has its place."""
    original = small()
    original.compile(keras.optimizers.Adam(amsgrad=True, use_ema=True, gradient_accumulation_steps=2), "mse")
    original.fit(np.ones((8, 4)), np.ones((8, 2)), verbose=0)
    path = saved(original, tmp_path)
    assert bring(path, tmp_path / "version").parameters == 23
    content = keras_files.members(path) | {"model.weights.h5": bytes(2**24)}
    with pytest.raises(TooLarge, match="once unpacked"):
        bring(keras_files.zipped(path, content, zipfile.ZIP_DEFLATED), tmp_path / "bomb")
    assert list((tmp_path / "bomb").iterdir()) == []


def test_a_link_in_the_weights_is_a_fault(tmp_path: Path) -> None:
    """Nothing beside the file is ever read."""

    def point_outside(file: Any) -> None:
        del file["layers/dense/vars/0"]
        file["layers/dense/vars/0"] = keras_files.external_link("/etc/passwd")

    with pytest.raises(Invalid, match="A link came"):
        bring(with_weights(saved(small(), tmp_path), point_outside), tmp_path / "version")


def test_a_full_disk_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As every other part of the service tells it."""

    def fail(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(importing.stored, "save", fail)
    with pytest.raises(StorageFull):
        bring(saved(small(), tmp_path), tmp_path / "version")


#: Imports what is named on the command line, and says how that went: all in one process, which is to survive it.
FUZZ = """
import sys
import zipfile
from pathlib import Path
from service.errors import KerasdError
from tests.training.keras_files import bring
for path in sys.argv[1:]:
    try:
        bring(Path(path), Path(path).with_suffix(".version"))
        print("imported")
    except KerasdError as error:
        print(error.slug)
"""


def test_damaged_files_end_in_known_errors(tmp_path: Path) -> None:
    """Whatever is flipped in the weights, or cut off, the answer is a problem or a model, and no exception."""
    content = keras_files.members(saved(small(), tmp_path))
    whole, draw = content["model.weights.h5"], random.Random(7)
    paths = []
    for number in range(60):
        damaged = bytearray(whole)
        for _ in range(draw.choice((1, 1, 2, 8))):
            damaged[draw.randrange(len(damaged))] = draw.randrange(256)
        cut = len(damaged) if number % 3 else draw.randrange(len(damaged))
        path = tmp_path / f"{number}.keras"
        paths.append(str(keras_files.zipped(path, content | {"model.weights.h5": bytes(damaged[:cut])})))
    told = subprocess.run([sys.executable, "-c", FUZZ, *paths], capture_output=True, text=True, check=False)
    outcomes = told.stdout.split()
    assert (told.returncode, len(outcomes)) == (0, 60), told.stderr[-2000:]
    assert set(outcomes) <= {"imported", "invalid", "malformed-request"}
    assert {"imported", "malformed-request"} <= set(outcomes)
