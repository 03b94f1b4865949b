"""A job in a child, as the supervisor sees it."""

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from service.registry.job import Execution, Held, Job
from service.training import verdict
from service.training.kernel import anonymous_bytes, oom_kills
from service.training.messages import Failed, Stop, StopReason
from service.training.zygote import Child

#: How long after the end of its time a child may still be at its last steps, in seconds.
GRACE_SECONDS = 10.0


@dataclass(slots=True, kw_only=True)
class Run:
    """One attempt at a job; clocks are monotonic seconds.

    `job` is what was claimed, `threads` what the run holds of the machine. `execution` and `checkpoint` are what is
    recorded of it by now, `went_further` that this attempt has added a checkpoint. `stop_sent` says that the child was
    asked to stop, `wishes` what clients were last seen to want.
    """

    job: Job
    child: Child
    work_folder: Path
    threads: int
    begun: float
    execution: Execution | None
    checkpoint: str | None
    wishes: Held
    memory_at_start: int = 0
    oom_kills_at_start: int = 0
    went_further: bool = False
    stop_sent: bool = False

    def watch_from_here(self) -> None:
        """Remember what the kernel says at the start of a child, which has the zygote's memory in common with it."""
        self.memory_at_start = anonymous_bytes(self.child.process.pid)
        self.oom_kills_at_start = oom_kills()

    def elapsed(self, clock: float) -> float:
        """The job's running time so far, in seconds, over all attempts."""
        return round(self.job.elapsed_seconds + clock - self.begun, 3)

    def stop(self, reason: StopReason) -> None:
        """Ask the child to stop, once; one that is ending by itself does not hear it any more."""
        if not self.stop_sent:
            self.stop_sent = True
            with suppress(OSError):
                self.child.connection.send(Stop(reason=reason))

    def obey(self, wishes: Held) -> None:
        """Pass on to the child what clients want of the job now; a cancel with nothing to keep is not its matter."""
        self.wishes = wishes
        if wishes.cancel_requested and wishes.keep is not None:
            self.stop(StopReason.KEEP_BEST)
        elif wishes.pause_requested:
            self.stop(StopReason.PAUSE)

    def trespass(self, max_memory_bytes: int, clock: float) -> Failed | None:
        """What the child has taken beyond its due, of memory or of time; None while it keeps to it, or has spoken."""
        if self.child.connection.poll():
            return None
        used = anonymous_bytes(self.child.process.pid) - self.memory_at_start
        if used > max_memory_bytes:
            return verdict.of_memory(used, max_memory_bytes, went_further=self.went_further)
        limit = self.job.time_limit_seconds
        # Keeping the best weights is the end of the job, however long it takes.
        if limit is not None and not self.wishes.cancel_requested and self.elapsed(clock) > limit + GRACE_SECONDS:
            return verdict.of_time(limit)
        return None

    def death(self, exit_code: int) -> Failed:
        """Why the child ended without a word."""
        return verdict.of_death(exit_code, out_of_memory=oom_kills() > self.oom_kills_at_start)
