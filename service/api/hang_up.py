"""Whether the client of the present request still waits for its answer."""

import socket
from collections.abc import Callable

from flask import request


def client_is_gone() -> Callable[[], bool]:
    """Give the question, to be asked while the request is worked on; a server that does not know says no."""
    connection: socket.socket | None = request.environ.get("gunicorn.socket")
    return lambda: connection is not None and _has_ended(connection)


def _has_ended(connection: socket.socket) -> bool:
    """Whether the other end has hung up; what it may have sent besides stays to be read."""
    try:
        return not connection.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
    except BlockingIOError:
        return False
    except OSError:
        return True
