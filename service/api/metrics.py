"""`/metrics`: the counts of predictions for Prometheus, summed over the web processes."""

from collections.abc import Iterable
from itertools import accumulate

from flask import Blueprint, Response, request
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import CounterMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from service.api.operation import Operation, operation
from service.inference.statistics import BUCKETS, Counts, Outcome, PredictionStatistics

_VERSION = ["model", "version", "protocol"]
_BOUNDS = (*map(str, BUCKETS), "+Inf")


def blueprint(statistics: PredictionStatistics) -> Blueprint:
    """The route of metrics."""
    routes = Blueprint("metrics", __name__)
    registry = CollectorRegistry()
    registry.register(_Predictions(statistics))

    @routes.get("/metrics")
    @operation(
        Operation(
            summary="Metrics for Prometheus",
            answer=None,
            also_answers=("text/plain", "application/openmetrics-text"),
        )
    )
    def get_metrics() -> Response:
        """Counts and durations of predictions by model, version, protocol and outcome, since the server's start."""
        encode, content_type = choose_encoder(request.headers.get("Accept", ""))
        return Response(encode(registry), content_type=content_type)

    return routes


class _Predictions(Collector):
    """What was counted, each time it is asked for."""

    def __init__(self, statistics: PredictionStatistics) -> None:
        self._statistics = statistics

    def describe(self) -> Iterable[Metric]:
        """Nothing has to be counted in order to register."""
        return []

    def collect(self) -> Iterable[Metric]:
        requests = CounterMetricFamily(
            "kerasd_predictions", "Requests for predictions, by how they ended.", labels=[*_VERSION, "outcome"]
        )
        rows = CounterMetricFamily("kerasd_predicted_rows", "Rows that were predicted.", labels=_VERSION)
        durations = HistogramMetricFamily(
            "kerasd_prediction_duration_seconds",
            "How long answered requests took, from a body in memory to its answer.",
            labels=_VERSION,
        )
        for counts in self._statistics.all():
            version = [counts.model, str(counts.number), counts.protocol]
            for outcome in Outcome:
                requests.add_metric([*version, outcome.name.lower()], counts.counts[outcome])
            rows.add_metric(version, counts.rows)
            durations.add_metric(version, _buckets(counts), sum_value=counts.durations[Outcome.SUCCESS] / 1e9)
        return [requests, rows, durations]


def _buckets(counts: Counts) -> list[tuple[str, float]]:
    return [(bound, float(count)) for bound, count in zip(_BOUNDS, accumulate(counts.buckets), strict=True)]
