"""One run of one job, in a process of its own: build, adapt, fit, save, export, compare.

All of it runs in the child. The outcome is told to the supervisor; nothing here opens the database.
"""

import hashlib
import importlib.metadata
import json
import math
import os
from collections.abc import Sequence
from multiprocessing.connection import Connection
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from service.architecture import build
from service.architecture.graph import read_architecture
from service.architecture.network import Network
from service.data.arrays import Part
from service.data.store import load
from service.errors import Fault
from service.inference.export import Exported, export
from service.inference.signature import Signature, TensorSpec
from service.training import engine
from service.training.messages import Assignment, Failed, Finished, StoredArrays

#: Rows on which the export is compared with Keras.
COMPARED_ROWS = 33

#: Packages whose versions a result depends on.
LIBRARIES = ("keras", "tensorflow", "numpy", "onnx", "onnxruntime", "tf2onnx")


def run_job(connection: "Connection[Any, Any]", assignment: Assignment) -> None:
    """Train one model and send its outcome, a `Finished` or a `Failed`, as the last message."""
    outcome: Finished | Failed
    try:
        outcome = _train(connection, assignment)
    except (MemoryError, tf.errors.ResourceExhaustedError):
        outcome = Failed(
            code="out_of_memory",
            message="The training needed more memory than there is. Take a smaller batch_size or a smaller network.",
            retryable=False,
        )
    except tf.errors.InvalidArgumentError as error:
        outcome = Failed(
            code="invalid_data",
            message=f"TensorFlow refused the data: {_first_line(error.message)}. Compare the data's values and shapes "
            "with what the layers and the loss take.",
            retryable=False,
        )
    except Exception as error:
        outcome = Failed(
            code="internal",
            message=f"The training ended with an error of its own: {type(error).__name__}: {_first_line(str(error))}. "
            "The server's log has the details under this job's id.",
            retryable=False,
        )
        _log_traceback(assignment, error)
    connection.send(outcome)


def _train(connection: "Connection[Any, Any]", assignment: Assignment) -> Finished | Failed:
    tf.config.threading.set_intra_op_parallelism_threads(assignment.threads)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    keras.utils.set_random_seed(assignment.seed)
    network = _network(assignment)
    model = build.build(network, _shapes(assignment))
    _compile(model, network, assignment)
    x, data = _fit_data(network, assignment)
    build.adapt(model, network, {name: rows[: data.rows] for name, rows in x.items()})
    callbacks = [build.make("callback", callback) for callback in assignment.fitting.callbacks]
    metrics = engine.fit(model, data, assignment.fitting, callbacks, connection.send)
    if metrics.get("loss") is None:
        return _nan_loss()
    return _save(model, network, assignment, x, metrics)


def _network(assignment: Assignment) -> Network:
    faults: list[Fault] = []
    network = read_architecture(assignment.architecture, "/architecture", faults)
    if network is None:
        raise ValueError(f"The stored architecture is no longer valid: {faults}")
    return network


def _shapes(assignment: Assignment) -> dict[str, tuple[int | None, ...]]:
    return {name: tuple(shape) for name, shape in assignment.input_shapes.items()}


def _compile(model: keras.Model, network: Network, assignment: Assignment) -> None:
    """Compile with one loss and one list of metrics for each output, in the network's order."""
    compilation = assignment.compilation
    losses = [build.make("loss", compilation.loss[name]) for name in network.outputs]
    metrics = [[build.make("metric", metric) for metric in compilation.metrics[name]] for name in network.outputs]
    weights = [compilation.loss_weights[name] for name in network.outputs] if compilation.loss_weights else None
    single = len(network.outputs) == 1
    model.compile(
        optimizer=build.make("optimizer", compilation.optimizer),
        loss=losses[0] if single else losses,
        metrics=metrics[0] if single else metrics,
        loss_weights=weights[0] if single and weights else weights,
    )


def _fit_data(network: Network, assignment: Assignment) -> tuple[dict[str, np.ndarray], engine.FitData]:
    """The training arrays by input name, and what `fit` takes."""
    inputs = [node.name for node in network.inputs]
    x = _by_name(assignment.data, "x", inputs)
    rows = len(next(iter(x.values())))
    data = engine.FitData(
        x=_one_or_all([x[name] for name in inputs]),
        y=_one_or_all(list(_by_name(assignment.data, "y", network.outputs).values())),
        sample_weight=_sample_weight(assignment.data),
        validation=None if assignment.validation_data is None else _tuple(assignment.validation_data, network, inputs),
        rows=math.floor(rows * (1 - assignment.fitting.validation_split)),
    )
    return x, data


