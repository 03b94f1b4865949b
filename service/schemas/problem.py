"""What an error looks like on the wire (RFC 9457)."""

from marshmallow import Schema, fields


class Fault(Schema):
    """One thing that is wrong, and where."""

    pointer = fields.String(required=True, metadata={"description": "A JSON Pointer into the request's body."})
    detail = fields.String(required=True)


class Problem(Schema):
    """An error, as `application/problem+json`."""

    type = fields.String(required=True, metadata={"description": "A URI that names the kind of error."})
    title = fields.String(required=True)
    status = fields.Integer(required=True)
    detail = fields.String(required=True, metadata={"description": "What came, what was expected, how to mend it."})
    errors = fields.List(fields.Nested(Fault), metadata={"description": "All that is wrong, not only the first."})
    request_id = fields.String(metadata={"description": "The server's log has it too."})
