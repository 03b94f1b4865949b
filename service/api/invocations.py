"""MLflow's scoring server, and SageMaker's contract for containers: `/ping` and `/invocations` for one model.

The routes name no model; the setting KERASD_INVOCATIONS_MODEL does. Bodies and errors are those of MLflow's own scoring
server: four forms of JSON and CSV, and `{"error_code": ..., "message": ...}`.
"""

import importlib.metadata
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any, Final

import numpy as np
from flask import Blueprint, Response, request

from service.api.exchange import Answers, Reply, respond
from service.api.meaning import by_row, read_inputs, read_instances
from service.api.media import CSV, JSON_HEADERS
from service.api.operation import JSON, dumps, parse_json
from service.api.packing import pack, read_body
from service.api.problems import register_plain
from service.api.versions import Served, Versions
from service.errors import KerasdError, MalformedRequest, NotFound, UnsupportedMediaType
from service.inference import csv_files, data_frames, record_tables, records
from service.inference.predictions import Predictions
from service.schemas.models import LATEST

Arrays = dict[str, np.ndarray[Any, Any]]

#: This protocol's name among the counts.
PROTOCOL = "mlflow"
_FORMS: Final[dict[str, Callable[[Served, Any], Arrays]]] = {
    "dataframe_split": lambda served, value: _read_split(served, value),
    "dataframe_records": lambda served, value: _read_records(served, value),
    "instances": read_instances,
    "inputs": read_inputs,
}
#: MLflow's names of what can be the matter.
_CODES: Final = {
    HTTPStatus.NOT_FOUND: "RESOURCE_DOES_NOT_EXIST",
    HTTPStatus.SERVICE_UNAVAILABLE: "TEMPORARILY_UNAVAILABLE",
    HTTPStatus.INTERNAL_SERVER_ERROR: "INTERNAL_ERROR",
}


def blueprint(versions: Versions, predictions: Predictions, target: str, max_body_bytes: int) -> Blueprint:
    """The routes; `target` is the model that answers: its name, `name@alias`, `name/number`, or nothing for none."""
    routes = Blueprint("invocations", __name__)
    register_plain(routes, max_body_bytes, _error)
    answers = Answers(predictions, PROTOCOL)

    @routes.get("/ping")
    @routes.get("/health")
    def ping() -> Response:
        """True whenever it can be asked at all."""
        return Response("\n", content_type=JSON)

    @routes.get("/version")
    def version() -> Response:
        """This server's own version; MLflow has no part in it."""
        return Response(importlib.metadata.version("kerasd"), content_type=JSON)

    @routes.post("/invocations")
    def invoke() -> Response:
        """Predictions for the rows of a data frame, or for arrays."""
        name, wanted = _named(target)
        read = _reader(read_body(max_body_bytes))
        reply = versions.use(name, wanted, lambda served: _answer(served, read, answers))
        return respond(pack(reply, request.headers.get("Accept-Encoding")))

    return routes


def _answer(served: Served, read: Callable[[Served], Arrays], answers: Answers) -> Reply:
    def write(outputs: Arrays) -> Reply:
        return Reply(dumps({"predictions": by_row(served, outputs)}), JSON_HEADERS)

    return answers.reply(served, lambda: read(served), write)


def _read_split(served: Served, value: object) -> Arrays:
    if served.preparation is None:
        return data_frames.read_split(value, served.signature)
    return records.read_split(value, served.preparation)


def _read_records(served: Served, value: object) -> Arrays:
    pointer = "/dataframe_records"
    if served.preparation is None:
        return data_frames.read_records(value, served.signature, pointer)
    return records.read_rows(value, served.preparation, pointer)


def _read_csv(served: Served, content: bytes) -> Arrays:
    if served.preparation is None:
        return csv_files.read_csv(content, served.signature)
    return record_tables.read_csv(content, served.preparation)


def _named(target: str) -> tuple[str, str]:
    """The model's name, and which of its versions is meant."""
    if not target:
        raise NotFound(
            "No model is set for /invocations. Start the server with KERASD_INVOCATIONS_MODEL=name, name@alias or "
            "name/number, or ask a model by its name: POST /v1/models/{name}/predict."
        )
    name, _, wanted = target.replace("@", "/").partition("/")
    return name, wanted or LATEST


def _reader(content: bytes) -> Callable[[Served], Arrays]:
    """What makes arrays of the body, by its Content-Type."""
    charset = request.mimetype_params.get("charset", "utf-8").lower()
    if charset != "utf-8":
        raise UnsupportedMediaType(f"The charset {charset[:40]!r} came; only utf-8 is read here.")
    if request.mimetype == CSV:
        return lambda served: _read_csv(served, content)
    if request.mimetype != JSON:
        came = request.mimetype[:80] or "no Content-Type"
        raise UnsupportedMediaType(f"{came} came; {JSON} or {CSV} was expected.")
    form, value = _form(parse_json(content))
    return lambda served: _FORMS[form](served, value)


def _form(body: object) -> tuple[str, Any]:
    """Which of the four forms the JSON has, and what stands there."""
    due = f"exactly one of {', '.join(map(repr, _FORMS))}"
    if not isinstance(body, Mapping):
        raise MalformedRequest(f"The body must be a JSON object with {due}.")
    given = [form for form in _FORMS if form in body]
    if len(given) != 1:
        listed = ", ".join(repr(str(key)[:40]) for key in list(body)[:20]) or "nothing"
        raise MalformedRequest(f"The body must have {due}; it has {listed}.")
    if body.get("params"):
        raise MalformedRequest("'params' came, and a network takes none. Leave them out.")
    return given[0], body[given[0]]


def _error(error: KerasdError) -> dict[str, Any]:
    return {"error_code": _CODES.get(error.status, "BAD_REQUEST"), "message": error.detail}
