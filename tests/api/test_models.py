"""The routes of models, on a service without a supervisor."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from flask.testing import FlaskClient

from service.app import create_app
from service.config import Settings
from service.registry.database import Database
from service.registry.migrate import upgrade
from service.registry.models import Models
from tests.registry.conftest import NOON, an_import


@pytest.fixture
def client(tmp_path: Path) -> Iterator[FlaskClient]:
    """A client of a service that takes bodies of 1 000 bytes, and uploads of 5 000."""
    settings = Settings(data=tmp_path, max_body_bytes=1_000, max_upload_bytes=5_000)
    upgrade(settings.database)
    with create_app(settings).test_client() as client:
        yield client


@pytest.mark.parametrize(("size", "status"), [(500, 503), (5_000, 503), (5_001, 413)])
def test_an_import_has_the_limit_of_uploads(client: FlaskClient, tmp_path: Path, size: int, status: int) -> None:
    """What is not too large waits for a process that is not there; nothing stays behind."""
    answer = client.post("/v1/models/m/versions", data=bytes(size), content_type="application/zip")
    assert (answer.status_code, "Retry-After" in answer.headers) == (status, status == 503)
    assert list((tmp_path / "incoming").iterdir()) == []


@pytest.mark.parametrize("name", ["1m", "a.b", "a" * 65, "a%0A"])
def test_an_import_is_called_as_a_job_may_call_its_model(client: FlaskClient, name: str) -> None:
    """The rule is told."""
    answer = client.post(f"/v1/models/{name}/versions", data=b"", content_type="application/zip")
    assert (answer.status_code, "begins with a letter" in answer.get_json()["detail"]) == (422, True)


@pytest.mark.parametrize("media_type", ["", "application/json", "text/html"])
def test_an_import_says_what_it_is(client: FlaskClient, media_type: str) -> None:
    """Other media types are refused, with those that are known."""
    answer = client.post("/v1/models/m/versions", data=b"PK", content_type=media_type)
    assert (answer.status_code, "application/x-keras" in answer.get_json()["detail"]) == (415, True)


def test_an_import_is_shown_without_what_concerns_a_training(client: FlaskClient, tmp_path: Path) -> None:
    """Nothing is made up for it, in the list and on its own."""
    version = an_import()
    Models(Database(Settings(data=tmp_path).database)).add(version, NOON)
    shown = client.get("/v1/models/xor/versions/1").get_json()
    assert shown["imported"] == version.imported
    for name in ("job", "compile", "fit", "seed", "threads", "dataset_sha256", "jit_compile", "initial"):
        assert shown[name] is None
    (listed,) = client.get("/v1/models/xor/versions").get_json()["items"]
    assert {**listed, "model_version_status": shown["model_version_status"]} == shown
