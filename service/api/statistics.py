"""Counts of predictions as Triton's statistics extension tells them."""

from collections.abc import Iterable, Sequence
from typing import Any

from service.inference.statistics import Counts, Outcome


def model_stats(versions: Iterable[tuple[str, int]], counted: Sequence[Counts]) -> dict[str, Any]:
    """The statistics of these versions, by whatever protocol they were asked; zeros for one that was not asked."""
    by_version: dict[tuple[str, int], list[Counts]] = {}
    for counts in counted:
        by_version.setdefault((counts.model, counts.number), []).append(counts)
    return {"model_stats": [_entry(name, number, by_version.get((name, number), ())) for name, number in versions]}


def _entry(name: str, number: int, counted: Sequence[Counts]) -> dict[str, Any]:
    successes = sum(counts.counts[Outcome.SUCCESS] for counts in counted)
    failures = sum(sum(counts.counts[Outcome.REJECTED :]) for counts in counted)
    return {
        "name": name,
        "version": str(number),
        "last_inference": max((counts.last for counts in counted), default=0),
        "inference_count": sum(counts.rows for counts in counted),
        "execution_count": sum(counts.executions for counts in counted),
        "inference_stats": {
            "success": _statistic(successes, sum(counts.durations[Outcome.SUCCESS] for counts in counted)),
            "fail": _statistic(failures, sum(sum(counts.durations[Outcome.REJECTED :]) for counts in counted)),
            # Nothing queues: the thread that has read a request predicts it.
            "queue": _statistic(successes, 0),
            "compute_input": _statistic(successes, sum(counts.read for counts in counted)),
            "compute_infer": _statistic(successes, sum(counts.infer for counts in counted)),
            "compute_output": _statistic(successes, sum(counts.write for counts in counted)),
            "cache_hit": _statistic(0, 0),
            "cache_miss": _statistic(0, 0),
        },
        "response_stats": {},
        "batch_stats": [],
        "memory_usage": [],
    }


def _statistic(count: int, nanoseconds: int) -> dict[str, int]:
    return {"count": count, "ns": nanoseconds}
