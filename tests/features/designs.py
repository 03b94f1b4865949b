"""What "auto" is asked to design for, and the project's own checks of what it designed."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from service.architecture.compilation import Compilation, check_compile, output_activations
from service.architecture.fitting import Fitting, check_fit
from service.architecture.graph import read_architecture
from service.architecture.network import Plan
from service.architecture.plan import make_plan
from service.data.arrays import ArrayFacts, Part
from service.data.table import Kind
from service.errors import Fault
from service.features.design import Design
from service.features.network import Tensor
from service.features.preparation import Target, Task
from service.training.rows import Array

VECTOR = Tensor(name="features", shape=(12,), kind="vector", vocabulary=None)
TOKENS = Tensor(name="remark", shape=(20,), kind="tokens", vocabulary=300)
PICTURE = Tensor(name="photo", shape=(8, 8, 1), kind="image", vocabulary=None)
PHOTOGRAPH = Tensor(name="photo", shape=(64, 48, 3), kind="image", vocabulary=None)
STEPS = Tensor(name="pulse", shape=(10, 2), kind="sequence", vocabulary=None)
LONG = Tensor(name="pulse", shape=(100, 1), kind="sequence", vocabulary=None)

SHAPES: dict[Task, tuple[int, ...]] = {
    Task.BINARY: (),
    Task.CLASSES: (),
    Task.LABELS: (3,),
    Task.NUMBER: (),
    Task.SEQUENCE: (5, 2),
}
LABELS: dict[Task, tuple[str, ...]] = {
    Task.BINARY: ("no", "yes"),
    Task.CLASSES: ("a", "b", "c"),
    Task.LABELS: ("a", "b", "c"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """A design that has gone through the checks of a submission."""

    plan: Plan
    compilation: Compilation
    fitting: Fitting


def target(task: Task, slug: str = "saved", shape: tuple[int, ...] | None = None) -> Target:
    """A target with what its task needs; a number has the mean 250 and the standard deviation 40."""
    is_number = task is Task.NUMBER
    return Target(
        column=slug,
        type="float64" if is_number else "string",
        kind=Kind.NUMERIC if is_number else Kind.CATEGORY,
        slug=slug,
        task=task,
        labels=LABELS.get(task, ()),
        separator=";" if task is Task.LABELS else None,
        center=250.0 if is_number else None,
        spread=40.0 if is_number else None,
        shape=SHAPES[task] if shape is None else shape,
    )


def x_of(tensors: Sequence[Tensor], rows: int, seed: int = 0) -> dict[str, Array]:
    """Values as a preparation would make them."""
    draw = np.random.default_rng(seed)
    made: dict[str, Array] = {}
    for one in tensors:
        if one.kind == "tokens":
            made[one.name] = draw.integers(0, one.vocabulary, (rows, *one.shape)).astype("int32")
        else:
            made[one.name] = draw.normal(size=(rows, *one.shape)).astype("float32")
    return made


def y_of(targets: Sequence[Target], rows: int, seed: int = 1) -> dict[str, Array]:
    """Targets of every label, or numbers in the target's own unit."""
    draw = np.random.default_rng(seed)
    made: dict[str, Array] = {}
    for one in targets:
        shape = (rows, *one.shape)
        if one.task in (Task.BINARY, Task.CLASSES):
            made[one.slug] = (np.arange(rows) % len(one.labels)).astype("int32")
        elif one.task is Task.LABELS:
            made[one.slug] = draw.integers(0, 2, shape).astype("int32")
        else:
            numbers = draw.normal(one.center or 0.0, one.spread or 1.0, math.prod(shape))
            made[one.slug] = numbers.reshape(shape).astype("float32")
    return made


def facts(part: Part, name: str | None, array: Array, columns: tuple[str, ...] | None = None) -> ArrayFacts:
    """What kerasd knows of a stored array."""
    return ArrayFacts(
        part=part,
        name=name,
        shape=array.shape,
        dtype=str(array.dtype),
        minimum=float(array.min()),
        maximum=float(array.max()),
        integral=bool(np.array_equal(array, np.round(array))),
        columns=columns,
    )


def checked(made: Design, x: Sequence[ArrayFacts], y: Sequence[ArrayFacts], *, validates: bool) -> Checked:
    """Send a design through the checks of a submission, with the rows to validate on in a data set of their own."""
    faults: list[Fault] = []
    network = read_architecture(made.architecture, "/architecture", faults)
    assert network is not None, faults
    plan = make_plan(network, x, faults)
    assert plan is not None, faults
    activations = output_activations(network)
    compilation = check_compile(made.compile, plan.output_shapes, y, activations, "/compile", faults)
    fit: dict[str, Any] = {**made.fit, **({"validation_data": "ds_0"} if validates else {})}
    fitting = check_fit(fit, y[0].rows, compilation, y, "/fit", faults)
    assert compilation is not None, faults
    assert fitting is not None, faults
    assert faults == []
    return Checked(plan=plan, compilation=compilation, fitting=fitting)


def with_inputs(made: Design, tensors: Sequence[Tensor]) -> Design:
    """The design with the tensors as its inputs, where a preparation's layers would make them."""
    graph = "outputs" in made.architecture
    rows = [{"type": "Input", "name": one.name, "dtype": one.dtype} for one in tensors]
    layers = [*rows, *made.architecture["layers"]]
    architecture = {**made.architecture, "layers": layers}
    return (
        Design(architecture=architecture, compile=made.compile, fit=made.fit, reasons=made.reasons) if graph else made
    )
