"""One training, done twice: by Keras's `fit` and by the engine, so that what comes out can be compared bit by bit."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import keras
import numpy as np

from service.architecture import build, catalog
from service.architecture.fitting import Fitting, training_rows
from service.architecture.network import Input, Layer, Network, Shape
from service.errors import Fault
from service.training import engine
from service.training.callbacks import Callbacks
from service.training.checkpoint import Position
from service.training.engine import Training
from service.training.kept import Kept
from service.training.rows import Array, Rows, epoch_order
from tests.architecture.shape_cases import layer

#: Enough bytes to hold the data of any case in memory.
PLENTY = 2**30


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A network, its data, and the arguments of `compile` and `fit`; losses and metrics have an entry per output.

    `validation` is (x, y, sample_weight). What is named or given as an object goes through the catalog's checks.
    """

    network: Network
    shapes: dict[str, Shape]
    x: tuple[Array, ...]
    y: tuple[Array, ...]
    weight: Array | None = None
    validation: tuple[tuple[Array, ...], tuple[Array, ...], Array | None] | None = None
    losses: tuple[Any, ...] = ("mse",)
    metrics: tuple[tuple[Any, ...], ...] = ((),)
    loss_weights: tuple[float, ...] | None = None
    optimizer: Any = "sgd"
    fit: dict[str, Any] = field(default_factory=dict)
    seed: int = 7

    def but(self, **changes: Any) -> "Case":
        """The same with other arguments; those of `fit` by their own names."""
        own = {name: changes[name] for name in changes if name in self.__dataclass_fields__}
        of_fit = {name: changes[name] for name in changes if name not in own}
        return replace(self, **own, fit={**self.fit, **of_fit})

    @property
    def fitting(self) -> Fitting:
        callbacks = tuple(checked("callback", {"type": one} if isinstance(one, str) else one) for one in self.callbacks)
        with_type = tuple({"type": one} if isinstance(one, str) else one for one in callbacks)
        given = {"epochs": 2, "batch_size": 4, "shuffle": False, **self.fit, "callbacks": with_type}
        if self.validation is not None:
            given["validation_data"] = "ds_0"
        return Fitting(**given)

    @property
    def callbacks(self) -> Sequence[Any]:
        given: Sequence[Any] = self.fit.get("callbacks", ())
        return given


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a training leaves: each epoch's metrics, and every variable by its path."""

    rows: list[dict[str, float | None]]
    variables: list[tuple[str, Array]]


def checked(kind: str, value: Any) -> Any:
    """The catalog's normal form; a string that Keras resolves by itself stays as it is, as `compile` leaves it."""
    faults: list[Fault] = []
    normal = catalog.check(kind, value, "", faults)
    assert faults == [], faults
    return value if kind == "metric" and isinstance(value, str) else normal


def named(name: str, type_name: str, arguments: dict[str, Any], *inputs: str) -> Layer:
    """A layer with complete arguments, fed by `inputs`."""
    plain = layer(type_name, arguments)
    return replace(plain, name=name, inputs=inputs)


def chain(shape: Shape, *layers: dict[str, Any], dtype: str = "float32") -> tuple[Network, dict[str, Shape]]:
    """A network of one layer after the other, and the shape of its input."""
    made: list[Layer] = []
    for number, given in enumerate(layers):
        arguments = {name: given[name] for name in given if name != "type"}
        made.append(named(f"l{number}", given["type"], arguments, made[-1].name if made else "x"))
    inputs = (Input(name="x", shape=shape, dtype=dtype, pointer=""),)
    return Network(inputs=inputs, layers=tuple(made), outputs=(made[-1].name,)), {"x": shape}


def floats(*shape: int, seed: int = 0) -> Array:
    """Numbers of both signs that look like measurements."""
    return np.random.default_rng([seed, *shape]).normal(size=shape).astype("float32")


def case(shape: Shape, *layers: dict[str, Any], rows: int = 10, out: int = 1, **changes: Any) -> Case:
    """A regression with a chain of layers, a Dense of `out` units last, in two epochs of batches of four."""
    network, shapes = chain(shape, *layers, {"type": "Dense", "units": out})
    x = floats(rows, *(size or 5 for size in shape))
    return Case(network=network, shapes=shapes, x=(x,), y=(floats(rows, out, seed=1),)).but(**changes)


