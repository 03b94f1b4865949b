"""kerasd over HTTP: a service of its own in a new folder, so that no shape was ever trained on it.

In order: the service is ready; the data set is uploaded; the cold job; the same shape again; a long job, in which the
service may measure how to run this network; then pairs of a short and a long job. The time of a step is the difference
of a pair's times by the difference of their steps: whatever a job costs besides its steps cancels out.
"""

import io
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import requests

from benchmarks.cases import BATCH_SIZE, Case, arrays
from benchmarks.clock import poll
from benchmarks.peers.servers import free_port, running
from benchmarks.plan import Plan
from benchmarks.readings import Measurement, Quantity

#: After the service has said that it is ready, it still warms up a process for the first job.
SETTLING_SECONDS = 5.0
JOB_SECONDS = 3600.0
TERMINAL = ("succeeded", "failed", "cancelled")


def measure(case: Case, plan: Plan, variant: str) -> Measurement:
    """Times are from POST to `succeeded` as the client sees them: training, saving, export and its check included."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    with tempfile.TemporaryDirectory(prefix="kerasd-bench-") as folder:
        environment = {f"KERASD_{name.upper()}": value for name, value in plan.settings.items()}
        environment |= {"KERASD_DATA": str(Path(folder) / "data"), "KERASD_PORT": str(port)}
        command = [sys.executable, "-m", "service.cli", "serve"]
        with running(command, Path(folder) / "log", lambda: is_ready(url), environment), requests.Session() as http:
            return run_jobs(Client(http, url, case, plan))


def is_ready(url: str) -> bool:
    return requests.get(f"{url}/health/ready", timeout=5).status_code == 200


class Client:
    """Trains one case on one service; every job has a seed of its own, so that none repeats another."""

    def __init__(self, http: requests.Session, url: str, case: Case, plan: Plan) -> None:
        self.case = case
        self.plan = plan
        self._http = http
        self._url = url
        self._seed = 0
        self._dataset = self._upload()

    def _upload(self) -> str:
        x, y = arrays(self.case)
        file = io.BytesIO()
        np.savez(file, x=x, y=y)
        headers = {"Content-Type": "application/x-npz"}
        answer = self._http.post(f"{self._url}/v1/datasets", data=file.getvalue(), headers=headers, timeout=60)
        return str(checked(answer)["id"])

    def train(self, epochs: int) -> tuple[float, dict[str, Any]]:
        """Seconds from POST to the job's end, and the job."""
        self._seed += 1
        body = submission(self.case, self.plan, self._dataset, epochs, self._seed)
        started = time.perf_counter()
        job_id = checked(self._http.post(f"{self._url}/v1/jobs", json=body, timeout=60))["id"]
        job = poll(lambda: self._ended(job_id), JOB_SECONDS)
        seconds = time.perf_counter() - started
        if job["status"] != "succeeded":
            raise RuntimeError(f"The job ended as {job['status']}: {job['failure']}")
        return seconds, job

    def _ended(self, job_id: str) -> dict[str, Any] | None:
        job = checked(self._http.get(f"{self._url}/v1/jobs/{job_id}", timeout=60))
        return job if job["status"] in TERMINAL else None


def submission(case: Case, plan: Plan, dataset: str, epochs: int, seed: int) -> dict[str, Any]:
    """The job's request; what is not forced is left to the service."""
    compiled = {} if plan.jit_compile is None else {"jit_compile": plan.jit_compile}
    threads = {} if plan.job_threads is None else {"threads": plan.job_threads}
    return {
        "model": case.name,
        "architecture": {"layers": [dict(layer) for layer in case.layers]},
        "compile": {"loss": case.loss, "optimizer": "adam", "metrics": ["accuracy"], **compiled},
        "fit": {"epochs": epochs, "batch_size": BATCH_SIZE},
        "seed": seed,
        "dataset": dataset,
        **threads,
    }


def checked(answer: requests.Response) -> dict[str, Any]:
    """The answer's JSON; an error of the service is raised with what it says."""
    if not answer.ok:
        raise RuntimeError(f"The service answered {answer.status_code}: {answer.text[:2000]}")
    return dict(answer.json())


def run_jobs(client: Client) -> Measurement:
    case, plan = client.case, client.plan
    time.sleep(SETTLING_SECONDS)
    cold, first = client.train(plan.epochs)
    again = [client.train(plan.epochs)[0] for _ in range(plan.again)]
    short, long = long_epochs(case, plan)
    client.train(long)
    pairs = [(client.train(short), client.train(long)) for _ in range(plan.pairs)]
    jobs = [job for pair in pairs for _, job in pair]
    steps = (long - short) * case.steps
    values = {
        Quantity.COLD: [cold],
        Quantity.AGAIN: again,
        Quantity.STEP: [(after[0] - before[0]) / steps for before, after in pairs],
        Quantity.PROGRESS_STEP: progress_steps(case, [after[1] for _, after in pairs]),
        Quantity.LOSS: [first["metrics"]["loss"]],
    }
    notes = (
        f"{plan.epochs}-epoch jobs: {execution(first)}",
        f"long jobs: {', '.join(dict.fromkeys(map(execution, jobs)))}",
    )
    return Measurement(values={name: readings for name, readings in values.items() if readings}, notes=notes)


def long_epochs(case: Case, plan: Plan) -> tuple[int, int]:
    """Epochs of the short and of the long job of a pair: the short one has half of the work."""
    long = max(2, round(plan.long_seconds / (case.graph_step_seconds * case.steps)))
    return long // 2, long


def progress_steps(case: Case, jobs: list[dict[str, Any]]) -> list[float]:
    """Seconds of a step by each job's own samples_per_second; an epoch's last step may have fewer samples."""
    speeds = [(job.get("progress") or {}).get("samples_per_second") for job in jobs]
    return [case.rows / case.steps / speed for speed in speeds if speed]


def execution(job: dict[str, Any]) -> str:
    """How the service ran a job, in words."""
    chosen = job.get("execution")
    if not chosen:
        return "execution not said"
    compiled = "XLA" if chosen.get("jit_compile") else "graph"
    return f"{compiled}, {chosen.get('threads')} thread(s), by {chosen.get('chosen_by')}"
