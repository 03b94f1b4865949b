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
from service.api.operation import JSON, dumps, load, parse_json
from service.api.packing import read_body
from service.errors import NotAcceptable, UnsupportedMediaType
from service.inference import arrow_tables, csv_files, numpy_files
from service.inference.instances import decode, decode_columns, encode
from service.inference.signature import Signature
from service.schemas.models import PredictRequest

Arrays = dict[str, np.ndarray[Any, Any]]

NPY, NPZ, CSV = "application/x-npy", "application/x-npz", "text/csv"
ARROW_STREAM = "application/vnd.apache.arrow.stream"
ARROW_FILE = "application/vnd.apache.arrow.file"

#: Bodies beside JSON, with what each is.
UPLOADS: Final = {
    NPY: "`numpy.save(file, x)`: one array, (rows, ...), for a network with one input.",
    NPZ: "`numpy.savez(file, name=...)`: an array, (rows, ...), for each input by name.",
    ARROW_STREAM: "A table: a column for each input by name, or, for one flat input, a column for each of its numbers.",
    ARROW_FILE: "The same in Arrow's file format, which is Feather's too.",
    CSV: "A header, then a row of numbers for each row: columns as of a table.",
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
_WRITERS: Final[dict[str, Callable[[Arrays, Signature], bytes]]] = {
    NPY: numpy_files.write_npy,
    NPZ: numpy_files.write_npz,
    ARROW_STREAM: arrow_tables.write_stream,
    ARROW_FILE: arrow_tables.write_file,
    CSV: csv_files.write_csv,
}
#: General types, and how the bodies begin that can come under them.
_GENERAL: Final = ("application/octet-stream", "application/zip")
_BEGINNINGS: Final = {b"PK": NPZ, b"\x93NUMPY": NPY, b"ARROW1": ARROW_FILE}


@dataclass(frozen=True, slots=True, kw_only=True)
class Body:
    """A request's body, whose arrays are read once the version is known; `columnar` is JSON by `inputs`."""

    read: Callable[[Signature], Arrays]
    columnar: bool = False


def read_request(limit_bytes: int) -> Body:
    """The body by its Content-Type, unpacked; raises UnsupportedMediaType, or what is wrong with the JSON."""
    content = read_body(limit_bytes)
    media_type = _media_type(content)
    if media_type != JSON:
        reader = _READERS[media_type]
        return Body(read=lambda signature: reader(content, signature, limit_bytes))
    body = load(PredictRequest, parse_json(content))
    if "inputs" in body:
        return Body(read=lambda signature: decode_columns(body["inputs"], signature), columnar=True)
    return Body(read=lambda signature: decode(body["instances"], signature))


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


def write(media_type: str, outputs: Arrays, signature: Signature, columnar: bool, about: Mapping[str, Any]) -> Reply:
    """The predictions in a media type; `about` is what JSON says of them besides: `model` and `version`."""
    if media_type == JSON:
        predictions = (
            {"outputs": columns(outputs, signature)} if columnar else {"predictions": encode(outputs, signature)}
        )
        return Reply(body=dumps({**predictions, **about}), headers=(("Content-Type", JSON),))
    content_type = "text/csv; charset=utf-8" if media_type == CSV else media_type
    return Reply(body=_WRITERS[media_type](outputs, signature), headers=(("Content-Type", content_type),))


def columns(outputs: Arrays, signature: Signature) -> Any:
    """Outputs as columns of JSON: bare for one output, by name for several."""
    named = {spec.name: np.ascontiguousarray(outputs[spec.name]) for spec in signature.outputs}
    return named if len(named) > 1 else next(iter(named.values()))


def _media_type(content: bytes) -> str:
    came = request.mimetype
    if came in _GENERAL:
        found = next((media for start, media in _BEGINNINGS.items() if content.startswith(start)), None)
        if found is None:
            raise UnsupportedMediaType(f"Bodies of type {came} must be .npz, .npy or Arrow files, and this is none.")
        return found
    if came != JSON and came not in _READERS:
        raise UnsupportedMediaType(
            f"{came[:80] or 'no Content-Type'} came; one of {', '.join([JSON, *_READERS])} was expected. With curl, "
            "add -H 'Content-Type: application/json'."
        )
    charset = request.mimetype_params.get("charset", "utf-8").lower()
    if charset not in ("utf-8", "utf8", "us-ascii"):
        raise UnsupportedMediaType(f"The charset {charset[:40]!r} came; utf-8 was expected.")
    return came
