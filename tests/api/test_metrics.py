"""What is counted of predictions, for Prometheus and for Triton's clients."""

from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from prometheus_client.parser import text_string_to_metric_families

from service.app import create_app
from service.config import Settings
from service.registry.database import Database
from service.registry.models import Models
from tests.api.served import LOG, PAIR, served


@pytest.fixture
def client(tmp_path: Path) -> FlaskClient:
    """A service that was asked by every protocol, with success and without."""
    client = served(tmp_path, invocations_model=LOG).test_client()
    rows = {"instances": [[1, 1], [2, 2]]}
    for _ in range(2):
        assert client.post(f"/v1/models/{LOG}/predict", json=rows).status_code == 200
    assert client.post(f"/v1/models/{LOG}/versions/1/predict", json=rows).status_code == 200
    assert client.post(f"/v1/models/{LOG}:predict", json=rows).status_code == 200
    assert client.post("/invocations", json=rows).status_code == 200
    tensor = {"name": "x", "shape": [3, 2], "datatype": "FP32", "data": [1, 2, 3, 4, 5, 6]}
    assert client.post(f"/v2/models/{LOG}/infer", json={"inputs": [tensor]}).status_code == 200
    assert client.post(f"/v2/models/{LOG}/infer", json={"inputs": []}).status_code == 400
    assert client.post(f"/v1/models/{LOG}/predict", json={"instances": [["no", 1]]}).status_code == 422
    assert client.post(f"/v1/models/{LOG}/predict?nan=error", json={"instances": [[0, 1]]}).status_code == 422
    assert client.post("/v1/models/nobody/predict", json=rows).status_code == 404
    return client


def samples(client: FlaskClient) -> dict[tuple[str, ...], float]:
    """Every value, by its name and labels."""
    answer = client.get("/metrics")
    assert answer.status_code == 200
    families = text_string_to_metric_families(answer.text)
    return {(sample.name, *sample.labels.values()): sample.value for family in families for sample in family.samples}


def test_prometheus_reads_the_counts(client: FlaskClient) -> None:
    """By model, version, protocol and outcome."""
    found = samples(client)
    requests = {
        labels[1:]: value for labels, value in found.items() if labels[0] == "kerasd_predictions_total" and value
    }
    assert requests == {
        (LOG, "success", "native", "2"): 2,
        (LOG, "rejected", "native", "2"): 2,
        (LOG, "success", "native", "1"): 1,
        (LOG, "success", "tensorflow_serving", "2"): 1,
        (LOG, "success", "mlflow", "2"): 1,
        (LOG, "success", "open_inference", "2"): 1,
        (LOG, "rejected", "open_inference", "2"): 1,
    }
    assert found["kerasd_predicted_rows_total", LOG, "open_inference", "2"] == 3
    assert found["kerasd_prediction_duration_seconds_count", LOG, "native", "2"] == 2
    assert found["kerasd_prediction_duration_seconds_bucket", "+Inf", LOG, "native", "2"] == 2
    assert found["kerasd_prediction_duration_seconds_sum", LOG, "native", "2"] > 0


def test_buckets_are_cumulative(client: FlaskClient) -> None:
    """As Prometheus wants them."""
    counts = [
        value for labels, value in samples(client).items() if labels[0].endswith("_bucket") and "mlflow" in labels
    ]
    assert counts == sorted(counts)
    assert counts[-1] == 1


def test_openmetrics_is_spoken(client: FlaskClient) -> None:
    """To those who ask for it."""
    answer = client.get("/metrics", headers={"Accept": "application/openmetrics-text; version=1.0.0"})
    assert answer.mimetype == "application/openmetrics-text"
    assert answer.text.endswith("# EOF\n")


def test_a_server_that_was_not_asked_has_no_counts(tmp_path: Path) -> None:
    """But names what it will count."""
    served(tmp_path)
    answer = create_app(Settings(data=tmp_path)).test_client().get("/metrics")
    assert "# TYPE kerasd_predictions_total counter" in answer.text
    assert "native" not in answer.text


def stats(client: FlaskClient, path: str) -> list[dict[str, Any]]:
    answer = client.get(f"/v2/models{path}")
    assert answer.status_code == 200, answer.text
    return list(answer.get_json()["model_stats"])


def test_triton_statistics_sum_all_protocols(client: FlaskClient) -> None:
    """Rows, requests, and the time of each stage; nothing queues."""
    (second,) = stats(client, f"/{LOG}/versions/2/stats")
    assert (second["name"], second["version"]) == (LOG, "2")
    assert (second["inference_count"], second["execution_count"]) == (11, 5)
    parts = second["inference_stats"]
    assert {name: part["count"] for name, part in parts.items() if part["count"]} == {
        "success": 5, "fail": 3, "queue": 5, "compute_input": 5, "compute_infer": 5, "compute_output": 5,
    }  # fmt: skip
    stages = ("queue", "compute_input", "compute_infer", "compute_output")
    assert parts["success"]["ns"] == sum(parts[name]["ns"] for name in stages) > 0
    assert parts["queue"]["ns"] == 0
    assert second["last_inference"] > 1_700_000_000_000


def test_triton_statistics_are_of_a_model_or_of_all(client: FlaskClient) -> None:
    """The versions that there are, with zeros where nobody asked, and 404 for others."""
    assert [(one["name"], one["version"]) for one in stats(client, f"/{LOG}/stats")] == [(LOG, "2"), (LOG, "1")]
    everything = stats(client, "/stats")
    assert [(one["name"], one["version"]) for one in everything] == [(LOG, "2"), (LOG, "1"), (PAIR, "1")]
    assert everything[2]["inference_count"] == everything[2]["last_inference"] == 0
    for path in ("/nobody/stats", f"/{LOG}/versions/7/stats"):
        assert client.get(f"/v2/models{path}").status_code == 404


def test_a_deleted_version_leaves_triton_and_stays_in_prometheus(client: FlaskClient, tmp_path: Path) -> None:
    """A counter never goes back."""
    Models(Database(Settings(data=tmp_path).database)).delete_version(LOG, 1)
    assert [one["version"] for one in stats(client, f"/{LOG}/stats")] == ["2"]
    assert samples(client)["kerasd_predictions_total", LOG, "success", "native", "1"] == 1
