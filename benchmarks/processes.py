"""Each measurement in a process of its own, one after the other."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.cases import Case
from benchmarks.contestants import Contestant
from benchmarks.plan import Plan
from benchmarks.readings import Measurement

ROOT = Path(__file__).parent.parent
MEASUREMENT_SECONDS = 3600.0
STOP_SECONDS = 90.0

#: What would give one contestant another number of threads, or kerasd other settings, than the run says, or let Python
#: compile at each start what it otherwise keeps.
NOT_PASSED_ON = (
    *("OMP_", "MKL_", "OPENBLAS_", "TF_NUM_", "XLA_FLAGS", "TORCH", "KERASD_", "JAVA_TOOL_OPTIONS"),
    "PYTHONDONTWRITEBYTECODE",
)


class MeasurementFailed(Exception):
    """The process of a measurement brought no readings; the message has the end of what it printed."""


def measure(contestant: Contestant, case: Case, plan: Plan) -> Measurement:
    """Run one measurement to its end.

    Raises:
        MeasurementFailed: it brought no readings.
    """
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        file, log = Path(folder) / "readings.json", Path(folder) / "log"
        code = _run(
            [
                sys.executable,
                "-m",
                "benchmarks.peers",
                contestant.name,
                case.name,
                json.dumps(plan.to_json()),
                str(file),
            ],
            log,
        )
        if code != 0 or not file.exists():
            raise MeasurementFailed(f"exit code {code}: {log.read_text(errors='replace').strip()[-3000:]}")
        return Measurement.from_json(json.loads(file.read_text()))


def _run(command: list[str], log: Path) -> int:
    """The exit code; on Ctrl-C or when the time is over, the process and the servers that it started are ended."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, cwd=ROOT, env=environment(), stdout=output, stderr=output, start_new_session=True
        )
        try:
            return process.wait(MEASUREMENT_SECONDS)
        except subprocess.TimeoutExpired:
            output.write(f"\nIt did not end within {MEASUREMENT_SECONDS:.0f} s.".encode())
            return 124
        finally:
            _end(process)


def environment() -> dict[str, str]:
    """The environment of whatever is measured."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(NOT_PASSED_ON)}
    return kept | {"PYTHONPATH": str(ROOT), "TF_CPP_MIN_LOG_LEVEL": "2"}


def _end(process: "subprocess.Popen[bytes]") -> None:
    """Ask the group to end if its first process still runs; then nothing that it started is left alive."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(STOP_SECONDS)
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
