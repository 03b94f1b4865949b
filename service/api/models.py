"""`/v1/models`: what training has made."""

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
    @operation(Operation(summary="Look at a model", answer=schema.Model, raises=(NotFound,)))
    def get_model(name: str) -> Model:
        """How many versions it has, and which is the newest."""
        return models.get(name)

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
    @operation(Operation(summary="Look at a version", answer=schema.Version, raises=(NotFound,)))
    def get_version(name: str, number: int) -> Version:
        """Everything that it was made of, and how it is served."""
        return models.version(name, number)

    @routes.delete("/<name>/versions/<int:number>")
    @operation(Operation(summary="Delete a version", answer=None, status=204, raises=(NotFound, Conflict)))
    def delete_version(name: str, number: int) -> None:
        """Its number is never given again. Not while a job that has not ended starts from it."""
        store.delete_version(name, number)

    return routes
