"""One run of one job, in a process of its own: assemble, go on from a checkpoint, train, save.

train -> assemble -> run -> _train (-> measure -> _train) -> save; then keep. The outcome is told to the supervisor;
nothing here opens the database.
"""

import os
import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import structlog
import tensorflow as tf

from service.errors import Invalid, KerasdError, StorageFull
from service.training import checkpoint, engine, loop, rehearsal, results, verdict
from service.training.assembly import assemble
from service.training.callbacks import Callbacks
from service.training.checkpoint import Position, UnreadableError
from service.training.choice import Choice, Reconsider
from service.training.draft import Draft
from service.training.kept import Kept
from service.training.line import Line
from service.training.messages import (
    Assignment,
    Execution,
    Failed,
    Finished,
    Outcome,
    StartAgain,
    Stopped,
    StopReason,
)
from service.training.prepared import clear_away, evaluate_on_test_rows, with_arrays
from service.training.rehearsal import NOBODY, SUFFIX, Rehearsal
from service.training.watch import Interrupted, Watcher

#: Networks of more parameters, and batches of more bytes, are not small.
MOST_PARAMETERS, MOST_BATCH_BYTES = 1_000_000, 2**24

log = structlog.get_logger()


def run_job(line: Line, assignment: Assignment) -> None:
    """Train one model and send its outcome: all that a process does that runs one job."""
    train(line, assignment)


def train(line: Line, assignment: Assignment) -> "Job | None":
    """Train one model, send its outcome, and leave in the cache what later jobs can use; the job if it went well."""
    outcome: Outcome
    job: Job | None = None
    try:
        set_threads(assignment.threads)
        _set_seeds(assignment.seed)
        job = Job(line, assignment)
        outcome = job.run()
    except Exception as error:
        outcome = _failure(error)
        if outcome.code == "internal":
            log.error("job_error", job_id=assignment.job, pid=os.getpid(), exc_info=error)
    line.send(outcome)
    if job is None or not isinstance(outcome, Finished):
        return None
    job.keep()
    return job


def set_threads(threads: int) -> None:
    """A process can have its threads set once, before its first operation; a child that stood by has them already."""
    if tf.config.threading.get_intra_op_parallelism_threads() != threads:
        tf.config.threading.set_intra_op_parallelism_threads(threads)
        tf.config.threading.set_inter_op_parallelism_threads(1)


def _set_seeds(seed: int) -> None:
    """Set the seeds from which Keras draws; its layers and initializers draw theirs from Python's.

    TensorFlow's own seed is left alone, which nothing that Keras runs looks at: to set it is to forget the graphs that
    are ready to run.
    """
    random.seed(seed)
    np.random.seed(seed)


