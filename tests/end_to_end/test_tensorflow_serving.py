"""What a client of TensorFlow Serving sends and gets, in the forms of its REST API's documentation."""

import gzip
import json
from typing import Any

import pytest
import requests

from tests.end_to_end.conftest import Service

HALF = "/v1/models/half_plus_two"
TWO = "/v1/models/two_by_two"


def half_plus_two() -> dict[str, Any]:
    """y = x / 2 + 2 from the start, so that there is nothing to learn."""
    exact = {
        "kernel_initializer": {"type": "Constant", "value": 0.5},
        "bias_initializer": {"type": "Constant", "value": 2},
    }
    return {
        "model": "half_plus_two",
        "architecture": {"layers": [{"type": "Dense", "units": 1, "name": "y", **exact}]},
        "compile": {"loss": "mse", "optimizer": "sgd"},
        "fit": {"epochs": 1},
        "data": {"x": [[1.0], [2.0], [5.0]], "y": [2.5, 3.0, 4.5]},
    }


def two_by_two() -> dict[str, Any]:
    """The sum of two inputs, and both, one after the other; with a Dense behind, since something has to learn."""
    return {
        "model": "two_by_two",
        "architecture": {
            "inputs": [{"name": "left", "shape": [2]}, {"name": "right", "shape": [2], "dtype": "int32"}],
            "layers": [
                {"type": "Rescaling", "name": "floats", "scale": 1.0, "inputs": ["right"]},
                {"type": "Add", "name": "sum", "inputs": ["left", "floats"]},
                {"type": "Dense", "name": "one", "units": 1, "inputs": ["sum"]},
            ],
            "outputs": ["sum", "one"],
        },
        "compile": {"loss": {"sum": "mse", "one": "mse"}, "optimizer": "sgd"},
        "fit": {"epochs": 1},
        "data": {
            "x": {"left": [[1.0, 2.0], [3.0, 4.0]], "right": [[1, 1], [2, 2]]},
            "y": {"sum": [[2.0, 3.0], [5.0, 6.0]], "one": [1.0, 2.0]},
        },
    }


@pytest.fixture(scope="module")
def served(service: Service) -> Service:
    """Two versions of the one model, of which `stable` is the first, and one of the other."""
    for body in (half_plus_two(), half_plus_two(), two_by_two()):
        service.train(**body)
    put = service.http.put(f"{service.url}{HALF}/aliases/stable", json={"version": 1}, timeout=60)
    assert put.status_code == 200
    return service


def ask(service: Service, path: str, body: Any) -> requests.Response:
    """As curl does with -d, whose Content-Type is that of a form."""
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    text = body if isinstance(body, str) else json.dumps(body)
    return service.http.post(service.url + path, data=text, headers=form, timeout=60)


@pytest.mark.parametrize("path", ["", "/versions/1", "/versions/2", "/labels/stable"])
@pytest.mark.parametrize(
    ("body", "answer"),
    [
        ({"instances": [[1.0], [2.0], [5.0]]}, {"predictions": [[2.5], [3.0], [4.5]]}),
        ({"instances": [1, 2, 5]}, {"predictions": [[2.5], [3.0], [4.5]]}),
        ({"instances": [{"x": [1.0]}, {"x": [2.0]}]}, {"predictions": [[2.5], [3.0]]}),
        ({"signature_name": "serving_default", "inputs": [[1.0], [2.0]]}, {"outputs": [[2.5], [3.0]]}),
        ({"inputs": {"x": [[1.0]]}, "something": "else"}, {"outputs": [[2.5]]}),
    ],
    ids=["rows", "numbers", "named rows", "columns", "named columns"],
)
def test_predictions(served: Service, path: str, body: Any, answer: Any) -> None:
    """By row or by column, by number, by label or by the newest."""
    answered = ask(served, f"{HALF}{path}:predict", body)
    assert answered.status_code == 200, answered.text
    assert answered.headers["Content-Type"] == "application/json"
    assert answered.json() == answer


def test_several_inputs_and_outputs(served: Service) -> None:
    """Rows are objects then, on both sides; columns are objects of lists."""
    rows = [{"left": [1.0, 2.0], "right": [1, 1]}, {"left": [3.0, 4.0], "right": [0, 1]}]
    predictions = ask(served, f"{TWO}:predict", {"instances": rows}).json()["predictions"]
    assert [row["sum"] for row in predictions] == [[2.0, 3.0], [3.0, 5.0]]
    columns = {"left": [[1.0, 2.0], [3.0, 4.0]], "right": [[1, 1], [0, 1]], "unused": 7}
    outputs = ask(served, f"{TWO}:predict", {"inputs": columns}).json()["outputs"]
    assert outputs == {name: [row[name] for row in predictions] for name in ("sum", "one")}


def test_status(served: Service) -> None:
    """Of a model all versions, the newest first; of a version or a label the one."""

    def states(path: str) -> Any:
        return served.get(path).json()["model_version_status"]

    def available(version: str) -> dict[str, Any]:
        return {"version": version, "state": "AVAILABLE", "status": {"error_code": "OK", "error_message": ""}}

    assert states(HALF) == [available("2"), available("1")]
    assert states(f"{HALF}/versions/2") == [available("2")]
    assert states(f"{HALF}/labels/stable") == [available("1")]


