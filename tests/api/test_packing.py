"""Packing: what is packed on its way out, and in which coding."""

import gzip
import zlib

import pytest

from service.api.exchange import Reply
from service.api.packing import VARIES, pack

LARGE = Reply(b'{"predictions":[[0.5]]}\n' * 100, (("Content-Type", "application/json"), VARIES), (("X-Of", "me"),))


@pytest.mark.parametrize(
    ("accepted", "coding"),
    [
        (None, None),
        ("", None),
        ("identity", None),
        ("br", None),
        ("gzip", "gzip"),
        (b"gzip", "gzip"),
        ("gzip, deflate, br", "gzip"),
        (b"deflate", "deflate"),
        ("gzip;q=0.1, deflate;q=0.8", "deflate"),
        ("gzip;q=0", None),
        ("gzip;q=0, deflate", "deflate"),
        ("identity;q=0.1, gzip", "gzip"),
        (b"\xff", None),
        (";;q=,", None),
    ],
)
def test_the_client_chooses_the_coding(accepted: str | bytes | None, coding: str | None) -> None:
    """As text or as it came; the body is the same once it is unpacked, and so are all other headers."""
    packed = pack(LARGE, accepted)
    if coding is None:
        assert packed is LARGE
        return
    assert packed.headers == (*LARGE.headers, ("Content-Encoding", coding))
    assert packed.about == LARGE.about
    assert len(packed.body) < len(LARGE.body)
    unpack = gzip.decompress if coding == "gzip" else zlib.decompress
    assert unpack(packed.body) == LARGE.body


def test_small_answers_are_not_worth_it() -> None:
    """Packing would take longer than it saves."""
    small = LARGE._replace(body=b"{}" * 511)
    assert pack(small, "gzip") is small


def test_packed_answers_are_always_the_same() -> None:
    """No time is in them, so that two answers to one question can be compared."""
    assert pack(LARGE, "gzip").body == pack(LARGE, b"gzip").body
