"""Requests by `wrk`, a load generator of compiled code: one in Python would be slower than what it measures."""

import json
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from benchmarks.serving.dialects import Call

SCRIPT = Path(__file__).parent / "wrk.lua"
#: An answer that takes longer than this counts as lost.
TIMEOUT_SECONDS = 120
MISSING = "The requests are made by wrk, which is not on the PATH. On Debian and Ubuntu: apt-get install wrk"


class LoadFailed(Exception):
    """Not every answer was right; the message says what came."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What one reading gave; latencies are in seconds."""

    requests: int
    seconds: float
    p50: float
    p99: float
    longest: float

    @property
    def rate(self) -> float:
        """Requests per second."""
        return self.requests / self.seconds


def is_installed() -> bool:
    return shutil.which("wrk") is not None


def drive(port: int, call: Call, expected: bytes, connections: int, seconds: float) -> Load:
    """Keep so many connections busy for so long, each sending its next request when the answer is there.

    Raises:
        LoadFailed: an answer was not the expected one to the byte, or was lost, or none came at all.
    """
    with tempfile.TemporaryDirectory(prefix="bench-wrk-") as folder:
        files = _written(Path(folder), call, expected)
        command = [
            "wrk",
            "--threads",
            "1",
            "--connections",
            str(connections),
            "--duration",
            f"{max(1, round(seconds))}s",
        ]
        command += ["--timeout", f"{TIMEOUT_SECONDS}s", "--script", str(SCRIPT)]
        command += [f"http://127.0.0.1:{port}{call.path}", "--", *files]
        done = subprocess.run(command, capture_output=True, text=True, check=False, errors="replace")
    if done.returncode != 0:
        raise LoadFailed(f"wrk ended with {done.returncode}: {(done.stderr or done.stdout).strip()[-1000:]}")
    return parse(done.stdout)


def parse(output: str) -> Load:
    """Read what the script has printed.

    Raises:
        LoadFailed: as `drive`.
    """
    found = {word: rest for word, _, rest in (line.partition(" ") for line in output.splitlines())}
    if "READING" not in found:
        raise LoadFailed(f"wrk printed no reading: {output.strip()[-1000:]}")
    value = json.loads(found["READING"])
    if value["wrong_statuses"] or value["mismatches"] or value["lost"]:
        raise LoadFailed(
            f"of {value['requests']} answers {value['wrong_statuses']} had another status than 200, "
            f"{value['mismatches']} another body than expected, and {value['lost']} were lost: {found['SAMPLE'][:300]}"
        )
    if not value["requests"]:
        raise LoadFailed("no answer came in the time of the reading.")
    return Load(
        requests=value["requests"],
        seconds=value["microseconds"] / 1e6,
        p50=value["p50"] / 1e6,
        p99=value["p99"] / 1e6,
        longest=value["longest"] / 1e6,
    )


def _written(folder: Path, call: Call, expected: bytes) -> list[str]:
    headers = "".join(f"{name}: {value}\n" for name, value in call.headers.items()).encode()
    contents = {"body": call.body, "headers": headers, "expected": expected}
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    return [str(folder / name) for name in contents]
