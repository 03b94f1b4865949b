"""The one process of a machine that claims jobs, starts a child for each, and writes down what becomes of it.

A turn of the loop: renew the leases and end what was cancelled or taken away; claim jobs while slots are free; read
what the children said; collect the children that ended. Signal handlers only ask it to stop.
"""

import fcntl
import multiprocessing.connection
import os
import shutil
import signal
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import structlog

from service.architecture.compilation import Compilation
from service.architecture.fitting import Fitting
from service.config import Settings
from service.data.store import FileStore
from service.registry.database import Database, wal_race_possible
from service.registry.datasets import Datasets
from service.registry.ids import new_id
from service.registry.jobs import Failure, Job, Jobs, NewVersion, Progress
from service.registry.supervisors import Supervisors
from service.training.messages import Assignment, EpochEnded, Failed, Finished, Message, ProgressMade, StoredArrays
from service.training.zygote import Child, Zygote

#: How long the loop waits for a child's word before it looks for new jobs, in seconds.
POLL_SECONDS = 0.1
#: How often leases are renewed, in seconds, and so how long a cancel can take to be seen.
RENEW_SECONDS = 0.5
#: How often the write-ahead log is folded into the database, in seconds; only this process does it.
CHECKPOINT_SECONDS = 10.0

#: An upload that nothing was added to for this long, in seconds, belongs to a process that is gone.
UNFINISHED_SECONDS = 24 * 3600.0

log = structlog.get_logger()


@dataclass(slots=True, kw_only=True)
class Run:
    """A job in a child, as the supervisor sees it; `outcome` is the child's last word, once it came."""

    job: Job
    child: Child
    work_folder: Path
    outcome: Finished | Failed | None = None


