"""Data sets on the wire."""

from marshmallow import Schema, fields, validate

from service.schemas.page import page_of


class Array(Schema):
    """One array of a data set."""

    part = fields.String(required=True, validate=validate.OneOf(["x", "y", "sample_weight"]))
    name = fields.String(required=True, allow_none=True, metadata={"description": "Which input or output it is for."})
    shape = fields.List(fields.Integer(), required=True, metadata={"description": "Rows first."})
    dtype = fields.String(required=True)
    minimum = fields.Float(required=True)
    maximum = fields.Float(required=True)
    columns = fields.List(fields.String(), required=True, allow_none=True)


class Dataset(Schema):
    """A stored data set."""

    id = fields.String(required=True)
    created_at = fields.AwareDateTime(required=True)
    format = fields.String(required=True, metadata={"description": "The form in which it came."})
    rows = fields.Integer(required=True)
    size_bytes = fields.Integer(required=True)
    sha256 = fields.String(required=True, metadata={"description": "Over names, types, shapes and values."})
    arrays = fields.List(fields.Nested(Array), required=True)


DatasetPage = page_of(Dataset)


class UploadQuery(Schema):
    """What an upload needs beside its body."""

    target = fields.List(
        fields.String(),
        load_default=list,
        metadata={"description": "CSV only: the column, or columns, to learn. All others become `x`."},
    )


class RowsQuery(Schema):
    """How many rows to look at."""

    limit = fields.Integer(load_default=5, validate=validate.Range(1, 100))


class Rows(Schema):
    """The first rows of a data set."""

    x = fields.Raw(required=True)
    y = fields.Raw(required=True)
    sample_weight = fields.Raw()
