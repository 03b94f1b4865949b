"""The routes of data sets."""

from collections.abc import Iterator
from pathlib import Path

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