def _tuple(stored: StoredArrays, network: Network, inputs: Sequence[str]) -> tuple[Any, ...]:
    """A validation set as Keras takes it: (x, y) or (x, y, sample_weight)."""
    x = _one_or_all(list(_by_name(stored, "x", inputs).values()))
    y = _one_or_all(list(_by_name(stored, "y", network.outputs).values()))
    weight = _sample_weight(stored)
    return (x, y) if weight is None else (x, y, weight)


def _by_name(stored: StoredArrays, part: Part, names: Sequence[str]) -> dict[str, np.ndarray]:
    """The arrays of `part` in the order of `names`; a single array without a name belongs to the only name."""
    arrays = load(stored.folder, stored.arrays, part)
    if set(arrays) == {None}:
        return {names[0]: arrays[None]}
    return {name: arrays[name] for name in names}


def _sample_weight(stored: StoredArrays) -> np.ndarray | None:
    return next(iter(load(stored.folder, stored.arrays, "sample_weight").values()), None)


def _one_or_all(arrays: list[np.ndarray]) -> Any:
    return arrays[0] if len(arrays) == 1 else arrays


def _nan_loss() -> Failed:
    return Failed(
        code="nan_loss",
        message="The loss is no longer a finite number. Lower the learning_rate, scale the data (a Normalization "
        "layer first does it), or clip gradients with the optimizer's clipnorm.",
        retryable=False,
    )


def _save(
    model: keras.Model,
    network: Network,
    assignment: Assignment,
    x: dict[str, np.ndarray],
    metrics: dict[str, float | None],
) -> Finished:
    """Write the version's files into the work folder and say what is in them."""
    folder = assignment.work_folder
    model.save(folder / "model.keras")
    stored = {"architecture": assignment.architecture, "input_shapes": assignment.input_shapes}
    (folder / "network.json").write_text(json.dumps(stored))
    signature = _signature(model, network)
    exported = _export(model, signature, assignment, x)
    return Finished(
        parameters=model.count_params(),
        metrics=metrics,
        inputs=[spec.to_json() for spec in signature.inputs],
        outputs=[spec.to_json() for spec in signature.outputs],
        weights_sha256=weights_sha256(model),
        engine=exported.engine,
        engine_reason=exported.reason,
        max_difference=exported.max_difference,
        libraries={name: importlib.metadata.version(name) for name in LIBRARIES},
    )


def _export(model: keras.Model, signature: Signature, assignment: Assignment, x: dict[str, np.ndarray]) -> Exported:
    sample = {spec.name: np.asarray(x[spec.name][:COMPARED_ROWS], dtype=spec.dtype) for spec in signature.inputs}
    return export(model, signature, sample, assignment.work_folder / "model.onnx")


def _signature(model: keras.Model, network: Network) -> Signature:
    return Signature(
        inputs=tuple(
            TensorSpec(name=node.name, shape=tuple(tensor.shape[1:]), dtype=node.dtype)
            for node, tensor in zip(network.inputs, model.inputs, strict=True)
        ),
        outputs=tuple(
            TensorSpec(name=name, shape=tuple(tensor.shape[1:]), dtype=str(tensor.dtype))
            for name, tensor in zip(network.outputs, model.outputs, strict=True)
        ),
    )


def weights_sha256(model: keras.Model) -> str:
    """SHA-256 over the bytes of `model.weights`, in that order, each C-contiguous and little-endian."""
    digest = hashlib.sha256()
    for weight in model.weights:
        digest.update(np.ascontiguousarray(weight.numpy()).tobytes())
    return digest.hexdigest()


def _first_line(text: str) -> str:
    return text.strip().splitlines()[0][:300] if text.strip() else "no message"


def _log_traceback(assignment: Assignment, error: Exception) -> None:
    import structlog

    structlog.get_logger().error("job_error", job_id=assignment.job, pid=os.getpid(), exc_info=error)
