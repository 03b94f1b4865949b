"""From a claimed job to a child that trains it: its share of the threads, its folders, and what it is told."""

import shutil
import time
from dataclasses import replace
from pathlib import Path

import structlog

from service.architecture.compilation import Compilation
from service.architecture.fitting import Fitting
from service.architecture.plan import operations_estimate
from service.config import Settings
from service.data.store import FileStore
from service.registry.claims import Claims
from service.registry.datasets import Datasets
from service.registry.job import Execution, Held, Job
from service.training import messages
from service.training.messages import (
    Assignment,
    InitialWeights,
    Measurement,
    StartAgain,
    StoredArrays,
)
from service.training.run import Run
from service.training.zygote import Child, Zygote

#: From so many multiplications forward in a step on, two threads were seen to be faster than one: the convolutions of a
#: 28 x 28 image in batches of 32 are below it, two such layers in a row are above.
LARGE_STEP = 50_000_000

log = structlog.get_logger()


def first_share(job: Job, share: int, all_threads: int, free: int) -> tuple[int, int]:
    """How many threads a claimed job has, and how many more it may choose to have; `free` are used by nobody.

    A job with large steps has all of them. That depends on the request alone, and so does what was forced or chosen
    before: it is given even where that is more than the machine has free, because the bits depend on it.
    """
    forced: int | None = job.execution.threads if job.execution else job.request.get("threads")
    if forced is not None:
        return forced, 0
    threads = all_threads if has_large_steps(job) else share
    return threads, max(0, free - threads)


def has_large_steps(job: Job) -> bool:
    """Whether several threads can be expected to help with a step."""
    batch_size = job.request["fitting"]["batch_size"]
    return operations_estimate(job.request["summary"], batch_size) >= LARGE_STEP


def next_share(wanted: int, execution: messages.Execution | None, share: int, free: int) -> tuple[int, int]:
    """The same for a child that takes the place of one that wants `wanted` threads; `free` includes those it held."""
    if execution is not None:
        return execution.threads, 0
    threads = min(wanted, max(share, free))
    return threads, max(0, free - threads)


class Launcher:
    """Starts children on this machine."""

    def __init__(
        self, settings: Settings, store: FileStore, datasets: Datasets, claims: Claims, zygote: Zygote
    ) -> None:
        self._settings = settings
        self._claims = claims
        self._store = store
        self._datasets = datasets
        self._zygote = zygote

    def begin(self, job: Job, free: int) -> Run:
        """Start the first child of an attempt; `free` threads are used by nobody."""
        begun = time.monotonic()
        recorded = None if job.checkpoint is None else job.checkpoint.name
        self._store.keep_checkpoint(job.id, recorded, job.attempt)
        share, all_threads = self._settings.threads_per_job, self._settings.training_threads
        threads, spare = first_share(job, share, all_threads, free)
        assignment = self._assignment(job, threads, spare, job.execution, (), job.elapsed_seconds)
        run = Run(
            job=job,
            child=self._start(assignment),
            work_folder=assignment.work_folder,
            threads=threads,
            begun=begun,
            execution=job.execution,
            checkpoint=recorded,
            wishes=_wishes(job),
            # A child that begins in order to stop is not asked to stop again.
            stop_sent=assignment.keep_best_after is not None,
        )
        run.watch_from_here()
        return run

    def start_again(self, run: Run, wanted: StartAgain, free: int) -> Run:
        """Give the job to another child, with other threads; nothing was trained yet, so that nothing is lost."""
        threads, spare = next_share(wanted.threads, wanted.execution, self._settings.threads_per_job, free)
        elapsed = run.elapsed(time.monotonic())
        assignment = self._assignment(run.job, threads, spare, run.execution, wanted.measurements, elapsed)
        again = replace(
            run, child=self._start(assignment), threads=threads, stop_sent=assignment.keep_best_after is not None
        )
        again.watch_from_here()
        return again

    def _start(self, assignment: Assignment) -> Child:
        child = self._zygote.start_job(assignment, stays=self._settings.standby)
        log.info("child_started", job_id=assignment.job, attempt=assignment.attempt, pid=child.process.pid)
        return child

    def _assignment(
        self,
        job: Job,
        threads: int,
        spare_threads: int,
        execution: Execution | None,
        measurements: tuple[Measurement, ...],
        elapsed: float,
    ) -> Assignment:
        """All that a child needs; a checkpoint whose file is gone is left out, so that the job starts anew."""
        request = job.request
        return Assignment(
            job=job.id,
            attempt=job.attempt,
            architecture=request["network"],
            input_shapes=request["input_shapes"],
            compilation=Compilation.from_json(request["compilation"]),
            fitting=Fitting.from_json(request["fitting"]),
            seed=request["seed"],
            threads=threads,
            threads_requested=request.get("threads") is not None,
            spare_threads=spare_threads,
            execution=None if execution is None else _to_message(execution),
            measurements=measurements,
            data=self._stored(job.dataset),
            validation_data=None if job.validation_dataset is None else self._stored(job.validation_dataset),
            initial=self._initial(job),
            work_folder=self._new_work_folder(job),
            checkpoint_folder=self._store.checkpoints(job.id),
            checkpoint=self._checkpoint(job),
            checkpoint_epochs=None,
            checkpoint_seconds=self._settings.checkpoint_seconds,
            cache_folder=self._store.cache,
            seconds_left=_seconds_left(job, elapsed),
            data_memory_bytes=self._settings.data_memory_bytes,
            keep_best_after=self._claims.epochs_ended(job.id) if job.cancel_requested else None,
            preparation=request.get("preparation"),
        )

    def _new_work_folder(self, job: Job) -> Path:
        folder = self._store.attempt(job.id, job.attempt)
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        return folder

    def _stored(self, dataset_id: str) -> StoredArrays:
        return StoredArrays(folder=self._store.dataset(dataset_id), arrays=self._datasets.get(dataset_id).arrays)

    def _initial(self, job: Job) -> InitialWeights | None:
        if job.initial_version is None:
            return None
        folder = self._store.version(job.initial_version)
        return InitialWeights(folder=folder, optimizer_state=job.request["initial"]["optimizer_state"])

    def _checkpoint(self, job: Job) -> str | None:
        if job.checkpoint is None:
            return None
        if not (self._store.checkpoints(job.id) / job.checkpoint.name).exists():
            log.warning("checkpoint_missing", job_id=job.id, checkpoint=job.checkpoint.name)
            return None
        return job.checkpoint.name


def _to_message(execution: Execution) -> messages.Execution:
    return messages.Execution(
        jit_compile=execution.jit_compile, threads=execution.threads, chosen_by=execution.chosen_by
    )


def _seconds_left(job: Job, elapsed: float) -> float | None:
    if job.time_limit_seconds is None or job.cancel_requested:
        return None
    return max(0.0, job.time_limit_seconds - elapsed)


def _wishes(job: Job) -> Held:
    """What clients want of a job at the moment of its claim."""
    return Held(
        id=job.id,
        attempt=job.attempt,
        cancel_requested=job.cancel_requested,
        pause_requested=job.pause_requested,
        keep=job.keep,
    )
