"""A version on data: Keras's own metrics, and a report for each output; runs in a child.

evaluate_version -> the model, built anew and compiled as it was trained -> one pass over the rows, batch by batch ->
the metrics that Keras has kept meanwhile, and a report on the predictions
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from service.architecture import stored
from service.architecture.compilation import Compilation
from service.architecture.network import Network
from service.data.arrays import ArrayFacts
from service.errors import Conflict, Fault, Invalid, NotFound, Unavailable
from service.features.preparation import Preparation
from service.features.write import write_all
from service.training.assembly import compile_model, read_rows
from service.training.engine import finite_or_none
from service.training.messages import StoredArrays
from service.training.report import Answers, report
from service.training.rows import Array, Rows

#: Of predictions that take more, in bytes, there is no report.
MOST_BYTES = 2**28


class Observed(keras.Model):  # type: ignore[misc,unused-ignore]
    """A model whose answers to a batch can be had, besides what Keras's own `test_step` makes of them."""

    def observe(self) -> "Sight":
        self._sight = Sight()
        return self._sight

    def compute_metrics(self, x: Any, y: Any, y_pred: Any, sample_weight: Any = None) -> Any:
        self._sight.answers = y_pred
        return super().compute_metrics(x, y, y_pred, sample_weight=sample_weight)


@dataclass(slots=True)
class Sight:
    """What was seen of the last batch."""

    answers: Any = None


def evaluate_version(request: dict[str, Any]) -> dict[str, Any]:
    """Evaluate a version: `folder` is its own; the data are `arrays` in `data_folder`, or the table there.

    Raises NotFound where the version is deleted meanwhile, Conflict where the data set is, Invalid where the model
    cannot work on the data, and Unavailable where there is not enough memory.
    """
    network, model = _load(Path(request["folder"]))
    compilation = None if request["compile"] is None else Compilation.from_json(request["compile"])
    if compilation is not None:
        compile_model(model, network, compilation)
    rows = _rows(_stored(request), network)
    try:
        evaluation = _Evaluation(model, network, rows, request["batch_size"])
        evaluation.run()
    except tf.errors.ResourceExhaustedError as error:
        raise Unavailable("There was not enough memory for a batch. Take a smaller batch_size.") from error
    except (tf.errors.InvalidArgumentError, ValueError) as error:
        raise _unfit(error) from error
    return {
        "rows": len(rows),
        "metrics": evaluation.metrics(),
        "reports": _named(evaluation.reports(compilation, request["threshold"]), request.get("preparation")),
    }


def _named(reports: dict[str, Any], preparation: dict[str, Any] | None) -> dict[str, Any]:
    """The reports with the labels of their targets, in the order of the numbers, where a preparation knows them."""
    targets = {} if preparation is None else {target["slug"]: target for target in preparation["targets"]}
    if len(targets) == 1:
        targets = dict.fromkeys(reports, next(iter(targets.values())))
    return {
        name: report | ({"labels": list(targets[name]["labels"])} if targets.get(name, {}).get("labels") else {})
        for name, report in reports.items()
    }


def _stored(request: dict[str, Any]) -> StoredArrays:
    """The arrays; those of a table are written first, into `table_folder`."""
    data_folder = Path(request["data_folder"])
    if "table_folder" not in request:
        return StoredArrays(folder=data_folder, arrays=tuple(map(ArrayFacts.from_json, request["arrays"])))
    preparation = Preparation.from_json(request["preparation"])
    try:
        folder, arrays = write_all(data_folder, preparation, Path(request["table_folder"]))
    except FileNotFoundError as error:
        raise _data_deleted() from error
    return StoredArrays(folder=folder, arrays=arrays)


def _load(folder: Path) -> tuple[Network, Observed]:
    try:
        network, model = stored.load(folder)
    except FileNotFoundError as error:
        raise NotFound("The version has just been deleted.") from error
    return network, Observed(_one_or_all(model.inputs), _one_or_all(model.outputs))


def _one_or_all(tensors: Sequence[Any]) -> Any:
    """As the builder has them: Keras takes no list of one for one."""
    return tensors[0] if len(tensors) == 1 else list(tensors)


def _rows(data: StoredArrays, network: Network) -> Rows:
    try:
        return read_rows(data, network)
    except FileNotFoundError as error:
        raise _data_deleted() from error


def _data_deleted() -> Conflict:
    detail = "The data set was deleted meanwhile. Name another one."
    return Conflict(detail, [Fault(pointer="/dataset", detail=detail)])


