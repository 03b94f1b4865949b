"""kerasd's "auto" over HTTP: the training rows are uploaded as a file, and the test rows are asked as raw records."""

import base64
import contextlib
import csv
import io
import sys
import tempfile
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import requests

from benchmarks.accuracy.cases import Case, Record, Rows
from benchmarks.clock import poll
from benchmarks.peers.kerasd import TERMINAL, checked, is_ready
from benchmarks.peers.servers import free_port, running

JOB_SECONDS: Final = 1800.0
#: The sets whose labels are written in digits.
DIGITS: Final = ("digits", "images", "power")
#: Test rows in one request.
ROWS_A_REQUEST: Final = 100

Part = Sequence[int]


@contextlib.contextmanager
def service() -> Iterator["Client"]:
    """A service of its own, in a new folder."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    with tempfile.TemporaryDirectory(prefix="kerasd-quality-") as folder:
        environment = {"KERASD_DATA": str(Path(folder) / "data"), "KERASD_PORT": str(port)}
        command = [sys.executable, "-m", "service.cli", "serve"]
        with running(command, Path(folder) / "log", lambda: is_ready(url), environment), requests.Session() as http:
            yield Client(http, url)


class Client:
    """What a person would do: upload, submit with a target and "auto", wait, and predict."""

    def __init__(self, http: requests.Session, url: str) -> None:
        self._http = http
        self._url = url

    def answers(self, case: Case, rows: Rows, train: Part, test: Part, seed: int) -> list[Any]:
        """A label or a number for each test row."""
        model = f"{case.name}-{seed}"
        body = submission(case, model, self.upload(case, rows, train), seed)
        job = checked(self._http.post(f"{self._url}/v1/jobs", json=body, timeout=120))
        job = poll(lambda: self._ended(job["id"]), JOB_SECONDS)
        if job["status"] != "succeeded":
            raise RuntimeError(f"The job ended as {job['status']}: {job['failure']}")
        instances = [as_instance(rows.records[place]) for place in test]
        return [
            answer_of(one)
            for first in range(0, len(test), ROWS_A_REQUEST)
            for one in self._predict(model, instances[first : first + ROWS_A_REQUEST])
        ]

    def upload(self, case: Case, rows: Rows, train: Part) -> str:
        """The id of the data set that the training rows became."""
        content, media_type, query = file_of(case, rows, train)
        headers = {"Content-Type": media_type}
        url = f"{self._url}/v1/datasets"
        return str(checked(self._http.post(url, data=content, headers=headers, params=query, timeout=300))["id"])

    def _ended(self, job_id: str) -> dict[str, Any] | None:
        job = checked(self._http.get(f"{self._url}/v1/jobs/{job_id}", timeout=60))
        return job if job["status"] in TERMINAL else None

    def _predict(self, model: str, instances: list[Any]) -> list[Any]:
        url = f"{self._url}/v1/models/{model}/predict"
        return list(checked(self._http.post(url, json={"instances": instances}, timeout=120))["predictions"])


def submission(case: Case, model: str, dataset: str, seed: int) -> dict[str, Any]:
    """Everything but the target is left to kerasd; that digits are classes, and no quantity, is all that it is told."""
    target = {"column": case.target, "as": "classes"} if case.name in DIGITS else case.target
    return {"model": model, "dataset": dataset, "target": target, "architecture": "auto", "seed": seed}


def file_of(case: Case, rows: Rows, train: Part) -> tuple[bytes, str, dict[str, str]]:
    """The training rows as a person would have them: the file, its media type, and the query of the upload."""
    if case.form == "images":
        return archive(rows, train), "application/zip", {}
    if case.form == "sequences":
        return steps(case, rows, train), "text/csv", {"sequence": "id", "time": "time"}
    return table(case, rows, train), "text/csv", {}


def table(case: Case, rows: Rows, train: Part) -> bytes:
    """A CSV file, the target last; a gap is an empty cell."""
    file = io.StringIO()
    writer = csv.writer(file)
    writer.writerow([*rows.records[0], case.target])
    writer.writerows([*rows.records[place].values(), rows.labels[place]] for place in train)
    return file.getvalue().encode()


def archive(rows: Rows, train: Part) -> bytes:
    """A zip of PNG files in a folder for each label."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as files:
        for place in train:
            files.writestr(f"{rows.labels[place]}/{place:05}.png", rows.records[place]["image"])
    return file.getvalue()


def steps(case: Case, rows: Rows, train: Part) -> bytes:
    """A long CSV file with a line for each step, and the label repeated in each."""
    file = io.StringIO()
    writer = csv.writer(file)
    channels = len(rows.records[0]["sequence"][0])
    writer.writerow(["id", "time", *(f"channel_{number}" for number in range(channels)), case.target])
    for place in train:
        values = enumerate(rows.records[place]["sequence"])
        writer.writerows([f"s{place}", time, *step, rows.labels[place]] for time, step in values)
    return file.getvalue().encode()


def as_instance(record: Record) -> dict[str, Any]:
    """A record as JSON has it: files as Base64."""
    return {
        name: {"b64": base64.b64encode(value).decode()} if isinstance(value, bytes) else value
        for name, value in record.items()
    }


def answer_of(prediction: Any) -> Any:
    """The label, or the number."""
    return prediction["label"] if isinstance(prediction, dict) else prediction
