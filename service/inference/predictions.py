"""The one way that a prediction takes under every protocol: inputs are read, predicted, written, and counted."""

from collections.abc import Callable
from time import perf_counter_ns
from typing import Any, NamedTuple, Protocol, TypeVar

import numpy as np

from service.errors import KerasdError, NotFound
from service.inference.predictor import Predictor, Served
from service.inference.signature import Signature
from service.inference.statistics import Outcome, PredictionStatistics

Arrays = dict[str, np.ndarray[Any, Any]]
Written = TypeVar("Written")


class Timings(NamedTuple):
    """How long the parts of an answer took, in nanoseconds."""

    read: int
    infer: int
    write: int

    def header(self) -> str:
        """The same as the value of a Server-Timing header, in milliseconds."""
        read, infer, write = self.read / 1e6, self.infer / 1e6, self.write / 1e6
        return f"read;dur={read:.3f}, infer;dur={infer:.3f}, write;dur={write:.3f}"


class Counted(Served, Protocol):
    """What the counts need to know of a version beside what the predictor does."""

    @property
    def model(self) -> str: ...

    @property
    def number(self) -> int: ...


class Predictions:
    """Answers requests under a protocol's name, by what that protocol reads and writes."""

    def __init__(self, predictor: Predictor, statistics: PredictionStatistics) -> None:
        self._predictor = predictor
        self.statistics = statistics

    def answer(
        self,
        version: Counted,
        signature: Signature,
        protocol: str,
        read: Callable[[], Arrays],
        write: Callable[[Arrays], Written],
    ) -> tuple[Written, Timings]:
        """Give what `write` makes of the predictions for what `read` gives.

        Raises what they raise, and what `Predictor.predict` raises. A request whose version was deleted meanwhile is
        not counted: it is asked again of another.
        """
        started = perf_counter_ns()
        try:
            return self.finish(version, signature, protocol, started, read(), write)
        except NotFound:
            raise
        except Exception as error:
            rejected = isinstance(error, KerasdError) and error.status < 500
            outcome = Outcome.REJECTED if rejected else Outcome.FAILED
            total = perf_counter_ns() - started
            self.statistics.record_failure(version.model, version.number, protocol, outcome, total)
            raise

    def finish(
        self,
        version: Counted,
        signature: Signature,
        protocol: str,
        started: int,
        arrays: Arrays,
        write: Callable[[Arrays], Written],
    ) -> tuple[Written, Timings]:
        """Do the same for arrays whose reading was `started` at that time; an error is not counted."""
        has_read = perf_counter_ns()
        outputs = self._predictor.predict(version, signature, arrays)
        inferred = perf_counter_ns()
        written = write(outputs)
        timings = Timings(has_read - started, inferred - has_read, perf_counter_ns() - inferred)
        rows = len(arrays[signature.inputs[0].name])
        self.statistics.record_success(
            version.model,
            version.number,
            protocol,
            rows,
            1 if rows == 1 else -(-rows // self._predictor.rows_at_once(version)),
            timings.read,
            timings.infer,
            timings.write,
        )
        return written, timings