def make(one: Case) -> keras.Model:
    """The case's model, compiled; the same seed gives the same weights, and the same names to unnamed metrics."""
    keras.utils.clear_session()
    keras.utils.set_random_seed(one.seed)
    model = build.build(one.network, one.shapes)
    losses = [build.make("loss", checked("loss", loss)) for loss in one.losses]
    metrics = [[build.make("metric", checked("metric", metric)) for metric in metrics] for metrics in one.metrics]
    single = len(one.network.outputs) == 1
    weights = list(one.loss_weights) if one.loss_weights else None
    model.compile(
        optimizer=build.make("optimizer", checked("optimizer", one.optimizer)),
        loss=losses[0] if single else losses,
        metrics=metrics[0] if single else metrics,
        loss_weights=weights[0] if weights and single else weights,
        jit_compile=False,
    )
    build.adapt(model, one.network, dict(zip([i.name for i in one.network.inputs], one.x, strict=True)))
    return model


def by_keras(one: Case, extra: Sequence[keras.callbacks.Callback] = ()) -> Outcome:
    """Train with `Model.fit`; a shuffled case is fed in the service's own order, an epoch a call."""
    model, fitting = make(one), one.fitting
    seen = Seen()
    if not fitting.shuffle:
        _keras_fit(model, one, fitting, (one.x, one.y, one.weight), [*_callbacks(fitting), *extra, seen])
        return Outcome(rows=seen.rows, variables=state(model))
    # `fit` forgets at each call what callbacks know, so that only cases without any can be fed so.
    assert not fitting.callbacks
    assert not fitting.validation_split
    for epoch in range(fitting.epochs):
        order = epoch_order(one.seed, epoch, len(one.x[0]))
        permuted = tuple(array[order] for array in one.x), tuple(array[order] for array in one.y)
        weight = None if one.weight is None else one.weight[order]
        _keras_fit(model, one, fitting, (*permuted, weight), [seen], initial_epoch=epoch, epochs=epoch + 1)
    return Outcome(rows=seen.rows, variables=state(model))


def _keras_fit(
    model: keras.Model,
    one: Case,
    fitting: Fitting,
    data: tuple[Any, Any, Any],
    callbacks: list[keras.callbacks.Callback],
    **more: Any,
) -> None:
    x, y, weight = data
    validation = None
    if one.validation is not None:
        validation_x, validation_y, validation_weight = one.validation
        validation = (_one_or_all(validation_x), _one_or_all(validation_y))
        validation = validation if validation_weight is None else (*validation, validation_weight)
    arguments = {
        "epochs": fitting.epochs,
        "batch_size": fitting.batch_size,
        "validation_split": fitting.validation_split,
        "validation_data": validation,
        "validation_batch_size": fitting.validation_batch_size,
        "validation_freq": fitting.validation_freq,
        "class_weight": fitting.class_weight,
        "sample_weight": weight,
    }
    model.fit(_one_or_all(x), _one_or_all(y), shuffle=False, verbose=0, callbacks=callbacks, **{**arguments, **more})


def _callbacks(fitting: Fitting) -> list[keras.callbacks.Callback]:
    return [build.make("callback", callback) for callback in fitting.callbacks]


class Seen(keras.callbacks.Callback):
    """Notes each epoch's metrics, with what the callbacks before it have added; a number that is not finite is None."""

    def __init__(self) -> None:
        super().__init__()
        self.rows: list[dict[str, float | None]] = []

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self.rows.append({name: engine.finite_or_none(value) for name, value in (logs or {}).items()})


class Noted:
    """A watch that only notes what it is told."""

    def __init__(self) -> None:
        self.rows: list[dict[str, float | None]] = []
        self.looks: list[tuple[int, int]] = []
        self.lasts: list[bool] = []

    def look(self, position: Position) -> None:
        self.looks.append((position.epoch, position.step))

    def epoch_ended(self, position: Position, row: dict[str, float | None], *, last: bool) -> None:
        assert position.row == row
        self.rows.append(row)
        self.lasts.append(last)

    def stopping(self) -> bool:
        return False


