"""The OpenAPI 3.1 document, read off the routes and their contracts: no sentence of it is written twice."""

import importlib.metadata
import inspect
import re
from collections.abc import Mapping
from typing import Any

from apispec import APISpec
from apispec.ext.marshmallow import MarshmallowPlugin
from flask import Blueprint, Flask
from werkzeug.routing import Rule

from service.api import problems
from service.api.multipart import FORM
from service.api.operation import JSON, Operation
from service.errors import KerasdError
from service.schemas.problem import Problem

DESCRIPTION = (
    "POST a neural network and its data, get a job, watch it, and predict with the model that it trained. "
    "Every error is a problem (RFC 9457) that names all that is wrong, where it is, and how to mend it."
)
NUMBER = {"type": "integer", "minimum": 0}
_PLACE = re.compile(r"<(?:([^:>]+):)?(\w+)>")
TAGS = {
    "datasets": "Data that jobs train on.",
    "jobs": "Requests to train.",
    "models": "Trained models and their versions.",
    "aliases": "Names for versions, which move without a client noticing.",
    "predictions": "Answers from trained models.",
    "evaluations": "How good trained models are.",
    "exports": "Trained models as files for other programs.",
    "catalog": "All that an architecture, `compile` and `fit` can name.",
    "metrics": "For operators.",
    "health": "For load balancers and containers.",
}


def describe(app: Flask) -> dict[str, Any]:
    """The document for all of the app's routes that have a contract."""
    spec = APISpec(
        title="kerasd",
        version=importlib.metadata.version("kerasd"),
        openapi_version="3.1.0",
        info={"description": DESCRIPTION, "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"}},
        tags=[{"name": name, "description": text} for name, text in TAGS.items()],
        plugins=[MarshmallowPlugin()],
    )
    for rule in sorted(app.url_map.iter_rules(), key=lambda rule: (rule.rule, sorted(rule.methods or ()))):
        contract = getattr(app.view_functions[rule.endpoint], "operation", None)
        if contract is not None:
            method = next(iter((rule.methods or set()) - {"HEAD", "OPTIONS"})).lower()
            operations = {method: _operation(app, rule, contract)}
            spec.path(path=_path(rule), operations=operations, parameters=_path_parameters(rule))
    return spec.to_dict()


def to_yaml(document: dict[str, Any]) -> str:
    """The document as the committed file has it."""
    # Only the command line needs it, and the web processes are to be ready soon.
    import yaml

    return yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=120)


def blueprint(app: Flask) -> Blueprint:
    """`/openapi.json`; `/docs` is a page of its own that reads it."""
    routes = Blueprint("openapi", __name__)
    document = describe(app)

    @routes.get("/openapi.json")
    def get_openapi() -> dict[str, Any]:
        return document

    return routes


def _path(rule: Rule) -> str:
    return _PLACE.sub(r"{\2}", rule.rule)


def _path_parameters(rule: Rule) -> list[dict[str, Any]]:
    return [
        {
            "name": name,
            "in": "path",
            "required": True,
            "schema": NUMBER if converter.startswith("int") else {"type": "string", "minLength": 1},
        }
        for converter, name in _PLACE.findall(rule.rule)
    ]


def _operation(app: Flask, rule: Rule, contract: Operation) -> dict[str, Any]:
    view = app.view_functions[rule.endpoint]
    tag, _, name = rule.endpoint.partition(".")
    described: dict[str, Any] = {
        "operationId": name,
        "summary": contract.summary,
        "description": inspect.getdoc(view) or "",
        "tags": [tag],
        "responses": _responses(contract),
    }
    parameters: list[dict[str, Any]] = [_header(name, text) for name, text in contract.headers.items()]
    if contract.query is not None:
        parameters.insert(0, {"in": "query", "schema": contract.query})
    if parameters:
        described["parameters"] = parameters
    if contract.body is not None or contract.uploads:
        described["requestBody"] = {"required": contract.body_required, "content": _request_content(contract)}
    return described


def _header(name: str, text: str) -> dict[str, Any]:
    return {"name": name, "in": "header", "description": text, "schema": {"type": "string"}}


def _request_content(contract: Operation) -> dict[str, Any]:
    content: dict[str, Any] = {}
    if contract.body is not None:
        content[JSON] = {"schema": contract.body}
    for media_type, text in contract.uploads.items():
        content[media_type] = {"schema": _upload_schema(media_type, text, contract.parts)}
    if JSON in content:
        content[JSON]["example"] = contract.example
    return content


def _upload_schema(media_type: str, text: str, parts: Mapping[str, str]) -> dict[str, Any]:
    if media_type == FORM:
        files = {name: {"type": "string", "format": "binary", "description": part} for name, part in parts.items()}
        return {"type": "object", "properties": files, "description": text}
    if media_type == JSON:
        return {"type": "object", "required": ["x", "y"], "description": text}
    return {"type": "string", "description": text}


def _responses(contract: Operation) -> dict[str, Any]:
    success: dict[str, Any] = {"description": contract.summary}
    if contract.answer is not None:
        success["content"] = {JSON: {"schema": contract.answer}}
    for media_type in contract.also_answers:
        success.setdefault("content", {})[media_type] = {"schema": {"type": "string"}}
    if contract.downloads:
        success["content"] = {media: {"schema": {"type": "string"}} for media in contract.downloads}
    if contract.status in (201, 202):
        success["headers"] = {"Location": {"schema": {"type": "string"}, "description": "Where to look from now on."}}
    if contract.answer_headers:
        success["headers"] = {
            name: {"schema": {"type": "string"}, "description": text} for name, text in contract.answer_headers.items()
        }
    responses = {str(contract.status): success}
    if contract.downloads:
        responses["304"] = {"description": "The client has this file already."}
    if contract.dry_answer is not None:
        responses["200"] = {"description": "Nothing was queued.", "content": {JSON: {"schema": contract.dry_answer}}}
    for error in sorted(contract.raises, key=lambda error: error.status):
        responses[str(int(error.status))] = _problem(error)
    return responses


def _problem(error: type[KerasdError]) -> dict[str, Any]:
    return {"description": error("").title, "content": {problems.MEDIA_TYPE: {"schema": Problem}}}
