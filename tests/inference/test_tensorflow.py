"""The TensorFlow process and its client, over a real socket; and the predictor that chooses between the engines."""

import json
import multiprocessing
import os
import signal
import socket
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from multiprocessing.connection import Listener
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from service.architecture.build import build
from service.architecture.graph import read_architecture
from service.data.store import FileStore
from service.errors import KerasdError, Unavailable
from service.inference.export import export
from service.inference.predictor import MOST_ROWS, Predictor
from service.inference.runtime import Sessions
from service.inference.signature import Engine, Signature
from service.inference.tensorflow_child import serve_predictions
from service.inference.tensorflow_client import TensorFlowClient, receive, send
from tests.inference.models import answers, rows_for, signature_of

# Keras writes its file through NumPy's older interface; not ours to mend.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy:DeprecationWarning")

VERSION_ID = "ver_" + "0" * 26
ARCHITECTURE = {
    "layers": [
        {"type": "Dense", "units": 5, "activation": "gelu"},
        {"type": "Dense", "units": 3},
    ]
}


@dataclass(frozen=True, kw_only=True)
class Version:
    """What the predictor is given of a version."""

    id: str
    engine: Engine
    summary: list[dict[str, Any]] = field(default_factory=lambda: [{"output_shape": [None, 4]}])
    parameters: int = 35


@dataclass(frozen=True, kw_only=True)
class Running:
    """A TensorFlow process with one version in its store, and what Keras itself answers for that."""

    client: TensorFlowClient
    store: FileStore
    signature: Signature
    rows: dict[str, np.ndarray]
    due: np.ndarray


def wait_for(path: Path) -> None:
    """Wait until the socket takes connections."""
    for _ in range(600):
        with socket.socket(socket.AF_UNIX) as tried:
            if tried.connect_ex(str(path)) == 0:
                return
        time.sleep(0.1)
    raise TimeoutError(path)


@pytest.fixture(scope="module")
def running() -> Iterator[Running]:
    """The real process, in a short folder because a socket's path may have 107 bytes only."""
    with tempfile.TemporaryDirectory() as folder:
        store, path = FileStore(Path(folder) / "store"), Path(folder) / "s"
        network = read_architecture(ARCHITECTURE, "/architecture", [])
        assert network is not None
        name = network.inputs[0].name
        model = build(network, {name: (4,)})
        version = store.version(VERSION_ID)
        version.mkdir()
        model.save(version / "model.keras")
        (version / "network.json").write_text(json.dumps({"architecture": ARCHITECTURE, "input_shapes": {name: [4]}}))
        signature = signature_of(model)
        rows = rows_for(signature, rows=MOST_ROWS + 3)
        assert export(model, signature, rows_for(signature), version / "model.onnx").engine == "onnxruntime"
        # What an earlier process has left behind is no obstacle.
        path.touch()
        arguments = (None, str(path), Path(folder) / "store")
        process = multiprocessing.get_context("spawn").Process(target=serve_predictions, args=arguments)
        process.start()
        wait_for(path)
        yield Running(
            client=TensorFlowClient(str(path), timeout=60),
            store=store,
            signature=signature,
            rows=rows,
            due=answers(model, rows[name]),
        )
        assert path.stat().st_mode & 0o777 == 0o600
        assert process.pid is not None
        os.kill(process.pid, signal.SIGTERM)
        process.join(20)
        assert process.exitcode == 0
        process.close()


def test_the_child_answers_as_keras(running: Running) -> None:
    """Batches of any size give Keras's answers under the output's name."""
    for size in (1, 7):
        batch = {name: array[:size] for name, array in running.rows.items()}
        outputs = running.client.predict(VERSION_ID, batch)
        np.testing.assert_allclose(outputs[running.signature.outputs[0].name], running.due[:size], atol=1e-5)


def test_threads_ask_at_once(running: Running) -> None:
    """Each thread has a connection of its own, and gets its own answer."""
    results: dict[int, np.ndarray] = {}

    def ask(row: int) -> None:
        batch = {name: array[row : row + 1] for name, array in running.rows.items()}
        results[row] = running.client.predict(VERSION_ID, batch)[running.signature.outputs[0].name]

    threads = [threading.Thread(target=ask, args=(row,)) for row in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    np.testing.assert_allclose(np.concatenate([results[row] for row in range(16)]), running.due[:16], atol=1e-5)


@pytest.mark.parametrize("version_id", ["ver_" + "1" * 26, "../../etc"])
def test_an_error_inside_is_answered(running: Running, version_id: str) -> None:
    """A version that is not there is an error in words, and the process answers on."""
    with pytest.raises(KerasdError, match="The TensorFlow process could not predict"):
        running.client.predict(version_id, running.rows)
    assert running.client.predict(VERSION_ID, {name: array[:1] for name, array in running.rows.items()})


@pytest.mark.parametrize("engine", ["onnxruntime", "tensorflow"])
def test_the_predictor_answers_in_slices(running: Running, engine: Engine) -> None:
    """Both engines answer more rows than one slice holds, in their order."""
    predictor = Predictor(running.store, Sessions(10**6), running.client)
    outputs = predictor.predict(Version(id=VERSION_ID, engine=engine), running.signature, running.rows)
    np.testing.assert_allclose(outputs[running.signature.outputs[0].name], running.due, atol=1e-5)


def test_no_process_means_try_again(tmp_path: Path) -> None:
    """Where nothing listens, the client is told to repeat the request after a second."""
    with pytest.raises(Unavailable, match="is starting again") as caught:
        TensorFlowClient(str(tmp_path / "s"), timeout=1).predict(VERSION_ID, {})
    assert caught.value.retry_after == 1


@pytest.mark.parametrize(("hangs_up", "words"), [(True, "is starting again"), (False, "no answer within 0.2 seconds")])
def test_a_process_that_dies_or_hangs_is_unavailable(hangs_up: bool, words: str) -> None:
    """A connection that breaks, or is silent for too long, never becomes a wrong answer."""
    asked = threading.Event()
    with tempfile.TemporaryDirectory() as folder, Listener(f"{folder}/s", family="AF_UNIX") as listener:

        def take_and_say_nothing() -> None:
            with listener.accept() as connection:
                connection.recv_bytes()
                if not hangs_up:
                    asked.wait(10)

        thread = threading.Thread(target=take_and_say_nothing)
        thread.start()
        with pytest.raises(Unavailable, match=words):
            TensorFlowClient(f"{folder}/s", timeout=0.2).predict(VERSION_ID, {})
        asked.set()
        thread.join()


def test_messages_are_never_pickled() -> None:
    """An array of objects cannot be sent, so none can be received."""
    ours, theirs = multiprocessing.Pipe()
    with ours, theirs:
        with pytest.raises(ValueError, match="allow_pickle"):
            send(ours, {}, {"x": np.array([object()])})
        assert theirs.recv_bytes() == b'{"arrays":["x"]}'
        send(ours, {"version": "v"}, {"x": np.arange(3)})
        header, arrays = receive(theirs)
    assert header["version"] == "v"
    np.testing.assert_array_equal(arrays["x"], np.arange(3))
