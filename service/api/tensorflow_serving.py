"""TensorFlow Serving's REST API, for its clients: predict, status and metadata, by version and by label.

Paths, bodies and errors are those of TensorFlow Serving's own sources (`http_rest_api_handler.cc`, `json_tensor.cc`),
which its clients rely on: errors are `{"error": "..."}`, versions are strings, and no Content-Type is asked for. Labels
are the aliases. The status of a model and of a version is part of their native answers, in `models.py`. Two things
differ: a number that is not finite leaves as null, where TensorFlow Serving writes a bare NaN that strict JSON readers
refuse, and values must be finite on their way in.

Of a version that was trained on a table, instances and inputs are raw records and columns; `:predict` answers with the
plain numbers, `:classify` and `:regress` with labels and quantities. Its metadata tell the tensors of the network.
"""

import json
import re
from collections.abc import Callable, Mapping
from typing import Any

import orjson
from flask import Blueprint, Response

from service.api.exchange import Answers, Arrays, Headers, Reply, respond
from service.api.meaning import columns, read_inputs, read_instances
from service.api.operation import JSON, dumps, json_response
from service.api.packing import read_body
from service.api.problems import register_plain
from service.api.versions import Served, Versions, with_successor
from service.errors import MalformedRequest, NotFound
from service.features.answer import labelled
from service.features.preparation import Sequence, Task
from service.inference.instances import encode
from service.inference.predictions import Predictions
from service.inference.signature import TensorSpec
from service.registry.models import Models
from service.schemas.models import LATEST, version_status

#: This protocol's name among the counts.
PROTOCOL = "tensorflow_serving"
#: The only signature that a version has.
SIGNATURE = "serving_default"
METHOD = "tensorflow/serving/predict"
_DATA_TYPES = {
    "float16": "DT_HALF",
    "bfloat16": "DT_BFLOAT16",
    "float32": "DT_FLOAT",
    "float64": "DT_DOUBLE",
    "int8": "DT_INT8",
    "int16": "DT_INT16",
    "int32": "DT_INT32",
    "int64": "DT_INT64",
    "uint8": "DT_UINT8",
    "uint16": "DT_UINT16",
    "uint32": "DT_UINT32",
    "uint64": "DT_UINT64",
    "bool": "DT_BOOL",
}
#: A version's number, as far as TensorFlow Serving reads one.
_NUMBER = re.compile(r"[0-9]{1,18}")
_HEADERS = (("Content-Type", JSON),)
_PATH = re.compile(r"/v1/models/([^/:]+)(?:/versions/([0-9]{1,18})|/labels/([A-Za-z][A-Za-z0-9_-]{0,63}))?:predict")


def blueprint(versions: Versions, models: Models, predictions: Predictions, max_body_bytes: int) -> Blueprint:
    """The routes that TensorFlow Serving has and kerasd has not by itself."""
    routes = Blueprint("tensorflow_serving", __name__, url_prefix="/v1/models")
    register_plain(routes, max_body_bytes)
    answers = Answers(predictions, PROTOCOL)

    def find(name: str, which: Mapping[str, str]) -> Callable[[], Served]:
        return _finder(versions, models, name, which)

    def predict(name: str, **which: str) -> Response:
        """Predictions by row or by column, as they came."""
        body = _read(max_body_bytes)
        return respond(with_successor(find(name, which), lambda served: _predict(served, body, answers)))

    def other_method(name: str, method: str, **which: str) -> Response:
        """Labels with their scores, or quantities, for examples; of versions that were trained on a table alone."""
        content = read_body(max_body_bytes)
        return respond(with_successor(find(name, which), lambda served: _tell(served, method, content, answers)))

    def metadata(name: str, **which: str) -> Response:
        """What the version takes and gives."""
        return json_response(_metadata(find(name, which)()))

    def status_of_label(name: str, label: str) -> Response:
        """The status of the version that a label stands for."""
        version = find(name, {"label": label})().version
        return json_response({"model_version_status": [version_status(version.number)]})

    for place in ("/<name>", "/<name>/versions/<number>", "/<name>/labels/<label>"):
        routes.add_url_rule(f"{place}:predict", view_func=predict, methods=["POST"])
        routes.add_url_rule(f"{place}:<any(classify, regress):method>", view_func=other_method, methods=["POST"])
        routes.add_url_rule(f"{place}/metadata", view_func=metadata)
    routes.add_url_rule("/<name>/labels/<label>", view_func=status_of_label)
    return routes


class RowPredictions:
    """The hot route of TensorFlow Serving's predictions: plain rows."""

    def __init__(self, predictions: Predictions) -> None:
        self._answers = Answers(predictions, PROTOCOL)

    def match(self, path: str, query: bytes) -> tuple[str, str] | None:
        found = _PATH.fullmatch(path)
        if found is None:
            return None
        name, number, label = found.groups()
        # "latest" is no label, and Flask says so.
        return None if label == LATEST else (name, number or label or LATEST)

    def answer(self, served: Served, headers: Headers, content: bytes) -> Reply | None:
        if b"content-encoding" in headers:
            return None
        return self._answers.reply_to_plain(served, content, lambda outputs: _by_row(served, outputs))


def _finder(versions: Versions, models: Models, name: str, which: Mapping[str, str]) -> Callable[[], Served]:
    """Finds the version that a path means; raises what TensorFlow Serving answers where there is none."""

    label, number = which.get("label"), which.get("number")

    def find() -> Served:
        if label is None:
            return versions.find(name, number or LATEST)
        try:
            return versions.aliased(name, label)
        except NotFound as error:
            # Of a model that there is not, this says so instead.
            models.get(name)
            raise MalformedRequest(f"Unrecognized servable version label: {label[:100]}") from error

    def find_or_say_so() -> Served:
        if number is not None and not _NUMBER.fullmatch(number):
            raise MalformedRequest(f"Failed to convert version: {number[:100]} to numeric.")
        try:
            return find()
        except NotFound as error:
            wanted = f"Latest({name[:100]})" if number is None else f"Specific({name[:100]}, {number})"
            raise NotFound(f"Servable not found for request: {wanted}") from error

    return find_or_say_so


