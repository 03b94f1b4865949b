"""What the two ends of an errand say to each other: this file is their whole protocol.

An errand is a short piece of work that a web process asks for: with TensorFlow, or with a client's file. The connection
is a Unix socket; each message is a JSON object on a line of its own. The web process says `{"kind": ..., "request":
{...}}`. The supervisor says `{"begun": true}` as soon as it has seen the connection, and gives it to a child. The child
answers last, with `{"result": {...}}` or `{"problem": {...}}`; where it could not, the supervisor says the problem for
it. Nothing is ever pickled.
"""

import select
import socket
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Final, Literal

import orjson

from service.errors import Fault, KerasdError

Kind = Literal["export", "evaluate", "import", "read", "profile", "prepare"]

#: The function ("module:name") that does each kind of errand, in the child: it takes the request, and gives the result.
KINDS: Final[Mapping[str, str]] = {
    "export": "service.inference.formats:export_version",
    "evaluate": "service.training.evaluate:evaluate_version",
    "import": "service.training.importing:import_model",
    "read": "service.data.table_upload:read_table",
    "profile": "service.data.table_upload:profile_again",
    "prepare": "service.features.fit:prepare",
}

#: How long an errand may take, in seconds.
ERRAND_SECONDS: Final = 600.0
#: After how many seconds who was turned away, as too many came at once, should come again.
BUSY_SECONDS: Final = 2
#: The longest message, in bytes.
MAX_MESSAGE_BYTES: Final = 64 * 2**20
_BLOCK_BYTES: Final = 2**16
_LONG_SECONDS: Final = 3600.0


class Wire:
    """One end of an errand's connection.

    The socket's own timeouts are not used: they belong to the connection, which other processes and threads have too.
    """

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._read = bytearray()

    def send(self, message: Mapping[str, Any], seconds: float) -> None:
        """Send one message; raises OSError where the other end is gone, or does not take it within so many seconds."""
        deadline = time.monotonic() + seconds
        left = memoryview(encode(message))
        while left:
            if not self._is_ready(select.POLLOUT, deadline):
                raise TimeoutError
            with suppress(BlockingIOError):
                left = left[self._connection.send(left[:_BLOCK_BYTES], socket.MSG_DONTWAIT) :]

    def receive(self, seconds: float) -> dict[str, Any] | None:
        """Wait for a message, at most so many seconds; None if none has come.

        Raises EOFError where the other end is gone, or says what is no message.
        """
        deadline = time.monotonic() + seconds
        while (end := self._read.find(b"\n")) < 0:
            if not self._is_ready(select.POLLIN, deadline):
                return None
            block = self._block()
            if not block or len(self._read) > MAX_MESSAGE_BYTES:
                raise EOFError
            self._read += block
        line = bytes(self._read[:end])
        del self._read[: end + 1]
        return _decode(line)

    def wait_for_the_end(self) -> None:
        """Return once the other end is gone; whatever it still says is not heard."""
        while True:
            self._is_ready(select.POLLIN, time.monotonic() + _LONG_SECONDS)
            with suppress(BlockingIOError):
                if not self._connection.recv(_BLOCK_BYTES, socket.MSG_DONTWAIT):
                    return

    def close(self) -> None:
        self._connection.close()

    def _is_ready(self, event: int, deadline: float) -> bool:
        """Whether the connection can be read (or written) before the deadline; one that is broken can."""
        poll = select.poll()
        poll.register(self._connection, event)
        return bool(poll.poll(max(0.0, 1000 * (deadline - time.monotonic()))))

    def _block(self) -> bytes:
        try:
            return self._connection.recv(_BLOCK_BYTES, socket.MSG_DONTWAIT)
        except OSError as error:
            raise EOFError from error


def encode(message: Mapping[str, Any]) -> bytes:
    """A message as a line; NaN and the infinities become null."""
    return orjson.dumps(message, option=orjson.OPT_APPEND_NEWLINE)


def problem(error: KerasdError) -> dict[str, Any]:
    """The message that carries an error over the connection."""
    faults = [[fault.pointer, fault.detail] for fault in error.faults]
    said = {"kind": error.slug, "detail": error.detail, "faults": faults, "retry_after": error.retry_after}
    return {"problem": said}


def as_error(said: Mapping[str, Any]) -> KerasdError:
    """The error that `problem` has made a message of."""
    known = {kind.slug: kind for kind in KerasdError.__subclasses__()}
    faults = [Fault(pointer=pointer, detail=detail) for pointer, detail in said["faults"]]
    return known.get(said["kind"], KerasdError)(said["detail"], faults, retry_after=said["retry_after"])


def _decode(line: bytes) -> dict[str, Any]:
    try:
        message = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        # A process that died in the middle of a word.
        raise EOFError from error
    if not isinstance(message, dict):
        raise EOFError
    return message
