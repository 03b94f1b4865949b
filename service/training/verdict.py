"""Why a run or an errand ended, where the child could not say it: of deaths, of memory and of time."""

import signal

from service.errors import Unavailable
from service.registry.job import Failure, Retries
from service.training.messages import Failed

_LESS_MEMORY = "Take a smaller batch_size or a smaller network"


def of_death(exit_code: int, *, out_of_memory: bool) -> Failed:
    """The cause of a child that ended without a word; `out_of_memory` says that the kernel has killed for memory since.

    Only a loss that says nothing about the job, `worker_lost`, is tried again by itself.
    """
    if exit_code == -signal.SIGKILL and out_of_memory:
        return Failed(
            code="out_of_memory",
            message="The system killed the job's process, because the machine had no memory left.",
            advice=f"{_LESS_MEMORY}, or resume the job when the machine has more memory to spare.",
            retryable=True,
        )
    return Failed(
        code="worker_lost",
        message=f"The job's process ended {_how(exit_code)} and could not say why.",
        advice="Resume the job; if it ends so again, the server's log has what the process printed.",
        retryable=True,
    )


def of_memory(used: int, limit: int, *, went_further: bool) -> Failed:
    """A child that took more memory than a job may.

    A new process begins with little memory and would come to the same end at the same place, unless this one got to a
    later checkpoint than it began with: then the next gets further still.
    """
    allowed = f"this server allows a job {_gibibytes(limit)} (KERASD_MAX_MEMORY_BYTES)"
    return Failed(
        code="out_of_memory",
        message=f"The training used {_gibibytes(used)} of memory, and {allowed}.",
        advice=f"{_LESS_MEMORY}, or start the server with a higher KERASD_MAX_MEMORY_BYTES.",
        retryable=went_further,
    )


def of_time(limit: float) -> Failed:
    """A job that has run for as long as its client allowed."""
    return Failed(
        code="time_limit",
        message=f"The training has run for its time limit of {limit:g} s and is not finished.",
        advice="Resume the job with a higher time_limit_seconds: it goes on from its checkpoint.",
        retryable=True,
    )


def of_full_disk() -> Failed:
    """A finished training whose model could not be stored."""
    return Failed(
        code="internal",
        message="The training is done, but the server's disk has no room for the model.",
        advice="Delete data sets or models, then resume the job: it goes on from its checkpoint.",
        retryable=True,
    )


def of_lost_files() -> Failed:
    """A finished training whose model somebody has removed before it was stored."""
    return Failed(
        code="worker_lost",
        message="The training is done, but the files of its model were removed before they could be stored.",
        advice="Resume the job: it goes on from its checkpoint.",
        retryable=True,
    )


def errand_death(exit_code: int, *, out_of_memory: bool) -> Unavailable:
    """The cause of an errand's child that ended without an answer."""
    if exit_code == -signal.SIGKILL and out_of_memory:
        detail = (
            "The system killed the process that did this work, because the machine had no memory left. Repeat the "
            "request when it has more to spare, or ask for less at once."
        )
        return Unavailable(detail, retry_after=30)
    detail = f"The process that did this work ended {_how(exit_code)} and could not say why"
    if exit_code == -signal.SIGKILL:
        detail += "; it might have run out of memory"
    return Unavailable(f"{detail}. Repeat the request; if it ends so again, see the server's log.", retry_after=1)


def errand_memory(used: int, limit: int) -> Unavailable:
    """An errand that took more memory than it may."""
    return Unavailable(
        f"The work used {_gibibytes(used)} of memory, and this server allows {_gibibytes(limit)} "
        "(KERASD_MAX_MEMORY_BYTES). Ask for less at once, or start the server with a higher limit."
    )


def errand_time(limit: float) -> Unavailable:
    """An errand that is not done in time."""
    return Unavailable(f"The work was not done within {limit:g} s, and was ended. Ask for less at once.")


def retries(most: int, last: Failed | None = None) -> Retries:
    """How often a lost job is tried again, and how it fails then; `last` is what ended it the last time."""
    cause = (
        "The supervisor that ran it ended, or was silent for longer than its lease." if last is None else last.message
    )
    failure = Failure(
        code="worker_lost",
        message=f"The job was lost {most + 1} times in a row without a new checkpoint. The last time: {cause}",
        advice="Look at the server's log for the cause, then resume the job.",
        retryable=True,
    )
    return Retries(most=most, failure=failure)


def as_failure(failed: Failed) -> Failure:
    """What the registry keeps of it."""
    return Failure(code=failed.code, message=failed.message, advice=failed.advice, retryable=failed.retryable)


def _how(exit_code: int) -> str:
    return f"by signal {-exit_code}" if exit_code < 0 else f"with exit code {exit_code}"


def _gibibytes(size: int) -> str:
    return f"{size / 2**30:.2f} GiB"
