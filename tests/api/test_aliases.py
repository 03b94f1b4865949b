"""The routes of aliases, and predictions by them."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from service.app import create_app
from service.config import Settings
from service.errors import NotFound
from service.inference.predictor import Predictor
from service.registry.aliases import ANY, Aliases, Seen
from service.registry.claims import Claims
from service.registry.database import Database
from service.registry.datasets import Datasets
from service.registry.job import Job, NewJob
from service.registry.jobs import Jobs
from service.registry.migrate import upgrade
from service.registry.models import Models, NewVersion
from tests.registry.conftest import LEASE, NOON, REQUEST, a_dataset, a_version

URL = "/v1/models/xor/aliases/stable"


@pytest.fixture
def database(tmp_path: Path) -> Database:
    """The database of a service whose model `xor` has three versions."""
    url = Settings(data=tmp_path).database
    upgrade(url)
    database = Database(url)
    dataset = a_dataset()
    Datasets(database).add(dataset)
    for _ in range(3):
        Jobs(database).submit(NewJob(model="xor", request=REQUEST, dataset=dataset.id), NOON)
        job = Claims(database).claim("here:sup_1", LEASE, NOON)
        assert job is not None
        assert Claims(database).succeed(job.id, job.attempt, servable(job), NOON) is not None
    return database


def servable(job: Job) -> NewVersion:
    """A version of two numbers in, one out."""
    x, y = ({"name": name, "shape": [size], "dtype": "float32"} for name, size in (("x", 2), ("y", 1)))
    return replace(a_version(job), inputs=[x], outputs=[y])


BODY = {"instances": [[0.5, 1.5]]}


@pytest.fixture
def client(tmp_path: Path, database: Database) -> Iterator[FlaskClient]:
    app = create_app(Settings(data=tmp_path), lambda: datetime(2026, 1, 1, tzinfo=UTC))
    with app.test_client() as client:
        yield client


def put(client: FlaskClient, version: Any, **headers: str) -> TestResponse:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return client.put(URL, json={"version": version}, headers=named)


def test_an_alias_is_made_looked_at_moved_and_deleted(client: FlaskClient) -> None:
    """Its ETag is its revision, and leads from one state to the next."""
    made = put(client, 1)
    assert made.status_code == 200
    shown = client.get(URL)
    assert shown.get_json() == made.get_json()
    assert shown.headers["ETag"] == made.headers["ETag"] == f'"{made.get_json()["revision"]}"'
    assert shown.get_json() | {"revision": ""} == {
        "model": "xor",
        "name": "stable",
        "version": 1,
        "previous_version": None,
        "revision": "",
        "updated_at": "2026-01-01T00:00:00+00:00",
    }
    moved = put(client, 2, If_Match=f'"other", {made.headers["ETag"]}')
    assert (moved.get_json()["version"], moved.get_json()["previous_version"]) == (2, 1)
    assert [one["name"] for one in client.get("/v1/models/xor/aliases").get_json()["items"]] == ["stable"]
    assert client.delete(URL, headers={"If-Match": made.headers["ETag"]}).status_code == 412
    assert client.delete(URL, headers={"If-Match": moved.headers["ETag"]}).status_code == 204
    assert client.get(URL).status_code == 404


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 428),
        ({"If_Match": '"rev_of_another_day"'}, 412),
        ({"If_Match": ""}, 412),
        ({"If_None_Match": "*"}, 412),
        ({"If_Match": "*"}, 200),
    ],
)
def test_who_has_not_seen_it_does_not_move_it(client: FlaskClient, headers: dict[str, str], status: int) -> None:
    """The answer is a problem that names the present version and its ETag."""
    tag = put(client, 1).headers["ETag"]
    answer = put(client, 2, **headers)
    assert answer.status_code == status, answer.text
    if status != 200:
        assert answer.content_type == "application/problem+json"
        assert tag in answer.get_json()["detail"]
        assert client.get(URL).get_json()["version"] == 1


def test_a_weak_etag_matches_nothing(client: FlaskClient) -> None:
    """Something between may have changed the answer; to overwrite, a client needs the very one."""
    tag = put(client, 1).headers["ETag"]
    assert put(client, 2, If_Match=f"W/{tag}").status_code == 412


@pytest.mark.parametrize("name", ["latest", "1", "1st", "a.b", "a b", "-a", "a" * 65, "é"])
def test_names_that_no_alias_can_have(client: FlaskClient, name: str) -> None:
    """Nothing that could be taken for a number, and not the word for the newest version."""
    answer = client.put(f"/v1/models/xor/aliases/{name}", json={"version": 1})
    assert answer.status_code == 422
    assert "letter" in answer.get_json()["detail"]


@pytest.mark.parametrize("version", [0, -1, 1.5, "1", None, 9, 10**20, True])
def test_where_no_alias_can_point(client: FlaskClient, version: Any) -> None:
    """The fault is at the field, and there is no alias then."""
    answer = put(client, version)
    assert answer.status_code == 422
    assert [fault["pointer"] for fault in answer.get_json()["errors"]] == ["/version"]
    assert client.get(URL).status_code == 404


def test_a_deletion_of_what_an_alias_needs_is_refused(client: FlaskClient) -> None:
    """The sentence names the alias."""
    put(client, 1)
    answer = client.delete("/v1/models/xor/versions/1")
    assert answer.status_code == 409
    assert "stable" in answer.get_json()["detail"]
    assert client.delete("/v1/models/xor/versions/2").status_code == 204


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The ids of the versions that were asked to predict; each answers with 7."""
    ids: list[str] = []

    def predict(self: Predictor, version: Any, signature: Any, arrays: Any) -> Any:
        ids.append(version.id)
        return {spec.name: np.full((1, *spec.shape), 7.0, "float32") for spec in signature.outputs}

    monkeypatch.setattr(Predictor, "predict", predict)
    return ids


