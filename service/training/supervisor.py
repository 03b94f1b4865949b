"""The one process of a machine that claims jobs, starts a child for each, and watches them until they end.

A turn of the loop: renew the leases and pass on what clients want; end children that take more than their due; claim
jobs while slots are free; then wait for a child's word, for the doorbell, for an errand, or for the next turn. What
children say goes to the journal. Signal handlers only ask it to stop.
"""

import fcntl
import multiprocessing.connection
import os
import signal
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import structlog

from service.config import Settings
from service.data.store import FileStore
from service.registry.claims import Claims
from service.registry.database import Database, wal_race_possible
from service.registry.datasets import Datasets
from service.registry.ids import new_id
from service.registry.models import Models
from service.registry.supervisors import Supervisors
from service.training.doorbell import Doorbell, ring
from service.training.errand_desk import ErrandDesk
from service.training.journal import Journal
from service.training.launcher import Launcher
from service.training.messages import Failed, Finished, Message, Ready, StartAgain, Stopped, StopReason
from service.training.run import Run
from service.training.zygote import Child, Zygote

#: How often it proves life, in seconds: each time, the web processes must look anew at what they remember.
BEAT_SECONDS = 2.5
#: How often leases are renewed and children looked at, in seconds; without a doorbell, also how long a stop can take.
RENEW_SECONDS = 0.5
#: The same right after a ring, so that many rings cost no more than a few looks.
SOON_SECONDS = 0.05
#: How long the loop waits at most: with the doorbell, and without it. With nothing to do it waits for the next beat.
WAIT_SECONDS, POLL_SECONDS = 0.5, 0.1
#: How often the write-ahead log is folded into the database, in seconds; only this process does it.
FOLD_SECONDS = 10.0
#: The share of the time for the shutdown in which children may write their checkpoints; the rest is for clearing up.
CHILDRENS_SHARE = 0.8

#: How long after the beginning of a job the next child begins to warm up, in seconds.
STANDBY_SECONDS = 1.0
#: How long a child may take to end after its last word, in seconds.
LEAVING_SECONDS = 60.0
#: What nothing was added to for this long, in seconds, belongs to a process that is gone.
UNFINISHED_SECONDS = 24 * 3600.0

log = structlog.get_logger()


