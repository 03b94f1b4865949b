"""The Open Inference Protocol (KServe v2, Triton) over HTTP, with Triton's extensions that EXTENSIONS lists.

Paths, bodies and the binary form are those of the protocol and of Triton's sources; `tritonclient` is the client that
the tests use. Errors are `{"error": "..."}`. A model is always ready: to load one is to find that it is there, and to
unload one is refused, since a client that waits for its end would wait for ever. The tensors of a version that was
trained on a table are those of its network; asked for classes, it names them.
"""

import importlib.metadata
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from time import perf_counter_ns
from typing import Any

import orjson
from flask import Blueprint, Response, request

from service.api.exchange import Answers, Arrays, Headers, Reply, respond
from service.api.media import JSON_HEADERS
from service.api.operation import dumps, json_response
from service.api.packing import VARIES, pack, read_body
from service.api.problems import register_plain
from service.api.statistics import model_stats
from service.api.versions import Served, Versions
from service.errors import MalformedRequest
from service.inference.layouts import Layouts
from service.inference.lifted import LEAST_BYTES, read_lifted
from service.inference.predictions import Predictions
from service.inference.tensors import Wanted, describe, read_inputs, read_outputs, read_raw, write_outputs
from service.registry.models import Models
from service.schemas.models import LATEST

#: This protocol's name among the counts.
PROTOCOL = "open_inference"
#: How long the JSON is that bytes follow.
JSON_LENGTH = "Inference-Header-Content-Length"
_JSON_LENGTH = JSON_LENGTH.lower().encode()
#: The parts of Triton's protocol that are spoken here besides the protocol itself.
EXTENSIONS = ["binary_tensor_data", "classification", "model_repository", "model_configuration", "statistics"]
_PATH = re.compile(r"/v2/models/([^/]+)(?:/versions/([A-Za-z0-9_-]{1,64}))?/infer")
_PLATFORMS = {"onnxruntime": "onnxruntime_onnx", "tensorflow": "tensorflow_savedmodel"}


def blueprint(
    versions: Versions, models: Models, predictions: Predictions, ready: Callable[[], None], max_body_bytes: int
) -> Blueprint:
    """The protocol's routes; `ready` raises where the service is not."""
    routes = Blueprint("open_inference", __name__, url_prefix="/v2")
    register_plain(routes, max_body_bytes)
    answers = Answers(predictions, PROTOCOL)

    def infer(name: str, version: str = LATEST) -> Response:
        """Outputs for inputs, each as JSON or as bytes."""
        content, length = memoryview(read_body(max_body_bytes)), request.headers.get(JSON_LENGTH)
        reply = versions.use(name, version, lambda served: _infer(served, length, content, answers))
        return respond(pack(reply, request.headers.get("Accept-Encoding")))

    def metadata(name: str, version: str = LATEST) -> Response:
        """What a model takes and gives."""
        return json_response(_metadata(versions.find(name, version), models.numbers(name)))

    def configuration(name: str, version: str = LATEST) -> Response:
        """The same, in the form of Triton's configuration files."""
        return json_response(_configuration(versions.find(name, version)))

    def statistics(name: str, version: str | None = None) -> Response:
        """What was counted of a model's versions, or of one of them."""
        found = versions.find(name, version or LATEST).version
        numbers = models.numbers(name) if version is None else [found.number]
        return json_response(model_stats([(found.model, number) for number in numbers], predictions.statistics.all()))

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

    @routes.get("/models/stats")
    def all_statistics() -> Response:
        """What was counted of every version of every model."""
        return json_response(model_stats(models.all_numbers(), predictions.statistics.all()))

    @routes.post("/repository/models/<name>/load")
    def load(name: str) -> Response:
        """Nothing is to be done for a model that there is: its versions load when they are asked for."""
        models.latest(name)
        _refuse_files()
        return Response(status=200)

    @routes.post("/repository/models/<name>/unload")
    def unload(name: str) -> Response:
        """Say that models are not unloaded by clients."""
        models.latest(name)
        raise MalformedRequest(
            "Models are not unloaded by clients here: those that were not asked for longest leave the memory by "
            f"themselves, and to end a version for good is DELETE /v1/models/{name}/versions/<number>."
        )

    @routes.post("/repository/index")
    def index() -> Response:
        """Every version of every model; all of them are ready, so that a filter changes nothing."""
        return json_response([_entry(name, number) for name, number in models.all_numbers()])

    for place in ("/models/<name>", "/models/<name>/versions/<version>"):
        routes.add_url_rule(f"{place}/infer", view_func=infer, methods=["POST"])
        routes.add_url_rule(place, view_func=metadata)
        routes.add_url_rule(f"{place}/config", view_func=configuration)
        routes.add_url_rule(f"{place}/stats", view_func=statistics)
        routes.add_url_rule(f"{place}/ready", view_func=model_ready)
    return routes


