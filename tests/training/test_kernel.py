"""What the kernel says is read, and its silence is no error."""

import os
from pathlib import Path

from service.training.kernel import anonymous_bytes, oom_kills


def test_kills_are_counted_in_the_container_first(tmp_path: Path) -> None:
    """The machine's count is asked only where there is none for the container; without either it is 0."""
    container, machine = tmp_path / "memory.events", tmp_path / "vmstat"
    assert oom_kills((container, machine)) == 0
    machine.write_text("nr_free_pages 1\noom_kill 7\n")
    assert oom_kills((container, machine)) == 7
    container.write_text("low 0\noom 3\noom_kill 2\noom_group_kill 9\n")
    assert oom_kills((container, machine)) == 2


def test_a_process_has_memory_of_its_own(tmp_path: Path) -> None:
    """It is told in bytes; a process that is gone, or never was, has none."""
    held = bytearray(os.urandom(2**20))
    assert anonymous_bytes(os.getpid()) > len(held)
    assert anonymous_bytes(os.getpid(), tmp_path) == 0
    assert anonymous_bytes(None) == 0
