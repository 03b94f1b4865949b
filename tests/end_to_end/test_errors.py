"""Bad requests get one clear problem, whatever is wrong with them."""

from typing import Any

import numpy as np
import pytest

from tests.end_to_end.conftest import Service

GOOD: dict[str, Any] = {
    "model": "errors",
    "architecture": {"layers": [{"type": "Dense", "units": 1}]},
    "compile": {"loss": "mse"},
    "data": {"x": [[1.0, 2.0], [3.0, 4.0]], "y": [0.0, 1.0]},
}


def problem(answer: Any, status: int) -> dict[str, Any]:
    """The problem in an answer that must be one."""
    assert answer.status_code == status, answer.text
    assert answer.headers["Content-Type"] == "application/problem+json"
    body = dict(answer.json())
    assert body["status"] == status
    assert body["title"]
    assert body["detail"]
    assert body["type"].startswith("urn:kerasd:problem:")
    assert "Traceback" not in answer.text
    return body


def pointers(body: dict[str, Any]) -> set[str]:
    return {fault["pointer"] for fault in body["errors"]}


def test_unknown_addresses_and_methods(service: Service) -> None:
    """404 and 405 are problems too, and a 405 keeps its Allow header."""
    problem(service.get("/v1/nothing"), 404)
    problem(service.get("/v1/jobs/job_unknown"), 404)
    problem(service.get("/v1/models/unknown"), 404)
    answer = service.http.put(f"{service.url}/v1/jobs", timeout=10)
    problem(answer, 405)
    assert {"GET", "POST"} <= set(answer.headers["Allow"].replace(",", "").split())


def test_bodies_that_do_not_parse(service: Service) -> None:
    """Malformed JSON, NaN, a wrong media type and a body that is too large each say what was expected."""
    json_type = {"Content-Type": "application/json"}
    assert "line" in problem(service.post("/v1/jobs", data=b'{"model": ', headers=json_type), 400)["detail"]
    problem(service.post("/v1/jobs", data=b'{"model": NaN}', headers=json_type), 400)
    assert "Content-Type" in problem(service.post("/v1/jobs", data={"a": "b"}), 415)["detail"]
    problem(service.post("/v1/jobs", data=b" " * (33 * 2**20), headers=json_type), 413)
    problem(service.post("/v1/jobs", data=b"[]", headers=json_type), 422)


def test_every_fault_of_a_submission_is_named_at_once(service: Service) -> None:
    """Faults in fields, layers, compile, fit and data come together, each with its pointer."""
    body = {
        "model": "errors",
        "architecture": {"layers": [{"type": "Dense", "units": 0}, {"type": "Dens", "units": 1}]},
        "compile": {"loss": "mean_square_error", "optimizer": {"type": "Adam", "learning_rate": "fast"}},
        "fit": {"epochs": 0},
        "data": {"x": [[1.0, 2.0], [3.0]], "y": [0.0, 1.0]},
    }
    found = pointers(problem(service.post("/v1/jobs", body), 422))
    assert {
        "/architecture/layers/0/units",
        "/architecture/layers/1/type",
        "/compile/optimizer/learning_rate",
        "/fit/epochs",
    } <= found
    assert any(pointer.startswith("/compile/loss") for pointer in found)
    assert any(pointer.startswith("/data/x") for pointer in found)


def test_fields_are_checked(service: Service) -> None:
    """Missing, unknown and wrong fields are all named."""
    body = problem(service.post("/v1/jobs", {"model": "1st", "colour": "red", "seed": "x"}), 422)
    assert pointers(body) == {"/model", "/colour", "/seed", "/architecture", "/compile"}


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({"architecture": {"layers": [{"type": "LSTM", "units": 2}]}}, "/architecture/layers/0"),
        ({"architecture": {"layers": [{"type": "Lambda", "function": "x"}]}}, "/architecture/layers/0/type"),
        ({"compile": {"loss": "sparse_categorical_crossentropy"}}, "/compile/loss"),
        ({"dataset": "ds_00000000000000000000000000"}, "/data"),
        ({"data": {"x": [[1.0]], "y": [1.0, 2.0]}}, "/data"),
    ],
)
def test_misfits_point_at_their_place(service: Service, change: dict[str, Any], pointer: str) -> None:
    """A clash between layers, loss and data is a 422 at once, not a job that fails later."""
    before = service.get("/v1/jobs", params={"model": "errors"}).json()["items"]
    body = problem(service.post("/v1/jobs", {**GOOD, **change}), 422)
    assert any(found.startswith(pointer) for found in pointers(body)), body
    assert service.get("/v1/jobs", params={"model": "errors"}).json()["items"] == before


def test_a_dry_run_queues_nothing(service: Service) -> None:
    """It answers layer by layer with what would be built, also without data."""
    body = {**GOOD, "architecture": {"layers": [{"type": "Input", "shape": [2]}, {"type": "Dense", "units": 3}]}}
    del body["data"]
    answer = service.post("/v1/jobs?dry_run=true", body)
    assert answer.status_code == 200, answer.text
    plan = answer.json()
    assert plan["parameters"] == 9
    assert plan["layers"][1]["output_shape"] == [None, 3]
    assert plan["memory_bytes"] > 0
    assert service.get("/v1/jobs", params={"model": "errors"}).json()["items"] == []


