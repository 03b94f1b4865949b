"""The networks trained by kerasd over HTTP, whose files all servers serve, and Keras's own answers for the check."""

import json
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.peers.servers import free_port
from benchmarks.processes import environment
from benchmarks.serving.kerasd import Client, settings
from benchmarks.serving.networks import MOST_ROWS, Array, Network
from benchmarks.serving.running import ServerFailed, ask, is_ok, started, wait_until
from benchmarks.serving.servers import SERVERS

REFERENCE_SECONDS = 300.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """One trained network: its files, kerasd's answer to one row, and Keras's answers to all rows."""

    network: Network
    input_name: str
    onnx: Path
    keras: Path
    answer: bytes
    expected: Array


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """kerasd's data folder with the versions that it trained."""

    data: Path
    served: tuple[Served, ...]


def train(networks: tuple[Network, ...], folder: Path) -> Origin:
    """Train each network in a service of its own, with the data folder inside of `folder`.

    Raises:
        ServerFailed: the service did not start, a version is not served by ONNX Runtime, or Keras could not be asked.
    """
    data, port = folder / "data", free_port()
    command = [sys.executable, "-m", "service.cli", "serve"]
    with started(command, settings(data, port), folder) as process:
        wait_until(lambda: is_ok(port, "/health/ready"), process, folder / "log")
        client = Client(port)
        try:
            served = tuple(_train(network, client, data, port) for network in networks)
        finally:
            client.close()
    return Origin(data=data, served=served)


def _train(network: Network, client: Client, data: Path, port: int) -> Served:
    job = client.train(network.submission(client.upload(*network.training_arrays())))
    version = client.version(network.name, job["version"])
    if version["engine"] != "onnxruntime":
        raise ServerFailed(f"{network.title} has no ONNX file: {version['engine_reason']}")
    input_name = version["inputs"][0]["name"]
    files = data / "versions" / version["id"]
    answer = ask(port, SERVERS["kerasd"].json.call(network.name, input_name, network.rows(1)))
    return Served(
        network=network,
        input_name=input_name,
        onnx=files / "model.onnx",
        keras=files / "model.keras",
        answer=answer.body,
        expected=_keras_answers(network, files / "model.keras"),
    )


def _keras_answers(network: Network, file: Path) -> Array:
    """What `model(x)` gives for all rows, in a process of its own: this one is to stay without TensorFlow."""
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        rows, answers = Path(folder) / "rows.npy", Path(folder) / "answers.npy"
        np.save(rows, network.rows(MOST_ROWS))
        done = subprocess.run(
            [sys.executable, "-c", _REFERENCE, json.dumps([str(file), str(rows), str(answers)])],
            env=environment(),
            capture_output=True,
            text=True,
            check=False,
            timeout=REFERENCE_SECONDS,
        )
        if done.returncode != 0:
            raise ServerFailed(f"Keras could not be asked: {done.stderr.strip()[-2000:]}")
        expected: Array = np.load(answers)
        return expected


_REFERENCE = """
import json, sys
import keras, numpy as np
file, rows, answers = json.loads(sys.argv[1])
model = keras.models.load_model(file, compile=False)
np.save(answers, keras.ops.convert_to_numpy(model(np.load(rows), training=False)))
"""
