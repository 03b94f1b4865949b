"""Models, their versions and their predictions on the wire."""

import re
from typing import Any

from marshmallow import Schema, ValidationError, fields, validate, validates_schema

from service.schemas.jobs import Initial, PlannedLayer
from service.schemas.page import page_of


class Model(Schema):
    """A model: a name under which versions stand."""

    name = fields.String(required=True)
    created_at = fields.AwareDateTime(required=True)
    versions = fields.Integer(required=True, metadata={"description": "How many there are."})
    latest = fields.Integer(required=True, allow_none=True, metadata={"description": "The newest version's number."})


class VersionStatus(Schema):
    """A version's state, as TensorFlow Serving tells it."""

    version = fields.String(required=True, metadata={"description": "Its number."})
    state = fields.String(required=True, metadata={"description": "`AVAILABLE`: a version can be asked at any time."})
    status = fields.Dict(required=True)


def version_status(number: int) -> dict[str, Any]:
    """The state of a version, in which it is as long as it exists."""
    status = {"error_code": "OK", "error_message": ""}
    return {"version": str(number), "state": "AVAILABLE", "status": status}


class ModelWithStatus(Model):
    """A model, and the state of each of its versions, the newest first, for clients of TensorFlow Serving."""

    model_version_status = fields.List(fields.Nested(VersionStatus), required=True)


class TensorSpec(Schema):
    """An input or an output of a network."""

    name = fields.String(required=True)
    shape = fields.List(fields.Integer(allow_none=True), required=True, metadata={"description": "Of one row."})
    dtype = fields.String(required=True)


class Imported(Schema):
    """The file that a version came from."""

    file_sha256 = fields.String(required=True)
    keras_version = fields.String(required=True, metadata={"description": "The Keras that wrote it."})
    saved_at = fields.String(required=True, allow_none=True, metadata={"description": "When, in that file's words."})
    compile_reason = fields.String(
        required=True, allow_none=True, metadata={"description": "Why `compile` is null, where it is."}
    )


class Version(Schema):
    """A trained model, all that it was made of, and how it is served.

    Of a version that was imported, what concerns a training is null.
    """

    id = fields.String(required=True)
    model = fields.String(required=True)
    version = fields.Integer(required=True, attribute="number")
    created_at = fields.AwareDateTime(required=True)
    job = fields.String(required=True, allow_none=True, metadata={"description": "null where it was imported."})
    imported = fields.Nested(
        Imported, required=True, allow_none=True, metadata={"description": "null where a job made it."}
    )
    architecture = fields.Raw(required=True)
    compile = fields.Dict(required=True, allow_none=True)
    fit = fields.Dict(required=True, allow_none=True)
    summary = fields.List(fields.Nested(PlannedLayer), required=True)
    parameters = fields.Integer(required=True)
    metrics = fields.Dict(required=True)
    inputs = fields.List(fields.Nested(TensorSpec), required=True)
    outputs = fields.List(fields.Nested(TensorSpec), required=True)
    seed = fields.Integer(required=True, allow_none=True)
    threads = fields.Integer(required=True, allow_none=True)
    jit_compile = fields.Boolean(
        required=True, allow_none=True, metadata={"description": "Whether XLA compiled the steps."}
    )
    machine = fields.String(required=True, allow_none=True, metadata={"description": "The kind that trained it."})
    initial = fields.Nested(Initial, required=True, allow_none=True)
    request_sha256 = fields.String(
        required=True, allow_none=True, metadata={"description": "Over all that the client asked for, data aside."}
    )
    dataset_sha256 = fields.String(required=True, allow_none=True)
    validation_dataset_sha256 = fields.String(required=True, allow_none=True)
    weights_sha256 = fields.String(required=True)
    weights_epoch = fields.Integer(
        required=True, allow_none=True, metadata={"description": "The epoch after which the weights were these."}
    )
    size_bytes = fields.Integer(required=True)
    engine = fields.String(required=True, metadata={"description": "`onnxruntime`, or `tensorflow` as the fallback."})
    engine_reason = fields.String(required=True, allow_none=True)
    max_difference = fields.Float(
        required=True, allow_none=True, metadata={"description": "From Keras's own answers, over the compared rows."}
    )
    libraries = fields.Dict(keys=fields.String(), values=fields.String(), required=True)
    preparation = fields.Dict(
        required=True,
        allow_none=True,
        metadata={"description": "How raw records enter the network, where it was trained on a table; else null."},
    )
    evaluation = fields.Dict(
        required=True,
        allow_none=True,
        metadata={"description": "Metrics and reports on the test rows, which nothing was fitted on; null without."},
    )
    example = fields.Dict(
        required=True,
        allow_none=True,
        metadata={"description": "A record to send to `predict`, where it was trained on a table; else null."},
    )


