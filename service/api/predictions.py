"""`/v1/models/{name}/predict`: answers from a trained model."""

import re
from typing import Any

from flask import Blueprint, Response, request

from service.api.exchange import Answers, Arrays, Headers, Reply, respond
from service.api.meaning import by_row
from service.api.media import ANSWERS, JSON_HEADERS, UPLOADS, Body, accepted, read_request, write
from service.api.operation import Operation, dump, operation
from service.api.packing import pack
from service.api.versions import Served, Versions
from service.errors import (
    Invalid,
    MalformedRequest,
    NotAcceptable,
    NotFound,
    TooLarge,
    Unavailable,
    UnsupportedMediaType,
)
from service.inference.finite import require_finite
from service.inference.predictions import Predictions
from service.schemas import models as schema
from service.schemas.models import LATEST

#: This protocol's name among the counts.
PROTOCOL = "native"
EXAMPLE = {"instances": [[0, 1], [1, 1]]}
RAISES = (MalformedRequest, NotFound, NotAcceptable, Invalid, TooLarge, UnsupportedMediaType, Unavailable)
HEADERS = {
    "Accept": "What the answer is to be: JSON if nothing else is named.",
    "Content-Encoding": "`gzip` or `deflate`, where the body is packed so.",
}
ANSWER_HEADERS = {
    "X-Model-Version": "The number of the version that has answered.",
    "X-Weights-SHA256": "The hash of its weights.",
    "Server-Timing": "How many milliseconds it took to read the body, to infer, and to write the answer.",
}

_PATH = re.compile(r"/v1/models/([^/:]+)(?:/versions/([0-9]{1,18}))?/predict")
_QUERY = re.compile(rb"version=([A-Za-z0-9_-]{1,64})")
_UTF8 = (b"utf-8", b"UTF-8")
#: How clients most often say that they send JSON, and that they take it; other words are Flask's to understand.
_SENDS_JSON = frozenset(
    (
        b"application/json",
        *(b"application/json;%bcharset=%b" % (space, name) for space in (b"", b" ") for name in _UTF8),
    )
)
_TAKES_JSON = frozenset((b"*/*", b"application/json", b"application/json, */*", b"application/json, text/plain, */*"))
_ANYTHING = b"*/*"


def blueprint(versions: Versions, predictions: Predictions, max_body_bytes: int) -> Blueprint:
    """The routes of predictions."""
    routes = Blueprint("predictions", __name__, url_prefix="/v1/models")
    answers = Answers(predictions, PROTOCOL)

    def packed(reply: Reply) -> Response:
        return respond(pack(reply, request.headers.get("Accept-Encoding")))

    @routes.post("/<name>/predict")
    @operation(
        Operation(
            summary="Predict",
            answer=schema.Prediction,
            query=schema.PredictQuery,
            body=schema.PredictRequest,
            uploads=UPLOADS,
            example=EXAMPLE,
            headers=HEADERS,
            also_answers=ANSWERS,
            answer_headers=ANSWER_HEADERS,
            raises=RAISES,
        )
    )
    def predict(name: str, query: dict[str, Any]) -> Response:
        """One prediction for each row, in their order, by the newest version or the one that is asked for.

        A version that was trained on a table takes records, as they were before anything was made of them, and answers
        with labels and their probabilities, or quantities; its `example` is such a record. `.npy` and `.npz` carry the
        network's own numbers in both directions.
        """
        body = read_request(max_body_bytes)
        return packed(versions.use(name, query["version"], lambda served: _answer(served, body, query["nan"], answers)))

    @routes.post("/<name>/versions/<int:number>/predict")
    @operation(
        Operation(
            summary="Predict with a given version",
            answer=schema.Prediction,
            query=schema.AnswerQuery,
            body=schema.PredictRequest,
            uploads=UPLOADS,
            example=EXAMPLE,
            headers=HEADERS,
            also_answers=ANSWERS,
            answer_headers=ANSWER_HEADERS,
            raises=RAISES,
        )
    )
    def predict_with_version(name: str, number: int, query: dict[str, Any]) -> Response:
        """One prediction for each row, in their order."""
        body = read_request(max_body_bytes)
        return packed(_answer(versions.find(name, str(number)), body, query["nan"], answers))

    return routes


def _answer(served: Served, body: Body, nan: str, answers: Answers) -> Reply:
    media_type = accepted(served.signature)

    def write_checked(outputs: Arrays) -> Reply:
        if nan == "error":
            require_finite(outputs, served.signature)
        return write(media_type, outputs, served, body.columnar, _about(served))

    return answers.reply(served, lambda: body.read(served), write_checked)


class PlainPredictions:
    """The hot route of native predictions: plain JSON in and JSON out."""

    def __init__(self, predictions: Predictions) -> None:
        self._answers = Answers(predictions, PROTOCOL)

    def match(self, path: str, query: bytes) -> tuple[str, str] | None:
        found = _PATH.fullmatch(path)
        if found is None:
            return None
        name, number = found.groups()
        if not query:
            return name, number or LATEST
        asked = _QUERY.fullmatch(query)
        return None if asked is None or number is not None else (name, asked[1].decode())

    def answer(self, served: Served, headers: Headers, content: bytes) -> Reply | None:
        if headers.get(b"content-type") not in _SENDS_JSON or b"content-encoding" in headers:
            return None
        if headers.get(b"accept", _ANYTHING) not in _TAKES_JSON:
            return None
        reply = self._answers.reply_to_plain(served, content, lambda outputs: _plain(served, outputs))
        return None if reply is None else pack(reply, headers.get(b"accept-encoding"))


def _plain(served: Served, outputs: Arrays) -> Reply:
    """What `write` makes of JSON by rows, put together from what is the same in all of a version's answers."""
    return Reply(b'{"predictions":%b%b' % (dump(by_row(served, outputs)), served.tail), JSON_HEADERS)


def _about(served: Served) -> dict[str, Any]:
    return {"model": served.version.model, "version": served.version.number}
