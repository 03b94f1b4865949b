"""The web worker's end of the socket to the TensorFlow process, and the form of the messages on it.

A message is a JSON header, then one `.npy` for each name in its `arrays`. Nothing is ever pickled, so neither end can
make the other run code.
"""

import io
from multiprocessing.connection import Client, Connection
from typing import Any

import numpy as np
import orjson

from service.errors import KerasdError, Unavailable

Arrays = dict[str, np.ndarray[Any, Any]]


class TensorFlowClient:
    """Asks the TensorFlow process for predictions; each call has a connection of its own, so threads need no lock."""

    def __init__(self, socket_path: str, timeout: float) -> None:
        """Waits at most `timeout` seconds for an answer."""
        self._socket_path = socket_path
        self._timeout = timeout

    def predict(self, version_id: str, arrays: Arrays) -> Arrays:
        """Predict a batch: arrays by input name, each (rows, *shape), give arrays by output name.

        Raises Unavailable where the process is starting again or too slow, KerasdError where it reports an error.
        """
        try:
            header, outputs = self._ask(version_id, arrays)
        except (OSError, EOFError) as error:
            raise Unavailable(
                "The TensorFlow process, which serves this model, is starting again; repeat the request.", retry_after=1
            ) from error
        if "error" in header:
            raise KerasdError(f"The TensorFlow process could not predict: {header['error']}")
        return outputs

    def _ask(self, version_id: str, arrays: Arrays) -> tuple[dict[str, Any], Arrays]:
        with Client(self._socket_path, family="AF_UNIX") as connection:
            send(connection, {"version": version_id}, arrays)
            if not connection.poll(self._timeout):
                raise Unavailable(
                    f"The TensorFlow process, which serves this model, gave no answer within {self._timeout:g} "
                    "seconds; send fewer instances, or repeat the request.",
                    retry_after=1,
                )
            return receive(connection)


def send(connection: "Connection[Any, Any]", header: dict[str, Any], arrays: Arrays) -> None:
    """Send one message: the header with the arrays' names, then the arrays."""
    connection.send_bytes(orjson.dumps({**header, "arrays": list(arrays)}))
    for array in arrays.values():
        buffer = io.BytesIO()
        np.save(buffer, array, allow_pickle=False)
        connection.send_bytes(buffer.getbuffer())


def receive(connection: "Connection[Any, Any]") -> tuple[dict[str, Any], Arrays]:
    """Receive one message; raises EOFError where the other end is gone."""
    header = orjson.loads(connection.recv_bytes())
    return header, {name: np.load(io.BytesIO(connection.recv_bytes()), allow_pickle=False) for name in header["arrays"]}