class Supervisor:
    """Claims and watches jobs on one machine, whose threads they share."""

    def __init__(self, settings: Settings, database: Database, store: FileStore, zygote: Zygote) -> None:
        self._settings = settings
        self._database = database
        self._claims = Claims(database)
        self._datasets = Datasets(database)
        self._supervisors = Supervisors(database)
        self._store = store
        self._zygote = zygote
        self._launcher = Launcher(settings, store, self._datasets, self._claims, zygote)
        self._journal = Journal(self._claims, self._datasets, store, settings.max_retries, _now)
        self._host = socket.gethostname()
        self._id = new_id("sup")
        self._owner = f"{self._host}:{self._id}"
        self._runs: dict[str, Run] = {}
        # Children that have said their last word of a job, their threads, and when they are to be gone.
        self._leaving: dict[Child, tuple[int, float]] = {}
        self._predictions: Child | None = None
        self._errands = ErrandDesk(
            settings.errand_socket,
            zygote,
            threads=settings.threads_per_job,
            max_memory_bytes=settings.max_memory_bytes,
        )
        self._bell: Doorbell | None = None
        # The state of the database in which no job was waiting.
        self._idle_since: int | None = None
        self._rung = self._stopping = False
        self._beaten = self._checked = self._renewed = self._claimed = self._folded = self._begun = float("-inf")

    def stop(self, *_: object) -> None:
        """Ask the loop to end; safe in a signal handler."""
        self._stopping = True
        ring(self._settings.doorbell)

    def run(self) -> None:
        """Work until asked to stop; returns with no child left and every running job given back."""
        with _only_supervisor(self._settings.data / "supervisor.lock", lambda: self._stopping):
            if self._stopping:
                return
            self.take_over()
            self._zygote.warm_up()
            log.info("supervisor_ready", supervisor=self._id, threads=self._settings.training_threads)
            try:
                while not self._stopping:
                    self.turn()
            finally:
                self.shut_down()

    def take_over(self) -> None:
        """Give back what an earlier supervisor of this machine left running, and clear what it left lying."""
        if wal_race_possible():
            log.warning("sqlite_older_than_3_51_3", consequence="only the supervisor checkpoints the database")
        self._bell = Doorbell.install(self._settings.doorbell)
        self._errands.open()
        self._journal.requeue_lost(self._host)
        self._supervisors.forget_silent(_now() - timedelta(seconds=UNFINISHED_SECONDS))
        self._store.clean_attempts()
        self._store.clean_incoming(UNFINISHED_SECONDS)
        self._store.clean_unknown("datasets", self._datasets.ids, UNFINISHED_SECONDS)
        self._store.clean_unknown("versions", Models(self._database).version_ids, UNFINISHED_SECONDS)
        # Only a supervisor makes these, and this one has made none yet.
        self._store.clean_unknown("checkpoints", self._claims.keeping_checkpoints, 0.0)

    def turn(self) -> None:
        """Go once around the loop."""
        self._keep_house()
        self._claim_while_free()
        self._keep_standby()
        self._keep_predictions_served()
        self._wait(self._patience())

    def _patience(self) -> float:
        """How long nothing needs a look: who wakes up takes a processor from predictions."""
        if self._bell is None:
            return POLL_SECONDS
        clock, state = time.monotonic(), self._database.state()
        busy = self._runs or self._leaving or self._errands.busy or clock - self._begun < STANDBY_SECONDS + WAIT_SECONDS
        if busy or state is None or state != self._idle_since:
            return WAIT_SECONDS
        return max(0.0, self._beaten + BEAT_SECONDS - clock)

    def _wait(self, seconds: float) -> None:
        """Wait for what comes first, and take one message of each child that has one."""
        answers: dict[Any, Callable[[], None]] = {
            **{run.child.connection: partial(self._listen, run) for run in self._runs.values()},
            **{child.connection: partial(self._see_off, child) for child in self._leaving},
            **dict(self._errands.answers()),
        }
        if self._bell is not None:
            answers[self._bell.fileno()] = self._answer_bell
        if self._predictions is not None:
            # The next turn sees that it has ended.
            answers[self._predictions.process.sentinel] = lambda: None
        if not answers:
            time.sleep(seconds)
            return
        for ready in multiprocessing.connection.wait(list(answers), SOON_SECONDS if self._rung else seconds):
            answers[ready]()

    def _answer_bell(self) -> None:
        if self._bell is not None:
            self._bell.answer()
        self._rung = True
        self._claimed = float("-inf")

    def _keep_house(self) -> None:
        """Prove life, renew the leases, look after the children, and fold the log, each at its own pace."""
        clock = time.monotonic()
        if clock - self._beaten >= BEAT_SECONDS:
            self._beaten = clock
            self._supervisors.heartbeat(self._id, self._host, os.getpid(), _now())
            if not self._runs:
                # Those of a machine that is gone; beside jobs of its own it looks for them with each renewal.
                self._journal.requeue_lost(None)
        if clock - self._checked >= RENEW_SECONDS:
            self._checked = clock
            self._check_children(clock)
        if clock - self._renewed >= (SOON_SECONDS if self._rung else RENEW_SECONDS):
            self._renewed, self._rung = clock, False
            self._renew_leases(clock)
        if clock - self._folded >= FOLD_SECONDS:
            self._folded = clock
            # To empty the log's file it would wait for readers, and one that reads for long would hold up every job.
            self._database.checkpoint(truncate=False)

    def _check_children(self, clock: float) -> None:
        self._errands.check(clock)
        for run in list(self._runs.values()):
            failed = run.trespass(self._settings.max_memory_bytes, clock)
            if failed is not None:
                run.child.kill()
                self._settle(run, failed)
        for child in [child for child, (_, deadline) in self._leaving.items() if clock > deadline]:
            del self._leaving[child]
            child.kill()

    def _renew_leases(self, clock: float) -> None:
        """Renew what is held and pass on what clients want of it; end what another supervisor has taken meanwhile."""
        if not self._runs:
            return
        elapsed = {(run.job.id, run.job.attempt): run.elapsed(clock) for run in self._runs.values()}
        held = {(one.id, one.attempt): one for one in self._claims.renew(self._owner, self._lease_end(), elapsed)}
        for run in list(self._runs.values()):
            mine = held.get((run.job.id, run.job.attempt))
            if mine is None:
                self._discard(run, "it was replaced")
            elif mine.cancel_requested and mine.keep is None:
                self._discard(run, "it was cancelled")
                self._journal.confirm_cancelled(run, run.elapsed(time.monotonic()))
            else:
                run.obey(mine)
        # Own leases are renewed first, so that a supervisor that was stopped for long does not lose jobs to itself.
        self._journal.requeue_lost(None)

    def _lease_end(self) -> datetime:
        return _now() + timedelta(seconds=self._settings.lease_seconds)

    def _free_threads(self) -> int:
        """How many threads no job has; a job with large steps has all, and others beside it share them."""
        return self._settings.training_threads - sum(run.threads for run in self._runs.values())

    def _claim_while_free(self) -> None:
        """Claim jobs while a slot is free; the queue is looked at after a ring, an end, or a while.

        It is still empty where it was, and nobody has changed anything since: a supervisor that has nothing to do must
        not take a processor from predictions.
        """
        clock, state = time.monotonic(), self._database.state()
        if clock - self._claimed < POLL_SECONDS or (state is not None and state == self._idle_since):
            return
        self._claimed = clock
        while len(self._runs) < self._settings.slots:
            job = self._claims.claim(self._owner, self._lease_end(), _now())
            if job is None:
                self._idle_since = state
                return
            self._begun = time.monotonic()
            self._runs[job.id] = self._launcher.begin(job, self._free_threads())

    def _keep_standby(self) -> None:
        """Let a child warm up for the next job, a while after the last one began: its start goes before.

        Nor is it time while one that has ended a job may still say that it is ready for another.
        """
        if self._settings.standby and not self._leaving and time.monotonic() - self._begun >= STANDBY_SECONDS:
            self._zygote.keep_standby(self._settings.threads_per_job, self._store.standby, self._store.cache)

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
            self._settle(run, run.death(run.child.collect()))
            return
        match message:
            case Finished() | Stopped() | StartAgain() | Failed():
                # The child has nothing more to say or to write, and needs nobody's help to end.
                self._leaving[run.child] = (run.threads, time.monotonic() + LEAVING_SECONDS)
                self._settle(run, message)
            case _:
                if not self._journal.hear(run, message):
                    self._discard(run, "it was replaced")

    def _settle(self, run: Run, outcome: Finished | Stopped | StartAgain | Failed) -> None:
        """Write down how a run has ended, and make room for the next."""
        del self._runs[run.job.id]
        elapsed = run.elapsed(time.monotonic())
        if not isinstance(outcome, StartAgain):
            self._journal.settle(run, outcome, elapsed)
        elif self._stopping:
            self._journal.release(run, elapsed)
        elif outcome.execution is None or self._journal.choose(run, outcome.execution, outcome.measurements):
            self._runs[run.job.id] = self._launcher.start_again(run, outcome, self._free_threads())
            return
        self._store.drop_attempt(run.job.id, run.job.attempt)
        self._claimed = float("-inf")

    def _see_off(self, child: Child) -> None:
        """Collect a child that is leaving, once its pipe is closed, or let it stand by, if it says that it is ready."""
        try:
            message = child.connection.recv()
        except (EOFError, OSError):
            del self._leaving[child]
            child.collect()
            return
        if isinstance(message, Ready):
            threads, _ = self._leaving.pop(child)
            wanted = self._settings.standby and not self._stopping and threads == self._settings.threads_per_job
            if not (wanted and self._zygote.adopt(child, threads)):
                child.kill()

    def _discard(self, run: Run, reason: str) -> None:
        """End a child whose result nobody wants any more."""
        run.child.kill()
        self._runs.pop(run.job.id, None)
        self._store.drop_attempt(run.job.id, run.job.attempt)
        log.info("child_ended", job_id=run.job.id, attempt=run.job.attempt, reason=reason)

    def shut_down(self) -> None:
        """End every child; those that may write a checkpoint first do so. Their jobs go on with the next supervisor."""
        if self._stopping:
            self._let_children_stop(time.monotonic() + CHILDRENS_SHARE * self._settings.shutdown_seconds)
        for run in list(self._runs.values()):
            self._discard(run, "the service stops")
            self._journal.release(run, run.elapsed(time.monotonic()))
        self._errands.close()
        for child in (*self._leaving, *([] if self._predictions is None else [self._predictions])):
            child.kill()
        self._zygote.end_standby()
        self._supervisors.remove(self._id)
        self._database.checkpoint()
        if self._bell is not None:
            self._bell.remove()
        log.info("supervisor_stopped", supervisor=self._id)

    def _let_children_stop(self, deadline: float) -> None:
        self._errands.refuse()
        for run in self._runs.values():
            run.stop(StopReason.SHUTDOWN)
        while (self._runs or self._errands.busy) and time.monotonic() < deadline:
            self._keep_house()
            self._wait(POLL_SECONDS)


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


def _now() -> datetime:
    return datetime.now(UTC)
