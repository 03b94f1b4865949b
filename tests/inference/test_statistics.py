"""Counts of predictions: added up in a process, shared among several, and never lost with one of them."""

import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from service.inference.statistics import BUCKETS, Counts, Outcome, PredictionStatistics

MILLISECOND = 1_000_000


def succeed(statistics: PredictionStatistics, model: str = "m", number: int = 1, protocol: str = "native") -> None:
    statistics.record_success(model, number, protocol, 3, 1, MILLISECOND, 2 * MILLISECOND, MILLISECOND)


def only(statistics: PredictionStatistics) -> Counts:
    (counts,) = statistics.all()
    return counts


@pytest.mark.parametrize("shared", [True, False])
def test_successes_and_failures_add_up(tmp_path: Path, shared: bool) -> None:
    """With the time that each stage took, and the bucket that the whole belongs to."""
    statistics = PredictionStatistics(tmp_path / "statistics" if shared else None)
    assert statistics.all() == []
    before = time.time_ns() // MILLISECOND
    succeed(statistics)
    succeed(statistics)
    statistics.record_failure("m", 1, "native", Outcome.REJECTED, 5)
    statistics.record_failure("m", 1, "native", Outcome.FAILED, 7)
    counts = only(statistics)
    assert counts.counts == (2, 1, 1)
    assert counts.durations == (8 * MILLISECOND, 5, 7)
    assert (counts.rows, counts.executions) == (6, 2)
    assert (counts.read, counts.infer, counts.write) == (2 * MILLISECOND, 4 * MILLISECOND, 2 * MILLISECOND)
    assert before <= counts.last <= time.time_ns() // MILLISECOND
    assert counts.buckets[BUCKETS.index(0.005)] == sum(counts.buckets) == 2


def test_versions_and_protocols_are_told_apart() -> None:
    """In their order."""
    statistics = PredictionStatistics(None)
    for model, number, protocol in (("b", 1, "native"), ("a", 2, "native"), ("a", 2, "mlflow"), ("a", 1, "native")):
        succeed(statistics, model, number, protocol)
    found = [(counts.model, counts.number, counts.protocol) for counts in statistics.all()]
    assert found == [("a", 1, "native"), ("a", 2, "mlflow"), ("a", 2, "native"), ("b", 1, "native")]


def test_there_is_room_for_any_number_of_versions(tmp_path: Path) -> None:
    """Each is found again, in whichever file it is."""
    statistics = PredictionStatistics(tmp_path / "statistics")
    for number in range(600):
        succeed(statistics, "m" * 64, number)
    for number in range(600):
        succeed(statistics, "m" * 64, number)
    assert [counts.counts[Outcome.SUCCESS] for counts in statistics.all()] == [2] * 600


def test_no_count_is_lost_between_threads(tmp_path: Path) -> None:
    """Many add to the same numbers at once."""
    statistics = PredictionStatistics(tmp_path / "statistics")
    threads = [threading.Thread(target=lambda: [succeed(statistics) for _ in range(2000)]) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert only(statistics).counts[Outcome.SUCCESS] == only(statistics).buckets[BUCKETS.index(0.005)] == 16_000


def test_what_a_killed_process_has_counted_stays(tmp_path: Path) -> None:
    """All processes' counts are summed, whether these live or not; the last word is the newest one's."""
    program = (
        "import os, pathlib, signal, sys; from service.inference.statistics import PredictionStatistics\n"
        "statistics = PredictionStatistics(pathlib.Path(sys.argv[1]))\n"
        "for _ in range(5): statistics.record_success('m', 1, 'native', 3, 1, 1, 1, 1)\n"
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    for _ in range(2):
        killed = subprocess.run([sys.executable, "-c", program, str(tmp_path / "statistics")], check=False)
        assert killed.returncode == -9
    statistics = PredictionStatistics(tmp_path / "statistics")
    assert only(statistics).counts[Outcome.SUCCESS] == 10
    succeed(statistics)
    assert only(statistics).counts[Outcome.SUCCESS] == 11
    assert only(PredictionStatistics(tmp_path / "statistics")).counts[Outcome.SUCCESS] == 11


def test_a_file_that_is_just_being_made_counts_nothing(tmp_path: Path) -> None:
    """It has no numbers yet."""
    (tmp_path / "1-00.counts").write_bytes(bytes(100))
    assert PredictionStatistics(tmp_path).all() == []


def test_a_folder_that_cannot_be_written_costs_no_prediction(tmp_path: Path) -> None:
    """The process counts for itself then."""
    (tmp_path / "file").write_text("in the way")
    statistics = PredictionStatistics(tmp_path / "file")
    succeed(statistics)
    assert only(statistics).counts[Outcome.SUCCESS] == 1
