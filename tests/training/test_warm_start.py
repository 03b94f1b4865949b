"""Stored weights go to the layers of the same names, and the optimizer's state with them if that is asked for."""

from pathlib import Path
from typing import Any

import numpy as np

from service.training import warm_start
from service.training.assembly import Assembled, assemble
from service.training.child import run_job
from service.training.messages import Assignment, InitialWeights
from tests.training.assignments import COMPILE, Heard, assignment

ADAM = {"type": "Adam", "learning_rate": 0.01}


def network(*units: int, names: tuple[str, ...]) -> dict[str, Any]:
    return {
        "layers": [
            {"type": "Normalization", "name": "scale"},
            *({"type": "Dense", "name": name, "units": one} for name, one in zip(names, units, strict=True)),
            {"type": "BatchNormalization", "name": "batches"},
            {"type": "Dense", "name": "head", "units": 1, "activation": "sigmoid"},
        ]
    }


def trained(folder: Path) -> Assignment:
    job = assignment(
        folder, architecture=network(5, 3, names=("one", "two")), compile_={**COMPILE, "optimizer": "adam"}
    )
    heard = Heard()
    run_job(heard, job)
    assert heard.finished
    return job


def filled(folder: Path, source: Assignment, *, optimizer_state: bool = False, **changes: Any) -> Assembled:
    assembled = assemble(assignment(folder, **{"compile_": {**COMPILE, "optimizer": "adam"}, **changes}))
    initial = InitialWeights(folder=source.work_folder, optimizer_state=optimizer_state)
    warm_start.fill(assembled.model, initial, source.compilation.optimizer)
    return assembled


def weights(assembled: Assembled, name: str) -> list[Any]:
    found: list[Any] = assembled.model.get_layer(name).get_weights()
    return found


def same(one: list[Any], other: list[Any]) -> bool:
    return len(one) == len(other) and all(np.array_equal(mine, its) for mine, its in zip(one, other, strict=True))


def test_layers_are_known_by_their_names(tmp_path: Path) -> None:
    """Wherever it stands, a layer has the weights of its namesake; another keeps those it was made with."""
    source = trained(tmp_path)
    before = assemble(source)
    whole = filled(tmp_path, source, architecture=network(5, 3, names=("one", "two")))
    changed = network(5, 3, 4, names=("one", "two", "new"))
    # The head behind a layer of another width cannot be taken over: it goes under another name.
    changed["layers"][-1]["name"], changed["layers"][-2]["name"] = "other-head", "other-batches"
    grown = filled(tmp_path, source, architecture=changed)
    for name in ("one", "two", "batches", "head"):
        assert not same(weights(before, name), weights(whole, name))
    for name in ("scale", "one", "two"):
        assert same(weights(grown, name), weights(whole, name))
    plain = assemble(assignment(tmp_path, architecture=changed))
    assert weights(grown, "new")[0].shape == weights(plain, "new")[0].shape == (3, 4)


def test_normalization_calculates_with_what_it_was_given(tmp_path: Path) -> None:
    """It was adapted to the job's own rows, and then has the statistics, and the results, of the stored one."""
    source = trained(tmp_path)
    other = np.random.default_rng(9).normal(loc=50, scale=9, size=(40, 4))
    architecture = network(5, 3, names=("one", "two"))
    own = assemble(assignment(tmp_path, architecture=architecture, x=other, y=[0, 1] * 20))
    taken = filled(tmp_path, source, architecture=architecture, x=other, y=[0, 1] * 20)
    row = np.ones((1, 4), "float32")
    (mean, variance, _) = weights(taken, "scale")
    assert np.allclose(taken.model.get_layer("scale")(row), (row - mean) / np.sqrt(variance), atol=1e-6)
    assert not np.allclose(taken.model.get_layer("scale")(row), own.model.get_layer("scale")(row), atol=1)


def test_the_optimizer_goes_on_or_starts_anew(tmp_path: Path) -> None:
    """Its steps and moments are the stored ones if asked for, and zero otherwise."""
    source = trained(tmp_path)
    architecture = network(5, 3, names=("one", "two"))
    on = filled(tmp_path, source, architecture=architecture, optimizer_state=True).model.optimizer
    anew = filled(tmp_path, source, architecture=architecture).model.optimizer
    steps = 3 * 4
    assert int(on.iterations) == steps
    assert int(anew.iterations) == 0
    moments = [variable for variable in on.variables if "momentum" in variable.path or "velocity" in variable.path]
    assert moments
    assert all(np.any(variable.numpy()) for variable in moments)
    assert float(on.learning_rate) == float(anew.learning_rate)
