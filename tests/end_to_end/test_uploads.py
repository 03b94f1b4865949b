"""Arrays come as files, as a client sends them, and are trained on."""

import hashlib
import io
import json
import socket
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.datasets import load_iris

from tests.end_to_end.conftest import Service, wait_for

NETWORK = {
    "layers": [
        {"type": "Dense", "units": 16, "activation": "relu"},
        {"type": "Dense", "units": 3, "activation": "softmax"},
    ]
}
COMPILE = {"loss": "sparse_categorical_crossentropy", "optimizer": {"type": "Adam", "learning_rate": 0.02}}


def npy(array: Any) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def iris() -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    x, y = load_iris(return_X_y=True)
    return x, y


def unfinished(service: Service) -> list[Path]:
    return list((service.data / "incoming").iterdir())


def test_arrays_in_files_are_trained_on_and_predicted(service: Service) -> None:
    """x and y as NumPy saves them, float64 and int64, by the multipart form of a common client."""
    x, y = iris()
    files = {name: (f"{name}.npy", npy(array)) for name, array in (("x", x), ("y", y), ("sample_weight", np.ones(150)))}
    answer = service.post("/v1/datasets", files=files)
    assert answer.status_code == 201, answer.text
    dataset = answer.json()
    assert [(array["part"], array["dtype"]) for array in dataset["arrays"]] == [
        ("x", "float32"),
        ("y", "int32"),
        ("sample_weight", "float32"),
    ]
    service.train(
        model="iris_files", architecture=NETWORK, compile=COMPILE, fit={"epochs": 60}, dataset=dataset["id"], seed=1
    )
    found = np.argmax(service.predict("iris_files", x.tolist()), axis=1)
    assert (found == y).mean() > 0.9
    service.delete(f"/v1/datasets/{dataset['id']}")


def test_equal_content_is_kept_once_and_deleted_by_itself(service: Service) -> None:
    """Two data sets share their files; the one that stays is trained on."""
    x, y = iris()
    forms: tuple[dict[str, Any], ...] = (
        {"files": {"y": ("y", npy(y.astype("uint8"))), "x": ("x", npy(np.asfortranarray(x)))}},
        {"json": {"x": x.tolist(), "y": y.tolist()}},
    )
    first, second = (service.post("/v1/datasets", **form).json() for form in forms)
    assert first["sha256"] == second["sha256"] == expected_sha256(x, y)
    paths = [service.data / "datasets" / dataset["id"] / "x.npy" for dataset in (first, second)]
    assert paths[0].samefile(paths[1])
    assert service.delete(f"/v1/datasets/{first['id']}").status_code == 204
    assert not paths[0].exists()
    service.train(model="iris_twin", architecture=NETWORK, compile=COMPILE, fit={"epochs": 2}, dataset=second["id"])
    service.delete(f"/v1/datasets/{second['id']}")


def test_equal_tables_are_kept_once_too(service: Service) -> None:
    """Whatever form they come in, bare or in a form; each is deleted by itself."""
    table = b"city,age,bought\n" + b"".join(b"Oslo,%d,yes\nRome,%d,no\n" % (age, age + 1) for age in range(20, 60))
    headers = {"Content-Type": "text/csv"}
    first = service.post("/v1/datasets", data=table, headers=headers).json()
    second = service.post("/v1/datasets", files={"file": ("people.csv", table, "text/csv")}).json()
    assert first["sha256"] == second["sha256"]
    paths = [service.data / "datasets" / dataset["id"] / "table.arrow" for dataset in (first, second)]
    assert paths[0].samefile(paths[1])
    assert service.delete(f"/v1/datasets/{first['id']}").status_code == 204
    rows = service.get(f"/v1/datasets/{second['id']}/rows?limit=1").json()
    assert rows == {"records": [{"city": "Oslo", "age": 20, "bought": "yes"}]}
    service.delete(f"/v1/datasets/{second['id']}")


