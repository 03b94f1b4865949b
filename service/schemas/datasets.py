"""Data sets on the wire."""

from marshmallow import Schema, fields, validate

from service.data.delimiters import DELIMITERS
from service.data.table import Origin
from service.schemas.page import page_of

_MOST_STEPS = 4096


def _steps(description: str) -> fields.Integer:
    return fields.Integer(
        load_default=None, validate=validate.Range(1, _MOST_STEPS), metadata={"description": description}
    )


class Array(Schema):
    """One array of a data set."""

    part = fields.String(required=True, validate=validate.OneOf(["x", "y", "sample_weight"]))
    name = fields.String(required=True, allow_none=True, metadata={"description": "Which input or output it is for."})
    shape = fields.List(fields.Integer(), required=True, metadata={"description": "Rows first."})
    dtype = fields.String(required=True)
    minimum = fields.Float(required=True)
    maximum = fields.Float(required=True)
    columns = fields.List(fields.String(), required=True, allow_none=True)


KINDS = ("numeric", "category", "text", "date", "image", "sequence")
ORIGINS = tuple(origin.value for origin in Origin)


class Column(Schema):
    """One column of a table."""

    name = fields.String(required=True)
    type = fields.String(required=True, metadata={"description": "What its values are stored as."})
    kind = fields.String(
        required=True,
        validate=validate.OneOf(KINDS),
        metadata={"description": "What they mean: guessed, and to be corrected by `PUT .../schema`."},
    )
    origin = fields.String(
        required=True,
        allow_none=True,
        validate=validate.OneOf([*ORIGINS, None]),
        metadata={
            "description": "Of a column that only tells where a row comes from: its file in a zip file, its sequence, "
            'or the time at which its window begins or ends. "auto" leaves it out; name it under `features` to have it '
            "enter."
        },
    )


class Dataset(Schema):
    """A stored data set."""

    id = fields.String(required=True)
    created_at = fields.AwareDateTime(required=True)
    format = fields.String(required=True, metadata={"description": "The form in which it came."})
    rows = fields.Integer(required=True)
    size_bytes = fields.Integer(required=True)
    sha256 = fields.String(required=True, metadata={"description": "Over names, types, shapes and values."})
    arrays = fields.List(fields.Nested(Array), required=True, metadata={"description": "None where it is a table."})
    columns = fields.List(
        fields.Nested(Column), required=True, metadata={"description": "Those of a table; none where it is arrays."}
    )


class TableSchema(Schema):
    """What the columns of a table mean."""

    columns = fields.Dict(
        keys=fields.String(),
        values=fields.String(validate=validate.OneOf(KINDS)),
        required=True,
        metadata={"description": "The kind of each column, by its name."},
    )


class ProfileQuery(Schema):
    """What is to be said beside the profile."""

    target = fields.String(
        load_default=None, metadata={"description": "The column to learn, whose classes are counted."}
    )


class Profile(Schema):
    """What is in a table."""

    rows = fields.Integer(required=True)
    sampled_rows = fields.Integer(
        required=True, metadata={"description": "On how many rows medians, correlations and the like are based."}
    )
    target = fields.Dict(
        required=True,
        allow_none=True,
        metadata={"description": "The column that looks like one to learn, or what was asked about one; null if none."},
    )
    columns = fields.List(fields.Dict(), required=True, metadata={"description": "In their order, one each."})
    warnings = fields.List(
        fields.Dict(), required=True, metadata={"description": "`code`, `message`, and the evidence of each."}
    )
    warnings_left_out = fields.Integer(required=True, metadata={"description": "How many more there are."})


DatasetPage = page_of(Dataset)


class UploadQuery(Schema):
    """What an upload needs beside its body."""

    target = fields.List(
        fields.String(),
        load_default=list,
        metadata={
            "description": "CSV of numbers only: the column, or columns, to learn. All others become `x`. Without it, "
            "a CSV file is a table, and jobs name the target."
        },
    )
    delimiter = fields.String(
        load_default=None,
        validate=validate.OneOf(
            DELIMITERS, error="'{input}' came; a comma, a semicolon, a bar or a tab (%09) was expected."
        ),
        metadata={"description": "Of a CSV table; found out if it is not given."},
    )
    decimal = fields.String(
        load_default=None,
        validate=validate.OneOf([".", ","], error="'{input}' came; a point or a comma was expected."),
        metadata={
            "description": "What numbers of a CSV table have before their fraction. If it is not given: a point, or, "
            "in files whose cells `;` or tabs separate, a comma in each column whose cells are numbers only then."
        },
    )
    null = fields.List(
        fields.String(),
        load_default=None,
        metadata={"description": "Texts that stand for a missing value, in place of the usual ones."},
    )
    sequence = fields.String(
        load_default=None,
        metadata={"description": "The column that says which rows, the steps, make one sequence together."},
    )
    time = fields.String(load_default=None, metadata={"description": "The column by which steps are ordered."})
    window = _steps("Cut sequences into windows of so many steps, each a row of its own.")
    horizon = _steps("Put the so many steps after a window into the column `target`.")
    stride = _steps("How many steps after the one before it a window begins; 1 if it is not given.")


class RowsQuery(Schema):
    """How many rows to look at."""

    limit = fields.Integer(load_default=5, validate=validate.Range(1, 100))


class Rows(Schema):
    """The first rows of a data set: `x` and `y`, or the `records` of a table."""

    x = fields.Raw()
    y = fields.Raw()
    sample_weight = fields.Raw()
    records = fields.List(fields.Dict())
