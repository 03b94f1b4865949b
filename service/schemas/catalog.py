"""The catalog and the server's health on the wire."""

from marshmallow import Schema, fields


class CatalogQuery(Schema):
    """Which part of the catalog to list."""

    kind = fields.String(load_default=None)


class Catalog(Schema):
    """Everything that a submission can name, with arguments, types, defaults and bounds."""

    entries = fields.List(fields.Dict(), required=True)


class Health(Schema):
    """Whether the service works."""

    status = fields.String(required=True)
