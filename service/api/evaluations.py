"""`/v1/models/{name}/evaluate`: how good a version is on data that it has not seen."""

from typing import Any

from flask import Blueprint

from service.api.hang_up import client_is_gone
from service.api.operation import Operation, operation
from service.api.versions import Served, Versions
from service.errors import (
    Conflict,
    Invalid,
    MalformedRequest,
    NotFound,
    StorageFull,
    TooLarge,
    Unavailable,
    UnsupportedMediaType,
)
from service.schemas import evaluations as schema
from service.schemas.models import PredictQuery
from service.training.evaluations import Evaluations, Question

EXAMPLE = {"data": {"x": [[0, 0], [0, 1], [1, 0], [1, 1]], "y": [0, 1, 1, 0]}}
RAISES = (
    MalformedRequest,
    NotFound,
    Conflict,
    TooLarge,
    UnsupportedMediaType,
    Invalid,
    Unavailable,
    StorageFull,
)


def blueprint(versions: Versions, evaluations: Evaluations) -> Blueprint:
    """The route of evaluations."""
    routes = Blueprint("evaluations", __name__, url_prefix="/v1/models")

    @routes.post("/<name>/evaluate")
    @operation(
        Operation(
            summary="Evaluate",
            answer=schema.Evaluation,
            query=PredictQuery,
            body=schema.Question,
            example=EXAMPLE,
            raises=RAISES,
        )
    )
    def evaluate(name: str, query: dict[str, Any], body: dict[str, Any]) -> dict[str, Any]:
        """The metrics that the version was compiled with, and a report for each output.

        By the newest version, or the one that is asked for. Nothing is stored.
        """
        question = Question(**body)

        def answer(served: Served) -> dict[str, Any]:
            found = evaluations.evaluate(served.version, question, client_is_gone())
            return {"model": served.version.model, "version": served.version.number, **found}

        return versions.use(name, query["version"], answer)

    return routes
