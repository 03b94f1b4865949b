"""The committed contract is what the code says, and it is valid OpenAPI."""

from pathlib import Path

import pytest
import yaml
from openapi_spec_validator import validate

from service.app import create_app, openapi_yaml
from service.config import Settings

ROOT = Path(__file__).parent.parent


@pytest.fixture
def document(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The contract that this code generates."""
    monkeypatch.setenv("KERASD_DATA", str(tmp_path))
    return openapi_yaml()


def test_the_committed_file_does_not_drift(document: str) -> None:
    """openapi.yaml equals what the code generates; `make openapi` writes it anew."""
    assert (ROOT / "openapi.yaml").read_text() == document


def test_it_is_valid_openapi(document: str) -> None:
    """The document follows OpenAPI 3.1."""
    validate(yaml.safe_load(document))


def test_every_operation_is_described(document: str) -> None:
    """Each operation has a summary and its answers, and each one that takes JSON an example."""
    for path, operations in yaml.safe_load(document)["paths"].items():
        for method, operation in operations.items():
            if method == "parameters":
                continue
            assert operation["summary"], path
            assert operation["responses"], path
            content = operation.get("requestBody", {"content": {}})["content"]
            assert "example" in content.get("application/json", {"example": None}), path


def test_docs_work_offline(tmp_path: Path) -> None:
    """The documentation page and all that it loads come from this server."""
    client = create_app(Settings(data=tmp_path)).test_client()
    with client.get("/docs/") as page:
        assert page.status_code == 200
        assert b"//cdn" not in page.data
    with client.get("/docs/swagger-ui-bundle.js") as script:
        assert script.status_code == 200
    assert client.get("/openapi.json").get_json()["openapi"] == "3.1.0"
