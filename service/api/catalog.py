"""`/v1/catalog`: everything that a submission can name."""

from typing import Any

from flask import Blueprint

from service.api.operation import Operation, operation
from service.architecture.catalog import KINDS, entries
from service.errors import Invalid
from service.schemas import catalog as schema


def blueprint() -> Blueprint:
    """The route of the catalog."""
    routes = Blueprint("catalog", __name__, url_prefix="/v1")

    @routes.get("/catalog")
    @operation(
        Operation(
            summary="List layers, activations, initializers, losses, optimizers, metrics, callbacks ...",
            answer=schema.Catalog,
            query=schema.CatalogQuery,
            raises=(Invalid,),
        )
    )
    def get_catalog(query: dict[str, Any]) -> dict[str, Any]:
        """Each with its arguments, their types, defaults and bounds; `?kind=layer` lists the layers alone."""
        kind = query["kind"]
        if kind is not None and kind not in KINDS:
            raise Invalid(f"{kind!r} is no kind of the catalog; the kinds are {', '.join(KINDS)}.")
        return {"entries": [entry.to_json() for entry in entries(kind)]}

    return routes
