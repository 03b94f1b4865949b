"""Children, forked in milliseconds from a process that has imported TensorFlow and run none of it.

The zygote is multiprocessing's forkserver with `service.training.preload` imported. It has one thread and never runs
an operation: a fork of a process in which TensorFlow has run is a process with locks that nobody will ever release.
A child ends by itself when its supervisor does: the pipe between them breaks.
"""

import importlib
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing import forkserver
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any

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


class Zygote:
    """Starts children; all of it runs in the supervisor."""

    def __init__(self) -> None:
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload(["service.training.preload"])

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

    def start(self, function: str, arguments: tuple[Any, ...]) -> Child:
        """Fork a child that calls `function` ("module:name") with the connection and the arguments.

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
    threading.Thread(target=_end_with_supervisor, args=(connection,), daemon=True).start()
    os.nice(CHILD_NICENESS)
    module, _, name = function.partition(":")
    call: Callable[..., None] = getattr(importlib.import_module(module), name)
    call(connection, *arguments)


def report_threads(connection: "Connection[Any, Any]") -> None:
    """Runs in the probe's child: send how many threads the zygote has, 1 where the platform cannot say."""
    try:
        threads = len(os.listdir(f"/proc/{os.getppid()}/task"))  # noqa: PTH208  (a count of names; no Path is needed)
    except OSError:
        threads = 1
    connection.send(threads)


def _end_with_supervisor(connection: "Connection[Any, Any]") -> None:
    """Runs in a thread of the child: the supervisor sends nothing, so anything readable is its end."""
    with suppress(EOFError, OSError):
        connection.recv()
    os._exit(1)
