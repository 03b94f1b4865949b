"""`/v1/models/{name}/predict`: answers from a trained model."""

from typing import Any

from flask import Blueprint

from service.api.operation import Operation, operation
from service.errors import Invalid, MalformedRequest, NotFound, TooLarge, Unavailable, UnsupportedMediaType
from service.inference.instances import decode, encode
from service.inference.predictor import Predictor
from service.inference.signature import Signature, TensorSpec
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
            summary="Predict with the newest version",
            answer=schema.Prediction,
            body=schema.PredictRequest,
            example=EXAMPLE,
            raises=RAISES,
        )
    )
    def predict(name: str, body: dict[str, Any]) -> dict[str, Any]:
        """One prediction for each instance, in their order."""
        return _answer(models.latest(name), body, predictor)

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
    signature = Signature(
        inputs=tuple(TensorSpec.from_json(spec) for spec in version.inputs),
        outputs=tuple(TensorSpec.from_json(spec) for spec in version.outputs),
    )
    outputs = predictor.predict(version, signature, decode(body["instances"], signature))
    return {"predictions": encode(outputs, signature), "model": version.model, "version": version.number}
