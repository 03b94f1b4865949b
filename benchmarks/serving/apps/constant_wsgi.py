"""A constant from bare WSGI."""

from collections.abc import Callable, Iterable
from typing import Any

from benchmarks.serving.apps.network import constant

ANSWER = constant()
HEADERS = [("Content-Type", "application/json"), ("Content-Length", str(len(ANSWER)))]


def app(environ: dict[str, Any], start_response: Callable[[str, list[tuple[str, str]]], Any]) -> Iterable[bytes]:
    # What is not read would be taken for the next request.
    environ["wsgi.input"].read()
    start_response("200 OK", HEADERS)
    return [ANSWER]
