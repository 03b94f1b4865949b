"""Jobs on the wire."""

from marshmallow import Schema, fields, validate

from service.schemas.page import PageQuery, page_of

MODEL_NAME = r"^[A-Za-z][A-Za-z0-9_-]{0,63}$"
STATUSES = ["queued", "running", "succeeded", "failed", "cancelled"]


class Submission(Schema):
    """A request to train one model."""

    model = fields.String(
        required=True,
        validate=validate.Regexp(
            MODEL_NAME, error="A model's name begins with a letter and has up to 64 letters, digits, _ and -."
        ),
        metadata={"description": "The model's name; each job that succeeds adds a version to it."},
    )
    architecture = fields.Raw(
        required=True,
        metadata={
            "description": "Layers in order (`{'layers': [{'type': 'Dense', 'units': 6}]}`), a graph (layers with "
            "`name` and `inputs`, and top-level `inputs` and `outputs`), or the JSON of Keras's `model.to_json()`. "
            "`GET /v1/catalog` lists the layers and their arguments."
        },
    )
    compile = fields.Dict(
        required=True, metadata={"description": "`loss`, `optimizer`, `metrics`, `loss_weights`, as Keras names them."}
    )
    fit = fields.Dict(
        load_default=dict,
        metadata={
            "description": "`epochs`, `batch_size`, `validation_split`, `validation_data` (a data set's id), "
            "`validation_batch_size`, `validation_freq`, `shuffle`, `class_weight`, `callbacks`, with Keras's defaults."
        },
    )
    seed = fields.Integer(
        strict=True,
        allow_none=True,
        load_default=None,
        validate=validate.Range(0, 2**31 - 1),
        metadata={"description": "Makes the run repeatable; drawn and recorded when it is not given."},
    )
    dataset = fields.String(load_default=None, metadata={"description": "The id of a stored data set."})
    data = fields.Dict(load_default=None, metadata={"description": "Or the data themselves, as `POST /v1/datasets`."})


class SubmissionQuery(Schema):
    """Whether to train or only to look."""

    dry_run = fields.Boolean(load_default=False, metadata={"description": "Answer with what would be built."})


class Progress(Schema):
    """How far a job is."""

    epoch = fields.Integer(required=True)
    epochs = fields.Integer(required=True)
    step = fields.Integer(required=True)
    steps = fields.Integer(required=True, metadata={"description": "Steps in an epoch."})
    percent = fields.Float(required=True)
    samples_per_second = fields.Float(required=True, allow_none=True)
    eta_seconds = fields.Float(required=True, allow_none=True)


class Failure(Schema):
    """Why a job failed and what to do about it."""

    code = fields.String(
        required=True,
        validate=validate.OneOf(["out_of_memory", "nan_loss", "worker_lost", "invalid_data", "internal"]),
    )
    message = fields.String(required=True)
    retryable = fields.Boolean(required=True, metadata={"description": "Whether the same request can succeed later."})


class Job(Schema):
    """A job as it stands."""

    id = fields.String(required=True)
    model = fields.String(required=True)
    status = fields.String(required=True, validate=validate.OneOf(STATUSES))
    dataset = fields.String(required=True)
    attempt = fields.Integer(required=True, metadata={"description": "How often it was started."})
    seed = fields.Integer(required=True)
    created_at = fields.AwareDateTime(required=True)
    started_at = fields.AwareDateTime(required=True, allow_none=True)
    finished_at = fields.AwareDateTime(required=True, allow_none=True)
    cancel_requested = fields.Boolean(required=True)
    progress = fields.Nested(Progress, required=True, allow_none=True)
    metrics = fields.Dict(required=True, metadata={"description": "The newest epoch's, under Keras's names."})
    version = fields.Integer(required=True, allow_none=True, metadata={"description": "The version that it made."})
    failure = fields.Nested(Failure, required=True, allow_none=True)


JobPage = page_of(Job)


class JobsQuery(PageQuery):
    """Which jobs to list."""

    status = fields.String(load_default=None, validate=validate.OneOf(STATUSES))
    model = fields.String(load_default=None)


class JobMetrics(Schema):
    """Every epoch of a job."""

    job = fields.String(required=True)
    rows = fields.List(fields.Dict(), required=True, metadata={"description": "`epoch`, and the metrics by name."})


class PlannedLayer(Schema):
    """One layer of a network that would be built."""

    name = fields.String(required=True)
    type = fields.String(required=True)
    output_shape = fields.List(fields.Integer(allow_none=True), required=True)
    parameters = fields.Integer(required=True)
    trainable_parameters = fields.Integer(required=True)
    inputs = fields.List(fields.String(), required=True)


class DryRun(Schema):
    """What a submission would build."""

    model = fields.String(required=True)
    layers = fields.List(fields.Nested(PlannedLayer), required=True)
    parameters = fields.Integer(required=True)
    trainable_parameters = fields.Integer(required=True)
    memory_bytes = fields.Integer(required=True, metadata={"description": "An estimate for the training."})
    architecture = fields.Dict(required=True, metadata={"description": "In canonical form, all defaults filled in."})
    compile = fields.Dict(required=True)
    fit = fields.Dict(required=True)
