"""An errand in a process of its own: hear what is wanted, do it, and answer; it ends as soon as nobody listens."""

import importlib
import os
import socket
import threading
import traceback
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import structlog

from service.errors import Invalid, KerasdError, Unavailable
from service.training.child import set_threads
from service.training.errand import KINDS, Wire, problem
from service.training.line import Line

#: How long the web process may take to say what it wants, and to take the answer, in seconds.
TALK_SECONDS = 20.0

log = structlog.get_logger()


def run_errand(line: Line, connection: socket.socket, threads: int) -> None:
    """Do one errand with so many threads: all that its process does."""
    wire = Wire(connection)
    try:
        message = wire.receive(TALK_SECONDS)
    except EOFError:
        return
    if message is None:
        return
    threading.Thread(target=_end_with_client, args=(wire,), daemon=True, name="client").start()
    set_threads(threads)
    answer = _outcome(message)
    with suppress(OSError):
        wire.send(answer, TALK_SECONDS)


def _end_with_client(wire: Wire) -> None:
    """Runs in a thread: what is done for somebody who has hung up is done for nobody."""
    with suppress(OSError):
        wire.wait_for_the_end()
    os._exit(0)


def _outcome(message: dict[str, Any]) -> dict[str, Any]:
    kind = message.get("kind")
    try:
        return {"result": _function(kind)(message["request"])}
    except KerasdError as error:
        return problem(error)
    except MemoryError:
        return problem(
            Unavailable("The machine had no memory left for this. Ask for less at once, or repeat it later.")
        )
    except Exception as error:
        # Local variables stay out of the log: they can hold a client's rows.
        trace = "".join(traceback.format_exception(error))
        log.error("errand_error", kind=kind, pid=os.getpid(), trace=trace)
        return problem(KerasdError(f"{type(error).__name__} in an errand of the kind {kind!r}; see the server's log."))


def _function(kind: Any) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """The function of a kind that is known; nothing that came over the connection is a name of a module."""
    if not isinstance(kind, str) or kind not in KINDS:
        raise Invalid(f"The errand {kind!r} came; one of {', '.join(KINDS)} was expected.")
    module, _, name = KINDS[kind].partition(":")
    function: Callable[[dict[str, Any]], dict[str, Any]] = getattr(importlib.import_module(module), name)
    return function
