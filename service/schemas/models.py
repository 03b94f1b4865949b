"""Models, their versions and their predictions on the wire."""

from marshmallow import Schema, fields

from service.schemas.jobs import Initial, PlannedLayer
from service.schemas.page import page_of


class Model(Schema):
    """A model: a name under which versions stand."""

    name = fields.String(required=True)
    created_at = fields.AwareDateTime(required=True)
    versions = fields.Integer(required=True, metadata={"description": "How many there are."})
    latest = fields.Integer(required=True, allow_none=True, metadata={"description": "The newest version's number."})


class TensorSpec(Schema):
    """An input or an output of a network."""

    name = fields.String(required=True)
    shape = fields.List(fields.Integer(allow_none=True), required=True, metadata={"description": "Of one row."})
    dtype = fields.String(required=True)


class Version(Schema):
    """A trained model, all that it was made of, and how it is served."""

    id = fields.String(required=True)
    model = fields.String(required=True)
    version = fields.Integer(required=True, attribute="number")
    created_at = fields.AwareDateTime(required=True)
    job = fields.String(required=True)
    architecture = fields.Raw(required=True)
    compile = fields.Dict(required=True)
    fit = fields.Dict(required=True)
    summary = fields.List(fields.Nested(PlannedLayer), required=True)
    parameters = fields.Integer(required=True)
    metrics = fields.Dict(required=True)
    inputs = fields.List(fields.Nested(TensorSpec), required=True)
    outputs = fields.List(fields.Nested(TensorSpec), required=True)
    seed = fields.Integer(required=True)
    threads = fields.Integer(required=True)
    jit_compile = fields.Boolean(required=True, metadata={"description": "Whether XLA compiled the steps."})
    machine = fields.String(required=True, allow_none=True, metadata={"description": "The kind that trained it."})
    initial = fields.Nested(Initial, required=True, allow_none=True)
    request_sha256 = fields.String(
        required=True, allow_none=True, metadata={"description": "Over all that the client asked for, data aside."}
    )
    dataset_sha256 = fields.String(required=True)
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


ModelPage = page_of(Model)
VersionPage = page_of(Version)


class PredictRequest(Schema):
    """Rows to predict."""

    instances = fields.Raw(
        required=True,
        metadata={"description": "One element a row: numbers in the input's shape, or an object by input name."},
    )


class Prediction(Schema):
    """One prediction a row; a value that is not a finite number is null."""

    predictions = fields.Raw(required=True)
    model = fields.String(required=True)
    version = fields.Integer(required=True)