def _predict(served: Served, body: Mapping[str, Any], answers: Answers) -> Reply:
    if "inputs" in body:
        return answers.reply(
            served,
            lambda: read_inputs(served, body["inputs"]),
            lambda outputs: _reply({"outputs": columns(served, outputs)}),
        )
    return answers.reply(
        served, lambda: read_instances(served, body["instances"]), lambda outputs: _by_row(served, outputs)
    )


def _tell(served: Served, method: str, content: bytes, answers: Answers) -> Reply:
    """`:classify` and `:regress`: `{"examples": [{...}, ...]}`, whose common features may stand in `context`."""
    task = _asked_with(served)
    if method != task:
        due = ":predict" if task is None else f":predict or :{task}"
        raise MalformedRequest(
            f"Expected {method} signature method_name to be tensorflow/serving/{method}. Was: {METHOD}. This model is "
            f"asked with {due}."
        )
    body = _object(content, ("examples",))
    write = _scores if task == "classify" else _quantities
    return answers.reply(served, lambda: _examples(served, body), lambda outputs: write(served, outputs))


def _asked_with(served: Served) -> str | None:
    """Which method beside predict a version has."""
    if served.preparation is None or len(served.preparation.targets) > 1:
        return None
    if served.labels:
        return "classify"
    return "regress" if served.preparation.targets[0].task is Task.NUMBER else None


def _examples(served: Served, body: Mapping[str, Any]) -> Arrays:
    examples, context = body["examples"], body.get("context", {})
    if not isinstance(context, dict):
        raise MalformedRequest("'context' must be an object: the features that all examples have in common.")
    if isinstance(examples, list):
        steps = _sequences(served)
        examples = [_record({**context, **one}, steps) if isinstance(one, dict) else one for one in examples]
    return read_instances(served, examples, "/examples")


def _sequences(served: Served) -> frozenset[str]:
    assert served.preparation is not None
    return frozenset(one.column for one in served.preparation.features if isinstance(one, Sequence))


def _record(example: Mapping[str, Any], steps: frozenset[str]) -> dict[str, Any]:
    """The features of an example are lists of values, of which a record has one."""
    return {
        name: value[0] if isinstance(value, list) and len(value) == 1 and name not in steps else value
        for name, value in example.items()
    }


def _scores(served: Served, outputs: Arrays) -> Reply:
    rows: Any = labelled(outputs, served.preparation, served.logits) if served.preparation else []
    return _reply({"results": [list(map(list, row["probabilities"].items())) for row in rows]})


def _quantities(served: Served, outputs: Arrays) -> Reply:
    return _reply({"results": next(iter(outputs.values())).reshape(-1)})


def _by_row(served: Served, outputs: Arrays) -> Reply:
    return _reply({"predictions": encode(outputs, served.signature)})


def _reply(value: dict[str, Any]) -> Reply:
    return Reply(dumps(value), _HEADERS)


def _read(limit_bytes: int) -> dict[str, Any]:
    """The request's body, of which there is `instances` or `inputs`; other keys mean nothing here."""
    body = _object(read_body(limit_bytes), ("inputs", "instances"))
    if "instances" in body and "inputs" in body:
        raise MalformedRequest("Both 'instances' and 'inputs' came; send rows as the one, or columns as the other.")
    return body


def _object(content: bytes, keys: tuple[str, ...]) -> dict[str, Any]:
    """A body that has one of the keys at least, and names no signature but the only one."""
    try:
        body = orjson.loads(content)
    except orjson.JSONDecodeError:
        body = _read_loosely(content)
    named = " or ".join(map(repr, keys))
    if not isinstance(body, dict):
        raise MalformedRequest(f"The request is not a JSON object with the key {named}.")
    if not any(key in body for key in keys):
        raise MalformedRequest(f"Missing {named} key")
    name = body.get("signature_name", "")
    if not isinstance(name, str):
        raise MalformedRequest("'signature_name' key must be a string value.")
    if name not in ("", SIGNATURE):
        raise MalformedRequest(f'Serving signature key "{name[:100]}" not found. The only one is "{SIGNATURE}".')
    return body


def _read_loosely(content: bytes) -> Any:
    """JSON with NaN and Infinity in it, which TensorFlow Serving's clients may write: they get a sentence about it."""
    try:
        return json.loads(content)
    except (ValueError, RecursionError) as error:
        place = getattr(error, "pos", 0)
        raise MalformedRequest(f"JSON Parse error: Invalid value. at offset: {place}") from error


def _metadata(served: Served) -> dict[str, Any]:
    version, signature = served.version, served.signature
    definition = {
        "inputs": _tensors(signature.inputs),
        "outputs": _tensors(signature.outputs),
        "method_name": METHOD,
        "defaults": {},
    }
    return {
        "model_spec": {"name": version.model, "signature_name": "", "version": str(version.number)},
        "metadata": {"signature_def": {"signature_def": {SIGNATURE: definition}}},
    }


def _tensors(specs: tuple[TensorSpec, ...]) -> dict[str, Any]:
    return {
        spec.name: {
            "dtype": _DATA_TYPES[spec.dtype],
            "tensor_shape": {
                "dim": [{"size": str(-1 if size is None else size), "name": ""} for size in (None, *spec.shape)],
                "unknown_rank": False,
            },
            "name": f"{spec.name}:0",
        }
        for spec in specs
    }
