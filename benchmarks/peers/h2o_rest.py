"""H2O-3's Deep Learning through its REST API: a new server, the data parsed before, then POST until the job is done.

One hidden layer of the case's size, batches of the same size, all other arguments H2O's own. It does not tell its
steps apart, so that only whole jobs are timed.
"""

import importlib.util
import io
import json
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import requests

from benchmarks.cases import BATCH_SIZE, Case, arrays
from benchmarks.clock import poll
from benchmarks.peers.servers import free_port, running
from benchmarks.plan import Plan
from benchmarks.readings import Measurement, Quantity

JOB_SECONDS = 600.0
FRAME = "rows.hex"
SETTLING_SECONDS = 2.0


def measure(case: Case, plan: Plan, variant: str) -> Measurement:
    """The first job of a new server is the cold one."""
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="h2o-bench-") as folder, requests.Session() as http:
        command = ["java", "-Xmx2g", "-jar", str(jar()), "-ip", "127.0.0.1", "-port", str(port)]
        command += ["-name", f"bench{port}", "-nthreads", str(plan.threads), "-ice_root", folder]
        server = Server(http, f"http://127.0.0.1:{port}")
        with running(command, Path(folder) / "log", server.is_ready):
            server.load(case)
            time.sleep(SETTLING_SECONDS)
            cold, model = server.train(case, plan.epochs, seed=1)
            again = [server.train(case, plan.epochs, seed=2 + number)[0] for number in range(plan.again)]
            return Measurement(
                values={Quantity.COLD: [cold], Quantity.AGAIN: again, Quantity.LOSS: [server.loss(model)]}
            )


def jar() -> Path:
    """The server that the Python package brings along."""
    found = importlib.util.find_spec("h2o")
    if found is None or found.origin is None:
        raise RuntimeError("h2o is not installed.")
    return Path(found.origin).parent / "backend" / "bin" / "h2o.jar"


class Server:
    """The few addresses of version 3 of the API that are needed."""

    def __init__(self, http: requests.Session, url: str) -> None:
        self._http = http
        self._url = url

    def is_ready(self) -> bool:
        answer = requests.get(f"{self._url}/3/Cloud", timeout=5)
        return answer.ok and bool(answer.json().get("cloud_healthy"))

    def load(self, case: Case) -> None:
        """Upload the rows as CSV and have them parsed, the answers as classes."""
        raw = self._post("PostFile?destination_frame=rows.csv", files={"file": csv(case)})["destination_frame"]
        setup = self._post("ParseSetup", source_frames=json.dumps([raw]))
        types = ["Numeric"] * (setup["number_columns"] - 1) + ["Enum"]
        given = {
            "destination_frame": FRAME,
            "source_frames": json.dumps([raw]),
            "parse_type": setup["parse_type"],
            "separator": setup["separator"],
            "number_columns": setup["number_columns"],
            "single_quotes": False,
            "column_names": json.dumps(setup["column_names"]),
            "column_types": json.dumps(types),
            "check_header": 1,
            "chunk_size": setup["chunk_size"],
            "delete_on_done": True,
        }
        self._wait(self._post("Parse", **given)["job"]["key"]["name"])

    def train(self, case: Case, epochs: int, seed: int) -> tuple[float, str]:
        """Seconds from POST to the job's end, and the model's name."""
        started = time.perf_counter()
        answer = self._post(
            "ModelBuilders/deeplearning",
            training_frame=FRAME,
            response_column="y",
            hidden=json.dumps([case.layers[0]["units"]]),
            epochs=epochs,
            mini_batch_size=BATCH_SIZE,
            seed=seed,
        )
        job = self._wait(answer["job"]["key"]["name"])
        return time.perf_counter() - started, str(job["dest"]["name"])

    def loss(self, model: str) -> float:
        """The training log loss as H2O reports it."""
        answer = checked(self._http.get(f"{self._url}/3/Models/{model}", timeout=60))
        return float(answer["models"][0]["output"]["training_metrics"]["logloss"])

    def _wait(self, job: str) -> dict[str, Any]:
        done = poll(lambda: self._ended(job), JOB_SECONDS)
        if done["status"] != "DONE":
            raise RuntimeError(f"H2O's job ended as {done['status']}: {done.get('exception')}")
        return done

    def _ended(self, job: str) -> dict[str, Any] | None:
        answer = checked(self._http.get(f"{self._url}/3/Jobs/{job}", timeout=60))["jobs"][0]
        return None if answer["status"] in ("CREATED", "RUNNING") else dict(answer)

    def _post(self, path: str, files: Mapping[str, bytes] | None = None, **form: Any) -> dict[str, Any]:
        return checked(self._http.post(f"{self._url}/3/{path}", data=form, files=files, timeout=60))


def csv(case: Case) -> bytes:
    """The rows with a header; the last column is the answer, `y`."""
    x, y = arrays(case)
    header = ",".join([*(f"x{number}" for number in range(x.shape[1])), "y"])
    file = io.BytesIO()
    np.savetxt(file, np.column_stack([x, y]), delimiter=",", header=header, comments="", fmt="%.8g")
    return file.getvalue()


def checked(answer: requests.Response) -> dict[str, Any]:
    """The answer's JSON; an error of H2O is raised with what it says."""
    if not answer.ok:
        raise RuntimeError(f"H2O answered {answer.status_code}: {answer.text[:2000]}")
    return dict(answer.json())
