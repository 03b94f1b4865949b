"""What passes between a server and the protocols of prediction, whether the server is Flask or the front door."""

from collections.abc import Callable, Mapping
from time import perf_counter_ns
from typing import Any, NamedTuple, Protocol

import numpy as np
from flask import Response

from service.api.versions import Served
from service.inference.predictions import Predictions, Timings

Arrays = dict[str, np.ndarray[Any, Any]]
#: A request's headers by name, in lower case.
Headers = Mapping[bytes, bytes]


class Reply(NamedTuple):
    """An answer with status 200; a tuple, because there are tens of thousands a second."""

    body: bytes
    headers: tuple[tuple[str, str], ...]


class HotRoute(Protocol):
    """A route of predictions that the front door can answer itself, as far as a request has the common form."""

    def match(self, path: str, query: bytes) -> tuple[str, str] | None:
        """The model's name and the version, if this is the route's path."""
        ...

    def answer(self, served: Served, headers: Headers, content: bytes) -> Reply | None:
        """Answer a request; None where it has not the common form. Raises what is wrong with it."""
        ...


class Answers:
    """Replies under one protocol's name, with who has answered and how long it took among their headers."""

    def __init__(self, predictions: Predictions, protocol: str) -> None:
        self._predictions = predictions
        self._protocol = protocol

    def reply(self, served: Served, read: Callable[[], Arrays], write: Callable[[Arrays], Reply]) -> Reply:
        """Give what `write` makes of the predictions for what `read` gives; raises what they raise."""
        reply, timings = self._predictions.answer(served.version, served.signature, self._protocol, read, write)
        return _with_headers(reply, served, timings)

    def reply_to_plain(self, served: Served, content: bytes, write: Callable[[Arrays], Reply]) -> Reply | None:
        """Do the same for a body in the plain form; None where it has not that form."""
        started = perf_counter_ns()
        arrays = served.reader.read(content)
        return None if arrays is None else self.reply_to_arrays(served, started, arrays, write)

    def reply_to_arrays(self, served: Served, started: int, arrays: Arrays, write: Callable[[Arrays], Reply]) -> Reply:
        """Do the same for arrays whose reading was `started` at that time; an error is not counted."""
        reply, timings = self._predictions.finish(
            served.version, served.signature, self._protocol, started, arrays, write
        )
        return _with_headers(reply, served, timings)


def respond(reply: Reply) -> Response:
    """The reply as Flask sends it."""
    response = Response(reply.body)
    for name, value in reply.headers:
        response.headers[name] = value
    return response


def _with_headers(reply: Reply, served: Served, timings: Timings) -> Reply:
    return Reply(body=reply.body, headers=(*reply.headers, *served.headers, ("Server-Timing", timings.header())))
