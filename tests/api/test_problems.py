"""Every error there is leaves as a problem."""

from collections.abc import Iterator

import pytest
from flask import Flask, abort
from flask.testing import FlaskClient

from service import errors
from service.api import problems
from service.errors import Fault, KerasdError


def every_error(root: type[KerasdError]) -> Iterator[type[KerasdError]]:
    """All classes below `root`, however deep."""
    for error in root.__subclasses__():
        yield error
        yield from every_error(error)


@pytest.fixture
def app() -> Flask:
    """An application with nothing but the problems."""
    made = Flask(__name__)
    problems.register(made)
    return made


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    return app.test_client()


@pytest.mark.parametrize("error", list(every_error(KerasdError)), ids=lambda error: error.__name__)
def test_each_error_has_its_status_title_and_faults(app: Flask, client: FlaskClient, error: type[KerasdError]) -> None:
    """Status and title come from the class, detail, faults and Retry-After from what was raised."""

    @app.get("/")
    def fail() -> str:
        raise error("What came, what was expected.", [Fault(pointer="/a", detail="b")], retry_after=3)

    answer = client.get("/")
    assert answer.status_code == error.status
    assert answer.content_type == problems.MEDIA_TYPE
    assert answer.headers["Retry-After"] == "3"
    assert answer.get_json() == {
        "type": f"urn:kerasd:problem:{error.slug}",
        "title": error("").title,
        "status": int(error.status),
        "detail": "What came, what was expected.",
        "request_id": "",
        "errors": [{"pointer": "/a", "detail": "b"}],
    }


def test_titles_and_slugs_are_told_apart() -> None:
    """No two errors share a slug, and each has a title of its own."""
    found = list(every_error(errors.KerasdError))
    assert len({error.slug for error in found}) == len(found)
    assert len({error("").title for error in found}) == len(found)


def test_an_unforeseen_error_tells_nothing(app: Flask, client: FlaskClient) -> None:
    """It is a 500 without the exception's text."""

    @app.get("/")
    def fail() -> str:
        raise RuntimeError("secret")

    answer = client.get("/")
    assert answer.status_code == 500
    assert "secret" not in answer.text
    assert answer.get_json()["type"] == "urn:kerasd:problem:internal"


@pytest.mark.parametrize("status", [400, 401, 403, 408, 410, 429, 501])
def test_other_http_errors_keep_their_status(app: Flask, client: FlaskClient, status: int) -> None:
    """What Werkzeug raises becomes a problem of the same status."""

    @app.get("/")
    def fail() -> str:
        abort(status)

    answer = client.get("/")
    assert (answer.status_code, answer.get_json()["status"]) == (status, status)
