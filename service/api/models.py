"""`/v1/models`: what training has made."""

from dataclasses import asdict
from typing import Any

from flask import Blueprint

from service.api.operation import Operation, operation
from service.errors import Conflict, Invalid, NotFound
from service.registry.models import Model, Models, Version
from service.registry.page import Page
from service.registry.stores import ModelStore
from service.schemas import models as schema
from service.schemas.page import PageQuery


def blueprint(models: Models, store: ModelStore) -> Blueprint:
    """The routes of models and their versions."""
    routes = Blueprint("models", __name__, url_prefix="/v1/models")

    @routes.get("")
    @operation(Operation(summary="List models", answer=schema.ModelPage, query=PageQuery, raises=(Invalid,)))
    def list_models(query: dict[str, Any]) -> Page[Model]:
        """In pages, by name."""
        return models.page(query.get("cursor"), query["limit"])

    @routes.get("/<name>")
    @operation(Operation(summary="Look at a model", answer=schema.ModelWithStatus, raises=(NotFound,)))
    def get_model(name: str) -> dict[str, Any]:
        """How many versions it has, and which is the newest; as TensorFlow Serving tells it, too."""
        statuses = [schema.version_status(number) for number in models.numbers(name)]
        return {**asdict(models.get(name)), "model_version_status": statuses}

    @routes.delete("/<name>")
    @operation(
        Operation(summary="Delete a model with all its versions", answer=None, status=204, raises=(NotFound, Conflict))
    )
    def delete_model(name: str) -> None:
        """Not while a job that has not ended is to add a version to it, or starts from one of them."""
        store.delete(name)

    @routes.get("/<name>/versions")
    @operation(
        Operation(
            summary="List a model's versions", answer=schema.VersionPage, query=PageQuery, raises=(NotFound, Invalid)
        )
    )
    def list_versions(name: str, query: dict[str, Any]) -> Page[Version]:
        """Newest first."""
        return models.versions(name, query.get("cursor"), query["limit"])

    @routes.get("/<name>/versions/<int:number>")
    @operation(Operation(summary="Look at a version", answer=schema.VersionWithStatus, raises=(NotFound,)))
    def get_version(name: str, number: int) -> dict[str, Any]:
        """Everything that it was made of, and how it is served."""
        version = models.version(name, number)
        return {**asdict(version), "model_version_status": [schema.version_status(version.number)]}

    @routes.delete("/<name>/versions/<int:number>")
    @operation(Operation(summary="Delete a version", answer=None, status=204, raises=(NotFound, Conflict)))
    def delete_version(name: str, number: int) -> None:
        """Its number is never given again. Not while a job that has not ended starts from it."""
        store.delete_version(name, number)

    return routes
