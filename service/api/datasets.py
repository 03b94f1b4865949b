"""`/v1/datasets`: data that jobs train on."""

import sys
from collections.abc import Callable
from datetime import datetime
from typing import Any, BinaryIO, cast

from flask import Blueprint, request, url_for

from service.api.multipart import FORM, Form
from service.api.operation import Answer, Operation, operation
from service.data.readers import ReadOptions
from service.errors import Conflict, Invalid, MalformedRequest, NotFound, StorageFull, TooLarge, UnsupportedMediaType
from service.registry.datasets import Dataset, Datasets
from service.registry.page import Page
from service.registry.stores import DatasetStore
from service.schemas import datasets as schema
from service.schemas.page import PageQuery

EXAMPLE = {"x": [[0, 0], [0, 1], [1, 0], [1, 1]], "y": [0, 1, 1, 0]}
UPLOADS = {
    "application/json": "`x` and `y` (and `sample_weight`) as arrays, or as objects of arrays by input or output name.",
    "text/csv": "A header line, then numbers; `?target=column` names what is to be learned.",
    "application/x-npz": "`numpy.savez(file, x=..., y=...)`; for several inputs, `x.<name>`.",
    FORM: "Files of one array each, or one file in any of the other forms.",
}
PARTS = {
    "x": "`numpy.save(file, x)`; for several inputs, parts `x.<name>`.",
    "y": "`numpy.save(file, y)`; for several outputs, parts `y.<name>`.",
    "sample_weight": "`numpy.save(file, weights)`: one weight for each row.",
    "file": "A whole data set in another form, with its Content-Type, and no part beside it.",
}


def blueprint(datasets: Datasets, store: DatasetStore, limit_bytes: int, now: Callable[[], datetime]) -> Blueprint:
    """The routes of data sets."""
    routes = Blueprint("datasets", __name__, url_prefix="/v1/datasets")

    @routes.post("")
    @operation(
        Operation(
            summary="Upload a data set",
            answer=schema.Dataset,
            status=201,
            query=schema.UploadQuery,
            uploads=UPLOADS,
            parts=PARTS,
            example=EXAMPLE,
            raises=(MalformedRequest, Invalid, TooLarge, UnsupportedMediaType, StorageFull),
        )
    )
    def upload_dataset(query: dict[str, Any]) -> Answer:
        """The body is streamed to disk and read from there, so it can be far larger than memory."""
        options = ReadOptions(target=tuple(query["target"]))
        stream = _body()
        if request.mimetype == FORM:
            form = Form(stream, request.mimetype_params, limit_bytes)
            dataset = store.upload_parts(form.parts(), options, limit_bytes, now())
        else:
            dataset = store.upload(stream, request.content_type or "", options, limit_bytes, now())
        return Answer(value=dataset, headers={"Location": url_for("datasets.get_dataset", dataset_id=dataset.id)})

    @routes.get("")
    @operation(Operation(summary="List data sets", answer=schema.DatasetPage, query=PageQuery, raises=(Invalid,)))
    def list_datasets(query: dict[str, Any]) -> Page[Dataset]:
        """Newest first."""
        return datasets.page(query.get("cursor"), query["limit"])

    @routes.get("/<dataset_id>")
    @operation(Operation(summary="Look at a data set", answer=schema.Dataset, raises=(NotFound,)))
    def get_dataset(dataset_id: str) -> Dataset:
        """What is in it, without the rows."""
        return datasets.get(dataset_id)

    @routes.get("/<dataset_id>/rows")
    @operation(
        Operation(
            summary="Look at a data set's first rows",
            answer=schema.Rows,
            query=schema.RowsQuery,
            raises=(NotFound, Invalid),
        )
    )
    def get_dataset_rows(dataset_id: str, query: dict[str, Any]) -> dict[str, Any]:
        """The first rows of `x`, `y` and, where there is one, `sample_weight`."""
        return store.first_rows(dataset_id, query["limit"])

    @routes.delete("/<dataset_id>")
    @operation(Operation(summary="Delete a data set", answer=None, status=204, raises=(NotFound, Conflict)))
    def delete_dataset(dataset_id: str) -> None:
        """Not while a queued or running job needs it."""
        store.delete(dataset_id)

    return routes


def _body() -> BinaryIO:
    """The body's stream; the store counts what comes, up to a limit of its own."""
    if request.environ.get("wsgi.input_terminated"):
        # It ends by itself, and each stream around it would copy what it passes on.
        return cast(BinaryIO, request.environ["wsgi.input"])
    # None would mean the limit of all other bodies.
    request.max_content_length = sys.maxsize
    return cast(BinaryIO, request.stream)
