"""Whatever is sent, the answers keep to the contract."""

from pathlib import Path

import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.end_to_end.conftest import Service

schema = schemathesis.openapi.from_path(Path(__file__).parent.parent.parent / "openapi.yaml")


@schemathesis.serializer(
    "application/x-npy",
    "application/x-npz",
    "application/x-ndjson",
    "application/vnd.apache.parquet",
    "application/vnd.apache.arrow.stream",
    "application/vnd.apache.arrow.file",
    "application/vnd.keras",
    "application/x-keras",
    "application/zip",
)
def as_bytes(context: object, value: object) -> bytes:
    """Generated text, sent as if it were a file."""
    return str(value).encode(errors="replace")


CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]


@schema.parametrize()
@settings(max_examples=10, deadline=None, suppress_health_check=list(HealthCheck))
def test_answers_keep_to_openapi_yaml(case: schemathesis.Case, service: Service) -> None:
    """Generated requests, right and wrong, get only documented statuses, types and shapes, and never a 500."""
    response = case.call(base_url=service.url)
    case.validate_response(response, checks=CHECKS)
