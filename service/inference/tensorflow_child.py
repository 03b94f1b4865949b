"""The process that answers predictions with TensorFlow, for the versions that ONNX Runtime cannot serve.

It is forked from the zygote, listens on a Unix socket that only the service's user may open, and ends on SIGTERM.
"""

import signal
import threading
from collections import OrderedDict
from contextlib import suppress
from multiprocessing.connection import Connection, Listener
from pathlib import Path
from typing import Any

import numpy as np

from service.data.store import FileStore
from service.inference.tensorflow_client import receive, send

Arrays = dict[str, np.ndarray[Any, Any]]

#: How many models stay in memory.
_MOST_MODELS = 8
#: How many web workers' threads may be waiting for a connection at once.
_BACKLOG = 128


def serve_predictions(supervisor: Any, socket_path: str, store_root: Path) -> None:
    """Answer predictions until SIGTERM; runs in the main thread of a process of its own.

    `supervisor` is the line that every child is given; nothing is said on it here.
    """
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    # A socket that an earlier process has left behind would refuse the new one.
    Path(socket_path).unlink(missing_ok=True)
    models = _Models(FileStore(store_root))
    with Listener(socket_path, family="AF_UNIX", backlog=_BACKLOG) as listener:
        Path(socket_path).chmod(0o600)
        threading.Thread(target=_accept, args=(listener, models), daemon=True).start()
        stop.wait()


class _Models:
    """Models ready to answer, the least recently used dropped first."""

    def __init__(self, store: FileStore) -> None:
        self._store = store
        self._lock = threading.Lock()
        self._models: OrderedDict[str, _Model] = OrderedDict()

    def get(self, version_id: str) -> "_Model":
        """Give a version's model; one is built at a time, since Keras's building is not made for threads."""
        with self._lock:
            if version_id not in self._models:
                self._models[version_id] = _Model(self._store.version(version_id))
            self._models.move_to_end(version_id)
            while len(self._models) > _MOST_MODELS:
                self._models.popitem(last=False)
            return self._models[version_id]


class _Model:
    """A version's model, built anew from its checked architecture and then given its weights."""

    def __init__(self, folder: Path) -> None:
        # Keras is imported here, so that whoever imports this module does not need it.
        from service.architecture.stored import load
        from service.inference.conversion import forward

        network, model = load(folder)
        self._forward, self._signature = _compiled(forward, model, network.outputs)

    def predict(self, arrays: Arrays) -> Arrays:
        """Predict a batch: arrays by input name, each (rows, *shape), give arrays by output name."""
        outputs = self._forward(*(arrays[spec.name] for spec in self._signature.inputs))
        return {name: tensor.numpy() for name, tensor in outputs.items()}


def _compiled(forward: Any, model: Any, outputs: tuple[str, ...]) -> tuple[Any, Any]:
    from service.inference.signature import Signature, TensorSpec

    def spec(name: str, tensor: Any) -> TensorSpec:
        return TensorSpec(name=name, shape=tuple(tensor.shape[1:]), dtype=str(tensor.dtype))

    signature = Signature(
        inputs=tuple(spec(tensor.name, tensor) for tensor in model.inputs),
        outputs=tuple(spec(name, tensor) for name, tensor in zip(outputs, model.outputs, strict=True)),
    )
    return forward(model, signature), signature


def _accept(listener: Listener, models: _Models) -> None:
    """Runs in a thread: one more thread for each connection, until the listener is closed."""
    while True:
        try:
            connection = listener.accept()
        except EOFError:
            continue
        except OSError:
            return
        threading.Thread(target=_converse, args=(connection, models), daemon=True).start()


def _converse(connection: "Connection[Any, Any]", models: _Models) -> None:
    """Runs in a connection's thread: answer each message until the other end hangs up."""
    with connection, suppress(EOFError, OSError):
        while True:
            header, arrays = receive(connection)
            try:
                answer, outputs = {}, models.get(header["version"]).predict(arrays)
            except Exception as error:
                # Whatever Keras or the file system raises is the caller's to know; the process goes on.
                answer, outputs = {"error": f"{type(error).__name__}: {error}"[:1000]}, {}
            send(connection, answer, outputs)
