"""The Open Inference Protocol, as Triton's own client speaks it, unmodified."""

import contextlib
import gzip
import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import psutil
import pytest
import requests
import tritonclient.http as triton

from tests.end_to_end.conftest import Service, wait_for
from tests.end_to_end.test_tensorflow_serving import half_plus_two, two_by_two

HALF, TWO = "half_by_v2", "two_by_v2"
X = np.array([[1.0], [2.0], [5.0]], "float32")


@pytest.fixture(scope="module")
def served(service: Service) -> Service:
    """Two versions of one model, of which `stable` is the first, and one of another."""
    for body in (half_plus_two() | {"model": HALF}, half_plus_two() | {"model": HALF}, two_by_two() | {"model": TWO}):
        service.train(**body)
    put = service.http.put(f"{service.url}/v1/models/{HALF}/aliases/stable", json={"version": 1}, timeout=60)
    assert put.status_code == 200
    return service


@pytest.fixture
def client(served: Service) -> Iterator[Any]:
    with triton.InferenceServerClient(served.url.removeprefix("http://")) as client:
        yield client


def tensor(name: str, array: np.ndarray, datatype: str, binary: bool = True) -> Any:
    given = triton.InferInput(name, list(array.shape), datatype)
    given.set_data_from_numpy(array, binary_data=binary)
    return given


def test_the_server_and_its_models(client: Any, served: Service) -> None:
    """Alive, ready, and what there is."""
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready(HALF)
    assert client.is_model_ready(HALF, "2")
    assert not client.is_model_ready("nobody")
    assert not client.is_model_ready(HALF, "9")
    server = client.get_server_metadata()
    assert server["name"] == "kerasd"
    assert "binary_tensor_data" in server["extensions"]
    assert served.get("/v2/").json() == server
    index = client.get_model_repository_index()
    ours = [entry for entry in index if entry["name"] == HALF]
    assert [(entry["version"], entry["state"]) for entry in ours] == [("2", "READY"), ("1", "READY")]
    assert {HALF, TWO} <= set(served.get("/v2/models").json()["models"])


def test_a_models_metadata_and_configuration(client: Any) -> None:
    """Inputs and outputs with their types; -1 is the batch."""
    metadata = client.get_model_metadata(TWO)
    assert metadata["versions"] == ["1"]
    assert metadata["inputs"] == [
        {"name": "left", "datatype": "FP32", "shape": [-1, 2]},
        {"name": "right", "datatype": "INT32", "shape": [-1, 2]},
    ]
    assert [one["name"] for one in metadata["outputs"]] == ["sum", "one"]
    configuration = client.get_model_config(TWO)
    assert configuration["input"][1] == {"name": "right", "data_type": "TYPE_INT32", "dims": [2]}
    assert configuration["max_batch_size"] > 0


@pytest.mark.parametrize("version", ["", "1", "2", "stable"])
@pytest.mark.parametrize("binary_in", [True, False], ids=["bytes in", "JSON in"])
@pytest.mark.parametrize("binary_out", [True, False, None], ids=["bytes out", "JSON out", "all out"])
def test_predictions(client: Any, version: str, binary_in: bool, binary_out: bool | None) -> None:
    """In every form, the same numbers."""
    outputs = None if binary_out is None else [triton.InferRequestedOutput("y", binary_data=binary_out)]
    result = client.infer(
        HALF, [tensor("x", X, "FP32", binary_in)], model_version=version, outputs=outputs, request_id="seven"
    )
    np.testing.assert_array_equal(result.as_numpy("y"), X / 2 + 2)
    answer = result.get_response()
    assert (answer["id"], answer["model_name"]) == ("seven", HALF)
    assert answer["model_version"] == {"": "2", "stable": "1"}.get(version, version)


@pytest.mark.parametrize("packed", ["gzip", "deflate"])
def test_packed_bodies(client: Any, packed: str) -> None:
    """In both directions; a large batch of zeros is worth it."""
    rows = np.zeros((5000, 1), "float32")
    result = client.infer(
        HALF,
        [tensor("x", rows, "FP32")],
        request_compression_algorithm=packed,
        response_compression_algorithm=packed,
    )
    np.testing.assert_array_equal(result.as_numpy("y"), rows + 2)


