"""Jobs on the wire."""

from typing import Any

from marshmallow import Schema, ValidationError, fields, validate, validates_schema

from service.schemas.page import PageQuery, page_of

MODEL_NAME = r"^[A-Za-z][A-Za-z0-9_-]{0,63}$"
NAME_RULE = "A model's name begins with a letter and has up to 64 letters, digits, _ and -."
STATUSES = ["queued", "running", "paused", "succeeded", "failed", "cancelled"]
FAILURES = ["out_of_memory", "nan_loss", "time_limit", "worker_lost", "invalid_data", "internal"]
MAX_TIME_LIMIT = 31_536_000
_MISSING = "Missing data for required field."


def _time_limit(description: str, **options: Any) -> fields.Float:
    return fields.Float(
        allow_none=True,
        validate=validate.Range(1, MAX_TIME_LIMIT),
        metadata={"description": description},
        **options,
    )


class Initial(Schema):
    """A stored version whose weights a job starts from."""

    model = fields.String(required=True)
    version = fields.Integer(
        strict=True,
        allow_none=True,
        load_default=None,
        validate=validate.Range(1, 2**31 - 1),
        metadata={"description": "Its number; null is the newest."},
    )
    optimizer_state = fields.Boolean(
        load_default=False, metadata={"description": "Whether its optimizer's state is taken too."}
    )


