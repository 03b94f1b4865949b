"""Whether the client of the present request still waits for its answer."""

from collections.abc import Callable
from typing import Final

from flask import request

#: Under this name the front door puts into a request's scope what begins to wait for the client to hang up.
HANG_UP: Final = "kerasd.hang_up"


def client_is_gone() -> Callable[[], bool]:
    """Give the question, to be asked while the request is worked on; where nobody knows, the answer is no."""
    wait = request.environ.get("asgi.scope", {}).get(HANG_UP)
    if wait is None:
        return lambda: False
    is_gone: Callable[[], bool] = wait().done
    return is_gone