class Supervisor:
    """Claims, watches and settles jobs on one machine."""

    def __init__(self, settings: Settings, database: Database, store: FileStore, zygote: Zygote) -> None:
        self._settings = settings
        self._database = database
        self._jobs = Jobs(database)
        self._datasets = Datasets(database)
        self._supervisors = Supervisors(database)
        self._store = store
        self._zygote = zygote
        self._host = socket.gethostname()
        self._id = new_id("sup")
        self._owner = f"{self._host}:{self._id}"
        self._runs: dict[str, Run] = {}
        self._predictions: Child | None = None
        self._stopping = False
        self._renewed = self._checkpointed = float("-inf")

    def stop(self, *_: object) -> None:
        """Ask the loop to end; safe in a signal handler."""
        self._stopping = True

    def run(self) -> None:
        """Work until asked to stop; returns with no child left and every running job back in the queue."""
        with _only_supervisor(self._settings.data / "supervisor.lock", lambda: self._stopping):
            if self._stopping:
                return
            self._take_over()
            self._zygote.warm_up()
            log.info("supervisor_ready", supervisor=self._id, slots=self._settings.slots)
            try:
                while not self._stopping:
                    self._turn()
            finally:
                self._shut_down()

    def _take_over(self) -> None:
        """Put back into the queue what an earlier supervisor of this machine left running, and clear its files."""
        if wal_race_possible():
            log.warning("sqlite_older_than_3_51_3", consequence="only the supervisor checkpoints the database")
        for job_id in self._jobs.requeue_lost(self._host, _now()):
            log.info("job_requeued", job_id=job_id, reason="its supervisor is gone")
        self._store.clean_attempts()
        self._store.clean_incoming(UNFINISHED_SECONDS)

    def _turn(self) -> None:
        self._keep_house()
        self._claim_while_free()
        self._keep_predictions_served()
        waited_for = [run.child.connection for run in self._runs.values()]
        if not waited_for:
            time.sleep(POLL_SECONDS)
        for connection in multiprocessing.connection.wait(waited_for, POLL_SECONDS) if waited_for else ():
            self._listen(next(run for run in self._runs.values() if run.child.connection is connection))

    def _keep_house(self) -> None:
        """Prove life, renew the leases, and fold the log, each at its own pace."""
        clock = time.monotonic()
        if clock - self._renewed >= RENEW_SECONDS:
            self._renewed = clock
            self._supervisors.heartbeat(self._id, self._host, os.getpid(), _now())
            self._renew_leases()
        if clock - self._checkpointed >= CHECKPOINT_SECONDS:
            self._checkpointed = clock
            self._database.checkpoint()

    def _renew_leases(self) -> None:
        """Renew what is held; end what was cancelled, and what another supervisor has taken meanwhile."""
        self._jobs.requeue_lost(None, _now())
        held = {job.id: job for job in self._jobs.renew(self._owner, self._lease_end())}
        for run in list(self._runs.values()):
            mine = held.get(run.job.id)
            if mine is None or mine.attempt != run.job.attempt:
                self._discard(run, "it was replaced")
            elif mine.cancel_requested:
                self._discard(run, "it was cancelled")
                self._jobs.confirm_cancelled(run.job.id, run.job.attempt, _now())

    def _lease_end(self) -> datetime:
        return _now() + timedelta(seconds=self._settings.lease_seconds)

    def _claim_while_free(self) -> None:
        while len(self._runs) < self._settings.slots:
            job = self._jobs.claim(self._owner, self._lease_end(), _now())
            if job is None:
                return
            self._start(job)

    def _start(self, job: Job) -> None:
        work_folder = self._store.attempt(job.id, job.attempt)
        shutil.rmtree(work_folder, ignore_errors=True)
        work_folder.mkdir(parents=True)
        child = self._zygote.start("service.training.child:run_job", (self._assignment(job, work_folder),))
        self._runs[job.id] = Run(job=job, child=child, work_folder=work_folder)
        log.info("job_started", job_id=job.id, attempt=job.attempt, pid=child.process.pid)

    def _assignment(self, job: Job, work_folder: Path) -> Assignment:
        return Assignment(
            job=job.id,
            attempt=job.attempt,
            architecture=job.request["network"],
            input_shapes=job.request["input_shapes"],
            compilation=Compilation.from_json(job.request["compilation"]),
            fitting=Fitting.from_json(job.request["fitting"]),
            seed=job.request["seed"],
            threads=self._settings.threads_per_job,
            data=self._stored(job.dataset),
            validation_data=None if job.validation_dataset is None else self._stored(job.validation_dataset),
            work_folder=work_folder,
        )

    def _stored(self, dataset_id: str) -> StoredArrays:
        return StoredArrays(folder=self._store.dataset(dataset_id), arrays=self._datasets.get(dataset_id).arrays)

    def _keep_predictions_served(self) -> None:
        """Keep one child alive that answers for the versions that ONNX Runtime cannot serve."""
        child = self._predictions
        if child is not None and child.process.is_alive():
            return
        if child is not None:
            log.warning("prediction_child_ended", exit_code=child.collect())
        arguments = (str(self._settings.prediction_socket), self._settings.data)
        self._predictions = self._zygote.start("service.inference.tensorflow_child:serve_predictions", arguments)

    def _listen(self, run: Run) -> None:
        """Take one message of a child, or its end."""
        try:
            message: Message = run.child.connection.recv()
        except (EOFError, OSError):
            self._settle(run)
            return
        match message:
            case ProgressMade():
                kept = self._jobs.record_progress(run.job.id, run.job.attempt, _progress(message))
            case EpochEnded(epoch=epoch, row=row):
                kept = self._jobs.record_epoch(run.job.id, run.job.attempt, epoch, row)
            case _:
                run.outcome = message
                return
        if not kept:
            self._discard(run, "it was replaced")

    def _settle(self, run: Run) -> None:
        """Write down how a job ended; the parent decides where the child could not say it."""
        exit_code = run.child.collect()
        del self._runs[run.job.id]
        outcome = run.outcome or _death(exit_code)
        if isinstance(outcome, Finished):
            self._publish(run, outcome)
        else:
            self._jobs.fail(run.job.id, run.job.attempt, _failure(outcome), _now())
            log.info("job_failed", job_id=run.job.id, code=outcome.code)
        shutil.rmtree(run.work_folder, ignore_errors=True)

    def _publish(self, run: Run, outcome: Finished) -> None:
        """Move the files to their place first, then commit the row that makes them a version."""
        version_id = new_id("ver")
        size = sum(path.stat().st_size for path in run.work_folder.iterdir())
        self._store.publish(run.work_folder, "versions", version_id)
        new = self._new_version(run.job, outcome, version_id, size)
        version = self._jobs.succeed(run.job.id, run.job.attempt, new, _now())
        if version is None:
            self._store.remove("versions", version_id)
            return
        log.info("job_succeeded", job_id=run.job.id, model=version.model, version=version.number)

    def _new_version(self, job: Job, outcome: Finished, version_id: str, size: int) -> NewVersion:
        request = job.request
        return NewVersion(
            id=version_id,
            model=job.model,
            job=job.id,
            architecture=request["architecture"],
            compile=request["compilation"],
            fit=request["fitting"],
            summary=request["summary"],
            parameters=outcome.parameters,
            metrics=outcome.metrics,
            inputs=outcome.inputs,
            outputs=outcome.outputs,
            seed=request["seed"],
            threads=self._settings.threads_per_job,
            dataset_sha256=self._datasets.get(job.dataset).sha256,
            weights_sha256=outcome.weights_sha256,
            size_bytes=size,
            engine=outcome.engine,
            engine_reason=outcome.engine_reason,
            max_difference=outcome.max_difference,
            libraries=outcome.libraries,
        )

    def _discard(self, run: Run, reason: str) -> None:
        """End a child whose result nobody wants any more."""
        run.child.kill()
        self._runs.pop(run.job.id, None)
        shutil.rmtree(run.work_folder, ignore_errors=True)
        log.info("child_ended", job_id=run.job.id, attempt=run.job.attempt, reason=reason)

    def _shut_down(self) -> None:
        """End every child; what was running goes back to the queue and starts again with the next supervisor."""
        for run in list(self._runs.values()):
            self._discard(run, "the service stops")
            self._jobs.release(run.job.id, run.job.attempt)
        if self._predictions is not None:
            self._predictions.kill()
        self._supervisors.remove(self._id)
        self._database.checkpoint()
        log.info("supervisor_stopped", supervisor=self._id)


