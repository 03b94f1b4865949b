"""What kerasd alone is asked: a cold version's first prediction, and predictions while a job trains."""

import contextlib
import http.client
import time
from typing import Any

from benchmarks.machine import usable_cores
from benchmarks.serving import readings as quantity
from benchmarks.serving.dialects import Call
from benchmarks.serving.kerasd import Client
from benchmarks.serving.load import Load
from benchmarks.serving.networks import NETWORKS
from benchmarks.serving.running import ServerFailed, post
from benchmarks.serving.subject import Subject

TENTH = 10
#: How often p99 is read, idle and busy: while a job trains it is one of two values, by where the kernel puts threads.
BUSY_REPEATS = 5
#: More than can be trained while the readings last; the job is cancelled.
BUSY_EPOCHS = 100_000


def cold(subject: Subject) -> None:
    """Train one version after the other, and time its first prediction as soon as its job has succeeded."""
    network = subject.served.network
    with contextlib.closing(Client(subject.port)) as client:
        submission = network.submission(client.upload(*network.training_arrays()))
        model = f"cold_{network.name}"
        call = subject.server.json.call(model, subject.served.input_name, network.rows(1))
        for number in range(subject.plan.cold_versions):
            client.train({**submission, "model": model, "seed": number})
            first, tenth = _first_and_tenth(subject.port, call)
            subject.read(quantity.COLD_FIRST, first)
            subject.read(quantity.COLD_TENTH, tenth)


def busy(subject: Subject) -> None:
    """Single rows on one connection, first while nothing else happens, then while a job trains with all cores."""
    with contextlib.closing(Client(subject.port)) as client:
        job = busy_submission(client)
        idle = _loads(subject)
        with client.training(job):
            loads = _loads(subject)
    subject.read(quantity.IDLE_P99, *(load.p99 for load in idle))
    subject.read(quantity.IDLE_RATE, *(load.rate for load in idle))
    subject.read(quantity.BUSY_P99, *(load.p99 for load in loads))
    subject.read(quantity.BUSY_RATE, *(load.rate for load in loads))


def _loads(subject: Subject) -> list[Load]:
    return [subject.load(subject.server.json, 1, 1, subject.plan.seconds) for _ in range(BUSY_REPEATS)]


def busy_submission(client: Client) -> dict[str, Any]:
    """A job that keeps every core busy: the larger network, with a thread for each core."""
    network = NETWORKS["conv2d"]
    submission = network.submission(client.upload(*network.training_arrays()))
    return {
        **submission,
        "model": "busy",
        "fit": {**submission["fit"], "epochs": BUSY_EPOCHS},
        "threads": usable_cores(),
    }


def _first_and_tenth(port: int, call: Call) -> tuple[float, float]:
    """Seconds of the first and of the tenth answer on one connection, which is open before."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    with contextlib.closing(connection):
        connection.connect()
        seconds = []
        for _ in range(TENTH):
            begun = time.perf_counter()
            answer = post(connection, call)
            seconds.append(time.perf_counter() - begun)
            if answer.status != 200:
                raise ServerFailed(f"a new version answered {answer.status}: {answer.body[:300]!r}")
    return seconds[0], seconds[-1]
