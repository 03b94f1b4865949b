"""The media types of native predictions: what bodies can be, by Content-Type, and what answers can be, by Accept.

The two are chosen apart from each other. JSON is what everything else falls back to: it is assumed of an answer where
the client names none.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from flask import request
from werkzeug.datastructures import MIMEAccept

from service.api.exchange import Reply
from service.api.meaning import by_column, by_row, read_inputs, read_instances
from service.api.operation import JSON, dumps, load, parse_json, parse_lines
from service.api.packing import VARIES, read_body
from service.api.versions import Served
from service.errors import NotAcceptable, UnsupportedMediaType
from service.features.answer import Logits
from service.features.preparation import Preparation
from service.inference import arrow_tables, csv_files, numpy_files, record_tables
from service.inference.signature import Signature
from service.schemas.models import PredictRequest

Arrays = dict[str, np.ndarray[Any, Any]]

NPY, NPZ, CSV = "application/x-npy", "application/x-npz", "text/csv"
JSON_LINES = "application/x-ndjson"
ARROW_STREAM = "application/vnd.apache.arrow.stream"
ARROW_FILE = "application/vnd.apache.arrow.file"

#: Bodies beside JSON, with what each is.
UPLOADS: Final = {
    NPY: "`numpy.save(file, x)`: one array, (rows, ...), for a network with one input. The network's own, always.",
    NPZ: "`numpy.savez(file, name=...)`: an array, (rows, ...), for each input by name. The network's own, always.",
    ARROW_STREAM: (
        "A table: a column for each input by name, or, for one flat input, a column for each of its numbers; of a "
        "version that was trained on a table, that table's columns."
    ),
    ARROW_FILE: "The same in Arrow's file format, which is Feather's too.",
    CSV: "A header, then a row for each row: columns as of a table in Arrow.",
    JSON_LINES: "One element of `instances` a line.",
}
#: Answers beside JSON.
ANSWERS: Final = (NPY, NPZ, ARROW_STREAM, ARROW_FILE, CSV)

_READERS: Final[dict[str, Callable[[bytes, Signature, int], Arrays]]] = {
    NPY: lambda content, signature, limit: numpy_files.read_npy(content, signature),
    NPZ: numpy_files.read_npz,
    ARROW_STREAM: arrow_tables.read_stream,
    ARROW_FILE: arrow_tables.read_file,
    CSV: lambda content, signature, limit: csv_files.read_csv(content, signature),
}
#: Of a version that takes records. Of NumPy's files, it takes what its network does, and answers likewise.
_RECORD_READERS: Final[dict[str, Callable[[bytes, Preparation, int], Arrays]]] = {
    ARROW_STREAM: record_tables.read_stream,
    ARROW_FILE: record_tables.read_file,
    CSV: lambda content, preparation, limit: record_tables.read_csv(content, preparation),
}
_WRITERS: Final[dict[str, Callable[[Arrays, Signature], bytes]]] = {
    NPY: numpy_files.write_npy,
    NPZ: numpy_files.write_npz,
    ARROW_STREAM: arrow_tables.write_stream,
    ARROW_FILE: arrow_tables.write_file,
    CSV: csv_files.write_csv,
}
_RECORD_WRITERS: Final[dict[str, Callable[[Arrays, Preparation, Logits], bytes]]] = {
    ARROW_STREAM: record_tables.write_stream,
    ARROW_FILE: record_tables.write_file,
    CSV: record_tables.write_csv,
}
#: Of an answer in JSON.
JSON_HEADERS: Final = (("Content-Type", JSON), VARIES)
#: General types, and how the bodies begin that can come under them.
_GENERAL: Final = ("application/octet-stream", "application/zip")
_BEGINNINGS: Final = {b"PK": NPZ, b"\x93NUMPY": NPY, b"ARROW1": ARROW_FILE}


@dataclass(frozen=True, slots=True, kw_only=True)
class Body:
    """A request's body, whose arrays are read once the version is known; `columnar` is JSON by `inputs`."""

    read: Callable[[Served], Arrays]
    columnar: bool = False


def read_request(limit_bytes: int) -> Body:
    """The body by its Content-Type, unpacked; raises UnsupportedMediaType, or what is wrong with the JSON."""
    content = read_body(limit_bytes)
    media_type = _media_type(content)
    if media_type == JSON_LINES:
        rows = parse_lines(content)
        return Body(read=lambda served: read_instances(served, rows, ""))
    if media_type != JSON:
        return Body(read=lambda served: _read(served, media_type, content, limit_bytes))
    body = load(PredictRequest, parse_json(content))
    if "inputs" in body:
        return Body(read=lambda served: read_inputs(served, body["inputs"]), columnar=True)
    return Body(read=lambda served: read_instances(served, body["instances"]))


def accepted(signature: Signature) -> str:
    """The media type of the answer that suits the client most; raises NotAcceptable with what can be had."""
    offered = [JSON, *(media for media in ANSWERS if media != NPY or len(signature.outputs) == 1)]
    if not request.accept_mimetypes.provided:
        return JSON
    # A parameter such as the charset does not make it another media type.
    bare = MIMEAccept((name.partition(";")[0].strip(), quality) for name, quality in request.accept_mimetypes)
    found = bare.best_match(offered)
    if found is None:
        came = request.headers.get("Accept", "")[:120]
        raise NotAcceptable(f"The answer can be had as {', '.join(offered)}; the request accepts {came!r} alone.")
    return found


def write(media_type: str, outputs: Arrays, served: Served, columnar: bool, about: Mapping[str, Any]) -> Reply:
    """The predictions in a media type; `about` is what JSON says of them besides: `model` and `version`."""
    if media_type == JSON:
        predictions = {"outputs": by_column(served, outputs)} if columnar else {"predictions": by_row(served, outputs)}
        return Reply(dumps({**predictions, **about}), JSON_HEADERS)
    content_type = "text/csv; charset=utf-8" if media_type == CSV else media_type
    return Reply(_written(served, media_type, outputs), (("Content-Type", content_type), VARIES))


def _read(served: Served, media_type: str, content: bytes, limit_bytes: int) -> Arrays:
    if served.preparation is not None and media_type in _RECORD_READERS:
        return _RECORD_READERS[media_type](content, served.preparation, limit_bytes)
    return _READERS[media_type](content, served.signature, limit_bytes)


def _written(served: Served, media_type: str, outputs: Arrays) -> bytes:
    if served.preparation is not None and media_type in _RECORD_WRITERS:
        return _RECORD_WRITERS[media_type](outputs, served.preparation, served.logits)
    return _WRITERS[media_type](outputs, served.signature)


def _media_type(content: bytes) -> str:
    came = request.mimetype
    if came in _GENERAL:
        found = next((media for start, media in _BEGINNINGS.items() if content.startswith(start)), None)
        if found is None:
            raise UnsupportedMediaType(f"Bodies of type {came} must be .npz, .npy or Arrow files, and this is none.")
        return found
    if came != JSON and came not in UPLOADS:
        raise UnsupportedMediaType(
            f"{came[:80] or 'no Content-Type'} came; one of {', '.join([JSON, *UPLOADS])} was expected. With curl, "
            "add -H 'Content-Type: application/json'."
        )
    charset = request.mimetype_params.get("charset", "utf-8").lower()
    if charset not in ("utf-8", "utf8", "us-ascii", *(("utf-16",) if came == CSV else ())):
        raise UnsupportedMediaType(f"The charset {charset[:40]!r} came; utf-8 was expected.")
    return came
