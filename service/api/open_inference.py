"""The Open Inference Protocol (KServe v2, Triton) over HTTP, with binary tensors and the repository's index.

Paths, bodies and the binary form are those of the protocol and of Triton's sources; `tritonclient` is the client that
the tests use. Errors are `{"error": "..."}`. A model is always ready, so that there is nothing to load or unload.
"""

import importlib.metadata
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import orjson
from flask import Blueprint, Response, request

from service.api.exchange import Arrays, Headers, Reply, Stopwatch, Work, respond
from service.api.operation import JSON, dumps, json_response
from service.api.packing import pack, read_body
from service.api.problems import register_plain
from service.api.versions import Served, Versions
from service.errors import MalformedRequest
from service.inference.predictor import Predictor
from service.inference.tensors import Wanted, describe, read_inputs, read_outputs, read_raw, write_outputs
from service.registry.models import Models
from service.schemas.models import LATEST

#: How long the JSON is that bytes follow.
JSON_LENGTH = "Inference-Header-Content-Length"
#: The parts of Triton's protocol that are spoken here besides the protocol itself.
EXTENSIONS = ["binary_tensor_data", "model_repository", "model_configuration"]
_JSON = (("Content-Type", JSON),)
_PATH = re.compile(r"/v2/models/([^/]+)(?:/versions/([A-Za-z0-9_-]{1,64}))?/infer")
_PLATFORMS = {"onnxruntime": "onnxruntime_onnx", "tensorflow": "tensorflow_savedmodel"}


def blueprint(
    versions: Versions, models: Models, predictor: Predictor, ready: Callable[[], None], max_body_bytes: int
) -> Blueprint:
    """The protocol's routes; `ready` raises where the service is not."""
    routes = Blueprint("open_inference", __name__, url_prefix="/v2")
    register_plain(routes, max_body_bytes)
    tensors = Tensors(predictor)

    def infer(name: str, version: str = LATEST) -> Response:
        """Outputs for inputs, each as JSON or as bytes."""
        content = read_body(max_body_bytes)
        return respond(versions.use(name, version, lambda served: tensors.answer(served, content)))

    def metadata(name: str, version: str = LATEST) -> Response:
        """What a model takes and gives."""
        return json_response(_metadata(versions.find(name, version), models.numbers(name)))

    def configuration(name: str, version: str = LATEST) -> Response:
        """The same, in the form of Triton's configuration files."""
        return json_response(_configuration(versions.find(name, version)))

    def model_ready(name: str, version: str = LATEST) -> Response:
        """A version that there is can be asked."""
        return json_response({"name": versions.find(name, version).version.model, "ready": True})

    @routes.get("")
    @routes.get("/")
    def server() -> Response:
        """Who this is."""
        return json_response(
            {"name": "kerasd", "version": importlib.metadata.version("kerasd"), "extensions": EXTENSIONS}
        )

    @routes.get("/health/live")
    def live() -> Response:
        """True whenever it can be asked at all."""
        return json_response({"live": True})

    @routes.get("/health/ready")
    def server_ready() -> Response:
        """True only if jobs can be taken and run, too."""
        ready()
        return json_response({"ready": True})

    @routes.get("/models")
    def names() -> Response:
        """The models that there are."""
        return json_response({"models": list(dict.fromkeys(name for name, _ in models.all_numbers()))})

    @routes.post("/repository/index")
    def index() -> Response:
        """Every version of every model; all of them are ready, so that a filter changes nothing."""
        return json_response([_entry(name, number) for name, number in models.all_numbers()])

    for place in ("/models/<name>", "/models/<name>/versions/<version>"):
        routes.add_url_rule(f"{place}/infer", view_func=infer, methods=["POST"])
        routes.add_url_rule(place, view_func=metadata)
        routes.add_url_rule(f"{place}/config", view_func=configuration)
        routes.add_url_rule(f"{place}/ready", view_func=model_ready)
    return routes


@dataclass(frozen=True, slots=True, kw_only=True)
class _Asked:
    """A request that was read; `accepted` are the codings in which the answer may come."""

    arrays: Arrays
    wanted: list[Wanted]
    id: str | None
    accepted: str | None


