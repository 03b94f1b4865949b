"""`/v1/models/{name}/predict`: answers from a trained model."""

import re
from typing import Any

from flask import Blueprint, Response, request

from service.api.exchange import Arrays, Headers, Reply, Stopwatch, Work, respond
from service.api.operation import JSON, Operation, dumps, load, operation, read_json
from service.api.versions import Served, Versions
from service.errors import Invalid, MalformedRequest, NotFound, TooLarge, Unavailable, UnsupportedMediaType
from service.inference.instances import decode, encode
from service.inference.predictor import Predictor
from service.schemas import models as schema
from service.schemas.models import LATEST

EXAMPLE = {"instances": [[0, 1], [1, 1]]}
RAISES = (MalformedRequest, NotFound, Invalid, TooLarge, UnsupportedMediaType, Unavailable)

_PATH = re.compile(r"/v1/models/([^/:]+)(?:/versions/([0-9]{1,18}))?/predict")
_QUERY = re.compile(rb"version=([A-Za-z0-9_-]{1,64})")


def blueprint(versions: Versions, predictor: Predictor) -> Blueprint:
    """The routes of predictions."""
    routes = Blueprint("predictions", __name__, url_prefix="/v1/models")
    native = Native(predictor)

    @routes.post("/<name>/predict")
    @operation(
        Operation(
            summary="Predict",
            answer=schema.Prediction,
            query=schema.PredictQuery,
            body=schema.PredictRequest,
            reads_body=True,
            example=EXAMPLE,
            raises=RAISES,
        )
    )
    def predict(name: str, query: dict[str, Any]) -> Response:
        """One prediction for each instance, in their order, by the newest version or the one that is asked for."""
        return respond(versions.use(name, query["version"], native.answer))

    @routes.post("/<name>/versions/<int:number>/predict")
    @operation(
        Operation(
            summary="Predict with a given version",
            answer=schema.Prediction,
            body=schema.PredictRequest,
            reads_body=True,
            example=EXAMPLE,
            raises=RAISES,
        )
    )
    def predict_with_version(name: str, number: int) -> Response:
        """One prediction for each instance, in their order."""
        return respond(native.answer(versions.find(name, str(number))))

    return routes


class Native:
    """kerasd's own form of predictions: `instances` in, `predictions` out."""

    def __init__(self, predictor: Predictor) -> None:
        self._predictor = predictor

    def match(self, path: str, query: bytes) -> tuple[str, str] | None:
        found = _PATH.fullmatch(path)
        if found is None:
            return None
        name, number = found.groups()
        if not query:
            return name, number or LATEST
        asked = _QUERY.fullmatch(query)
        return None if asked is None or number is not None else (name, asked[1].decode())

    def read(self, served: Served, headers: Headers, content: bytes) -> Work | None:
        if headers.get("content-type") != JSON or "content-encoding" in headers:
            return None
        watch = Stopwatch()
        arrays = served.reader.read(content)
        if arrays is None:
            return None
        watch.lap("decode")
        rows = len(arrays[served.signature.inputs[0].name])
        return Work(rows=rows, finish=lambda: self._finish(served, arrays, watch))

    def answer(self, served: Served) -> Reply:
        """The answer to Flask's present request."""
        watch = Stopwatch()
        content = request.get_data(cache=True)
        arrays = served.reader.read(content) if request.mimetype == JSON else None
        if arrays is None:
            arrays = decode(load(schema.PredictRequest, read_json())["instances"], served.signature)
        watch.lap("decode")
        return self._finish(served, arrays, watch)

    def _finish(self, served: Served, arrays: Arrays, watch: Stopwatch) -> Reply:
        watch.lap("queue")
        outputs = self._predictor.predict(served.version, served.signature, arrays)
        watch.lap("predict")
        version = served.version
        answer = {
            "predictions": encode(outputs, served.signature),
            "model": version.model,
            "version": version.number,
        }
        body = dumps(answer)
        watch.lap("encode")
        return Reply(body=body, headers=(("Content-Type", JSON), *served.headers, watch.header()))
