"""How a job's steps are run: by TensorFlow's graph or compiled by XLA, and by how many threads.

What a request says is done. What an earlier job of the same request did on this server is done again, so that it comes
to the same bits. Otherwise a job starts as a graph on its own share of the threads; if that shows that much work is
left, each way is tried for a moment, and the job starts again from its first step in the fastest. Once chosen, it
never changes.
"""

import json
import os
import time
from collections.abc import Sequence
from dataclasses import asdict

import keras

from service.training.assembly import Assembled
from service.training.callbacks import Callbacks
from service.training.checkpoint import Position
from service.training.engine import Training, fit
from service.training.kept import Kept
from service.training.messages import Assignment, Execution, Measurement, StartAgain

#: How long a job has run when it is looked at what is left, in seconds.
PROBE_SECONDS = 0.4
#: With less left than this, in seconds, nothing is tried: what XLA gains is not much more than its compiling takes.
WORTH_XLA_SECONDS = 4.0
#: With less left than this, in seconds, no other number of threads is tried: that takes a process of its own.
WORTH_THREADS_SECONDS = 10.0
#: How long each way is tried, in seconds.
TRIAL_SECONDS = 0.4
#: Of how many chunks a trial has at least; the first ones compile what they run.
LEAST_CHUNKS = 6
#: A trial of a network whose steps are slow has fewer, in seconds.
LONGEST_TRIAL_SECONDS = 4.0
#: A chunk whose steps took longer than this many times those of the fastest has compiled something.
STEADY = 3.0
#: What is so many times slower than the present way is given up, once a chunk of so many seconds has shown it: in
#: shorter ones, calling takes as long as the steps.
HOPELESS, HOPELESS_SECONDS = 2.0, 0.05
#: How many times faster XLA, and more threads, must be: the first rounds otherwise than Keras does, and the second
#: take what other jobs could use.
LEAST_GAIN = 1.25


class Reconsider(Exception):
    """Much work is left: `step_seconds` and `left_seconds` as it was run so far."""

    def __init__(self, step_seconds: float, left_seconds: float) -> None:
        super().__init__(step_seconds, left_seconds)
        self.step_seconds = step_seconds
        self.left_seconds = left_seconds


