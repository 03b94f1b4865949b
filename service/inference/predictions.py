"""The one way that a prediction takes under every protocol: inputs are read, predicted, written, and counted."""

from collections.abc import Callable
from time import perf_counter_ns
from typing import Any, Protocol, TypeVar

import numpy as np

from service.errors import KerasdError, NotFound
from service.inference.predictor import SLICE_ROWS, Predictor, Served
from service.inference.signature import Signature
from service.inference.statistics import Outcome, PredictionStatistics

Arrays = dict[str, np.ndarray[Any, Any]]
Written = TypeVar("Written")


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
    ) -> Written:
        """Give what `write` makes of the predictions for what `read` gives.

        Raises what they raise, and what `Predictor.predict` raises. A request whose version was deleted meanwhile is
        not counted: it is asked again of another.
        """
        started = perf_counter_ns()
        try:
            arrays = read()
            has_read = perf_counter_ns()
            outputs = self._predictor.predict(version, signature, arrays)
            inferred = perf_counter_ns()
            written = write(outputs)
        except NotFound:
            raise
        except Exception as error:
            rejected = isinstance(error, KerasdError) and error.status < 500
            outcome = Outcome.REJECTED if rejected else Outcome.FAILED
            total = perf_counter_ns() - started
            self.statistics.record_failure(version.model, version.number, protocol, outcome, total)
            raise
        ended = perf_counter_ns()
        rows = len(arrays[signature.inputs[0].name])
        self.statistics.record_success(
            version.model,
            version.number,
            protocol,
            rows,
            -(-rows // SLICE_ROWS),
            has_read - started,
            inferred - has_read,
            ended - inferred,
        )
        return written
