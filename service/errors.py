"""Every error that a client can see, as RFC 9457 describes it.

    KerasdError
    ├── MalformedRequest       400  the bytes do not parse
    ├── NotFound               404
    ├── NotAcceptable          406  the answer cannot be had in a form that the client takes
    ├── Conflict               409  a right request at a wrong time
    ├── PreconditionFailed     412  it names a state that is no longer the present one
    ├── TooLarge               413
    ├── UnsupportedMediaType   415
    ├── Invalid                422  it parses, but its meaning is wrong
    ├── NotFinite              422  the network answers it with what is no number, and that was not wanted
    ├── PreconditionRequired   428  it must name the state that it is to change
    ├── Unavailable            503  try again after `retry_after` seconds
    └── StorageFull            507

A class's docstring is the `title` that clients read; `detail` says what came, what was expected and how to mend it.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from http import HTTPStatus


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One thing that is wrong with a request, and where: `pointer` is a JSON Pointer (RFC 6901) into the body."""

    pointer: str
    detail: str


class KerasdError(Exception):
    """The request could not be served."""

    status = HTTPStatus.INTERNAL_SERVER_ERROR
    slug = "internal"

    def __init__(self, detail: str, faults: Iterable[Fault] = (), *, retry_after: int | None = None) -> None:
        super().__init__(detail)
        self.detail = detail
        self.faults = tuple(faults)
        self.retry_after = retry_after

    @property
    def title(self) -> str:
        return (type(self).__doc__ or "").strip().splitlines()[0]


class MalformedRequest(KerasdError):
    """The request does not parse."""

    status = HTTPStatus.BAD_REQUEST
    slug = "malformed-request"


class NotFound(KerasdError):
    """There is nothing at this address."""

    status = HTTPStatus.NOT_FOUND
    slug = "not-found"


class NotAcceptable(KerasdError):
    """The answer is not to be had in any form that the request accepts."""

    status = HTTPStatus.NOT_ACCEPTABLE
    slug = "not-acceptable"


class Conflict(KerasdError):
    """The present state does not allow this."""

    status = HTTPStatus.CONFLICT
    slug = "conflict"


class PreconditionFailed(KerasdError):
    """This has changed since the client looked at it."""

    status = HTTPStatus.PRECONDITION_FAILED
    slug = "precondition-failed"


class TooLarge(KerasdError):
    """The request is larger than this server allows."""

    status = HTTPStatus.REQUEST_ENTITY_TOO_LARGE
    slug = "too-large"


class UnsupportedMediaType(KerasdError):
    """This server does not read that media type here."""

    status = HTTPStatus.UNSUPPORTED_MEDIA_TYPE
    slug = "unsupported-media-type"


class Invalid(KerasdError):
    """The request parses, but its content is not valid."""

    status = HTTPStatus.UNPROCESSABLE_ENTITY
    slug = "invalid"


class NotFinite(KerasdError):
    """The model's answer has values that are not finite numbers."""

    # Another attempt would end the same way, so that this is no 5xx, which clients retry and operators are woken by.
    status = HTTPStatus.UNPROCESSABLE_ENTITY
    slug = "not-finite"


class PreconditionRequired(KerasdError):
    """The request must say which state it is to change."""

    status = HTTPStatus.PRECONDITION_REQUIRED
    slug = "precondition-required"


class Unavailable(KerasdError):
    """The server cannot do this just now."""

    status = HTTPStatus.SERVICE_UNAVAILABLE
    slug = "unavailable"


class StorageFull(KerasdError):
    """The server's disk is full."""

    status = HTTPStatus.INSUFFICIENT_STORAGE
    slug = "storage-full"
