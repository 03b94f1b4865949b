"""What stands in for a job's child in the tests of the supervisor: real processes that only say and do a few things."""

import multiprocessing
import os
import shutil
import signal
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from service.training.messages import (
    Assignment,
    CheckpointWritten,
    EpochEnded,
    Execution,
    ExecutionChosen,
    Failed,
    Finished,
    Measurement,
    ProgressMade,
    StartAgain,
    Stop,
    Stopped,
    StopReason,
)
from service.training.zygote import Child

Pipe = Connection  # type: ignore[type-arg]
Play = Callable[[Pipe, Assignment], None]

MEASUREMENTS = (Measurement(jit_compile=True, threads=1, step_seconds=0.5, total_seconds=2.0),)


class StagedZygote:
    """Starts processes that play the given parts, one a start, the last one again and again."""

    def __init__(self, *plays: Play) -> None:
        self._plays = list(plays)
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload(["tests.training.children"])
        self.assignments: list[Assignment] = []
        self.children: list[Child] = []

    def start_job(self, assignment: Assignment, *, stays: bool) -> Child:
        return self.start("service.training.child:run_job", (assignment,))

    def keep_standby(self, threads: int, folder: Path, cache: Path) -> None:
        """Parts have nothing to warm up."""

    def adopt(self, child: Child, threads: int) -> bool:
        """Parts are played once."""
        return False

    def end_standby(self) -> None:
        """There is none."""

    def start(self, function: str, arguments: tuple[Any, ...]) -> Child:
        """Start the next part; the process that serves predictions only waits."""
        play: Callable[..., None] = wait_for_the_end
        if function == "service.training.child:run_job":
            self.assignments.append(arguments[0])
            play = self._plays.pop(0) if len(self._plays) > 1 else self._plays[0]
        ours, theirs = self._context.Pipe(duplex=True)
        process = self._context.Process(target=play, args=(theirs, *arguments), daemon=True)
        process.start()
        theirs.close()
        child = Child(process=process, connection=ours)
        self.children.append(child)
        return child


def wait_for_the_end(connection: Pipe, *_: object) -> None:
    """Do nothing until the supervisor is gone."""
    try:
        connection.recv()
    except EOFError:
        return
    time.sleep(60)


def progress(epoch: int, step: int, *ended: EpochEnded) -> ProgressMade:
    return ProgressMade(
        epoch=epoch,
        epochs=3,
        step=step,
        steps=4,
        percent=10.0,
        samples_per_second=100.0,
        eta_seconds=1.0,
        ended=ended,
    )


def write_checkpoint(connection: Pipe, assignment: Assignment, epoch: int, step: int) -> None:
    name = f"{assignment.attempt}-{epoch}-{step}"
    (assignment.checkpoint_folder / name).write_bytes(b"state")
    connection.send(CheckpointWritten(name=name, epoch=epoch, step=step))


def finish(connection: Pipe, assignment: Assignment) -> None:
    """Train to the end."""
    execution = Execution(jit_compile=True, threads=assignment.threads, chosen_by="measurement")
    connection.send(ExecutionChosen(execution=execution, measurements=MEASUREMENTS))
    connection.send(progress(3, 4, *(EpochEnded(epoch=number, row={"loss": 1 / number}) for number in (1, 2, 3))))
    (assignment.work_folder / "model.keras").write_bytes(b"weights")
    connection.send(finished())


def finished() -> Finished:
    return Finished(
        parameters=13,
        metrics={"loss": 0.5},
        inputs=[],
        outputs=[],
        weights_sha256="a" * 64,
        weights_epoch=3,
        engine="onnxruntime",
        engine_reason=None,
        max_difference=0.0,
        libraries={},
        machine="a machine",
    )


def train_until_stopped(connection: Pipe, assignment: Assignment) -> None:
    """Write a checkpoint, and another one when asked to stop; keep the best if that is what is asked."""
    connection.send(progress(1, 2, EpochEnded(epoch=1, row={"loss": 0.5})))
    write_checkpoint(connection, assignment, 1, 1)
    stop = _asked(connection) if assignment.keep_best_after is None else StopReason.KEEP_BEST
    if stop is StopReason.KEEP_BEST:
        finish(connection, assignment)
        return
    write_checkpoint(connection, assignment, 2, 1)
    connection.send(Stopped(reason=stop))


def have_nothing_to_keep(connection: Pipe, assignment: Assignment) -> None:
    """Stop before the first epoch is over."""
    connection.send(progress(1, 1))
    connection.send(Stopped(reason=_asked(connection)))


def _asked(connection: Pipe) -> StopReason:
    stop: Stop = connection.recv()
    return stop.reason


def ignore_everything(connection: Pipe, assignment: Assignment) -> None:
    """Train on, whatever is asked."""
    write_checkpoint(connection, assignment, 1, 1)
    time.sleep(60)


def run_out_of_time(connection: Pipe, assignment: Assignment) -> None:
    write_checkpoint(connection, assignment, 1, 1)
    connection.send(Stopped(reason=None))


def fail(connection: Pipe, assignment: Assignment) -> None:
    write_checkpoint(connection, assignment, 1, 1)
    connection.send(Failed(code="nan_loss", message="It diverged.", advice="Lower it.", retryable=False))


def be_killed(connection: Pipe, assignment: Assignment) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def be_killed_after_a_checkpoint(connection: Pipe, assignment: Assignment) -> None:
    """Die where a later attempt can go on; what it leaves half-written is nothing to go on from."""
    write_checkpoint(connection, assignment, 1, assignment.attempt)
    (assignment.checkpoint_folder / "half.tmp").write_bytes(b"sta")
    os.kill(os.getpid(), signal.SIGKILL)


def exit_badly(connection: Pipe, assignment: Assignment) -> None:
    os._exit(3)


def take_memory(connection: Pipe, assignment: Assignment) -> None:
    """Take 96 MiB, and hold them."""
    held = bytearray(96 * 2**20)
    held[:: 2**12] = b"x" * (len(held) // 2**12)
    time.sleep(60)


def ask_for_more_threads(connection: Pipe, assignment: Assignment) -> None:
    """Want to be measured with as many threads as there may be."""
    threads = assignment.threads + assignment.spare_threads
    connection.send(StartAgain(threads=threads, execution=None, measurements=MEASUREMENTS))


def decide_on_two_threads(connection: Pipe, assignment: Assignment) -> None:
    """Want to be run with two threads, for good."""
    execution = Execution(jit_compile=False, threads=2, chosen_by="measurement")
    connection.send(StartAgain(threads=2, execution=execution, measurements=MEASUREMENTS))


def lose_the_files(connection: Pipe, assignment: Assignment) -> None:
    """Finish with nothing to show for it, because somebody has cleared the working folder."""
    shutil.rmtree(assignment.work_folder)
    connection.send(finished())


def linger(connection: Pipe, assignment: Assignment) -> None:
    """Finish, and take long to end."""
    finish(connection, assignment)
    time.sleep(60)
