"""A CSV file that is larger than memory: `python -m benchmarks.large`, or `make bench-large` as root.

A real `kerasd serve` with its default settings has so much memory as a small container, the pages of its files
included. It gets a table of numbers by HTTP, as curl would send it, trains a Dense network on it, and predicts. What is
printed: how long the upload took beside PyArrow alone, which reads the same file and keeps nothing; how long the
training took; and the most memory that all processes of kerasd had together, once ready, while uploading, and while
training. The bar is that nothing is killed: where the job is, it says so and ends.
"""

import argparse
import json
import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as arrow_csv
import requests

from benchmarks.clock import poll, timed
from benchmarks.control_group import Group, NoGroup, limited
from benchmarks.machine import describe
from benchmarks.peers.kerasd import TERMINAL, checked, is_ready
from benchmarks.peers.servers import free_port, running
from benchmarks.processes import environment

FEATURES = 20
ROWS_AT_ONCE = 50_000
TIMEOUT_SECONDS = 3600.0
SAMPLE_SECONDS = 0.05
#: The target is 1 where the sum of the features is above 0.
TARGET = "positive"
NAMES = tuple(f"f{number}" for number in range(FEATURES))


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """Seconds and bytes; memory is that of all processes of kerasd, without the pages of files, and None if unknown."""

    size: int
    rows: int
    limit: int
    upload: float
    pyarrow: float
    training: float
    accuracy: float
    ready_bytes: int | None
    upload_bytes: int | None
    training_bytes: int | None
    kills: int | None

    def report(self) -> str:
        seconds = {"PyArrow alone": self.pyarrow, "upload": self.upload, "training, one epoch": self.training}
        lines = [f"{name:<20}{taken:8.1f} s{self.size / taken / 1e6:8.0f} MB/s" for name, taken in seconds.items()]
        memory = {"ready": self.ready_bytes, "uploading": self.upload_bytes, "training": self.training_bytes}
        lines += [f"memory, {name:<12}{_mebibytes(most)}" for name, most in memory.items()]
        lines.append(f"{self.size / 1e9:.2f} GB, {self.rows} rows, of {self.limit / 2**20:.0f} MiB of memory")
        lines.append(
            f"accuracy {self.accuracy:.3f}; killed for memory: {'unknown' if self.kills is None else self.kills}"
        )
        return "\n".join(
            [*lines, f"the upload took {self.upload / self.pyarrow:.2f} times as long as PyArrow alone", ""]
        )


class Peak(threading.Thread):
    """Looks at the memory of a group all the time, and keeps the most."""

    def __init__(self, group: Group) -> None:
        super().__init__(daemon=True, name="peak")
        self._group = group
        self._ended = threading.Event()
        self.most = 0

    def run(self) -> None:
        while not self._ended.wait(SAMPLE_SECONDS):
            self.most = max(self.most, self._group.anonymous_bytes())

    def end(self) -> None:
        self._ended.set()
        self.join()


