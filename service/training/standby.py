"""A child that is warm before there is a job for it.

The first training, tracing and export of a process cost several times what the next ones do, because TensorFlow and
the converter make then what they need only once. A child that stands by has been through all of it, with networks of
its own or with a job before, and waits. What it has run leaves no trace in the bits of its job: the seeds are set anew,
and Keras counts its names from the start again.
"""

import gc
import shutil
from dataclasses import replace
from pathlib import Path

import keras
from keras.src.utils.naming import reset_uids

from service.architecture.compilation import check_compile
from service.architecture.fitting import check_fit
from service.architecture.graph import read_architecture, write_architecture
from service.architecture.plan import make_plan
from service.data.arrays import ArrayFacts
from service.errors import Fault
from service.training.child import run_job, train
from service.training.line import Line
from service.training.messages import Assignment, Failed, Outcome, Ready
from service.training.rehearsal import Rehearsal, newest

#: How many of the networks that were trained last are rehearsed.
REHEARSED = 3
#: How many jobs a process runs at most, one after the other: each new network leaves some megabytes behind.
MOST_JOBS = 32
#: After so many seconds without a job there is time for what no job should wait for.
REST_SECONDS = 0.1

_ARCHITECTURE = {
    "layers": [
        {"type": "Dense", "units": 8, "activation": "relu"},
        {"type": "Dense", "units": 1, "activation": "sigmoid"},
    ]
}
_COMPILE = {"loss": "binary_crossentropy", "optimizer": "adam", "metrics": ["accuracy"]}
_FIT = {"batch_size": 32}


def stand_by(line: Line, threads: int, folder: Path, cache: Path) -> None:
    """Warm up with so many threads, then wait for jobs; `folder` is emptied and used meanwhile."""
    shutil.rmtree(folder, ignore_errors=True)
    warm_up(folder, threads)
    rehearse(folder, cache, threads)
    shutil.rmtree(folder)
    _tidy()
    line.send(Ready())
    take_job(line, _next(line))


def take_job(line: Line, assignment: Assignment) -> None:
    """Run a job, and be ready for the next one at once, and so on while jobs are small and go well."""
    for _ in range(MOST_JOBS):
        # Names count from the start again. Keras's `clear_session` would also take from the graphs that they are ready.
        reset_uids()
        job = train(line, assignment)
        if job is None:
            return
        if not job.is_small:
            return
        line.send(Ready())
        assignment = _next(line)


def _next(line: Line) -> Assignment:
    """Wait for the next job, and use the time, if there is any, to tidy up.

    A word to stop that crossed the last job's outcome is no longer of interest.
    """
    message = line.receive(REST_SECONDS)
    if message is None:
        _tidy()
    while not isinstance(message, Assignment):
        message = line.receive()
    return message


def _tidy() -> None:
    """Spare the collector what it would go through again and again while a job's graphs are traced."""
    gc.collect()
    gc.freeze()


def warm_up(folder: Path, threads: int) -> None:
    """Train and export a small network, first as one that is new, and then as one that is known.

    Raises RuntimeError if that fails: no job would fare better.
    """
    for number in range(2):
        outcome = _run(_own(), folder / f"own{number}", folder / "cache", threads)
        if isinstance(outcome, Failed):
            raise RuntimeError(f"The warm-up has failed: {outcome.message}")
    keras.backend.clear_session()


def rehearse(folder: Path, cache: Path, threads: int) -> None:
    """Run in small the jobs that were run last; whatever comes of them."""
    for number, rehearsal in enumerate(newest(cache, REHEARSED)):
        _run(rehearsal, folder / f"last{number}", cache, threads)


def _run(rehearsal: Rehearsal, folder: Path, cache: Path, threads: int) -> Outcome:
    heard: list[Outcome] = []
    run_job(_Deaf(heard), rehearsal.assignment(folder, cache, threads))
    return heard[-1]


class _Deaf(Line):
    """A line to nobody, which keeps what was said."""

    def __init__(self, heard: list[Outcome]) -> None:
        self._heard = heard

    def send(self, message: Outcome) -> None:
        self._heard.append(message)

    def received(self) -> None:
        return None


def _own() -> Rehearsal:
    """The network that a child warms up with."""
    faults: list[Fault] = []
    x = ArrayFacts(part="x", name=None, shape=(2, 4), dtype="float32", minimum=0, maximum=1, integral=True)
    y = replace(x, part="y", shape=(2,), dtype="int32")
    network = read_architecture(_ARCHITECTURE, "/architecture", faults)
    assert network is not None
    plan = make_plan(network, [x], faults)
    assert plan is not None
    compilation = check_compile(_COMPILE, plan.output_shapes, [y], {}, "/compile", faults)
    fitting = check_fit(_FIT, x.rows, compilation, [y], "/fit", faults)
    assert compilation is not None
    assert fitting is not None
    return Rehearsal(
        architecture=write_architecture(network),
        input_shapes={name: list(shape) for name, shape in plan.input_shapes.items()},
        compilation=compilation,
        fitting=fitting,
        arrays=(x, y),
        rows=2,
        validation_rows=2,
    )
