"""Bodies that are packed on the wire: gzip and deflate, in both directions."""

import gzip
import zlib

from flask import request
from werkzeug.datastructures import Accept
from werkzeug.http import parse_accept_header

from service.api.exchange import Reply
from service.errors import MalformedRequest, TooLarge, UnsupportedMediaType

#: What `wbits` makes zlib read each coding; by "deflate" HTTP means zlib's own frame.
_FRAMES = {"gzip": zlib.MAX_WBITS | 16, "deflate": zlib.MAX_WBITS}
#: Smaller answers are sent as they are: packing would take longer than it saves.
_WORTH_PACKING = 1024
#: Numbers hardly pack better at higher levels, which take several times as long.
_LEVEL = 1
_VARIES = ("Vary", "Accept-Encoding")


def read_body(limit_bytes: int) -> bytes:
    """The request's body as it was before it was packed, of at most `limit_bytes`.

    Raises:
        UnsupportedMediaType: it is packed in a way that is not known here.
        MalformedRequest: it cannot be unpacked.
        TooLarge: it is too large, packed or not.
    """
    content = request.get_data(cache=False)
    coding = request.headers.get("Content-Encoding", "identity").strip().lower()
    if coding == "identity":
        return content
    if coding not in _FRAMES:
        raise UnsupportedMediaType(f"The Content-Encoding {coding[:64]!r} came; gzip, deflate or none was expected.")
    unpacker = zlib.decompressobj(wbits=_FRAMES[coding])
    try:
        unpacked = unpacker.decompress(content, limit_bytes + 1)
    except zlib.error as error:
        raise MalformedRequest(f"The body is not {coding}, which Content-Encoding says it is: {error}.") from error
    if len(unpacked) > limit_bytes:
        raise too_large(limit_bytes)
    if not unpacker.eof:
        raise MalformedRequest(f"The {coding} body ends in the middle. Send it whole.")
    return unpacked


def too_large(limit_bytes: int) -> TooLarge:
    """The error for a body above the limit."""
    return TooLarge(f"The body is larger than the {limit_bytes} bytes that this address takes. Send fewer rows.")


def pack(reply: Reply, accepted: str | bytes | None) -> Reply:
    """Pack a reply if that is worth it and its client takes it, whose Accept-Encoding is `accepted`."""
    coding = "identity" if accepted is None or len(reply.body) < _WORTH_PACKING else _best(accepted)
    if coding == "identity":
        return Reply(body=reply.body, headers=(*reply.headers, _VARIES))
    body = gzip.compress(reply.body, _LEVEL, mtime=0) if coding == "gzip" else zlib.compress(reply.body, _LEVEL)
    return Reply(body=body, headers=(*reply.headers, _VARIES, ("Content-Encoding", coding)))


def _best(accepted: str | bytes) -> str:
    text = accepted.decode("latin-1") if isinstance(accepted, bytes) else accepted
    return parse_accept_header(text, Accept).best_match(["gzip", "deflate", "identity"], default="identity")