class Submission(Schema):
    """A request to train one model."""

    model = fields.String(
        required=True,
        validate=validate.Regexp(MODEL_NAME, error=NAME_RULE),
        metadata={"description": "The model's name; each job that succeeds adds a version to it."},
    )
    architecture = fields.Raw(
        load_default=None,
        metadata={
            "description": "Layers in order (`{'layers': [{'type': 'Dense', 'units': 6}]}`), a graph (layers with "
            "`name` and `inputs`, and top-level `inputs` and `outputs`), or the JSON of Keras's `model.to_json()`. "
            "`GET /v1/catalog` lists the layers and their arguments. With `initial` it may be left out, and is then "
            "that of the version. With `auto` kerasd chooses it, and what is left out of `compile` and `fit`, for the "
            "data; `?dry_run=true` shows the choice in full."
        },
    )
    compile = fields.Dict(
        load_default=None,
        metadata={
            "description": "`loss`, `optimizer`, `metrics`, `loss_weights`, `jit_compile`, as Keras names them. It may "
            "be left out where the architecture is `auto`."
        },
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
    target = fields.Raw(
        load_default=None,
        metadata={
            "description": "Of a table: the column to learn, several in a list, or `{'column': ..., 'as': ...}` with "
            "`binary`, `classes`, `labels`, `number` or `sequence`."
        },
    )
    features = fields.Raw(
        load_default=None,
        metadata={
            "description": "Of a table: how each column enters, `{'age': 'standardize', 'town': {'as': 'embedding', "
            "'output_dim': 8, 'missing': {'category': 'Cork'}}, '*': 'auto'}`; or `auto`, which is all columns but the "
            "target. `missing` says what stands for a value that is not there: of numbers `mean`, `median`, `zero` or "
            "a number, of categories `other`, `most_frequent` or `{'category': ...}`; nothing does with `error`."
        },
    )
    split = fields.Raw(
        load_default=None,
        metadata={
            "description": "Of a table: `{'validation': 0.2, 'test': 0.1, 'by': 'stratified'}`; by `random`, "
            "`stratified`, `group`, `time`, `order` or `column`, the last with `column`. Test rows are evaluated at "
            "the end."
        },
    )
    priority = fields.Integer(
        strict=True,
        load_default=0,
        validate=validate.Range(-100, 100),
        metadata={"description": "A higher one runs first; of equal ones, the older."},
    )
    time_limit_seconds = _time_limit("Running time after which the job fails, with its checkpoint.", load_default=None)
    threads = fields.Integer(
        strict=True,
        allow_none=True,
        load_default=None,
        validate=validate.Range(1, 4096),
        metadata={"description": "How many threads train, at most one a core; null leaves it to the server."},
    )
    initial = fields.Nested(
        Initial,
        allow_none=True,
        load_default=None,
        metadata={"description": "Start from stored weights: layers take those of the stored layer of their name."},
    )

    @validates_schema(skip_on_field_errors=False)
    def _needs_both(self, values: dict[str, Any], **_: Any) -> None:
        wrong = {}
        if values.get("architecture") is None and values.get("initial") is None:
            wrong["architecture"] = [_MISSING]
        if values.get("compile") is None and values.get("architecture") != "auto":
            wrong["compile"] = [_MISSING]
        if wrong:
            raise ValidationError(wrong)


class SubmissionQuery(Schema):
    """Whether to train or only to look."""

    dry_run = fields.Boolean(load_default=False, metadata={"description": "Answer with what would be built."})


class CancelQuery(Schema):
    """What a cancelled job leaves."""

    keep = fields.String(
        load_default=None,
        validate=validate.OneOf(["best"]),
        metadata={"description": "`best` makes a version of the best weights so far."},
    )


class Resumption(Schema):
    """How a job goes on."""

    time_limit_seconds = _time_limit(
        "A new limit for all the running time; null for none. Left out, the old one stays."
    )


class Progress(Schema):
    """How far a job is."""

    epoch = fields.Integer(required=True)
    epochs = fields.Integer(required=True)
    step = fields.Integer(required=True)
    steps = fields.Integer(required=True, metadata={"description": "Steps in an epoch."})
    percent = fields.Float(required=True)
    samples_per_second = fields.Float(required=True, allow_none=True)
    eta_seconds = fields.Float(required=True, allow_none=True)


class ReachedStep(Schema):
    """How far a checkpoint is."""

    epoch = fields.Integer(required=True)
    step = fields.Integer(required=True, metadata={"description": "Steps of the epoch that are done."})


class Checkpoint(ReachedStep):
    """From where a job would go on."""

    written_at = fields.AwareDateTime(required=True)


class Failure(Schema):
    """Why a job failed and what to do about it."""

    code = fields.String(required=True, validate=validate.OneOf(FAILURES))
    message = fields.String(required=True)
    advice = fields.String(required=True, allow_none=True)
    retryable = fields.Boolean(required=True, metadata={"description": "Whether it can succeed when it is resumed."})
    checkpoint = fields.Nested(ReachedStep, required=True, allow_none=True)


class Measurement(Schema):
    """How fast one way to run the steps was, in seconds."""

    jit_compile = fields.Boolean(required=True)
    threads = fields.Integer(required=True)
    step_seconds = fields.Float(required=True)
    total_seconds = fields.Float(required=True, metadata={"description": "What the rest of the job would take so."})


class Execution(Schema):
    """How all steps of a job are run; it never changes once it is chosen."""

    jit_compile = fields.Boolean(required=True, metadata={"description": "Whether XLA compiles them."})
    threads = fields.Integer(required=True)
    chosen_by = fields.String(
        required=True, validate=validate.OneOf(["request", "measurement", "earlier job", "default"])
    )
    measurements = fields.List(fields.Nested(Measurement), required=True)


class Job(Schema):
    """A job as it stands."""

    id = fields.String(required=True)
    model = fields.String(required=True)
    status = fields.String(required=True, validate=validate.OneOf(STATUSES))
    dataset = fields.String(required=True)
    attempt = fields.Integer(required=True, metadata={"description": "How often it was started."})
    retries = fields.Integer(
        required=True, metadata={"description": "Attempts lost in a row without a new checkpoint."}
    )
    seed = fields.Integer(required=True)
    priority = fields.Integer(required=True)
    time_limit_seconds = fields.Float(required=True, allow_none=True)
    elapsed_seconds = fields.Float(required=True, metadata={"description": "Running time of all attempts."})
    initial = fields.Nested(Initial, required=True, allow_none=True)
    created_at = fields.AwareDateTime(required=True)
    started_at = fields.AwareDateTime(required=True, allow_none=True)
    finished_at = fields.AwareDateTime(required=True, allow_none=True)
    cancel_requested = fields.Boolean(required=True)
    pause_requested = fields.Boolean(required=True)
    execution = fields.Nested(
        Execution, required=True, allow_none=True, metadata={"description": "null until it is chosen."}
    )
    checkpoint = fields.Nested(Checkpoint, required=True, allow_none=True)
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
    preparation = fields.Dict(
        required=True, allow_none=True, metadata={"description": "Of a table: what its columns become."}
    )
    submission = fields.Dict(
        required=True,
        metadata={"description": "All of it written out as a body of `POST /v1/jobs`, to be changed and sent."},
    )
    notes = fields.List(
        fields.String(), required=True, metadata={"description": "What was chosen where a choice was left, and why."}
    )
