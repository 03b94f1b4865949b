"""How rows are asked about: the bodies that a server takes, and how its answers are read."""

import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import orjson

from benchmarks.serving.networks import DECIMALS, Array

JSON_LENGTH = "Inference-Header-Content-Length"
_JSON = {"Content-Type": "application/json"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One POST, the same for the client that checks and for the load generator."""

    path: str
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What came back; the headers' names are in lower case."""

    status: int
    body: bytes
    headers: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialect:
    """`path` has {network} where the network's name goes; `write` takes the rows and the input's name.

    `read` gives the answer's numbers, in any shape.
    """

    path: str
    write: Callable[[Array, str], tuple[bytes, Mapping[str, str]]]
    read: Callable[[Answer], Array]

    def call(self, network: str, input_name: str, rows: Array) -> Call:
        body, headers = self.write(rows, input_name)
        return Call(path=self.path.format(network=network), body=body, headers=headers)


def instances(path: str, key: str = "instances") -> Dialect:
    """Rows as nested lists under a key; predictions under `predictions`."""
    return Dialect(
        path=path,
        write=lambda rows, _: (orjson.dumps({key: nested(rows)}), _JSON),
        read=lambda answer: np.array(orjson.loads(answer.body)["predictions"], dtype=np.float64),
    )


def bare_list(path: str) -> Dialect:
    """Rows as nested lists under `instances`; the answer is the list of predictions alone."""
    return Dialect(
        path=path,
        write=lambda rows, _: (orjson.dumps({"instances": nested(rows)}), _JSON),
        read=lambda answer: np.array(orjson.loads(answer.body), dtype=np.float64),
    )


def constant(body: Dialect, path: str) -> Dialect:
    """The same body, and an answer that says nothing about the rows."""
    return Dialect(path=path, write=body.write, read=lambda _: np.array([], dtype=np.float64))


def open_inference(path: str) -> Dialect:
    """The Open Inference Protocol with flat JSON data."""

    def write(rows: Array, input_name: str) -> tuple[bytes, Mapping[str, str]]:
        tensor = {**_tensor(rows, input_name), "data": nested(rows.reshape(-1))}
        return orjson.dumps({"id": "1", "inputs": [tensor]}), _JSON

    return Dialect(
        path=path,
        write=write,
        read=lambda answer: np.array(orjson.loads(answer.body)["outputs"][0]["data"], dtype=np.float64),
    )


def open_inference_binary(path: str) -> Dialect:
    """The same with the tensors as bytes behind the JSON, in both directions."""

    def write(rows: Array, input_name: str) -> tuple[bytes, Mapping[str, str]]:
        tensor = {**_tensor(rows, input_name), "parameters": {"binary_data_size": rows.nbytes}}
        head = orjson.dumps({"id": "1", "inputs": [tensor], "parameters": {"binary_data_output": True}})
        headers = {"Content-Type": "application/octet-stream", JSON_LENGTH: str(len(head))}
        return head + rows.tobytes(), headers

    def read(answer: Answer) -> Array:
        length = int(answer.headers[JSON_LENGTH.lower()])
        output = orjson.loads(answer.body[:length])["outputs"][0]
        return np.frombuffer(answer.body[length:], dtype=np.float32).reshape(output["shape"])

    return Dialect(path=path, write=write, read=read)


def npy(path: str) -> Dialect:
    """NumPy's own file format, in both directions."""

    def write(rows: Array, _: str) -> tuple[bytes, Mapping[str, str]]:
        file = io.BytesIO()
        np.save(file, rows, allow_pickle=False)
        return file.getvalue(), {"Content-Type": "application/x-npy", "Accept": "application/x-npy"}

    return Dialect(path=path, write=write, read=lambda answer: load_npy(answer.body))


def load_npy(body: bytes) -> Array:
    array: Array = np.load(io.BytesIO(body), allow_pickle=False)
    return array


def nested(rows: Array) -> list[Any]:
    """Lists of numbers as the rows were rounded, not as float32 widens them."""
    values: list[Any] = np.round(rows.astype(np.float64), DECIMALS).tolist()
    return values


def _tensor(rows: Array, input_name: str) -> dict[str, Any]:
    return {"name": input_name, "shape": list(rows.shape), "datatype": "FP32"}
