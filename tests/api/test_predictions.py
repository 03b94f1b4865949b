"""The native route of predictions: bodies by Content-Type, answers by Accept, each with each."""

import gzip
import io
import json
import zlib
from typing import Any

import numpy as np
import pytest
from flask.testing import FlaskClient
from pyarrow import ipc
from werkzeug.test import TestResponse

from service.api.media import ARROW_FILE, ARROW_STREAM, CSV, NPY, NPZ
from service.inference.arrow_tables import write_file, write_stream
from service.inference.signature import Signature, TensorSpec
from tests.api.served import LOG, PAIR, served

JSON = "application/json"
X = np.array([[1.0, np.e], [np.e**2, 1.0]], np.float32)
Y = np.log(X)


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> FlaskClient:
    return served(tmp_path_factory.mktemp("served"), max_body_bytes=2_000_000).test_client()


def ask(client: FlaskClient, data: bytes | str, model: str = LOG, query: str = "", **headers: str) -> TestResponse:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return client.post(f"/v1/models/{model}/predict{query}", data=data, headers=named)


def saved(write: Any, **arrays: Any) -> bytes:
    file = io.BytesIO()
    write(file, *(arrays.values() if write is np.save else ()), **({} if write is np.save else arrays))
    return file.getvalue()


AS_TABLE = Signature(inputs=(), outputs=(TensorSpec(name="x", shape=(2,), dtype="float32"),))
BODIES = {
    JSON: json.dumps({"instances": X.tolist()}).encode(),
    NPY: saved(np.save, x=X),
    NPZ: saved(np.savez_compressed, x=X),
    ARROW_STREAM: write_stream({"x": X}, AS_TABLE),
    ARROW_FILE: write_file({"x": X}, AS_TABLE),
    CSV: ("a,b\n" + "\n".join(",".join(map(repr, row)) for row in X.tolist())).encode(),
}
READERS = {
    JSON: lambda content: np.array(json.loads(content)["predictions"], np.float32),
    NPY: lambda content: np.load(io.BytesIO(content), allow_pickle=False),
    NPZ: lambda content: np.load(io.BytesIO(content), allow_pickle=False)["y"],
    ARROW_STREAM: lambda content: np.array(ipc.open_stream(content).read_all()["y"].to_pylist(), np.float32),
    ARROW_FILE: lambda content: np.array(ipc.open_file(content).read_all()["y"].to_pylist(), np.float32),
    CSV: lambda content: np.loadtxt(io.BytesIO(content), np.float32, delimiter=",", skiprows=1, ndmin=2),
}


@pytest.mark.parametrize("accept", READERS)
@pytest.mark.parametrize("content_type", BODIES)
def test_each_body_gets_each_answer(client: FlaskClient, content_type: str, accept: str) -> None:
    """The same numbers whatever carries them, and the version that has answered is told."""
    answer = ask(client, BODIES[content_type], Content_Type=content_type, Accept=accept)
    assert answer.status_code == 200, answer.text
    assert answer.mimetype == accept
    np.testing.assert_allclose(READERS[accept](answer.data), Y, rtol=1e-6)
    told = answer.get_json()["version"] if accept == JSON else int(answer.headers["X-Model-Version"])
    assert told == 2


@pytest.mark.parametrize(
    ("accept", "given"),
    [
        (None, JSON),
        ("*/*", JSON),
        ("application/*", JSON),
        ("text/*", CSV),
        (f"{CSV};q=0.5, {NPY};q=0.8", NPY),
        (f"image/png, {NPZ};q=0.1", NPZ),
        (f"{JSON};q=0, {CSV}", CSV),
        ("Text/CSV; charset=utf-8", CSV),
    ],
)
def test_the_client_chooses(client: FlaskClient, accept: str | None, given: str) -> None:
    """By quality; without a choice it is JSON."""
    headers = {} if accept is None else {"Accept": accept}
    assert ask(client, BODIES[JSON], Content_Type=JSON, **headers).mimetype == given


