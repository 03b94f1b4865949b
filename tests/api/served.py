"""A service with models whose ONNX files were written by hand, so that nothing has to be trained."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from flask import Flask
from onnx import TensorProto, helper, numpy_helper, save

from service.app import create_app
from service.config import Settings
from service.data.store import FileStore
from service.registry.claims import Claims
from service.registry.database import Database
from service.registry.datasets import Datasets
from service.registry.job import NewJob
from service.registry.jobs import Jobs
from service.registry.migrate import upgrade
from service.registry.models import Version
from tests.registry.conftest import LEASE, NOON, REQUEST, a_dataset, a_version

#: The logarithm of two numbers: it is not finite for all of them.
LOG = "log"
#: The sum of two inputs, and their product.
PAIR = "pair"

_TYPES = {"float32": TensorProto.FLOAT, "int32": TensorProto.INT32, "bool": TensorProto.BOOL}


class Published:
    """A data folder to publish versions in, without any training."""

    def __init__(self, folder: Path, **settings: Any) -> None:
        self.settings = Settings(data=folder, **settings)
        folder.mkdir(exist_ok=True)
        upgrade(self.settings.database)
        self._files = FileStore(folder)
        self._dataset = a_dataset()
        database = Database(self.settings.database)
        Datasets(database).add(self._dataset)
        database.close()

    def logarithm(self, model: str, **facts: Any) -> Version:
        """The logarithm of each of two numbers."""
        x, y = tensor("x", 2), tensor("y", 2)
        return self.publish(model, graph_of([helper.make_node("Log", ["x"], ["y"])], [x], [y]), [x], [y], **facts)

    def pair(self, model: str) -> Version:
        """The sum and the product of two inputs."""
        inputs, outputs = [tensor("a", 1), tensor("b", 1)], [tensor("sum", 1), tensor("product", 1)]
        nodes = [helper.make_node("Add", ["a", "b"], ["sum"]), helper.make_node("Mul", ["a", "b"], ["product"])]
        return self.publish(model, graph_of(nodes, inputs, outputs), inputs, outputs)

    def negation(self, model: str) -> Version:
        """The opposite of each of two booleans, as numbers."""
        m, y = tensor("m", 2, dtype="bool"), tensor("y", 2)
        nodes = [
            helper.make_node("Not", ["m"], ["not"]),
            helper.make_node("Cast", ["not"], ["y"], to=TensorProto.FLOAT),
        ]
        return self.publish(model, graph_of(nodes, [m], [y]), [m], [y])

    def slow(self, model: str, size: int, times: int) -> Version:
        """The number of each row, once so many products with a square matrix have left it as it is."""
        x, y = tensor("x", 1), tensor("y", 1)
        mean = np.full((size, size), 1 / size, np.float32)
        constants = [
            numpy_helper.from_array(mean, "mean"),
            numpy_helper.from_array(np.array([1, size], np.int64), "wide"),
        ]
        nodes = [helper.make_node("Expand", ["x", "wide"], ["m0"])]
        nodes += [helper.make_node("MatMul", [f"m{i}", "mean"], [f"m{i + 1}"]) for i in range(times)]
        nodes.append(helper.make_node("ReduceMean", [f"m{times}"], ["y"], axes=[1], keepdims=1))
        graph = graph_of(nodes, [x], [y], constants)
        return self.publish(model, graph, [x], [y])

    def publish(
        self, model: str, graph: Any, inputs: Sequence[dict[str, Any]], outputs: Sequence[dict[str, Any]], **facts: Any
    ) -> Version:
        """Take a job of a model all the way to its version, whose network is `graph`."""

        def write(path: Path) -> None:
            save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10), path)

        return self.publish_file(model, write, inputs, outputs, **facts)

    def publish_file(
        self,
        model: str,
        write: Callable[[Path], None],
        inputs: Sequence[dict[str, Any]],
        outputs: Sequence[dict[str, Any]],
        **facts: Any,
    ) -> Version:
        """Do the same for a network that `write` puts into a file."""
        database = Database(self.settings.database)
        Jobs(database).submit(NewJob(model=model, request=REQUEST, dataset=self._dataset.id), NOON)
        job = Claims(database).claim("here:sup_1", LEASE, NOON)
        assert job is not None
        own = {"engine": "onnxruntime", "size_bytes": 1000, **facts}
        new = replace(a_version(job), inputs=list(inputs), outputs=list(outputs), **own)
        temp = self._files.new_folder()
        write(temp / "model.onnx")
        self._files.publish(temp, "versions", new.id)
        version = Claims(database).succeed(job.id, job.attempt, new, NOON)
        database.close()
        assert version is not None
        return version


def served(folder: Path, **settings: Any) -> Flask:
    """The application; `log` has two versions, `pair` has one."""
    published = Published(folder, **settings)
    for _ in range(2):
        published.logarithm(LOG)
    published.pair(PAIR)
    return create_app(published.settings)


def tensor(name: str, *shape: int, dtype: str = "float32") -> dict[str, Any]:
    return {"name": name, "shape": list(shape), "dtype": dtype}


def graph_of(
    nodes: Sequence[Any], inputs: Sequence[dict[str, Any]], outputs: Sequence[dict[str, Any]], constants: Any = ()
) -> Any:
    """An ONNX graph between tensors, each with the rows in front."""
    return helper.make_graph(nodes, "graph", list(map(_value, inputs)), list(map(_value, outputs)), list(constants))


def _value(of: dict[str, Any]) -> Any:
    return helper.make_tensor_value_info(of["name"], _TYPES[of["dtype"]], [None, *of["shape"]])
