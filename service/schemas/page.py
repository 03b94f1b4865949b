"""Lists come in pages: a cursor from one answer asks for the next."""

from marshmallow import Schema, fields, validate


class PageQuery(Schema):
    """How to ask for a page."""

    cursor = fields.String(metadata={"description": "`next_cursor` of the page before."})
    limit = fields.Integer(
        load_default=20, validate=validate.Range(1, 100), metadata={"description": "Items in a page."}
    )


def page_of(item: type[Schema]) -> type[Schema]:
    """A schema for a page of `item`, newest first."""
    attributes = {
        "items": fields.List(fields.Nested(item), required=True),
        "next_cursor": fields.String(required=True, allow_none=True),
        "__doc__": f"A page of {item.__name__} objects, newest first.",
    }
    return type(f"{item.__name__}Page", (Schema,), attributes)