def main(settings: Settings) -> None:
    """Run this machine's supervisor until SIGTERM or SIGINT."""
    database = Database(settings.database, checkpoints=True)
    supervisor = Supervisor(settings, database, FileStore(settings.data), Zygote())
    signal.signal(signal.SIGTERM, supervisor.stop)
    signal.signal(signal.SIGINT, supervisor.stop)
    try:
        supervisor.run()
    finally:
        database.close()


@contextmanager
def _only_supervisor(lock: Path, stopping: Callable[[], bool]) -> Iterator[None]:
    """Hold the machine's one lock of a data folder; the kernel lets go of it whenever and however its holder dies."""
    with lock.open("w") as file:
        while not stopping():
            with suppress(BlockingIOError):
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            time.sleep(POLL_SECONDS)
        yield


def _death(exit_code: int) -> Failed:
    """The likely cause of a child that ended without a word."""
    if exit_code == -signal.SIGKILL:
        return Failed(
            code="out_of_memory",
            message="The job's process was killed, most likely by the system for want of memory. Take a smaller "
            "batch_size or a smaller network, or give the machine more memory.",
            retryable=True,
        )
    how = f"by signal {-exit_code}" if exit_code < 0 else f"with exit code {exit_code}"
    return Failed(
        code="worker_lost",
        message=f"The job's process ended {how} and could not say why. Submit the job again; if it ends so again, "
        "the server's log has what the process printed.",
        retryable=True,
    )


def _failure(failed: Failed) -> Failure:
    return Failure(code=failed.code, message=failed.message, retryable=failed.retryable)


def _progress(message: ProgressMade) -> Progress:
    return Progress(
        epoch=message.epoch,
        epochs=message.epochs,
        step=message.step,
        steps=message.steps,
        percent=message.percent,
        samples_per_second=message.samples_per_second,
        eta_seconds=message.eta_seconds,
    )


def _now() -> datetime:
    return datetime.now(UTC)
