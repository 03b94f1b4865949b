"""Evaluations on the wire."""

from marshmallow import Schema, fields, validate

_LARGEST = 3.4e38


class Question(Schema):
    """On what a version is evaluated, and how."""

    dataset = fields.String(load_default=None, metadata={"description": "The id of a stored data set."})
    data = fields.Dict(load_default=None, metadata={"description": "Or the data themselves, as `POST /v1/datasets`."})
    batch_size = fields.Integer(
        strict=True,
        load_default=32,
        validate=validate.Range(1, 65_536),
        metadata={"description": "Rows at a time, as in Keras's `evaluate`."},
    )
    threshold = fields.Float(
        load_default=0.5,
        validate=validate.Range(-_LARGEST, _LARGEST),
        metadata={"description": "Of one output for yes or no, and of labels: above it is a yes."},
    )


class Average(Schema):
    """Means over classes."""

    precision = fields.Float(required=True)
    recall = fields.Float(required=True)
    f1 = fields.Float(required=True)


class ClassReport(Average):
    """One class, or one label."""

    number = fields.Integer(data_key="class", attribute="class", required=True)
    support = fields.Float(required=True, metadata={"description": "Places of this class, each by its weight."})
    roc_auc = fields.Float(allow_none=True)
    pr_auc = fields.Float(allow_none=True)
    confusion_matrix = fields.List(fields.List(fields.Float()))


class NumberReport(Schema):
    """One number of a regression's output."""

    index = fields.Integer(required=True)
    mae = fields.Float(required=True, allow_none=True)
    rmse = fields.Float(required=True, allow_none=True)
    r2 = fields.Float(required=True, allow_none=True)


class Report(Schema):
    """What scikit-learn says of one output's predictions; what is null has its reason in `reasons`."""

    task = fields.String(
        required=True,
        allow_none=True,
        validate=validate.OneOf(["binary", "multiclass", "multilabel", "regression", None]),
    )
    labels = fields.List(
        fields.String(), metadata={"description": "What the classes are called, by number, where the version knows it."}
    )
    places = fields.Integer(metadata={"description": "Predictions: one a row, or one a step where a row has several."})
    threshold = fields.Float()
    accuracy = fields.Float()
    confusion_matrix = fields.List(
        fields.List(fields.Float()),
        allow_none=True,
        metadata={"description": "A row for each true class, a column for each predicted one."},
    )
    per_class = fields.List(fields.Nested(ClassReport), allow_none=True)
    per_label = fields.List(fields.Nested(ClassReport), allow_none=True)
    macro_average = fields.Nested(Average)
    micro_average = fields.Nested(Average)
    weighted_average = fields.Nested(Average)
    roc_auc = fields.Float(allow_none=True, metadata={"description": "Of several classes: the mean, one against all."})
    pr_auc = fields.Float(allow_none=True, metadata={"description": "Average precision."})
    mae = fields.Float(allow_none=True)
    rmse = fields.Float(allow_none=True)
    r2 = fields.Float(allow_none=True)
    per_number = fields.List(fields.Nested(NumberReport), allow_none=True)
    reasons = fields.Dict(keys=fields.String(), values=fields.String(), required=True)


class Evaluation(Schema):
    """How a version does on data."""

    model = fields.String(required=True)
    version = fields.Integer(required=True)
    rows = fields.Integer(required=True)
    metrics = fields.Dict(
        keys=fields.String(),
        values=fields.Float(allow_none=True),
        required=True,
        metadata={"description": "The loss and the metrics, as Keras's `evaluate` names and computes them."},
    )
    reports = fields.Dict(
        keys=fields.String(),
        values=fields.Nested(Report),
        required=True,
        metadata={"description": "By the output's name."},
    )