def test_several_inputs_and_outputs(client: Any) -> None:
    """Bytes and JSON mixed, on both sides."""
    left, right = np.array([[1.0, 2.0]], "float32"), np.array([[3, 4]], "int32")
    result = client.infer(
        TWO,
        [tensor("right", right, "INT32", False), tensor("left", left, "FP32")],
        outputs=[triton.InferRequestedOutput("one", binary_data=False), triton.InferRequestedOutput("sum")],
    )
    np.testing.assert_array_equal(result.as_numpy("sum"), [[4.0, 6.0]])
    assert result.as_numpy("one").shape == (1, 1)


def test_an_empty_batch(client: Any) -> None:
    """Is one: its answer has no row either."""
    result = client.infer(HALF, [tensor("x", X[:0], "FP32")])
    assert result.as_numpy("y").shape == (0, 1)


def test_many_rows_as_bytes(client: Any) -> None:
    """A million of them, to the bit what they are one by one."""
    rows = np.random.default_rng(0).normal(size=(1_000_000, 1)).astype("float32")
    answer = client.infer(HALF, [tensor("x", rows, "FP32")]).as_numpy("y")
    np.testing.assert_array_equal(answer, rows * np.float32(0.5) + np.float32(2))


def test_errors_reach_the_client_as_sentences(client: Any) -> None:
    """With the status that goes with them."""
    for model, version, given, status, words in (
        ("nobody", "", tensor("x", X, "FP32"), "404", "There is no model"),
        (HALF, "9", tensor("x", X, "FP32"), "404", "has no version 9"),
        (HALF, "", tensor("z", X, "FP32"), "400", "'z' came; one of 'x' was expected"),
        (HALF, "", tensor("x", X.astype("float64"), "FP64"), "400", "'FP32' was expected"),
        (HALF, "", tensor("x", X.reshape(1, 3), "FP32"), "400", "[-1, 1] was expected"),
    ):
        with pytest.raises(triton.InferenceServerException) as caught:
            client.infer(model, [given], model_version=version)
        assert caught.value.status() == status
        assert words in caught.value.message()


def post(service: Service, data: bytes, **headers: str) -> requests.Response:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return service.http.post(f"{service.url}/v2/models/{HALF}/infer", data=data, headers=named, timeout=60)


BODY = json.dumps({"inputs": [{"name": "x", "shape": [1, 1], "datatype": "FP32", "data": [1.0]}]}).encode()


@pytest.mark.parametrize(
    ("data", "headers", "status", "words"),
    [
        (b"", {}, 400, "not JSON"),
        (b"[]", {}, 400, "not a JSON object"),
        (b"{}", {}, 400, "A list of the inputs 'x'"),
        (BODY[:-3], {}, 400, "not JSON"),
        (BODY, {"Inference_Header_Content_Length": "9999"}, 400, "a number up to the body's"),
        (BODY, {"Inference_Header_Content_Length": "-1"}, 400, "a number up to the body's"),
        (BODY, {"Inference_Header_Content_Length": "ten"}, 400, "a number up to the body's"),
        (BODY, {"Inference_Header_Content_Length": "10"}, 400, "not JSON"),
        (BODY + bytes(4), {"Inference_Header_Content_Length": str(len(BODY))}, 400, "4 bytes follow the JSON"),
        (b"123", {"Inference_Header_Content_Length": "0"}, 400, "3 bytes came; one row of 'x'"),
        (BODY, {"Content_Encoding": "gzip"}, 400, "is not gzip"),
        (gzip.compress(BODY, mtime=0)[:-9], {"Content_Encoding": "gzip"}, 400, "ends in the middle"),
        (gzip.compress(bytes(200_000_000), mtime=0), {"Content_Encoding": "gzip"}, 413, "larger than the"),
        (BODY, {"Content_Encoding": "br"}, 415, "gzip, deflate or none"),
    ],
)
def test_what_is_wrong_in_a_request(
    served: Service, data: bytes, headers: dict[str, str], status: int, words: str
) -> None:
    """A sentence under `error`, and neither a hang nor a 500."""
    answered = post(served, data, **headers)
    assert answered.status_code == status, answered.text
    assert list(answered.json()) == ["error"]
    assert words in answered.json()["error"]


