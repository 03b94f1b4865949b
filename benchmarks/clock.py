"""How seconds are read."""

import time
from collections.abc import Callable
from typing import TypeVar

Result = TypeVar("Result")

#: The least time between two questions, in seconds; it grows to a hundredth of the time waited, and at most to 50 ms.
POLL_SECONDS = 0.005
LONGEST_POLL_SECONDS = 0.05


def timed(work: Callable[[], Result]) -> tuple[float, Result]:
    """Seconds that the call took, and what it returned."""
    started = time.perf_counter()
    result = work()
    return time.perf_counter() - started, result


def poll(ask: Callable[[], Result | None], seconds: float) -> Result:
    """Ask until there is an answer.

    Raises:
        TimeoutError: none came within `seconds`.
    """
    started = time.perf_counter()
    while (answer := ask()) is None:
        waited = time.perf_counter() - started
        if waited > seconds:
            raise TimeoutError(f"There was no answer within {seconds:.0f} s.")
        time.sleep(min(max(POLL_SECONDS, waited / 100), LONGEST_POLL_SECONDS))
    return answer
