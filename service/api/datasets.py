"""`/v1/datasets`: data that jobs train on."""

import sys
from collections.abc import Callable
from datetime import datetime
from typing import Any, BinaryIO, cast

from flask import Blueprint, request, url_for

from service.api.hang_up import client_is_gone
from service.api.multipart import FORM, Form
from service.api.operation import Answer, Operation, operation
from service.data.profiling.target import target_view
from service.data.read_options import ReadOptions
from service.data.table_readers import NULLS, TableOptions
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
from service.registry.datasets import Dataset, Datasets
from service.registry.page import Page
from service.registry.stores import DatasetStore
from service.schemas import datasets as schema
from service.schemas.page import PageQuery
from service.training.uploads import Uploads

EXAMPLE = {"x": [[0, 0], [0, 1], [1, 0], [1, 1]], "y": [0, 1, 1, 0]}
UPLOADS = {
    "application/json": "`x` and `y` (and `sample_weight`) as arrays, or as objects of arrays by input or output "
    "name; or `records`, a list of objects: a table.",
    "text/csv": "A header line, then records: a table. With `?target=column`, which needs numbers in all cells: "
    "arrays, the named columns as `y` and all others as `x`.",
    "text/tab-separated-values": "The same with tabs: a table.",
    "application/x-ndjson": "An object on each line: a table.",
    "application/vnd.apache.parquet": "A table.",
    "application/vnd.apache.arrow.file": "Arrow's IPC file format: a table.",
    "application/vnd.apache.arrow.stream": "Arrow's IPC stream: a table.",
    "application/zip": "PNG or JPEG images, or one CSV file a sequence, in folders that name their labels: a table. Or "
    "NumPy's .npz: arrays.",
    "application/x-npz": "`numpy.savez(file, x=..., y=...)`; for several inputs, `x.<name>`.",
    FORM: "Files of one array each, or one file in any of the other forms.",
}
PARTS = {
    "x": "`numpy.save(file, x)`; for several inputs, parts `x.<name>`.",
    "y": "`numpy.save(file, y)`; for several outputs, parts `y.<name>`.",
    "sample_weight": "`numpy.save(file, weights)`: one weight for each row.",
    "file": "A whole data set in another form, with its Content-Type, and no part beside it.",
}


def blueprint(
    datasets: Datasets, store: DatasetStore, uploads: Uploads, limit_bytes: int, now: Callable[[], datetime]
) -> Blueprint:
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
            raises=(MalformedRequest, Invalid, TooLarge, UnsupportedMediaType, Unavailable, StorageFull),
        )
    )
    def upload_dataset(query: dict[str, Any]) -> Answer:
        """The body is streamed to disk and read from there, so it can be far larger than memory.

        Text may be packed by gzip or zstd. CSV and TSV may be UTF-16 with its byte order mark. A table is read in a
        process of its own, which also makes its profile.
        """
        stream, options = _body(), _options(query)
        if request.mimetype == FORM:
            parts = Form(stream, request.mimetype_params, limit_bytes).parts()
            dataset = uploads.take_parts(parts, options, limit_bytes, now, client_is_gone())
        else:
            media_type = request.content_type or ""
            dataset = uploads.take(stream, media_type, options, limit_bytes, now, client_is_gone())
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
        """The first rows of `x`, `y` and, where there is one, `sample_weight`; of a table, the first records."""
        return store.first_rows(dataset_id, query["limit"])

    @routes.get("/<dataset_id>/profile")
    @operation(
        Operation(
            summary="Look at a table's profile",
            answer=schema.Profile,
            query=schema.ProfileQuery,
            raises=(NotFound, Invalid),
        )
    )
    def get_dataset_profile(dataset_id: str, query: dict[str, Any]) -> dict[str, Any]:
        """What is in each column, and what is odd about it; with a `target`, how its classes are balanced too."""
        profile, target = datasets.profile(dataset_id), query["target"]
        return profile if target is None else {**profile, "target": target_view(profile, target)}

    @routes.get("/<dataset_id>/schema")
    @operation(Operation(summary="Look at what a table's columns mean", answer=schema.TableSchema, raises=(NotFound,)))
    def get_dataset_schema(dataset_id: str) -> dict[str, Any]:
        """The kind of each column; none where the data set is arrays."""
        return _schema(datasets.get(dataset_id))

    @routes.put("/<dataset_id>/schema")
    @operation(
        Operation(
            summary="Say what a table's columns mean",
            answer=schema.TableSchema,
            body=schema.TableSchema,
            example={"columns": {"postcode": "category"}},
            raises=(MalformedRequest, NotFound, Conflict, Invalid, UnsupportedMediaType, TooLarge, Unavailable),
        )
    )
    def put_dataset_schema(dataset_id: str, body: dict[str, Any]) -> dict[str, Any]:
        """Columns that are not named keep their kind. The profile is made anew; what was submitted stays as it was."""
        return _schema(uploads.change_kinds(dataset_id, body["columns"], client_is_gone()))

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


def _options(query: dict[str, Any]) -> TableOptions:
    chosen = {name: query[name] for name in ("delimiter", "decimal", "sequence", "time", "window", "horizon", "stride")}
    nulls = NULLS if query["null"] is None else tuple(query["null"])
    return TableOptions(limits=ReadOptions(target=tuple(query["target"])), nulls=nulls, **chosen)


def _schema(dataset: Dataset) -> dict[str, Any]:
    return {"columns": {column.name: column.kind.value for column in dataset.columns}}
