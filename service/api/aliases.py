"""`/v1/models/{name}/aliases`: names for versions, moved by those who have seen where they point."""

from collections.abc import Callable
from datetime import datetime
from typing import Any

from flask import Blueprint, request

from service.api.operation import Answer, Operation, operation
from service.errors import (
    Invalid,
    MalformedRequest,
    NotFound,
    PreconditionFailed,
    PreconditionRequired,
    UnsupportedMediaType,
)
from service.registry.aliases import ANY, Alias, Aliases, Seen
from service.registry.page import Page
from service.schemas import models as schema
from service.schemas.page import PageQuery

IF_MATCH = {"If-Match": "The ETag of the alias that is to change; needed where there is one."}
ETAG = {"ETag": "Of this state of the alias; send it as If-Match to change it."}


def blueprint(aliases: Aliases, now: Callable[[], datetime]) -> Blueprint:
    """The routes of aliases."""
    routes = Blueprint("aliases", __name__, url_prefix="/v1/models/<name>/aliases")

    @routes.get("")
    @operation(
        Operation(
            summary="List a model's aliases", answer=schema.AliasPage, query=PageQuery, raises=(NotFound, Invalid)
        )
    )
    def list_aliases(name: str, query: dict[str, Any]) -> Page[Alias]:
        """In pages, by name."""
        return aliases.page(name, query.get("cursor"), query["limit"])

    @routes.get("/<alias>")
    @operation(
        Operation(summary="Look at an alias", answer=schema.Alias, answer_headers=ETAG, raises=(NotFound,)),
    )
    def get_alias(name: str, alias: str) -> Answer:
        """Where it points, and where it pointed before."""
        return _answer(aliases.get(name, alias))

    @routes.put("/<alias>")
    @operation(
        Operation(
            summary="Point an alias to a version",
            answer=schema.Alias,
            body=schema.PutAlias,
            example={"version": 1},
            headers={**IF_MATCH, "If-None-Match": "`*`, to make an alias only if there is none of this name."},
            answer_headers=ETAG,
            raises=(
                MalformedRequest,
                NotFound,
                PreconditionFailed,
                UnsupportedMediaType,
                Invalid,
                PreconditionRequired,
            ),
        )
    )
    def put_alias(name: str, alias: str, body: dict[str, Any]) -> Answer:
        """Whoever names it is answered by that version from the next request on.

        To go back is another such call, with `previous_version`.
        """
        return _answer(aliases.put(name, _checked(alias), body["version"], _seen(), now()))

    @routes.delete("/<alias>")
    @operation(
        Operation(
            summary="Delete an alias",
            answer=None,
            status=204,
            headers=IF_MATCH,
            raises=(NotFound, PreconditionFailed, PreconditionRequired),
        )
    )
    def delete_alias(name: str, alias: str) -> None:
        """The version that it points to stays."""
        aliases.delete(name, alias, _seen())

    return routes


def _answer(alias: Alias) -> Answer:
    return Answer(value=alias, headers={"ETag": f'"{alias.revision}"'})


def _seen() -> Seen:
    """What the request's headers say that its client has seen; a weak ETag matches nothing, as RFC 9110 has it."""
    given = request.if_match
    revisions = [ANY] if given.star_tag else given.as_set()
    return Seen(
        revisions=revisions if "If-Match" in request.headers else None,
        nothing=request.if_none_match.star_tag,
    )


def _checked(alias: str) -> str:
    """The alias, if one may be called so; raises Invalid."""
    if schema.is_alias_name(alias):
        return alias
    raise Invalid(
        f"No alias can be called {alias[:100]!r}. A letter and up to 63 letters, digits, `_` and `-` were expected, "
        f"and not `{schema.LATEST}`, which is the newest version."
    )
