"""The parent decides where the child could not say it."""

import signal

import pytest

from service.training import verdict


@pytest.mark.parametrize(
    ("exit_code", "out_of_memory", "code", "words"),
    [
        (-signal.SIGKILL, True, "out_of_memory", "no memory left"),
        (-signal.SIGKILL, False, "worker_lost", "signal 9"),
        (-signal.SIGSEGV, True, "worker_lost", "signal 11"),
        (1, False, "worker_lost", "exit code 1"),
        (0, False, "worker_lost", "exit code 0"),
    ],
)
def test_a_silent_end_names_its_cause(exit_code: int, out_of_memory: bool, code: str, words: str) -> None:
    """Only a kill while the kernel killed for memory means memory; anything else says how the process ended."""
    failed = verdict.of_death(exit_code, out_of_memory=out_of_memory)
    assert failed.code == code
    assert words in failed.message
    assert failed.retryable
    assert failed.advice


def test_a_budget_that_was_passed_is_told_with_its_figures() -> None:
    """Another attempt helps only where this one got further than it began."""
    failed = verdict.of_memory(3 * 2**30, 2**30, went_further=False)
    assert (failed.code, failed.retryable) == ("out_of_memory", False)
    assert "3.00 GiB" in failed.message
    assert "1.00 GiB" in failed.message
    assert verdict.of_memory(3 * 2**30, 2**30, went_further=True).retryable


def test_a_time_limit_says_what_it_was() -> None:
    """The advice names the field to change."""
    failed = verdict.of_time(90.0)
    assert (failed.code, failed.retryable) == ("time_limit", True)
    assert "90 s" in failed.message
    assert "time_limit_seconds" in failed.advice


def test_the_last_loss_is_told_with_their_number() -> None:
    """A supervisor that is gone is a cause too."""
    died = verdict.retries(2, verdict.of_death(1, out_of_memory=False))
    assert died.most == 2
    assert "3 times" in died.failure.message
    assert "exit code 1" in died.failure.message
    assert "supervisor" in verdict.retries(2).failure.message


def test_the_registry_keeps_all_that_a_child_said() -> None:
    """Code, message, advice, and whether it can be resumed."""
    failed = verdict.of_full_disk()
    failure = verdict.as_failure(failed)
    assert (failure.code, failure.message, failure.advice) == (failed.code, failed.message, failed.advice)
    assert failure.retryable is failed.retryable


def test_an_errand_that_the_system_killed_for_memory_says_so() -> None:
    """Its client may come again once there is more."""
    error = verdict.errand_death(-signal.SIGKILL, out_of_memory=True)
    assert "no memory left" in error.detail
    assert error.retry_after == 30


@pytest.mark.parametrize(("code", "words"), [(-signal.SIGSEGV, "by signal 11"), (3, "with exit code 3")])
def test_an_errand_that_died_otherwise_is_not_blamed_on_memory(code: int, words: str) -> None:
    """Not even where another process was killed for it meanwhile."""
    error = verdict.errand_death(code, out_of_memory=True)
    assert words in error.detail
    assert "memory" not in error.detail


def test_an_errands_limits_are_named() -> None:
    """The setting that a person can change, and the time."""
    memory = verdict.errand_memory(3 * 2**29, 2**30).detail
    assert "1.50 GiB" in memory
    assert "1.00 GiB (KERASD_MAX_MEMORY_BYTES)" in memory
    assert "within 600 s" in verdict.errand_time(600.0).detail
