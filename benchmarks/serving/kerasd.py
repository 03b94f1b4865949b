"""kerasd as a client of it sees it: uploads, jobs and versions over HTTP."""

import contextlib
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import requests

from benchmarks.clock import poll
from benchmarks.serving.networks import Array

JOB_SECONDS = 600.0
TERMINAL = ("succeeded", "failed", "cancelled")


def settings(data: Path, port: int) -> dict[str, str]:
    """The only settings that differ from the defaults."""
    return {"KERASD_DATA": str(data), "KERASD_PORT": str(port)}


class Client:
    """The few addresses that are needed; an error of the service is raised with what it says."""

    def __init__(self, port: int) -> None:
        self._url = f"http://127.0.0.1:{port}"
        self._http = requests.Session()

    def close(self) -> None:
        self._http.close()

    def upload(self, x: Array, y: Array) -> str:
        """The id of the new data set."""
        file = io.BytesIO()
        np.savez(file, x=x, y=y)
        headers = {"Content-Type": "application/x-npz"}
        return str(self._checked("POST", "/v1/datasets", data=file.getvalue(), headers=headers)["id"])

    def train(self, submission: dict[str, Any]) -> dict[str, Any]:
        """The job, once it has succeeded."""
        job_id = self.submit(submission)
        job = poll(lambda: self._in_state(job_id, TERMINAL), JOB_SECONDS)
        if job["status"] != "succeeded":
            raise RuntimeError(f"The job ended as {job['status']}: {job['failure']}")
        return job

    @contextlib.contextmanager
    def training(self, submission: dict[str, Any]) -> Iterator[None]:
        """While a job runs; it is cancelled at the end, without a version.

        Raises:
            RuntimeError: it ended by itself before.
        """
        job_id = self.submit(submission)
        poll(lambda: self._has_progress(job_id), JOB_SECONDS)
        try:
            yield
        finally:
            ended = self._in_state(job_id, TERMINAL)
            if not ended:
                self._checked("POST", f"/v1/jobs/{job_id}/cancel")
                poll(lambda: self._in_state(job_id, TERMINAL), JOB_SECONDS)
        if ended:
            raise RuntimeError(f"The job ended as {ended['status']} before the reading did: {ended['failure']}")

    def submit(self, submission: dict[str, Any]) -> str:
        return str(self._checked("POST", "/v1/jobs", json=submission)["id"])

    def version(self, model: str, number: int) -> dict[str, Any]:
        """A version's description; its id names its folder."""
        return self._checked("GET", f"/v1/models/{model}/versions/{number}")

    def _in_state(self, job_id: str, states: tuple[str, ...]) -> dict[str, Any] | None:
        job = self._checked("GET", f"/v1/jobs/{job_id}")
        return job if job["status"] in states else None

    def _has_progress(self, job_id: str) -> bool | None:
        job = self._checked("GET", f"/v1/jobs/{job_id}")
        return bool((job.get("progress") or {}).get("epoch")) or job["status"] in TERMINAL or None

    def _checked(self, method: str, path: str, **sent: Any) -> dict[str, Any]:
        answer = self._http.request(method, f"{self._url}{path}", timeout=60, **sent)
        if not answer.ok:
            raise RuntimeError(f"kerasd answered {answer.status_code} to {method} {path}: {answer.text[:2000]}")
        return dict(answer.json())
