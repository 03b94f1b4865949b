"""A service with two models whose ONNX files were written by hand, so that nothing has to be trained."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from flask import Flask
from onnx import TensorProto, helper, save

from service.app import create_app
from service.config import Settings
from service.data.store import FileStore
from service.registry.claims import Claims
from service.registry.database import Database
from service.registry.datasets import Datasets
from service.registry.job import NewJob
from service.registry.jobs import Jobs
from service.registry.migrate import upgrade
from tests.registry.conftest import LEASE, NOON, REQUEST, a_dataset, a_version

#: The logarithm of two numbers: it is not finite for all of them.
LOG = "log"
#: The sum of two inputs, and their product.
PAIR = "pair"


def served(folder: Path, **settings: Any) -> Flask:
    """The application; `log` has two versions, `pair` has one."""
    own = Settings(data=folder, **settings)
    upgrade(own.database)
    database = Database(own.database)
    dataset = a_dataset()
    Datasets(database).add(dataset)
    x, y = _tensor("x", 2), _tensor("y", 2)
    for _ in range(2):
        _publish(database, folder, LOG, [x], [y], [helper.make_node("Log", ["x"], ["y"])], dataset.id)
    nodes = [helper.make_node("Add", ["a", "b"], ["sum"]), helper.make_node("Mul", ["a", "b"], ["product"])]
    pairs = [_tensor("a", 1), _tensor("b", 1)], [_tensor("sum", 1), _tensor("product", 1)]
    _publish(database, folder, PAIR, *pairs, nodes, dataset.id)
    return create_app(own)


def _tensor(name: str, size: int) -> dict[str, Any]:
    return {"name": name, "shape": [size], "dtype": "float32"}


def _publish(
    database: Database,
    folder: Path,
    model: str,
    inputs: Sequence[dict[str, Any]],
    outputs: Sequence[dict[str, Any]],
    nodes: Sequence[Any],
    dataset: str,
) -> None:
    Jobs(database).submit(NewJob(model=model, request=REQUEST, dataset=dataset), NOON)
    job = Claims(database).claim("here:sup_1", LEASE, NOON)
    assert job is not None
    version = replace(a_version(job), inputs=list(inputs), outputs=list(outputs), engine="onnxruntime")
    files = FileStore(folder)
    temp = files.new_folder()
    graph = helper.make_graph(nodes, model, list(map(_described, inputs)), list(map(_described, outputs)))
    save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10), temp / "model.onnx")
    files.publish(temp, "versions", version.id)
    assert Claims(database).succeed(job.id, job.attempt, version, NOON) is not None


def _described(tensor: dict[str, Any]) -> Any:
    return helper.make_tensor_value_info(tensor["name"], TensorProto.FLOAT, [None, *tensor["shape"]])