class Tensors:
    """Inference by named tensors; the front door answers whatever came unpacked."""

    def __init__(self, predictor: Predictor) -> None:
        self._predictor = predictor

    def match(self, path: str, query: bytes) -> tuple[str, str] | None:
        found = _PATH.fullmatch(path)
        return None if found is None else (found[1], found[2] or LATEST)

    def read(self, served: Served, headers: Headers, content: bytes) -> Work | None:
        if "content-encoding" in headers:
            return None
        watch = Stopwatch()
        asked = _ask(served, headers.get(JSON_LENGTH.lower()), headers.get("accept-encoding"), memoryview(content))
        watch.lap("decode")
        rows = len(asked.arrays[served.signature.inputs[0].name])
        return Work(rows=rows, finish=lambda: self._finish(served, asked, watch))

    def answer(self, served: Served, content: bytes) -> Reply:
        """The answer to the body of Flask's present request."""
        watch = Stopwatch()
        accepted = request.headers.get("Accept-Encoding")
        asked = _ask(served, request.headers.get(JSON_LENGTH), accepted, memoryview(content))
        watch.lap("decode")
        return self._finish(served, asked, watch)

    def _finish(self, served: Served, asked: _Asked, watch: Stopwatch) -> Reply:
        watch.lap("queue")
        arrays = self._predictor.predict(served.version, served.signature, asked.arrays)
        watch.lap("predict")
        outputs, parts = write_outputs(arrays, asked.wanted)
        given_id = {} if asked.id is None else {"id": asked.id}
        head = {"model_name": served.version.model, "model_version": str(served.version.number), **given_id}
        text = dumps({**head, "outputs": outputs})
        body = b"".join([text, *parts])
        watch.lap("encode")
        headers = (*(_binary(text) if parts else _JSON), *served.headers, watch.header())
        return pack(Reply(body=body, headers=headers), asked.accepted)


def _binary(text: bytes) -> tuple[tuple[str, str], ...]:
    return (("Content-Type", "application/octet-stream"), (JSON_LENGTH, str(len(text))))


def _ask(served: Served, given_length: str | None, accepted: str | None, content: memoryview) -> _Asked:
    length = _json_length(given_length, len(content))
    if length is None:
        wanted = [Wanted(spec=spec, binary=True) for spec in served.signature.outputs]
        return _Asked(arrays=read_raw(content, served.signature), wanted=wanted, id=None, accepted=accepted)
    body = _read(content[:length])
    wanted = read_outputs(body.get("outputs"), _all_binary(body), served.signature)
    arrays = read_inputs(body.get("inputs"), content[length:], served.signature)
    given_id = body["id"] if isinstance(body.get("id"), str) else None
    return _Asked(arrays=arrays, wanted=wanted, id=given_id, accepted=accepted)


def _json_length(given: str | None, size: int) -> int | None:
    """How much of the body is JSON: all of it, unless the header says otherwise; None where it says that nothing is."""
    if given is None:
        return size
    if not given.isascii() or not given.isdecimal() or int(given[:20]) > size:
        raise MalformedRequest(f"{JSON_LENGTH} is {given[:40]!r}; a number up to the body's {size} bytes was expected.")
    return int(given) or None


def _read(content: memoryview) -> dict[str, Any]:
    try:
        body = orjson.loads(content)
    except orjson.JSONDecodeError as error:
        raise MalformedRequest(
            f"The request is not JSON: {error.msg} at line {error.lineno}, column {error.colno}. NaN and Infinity are "
            "not JSON: send such tensors as bytes. Where bytes follow the JSON, "
            f"{JSON_LENGTH} must say how long the JSON is."
        ) from error
    if not isinstance(body, dict):
        raise MalformedRequest("The request is not a JSON object with the key 'inputs'.")
    return body


def _all_binary(body: Mapping[str, Any]) -> bool:
    parameters = body.get("parameters")
    return isinstance(parameters, dict) and parameters.get("binary_data_output") is True


def _metadata(served: Served, numbers: list[int]) -> dict[str, Any]:
    version, signature = served.version, served.signature
    return {
        "name": version.model,
        "versions": [str(number) for number in sorted(numbers)],
        "platform": _PLATFORMS[version.engine],
        "inputs": [describe(spec) for spec in signature.inputs],
        "outputs": [describe(spec) for spec in signature.outputs],
    }


def _configuration(served: Served) -> dict[str, Any]:
    version, signature = served.version, served.signature
    tensors = {"input": signature.inputs, "output": signature.outputs}
    return {
        "name": version.model,
        "platform": _PLATFORMS[version.engine],
        "backend": version.engine,
        "version_policy": {"all": {}},
        # Rows are worked on in slices, so that there is no largest batch but that of the body's bytes.
        "max_batch_size": 2**31 - 1,
        **{kind: [_configured(describe(spec)) for spec in specs] for kind, specs in tensors.items()},
    }


def _configured(tensor: dict[str, Any]) -> dict[str, Any]:
    return {"name": tensor["name"], "data_type": f"TYPE_{tensor['datatype']}", "dims": tensor["shape"][1:]}


def _entry(name: str, number: int) -> dict[str, str]:
    return {"name": name, "version": str(number), "state": "READY", "reason": ""}
