"""`/v1/models/{name}/predict`: answers from a trained model."""

from typing import Any

from flask import Blueprint, Response

from service.api.media import ANSWERS, UPLOADS, VERSION_HEADER, Body, accepted, read_request, respond
from service.api.operation import Operation, operation
from service.api.packing import pack
from service.api.versions import find_version, signature_of, with_version
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
from service.registry.models import Models, Version
from service.schemas import models as schema

#: This protocol's name among the counts.
PROTOCOL = "native"
EXAMPLE = {"instances": [[0, 1], [1, 1]]}
RAISES = (MalformedRequest, NotFound, NotAcceptable, Invalid, TooLarge, UnsupportedMediaType, Unavailable)
HEADERS = {
    "Accept": "What the answer is to be: JSON if nothing else is named.",
    "Content-Encoding": "`gzip` or `deflate`, where the body is packed so.",
}
ANSWER_HEADERS = {VERSION_HEADER: "The number of the version that has answered, where that is not in the JSON."}


def blueprint(models: Models, predictions: Predictions, max_body_bytes: int) -> Blueprint:
    """The routes of predictions."""
    routes = Blueprint("predictions", __name__, url_prefix="/v1/models")

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
        """One prediction for each row, in their order, by the newest version or the one that is asked for."""
        body = read_request(max_body_bytes)
        answer = with_version(
            lambda: find_version(models, name, query["version"]),
            lambda version: _answer(version, body, query["nan"], predictions),
        )
        return pack(answer)

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
        return pack(_answer(models.version(name, number), body, query["nan"], predictions))

    return routes


def _answer(version: Version, body: Body, nan: str, predictions: Predictions) -> Response:
    signature = signature_of(version)
    media_type = accepted(signature)

    def write(outputs: dict[str, Any]) -> Response:
        if nan == "error":
            require_finite(outputs, signature)
        about = {"model": version.model, "version": version.number}
        return respond(media_type, outputs, signature, body.columnar, about)

    return predictions.answer(version, signature, PROTOCOL, lambda: body.read(signature), write)
