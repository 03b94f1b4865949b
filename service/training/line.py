"""A child's end of the pipe to its supervisor; it ends the process when the pipe breaks."""

import os
import queue
import threading
from contextlib import suppress
from multiprocessing.connection import Connection
from typing import Any


class Line:
    """Sends messages, and receives them in a thread, so that the supervisor's end is noticed whatever else goes on."""

    def __init__(self, connection: "Connection[Any, Any]") -> None:
        self._connection = connection
        self._inbox: queue.SimpleQueue[Any] = queue.SimpleQueue()
        threading.Thread(target=self._receive, daemon=True, name="line").start()

    def send(self, message: Any) -> None:
        self._connection.send(message)

    def receive(self, seconds: float | None = None) -> Any | None:
        """Wait for the next message, at most so many seconds; None if there was none."""
        with suppress(queue.Empty):
            return self._inbox.get(timeout=seconds)
        return None

    def received(self) -> Any | None:
        """The next message if one has come, or None."""
        with suppress(queue.Empty):
            return self._inbox.get_nowait()
        return None

    def _receive(self) -> None:
        # Nothing that a child could still do has any worth without its supervisor.
        with suppress(EOFError, OSError):
            while True:
                self._inbox.put(self._connection.recv())
        os._exit(1)