@pytest.mark.parametrize(("model", "accept"), [(LOG, "image/png"), (LOG, f"{JSON};q=0"), (PAIR, NPY), (LOG, "x")])
def test_what_cannot_be_had_is_406(client: FlaskClient, model: str, accept: str) -> None:
    """With a list of what can; .npy holds one array, so that a network of two outputs has no such answer."""
    body = '{"instances": [{"a": [1], "b": [2]}]}' if model == PAIR else BODIES[JSON]
    answer = ask(client, body, model, Content_Type=JSON, Accept=accept)
    assert answer.status_code == 406
    assert answer.mimetype == "application/problem+json"
    assert f"{JSON}, " in answer.get_json()["detail"]
    assert (NPY in answer.get_json()["detail"].partition(";")[0]) == (model == LOG)


def test_several_inputs_and_outputs_have_names(client: FlaskClient) -> None:
    """In .npz and in tables."""
    body = saved(np.savez, a=np.array([2.0, 3.0]), b=np.array([[4.0], [5.0]]))
    answer = ask(client, body, PAIR, Content_Type=NPZ, Accept=CSV)
    assert answer.text == "sum,product\n6,8\n8,15\n"
    table = ask(client, "b,a\n4,2\n5,3\n", PAIR, Content_Type=CSV, Accept=ARROW_STREAM)
    assert ipc.open_stream(table.data).read_all().to_pydict() == {
        "sum": [[6.0], [8.0]],
        "product": [[8.0], [15.0]],
    }


@pytest.mark.parametrize(
    ("model", "inputs", "outputs"),
    [
        (PAIR, {"a": [1, 2], "b": [[3], [4]]}, {"sum": [[4.0], [6.0]], "product": [[3.0], [8.0]]}),
        (LOG, [[1, 1]], [[0.0, 0.0]]),
        (LOG, {"x": [[1, 1]]}, [[0.0, 0.0]]),
    ],
)
def test_columns_in_json_are_answered_as_columns(client: FlaskClient, model: str, inputs: Any, outputs: Any) -> None:
    """`inputs` in place of `instances`, `outputs` in place of `predictions`."""
    answer = client.post(f"/v1/models/{model}/versions/1/predict", json={"inputs": inputs})
    assert answer.get_json() == {"outputs": outputs, "model": model, "version": 1}


@pytest.mark.parametrize("body", [{}, {"instances": [[1, 1]], "inputs": [[1, 1]]}])
def test_rows_or_columns_but_one_of_them(client: FlaskClient, body: Any) -> None:
    """The fault says which came."""
    answer = client.post(f"/v1/models/{LOG}/predict", json=body)
    assert answer.status_code == 422
    assert "send rows as `instances`, or columns as `inputs`" in answer.get_json()["errors"][0]["detail"]


def test_columns_have_faults_of_their_own(client: FlaskClient) -> None:
    """With pointers into them."""
    answer = client.post(f"/v1/models/{PAIR}/predict", json={"inputs": {"a": [1, None], "b": [1]}})
    assert [fault["pointer"] for fault in answer.get_json()["errors"]] == ["/inputs/a/1"]


@pytest.mark.parametrize("path", [f"/v1/models/{LOG}/predict", f"/v1/models/{LOG}/versions/2/predict"])
def test_what_is_not_finite_is_null_or_an_error(client: FlaskClient, path: str) -> None:
    """As the query says; binary answers and CSV have words of their own for it."""
    body = {"instances": [[1, 0], [1, 1], [-1, 1]]}
    assert client.post(path, json=body).get_json()["predictions"] == [[0.0, None], [0.0, 0.0], [None, 0.0]]
    assert client.post(f"{path}?nan=null", json=body).status_code == 200
    as_text = client.post(path, json=body, headers={"Accept": CSV})
    assert as_text.text == "y.0,y.1\n0,-inf\n0,0\nnan,0\n"
    refused = client.post(f"{path}?nan=error", json=body)
    assert refused.status_code == 422
    problem = refused.get_json()
    assert problem["type"] == "urn:kerasd:problem:not-finite"
    assert "2 rows (0, 2)" in problem["detail"]
    assert [fault["pointer"] for fault in problem["errors"]] == ["/predictions/0/1", "/predictions/2/0"]
    assert client.post(f"{path}?nan=error", json={"instances": [[1, 1]]}).status_code == 200
    assert client.post(f"{path}?nan=maybe", json=body).status_code == 422


