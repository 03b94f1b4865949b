"""The description of a machine says what kernels it would run."""

import platform
from pathlib import Path

import pytest

from service.training.machine import describe_machine

INTEL = """processor\t: 0
vendor_id\t: GenuineIntel
model name\t: Some Xeon: Gold @ 2.90GHz
flags\t\t: fpu sse sse4_1 sse4_2 avx f16c avx2 avx512f avx512_vnni

processor\t: 1
model name\t: Some other one
flags\t\t: fpu sse
"""
ARM = """processor\t: 0
Features\t: fp asimd evtstrm
CPU architecture: 8
"""


@pytest.mark.parametrize(
    ("text", "described"),
    [
        (INTEL, ", Some Xeon: Gold @ 2.90GHz, sse4_2 avx avx2 avx512f avx512_vnni"),
        (ARM, ""),
        ("", ""),
        ("no colon in this line\n", ""),
    ],
    ids=["x86", "arm", "empty", "unknown"],
)
def test_what_the_kernel_says(tmp_path: Path, text: str, described: str) -> None:
    """The first processor counts, with the vector instructions in the order of their width."""
    facts = tmp_path / "cpuinfo"
    facts.write_text(text)
    assert describe_machine(facts) == platform.machine() + described


def test_a_kernel_that_says_nothing(tmp_path: Path) -> None:
    """The architecture is known everywhere."""
    assert describe_machine(tmp_path / "missing") == platform.machine()
    assert describe_machine().startswith(platform.machine())