@pytest.mark.parametrize(("path", "version"), [("", "2"), ("/versions/1", "1"), ("/labels/stable", "1")])
def test_metadata(served: Service, path: str, version: str) -> None:
    """The signature, in the form of a SignatureDef."""

    def tensor(name: str, dtype: str, *sizes: str) -> dict[str, Any]:
        shape = {"dim": [{"size": size, "name": ""} for size in sizes], "unknown_rank": False}
        return {"dtype": dtype, "tensor_shape": shape, "name": f"{name}:0"}

    metadata = served.get(f"{HALF}{path}/metadata").json()
    assert metadata == {
        "model_spec": {"name": "half_plus_two", "signature_name": "", "version": version},
        "metadata": {
            "signature_def": {
                "signature_def": {
                    "serving_default": {
                        "inputs": {"x": tensor("x", "DT_FLOAT", "-1", "1")},
                        "outputs": {"y": tensor("y", "DT_FLOAT", "-1", "1")},
                        "method_name": "tensorflow/serving/predict",
                        "defaults": {},
                    }
                }
            }
        },
    }
    both = served.get(f"{TWO}/metadata").json()["metadata"]["signature_def"]["signature_def"]["serving_default"]
    assert both["inputs"]["right"] == tensor("right", "DT_INT32", "-1", "2")


@pytest.mark.parametrize(
    ("path", "status", "error"),
    [
        ("/v1/models/nobody:predict", 404, "Servable not found for request: Latest(nobody)"),
        ("/v1/models/nobody/labels/stable:predict", 404, "Servable not found for request: Latest(nobody)"),
        (f"{HALF}/versions/50:predict", 404, "Servable not found for request: Specific(half_plus_two, 50)"),
        (f"{HALF}/versions/{10**18}:predict", 400, "Failed to convert version: 1000000000000000000 to numeric."),
        (f"{HALF}/versions/one:predict", 400, "Failed to convert version: one to numeric."),
        (f"{HALF}/labels/canary:predict", 400, "Unrecognized servable version label: canary"),
        (f"{HALF}:classify", 400, "Expected classify signature method_name to be tensorflow/serving/classify."),
        (f"{HALF}/versions/1:regress", 400, "Expected regress signature method_name to be tensorflow/serving/regress."),
        ("/v1/models/nobody:classify", 404, "Servable not found for request: Latest(nobody)"),
    ],
)
def test_what_there_is_not(served: Service, path: str, status: int, error: str) -> None:
    """Errors are a string under `error`, worded as clients may look for it."""
    answered = ask(served, path, {"instances": [[1.0]]})
    assert answered.status_code == status
    assert list(answered.json()) == ["error"]
    assert answered.json()["error"].startswith(error)


@pytest.mark.parametrize(
    ("path", "body", "error"),
    [
        (HALF, "", "JSON Parse error: Invalid value. at offset: 0"),
        (HALF, '{"instances": [1.0,', "JSON Parse error"),
        (HALF, "[" * 100_000, "JSON Parse error"),
        (HALF, "[]", "The request is not a JSON object"),
        (HALF, {}, "Missing 'inputs' or 'instances' key"),
        (HALF, {"instances": [[1.0]], "inputs": [[1.0]]}, "Both 'instances' and 'inputs' came"),
        (HALF, {"instances": [[1.0]], "signature_name": 3}, "'signature_name' key must be a string value."),
        (HALF, {"instances": [[1.0]], "signature_name": "other"}, 'Serving signature key "other" not found.'),
        (HALF, {"instances": []}, "The instances do not fit"),
        (HALF, {"instances": [["a"]]}, "The instances do not fit"),
        (HALF, {"instances": [[1.0, 2.0]]}, "The instances do not fit"),
        (HALF, '{"instances": [[NaN]]}', "The instances do not fit"),
        (HALF, {"inputs": {"z": [[1.0]]}}, "Missing named input: x in 'inputs' object."),
        (TWO, {"inputs": [[1.0]]}, "expected an object of 'left', 'right'"),
        (TWO, {"inputs": {"left": [[1, 2]], "right": [[1, 1], [2, 2]]}}, "'left' has 1, 'right' has 2"),
        (TWO, {"inputs": {"left": [[1, 2]], "right": [[0.5, 1]]}}, "/inputs/right/0/0"),
        (TWO, {"instances": [[1.0, 2.0]]}, "The instances do not fit"),
    ],
)
def test_what_is_wrong_in_a_request(served: Service, path: str, body: Any, error: str) -> None:
    """A 400, whatever it is, and a sentence that says what."""
    answered = ask(served, f"{path}:predict", body)
    assert answered.status_code == 400, answered.text
    assert error in answered.json()["error"]


def test_bodies_may_be_packed(served: Service) -> None:
    """As gzip; what is not gzip, ends too early or unpacks to too much is refused."""
    url, packed = f"{served.url}{HALF}:predict", gzip.compress(b'{"instances": [[1.0]]}')

    def post(data: bytes) -> requests.Response:
        return served.http.post(url, data=data, headers={"Content-Encoding": "gzip"}, timeout=60)

    assert post(packed).json() == {"predictions": [[2.5]]}
    assert "is not gzip" in post(b"plain").json()["error"]
    assert "ends in the middle" in post(packed[:-9]).json()["error"]
    bomb = post(gzip.compress(b" " * 200_000_000))
    assert bomb.status_code == 413
    assert "larger than the" in bomb.json()["error"]
