"""Uploads beside writing and hashing the same bytes: `python -m benchmarks.upload`, or `make bench-upload`.

A real `kerasd serve` with its default settings gets x, 1 GiB of float32, and y as .npy files by multipart/form-data, as
curl would send them. Beside it, in turn, the same files are read a block at a time, written to another file on the same
disk, hashed with SHA-256 on the way, and synced. Both begin with the files in the page cache, and end with the bytes
on the disk. The bar is a ratio of the medians of at most 2; it changes no exit code.
"""

import argparse
import hashlib
import http.client
import json
import os
import statistics
import sys
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.clock import timed
from benchmarks.machine import describe
from benchmarks.peers.kerasd import is_ready
from benchmarks.peers.servers import free_port, running
from benchmarks.processes import environment

BAR = 2.0
BLOCK_BYTES = 2**20
ROW_VALUES = 256
BOUNDARY = "kerasd-benchmark-5f1d7c0ea94b4b7f"
END = f"\r\n--{BOUNDARY}--\r\n".encode()
TIMEOUT_SECONDS = 600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Readings:
    """Seconds of each round, and how many bytes each moved."""

    size: int
    uploads: list[float] = field(default_factory=list)
    floors: list[float] = field(default_factory=list)

    @property
    def ratio(self) -> float:
        return statistics.median(self.uploads) / statistics.median(self.floors)

    def report(self) -> str:
        lines = [self._line("upload", self.uploads), self._line("write and hash", self.floors)]
        verdict = "met" if self.ratio <= BAR else "NOT met"
        return "\n".join([*lines, f"{'ratio':<16}{self.ratio:8.2f}     bar: at most {BAR:g}: {verdict}", ""])

    def to_json(self) -> dict[str, Any]:
        return {"size": self.size, "uploads": self.uploads, "floors": self.floors, "ratio": self.ratio}

    def _line(self, title: str, seconds: Sequence[float]) -> str:
        median = statistics.median(seconds)
        spread = f"{min(seconds):.2f} to {max(seconds):.2f}"
        return f"{title:<16}{median:8.2f} s   {self.size / median / 1e6:6.0f} MB/s   {spread} s"


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; 1 if an upload failed."""
    given = parser().parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="kerasd-upload-", dir=given.folder) as folder:
        readings = measure(Path(folder), given.megabytes, given.rounds)
    if given.json:
        given.json.write_text(json.dumps(readings.to_json(), indent=1) + "\n", encoding="utf-8")
    sys.stdout.write(describe(("kerasd", "numpy", "werkzeug", "uvicorn"), java=False).sentence() + "\n")
    sys.stdout.write(readings.report())
    return 0


def measure(folder: Path, megabytes: int, rounds: int) -> Readings:
    """All rounds on one service, after one upload that is not counted; each data set is deleted before the next."""
    files = write_files(folder, megabytes)
    readings = Readings(size=sum(file.stat().st_size for file in files.values()))
    port = free_port()
    settings = {"KERASD_DATA": str(folder / "data"), "KERASD_PORT": str(port)}
    command = [sys.executable, "-m", "service.cli", "serve"]
    with running(command, folder / "log", lambda: is_ready(f"http://127.0.0.1:{port}"), {**environment(), **settings}):
        delete(port, upload(port, files))
        for number in range(rounds):
            print(f"round {number + 1}/{rounds}", file=sys.stderr)
            seconds, dataset = timed(lambda: upload(port, files))
            readings.uploads.append(seconds)
            delete(port, dataset)
            readings.floors.append(timed(lambda: write_and_hash(files.values(), folder / "copy"))[0])
            (folder / "copy").unlink()
    return readings


def write_files(folder: Path, megabytes: int) -> dict[str, Path]:
    """x and y as .npy files; half of the values of x are below 0, and none is whole."""
    rows = megabytes * 2**20 // (4 * ROW_VALUES)
    generator = np.random.default_rng(1)
    x = np.lib.format.open_memmap(folder / "x.npy", "w+", np.float32, (rows, ROW_VALUES))
    for first in range(0, rows, 4096):
        x[first : first + 4096] = generator.standard_normal((min(4096, rows - first), ROW_VALUES), np.float32)
    x.flush()
    np.save(folder / "y.npy", generator.integers(0, 10, rows, np.int32))
    return {"x": folder / "x.npy", "y": folder / "y.npy"}


def upload(port: int, files: dict[str, Path]) -> str:
    """The id of the new data set.

    Raises:
        RuntimeError: the service did not take it.
    """
    connection = http.client.HTTPConnection("127.0.0.1", port, TIMEOUT_SECONDS, blocksize=BLOCK_BYTES)
    heads = {name: head_of(name) for name in files}
    size = sum(len(heads[name]) + file.stat().st_size for name, file in files.items()) + len(END)
    connection.putrequest("POST", "/v1/datasets")
    connection.putheader("Content-Type", f"multipart/form-data; boundary={BOUNDARY}")
    connection.putheader("Content-Length", str(size))
    connection.endheaders()
    for name, path in files.items():
        connection.send(heads[name])
        with path.open("rb") as file:
            connection.send(file)
    connection.send(END)
    return str(_answer(connection, 201)["id"])


def head_of(name: str) -> bytes:
    """What stands before a part of the form."""
    disposition = f'Content-Disposition: form-data; name="{name}"; filename="{name}.npy"'
    return f"\r\n--{BOUNDARY}\r\n{disposition}\r\nContent-Type: application/octet-stream\r\n\r\n".encode()


def delete(port: int, dataset: str) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port, TIMEOUT_SECONDS)
    connection.request("DELETE", f"/v1/datasets/{dataset}")
    _answer(connection, 204)


def write_and_hash(files: Iterable[Path], copy: Path) -> str:
    """What cannot be spared: each byte once to the disk and once through SHA-256."""
    digest = hashlib.sha256()
    with copy.open("wb") as target:
        for path in files:
            with path.open("rb") as file:
                while block := file.read(BLOCK_BYTES):
                    target.write(block)
                    digest.update(block)
        target.flush()
        os.fsync(target.fileno())
    return digest.hexdigest()


def parser() -> argparse.ArgumentParser:
    command = argparse.ArgumentParser(
        prog="benchmarks.upload", description="Time uploads of .npy files beside writing and hashing the same bytes."
    )
    command.add_argument("--megabytes", type=_positive, default=1024, help="size of x in MiB (default: 1024)")
    command.add_argument("--rounds", type=_positive, default=3, help="how often both are measured (default: 3)")
    command.add_argument("--folder", type=Path, help="where the files and the data folder are made")
    command.add_argument("--json", type=Path, help="write the raw readings to this file")
    return command


def _answer(connection: http.client.HTTPConnection, status: int) -> dict[str, Any]:
    try:
        answer = connection.getresponse()
        content = answer.read()
    finally:
        connection.close()
    if answer.status != status:
        raise RuntimeError(f"kerasd answered {answer.status}: {content.decode(errors='replace')[:2000]}")
    return dict(json.loads(content)) if content else {}


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("at least 1 was expected")
    return number


if __name__ == "__main__":
    sys.exit(main())
