"""`/v1/models/{name}/versions/{number}/export`: a version as a file for other programs."""

from collections.abc import Iterator
from typing import Any, BinaryIO, Final

from flask import Blueprint, Response, request

from service.api.hang_up import client_is_gone
from service.api.operation import Operation, operation
from service.data.store import BLOCK_BYTES
from service.errors import Conflict, Invalid, NotFound, StorageFull, Unavailable
from service.registry.models import Models, Version
from service.schemas import models as schema
from service.training.exports import Export, Exports

ZIP, BYTES = "application/zip", "application/octet-stream"
HEADERS: Final = {
    "Content-Disposition": "A name for the file.",
    "ETag": "The SHA-256 of the file.",
    "X-Weights-Sha256": "The version's `weights_sha256`.",
    "X-Max-Difference": "The largest difference from Keras's own answers.",
    "X-Compared-Rows": "On how many rows it was compared with Keras.",
    "X-Compared-On": "Whose rows these were: `training rows`, or `made-up rows` where none were stored.",
    "X-Batch-Size": "`any`, or `1` for a LiteRT file that takes one row at a time.",
}


def blueprint(models: Models, exports: Exports) -> Blueprint:
    """The route of exports."""
    routes = Blueprint("exports", __name__, url_prefix="/v1/models")

    @routes.get("/<name>/versions/<int:number>/export")
    @operation(
        Operation(
            summary="Export a version",
            answer=None,
            downloads=(ZIP, BYTES),
            query=schema.ExportQuery,
            headers={"If-None-Match": "The ETag of a file that the client has already."},
            answer_headers=HEADERS,
            raises=(NotFound, Conflict, Invalid, Unavailable, StorageFull),
        )
    )
    def export_version(name: str, number: int, query: dict[str, Any]) -> Response:
        """A file that has answered as Keras does, on rows of the training data.

        It is made by the first request, which takes some seconds, and kept. 409 where the format cannot hold the
        version, and says why.
        """
        version = models.version(name, number)
        return _response(version, exports.get(version, query["format"], client_is_gone()))

    return routes


def _response(version: Version, export: Export) -> Response:
    try:
        file = export.path.open("rb")
    except FileNotFoundError as error:
        raise NotFound("The version has just been deleted.") from error
    # Once it is open, the file stays whole, even if the version is deleted while it is sent.
    response = Response(_blocks(file), content_type=ZIP if export.filename.endswith(".zip") else BYTES)
    response.call_on_close(file.close)
    response.content_length = export.size_bytes
    response.headers.update(
        {
            "Content-Disposition": f'attachment; filename="{export.filename}"',
            "X-Weights-Sha256": version.weights_sha256,
            "X-Max-Difference": f"{export.max_difference:.3g}",
            "X-Compared-Rows": str(export.compared_rows),
            "X-Compared-On": export.compared_on,
            "X-Batch-Size": "any" if export.batch_size is None else str(export.batch_size),
        }
    )
    response.set_etag(export.sha256)
    response.make_conditional(request)
    # The server itself gives each answer its date.
    response.headers.pop("Date", None)
    return response


def _blocks(file: BinaryIO) -> Iterator[bytes]:
    while block := file.read(BLOCK_BYTES):
        yield block