class Choice:
    """The choice of one job; `execution` is None as long as it is open, and `measurements` tell what it went by."""

    def __init__(self, assignment: Assignment, assembled: Assembled, kept: Kept) -> None:
        self._assignment = assignment
        self._assembled = assembled
        self._kept = kept
        self._asked_jit = assignment.compilation.jit_compile
        self._path = kept.path("execution", assignment.fitting, len(assembled.rows), assignment.threads_requested)
        self._began: tuple[float, int] | None = None
        self.execution = assignment.execution or self._requested()
        self.measurements = assignment.measurements
        self._start = None if self.execution else _Snapshot(assembled.model)

    def first(self) -> Execution | StartAgain | None:
        """What is to be done from the start, if that can be known; None leaves it to what is seen."""
        if self.execution is None:
            remembered = self._remembered()
            if remembered is not None and remembered.threads != self._assignment.threads:
                return StartAgain(threads=remembered.threads, execution=remembered, measurements=())
            self.execution = remembered
        return self.execution

    def training(self, execution: Execution | None) -> Training:
        """What `fit` needs to run the job in this way; None is the way in which it starts."""
        return self._training(self._asked_jit is True if execution is None else execution.jit_compile)

    def consider(self, done: int, left: int) -> None:
        """Look at how fast the steps go, `left` of which are still to be done.

        Raises Reconsider if there is so much left that other ways are worth a trial, and settles on this one if not.
        """
        now = time.perf_counter()
        if self._began is None:
            # The first chunk also did what is done only once.
            self._began = (now, done)
        elif now - self._began[0] >= PROBE_SECONDS:
            step_seconds = (now - self._began[0]) / max(1, done - self._began[1])
            if self._is_worth_trying(step_seconds * left):
                raise Reconsider(step_seconds, step_seconds * left)
            self.settle()

    def settle(self) -> None:
        """Stay with the way in which the job was started, if nothing else has been chosen."""
        self._start = None
        if self.execution is None:
            self.execution = Execution(
                jit_compile=self._asked_jit is True, threads=self._assignment.threads, chosen_by="default"
            )

    def measure(self, seen: Reconsider) -> Execution | StartAgain:
        """Try the other ways, choose, and put the model back to where it was before its first step."""
        own = Measurement(
            jit_compile=self._asked_jit is True,
            threads=self._assignment.threads,
            step_seconds=seen.step_seconds,
            total_seconds=seen.left_seconds,
        )
        tried = self._try_xla(seen.step_seconds) if self._xla_is_worth_trying(seen.left_seconds) else None
        mine = [own] if tried is None else [own, tried]
        self.measurements = (*self._assignment.measurements, *mine)
        best = _best(self.measurements)
        if self._more_threads() and best.total_seconds > WORTH_THREADS_SECONDS:
            threads = self._assignment.threads + self._assignment.spare_threads
            return StartAgain(threads=threads, execution=None, measurements=self.measurements)
        execution = Execution(jit_compile=best.jit_compile, threads=best.threads, chosen_by="measurement")
        if best.threads != self._assignment.threads:
            return StartAgain(threads=best.threads, execution=execution, measurements=self.measurements)
        self._restart()
        self._start = None
        self.execution = execution
        return execution

    def remember(self) -> None:
        """Let later jobs of the same request do the same."""
        if self.execution is None or self.execution.chosen_by == "request" or self._path.exists():
            return
        self._path.parent.mkdir(parents=True, exist_ok=True)
        unfinished = self._path.with_suffix(f".{os.getpid()}.tmp")
        unfinished.write_text(json.dumps(asdict(self.execution)))
        unfinished.rename(self._path)

    def _requested(self) -> Execution | None:
        if self._asked_jit == "auto" or not self._assignment.threads_requested:
            return None
        return Execution(jit_compile=self._asked_jit, threads=self._assignment.threads, chosen_by="request")

    def _remembered(self) -> Execution | None:
        try:
            stored = json.loads(self._path.read_text())
            self._path.touch()
            return Execution(jit_compile=stored["jit_compile"], threads=stored["threads"], chosen_by="earlier job")
        except (OSError, ValueError, KeyError):
            return None

    def _is_worth_trying(self, left_seconds: float) -> bool:
        # A child with more threads is there to be compared with the one before it.
        compares = bool(self._assignment.measurements)
        threads = self._more_threads() and left_seconds > WORTH_THREADS_SECONDS
        return compares or threads or self._xla_is_worth_trying(left_seconds)

    def _xla_is_worth_trying(self, left_seconds: float) -> bool:
        """Not where it was much slower with fewer threads already."""
        seconds = {one.jit_compile: one.step_seconds for one in self._assignment.measurements}
        hopeless = len(seconds) == 2 and seconds[True] > HOPELESS * seconds[False]
        return self._asked_jit == "auto" and left_seconds > WORTH_XLA_SECONDS and not hopeless

    def _more_threads(self) -> bool:
        untried = not self._assignment.measurements and not self._assignment.threads_requested
        return untried and self._assignment.spare_threads > 0

    def _try_xla(self, step_seconds: float) -> Measurement | None:
        """Run some steps compiled by XLA, which now take `step_seconds`; None where it cannot compile them."""
        self._restart()
        training = self._training(jit_compile=True)
        trial = _Trial(training.steps, step_seconds)
        try:
            fit(training, Callbacks(self._assignment.fitting, training.model), Position(), trial)
        except _TrialOver:
            pass
        except Exception:
            # XLA refuses operations by errors of many kinds; what it refuses is run as a graph.
            return None
        steps = training.steps * training.fitting.epochs
        return Measurement(
            jit_compile=True,
            threads=self._assignment.threads,
            step_seconds=trial.step_seconds,
            total_seconds=trial.compile_seconds + steps * trial.step_seconds,
        )

    def _training(self, jit_compile: bool) -> Training:
        return Training(
            model=self._assembled.model,
            fitting=self._assignment.fitting,
            seed=self._assignment.seed,
            rows=self._assembled.rows,
            validation=self._assembled.validation,
            jit_compile=jit_compile,
            memory_bytes=self._assignment.data_memory_bytes,
            kept=self._kept,
        )

    def _restart(self) -> None:
        assert self._start is not None
        self._start.restore()


