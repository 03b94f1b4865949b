"""Children, forked in milliseconds from a process that has imported TensorFlow and run none of it.

The zygote is multiprocessing's forkserver with `service.training.preload` imported. It has one thread and never runs
an operation: a fork of a process in which TensorFlow has run is a process with locks that nobody will ever release.
A child ends by itself when its supervisor does: the pipe between them breaks.
"""

import importlib
import multiprocessing
import os
import signal
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing import forkserver
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from service.training.line import Line
from service.training.messages import Assignment, Ready

#: Added to the niceness of a child, so that predictions go first where processors are short.
CHILD_NICENESS = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Child:
    """A forked process and the supervisor's end of the pipe to it."""

    process: BaseProcess
    connection: "Connection[Any, Any]"

    def kill(self) -> None:
        """End the process at once and for certain, and collect it."""
        with suppress(ProcessLookupError):
            self.process.kill()
        self.process.join()
        self.connection.close()

    def collect(self) -> int:
        """Wait for the end of a process that is ending, and return its exit code; a negative one is a signal's."""
        self.process.join()
        self.connection.close()
        code = self.process.exitcode
        return -signal.SIGKILL if code is None else code


@dataclass(slots=True, kw_only=True)
class Standby:
    """A child that stands by for jobs of so many threads; `ready` says that it was heard to be warm."""

    child: Child
    threads: int
    ready: bool

    def is_ready(self) -> bool:
        """Whether it can be given a job; one that has died says nothing more."""
        with suppress(EOFError, OSError):
            if not self.ready and self.child.connection.poll():
                self.ready = isinstance(self.child.connection.recv(), Ready)
            return self.ready and self.child.process.is_alive()
        return False


class Zygote:
    """Starts children; all of it runs in the supervisor."""

    def __init__(self) -> None:
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload(["service.training.preload"])
        self._standby: Standby | None = None

    def warm_up(self) -> None:
        """Start the zygote and wait until a child of it has answered; this takes as long as TensorFlow's import.

        Raises:
            RuntimeError: the zygote has more than one thread, so that its forks could hang.
        """
        forkserver.ensure_running()
        child = self.start("service.training.zygote:report_threads", ())
        try:
            threads = child.connection.recv()
        except EOFError:
            threads = 0
        child.kill()
        if threads != 1:
            raise RuntimeError(f"The zygote should have one thread, but a child of it counted {threads}.")

    def start_job(self, assignment: Assignment, *, stays: bool) -> Child:
        """Give a job to the child that stands by, if it is ready and has the threads for it, or to a new one.

        A new one that `stays` is ready for other jobs afterwards.
        """
        standby = self._standby
        if standby is not None and standby.threads == assignment.threads and standby.is_ready():
            self._standby = None
            standby.child.connection.send(assignment)
            return standby.child
        function = "service.training.standby:take_job" if stays else "service.training.child:run_job"
        return self.start(function, (assignment,))

    def keep_standby(self, threads: int, folder: Path, cache: Path) -> None:
        """See to it that a child for jobs of so many threads warms up, in `folder`, or is warm, and no other.

        It rehearses what it finds in `cache`.
        """
        if self._standby is not None:
            if self._standby.threads == threads and self._standby.child.process.is_alive():
                return
            self.end_standby()
        child = self.start("service.training.standby:stand_by", (threads, folder, cache))
        self._standby = Standby(child=child, threads=threads, ready=False)

    def adopt(self, child: Child, threads: int) -> bool:
        """Let a child that has ended a job, and is ready for another, stand by; False if another one is ready."""
        if self._standby is not None and self._standby.is_ready():
            return False
        self.end_standby()
        self._standby = Standby(child=child, threads=threads, ready=True)
        return True

    def end_standby(self) -> None:
        """End the child that stands by."""
        if self._standby is not None:
            self._standby.child.kill()
            self._standby = None

    def start(self, function: str, arguments: tuple[Any, ...]) -> Child:
        """Fork a child that calls `function` ("module:name") with its `Line` and the arguments.

        The name is resolved in the child, so that the supervisor never imports what only children need.
        """
        ours, theirs = self._context.Pipe(duplex=True)
        process = self._context.Process(target=_enter, args=(function, theirs, arguments), daemon=True)
        process.start()
        theirs.close()
        return Child(process=process, connection=ours)


def _enter(function: str, connection: "Connection[Any, Any]", arguments: tuple[Any, ...]) -> None:
    """Runs in the child: report the threads as forked or take the lower priority, then do the work."""
    if function.endswith(":report_threads"):
        report_threads(connection)
        return
    line = Line(connection)
    os.nice(CHILD_NICENESS)
    module, _, name = function.partition(":")
    call: Callable[..., None] = getattr(importlib.import_module(module), name)
    call(line, *arguments)


def report_threads(connection: "Connection[Any, Any]") -> None:
    """Runs in the probe's child: send how many threads the zygote has, 1 where the platform cannot say."""
    try:
        threads = len(os.listdir(f"/proc/{os.getppid()}/task"))  # noqa: PTH208  (a count of names; no Path is needed)
    except OSError:
        threads = 1
    connection.send(threads)
