"""What the README says is what happens."""

import re
from pathlib import Path

import pytest

from tests.end_to_end.conftest import Service
from tests.end_to_end.readme import README, blocks, run

#: What differs from run to run: ids, times, speeds and hashes.
_VARYING = [
    (r"\b(job|ds|ver|req)_[0-9a-z]+", r"\1"),
    (r"\d{4}-\d\d-\d\dT[0-9:.+Z]+", "TIME"),
    (r"\b[0-9a-f]{64}\b", "SHA"),
    (r'"(progress|execution)":\{[^}]*\}', r'"\1":OBJECT'),
    (r'"(samples_per_second|eta_seconds|elapsed_seconds)":(?:[0-9.]+|null)', r'"\1":N'),
]
_NUMBER = re.compile(r"-?\d+(?:\.\d+)?(?:e-?\d+)?")


def stable(text: str) -> str:
    """The text without what varies."""
    for pattern, replacement in _VARYING:
        text = re.sub(pattern, replacement, text)
    return text


def test_every_command_prints_what_the_readme_says(service: Service, tmp_path: Path) -> None:
    """All blocks of commands, pasted in order, print the README's output; measured numbers may differ by 0.1."""
    found = blocks(README.read_text())
    assert len(found) >= 12
    for block, printed in zip(found, run(found, service.url, tmp_path), strict=True):
        expected, came = stable(block.output), stable(printed)
        assert _NUMBER.sub("N", came) == _NUMBER.sub("N", expected), block.script
        numbers = [float(number) for number in _NUMBER.findall(expected)]
        assert [float(number) for number in _NUMBER.findall(came)] == pytest.approx(numbers, rel=0.1, abs=0.1)
