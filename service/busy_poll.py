"""Keeps an event loop awake for a moment after an answer, for clients that come back at once.

A loop that waits gives its processor back, and pays for it with the next request: for the way through the kernel, on a
virtual machine through the hypervisor as well, and for caches that others have filled meanwhile. That is a third of the
time of a small prediction.

Nobody else is to pay for it. The moment is only given where the last request came within it, so that clients who take
their time cost nothing; to fewer workers at a time than there are cores, so that the client finds one; and only while
nothing else wants the worker's own core, which the kernel tells by how often it has taken it away.
"""

import asyncio
import mmap
import resource
from time import perf_counter

#: How long it is awake until it looks at how often its core was taken away, in seconds.
_TRIAL_SECONDS = 0.02
#: How often at most that may be. On an idle machine it is once or not at all, beside other work once for each request.
_MOST_SWITCHES = 20
#: How long it then waits as others do, in seconds: the first time, and at most; after each such trial twice as long.
_SHORT_REST, _LONG_REST = 0.1, 3.0
_NEVER = float("-inf")
#: The event loop's own thread, where the kernel counts by threads.
_WHOSE = getattr(resource, "RUSAGE_THREAD", resource.RUSAGE_SELF)


class Turns:
    """Which workers stay awake, in memory that processes share which are forked later."""

    def __init__(self, workers: int, most: int) -> None:
        """Let at most so many of the workers stay awake at a time, give or take one that looks at the same moment."""
        self._most = most
        self._awake = mmap.mmap(-1, workers)

    def take(self, worker: int) -> bool:
        """Take a turn, if there is one left or this worker has one."""
        if not self._awake[worker]:
            if self._awake[:].count(1) >= self._most:
                return False
            self._awake[worker] = 1
        return True

    def give_back(self, worker: int) -> None:
        """Have none; nothing happens without one."""
        self._awake[worker] = 0


class BusyPoll:
    """One for each event loop, and used in it alone."""

    def __init__(self, seconds: float, turns: Turns, worker: int) -> None:
        """Stay awake for so many seconds after an answer, with 0 never, as the worker of that number in `turns`."""
        self._seconds = seconds
        self._turns = turns
        self._worker = worker
        self._answered = self._until = self._resting_until = self._tried = _NEVER
        self._switches, self._rest = 0, _SHORT_REST
        self._silent = self._came_soon = False
        self.awake = False

    def heard(self) -> None:
        """Something has come from a client: soon after the last answer, or not."""
        if self._silent:
            self._silent = False
            self._came_soon = perf_counter() - self._answered < self._seconds
        self._until = _NEVER

    def answered(self, loop: asyncio.AbstractEventLoop) -> None:
        """An answer leaves with the next turn of the loop."""
        self._silent, self._answered = True, perf_counter()
        if self._came_soon and self._answered >= self._resting_until and self._turns.take(self._worker):
            self._until = self._answered + self._seconds
            if not self.awake:
                self.awake = True
                self._look(loop)

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        """Have the loop look at its sockets without waiting, and come back here."""
        clock = perf_counter()
        if clock - self._tried >= _TRIAL_SECONDS:
            self._judge(clock)
        self.awake = clock < self._until
        if self.awake:
            loop.call_soon(self._look, loop)
        else:
            self._turns.give_back(self._worker)

    def _judge(self, clock: float) -> None:
        """Rest if the core was taken away too often since the last trial; one that is long past says nothing."""
        lasted, before = clock - self._tried, self._switches
        self._tried, self._switches = clock, resource.getrusage(_WHOSE).ru_nivcsw
        if lasted > 2 * _TRIAL_SECONDS:
            return
        if self._switches - before <= _MOST_SWITCHES:
            self._rest = _SHORT_REST
        else:
            self._until, self._resting_until = _NEVER, clock + self._rest
            self._rest = min(2 * self._rest, _LONG_REST)
