"""Writes down what children say, and what becomes of a job when its run has ended."""

from collections.abc import Callable
from dataclasses import asdict
from datetime import datetime

import structlog

from service.data.store import FileStore
from service.errors import StorageFull
from service.registry.claims import Claims
from service.registry.datasets import Datasets
from service.registry.ids import new_id
from service.registry.job import Checkpoint, Execution, Failure, Job, Progress
from service.registry.models import NewVersion
from service.registry.tables import Status
from service.training import messages, verdict
from service.training.messages import (
    CheckpointWritten,
    ExecutionChosen,
    Failed,
    Finished,
    Measurement,
    ProgressMade,
    Stopped,
    StopReason,
)
from service.training.request import request_sha256
from service.training.run import Run

#: From these a job can go on, so that its checkpoints stay.
_RESUMABLE = (Status.QUEUED, Status.PAUSED)

log = structlog.get_logger()


class Journal:
    """The supervisor's pen: every write about a run names its attempt, and is refused once another has begun."""

    def __init__(
        self, claims: Claims, datasets: Datasets, store: FileStore, max_retries: int, now: Callable[[], datetime]
    ) -> None:
        self._claims = claims
        self._datasets = datasets
        self._store = store
        self._max_retries = max_retries
        self._now = now

    def hear(self, run: Run, message: ProgressMade | CheckpointWritten | ExecutionChosen) -> bool:
        """Write down a message of a running child; False says that the run was replaced and must end."""
        match message:
            case ProgressMade():
                ended = {one.epoch: one.row for one in message.ended}
                return self._claims.record_progress(run.job.id, run.job.attempt, _progress(message), ended)
            case CheckpointWritten():
                return self._take_checkpoint(run, message)
            case ExecutionChosen():
                return self.choose(run, message.execution, message.measurements)

    def _take_checkpoint(self, run: Run, message: CheckpointWritten) -> bool:
        """Record the checkpoint, and only then remove the one before."""
        checkpoint = Checkpoint(name=message.name, epoch=message.epoch, step=message.step, written_at=self._now())
        if not self._claims.record_checkpoint(run.job.id, run.job.attempt, checkpoint):
            return False
        if run.checkpoint not in (None, message.name):
            self._store.drop_checkpoint(run.job.id, run.checkpoint)
        run.checkpoint, run.went_further = message.name, True
        return True

    def choose(self, run: Run, execution: messages.Execution, measurements: tuple[Measurement, ...]) -> bool:
        """Record how the job's steps are run; what was chosen once stays."""
        if run.execution is not None:
            return True
        run.execution = Execution(
            jit_compile=execution.jit_compile,
            threads=execution.threads,
            chosen_by=execution.chosen_by,
            measurements=[asdict(one) for one in measurements],
        )
        return self._claims.record_execution(run.job.id, run.job.attempt, run.execution)

    def settle(self, run: Run, outcome: Finished | Stopped | Failed, elapsed: float) -> None:
        """Write down how a run has ended, and remove the checkpoints that nobody goes on from."""
        match outcome:
            case Finished():
                self._publish_or_fail(run, outcome, elapsed)
            case Stopped(reason=StopReason.KEEP_BEST):
                self.confirm_cancelled(run, elapsed)
            case Stopped(reason=None) if not run.wishes.cancel_requested and run.job.time_limit_seconds is not None:
                self._fail(run, verdict.of_time(run.job.time_limit_seconds), elapsed)
            case Stopped():
                self.release(run, elapsed)
            case Failed(code="worker_lost"):
                self._retry(run, outcome, elapsed)
            case Failed():
                self._fail(run, outcome, elapsed)

    def release(self, run: Run, elapsed: float) -> None:
        """Give the job back: to the queue, unless a client has paused or cancelled it meanwhile."""
        self._ended(run, self._claims.release(run.job.id, run.job.attempt, self._now(), elapsed))

    def confirm_cancelled(self, run: Run, elapsed: float) -> None:
        """End a job that was cancelled, and has no version to show for it."""
        confirmed = self._claims.confirm_cancelled(run.job.id, run.job.attempt, self._now(), elapsed)
        self._ended(run, Status.CANCELLED if confirmed else None)

    def requeue_lost(self, host: str | None) -> None:
        """Give back what no supervisor runs any more, with `host` also all of its earlier supervisors."""
        for job in self._claims.requeue_lost(host, self._now(), verdict.retries(self._max_retries)):
            log.info("job_given_back", job_id=job.id, status=job.status, reason="its supervisor is gone")
            self._clear(job.id, job.status, job.failure)

    def _publish_or_fail(self, run: Run, outcome: Finished, elapsed: float) -> None:
        try:
            self._publish(run, outcome, elapsed)
        except StorageFull:
            self._fail(run, verdict.of_full_disk(), elapsed)
        except FileNotFoundError:
            # A supervisor that takes over clears the working folders of those before it.
            self._retry(run, verdict.of_lost_files(), elapsed)

    def _publish(self, run: Run, outcome: Finished, elapsed: float) -> None:
        """Move the files to their place first, then commit the row that makes them a version."""
        version_id = new_id("ver")
        size = sum(path.stat().st_size for path in run.work_folder.iterdir())
        self._store.publish(run.work_folder, "versions", version_id)
        new = self._new_version(run, outcome, version_id, size)
        version = self._claims.succeed(run.job.id, run.job.attempt, new, self._now(), elapsed)
        if version is None:
            self._store.remove("versions", version_id)
            self._ended(run, None)
            return
        log.info("version_published", job_id=run.job.id, model=version.model, version=version.number)
        self._clear(run.job.id, Status.SUCCEEDED, None)

    def _new_version(self, run: Run, outcome: Finished, version_id: str, size: int) -> NewVersion:
        job, request = run.job, run.job.request
        execution = run.execution or Execution(jit_compile=False, threads=run.threads, chosen_by="default")
        return NewVersion(
            id=version_id,
            model=job.model,
            job=job.id,
            architecture=request["architecture"],
            compile=request["compilation"],
            fit=request["fitting"],
            summary=request["summary"],
            parameters=outcome.parameters,
            # Where a callback or a client wanted the best weights back, the last epoch's metrics are not theirs.
            metrics=self._claims.epoch(job.id, outcome.weights_epoch) or outcome.metrics,
            inputs=outcome.inputs,
            outputs=outcome.outputs,
            seed=request["seed"],
            threads=execution.threads,
            dataset_sha256=self._datasets.get(job.dataset).sha256,
            weights_sha256=outcome.weights_sha256,
            size_bytes=size,
            engine=outcome.engine,
            engine_reason=outcome.engine_reason,
            max_difference=outcome.max_difference,
            libraries=outcome.libraries,
            jit_compile=execution.jit_compile,
            weights_epoch=outcome.weights_epoch,
            request_sha256=request_sha256(request),
            machine=outcome.machine,
            validation_dataset_sha256=self._validation_sha256(job),
            initial=request.get("initial"),
            preparation=request.get("preparation"),
            evaluation=outcome.evaluation,
        )

    def _validation_sha256(self, job: Job) -> str | None:
        return None if job.validation_dataset is None else self._datasets.get(job.validation_dataset).sha256

    def _fail(self, run: Run, failed: Failed, elapsed: float) -> None:
        failure = verdict.as_failure(failed)
        kept = self._claims.fail(run.job.id, run.job.attempt, failure, self._now(), elapsed)
        self._ended(run, Status.FAILED if kept else None, failure)

    def _retry(self, run: Run, failed: Failed, elapsed: float) -> None:
        retries = verdict.retries(self._max_retries, failed)
        status = self._claims.retry(run.job.id, run.job.attempt, retries, self._now(), elapsed)
        self._ended(run, status, retries.failure, reason=failed.message)

    def _ended(self, run: Run, status: Status | None, failure: Failure | None = None, **more: str) -> None:
        """Log the end and clear up; a run without a new status was replaced, and what lies there is its successor's."""
        if status is None:
            log.info("run_replaced", job_id=run.job.id, attempt=run.job.attempt)
            return
        code = failure.code if failure is not None and status is Status.FAILED else None
        log.info("run_ended", job_id=run.job.id, attempt=run.job.attempt, status=status, code=code, **more)
        self._clear(run.job.id, status, failure)

    def _clear(self, job_id: str, status: Status, failure: Failure | None) -> None:
        retryable = status is Status.FAILED and failure is not None and failure.retryable
        if status not in _RESUMABLE and not retryable:
            self._store.remove("checkpoints", job_id)


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
