"""One server measured on one network: start, check, load, memory.

Each part stands by itself, so that one that fails costs no other.
"""

import os
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from benchmarks.peers.servers import free_port
from benchmarks.serving import own
from benchmarks.serving import readings as quantity
from benchmarks.serving.dialects import Dialect
from benchmarks.serving.environments import NotInstalled, python_of
from benchmarks.serving.floor import floor
from benchmarks.serving.kerasd import settings
from benchmarks.serving.load import LoadFailed
from benchmarks.serving.memory import descendants, memory, web_processes, web_workers
from benchmarks.serving.networks import MOST_ROWS
from benchmarks.serving.origin import Origin, Served
from benchmarks.serving.plan import Part, Plan
from benchmarks.serving.readings import Readings
from benchmarks.serving.running import NotServed, ServerFailed, ask, is_ok, prepare, settle, started, wait_until
from benchmarks.serving.servers import Kind, Server
from benchmarks.serving.subject import Subject, check

START = "start"
#: The single-row requests before anything is read, in which every worker comes to load the network.
FIRST_CONNECTIONS, FIRST_SECONDS = 16, 2.0


def measure(server: Server, served: Served, origin: Origin, plan: Plan, readings: Readings) -> None:
    """Add what is read, or why it is not; a part that failed once is not tried again."""
    key = (server.name, served.network.name)
    if (*key, START) in readings.absences:
        return
    try:
        with tempfile.TemporaryDirectory(prefix=f"bench-{server.name}-") as folder:
            _measure(server, served, origin, plan, readings, Path(folder))
    except (NotInstalled, NotServed, ServerFailed, OSError) as error:
        readings.absences[*key, START] = _reason(error)


def _measure(server: Server, served: Served, origin: Origin, plan: Plan, readings: Readings, folder: Path) -> None:
    port, python = free_port(), python_of(server.environment)
    variables = {**_variables(server, served, origin, port), "PATH": f"{python.parent}{os.pathsep}{os.environ['PATH']}"}

    def words(command: tuple[str, ...]) -> list[str]:
        return [word.format(python=python, port=port, folder=folder) for word in command]

    if server.prepare:
        prepare(words(server.prepare), variables, folder)
    begun = time.perf_counter()
    with started(words(server.command), variables, folder) as process:
        log = folder / "log"
        subject = Subject(server=server, served=served, plan=plan, readings=readings, port=port, pid=process.pid)
        if server.kind is Kind.OWN:
            subject.read(quantity.WEB_START, wait_until(lambda: is_ok(port, "/health/live"), process, log) - begun)
            subject.read(quantity.WORKER_READY_RSS, _largest_worker(process.pid))
        call = subject.call(server.json, 1)
        answered = wait_until(lambda: ask(port, call).status == 200, process, log)
        subject.read(quantity.START, answered - begun)
        check(ask(port, call), subject, server.json, 1)
        if server.kind is Kind.OWN:
            wait_until(lambda: is_ok(port, "/health/ready"), process, log)
        settle(process.pid)
        _measure_parts(subject)


def _variables(server: Server, served: Served, origin: Origin, port: int) -> dict[str, str]:
    own_settings = settings(origin.data, port) if server.kind is Kind.OWN else {}
    return {
        "BENCH_PORT": str(port),
        "BENCH_ONNX": str(served.onnx),
        "BENCH_KERAS": str(served.keras),
        "BENCH_ANSWER": served.answer.decode(),
        **server.variables,
        **own_settings,
    }


def _measure_parts(subject: Subject) -> None:
    key = (subject.server.name, subject.served.network.name)
    for part, work in _parts(subject):
        if (*key, part) not in subject.readings.absences:
            try:
                work()
            except (LoadFailed, NotServed, ServerFailed, RuntimeError, OSError) as error:
                subject.readings.absences[*key, part] = _reason(error)


def _parts(subject: Subject) -> Iterator[tuple[str, Callable[[], None]]]:
    """What is measured, in this order: memory is read when single rows have been served, and large bodies have not."""
    wanted, is_own = subject.plan.parts, subject.server.kind is Kind.OWN
    yield "first", lambda: _first(subject)
    if Part.SINGLE in wanted:
        yield Part.SINGLE, lambda: _single(subject)
    yield "memory", lambda: _memory(subject)
    if is_own and Part.FLOOR in wanted:
        yield Part.FLOOR, lambda: floor(subject)
    if is_own and Part.COLD in wanted:
        yield Part.COLD, lambda: own.cold(subject)
    if is_own and Part.BUSY in wanted:
        yield Part.BUSY, lambda: own.busy(subject)
    if subject.server.answers_batches and Part.ROWS in wanted:
        for rows in subject.served.network.row_connections:
            yield f"{Part.ROWS} {rows}", partial(_rows, subject, quantity.JSON, subject.server.json, rows)
        if subject.server.flat_json:
            yield f"{Part.ROWS} flat", partial(_rows, subject, quantity.FLAT_JSON, subject.server.flat_json, MOST_ROWS)
    if Part.BINARY in wanted:
        for form, dialect in subject.server.binary.items():
            yield f"{Part.BINARY} {form}", partial(_rows, subject, form, dialect, MOST_ROWS)


def _first(subject: Subject) -> None:
    subject.load(subject.server.json, 1, FIRST_CONNECTIONS, FIRST_SECONDS)


def _single(subject: Subject) -> None:
    for connections in subject.plan.connections:
        loads = [
            subject.load(subject.server.json, 1, connections, subject.plan.seconds)
            for _ in range(subject.server.repeats)
        ]
        subject.read(quantity.rate(connections), max(load.rate for load in loads))
        subject.read(quantity.median_latency(connections), min(load.p50 for load in loads))
        subject.read(quantity.p99(connections), min(load.p99 for load in loads))


def _rows(subject: Subject, form: str, dialect: Dialect, rows: int) -> None:
    connections = subject.served.network.row_connections[rows]
    load = subject.load(dialect, rows, connections, subject.plan.seconds)
    subject.read(quantity.rows_rate(rows, form), load.rate * rows)


def _memory(subject: Subject) -> None:
    everything = memory([subject.pid, *descendants(subject.pid)])
    subject.read(quantity.PSS, everything.pss)
    subject.read(quantity.RSS, everything.rss)
    if subject.server.kind is Kind.OWN:
        web = memory(web_processes(subject.pid))
        subject.read(quantity.WEB_PSS, web.pss)
        subject.read(quantity.WEB_RSS, web.rss)
        subject.read(quantity.WORKER_RSS, _largest_worker(subject.pid))


def _largest_worker(pid: int) -> int:
    return max((memory([worker]).rss for worker in web_workers(pid)), default=0)


def _reason(error: Exception) -> str:
    return str(error) if isinstance(error, NotInstalled | NotServed) else f"failed: {error}"