#: What an alias is called, so that it is never taken for a version's number.
_ALIAS_NAME = "[A-Za-z][A-Za-z0-9_-]{0,63}"
#: The word for the newest version, which is no alias.
LATEST = "latest"


def is_alias_name(text: str) -> bool:
    """Whether an alias can be called so."""
    return text != LATEST and re.fullmatch(_ALIAS_NAME, text) is not None


class Alias(Schema):
    """A name under which clients find a version, wherever it points at the moment."""

    model = fields.String(required=True)
    name = fields.String(required=True)
    version = fields.Integer(required=True)
    previous_version = fields.Integer(
        required=True, allow_none=True, metadata={"description": "Where it pointed before, to go back to."}
    )
    revision = fields.String(required=True, metadata={"description": "Another one after each change; also its ETag."})
    updated_at = fields.AwareDateTime(required=True)


class PutAlias(Schema):
    """Where an alias is to point."""

    version = fields.Integer(
        required=True, strict=True, validate=validate.Range(min=1), metadata={"description": "Of this model."}
    )


class AnswerQuery(Schema):
    """What is wanted of the answer."""

    nan = fields.String(
        load_default="null",
        validate=validate.OneOf(["null", "error"], error="{input} came; `null` or `error` was expected."),
        metadata={"description": "Of values that are not finite: `null` in their place, or `error` instead."},
    )


class PredictQuery(AnswerQuery):
    """Which version is asked, and what is wanted of the answer."""

    version = fields.String(
        load_default=LATEST,
        validate=validate.Regexp(
            rf"\A([0-9]{{1,18}}|{_ALIAS_NAME})\Z",
            error="{input} came; a version's number, an alias, or `latest` was expected.",
        ),
        metadata={"description": "A version's number, an alias, or `latest`."},
    )


#: What a version can be exported as.
FORMATS = ("keras", "saved_model", "onnx", "litert")


class ExportQuery(Schema):
    """As what a version is exported."""

    format = fields.String(
        required=True,
        validate=validate.OneOf(FORMATS, error="{input} came; one of {choices} was expected."),
        error_messages={"required": f"No format came; one of {', '.join(FORMATS)} was expected."},
        metadata={
            "description": "`keras`, `saved_model` (TensorFlow's, as a zip), `onnx`, or `litert` (TensorFlow Lite's)."
        },
    )


AliasPage = page_of(Alias)


class VersionWithStatus(Version):
    """A version, and its state, for clients of TensorFlow Serving."""

    model_version_status = fields.List(fields.Nested(VersionStatus), required=True)


ModelPage = page_of(Model)
VersionPage = page_of(Version)


class PredictRequest(Schema):
    """Rows to predict, as `instances` or as `inputs`."""

    instances = fields.Raw(
        metadata={
            "description": "One element a row: numbers in the input's shape, or an object by input name; of a version "
            "that was trained on a table, a record: an object by column."
        },
    )
    inputs = fields.Raw(
        metadata={
            "description": "Columns: an array, (rows, ...), or an object of them by input name; of a version that was "
            "trained on a table, an object of a list of values for each column."
        },
    )

    @validates_schema
    def _one_of_both(self, body: dict[str, Any], **of_the_call: object) -> None:
        if ("instances" in body) == ("inputs" in body):
            came = "Both came" if body else "Neither came"
            raise ValidationError(f"{came}; send rows as `instances`, or columns as `inputs`.", "instances")


class Prediction(Schema):
    """One prediction a row, or columns where columns came; a value that is not a finite number is null."""

    predictions = fields.Raw(
        metadata={
            "description": "One element a row: numbers, or an object by output name; of a version that was trained on "
            "a table, a number, `{label, probability, probabilities}` or `{labels, probabilities}`, by target where "
            "there are several."
        }
    )
    outputs = fields.Raw(metadata={"description": "In its place, where `inputs` came: the same by columns."})
    model = fields.String(required=True)
    version = fields.Integer(required=True)