@pytest.fixture(scope="module")
def trained(service: Service) -> str:
    """A model that takes two numbers."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(32, 2))
    body = {**GOOD, "model": "takes-two", "data": {"x": x.tolist(), "y": x.sum(axis=1).tolist()}}
    service.train(**body)
    return str(service.train(**body)["model"])


@pytest.mark.parametrize(
    ("instances", "words"),
    [
        ([[1.0, 2.0], [3.0]], ["instances/1"]),
        ([[1.0, 2.0, 3.0]], ["x", "2"]),
        ([], ["instances"]),
        ([["a", 2.0]], ["instances/0"]),
        ([[None, 2.0]], ["instances/0"]),
        ([[1e999, 2.0]], ["instances/0"]),
        (7, ["instances"]),
        ([{"y": [1.0, 2.0]}], ["x"]),
    ],
)
def test_wrong_instances_are_explained(service: Service, trained: str, instances: Any, words: list[str]) -> None:
    """A prediction's problem names the row, the input and what was expected."""
    if instances == [[1e999, 2.0]]:
        headers = {"Content-Type": "application/json"}
        answer = service.post(f"/v1/models/{trained}/predict", data=b'{"instances": [[1e999, 2.0]]}', headers=headers)
        assert answer.status_code in (400, 422)
        problem(answer, answer.status_code)
        return
    body = problem(service.post(f"/v1/models/{trained}/predict", {"instances": instances}), 422)
    text = str(body)
    assert all(word in text for word in words), text


def test_lists_come_in_pages(service: Service, trained: str) -> None:
    """A cursor leads from page to page without a repeat; a wrong one is a problem."""
    first = service.get("/v1/jobs", params={"limit": 1}).json()
    second = service.get("/v1/jobs", params={"limit": 1, "cursor": first["next_cursor"]}).json()
    assert first["items"][0]["id"] > second["items"][0]["id"]
    problem(service.get("/v1/jobs", params={"cursor": "?"}), 422)
    problem(service.get("/v1/jobs", params={"limit": 0}), 422)
    assert trained in [model["name"] for model in service.get("/v1/models", params={"limit": 100}).json()["items"]]


def test_a_data_set_in_use_stays(service: Service) -> None:
    """A data set can be looked at, is kept while a job needs it, and can be deleted after."""
    answer = service.post("/v1/datasets", GOOD["data"])
    assert answer.status_code == 201, answer.text
    dataset = answer.json()
    assert dataset["rows"] == 2
    assert [array["shape"] for array in dataset["arrays"]] == [[2, 2], [2]]
    assert len(dataset["sha256"]) == 64
    assert service.get(f"/v1/datasets/{dataset['id']}/rows?limit=1").json() == {"x": [[1.0, 2.0]], "y": [0.0]}
    body = {key: value for key, value in GOOD.items() if key != "data"}
    job = service.submit(**body, fit={"epochs": 90_000}, dataset=dataset["id"])
    problem(service.delete(f"/v1/datasets/{dataset['id']}"), 409)
    service.post(f"/v1/jobs/{job['id']}/cancel")
    service.wait(job["id"])
    assert service.delete(f"/v1/datasets/{dataset['id']}").status_code == 204
    problem(service.get(f"/v1/datasets/{dataset['id']}"), 404)
    service.delete(f"/v1/jobs/{job['id']}")


def test_versions_and_their_deletion(service: Service) -> None:
    """A second job makes version 2; a deleted number is not given again; all of a model can go."""
    for _ in range(2):
        job = service.train(**{**GOOD, "model": "two-versions"})
    assert job["version"] == 2
    listed = service.get("/v1/models/two-versions/versions").json()["items"]
    assert [version["version"] for version in listed] == [2, 1]
    assert listed[0]["engine"] == "onnxruntime"
    assert set(listed[0]["libraries"]) >= {"keras", "tensorflow", "numpy"}
    assert service.delete("/v1/models/two-versions/versions/2").status_code == 204
    problem(service.post("/v1/models/two-versions/versions/2/predict", {"instances": [[1.0, 2.0]]}), 404)
    assert service.post("/v1/models/two-versions/predict", {"instances": [[1.0, 2.0]]}).json()["version"] == 1
    assert service.train(**{**GOOD, "model": "two-versions"})["version"] == 3
    assert service.delete("/v1/models/two-versions").status_code == 204
    problem(service.get("/v1/models/two-versions"), 404)
    assert not list((service.data / "incoming").iterdir())


def test_keras_json_trains(service: Service) -> None:
    """What Keras's own `model.to_json()` prints is an architecture too."""
    import keras

    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(3, activation="relu"), keras.layers.Dense(1)])
    job = service.train(**{**GOOD, "model": "from-keras", "architecture": model.to_json()})
    version = service.get(f"/v1/models/from-keras/versions/{job['version']}").json()
    assert version["parameters"] == model.count_params()
