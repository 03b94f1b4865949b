"""What passes between a server and the protocols of prediction, whether the server is Flask or the front door."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from flask import Response

from service.api.versions import Served

Arrays = dict[str, np.ndarray[Any, Any]]
#: A request's headers by name; Flask's own know no case, the front door's are in lower case.
Headers = Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """An answer with status 200."""

    body: bytes
    headers: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """A request that was read: `finish` predicts its `rows` and gives the answer."""

    rows: int
    finish: Callable[[], Reply]


class HotRoute(Protocol):
    """A route of predictions that the front door can answer itself, as far as a request has the common form."""

    def match(self, path: str, query: bytes) -> tuple[str, str] | None:
        """The model's name and the version, if this is the route's path."""
        ...

    def read(self, served: Served, headers: Headers, content: bytes) -> Work | None:
        """Read a request; None where it has not the common form. May raise KerasdError where it is wrong."""
        ...


@dataclass(slots=True)
class Stopwatch:
    """Times the parts of an answer, each since the end of the one before, in nanoseconds."""

    started: int = field(default_factory=time.perf_counter_ns)
    laps: dict[str, int] = field(default_factory=dict)

    def lap(self, name: str) -> None:
        now = time.perf_counter_ns()
        self.laps[name] = now - self.started
        self.started = now

    def header(self) -> tuple[str, str]:
        """The laps as a Server-Timing header, in milliseconds."""
        return ("Server-Timing", ", ".join([f"{name};dur={lap / 1e6:.3f}" for name, lap in self.laps.items()]))


def respond(reply: Reply) -> Response:
    """The reply as Flask sends it."""
    response = Response(reply.body)
    # The protocols give a header once; Flask's own guess at the type is replaced.
    for name, value in reply.headers:
        response.headers[name] = value
    return response
