"""What the machine allows: the network alone, in as many processes as a server has workers, and nothing around it.

python -m benchmarks.serving.floor conv2d 5    # BENCH_ONNX names the file; prints rows a second
"""

import subprocess
import sys
import time
from pathlib import Path

from benchmarks.processes import ROOT, environment
from benchmarks.serving import readings as quantity
from benchmarks.serving.apps.network import load
from benchmarks.serving.networks import MOST_ROWS, NETWORKS, Network
from benchmarks.serving.running import ServerFailed
from benchmarks.serving.servers import WORKERS
from benchmarks.serving.subject import Subject

#: How many rows a call may have; the fastest counts, since the intermediate results of all of them may fill the cache.
CALLS = (10, 20, 50, 100, MOST_ROWS)
TRIAL_SECONDS = 0.3
MOST_SECONDS = 60.0


def floor(subject: Subject) -> None:
    """Read how many rows a second the network itself answers, with all processes at once.

    Raises:
        ServerFailed: a process ended without a figure.
    """
    rates = together(subject.served.network, subject.served.onnx, subject.plan.seconds)
    subject.read(quantity.NETWORK_ROWS, sum(rates))


def together(network: Network, onnx: Path, seconds: float) -> list[float]:
    """The rows a second of each process."""
    command = [sys.executable, "-m", "benchmarks.serving.floor", network.name, str(seconds)]
    variables = environment() | {"BENCH_ONNX": str(onnx)}
    processes = [
        subprocess.Popen(command, cwd=ROOT, env=variables, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(int(WORKERS))
    ]
    try:
        said = [process.communicate(timeout=MOST_SECONDS + seconds) for process in processes]
    finally:
        for process in processes:
            process.kill()
    try:
        return [float(output) for output, _ in said]
    except ValueError as error:
        raise ServerFailed(f"the network alone: {said[0][1].strip()[-2000:]}") from error


def rows_a_second(network: Network, seconds: float) -> float:
    """Ask the network for all rows again and again, as many a call as is fastest."""
    predict, rows = load(), network.rows(MOST_ROWS)

    def rate(size: int, lasting: float) -> float:
        begun, answered = time.perf_counter(), 0
        while time.perf_counter() - begun < lasting:
            for start in range(0, MOST_ROWS, size):
                predict(rows[start : start + size])
            answered += MOST_ROWS
        return answered / (time.perf_counter() - begun)

    return rate(max(CALLS, key=lambda size: rate(size, TRIAL_SECONDS)), seconds)


if __name__ == "__main__":
    sys.stdout.write(f"{rows_a_second(NETWORKS[sys.argv[1]], float(sys.argv[2]))}\n")