class _Snapshot:
    """The variables as they are now; what is held costs nothing until they change."""

    def __init__(self, model: keras.Model) -> None:
        self._variables = [*model.variables, *model.optimizer.variables, *model.metrics_variables]
        self._values = [variable.value.read_value() for variable in self._variables]

    def restore(self) -> None:
        for variable, value in zip(self._variables, self._values, strict=True):
            variable.assign(value)


class _TrialOver(Exception):
    """Enough was seen."""


class _Trial:
    """A `Watch` that ends the training when it has gone on for a moment, and knows how long a step took.

    It ends sooner where a step takes much longer than `rival_seconds`, as it takes now.
    """

    def __init__(self, steps: int, rival_seconds: float) -> None:
        self._steps = steps
        self._rival_seconds = rival_seconds
        self._done = 0
        self._looked = time.perf_counter()
        self._chunks: list[tuple[float, int]] = []

    def look(self, position: Position) -> None:
        now, done = time.perf_counter(), position.epoch * self._steps + position.step
        if done > self._done:
            self._chunks.append((now - self._looked, done - self._done))
        self._looked, self._done = now, done
        steady = sum(seconds for seconds, _ in self._steady()) >= TRIAL_SECONDS and len(self._chunks) >= LEAST_CHUNKS
        if steady or self._is_hopeless() or sum(seconds for seconds, _ in self._chunks[1:]) >= LONGEST_TRIAL_SECONDS:
            raise _TrialOver

    def _is_hopeless(self) -> bool:
        # The first chunk compiles the step, and the second can compile a last batch that is not full.
        if len(self._chunks) < 3:
            return False
        seconds, steps = min(self._chunks[1:], key=lambda chunk: chunk[0] / chunk[1])
        return seconds >= HOPELESS_SECONDS and seconds / steps > HOPELESS * self._rival_seconds

    def epoch_ended(self, position: Position, row: dict[str, float | None], *, last: bool) -> None:
        self.look(position)

    def stopping(self) -> bool:
        return False

    @property
    def step_seconds(self) -> float:
        """Seconds a step, once compiled."""
        steady = self._steady()
        return sum(seconds for seconds, _ in steady) / max(1, sum(steps for _, steps in steady))

    @property
    def compile_seconds(self) -> float:
        """How much longer the chunks took that have compiled something."""
        total = sum(seconds for seconds, _ in self._chunks)
        steps = sum(steps for _, steps in self._chunks)
        return max(0.0, total - steps * self.step_seconds)

    def _steady(self) -> list[tuple[float, int]]:
        fastest = min((seconds / steps for seconds, steps in self._chunks), default=0.0)
        return [(seconds, steps) for seconds, steps in self._chunks if seconds / steps <= STEADY * fastest]


def _best(measurements: Sequence[Measurement]) -> Measurement:
    """The fastest; but XLA and more threads only where they are faster by `LEAST_GAIN` than what does without."""
    best = None
    for one in sorted(measurements, key=lambda one: (one.threads, one.jit_compile)):
        if best is None or one.total_seconds * LEAST_GAIN < best.total_seconds:
            best = one
    assert best is not None
    return best
