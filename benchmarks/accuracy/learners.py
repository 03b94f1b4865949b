"""Who learns: kerasd, scikit-learn's two, and AutoKeras in an environment of its own."""

import json
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from benchmarks.accuracy import anchors, kerasd
from benchmarks.accuracy.cases import Case, Rows
from benchmarks.processes import environment
from benchmarks.serving.environments import python_of

AUTOKERAS_SECONDS: Final = 1800.0
_SCRIPT: Final = Path(__file__).parent / "apps" / "autokeras_fit.py"

Part = Sequence[int]


class Failed(Exception):
    """A learner brought no answers; the message says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Contest:
    """What a run gives to all learners: the service, and how many networks AutoKeras may try."""

    client: kerasd.Client | None
    trials: int


Answering = Callable[[Contest, Case, Rows, Part, Part, int], list[Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Learner:
    """`answers` gives a label or number for each test row, learned from the training rows with a seed."""

    name: str
    title: str
    answers: Answering


def _kerasd(contest: Contest, case: Case, rows: Rows, train: Part, test: Part, seed: int) -> list[Any]:
    assert contest.client is not None
    return contest.client.answers(case, rows, train, test, seed)


def _boosting(_: Contest, case: Case, rows: Rows, train: Part, test: Part, seed: int) -> list[Any]:
    return anchors.boosting(case, rows, train, test, seed)


def _perceptron(_: Contest, case: Case, rows: Rows, train: Part, test: Part, seed: int) -> list[Any]:
    return anchors.perceptron(case, rows, train, test, seed)


def _autokeras(contest: Contest, case: Case, rows: Rows, train: Part, test: Part, seed: int) -> list[Any]:
    """AutoKeras's structured data with its defaults but `max_trials`, on the numbers that the MLP has too."""
    python = python_of("autokeras")
    values = anchors.columns_to_numbers(rows, scaled=True)
    x = values.fit_transform(anchors.matrix(rows)[list(train)]).astype("float32")
    labels = np.array(rows.labels)[list(train)]
    with tempfile.TemporaryDirectory(prefix="autokeras-") as name:
        folder = Path(name)
        test_x = values.transform(anchors.matrix(rows)[list(test)]).astype("float32")
        np.savez(folder / "rows.npz", x=x, y=labels, test_x=test_x)
        command = [str(python), str(_SCRIPT), name, str(case.classes), str(contest.trials), str(seed)]
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, timeout=AUTOKERAS_SECONDS, env=environment()
        )
        if done.returncode != 0:
            raise Failed((done.stderr or done.stdout).strip()[-1500:])
        return list(json.loads((folder / "answers.json").read_text(encoding="utf-8")))


LEARNERS: Final[dict[str, Learner]] = {
    learner.name: learner
    for learner in (
        Learner(name="kerasd", title='kerasd, "auto"', answers=_kerasd),
        Learner(name="boosting", title="HistGradientBoosting", answers=_boosting),
        Learner(name="perceptron", title="MLP", answers=_perceptron),
        Learner(name="autokeras", title="AutoKeras", answers=_autokeras),
    )
}