@contextmanager
def most_memory(group: Group | None, found: dict[str, int], name: str) -> Iterator[None]:
    """Keep in `found`, by `name`, the most memory that the group has in the block."""
    if group is None:
        yield
        return
    peak = Peak(group)
    peak.start()
    try:
        yield
    finally:
        peak.end()
        found[name] = peak.most


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; 1 if nothing could be measured."""
    given = parser().parse_args(arguments)
    limit = given.limit_megabytes * 2**20
    try:
        with (
            tempfile.TemporaryDirectory(prefix="kerasd-large-", dir=given.folder) as folder,
            limited(limit) if limit else nullcontext() as group,
        ):
            reading = measure(Path(folder), given.megabytes * 10**6, limit, group)
    except NoGroup as error:
        sys.stderr.write(f"{error}\n")
        return 1
    if given.json:
        given.json.write_text(json.dumps(asdict(reading), indent=1) + "\n", encoding="utf-8")
    sys.stdout.write(describe(("kerasd", "pyarrow", "tensorflow"), java=False).sentence() + "\n")
    sys.stdout.write(reading.report())
    return 0


def measure(folder: Path, size: int, limit: int, group: Group | None) -> Reading:
    """Write the file, start the service, and do all of it once."""
    table, port, memory = folder / "table.csv", free_port(), dict[str, int]()
    url = f"http://127.0.0.1:{port}"
    rows = write_table(table, size)
    settings = {"KERASD_DATA": str(folder / "data"), "KERASD_PORT": str(port)}
    serve = [sys.executable, "-m", "service.cli", "serve"]
    command = serve if group is None else group.command(serve)
    client = Client(url)
    alone, _ = timed(lambda: read_by_pyarrow(table))
    with running(command, folder / "log", lambda: is_ready(url), {**environment(), **settings}):
        with most_memory(group, memory, "ready"):
            threading.Event().wait(10 * SAMPLE_SECONDS)
        with most_memory(group, memory, "upload"):
            upload, dataset = timed(lambda: client.upload(table))
        with most_memory(group, memory, "training"):
            training, job = timed(lambda: client.train(dataset))
        client.predict()
        kills = None if group is None else group.kills()
    return Reading(
        size=table.stat().st_size,
        rows=rows,
        limit=limit,
        upload=upload,
        pyarrow=alone,
        training=training,
        accuracy=job["metrics"]["accuracy"],
        ready_bytes=memory.get("ready"),
        upload_bytes=memory.get("upload"),
        training_bytes=memory.get("training"),
        kills=kills,
    )


def write_table(path: Path, size: int) -> int:
    """Write a CSV file of at least so many bytes; returns its rows."""
    generator, rows = np.random.default_rng(1), 0
    schema = pa.schema([*((name, pa.float64()) for name in NAMES), (TARGET, pa.int64())])
    with arrow_csv.CSVWriter(path, schema) as writer:
        while path.stat().st_size < size:
            numbers = generator.standard_normal((ROWS_AT_ONCE, FEATURES))
            columns = [*numbers.T, (numbers.sum(axis=1) > 0).astype(np.int64)]
            writer.write_batch(pa.record_batch([pa.array(np.ascontiguousarray(one)) for one in columns], schema))
            rows += ROWS_AT_ONCE
    return rows


def read_by_pyarrow(path: Path) -> int:
    """What cannot be spared: each block is read and parsed, and then forgotten; returns the rows."""
    with arrow_csv.open_csv(path) as reader:
        return sum(batch.num_rows for batch in reader)


class Client:
    """Speaks to one service as a person with curl would."""

    def __init__(self, url: str) -> None:
        self._url = url

    def upload(self, path: Path) -> str:
        """The id of the new data set."""
        with path.open("rb") as file:
            return str(self._post("/v1/datasets", data=file, headers={"Content-Type": "text/csv"})["id"])

    def train(self, dataset: str) -> dict[str, Any]:
        """The job, once it has succeeded."""
        body = {
            "model": "large",
            "architecture": {
                "layers": [
                    {"type": "Dense", "units": 32, "activation": "relu"},
                    {"type": "Dense", "units": 1, "activation": "sigmoid"},
                ]
            },
            "compile": {"loss": "binary_crossentropy", "optimizer": "adam", "metrics": ["accuracy"]},
            "fit": {"epochs": 1, "batch_size": 4096},
            "dataset": dataset,
            "features": "auto",
            "target": TARGET,
        }
        job_id = self._post("/v1/jobs", json=body)["id"]
        job = poll(lambda: self._ended(job_id), TIMEOUT_SECONDS)
        if job["status"] != "succeeded":
            raise RuntimeError(f"The job ended as {job['status']}: {job['failure']}")
        return job

    def predict(self) -> dict[str, Any]:
        """The answer to one raw record."""
        return self._post("/v1/models/large/predict", json={"instances": [dict.fromkeys(NAMES, 0.5)]})

    def _ended(self, job_id: str) -> dict[str, Any] | None:
        job = checked(requests.get(f"{self._url}/v1/jobs/{job_id}", timeout=TIMEOUT_SECONDS))
        return job if job["status"] in TERMINAL else None

    def _post(self, path: str, **content: Any) -> dict[str, Any]:
        return checked(requests.post(f"{self._url}{path}", timeout=TIMEOUT_SECONDS, **content))


def parser() -> argparse.ArgumentParser:
    command = argparse.ArgumentParser(prog="benchmarks.large", description="Train on a CSV file larger than memory.")
    command.add_argument("--megabytes", type=int, default=3000, help="size of the file in MB (default: 3000)")
    command.add_argument(
        "--limit-megabytes",
        type=int,
        default=1024,
        help="memory of kerasd in MiB (default: 1024; 0: no limit but the machine's)",
    )
    command.add_argument("--folder", type=Path, help="where the file and the data folder are made")
    command.add_argument("--json", type=Path, help="write the raw readings to this file")
    return command


def _mebibytes(size: int | None) -> str:
    return " unknown" if size is None else f"{size / 2**20:8.0f} MiB"


if __name__ == "__main__":
    sys.exit(main())
