"""The routes of data sets."""

import errno
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flask.testing import FlaskClient

from service.app import create_app
from service.config import Settings
from service.registry.migrate import upgrade


@pytest.fixture
def client(tmp_path: Path) -> Iterator[FlaskClient]:
    """A client of a service that takes bodies of 1 000 bytes, and uploads of 5 000."""
    settings = Settings(data=tmp_path, max_body_bytes=1_000, max_upload_bytes=5_000)
    upgrade(settings.database)
    with create_app(settings).test_client() as client:
        yield client


@pytest.mark.parametrize(("rows", "status"), [(10, 201), (800, 201), (2_000, 413)])
def test_uploads_have_a_limit_of_their_own(client: FlaskClient, rows: int, status: int) -> None:
    """What is too large for other bodies is not too large for an upload."""
    table = "a,b\n" + "1,2\n" * rows
    answer = client.post("/v1/datasets?target=b", data=table, content_type="text/csv")
    assert answer.status_code == status
    if status == 413:
        assert "5000 bytes" in answer.get_json()["detail"]


def npy(array: Any) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def npz(**arrays: Any) -> bytes:
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


X, Y = np.array([[0.5, 1.0], [1.5, 2.0], [2.5, 3.0]]), np.array([0, 1, 0])


def post(client: FlaskClient, query: str = "", **files: Any) -> Any:
    """Send a form; an array is a .npy file, a pair a file of another media type, and a text a field."""
    form = {
        name: (io.BytesIO(npy(content)), f"../{name}.npy")
        if isinstance(content, np.ndarray)
        else (io.BytesIO(content[0]), "file", content[1])
        if isinstance(content, tuple)
        else content
        for name, content in files.items()
    }
    return client.post(f"/v1/datasets{query}", data=form, content_type="multipart/form-data")


def stored(folder: Path) -> list[int]:
    """How many things lie where unfinished ones do, and where data sets do."""
    return [len(list((folder / name).iterdir())) for name in ("incoming", "datasets")]


def test_a_form_of_arrays_is_a_data_set(client: FlaskClient, tmp_path: Path) -> None:
    """Filenames with a path mean nothing; the rows come back."""
    answer = post(client, x=X, y=Y, sample_weight=np.ones(3))
    assert answer.status_code == 201
    assert answer.get_json()["format"] == "npy"
    assert client.get(answer.headers["Location"] + "/rows?limit=1").get_json() == {
        "x": [[0.5, 1.0]],
        "y": [0],
        "sample_weight": [1.0],
    }
    assert stored(tmp_path) == [0, 1]


@pytest.mark.parametrize(
    ("file", "query"),
    [
        ((npz(x=X, y=Y), "application/x-npz"), ""),
        ((npz(x=X, y=Y), "application/octet-stream"), ""),
        ((b'{"x": [[0.5, 1], [1.5, 2], [2.5, 3]], "y": [0, 1, 0]}', "application/json"), ""),
        ((b"a,b,c\n0.5,1,0\n1.5,2,1\n2.5,3,0\n", "text/csv"), "?target=c"),
    ],
)
def test_a_form_can_hold_one_file_of_another_form(client: FlaskClient, file: tuple[bytes, str], query: str) -> None:
    """It is read as if it were the body, with its own media type, and is the same data set as any with that content."""
    first, second = post(client, x=X, y=Y), post(client, query, file=file)
    assert second.status_code == 201
    assert second.get_json()["sha256"] == first.get_json()["sha256"]
    assert second.get_json()["id"] != first.get_json()["id"]


