"""An assignment becomes a Keras model, compiled and with its first weights, and the rows that it is trained on."""

from collections.abc import Sequence
from dataclasses import dataclass

import keras

from service.architecture import build
from service.architecture.compilation import Compilation
from service.architecture.fitting import training_rows
from service.architecture.network import Network
from service.architecture.stored import read_canonical
from service.data.arrays import Part
from service.data.store import load
from service.training import engine, warm_start
from service.training.messages import Assignment, StoredArrays
from service.training.rows import Array, Rows


@dataclass(frozen=True, slots=True, kw_only=True)
class Assembled:
    """A model that is ready for its first step; `validation` is None where the job has none."""

    network: Network
    model: keras.Model
    rows: Rows
    validation: Rows | None


def assemble(assignment: Assignment) -> Assembled:
    """Build, compile, adapt and fill the model, in this order; the seeds must have been set before."""
    network = read_canonical(assignment.architecture)
    model = build.build(network, {name: tuple(shape) for name, shape in assignment.input_shapes.items()})
    compile_model(model, network, assignment.compilation)
    rows, validation = _rows(network, assignment)
    build.adapt(model, network, dict(zip([one.name for one in network.inputs], rows.arrays, strict=False)))
    engine.prepare(model, rows, assignment.fitting.batch_size)
    if assignment.initial is not None:
        warm_start.fill(model, assignment.initial, assignment.compilation.optimizer)
    return Assembled(network=network, model=model, rows=rows, validation=validation)


def compile_model(model: keras.Model, network: Network, compilation: Compilation) -> None:
    """Compile with one loss and one list of metrics for each output, in the network's order."""
    losses = [build.make("loss", compilation.loss[name]) for name in network.outputs]
    metrics = [[build.make("metric", metric) for metric in compilation.metrics[name]] for name in network.outputs]
    weights = [compilation.loss_weights[name] for name in network.outputs] if compilation.loss_weights else None
    single = len(network.outputs) == 1
    model.compile(
        optimizer=build.make("optimizer", compilation.optimizer),
        loss=losses[0] if single else losses,
        metrics=metrics[0] if single else metrics,
        loss_weights=weights[0] if single and weights else weights,
        # Whether XLA compiles the steps is the loop's business, not that of the model by itself.
        jit_compile=False,
    )


def _rows(network: Network, assignment: Assignment) -> tuple[Rows, Rows | None]:
    """The rows to train on, and those to validate on: the last ones, or a data set of their own."""
    fitting = assignment.fitting
    rows = read_rows(assignment.data, network, fitting.class_weight)
    if assignment.validation_data is not None:
        return rows, read_rows(assignment.validation_data, network)
    count = training_rows(len(rows), fitting.validation_split)
    if count == len(rows):
        return rows, None
    # Class weights count for the training alone.
    unweighted = read_rows(assignment.data, network)
    return rows.part(0, count), unweighted.part(count, len(rows))


def read_rows(stored: StoredArrays, network: Network, class_weight: dict[int, float] | None = None) -> Rows:
    """The rows of a data set, in the order of the network's inputs and outputs; on disk until they are taken."""
    return Rows.of(
        _ordered(stored, "x", [one.name for one in network.inputs]),
        _ordered(stored, "y", network.outputs),
        next(iter(load(stored.folder, stored.arrays, "sample_weight").values()), None),
        [one.dtype for one in network.inputs],
        class_weight,
    )


def _ordered(stored: StoredArrays, part: Part, names: Sequence[str]) -> list[Array]:
    """The arrays of `part` in the order of `names`; a single array without a name belongs to the only name."""
    arrays = load(stored.folder, stored.arrays, part)
    return [arrays[None]] if set(arrays) == {None} else [arrays[name] for name in names]
