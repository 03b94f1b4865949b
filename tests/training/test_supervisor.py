"""The parent decides where the child could not."""

import signal

import pytest

from service.training.supervisor import _death


@pytest.mark.parametrize(
    ("exit_code", "code", "word"),
    [
        (-signal.SIGKILL, "out_of_memory", "memory"),
        (-signal.SIGSEGV, "worker_lost", "signal 11"),
        (1, "worker_lost", "exit code 1"),
        (0, "worker_lost", "exit code 0"),
    ],
)
def test_a_silent_end_names_its_likely_cause(exit_code: int, code: str, word: str) -> None:
    """The kernel's kill means memory; anything else says how the process ended. A retry can help."""
    failed = _death(exit_code)
    assert failed.code == code
    assert word in failed.message
    assert failed.retryable
