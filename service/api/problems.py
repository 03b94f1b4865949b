"""Turns every exception into a problem (RFC 9457); no view catches anything.

KerasdError     its own status and sentence
HTTPException   its own response (a 405 keeps its Allow header), with our body
anything else   500, logged with its trace under the request's id; nothing of it leaves
"""

from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import orjson
import structlog
from flask import Blueprint, Flask, Response, g, request
from werkzeug.exceptions import HTTPException, RequestEntityTooLarge

from service.api.operation import JSON, json_response
from service.api.packing import too_large
from service.errors import Fault, Invalid, KerasdError, Unavailable

log = structlog.get_logger()
MEDIA_TYPE = "application/problem+json"


def register(app: Flask) -> None:
    """Make `app` answer every error with a problem."""
    app.register_error_handler(KerasdError, _kerasd_error)
    app.register_error_handler(HTTPException, _http_exception)
    app.register_error_handler(Exception, _unexpected)


def _sentence(error: KerasdError) -> dict[str, Any]:
    return {"error": error.detail}


def register_plain(
    routes: Blueprint, limit_bytes: int, form: Callable[[KerasdError], dict[str, Any]] = _sentence
) -> None:
    """Make some routes answer with `{"error": "..."}`, or another form, as clients of other servers expect it.

    They know one status for all that is wrong in a request, 400.
    """

    def plain(error: KerasdError) -> Response:
        status = HTTPStatus.BAD_REQUEST if isinstance(error, Invalid) else error.status
        headers = {} if error.retry_after is None else {"Retry-After": str(error.retry_after)}
        return json_response(form(error), status, headers)

    routes.register_error_handler(KerasdError, plain)
    routes.register_error_handler(RequestEntityTooLarge, lambda error: plain(too_large(limit_bytes)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """An answer to a request that was not even looked at."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes


def overloaded(path: str, waiting: int, request_id: str) -> Refusal:
    """What a client of `path` is told where too many requests wait already."""
    error = Unavailable(
        f"{waiting} requests are being answered or wait for it, which is all that this server takes at once. Repeat "
        "the request in a second, and ask for more rows at once rather than in more requests at once."
    )
    plain = path.startswith("/v2/") or ":" in path
    value = (
        {"error": error.detail} if plain else _problem(error.status, error.slug, error.title, error.detail, request_id)
    )
    body = orjson.dumps(value)
    headers = {
        "Content-Type": JSON if plain else MEDIA_TYPE,
        "Content-Length": str(len(body)),
        "Retry-After": "1",
        "X-Request-Id": request_id,
    }
    return Refusal(status=error.status, headers=tuple(headers.items()), body=body)


def _kerasd_error(error: KerasdError) -> Response:
    response = Response(status=error.status)
    if error.retry_after is not None:
        response.headers["Retry-After"] = str(error.retry_after)
    return _fill(response, error.slug, error.title, error.detail, error.faults)


def _http_exception(error: HTTPException) -> Response:
    """Begin from the exception's own response, so that its headers stay."""
    response = Response(status=error.code, headers=_own_headers(error))
    status = HTTPStatus(error.code or 500)
    return _fill(response, status.phrase.lower().replace(" ", "-"), status.phrase, _http_detail(error))


def _own_headers(error: HTTPException) -> list[tuple[str, str]]:
    kept = error.get_response().headers
    return [(name, value) for name, value in kept if name.lower() not in {"content-type", "content-length"}]


def _http_detail(error: HTTPException) -> str:
    if error.code == HTTPStatus.NOT_FOUND:
        return f"There is no {request.path} here. The documentation at /docs lists every address."
    if error.code == HTTPStatus.METHOD_NOT_ALLOWED:
        allowed = error.get_response().headers.get("Allow", "")
        return f"{request.path} does not take {request.method}. It takes {allowed}."
    if isinstance(error, RequestEntityTooLarge):
        return (
            f"The body is larger than the {request.max_content_length} bytes that this address takes. Upload large "
            "data as a data set first, and name its id in the job."
        )
    return error.description or "The request could not be served."


def _unexpected(error: Exception) -> Response:
    log.error("request_failed", exc_info=error)
    detail = "The server met an error of its own. Its log has the details under this request's id."
    return _fill(Response(status=500), "internal", "The server failed.", detail)


def _fill(response: Response, slug: str, title: str, detail: str, faults: tuple[Fault, ...] = ()) -> Response:
    problem = _problem(response.status_code, slug, title, detail, g.get("request_id", ""))
    if faults:
        problem["errors"] = [{"pointer": fault.pointer, "detail": fault.detail} for fault in faults]
    response.data = orjson.dumps(problem)
    response.content_type = MEDIA_TYPE
    return response


def _problem(status: int, slug: str, title: str, detail: str, request_id: str) -> dict[str, Any]:
    return {
        "type": f"urn:kerasd:problem:{slug}",
        "title": title,
        "status": status,
        "detail": detail,
        "request_id": request_id,
    }
