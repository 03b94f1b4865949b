"""A version's model comes back from disk as it was, whatever its file says."""

import json
import shutil
import zipfile
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from service.architecture.build import adapt, build
from service.architecture.graph import read_architecture, write_architecture
from service.architecture.network import Network
from service.architecture.stored import load, read_canonical, save
from service.errors import Fault

LAYERS = [
    {"type": "Normalization"},
    {"type": "Dense", "name": "body", "units": 3, "activation": "relu"},
    {"type": "BatchNormalization"},
    {"type": "Dropout", "rate": 0.5},
    {"type": "Dense", "name": "head", "units": 1},
]
SHAPES = {"x": (4,)}
X = np.random.default_rng(0).normal(loc=3, size=(20, 4)).astype("float32")


def read(layers: list[dict[str, Any]]) -> Network:
    faults: list[Fault] = []
    network = read_architecture({"layers": layers}, "/architecture", faults)
    assert network is not None, faults
    return network


@pytest.fixture
def trained(tmp_path: Path) -> tuple[keras.Model, Path]:
    """A model that has been through some steps, and the folder it was saved in."""
    network = read(LAYERS)
    name = network.inputs[0].name
    model = build(network, {name: SHAPES["x"]})
    adapt(model, network, {name: X})
    model.compile(optimizer=keras.optimizers.Adam(), loss="mse", jit_compile=False)
    model.fit(X, X[:, :1], epochs=2, verbose=0)
    save(model, write_architecture(network), {name: SHAPES["x"]}, tmp_path)
    return model, tmp_path


def test_a_model_comes_back_to_the_bit(trained: tuple[keras.Model, Path]) -> None:
    """Weights that are not trained and statistics included; so do its answers."""
    model, folder = trained
    network, loaded = load(folder)
    assert [one.name for one in network.layers] == [one.name for one in read(LAYERS).layers]
    for own, other in zip(model.weights, loaded.weights, strict=True):
        assert np.array_equal(own.numpy(), other.numpy())
    assert np.array_equal(model(X), loaded(X))


def test_the_optimizer_comes_back_if_it_is_asked_for(trained: tuple[keras.Model, Path]) -> None:
    """Into one that was made for it; without one, the model has none."""
    model, folder = trained
    fresh = keras.optimizers.Adam()
    load(folder, fresh)
    for own, other in zip(model.optimizer.variables, fresh.variables, strict=True):
        assert np.array_equal(own.numpy(), other.numpy())
    assert int(fresh.iterations) == 2


def test_the_architecture_decides_what_is_built(trained: tuple[keras.Model, Path], tmp_path: Path) -> None:
    """The configuration inside Keras's file is not looked at: a class in it is never imported."""
    _, folder = trained
    file, other = folder / "model.keras", tmp_path / "other.keras"
    with zipfile.ZipFile(file) as before, zipfile.ZipFile(other, "w") as after:
        for name in before.namelist():
            content = before.read(name)
            if name == "config.json":
                content = json.dumps({"module": "os", "class_name": "system", "config": {}}).encode()
            after.writestr(name, content)
    shutil.move(other, file)
    _, loaded = load(folder)
    assert loaded(X).shape == (20, 1)


@pytest.mark.filterwarnings("ignore:Skipping nested container:UserWarning")
def test_weights_of_another_network_do_not_fit(trained: tuple[keras.Model, Path]) -> None:
    """Keras refuses them, rather than fill in what happens to fit."""
    _, folder = trained
    wider = [{**one, "units": 7} if one.get("name") == "body" else one for one in LAYERS]
    stored = json.loads((folder / "network.json").read_text())
    stored["architecture"] = write_architecture(read(wider))
    (folder / "network.json").write_text(json.dumps(stored))
    with pytest.raises(ValueError, match="shape"):
        load(folder)


@pytest.mark.parametrize("name", ["network.json", "model.keras"])
def test_a_damaged_version_is_not_loaded(trained: tuple[keras.Model, Path], name: str) -> None:
    """Half a file is an error, and not half a model."""
    _, folder = trained
    content = (folder / name).read_bytes()
    (folder / name).write_bytes(content[: len(content) // 2])
    with pytest.raises((ValueError, OSError, zipfile.BadZipFile)):
        load(folder)


def test_an_architecture_that_is_no_longer_read(trained: tuple[keras.Model, Path]) -> None:
    """A release whose catalog has lost a layer says which."""
    with pytest.raises(ValueError, match=r"no longer reads the stored architecture: .*Vanished"):
        read_canonical({"layers": [{"type": "Vanished"}]})