@pytest.mark.parametrize(
    ("content_type", "body", "status", "words"),
    [
        ("", BODIES[JSON], 415, "no Content-Type came"),
        ("text/plain", BODIES[JSON], 415, f"text/plain came; one of {JSON}, {NPY}"),
        ("text/csv; charset=latin-1", BODIES[CSV], 415, "The charset 'latin-1' came"),
        ("application/octet-stream", BODIES[CSV], 415, "this is none"),
        (JSON, b"{", 400, "not JSON"),
        (JSON, b"[]", 422, "should be a JSON object"),
        (NPY, b"{}", 400, "no .npy array"),
        (NPZ, b"{}", 400, "damaged"),
        (ARROW_STREAM, b"{}", 400, "no whole Arrow table"),
        (ARROW_FILE, b"{}", 400, "no whole Arrow table"),
        (CSV, b"a,b\n1,dog\n", 422, "The text 'dog' came in row 1"),
        (NPZ, saved(np.savez_compressed, x=np.zeros((1_000_000, 2))), 413, "once unpacked"),
        (JSON, b" " * 2_000_001, 413, "2000000 bytes"),
    ],
)
def test_bad_bodies_are_problems(client: FlaskClient, content_type: str, body: bytes, status: int, words: str) -> None:
    """Each says what came and what was expected."""
    answer = ask(client, body, **({"Content_Type": content_type} if content_type else {}))
    assert (answer.status_code, answer.mimetype) == (status, "application/problem+json"), answer.text
    assert words in answer.get_json()["detail"]


@pytest.mark.parametrize(("content_type", "general"), [(NPY, "application/octet-stream"), (NPZ, "application/zip"),
                                                       (ARROW_FILE, "application/octet-stream")])  # fmt: skip
def test_general_types_are_told_by_their_beginning(client: FlaskClient, content_type: str, general: str) -> None:
    """As uploads of data sets are."""
    assert ask(client, BODIES[content_type], Content_Type=general).status_code == 200


@pytest.mark.parametrize(("coding", "packed"), [("gzip", gzip.compress), ("deflate", zlib.compress)])
@pytest.mark.parametrize("content_type", [JSON, NPY])
def test_bodies_and_answers_are_packed(client: FlaskClient, coding: str, packed: Any, content_type: str) -> None:
    """In the codings that the client names, on both ways; a bomb is too large."""
    rows = np.ones((5000, 2), np.float32)
    body = saved(np.save, x=rows) if content_type == NPY else json.dumps({"instances": rows.tolist()}).encode()
    answer = ask(client, packed(body), Content_Type=content_type, Content_Encoding=coding, Accept_Encoding=coding)
    assert answer.status_code == 200, answer.text
    assert answer.headers["Content-Encoding"] == coding
    unpacked = gzip.decompress(answer.data) if coding == "gzip" else zlib.decompress(answer.data)
    np.testing.assert_array_equal(READERS[JSON](unpacked), np.zeros((5000, 2)))
    bomb = ask(client, packed(bytes(3_000_000)), Content_Type=content_type, Content_Encoding=coding)
    assert bomb.status_code == 413


def test_an_unknown_version_is_404(client: FlaskClient) -> None:
    """By any media type."""
    for content_type, body in BODIES.items():
        answer = client.post(f"/v1/models/{LOG}/versions/9/predict", data=body, content_type=content_type)
        assert answer.status_code == 404