class TensorPredictions:
    """The hot route of the Open Inference Protocol; every body that comes unpacked has the common form."""

    def __init__(self, predictions: Predictions) -> None:
        self._answers = Answers(predictions, PROTOCOL)
        self._layouts: Layouts[tuple[list[Wanted], object]] = Layouts()

    def match(self, path: str, query: bytes) -> tuple[str, str] | None:
        found = _PATH.fullmatch(path)
        return None if found is None else (found[1], found[2] or LATEST)

    def answer(self, served: Served, headers: Headers, content: bytes) -> Reply | None:
        if b"content-encoding" in headers:
            return None
        started = perf_counter_ns()
        length = headers.get(_JSON_LENGTH)
        asked = self._ask(served, None if length is None else length.decode("latin-1"), content)
        reply = self._answers.reply_to_arrays(
            served, started, asked.arrays, lambda outputs: _written(served, asked, outputs)
        )
        return pack(reply, headers.get(b"accept-encoding"))

    def _ask(self, served: Served, given_length: str | None, content: bytes) -> "_Asked":
        length = None if given_length is None else _json_length(given_length, len(content))
        if length is None:
            # All of it is JSON, or nothing.
            return _ask(served, given_length, memoryview(content))
        known = self._layouts.read(served.version.id, content, length)
        if known is not None:
            arrays, (wanted, given_id) = known
            return _Asked(arrays=arrays, wanted=wanted, id=given_id)
        asked = _ask(served, given_length, memoryview(content))
        self._layouts.note(served.version.id, content, length, asked.arrays, (asked.wanted, asked.id))
        return asked


@dataclass(frozen=True, slots=True, kw_only=True)
class _Asked:
    """A request that was read."""

    arrays: Arrays
    wanted: list[Wanted]
    id: object


def _infer(served: Served, length: str | None, content: memoryview, answers: Answers) -> Reply:
    read: list[_Asked] = []

    def arrays() -> Arrays:
        read.append(_ask(served, length, content))
        return read[0].arrays

    return answers.reply(served, arrays, lambda outputs: _written(served, read[0], outputs))


def _ask(served: Served, given_length: str | None, content: memoryview) -> _Asked:
    signature, length = served.signature, _json_length(given_length, len(content))
    if length is None:
        wanted = [Wanted(spec=spec, binary=True) for spec in signature.outputs]
        return _Asked(arrays=read_raw(content, signature), wanted=wanted, id=None)
    body = _long(content, length) or _read(content[:length])
    wanted = read_outputs(body.get("outputs"), _all_binary(body), signature, served.labels)
    return _Asked(arrays=read_inputs(body.get("inputs"), content[length:], signature), wanted=wanted, id=body.get("id"))


def _written(served: Served, asked: _Asked, arrays: Arrays) -> Reply:
    version = served.version
    outputs, parts = write_outputs(arrays, asked.wanted)
    given_id = {"id": asked.id} if isinstance(asked.id, str) else {}
    head = {"model_name": version.model, "model_version": str(version.number), **given_id, "outputs": outputs}
    text = dumps(head)
    if not parts:
        return Reply(text, JSON_HEADERS)
    headers = (("Content-Type", "application/octet-stream"), (JSON_LENGTH, str(len(text))), VARIES)
    return Reply(b"".join([text, *parts]), headers)


def _refuse_files() -> None:
    """Refuse to load what a client sends with it: a model is what a job has trained."""
    body = request.get_data(cache=False)
    parameters = _read(memoryview(body)).get("parameters") if body.strip() else None
    if parameters:
        raise MalformedRequest(
            "A model's configuration and files come from the job that trained it: send none to load."
        )


def _json_length(given: str | None, size: int) -> int | None:
    """How much of the body is JSON: all of it, unless the header says otherwise; None where it says that nothing is."""
    if given is None:
        return size
    if not given.isascii() or not given.isdecimal() or int(given[:20]) > size:
        raise MalformedRequest(f"{JSON_LENGTH} is {given[:40]!r}; a number up to the body's {size} bytes was expected.")
    return int(given) or None


def _long(content: memoryview, length: int) -> dict[str, Any] | None:
    """A body of much JSON and nothing else, if its numbers can be read apart."""
    if length != len(content) or length < LEAST_BYTES:
        return None
    return read_lifted(content.obj if isinstance(content.obj, bytes) and len(content.obj) == length else bytes(content))


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
