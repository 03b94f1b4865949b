"""Assignments for real jobs in the test's own process, and a line that keeps what a job says."""

from pathlib import Path
from typing import Any

import numpy as np

from service.architecture.compilation import check_compile
from service.architecture.fitting import check_fit
from service.architecture.graph import read_architecture, write_architecture
from service.architecture.plan import make_plan
from service.data.readers import read_value
from service.errors import Fault
from service.training.line import Line
from service.training.messages import Assignment, Finished, StoredArrays

DENSE = {
    "layers": [
        {"type": "Dense", "units": 5, "activation": "relu"},
        {"type": "Dropout", "rate": 0.2},
        {"type": "Dense", "units": 1, "activation": "sigmoid"},
    ]
}
COMPILE = {"loss": "binary_crossentropy", "optimizer": "adam", "metrics": ["accuracy"], "jit_compile": False}
FIT = {"epochs": 3, "batch_size": 8, "validation_split": 0.25}


class Heard(Line):
    """A line whose other end is the test: `messages` is what was said, `words` is what will be said to the job."""

    def __init__(self) -> None:
        self.messages: list[Any] = []
        self.words: list[Any] = []

    def send(self, message: Any) -> None:
        self.messages.append(message)

    def received(self) -> Any | None:
        return self.words.pop(0) if self.words else None

    def of(self, kind: type) -> list[Any]:
        """The messages of one kind, in their order."""
        return [message for message in self.messages if isinstance(message, kind)]

    @property
    def finished(self) -> Finished:
        outcome = self.messages[-1]
        assert isinstance(outcome, Finished), outcome
        return outcome


def assignment(
    folder: Path,
    *,
    architecture: dict[str, Any] = DENSE,
    compile_: dict[str, Any] = COMPILE,
    fit: dict[str, Any] = FIT,
    x: Any = None,
    y: Any = None,
    **changes: Any,
) -> Assignment:
    """A job of 40 rows of 4 numbers, unless told otherwise; each call gives it work folders of its own.

    The threads are those that the test's process has: 0 is TensorFlow's word for its default.
    """
    faults: list[Fault] = []
    number = len(list(folder.glob("job*")))
    home = folder / f"job{number}"
    for made in ("data", "work", "checkpoints"):
        (home / made).mkdir(parents=True)
    rows = np.random.default_rng(3).normal(size=(40, 4)) if x is None else np.asarray(x)
    targets = [int(row.sum() > 0) for row in rows] if y is None else y
    arrays = read_value({"x": rows.tolist(), "y": targets}, home / "data", "/data")
    inputs, outputs = ([array for array in arrays if array.part == part] for part in ("x", "y"))
    network = read_architecture(architecture, "/architecture", faults)
    assert network is not None, faults
    plan = make_plan(network, inputs, faults)
    assert plan is not None, faults
    compilation = check_compile(compile_, plan.output_shapes, outputs, {}, "/compile", faults)
    assert compilation is not None, faults
    fitting = check_fit(fit, len(rows), compilation, outputs, "/fit", faults)
    given = {
        "job": f"job{number}",
        "attempt": 1,
        "architecture": write_architecture(network),
        "input_shapes": {name: list(shape) for name, shape in plan.input_shapes.items()},
        "compilation": compilation,
        "fitting": fitting,
        "seed": 11,
        "threads": 0,
        "threads_requested": True,
        "spare_threads": 0,
        "execution": None,
        "measurements": (),
        "data": StoredArrays(folder=home / "data", arrays=tuple(arrays)),
        "validation_data": None,
        "initial": None,
        "work_folder": home / "work",
        "checkpoint_folder": home / "checkpoints",
        "checkpoint": None,
        "checkpoint_epochs": None,
        "checkpoint_seconds": 3600.0,
        "cache_folder": folder / "cache",
        "seconds_left": None,
        "data_memory_bytes": 2**30,
        "keep_best_after": None,
    }
    return Assignment(**{**given, **changes})