@pytest.mark.parametrize(
    ("query", "number"), [("", 3), ("?version=latest", 3), ("?version=2", 2), ("?version=stable", 1)]
)
def test_a_prediction_names_its_version(
    client: FlaskClient, database: Database, asked: list[str], query: str, number: int
) -> None:
    """By number, by an alias, or the newest; the answer says which it was."""
    models = Models(database)
    put(client, 1)
    answer = client.post(f"/v1/models/xor/predict{query}", json=BODY)
    assert answer.get_json()["version"] == number, answer.text
    assert asked == [models.version("xor", number).id]


@pytest.mark.parametrize(
    ("query", "status"),
    [("9", 404), ("canary", 404), ("", 422), ("1.5", 422), ("-1", 422), ("9" * 19, 422), ("a b", 422)],
)
def test_versions_that_there_are_not(client: FlaskClient, query: str, status: int) -> None:
    """What cannot be a version is told from what is none."""
    answer = client.post(f"/v1/models/xor/predict?version={query}", json=BODY)
    assert answer.status_code == status, answer.text


def deletes_first(predict: Callable[..., Any], done: Callable[[], object]) -> Callable[..., Any]:
    """A predictor that finds the first version that it is asked for deleted."""
    asked: list[str] = []

    def call(self: Predictor, version: Any, signature: Any, arrays: Any) -> Any:
        asked.append(version.id)
        if len(asked) == 1:
            done()
            raise NotFound("The version has just been deleted.")
        return predict(self, version, signature, arrays)

    return call


def test_a_request_by_alias_outlives_a_deletion(
    client: FlaskClient, database: Database, asked: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The alias moves and the old version is deleted between finding and loading it: the new one answers."""
    models = Models(database)
    put(client, 1)

    def move() -> None:
        Aliases(database).put("xor", "stable", 2, Seen(revisions=[ANY]), NOON)
        models.delete_version("xor", 1)

    monkeypatch.setattr(Predictor, "predict", deletes_first(Predictor.predict, move))
    answer = client.post("/v1/models/xor/predict?version=stable", json=BODY)
    assert (answer.status_code, answer.get_json()["version"]) == (200, 2)


def test_a_request_by_number_is_told_of_a_deletion(
    client: FlaskClient, database: Database, asked: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """There is no other version that it could mean."""
    models = Models(database)
    monkeypatch.setattr(Predictor, "predict", deletes_first(Predictor.predict, lambda: models.delete_version("xor", 2)))
    answer = client.post("/v1/models/xor/predict?version=2", json=BODY)
    assert answer.status_code == 404
    assert asked == []
