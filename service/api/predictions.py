"""`/v1/models/{name}/predict`: answers from a trained model."""

from typing import Any

from flask import Blueprint

from service.api.operation import Operation, operation
from service.api.versions import find_version, signature_of, with_version
from service.errors import Invalid, MalformedRequest, NotFound, TooLarge, Unavailable, UnsupportedMediaType
from service.inference.instances import decode, encode
from service.inference.predictor import Predictor
from service.registry.models import Models, Version
from service.schemas import models as schema

EXAMPLE = {"instances": [[0, 1], [1, 1]]}
RAISES = (MalformedRequest, NotFound, Invalid, TooLarge, UnsupportedMediaType, Unavailable)


def blueprint(models: Models, predictor: Predictor) -> Blueprint:
    """The routes of predictions."""
    routes = Blueprint("predictions", __name__, url_prefix="/v1/models")

    @routes.post("/<name>/predict")
    @operation(
        Operation(
            summary="Predict",
            answer=schema.Prediction,
            query=schema.PredictQuery,
            body=schema.PredictRequest,
            example=EXAMPLE,
            raises=RAISES,
        )
    )
    def predict(name: str, query: dict[str, Any], body: dict[str, Any]) -> dict[str, Any]:
        """One prediction for each instance, in their order, by the newest version or the one that is asked for."""
        return with_version(
            lambda: find_version(models, name, query["version"]), lambda version: _answer(version, body, predictor)
        )

    @routes.post("/<name>/versions/<int:number>/predict")
    @operation(
        Operation(
            summary="Predict with a given version",
            answer=schema.Prediction,
            body=schema.PredictRequest,
            example=EXAMPLE,
            raises=RAISES,
        )
    )
    def predict_with_version(name: str, number: int, body: dict[str, Any]) -> dict[str, Any]:
        """One prediction for each instance, in their order."""
        return _answer(models.version(name, number), body, predictor)

    return routes


def _answer(version: Version, body: dict[str, Any], predictor: Predictor) -> dict[str, Any]:
    signature = signature_of(version)
    outputs = predictor.predict(version, signature, decode(body["instances"], signature))
    return {"predictions": encode(outputs, signature), "model": version.model, "version": version.number}
