"""The class of gunicorn's workers: uvicorn's, with what uvicorn leaves to a proxy in front of it."""

from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn_worker import UvicornWorker

#: The most bytes that a request may have before its body begins.
MAX_HEAD_BYTES = 2**16


class BoundedProtocol(HttpToolsProtocol):
    """HTTP with a bound on what comes before a body; uvicorn alone would keep all that a client likes to send."""

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._head_bytes = 0

    def on_url(self, url: bytes) -> None:
        self._count(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        self._count(len(name) + len(value))
        super().on_header(name, value)

    def _count(self, size: int) -> None:
        self._head_bytes += size
        if self._head_bytes > MAX_HEAD_BYTES:
            # The parser turns this into an error of its own, upon which uvicorn answers 400 and hangs up.
            raise ValueError("the head is too long")


class WebWorker(UvicornWorker):  # type: ignore[misc,unused-ignore]
    """A gunicorn worker that runs an ASGI application on uvloop and httptools."""

    CONFIG_KWARGS: dict[str, Any] = {
        "loop": "uvloop",
        "http": BoundedProtocol,
        "ws": "none",
        "lifespan": "off",
        "server_header": False,
        "proxy_headers": False,
    }