@pytest.mark.parametrize(
    ("files", "status", "pointers"),
    [
        ({}, 422, ["/x", "/y"]),
        ({"x": X}, 422, ["/y"]),
        ({"x": X, "y": Y, "z": Y}, 422, ["/z"]),
        ({"x": "[[1, 2]]", "y": Y}, 422, ["/x"]),
        ({"x": (b"PK", "application/zip"), "y": Y}, 422, ["/x"]),
        ({"x": np.array([[1.0], [np.nan]]), "y": Y}, 422, ["/x/1/0", "/y"]),
        ({"x": X, "y": Y, "file": (b"{}", "application/json")}, 422, ["/file"]),
        ({"file": (b"{}", "application/json"), "y": Y}, 422, ["/y"]),
        ({"file": (b"{}", "application/json")}, 422, ["/x", "/y"]),
        ({"file": (b"{", "application/json")}, 400, [""]),
        ({"file": (b"text", "text/html")}, 415, None),
        ({"file": (npy(X), "application/x-npy")}, 422, [""]),
        ({"x": np.ones((1000, 2)), "y": Y}, 413, None),
        ({"file": (bytes(5001), "text/csv")}, 413, None),
    ],
)
def test_forms_that_are_refused_say_why_and_leave_nothing(
    client: FlaskClient, tmp_path: Path, files: dict[str, Any], status: int, pointers: list[str] | None
) -> None:
    """Every part that is wrong is named by its pointer."""
    answer = post(client, **files)
    assert answer.status_code == status
    faults = answer.get_json().get("errors")
    assert (None if faults is None else [fault["pointer"] for fault in faults]) == pointers
    assert stored(tmp_path) == [0, 0]


@pytest.mark.parametrize("content_type", ["multipart/form-data", "multipart/form-data; boundary=other"])
def test_a_form_that_cannot_be_read_is_malformed(client: FlaskClient, tmp_path: Path, content_type: str) -> None:
    """Without its boundary, or with none in it."""
    answer = client.post("/v1/datasets", data=b"--line\r\n", content_type=content_type)
    assert answer.status_code == 400
    assert "boundary" in answer.get_json()["detail"]
    assert stored(tmp_path) == [0, 0]


def test_one_array_alone_is_told_how_to_come(client: FlaskClient, tmp_path: Path) -> None:
    """A .npy body cannot say which part it is."""
    answer = client.post("/v1/datasets", data=npy(X), content_type="application/x-npy")
    assert answer.status_code == 422
    assert "-F x=@x.npy -F y=@y.npy" in answer.get_json()["detail"]
    assert stored(tmp_path) == [0, 0]


class FullDisk(io.FileIO):
    """A file on a disk that has room for 1,000 bytes."""

    def write(self, content: Any, /) -> int:
        if self.tell() + memoryview(content).nbytes > 1_000:
            raise OSError(errno.ENOSPC, "No space left on device")
        return super().write(content)


@pytest.mark.parametrize(
    "files",
    [
        {"x": np.arange(200) / 3, "y": np.arange(200)},
        {"x": np.asfortranarray(np.arange(200).reshape(100, 2) / 3), "y": np.arange(100)},
        {"file": (npz(x=np.arange(200) / 3, y=np.arange(200)), "application/x-npz")},
    ],
)
def test_a_full_disk_leaves_what_was_there(
    client: FlaskClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, files: dict[str, Any]
) -> None:
    """A file that finds no more room ends the upload with a 507, and nothing of it is left."""
    before = post(client, x=X, y=Y).headers["Location"]
    original = Path.open

    def limited(path: Path, mode: str = "r", *given: Any, **named: Any) -> Any:
        return original(path, mode, *given, **named) if "r" in mode else FullDisk(path, mode)

    with monkeypatch.context() as full:
        full.setattr(Path, "open", limited)
        answer = post(client, **files)
    assert (answer.status_code, answer.get_json()["type"]) == (507, "urn:kerasd:problem:storage-full")
    assert stored(tmp_path) == [0, 1]
    assert client.get(f"{before}/rows").get_json() == {"x": X.tolist(), "y": Y.tolist()}


def test_a_disk_that_is_full_at_the_end_leaves_what_was_there(
    client: FlaskClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Some file systems find out only when the bytes must be on the disk."""

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as disk:
        disk.setattr("os.fsync", full)
        assert post(client, x=X, y=Y).status_code == 507
    assert stored(tmp_path) == [0, 0]
    assert post(client, x=X, y=Y).status_code == 201
