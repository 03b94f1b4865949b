"""What wrk prints is read, and a reading with one wrong answer is none."""

import json

import pytest

from benchmarks.serving.load import LoadFailed, parse

GOOD = {
    "requests": 10_000,
    "microseconds": 2_000_000,
    "p50": 350.0,
    "p99": 1250.5,
    "longest": 9000.0,
    "wrong_statuses": 0,
    "mismatches": 0,
    "lost": 0,
}


def printed(**changes: float) -> str:
    return (
        "Running 2s test @ http://127.0.0.1:1\n  1 threads and 8 connections\n"
        'SAMPLE 503 {"error": "busy"}\n'
        f"READING {json.dumps({**GOOD, **changes})}\n"
    )


def test_a_reading_is_in_seconds() -> None:
    """wrk counts microseconds."""
    load = parse(printed())
    assert load.rate == pytest.approx(5000)
    assert load.p50 == pytest.approx(350e-6)
    assert load.p99 == pytest.approx(1250.5e-6)
    assert load.longest == pytest.approx(9e-3)


@pytest.mark.parametrize("fault", ["wrong_statuses", "mismatches", "lost"])
def test_one_wrong_answer_makes_the_reading_fail(fault: str) -> None:
    """The message counts, and shows what came."""
    with pytest.raises(LoadFailed, match=r'of 10000 answers .*\b1\b.*503 \{"error": "busy"\}'):
        parse(printed(**{fault: 1}))


def test_no_answer_is_no_reading() -> None:
    """A rate of zero would look like a measurement."""
    with pytest.raises(LoadFailed, match="no answer came"):
        parse(printed(requests=0))


def test_output_without_a_reading_is_shown() -> None:
    """As when the address is wrong, or the script."""
    with pytest.raises(LoadFailed, match="unable to connect"):
        parse("unable to connect to 127.0.0.1:1 Connection refused\n")