def by_engine(one: Case, *, jit_compile: bool = False, memory_bytes: int = PLENTY, watch: Any = None) -> Outcome:
    """Train with the engine from the start to the end."""
    training, callbacks = ready(one, jit_compile=jit_compile, memory_bytes=memory_bytes)
    return run(training, callbacks, Position(), watch or Noted())


def ready(one: Case, *, jit_compile: bool = False, memory_bytes: int = PLENTY) -> tuple[Training, Callbacks]:
    """All that the engine needs, as the child puts it together."""
    model, fitting = make(one), one.fitting
    rows, validation = split(one, fitting)
    engine.prepare(model, rows, fitting.batch_size)
    training = Training(
        model=model,
        fitting=fitting,
        seed=one.seed,
        rows=rows,
        validation=validation,
        jit_compile=jit_compile,
        memory_bytes=memory_bytes,
        # A folder that is not there keeps nothing.
        kept=Kept(Path("nowhere"), model, {}),
    )
    return training, Callbacks(fitting, model)


def run(training: Training, callbacks: Callbacks, position: Position, watch: Any) -> Outcome:
    """Train from `position` to the end, as the child does, whose `watch` notes rows."""
    end = engine.fit(training, callbacks, position, watch)
    callbacks.end(end.epoch)
    return Outcome(rows=watch.rows, variables=state(training.model))


def split(one: Case, fitting: Fitting) -> tuple[Rows, Rows | None]:
    """The rows to train and to validate on."""
    dtypes = [i.dtype for i in one.network.inputs]
    rows = Rows.of(one.x, one.y, one.weight, dtypes, fitting.class_weight)
    if one.validation is not None:
        return rows, Rows.of(*one.validation, dtypes)
    count = training_rows(len(rows), fitting.validation_split)
    if count == len(rows):
        return rows, None
    return rows.part(0, count), Rows.of(one.x, one.y, one.weight, dtypes).part(count, len(rows))


def state(model: keras.Model) -> list[tuple[str, Array]]:
    """Every variable: weights, seed generators, the optimizer's and the metrics'."""
    variables = [*model.variables, *model.optimizer.variables, *model.metrics_variables]
    return [(variable.path, np.array(variable.value)) for variable in variables]


def differences(one: Outcome, other: Outcome) -> Iterator[str]:
    """Say, a line each, what is not the same to the bit."""
    if len(one.rows) != len(other.rows):
        yield f"{len(one.rows)} epochs, and {len(other.rows)}"
    for epoch, (mine, yours) in enumerate(zip(one.rows, other.rows, strict=False)):
        for name in mine.keys() | yours.keys():
            if mine.get(name, "absent") != yours.get(name, "absent"):
                yield f"epoch {epoch}, {name}: {mine.get(name, 'absent')} and {yours.get(name, 'absent')}"
    if len(one.variables) != len(other.variables):
        yield f"{len(one.variables)} variables, and {len(other.variables)}"
    for (path, array), (_, its) in zip(one.variables, other.variables, strict=False):
        if array.dtype != its.dtype or array.shape != its.shape:
            yield f"{path}: {array.dtype}{array.shape} and {its.dtype}{its.shape}"
        elif not np.array_equal(array, its, equal_nan=array.dtype.kind == "f"):
            yield f"{path}: differs by up to {np.max(np.abs(array.astype(float) - its.astype(float)))}"


def assert_same(one: Outcome, other: Outcome) -> None:
    """Both are the same to the bit, epochs' values and variables."""
    found = list(differences(one, other))
    assert not found, "\n".join(found)


def assert_parity(one: Case) -> Outcome:
    """The engine does what Keras does; returns what came out."""
    ours = by_engine(one)
    assert_same(by_keras(one), ours)
    assert ours.rows
    return ours


def _one_or_all(arrays: Sequence[Any]) -> Any:
    return arrays[0] if len(arrays) == 1 else list(arrays)
