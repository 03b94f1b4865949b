"""MLflow's scoring protocol: each form of a body, its errors, and the model that a setting names."""

import json
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from service.app import create_app
from service.config import Settings
from service.registry.aliases import Aliases, Seen
from service.registry.database import Database
from tests.api.served import LOG, PAIR, served
from tests.registry.conftest import NOON


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Data of a service with models; `log@stable` is its first version."""
    made = tmp_path_factory.mktemp("served")
    served(made)
    Aliases(Database(Settings(data=made).database)).put(LOG, "stable", 1, Seen(nothing=True), NOON)
    return made


def asking(folder: Path, target: str) -> FlaskClient:
    return create_app(Settings(data=folder, invocations_model=target)).test_client()


@pytest.fixture(scope="module")
def log(folder: Path) -> FlaskClient:
    return asking(folder, LOG)


@pytest.fixture(scope="module")
def pair(folder: Path) -> FlaskClient:
    return asking(folder, PAIR)


def refused(answer: TestResponse, status: int, code: str = "BAD_REQUEST") -> str:
    """The message of an error that must be one."""
    assert answer.status_code == status, answer.text
    assert answer.mimetype == "application/json"
    body = dict(answer.get_json())
    assert body.keys() == {"error_code", "message"}
    assert body["error_code"] == code
    return str(body["message"])


@pytest.mark.parametrize("path", ["/ping", "/health"])
def test_it_says_that_it_lives(log: FlaskClient, path: str) -> None:
    """With an empty line, as MLflow does; the paths below /health are others."""
    answer = log.get(path)
    assert (answer.status_code, answer.text) == (200, "\n")
    assert log.get("/health/live").get_json() == {"status": "live"}


def test_it_says_its_version(log: FlaskClient) -> None:
    """As bare text."""
    assert log.get("/version").text[0].isdecimal()


@pytest.mark.parametrize(
    "body",
    [
        {"dataframe_split": {"columns": ["c", "d"], "index": [0, 1], "data": [[1, 1], [1, 1]]}},
        {"dataframe_split": {"columns": ["x"], "data": [[[1, 1]], [[1, 1]]]}},
        {"dataframe_records": [{"c": 1, "d": 1}, {"c": 1, "d": 1}]},
        {"instances": [[1, 1], [1, 1]]},
        {"instances": [{"x": [1, 1]}, {"x": [1, 1]}]},
        {"inputs": [[1, 1], [1, 1]]},
        {"inputs": {"x": [[1, 1], [1, 1]]}, "params": {}},
    ],
)
def test_each_form_is_read(log: FlaskClient, body: Any) -> None:
    """With the same answer."""
    answer = log.post("/invocations", json=body)
    assert answer.get_json() == {"predictions": [[0.0, 0.0], [0.0, 0.0]]}


def test_csv_is_read(log: FlaskClient) -> None:
    """As pandas writes it without its index."""
    for content_type in ("text/csv", "text/csv; charset=utf-8"):
        answer = log.post("/invocations", data="c,d\n1,1\n", content_type=content_type)
        assert answer.get_json() == {"predictions": [[0.0, 0.0]]}


def test_several_inputs_are_columns(pair: FlaskClient) -> None:
    """By name in each form; the predictions are objects by output."""
    due = {"predictions": [{"sum": [3.0], "product": [2.0]}]}
    for body in (
        {"dataframe_split": {"columns": ["b", "a"], "data": [[2, 1]]}},
        {"dataframe_records": [{"b": 2, "a": 1}]},
        {"instances": [{"a": 1, "b": 2}]},
        {"inputs": {"a": [1], "b": [2]}},
    ):
        assert pair.post("/invocations", json=body).get_json() == due


def test_what_is_not_finite_is_null(log: FlaskClient) -> None:
    """As by every other route."""
    assert log.post("/invocations", json={"inputs": [[0, -1]]}).get_json() == {"predictions": [[None, None]]}


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"{", "not JSON"),
        (b"[[1, 1]]", "exactly one of 'dataframe_split'"),
        (b"{}", "it has nothing"),
        (b'{"columns": [], "data": []}', "it has 'columns', 'data'"),
        (b'{"instances": [[1, 1]], "inputs": [[1, 1]]}', "it has 'instances', 'inputs'"),
        (b'{"inputs": [[1, 1]], "params": {"temperature": 1}}', "a network takes none"),
        (b'{"inputs": [[1, null]]}', "/inputs/0/1"),
        (b'{"dataframe_split": {"columns": ["a"], "data": [[1]]}}', "or 2 columns of one number each"),
        (b'{"dataframe_records": [{"c": 1, "d": "no"}]}', "/dataframe_records/0/d"),
    ],
)
def test_bad_bodies_are_told(log: FlaskClient, body: bytes, words: str) -> None:
    """In MLflow's form of errors."""
    assert words in refused(log.post("/invocations", data=body, content_type="application/json"), 400)


@pytest.mark.parametrize("content_type", ["", "text/plain", "text/csv; charset=latin-1", "application/x-npy"])
def test_other_types_are_415(log: FlaskClient, content_type: str) -> None:
    """JSON and CSV in UTF-8 are known."""
    answer = log.post("/invocations", data=b"x", headers={"Content-Type": content_type} if content_type else {})
    assert refused(answer, 415)


@pytest.mark.parametrize(
    ("target", "status"), [(LOG, 200), (f"{LOG}@stable", 200), (f"{LOG}/2", 200), (f"{LOG}/3", 404), ("nobody", 404)]
)
def test_the_setting_names_the_model(folder: Path, target: str, status: int) -> None:
    """By itself, with an alias, or with a version's number."""
    answer = asking(folder, target).post("/invocations", json={"inputs": [[1, 1]]})
    assert answer.status_code == status
    if status == 404:
        refused(answer, 404, "RESOURCE_DOES_NOT_EXIST")


def test_without_the_setting_there_is_none(folder: Path) -> None:
    """The error names the setting."""
    message = refused(asking(folder, "").post("/invocations", json={}), 404, "RESOURCE_DOES_NOT_EXIST")
    assert "KERASD_INVOCATIONS_MODEL" in message


def test_a_body_that_is_too_large_is_told(folder: Path) -> None:
    """As an error of this protocol too."""
    app = create_app(Settings(data=folder, invocations_model=LOG, max_body_bytes=100))
    answer = app.test_client().post("/invocations", data=json.dumps({"inputs": [[1, 1]] * 99}))
    assert "larger than the 100 bytes" in refused(answer, 413)
