"""Predictions in every media type of a real service, and what SageMaker's and MLflow's clients ask of it."""

import io
import zipfile
from collections.abc import Callable
from typing import Any

import numpy as np
import psutil
import pyarrow
import pytest
import requests
from pyarrow import ipc

from tests.end_to_end.conftest import Service
from tests.end_to_end.test_tensorflow_serving import half_plus_two, two_by_two

HALF, TWO = "half_by_media", "two_by_media"
MIB = 2**20


@pytest.fixture(scope="module")
def served(service: Service) -> Service:
    """A model of one input, and one of two."""
    for body in (half_plus_two() | {"model": HALF}, two_by_two() | {"model": TWO}):
        service.train(**body)
    return service


def ask(service: Service, model: str, content_type: str, data: bytes, accept: str = "*/*") -> requests.Response:
    headers = {"Content-Type": content_type, "Accept": accept}
    return service.http.post(f"{service.url}/v1/models/{model}/predict", data=data, headers=headers, timeout=60)


def npy(array: Any) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def npz(**arrays: Any) -> bytes:
    file = io.BytesIO()
    np.savez_compressed(file, **arrays)
    return file.getvalue()


def arrow(table: Any, **options: Any) -> bytes:
    file = io.BytesIO()
    with ipc.new_stream(file, table.schema, options=ipc.IpcWriteOptions(**options)) as writer:
        writer.write_table(table)
    return file.getvalue()


def test_a_million_rows_in_and_out(served: Service) -> None:
    """As .npy and as Arrow, to the bit."""
    rows = np.random.default_rng(0).normal(size=(1_000_000, 1)).astype(np.float32)
    due = rows * np.float32(0.5) + np.float32(2)
    answer = ask(served, HALF, "application/x-npy", npy(rows), "application/x-npy")
    np.testing.assert_array_equal(np.load(io.BytesIO(answer.content)), due)
    stream = "application/vnd.apache.arrow.stream"
    answer = ask(served, HALF, stream, arrow(pyarrow.table({"x": rows[:, 0]})), stream)
    found = ipc.open_stream(answer.content).read_all()["y"].combine_chunks().flatten().to_numpy()
    np.testing.assert_array_equal(found, due[:, 0])


def test_inputs_of_their_own_types(served: Service) -> None:
    """Each is cast to what the network takes, if nothing is lost."""
    answer = ask(served, TWO, "application/x-npz", npz(left=np.ones((2, 2), ">f8"), right=np.ones((2, 2), "u1")))
    assert answer.json()["predictions"][0]["sum"] == [2.0, 2.0]
    refused = ask(served, TWO, "application/x-npz", npz(left=np.ones((2, 2)), right=np.full((2, 2), 0.5)))
    assert refused.status_code == 422
    assert "0.5 came" in refused.json()["detail"]


def test_hostile_bodies_cost_neither_a_worker_nor_memory(served: Service) -> None:
    """Bombs, pickles, lies and noise, again and again."""
    zeros = io.BytesIO()
    with zipfile.ZipFile(zeros, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("x.npy", "w") as member:
        member.write(npy(np.zeros((0, 1)))[:10])
        for _ in range(200):
            member.write(bytes(MIB))
    flat = pyarrow.table({"x": np.zeros(20_000_000, np.float32)})
    cases: list[tuple[str, bytes, Callable[[int], bool]]] = [
        ("application/x-npz", zeros.getvalue(), lambda status: status == 413),
        ("application/x-npy", npy(np.array([[print]], object)), lambda status: status == 422),
        ("application/x-npy", npy(np.ones((9, 1)))[:-1], lambda status: status == 422),
        ("application/vnd.apache.arrow.stream", arrow(flat, compression="zstd"), lambda status: status == 413),
        ("application/vnd.apache.arrow.stream", np.random.default_rng(0).bytes(10_000), lambda status: status == 400),
        ("text/csv", b"a\n" + b"9" * 10_000_000, lambda status: status == 422),
        ("text/csv", b"a," * 1_000_000, lambda status: status == 422),
        ("text/csv", b"x\n" + b"1\n" * 5_000_000, lambda status: status == 200),
    ]
    for content_type, body, right in cases:
        answer = ask(served, HALF, content_type, body)
        assert right(answer.status_code), (content_type, answer.status_code, answer.text[:500])
    workers = web_workers(served)

    def again() -> None:
        for content_type, body, _right in cases:
            # Each comes by a connection of its own, so that any process may get it.
            headers = {"Content-Type": content_type, "Accept": "application/x-npy"}
            requests.post(f"{served.url}/v1/models/{HALF}/predict", data=body, headers=headers, timeout=60)

    for _ in range(4):
        again()
    before = memory(workers)
    for _ in range(6):
        again()
    assert web_workers(served) == workers
    # What allocators keep for each thread is bounded; what a bomb would leave, time and again, is not.
    assert memory(workers) < before + 300 * MIB
    assert served.predict(HALF, [1]) == [[2.5]]


def web_workers(service: Service) -> set[int]:
    """The processes that answer requests."""
    assert service.process is not None
    masters = [one for one in service.processes() if "gunicorn" in one.cmdline() and one.ppid() == service.process.pid]
    return {worker.pid for master in masters for worker in master.children()}


def memory(processes: set[int]) -> int:
    return sum(psutil.Process(pid).memory_info().rss for pid in processes)


def test_invocations_in_the_way_of_sagemaker(own_service: Callable[..., Service]) -> None:
    """A container that answers /ping, and /invocations for the model that a setting names, once it is trained."""
    service = own_service(invocations_model="half_plus_two@live")
    assert service.get("/ping").status_code == 200
    early = service.post("/invocations", {"inputs": [[1.0]]})
    assert (early.status_code, early.json()["error_code"]) == (404, "RESOURCE_DOES_NOT_EXIST")
    service.train(**half_plus_two())
    put = service.http.put(f"{service.url}/v1/models/half_plus_two/aliases/live", json={"version": 1}, timeout=60)
    assert put.status_code == 200
    for body in (
        {"dataframe_split": {"columns": ["x"], "data": [[1.0], [2.0]]}},
        {"dataframe_records": [{"x": 1.0}, {"x": 2.0}]},
        {"instances": [[1.0], [2.0]]},
        {"inputs": {"x": [[1.0], [2.0]]}},
    ):
        assert service.post("/invocations", body).json() == {"predictions": [[2.5], [3.0]]}
    text = service.post("/invocations", data=b"x\n1.0\n2.0\n", headers={"Content-Type": "text/csv"})
    assert text.json() == {"predictions": [[2.5], [3.0]]}
    assert service.stop() == 0