def test_a_body_of_bytes_alone(served: Service) -> None:
    """A header of 0 says so; the answer is bytes then, too."""
    answered = post(served, np.float32(1).tobytes(), Inference_Header_Content_Length="0")
    length = int(answered.headers["Inference-Header-Content-Length"])
    assert answered.headers["Content-Type"] == "application/octet-stream"
    assert json.loads(answered.content[:length])["outputs"][0]["parameters"] == {"binary_data_size": 4}
    assert np.frombuffer(answered.content[length:], "<f4").tolist() == [2.5]


@pytest.mark.parametrize("binary", [True, False], ids=["bytes", "JSON"])
def test_classification(client: Any, binary: bool) -> None:
    """The largest values of each row, with their places."""
    left, right = np.array([[1.0, 2.0], [5.0, 3.0]], "float32"), np.ones((2, 2), "int32")
    result = client.infer(
        TWO,
        [tensor("left", left, "FP32"), tensor("right", right, "INT32")],
        outputs=[
            triton.InferRequestedOutput("sum", binary_data=binary, class_count=1),
            triton.InferRequestedOutput("one", binary_data=binary),
        ],
    )
    found = [text.decode() if binary else text for text in result.as_numpy("sum").ravel()]
    assert found == ["3.0:1", "6.0:0"]
    assert result.get_output("sum")["datatype"] == "BYTES"
    assert result.as_numpy("one").shape == (2, 1)


def test_statistics(client: Any, served: Service) -> None:
    """What was asked by any protocol, summed over the web processes, and kept when one of them dies."""
    assert {"statistics", "classification"} <= set(client.get_server_metadata()["extensions"])

    def counted() -> tuple[int, int, int]:
        (one,) = client.get_inference_statistics(HALF, "1")["model_stats"]
        parts = one["inference_stats"]
        return one["inference_count"], parts["success"]["count"], parts["fail"]["count"]

    def ask_all() -> None:
        # New connections, so that every web process is asked.
        for _ in range(10):
            url, body = f"{served.url}/v1/models/{HALF}", {"instances": [1, 2, 5]}
            assert requests.post(f"{url}/versions/1/predict", json=body, timeout=60).status_code == 200
            assert requests.post(f"{url}/versions/1:predict", json=body, timeout=60).status_code == 200
            assert requests.post(f"{url}/versions/1/predict", json={"instances": ["x"]}, timeout=60).status_code == 422
            client.infer(HALF, [tensor("x", X, "FP32")], model_version="1")

    before = counted()
    ask_all()
    assert counted() == (before[0] + 90, before[1] + 30, before[2] + 10)
    assert {one["version"] for one in client.get_inference_statistics(HALF)["model_stats"]} == {"1", "2"}
    assert {HALF, TWO} <= {one["name"] for one in client.get_inference_statistics()["model_stats"]}
    kill_web_workers(served)
    assert counted() == (before[0] + 90, before[1] + 30, before[2] + 10)
    ask_all()
    assert counted() == (before[0] + 180, before[1] + 60, before[2] + 20)
    found = [line for line in served.get("/metrics").text.splitlines() if f'model="{HALF}"' in line]
    assert any(line.startswith("kerasd_predictions_total{") and 'protocol="open_inference"' in line for line in found)


def kill_web_workers(service: Service) -> None:
    """Kill every process that answers requests, and return once others do."""
    masters = [one for one in service.processes() if "gunicorn" in one.cmdline() and one.ppid() == service.process.pid]
    killed = [worker for master in masters for worker in master.children()]
    assert killed
    for worker in killed:
        worker.kill()
    psutil.wait_procs(killed, 30)
    wait_for(lambda: answers(service), 60)


def answers(service: Service) -> bool:
    with contextlib.suppress(requests.ConnectionError, requests.Timeout):
        return requests.get(f"{service.url}/health/live", timeout=5).status_code == 200
    return False


def test_loading_and_unloading(client: Any) -> None:
    """To load a model that is there changes nothing; nobody unloads one, or sends files for it."""
    client.load_model(HALF)
    assert client.is_model_ready(HALF)
    for call, words in (
        (lambda: client.unload_model(HALF), "not unloaded by clients"),
        (lambda: client.load_model(HALF, config="{}"), "send none to load"),
        (lambda: client.load_model("nobody"), "There is no model"),
        (lambda: client.unload_model("nobody"), "There is no model"),
    ):
        with pytest.raises(triton.InferenceServerException) as caught:
            call()
        assert words in caught.value.message()
