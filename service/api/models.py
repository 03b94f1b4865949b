"""`/v1/models`: what training has made, and what was brought along."""

import re
import sys
from collections.abc import Callable
from dataclasses import asdict, fields
from datetime import datetime
from typing import Any, BinaryIO, cast

from flask import Blueprint, request, url_for

from service.api.operation import Answer, Operation, operation
from service.errors import (
    Conflict,
    Fault,
    Invalid,
    MalformedRequest,
    NotFound,
    StorageFull,
    TooLarge,
    Unavailable,
    UnsupportedMediaType,
)
from service.features.description import described
from service.features.example import example_record
from service.features.preparation import Preparation
from service.registry.models import Model, Models, Version
from service.registry.page import Page
from service.registry.stores import ModelStore
from service.schemas import models as schema
from service.schemas.jobs import MODEL_NAME, NAME_RULE
from service.schemas.page import PageQuery
from service.training.imports import Imports

_FILE = 'A file that Keras 3 has written by `model.save("model.keras")`.'
UPLOADS = dict.fromkeys(
    ("application/octet-stream", "application/zip", "application/vnd.keras", "application/x-keras"), _FILE
)


def blueprint(models: Models, store: ModelStore, imports: Imports, now: Callable[[], datetime]) -> Blueprint:
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
    def list_versions(name: str, query: dict[str, Any]) -> Page[dict[str, Any]]:
        """Newest first."""
        page = models.versions(name, query.get("cursor"), query["limit"])
        return Page(items=tuple(map(_shown, page.items)), next_cursor=page.next_cursor)

    @routes.post("/<name>/versions")
    @operation(
        Operation(
            summary="Import a model that Keras has saved",
            answer=schema.VersionWithStatus,
            status=201,
            uploads=UPLOADS,
            raises=(MalformedRequest, Invalid, TooLarge, UnsupportedMediaType, Unavailable, StorageFull),
        )
    )
    def import_version(name: str) -> Answer:
        """The file becomes the model's next version, and answers as it did in Keras.

        It is read and rebuilt within the catalog, layer by layer; whatever is not in it is refused, with all faults at
        once. Its compilation comes along where kerasd offers it, its optimizer's state does not.
        """
        _check_name(name)
        _check_media_type(request.mimetype)
        # The store counts what comes, up to a limit of its own; None would mean that of all other bodies.
        request.max_content_length = sys.maxsize
        version = imports.add(name, cast(BinaryIO, request.stream), now)
        return Answer(
            value=_with_status(version),
            headers={"Location": url_for("models.get_version", name=name, number=version.number)},
        )

    @routes.get("/<name>/versions/<int:number>")
    @operation(Operation(summary="Look at a version", answer=schema.VersionWithStatus, raises=(NotFound,)))
    def get_version(name: str, number: int) -> dict[str, Any]:
        """Everything that it was made of, and how it is served."""
        return _with_status(models.version(name, number))

    @routes.delete("/<name>/versions/<int:number>")
    @operation(Operation(summary="Delete a version", answer=None, status=204, raises=(NotFound, Conflict)))
    def delete_version(name: str, number: int) -> None:
        """Its number is never given again. Not while a job that has not ended starts from it."""
        store.delete_version(name, number)

    return routes


def _with_status(version: Version) -> dict[str, Any]:
    return {**_shown(version), "model_version_status": [schema.version_status(version.number)]}


def _shown(version: Version) -> dict[str, Any]:
    """A version with its preparation in a client's words, and an example of what to send to `predict`."""
    facts = {field.name: getattr(version, field.name) for field in fields(version)}
    if version.preparation is None:
        return {**facts, "example": None}
    preparation = Preparation.from_json(version.preparation)
    return {**facts, "preparation": described(preparation), "example": example_record(preparation)}


def _check_name(name: str) -> None:
    if not re.fullmatch(MODEL_NAME, name):
        raise Invalid(f"The name {name[:100]!r} came. {NAME_RULE}", [Fault(pointer="", detail=NAME_RULE)])


def _check_media_type(media_type: str) -> None:
    if media_type not in UPLOADS:
        came = media_type[:80] or "no Content-Type"
        raise UnsupportedMediaType(
            f"{came} came; one of {', '.join(UPLOADS)} was expected. With curl, add "
            "-H 'Content-Type: application/octet-stream' --data-binary @model.keras."
        )
