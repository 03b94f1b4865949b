"""Joins a view to its contract: what it takes, what it answers, and how OpenAPI describes it.

A view under `@operation` gets `query` and `body` already checked, and returns a plain value or an `Answer`; its answer
leaves through the declared schema. The declaration stays on the view, where `service.api.openapi` finds it.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import wraps
from typing import Any

import orjson
from flask import Response, request
from marshmallow import Schema, ValidationError

from service.errors import Fault, Invalid, KerasdError, MalformedRequest, UnsupportedMediaType

JSON = "application/json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """The contract of one view."""

    summary: str
    answer: type[Schema] | None
    status: int = 200
    query: type[Schema] | None = None
    body: type[Schema] | None = None
    #: Without it, the view gets what the schema makes of {}.
    body_required: bool = True
    #: A body that works; shown in the documentation.
    example: Any = None
    #: The answer, with status 200, where a query asked for a dry run.
    dry_answer: type[Schema] | None = None
    raises: tuple[type[KerasdError], ...] = ()
    #: Media types of bodies with what each is; where there are any, the view reads the body itself, JSON too.
    uploads: Mapping[str, str] = field(default_factory=dict)
    #: The files that a form among these can have, with what each is.
    parts: Mapping[str, str] = field(default_factory=dict)
    #: Headers of the request that the view looks at, with what each says.
    headers: Mapping[str, str] = field(default_factory=dict)
    #: Headers of the answer, with what each says.
    answer_headers: Mapping[str, str] = field(default_factory=dict)
    #: Media types beside JSON in which the answer can come.
    also_answers: tuple[str, ...] = ()
    #: Media types of the file that is the answer; a client that has it already gets a 304.
    downloads: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A view's answer where the declared one needs headers, or another schema or status."""

    value: Any
    headers: Mapping[str, str] = field(default_factory=dict)
    status: int | None = None
    schema: type[Schema] | None = None


def operation(contract: Operation) -> Callable[[Callable[..., Any]], Callable[..., Response]]:
    """Give a view its contract."""

    def decorate(view: Callable[..., Any]) -> Callable[..., Response]:
        @wraps(view)
        def call(**arguments: Any) -> Response:
            if contract.query is not None:
                arguments["query"] = read_query(contract.query)
            if contract.body is not None and not contract.uploads:
                absent = not contract.body_required and not request.get_data()
                arguments["body"] = load(contract.body, {} if absent else read_json())
            return _respond(contract, view(**arguments))

        call.operation = contract  # type: ignore[attr-defined]
        return call

    return decorate


def _respond(contract: Operation, result: Any) -> Response:
    if isinstance(result, Response):
        return result
    answer = result if isinstance(result, Answer) else Answer(value=result)
    schema = answer.schema or contract.answer
    status = answer.status or contract.status
    if schema is None:
        return Response(status=status, headers=dict(answer.headers))
    return json_response(schema().dump(answer.value), status, answer.headers)


def json_response(value: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """A JSON answer."""
    return Response(dumps(value), status=status, headers=dict(headers or {}), content_type=JSON)


def dumps(value: Any) -> bytes:
    """JSON, and a line's end; NaN and the infinities in `value` become null."""
    return orjson.dumps(value, option=orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_APPEND_NEWLINE)


def dump(value: Any) -> bytes:
    """The same without the line's end: a part of JSON."""
    return orjson.dumps(value, option=orjson.OPT_SERIALIZE_NUMPY)


def read_json() -> Any:
    """The request's body as JSON.

    Raises:
        UnsupportedMediaType: it does not say that it is JSON.
        MalformedRequest: it is not.
    """
    if request.mimetype != JSON:
        came = request.mimetype or "no Content-Type"
        raise UnsupportedMediaType(
            f"{came} came, {JSON} was expected. With curl, add -H 'Content-Type: application/json'."
        )
    return parse_json(request.get_data(cache=False))


def parse_json(content: bytes) -> Any:
    """A body as JSON; raises MalformedRequest where it is none."""
    try:
        return orjson.loads(content)
    except orjson.JSONDecodeError as error:
        raise MalformedRequest(
            f"The body is not JSON: {error.msg} at line {error.lineno}, column {error.colno}. "
            "NaN and Infinity are not JSON; leave such rows out."
        ) from error


def parse_lines(content: bytes) -> list[Any]:
    """A body of JSON lines as their values, empty ones passed over; raises MalformedRequest where a line is no JSON."""
    values = []
    for number, line in enumerate(content.split(b"\n"), 1):
        if line.strip():
            try:
                values.append(orjson.loads(line))
            except orjson.JSONDecodeError as error:
                detail = f"Line {number} is not JSON: {error.msg} at column {error.colno}. Send one value a line."
                raise MalformedRequest(detail, [Fault(pointer=f"/{len(values)}", detail=detail)]) from error
    return values


def load(schema: type[Schema], value: Any) -> dict[str, Any]:
    """`value` through `schema`, or every fault that it has."""
    if not isinstance(value, dict):
        raise Invalid("The body should be a JSON object.", [Fault(pointer="", detail="Expected an object, {...}.")])
    try:
        return dict(schema().load(value))
    except ValidationError as error:
        faults = list(_faults(error.messages, ""))
        raise Invalid(f"{len(faults)} of the body's fields are not valid: see errors.", faults) from error


def read_query(schema: type[Schema]) -> dict[str, Any]:
    """The query string through `schema`; a name given several times is a list where the schema has one."""
    lists = {name for name, of in schema().fields.items() if type(of).__name__ == "List"}
    given = {name: values if name in lists else values[-1] for name, values in request.args.lists()}
    try:
        return dict(schema().load(given))
    except ValidationError as error:
        faults = list(_faults(error.messages, ""))
        named = "; ".join(f"{fault.pointer[1:]}: {fault.detail}" for fault in faults)
        raise Invalid(f"The query string is not valid. {named}", faults) from error


def _faults(messages: Any, pointer: str) -> list[Fault]:
    """marshmallow's tree of messages as JSON Pointers."""
    if isinstance(messages, Mapping):
        return [
            fault
            for key, below in messages.items()
            for fault in _faults(below, pointer if key == "_schema" else f"{pointer}/{_escape(str(key))}")
        ]
    return [Fault(pointer=pointer, detail=str(message)) for message in messages]


def _escape(token: str) -> str:
    return token.replace("~", "~0").replace("/", "~1")