class Job:
    """A job in this process."""

    def __init__(self, line: Line, assignment: Assignment) -> None:
        assignment = with_arrays(assignment)
        self._line = line
        self._assignment = assignment
        self._assembled = assemble(assignment)
        self._kept = Kept(assignment.cache_folder, self._assembled.model, _identity(assignment))
        self._choice = Choice(assignment, self._assembled, self._kept)
        self._callbacks = Callbacks(assignment.fitting, self._assembled.model)
        self._draft = Draft(self._assembled.model, self._assembled.network, self._kept)

    def run(self) -> Outcome:
        position = self._position()
        last = self._assignment.keep_best_after
        if last is not None and position.epoch >= last:
            return self._keep_best(position)
        first = self._choice.first()
        if isinstance(first, StartAgain):
            return first
        try:
            return self._train(first, position)
        except Reconsider as reconsidered:
            decision = self._choice.measure(reconsidered)
        if isinstance(decision, StartAgain):
            return decision
        self._callbacks = Callbacks(self._assignment.fitting, self._assembled.model)
        return self._train(decision, Position())

    def keep(self) -> None:
        """Leave in the cache what was made; a failure costs later jobs time, and this one nothing."""
        with self._failing_quietly():
            self._choice.remember()
            self._kept.write()
            self._draft.keep()
            if self.is_small and self._assignment.job != NOBODY and self._assignment.initial is None:
                path = self._kept.path("rehearsal").with_suffix(SUFFIX)
                validation = self._assembled.validation or ()
                rehearsal.write(Rehearsal.of(self._assignment, len(self._assembled.rows), len(validation)), path)

    @contextmanager
    def _failing_quietly(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            log.warning("cache_not_written", job_id=self._assignment.job, reason=f"{type(error).__name__}: {error}")

    @property
    def is_small(self) -> bool:
        """Whether another such job would gain by what this one has made ready, and no memory is lost by keeping it."""
        rows = self._assembled.rows
        batch_bytes = rows.row_bytes * min(len(rows), self._assignment.fitting.batch_size)
        return self._assembled.model.count_params() <= MOST_PARAMETERS and batch_bytes <= MOST_BATCH_BYTES

    def _position(self) -> Position:
        """Where to begin: at the checkpoint that the supervisor names, or at the start if there is none to be read."""
        name = self._assignment.checkpoint
        if name is None:
            return Position()
        try:
            path = self._assignment.checkpoint_folder / name
            return checkpoint.restore(path, self._assembled.model, self._callbacks)
        except UnreadableError as error:
            # From the start the job comes to the same bits; it only takes longer.
            log.warning("checkpoint_unreadable", job_id=self._assignment.job, reason=str(error))
            return Position()

    def _train(self, execution: Execution | None, position: Position) -> Outcome:
        """Train to the end, or until it is interrupted; `execution` None leaves the choice to what is then seen."""
        training = self._choice.training(execution)
        watcher = Watcher(self._line, self._assignment, training, self._callbacks, position, self._choice)
        try:
            position = engine.fit(training, self._callbacks, position, watcher)
        except Interrupted as interrupted:
            if interrupted.reason is StopReason.KEEP_BEST:
                return self._keep_best(interrupted.position)
            return Stopped(reason=interrupted.reason)
        metrics = position.row or {}
        if metrics.get("loss") is None:
            return _nan_loss(position.epoch)
        return self._save(metrics, self._callbacks.end(position.epoch))

    def _keep_best(self, position: Position) -> Outcome:
        """Make a version of the best weights of a job that was cancelled."""
        weights_epoch = self._callbacks.restore_best()
        if weights_epoch is None:
            return Stopped(reason=StopReason.KEEP_BEST)
        return self._save(position.row or {}, weights_epoch)

    def _save(self, metrics: dict[str, float | None], weights_epoch: int) -> Finished:
        finished = results.save(self._assembled, self._assignment, self._draft, metrics, weights_epoch)
        evaluation = evaluate_on_test_rows(self._assignment)
        clear_away(self._assignment)
        return replace(finished, evaluation=evaluation)


def _identity(assignment: Assignment) -> dict[str, Any]:
    """What the graphs of a job depend on."""
    return {
        "architecture": assignment.architecture,
        "input_shapes": assignment.input_shapes,
        "compilation": assignment.compilation.to_json(),
        "code": Path(loop.__file__).read_text(),
    }


def _failure(error: Exception) -> Failed:
    match error:
        case StorageFull():
            return verdict.of_full_disk()
        case Invalid():
            return Failed(code="invalid_data", message=error.detail, advice=_advice(error), retryable=False)
        case MemoryError() | tf.errors.ResourceExhaustedError():
            return Failed(
                code="out_of_memory",
                message="The training needed more memory than there is.",
                advice="Take a smaller batch_size or a smaller network.",
                retryable=False,
            )
        case tf.errors.InvalidArgumentError():
            return Failed(
                code="invalid_data",
                message=f"TensorFlow refused the data: {_first_line(error.message)}.",
                advice="Compare the data's values and shapes with what the layers and the loss take.",
                retryable=False,
            )
    return Failed(
        code="internal",
        message=f"The training ended with an error of its own: {type(error).__name__}: {_first_line(str(error))}.",
        advice="The server's log has the details under this job's id.",
        retryable=False,
    )


def _advice(error: KerasdError) -> str:
    return " ".join(f"{fault.pointer}: {fault.detail}" for fault in error.faults[:3]) or "Mend the data."


def _nan_loss(epoch: int) -> Failed:
    return Failed(
        code="nan_loss",
        message=f"The loss of epoch {epoch} is not a finite number.",
        advice="Lower the learning_rate, scale the data (a Normalization layer first does it), or clip gradients with "
        "the optimizer's clipnorm.",
        retryable=False,
    )


def _first_line(text: str) -> str:
    return text.strip().splitlines()[0][:300] if text.strip() else "no message"
