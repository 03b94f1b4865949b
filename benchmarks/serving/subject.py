"""A running server with what it serves: asked, checked against Keras, and put under load."""

from dataclasses import dataclass
from http import HTTPStatus

import numpy as np

from benchmarks.clock import timed
from benchmarks.serving.dialects import Answer, Call, Dialect
from benchmarks.serving.load import Load, drive
from benchmarks.serving.origin import Served
from benchmarks.serving.plan import Plan
from benchmarks.serving.readings import Readings
from benchmarks.serving.running import NotServed, ServerFailed, ask
from benchmarks.serving.servers import Kind, Server

#: How far an answer may be from Keras's.
TOLERANCE = 1e-5
NOT_SERVED = (HTTPStatus.NOT_ACCEPTABLE, HTTPStatus.UNSUPPORTED_MEDIA_TYPE)
#: A reading lasts for so many answers on each connection, but no longer than so many seconds.
LEAST_ANSWERS, LONGEST_SECONDS = 10, 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """`pid` is the server's first process."""

    server: Server
    served: Served
    plan: Plan
    readings: Readings
    port: int
    pid: int

    def read(self, quantity: str, *values: float) -> None:
        """Keep readings of this server on this network."""
        self.readings.add(self.server.name, self.served.network.name, quantity, *values)

    def call(self, dialect: Dialect, rows: int) -> Call:
        """The request for the first rows."""
        network = self.served.network
        return dialect.call(network.name, self.served.input_name, network.rows(rows))

    def load(self, dialect: Dialect, rows: int, connections: int, seconds: float) -> Load:
        """Check one answer against Keras, then have every answer under load compared with it; a warm-up goes before.

        Raises:
            NotServed, ServerFailed: the one answer was none, or wrong.
            LoadFailed: another one was.
        """
        call = self.call(dialect, rows)
        once, answer = timed(lambda: ask(self.port, call))
        check(answer, self, dialect, rows)
        # Where an answer takes long, the warm-up takes twice as long as all connections' answers one after the other:
        # they are slower beside one another.
        warming = max(self.plan.warm_seconds, min(2 * once * connections, LONGEST_SECONDS))
        warm = drive(self.port, call, answer.body, connections, warming)
        enough = LEAST_ANSWERS * warm.p50
        return drive(self.port, call, answer.body, connections, max(seconds, min(enough, LONGEST_SECONDS)))


def check(answer: Answer, subject: Subject, dialect: Dialect, rows: int) -> None:
    """Look at the values; of a floor's answer, only at the status.

    Raises:
        NotServed: the server does not take this form of a body.
        ServerFailed: this is not the answer that Keras gives.
    """
    if answer.status in NOT_SERVED:
        raise NotServed(f"not served: status {answer.status}")
    if answer.status != 200:
        raise ServerFailed(f"{rows} row(s): status {answer.status}: {answer.body[:300].decode(errors='replace')}")
    if subject.server.kind is Kind.FLOOR:
        return
    expected = subject.served.expected[:rows].reshape(-1)
    try:
        came = dialect.read(answer).reshape(-1)
    except (ValueError, KeyError, TypeError, IndexError) as error:
        raise ServerFailed(f"{rows} row(s): unreadable answer: {answer.body[:300].decode(errors='replace')}") from error
    if came.shape != expected.shape or not np.allclose(came, expected, rtol=0, atol=TOLERANCE):
        raise ServerFailed(f"{rows} row(s): other values than Keras's: {answer.body[:300].decode(errors='replace')}")