def expected_sha256(x: np.ndarray[Any, Any], y: np.ndarray[Any, Any]) -> str:
    """As the documentation says it: for each array a line of JSON, and the values."""
    digest = hashlib.sha256()
    for part, array in (("x", x.astype("<f4")), ("y", y.astype("<i4"))):
        head = {"part": part, "name": None, "dtype": array.dtype.name, "shape": list(array.shape)}
        digest.update(json.dumps(head).encode() + b"\n" + array.tobytes())
    return digest.hexdigest()


def test_files_larger_than_what_is_read_ahead_come_whole(service: Service) -> None:
    """Some megabytes, whose first and last rows are the same again."""
    x = np.random.default_rng(1).standard_normal((200_000, 10)).astype("float32")
    y = np.arange(200_000)
    answer = service.post("/v1/datasets", files={"x": ("x.npy", npy(x)), "y": ("y.npy", npy(y))})
    assert answer.status_code == 201, answer.text
    kept = service.data / "datasets" / answer.json()["id"]
    np.testing.assert_array_equal(np.load(kept / "x.npy"), x)
    np.testing.assert_array_equal(np.load(kept / "y.npy"), y)
    service.delete(f"/v1/datasets/{answer.json()['id']}")


@pytest.mark.parametrize("size", [20_000, 4_000_000])
def test_an_upload_that_breaks_off_leaves_nothing(service: Service, size: int) -> None:
    """A client that hangs up in the middle of a file, of whatever size."""
    head = "POST /v1/datasets HTTP/1.1\r\nHost: a\r\nContent-Type: multipart/form-data; boundary=line\r\n"
    part = b'--line\r\nContent-Disposition: form-data; name="x"; filename="x.npy"\r\n\r\n'
    content = part + npy(np.ones(size // 8) / 3)
    before = service.get("/v1/datasets").json()
    with socket.create_connection(("127.0.0.1", service.port)) as connection:
        connection.sendall(f"{head}Content-Length: {2 * size}\r\n\r\n".encode() + content)
        if size > 2**20:
            wait_for(lambda: unfinished(service), 30)
    wait_for(lambda: not unfinished(service), 30)
    assert service.get("/v1/datasets").json() == before


def test_what_is_wrong_with_a_form_comes_back_at_once(service: Service) -> None:
    """Each part by its pointer, through the front door."""
    files = {"x": ("x.npy", npy(np.array([[1.0, np.inf]]))), "z": ("z.npy", b"")}
    answer = service.post("/v1/datasets", files=files, data={"y": "1"})
    assert answer.status_code == 422
    assert sorted(fault["pointer"] for fault in answer.json()["errors"]) == ["/x/0/1", "/y", "/z"]
    assert unfinished(service) == []


def test_a_form_may_wait_to_be_asked_for(service: Service) -> None:
    """Some clients send a large body only once the server has said that it may come."""
    x, y = iris()
    part = 'Content-Disposition: form-data; name="{0}"; filename="{0}"\r\n\r\n'
    body = b"".join(f"--line\r\n{part.format(n)}".encode() + npy(a) + b"\r\n" for n, a in (("x", x), ("y", y)))
    body += b"--line--\r\n"
    head = (
        "POST /v1/datasets HTTP/1.1\r\nHost: a\r\nConnection: close\r\nExpect: 100-continue\r\n"
        f"Content-Type: multipart/form-data; boundary=line\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", service.port), timeout=60) as connection:
        connection.sendall(head.encode())
        assert connection.recv(1000).startswith(b"HTTP/1.1 100")
        connection.sendall(body)
        answer = b"".join(iter(lambda: connection.recv(2**16), b""))
    assert answer.startswith(b"HTTP/1.1 201")
    dataset = json.loads(answer.partition(b"\r\n\r\n")[2])
    service.delete(f"/v1/datasets/{dataset['id']}")