def _unfit(error: Exception) -> Invalid:
    detail = f"The model cannot work on these data: {_sentence(str(error))}. Compare them with those it was trained on."
    return Invalid(detail, [Fault(pointer="", detail=detail)])


def _sentence(message: str) -> str:
    """What a message of TensorFlow says, without the traces before and after it."""
    lines = [line.strip() for line in message.splitlines() if line.strip()] or ["no message"]
    marked = next((number for number, line in enumerate(lines) if "[[{{node" in line), 0)
    before, _, _ = lines[marked].partition("[[{{node")
    return (before.strip() or lines[max(0, marked - 1)])[:300].rstrip(".")


class _Evaluation:
    def __init__(self, model: Observed, network: Network, rows: Rows, batch_size: int) -> None:
        self._model = model
        self._network = network
        self._rows = rows
        self._batch_size = batch_size
        self._kept = self._room()

    def run(self) -> None:
        """Go over all rows once, in their order; no more of them than a batch is in memory."""
        step = self._step()
        for start in range(0, len(self._rows), self._batch_size):
            batch = slice(start, start + self._batch_size)
            answers = step(*(tf.constant(array) for array in self._rows.take(batch)))
            for kept, answer in zip(self._kept or (), answers, strict=False):
                kept[batch] = answer.numpy()

    def metrics(self) -> dict[str, float | None]:
        """Keras's metrics under its names, as its `evaluate` reads them; none where the version has no loss."""
        if not self._model.compiled:
            return {}
        return {name: finite_or_none(value) for name, value in self._model.get_metrics_result().items()}

    def reports(self, compilation: Compilation | None, threshold: float) -> dict[str, Any]:
        """A report for each output, by its name."""
        if self._kept is None:
            size = f"The predictions would take more than {MOST_BYTES // 2**20} MiB"
            why = {"task": f"{size}, the most on which there is a report. Evaluate on fewer rows."}
            return {name: {"task": None, "reasons": why} for name in self._network.outputs}
        layout, arrays = self._rows.layout, self._rows.arrays
        targets = arrays[layout.inputs : layout.inputs + layout.outputs]
        weight = arrays[-1] if layout.weights else None
        return {
            name: report(
                Answers(
                    y=np.asarray(y),
                    predictions=kept,
                    weight=None if weight is None else np.asarray(weight, np.float64),
                    loss=None if compilation is None else compilation.loss[name],
                    activation=_activation(self._network, name),
                    threshold=threshold,
                )
            )
            for name, y, kept in zip(self._network.outputs, targets, self._kept, strict=True)
        }

    def _room(self) -> list[Array] | None:
        """Room for all predictions, if there is enough; sizes that are not fixed are those of the first batch."""
        shapes = [tuple(tensor.shape[1:]) for tensor in self._model.outputs]
        if any(None in shape for shape in shapes):
            first = self._rows.take(slice(0, 1))[: self._rows.layout.inputs]
            answers = keras.tree.flatten(self._model(_one_or_all(first), training=False))
            shapes = [tuple(answer.shape[1:]) for answer in answers]
        values = sum(math.prod(shape) for shape in shapes) * len(self._rows)
        if values * 4 > MOST_BYTES:
            return None
        return [np.empty((len(self._rows), *shape), np.float32) for shape in shapes]

    def _step(self) -> Any:
        """Keras's own step, compiled as its `evaluate` does, which gives the outputs' answers."""
        model, rows, sight = self._model, self._rows, self._model.observe()
        even = len(rows) % self._batch_size == 0
        given = [
            tf.TensorSpec((self._batch_size if even else None, *array.shape[1:]), dtype)
            for array, dtype in zip(rows.arrays, rows.dtypes, strict=True)
        ]

        @tf.function(input_signature=given, autograph=False)  # type: ignore[untyped-decorator,unused-ignore]
        def step(*arrays: Any) -> list[Any]:
            if model.compiled:
                model.test_step(rows.layout.pack(arrays))
                return list(keras.tree.flatten(sight.answers))
            x = rows.layout.pack(arrays)[0]
            return list(keras.tree.flatten(model(x, training=False)))

        return step


def _activation(network: Network, output: str) -> str | None:
    """The activation that makes an output, where it is a plain name."""
    for layer in network.layers:
        if layer.name == output:
            activation = "softmax" if layer.type == "Softmax" else layer.arguments.get("activation")
            return activation if isinstance(activation, str) else None
    return None
