"""What the front door does with ASGI itself: bodies whole or once more, and requests as WSGI takes them."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, MutableMapping
from concurrent.futures import Future
from typing import Any
from urllib.parse import quote

from werkzeug.exceptions import ClientDisconnected

from service.api.body_stream import BodyStream, Message, Receive

Scope = MutableMapping[str, Any]
Send = Callable[[Message], Awaitable[None]]


async def read_body(receive: Receive) -> bytes:
    """All of a body that is known to be of bearable size."""
    message = await _next(receive)
    if not message.get("more_body", False):
        content: bytes = message["body"]
        return content
    parts = [message["body"]]
    while message.get("more_body", False):
        message = await _next(receive)
        parts.append(message["body"])
    return b"".join(parts)


async def _next(receive: Receive) -> Message:
    """The next piece of a body; raises ClientDisconnected where there will be none."""
    message = await receive()
    if message["type"] == "http.disconnect":
        # Half a body must not pass for a whole one.
        raise ClientDisconnected
    return message


def whole(receive: Receive) -> Receive:
    """`receive` for a reader who must not take half a body for a whole one."""
    return lambda: _next(receive)


def again(content: bytes, receive: Receive) -> Receive:
    """`receive` for a reader who comes after the body was read."""
    messages: Iterator[Message] = iter([{"type": "http.request", "body": content, "more_body": False}])

    async def next_or_again() -> Message:
        return next(messages, None) or await receive()

    return next_or_again


def hang_up(receive: Receive) -> Callable[[], "Future[None]"]:
    """What begins to wait, from whatever thread, for the client to hang up; its body has been read before."""
    loop = asyncio.get_running_loop()

    async def wait() -> None:
        while (await receive())["type"] != "http.disconnect":
            continue

    return lambda: asyncio.run_coroutine_threadsafe(wait(), loop)


def clean(scope: Scope) -> Scope:
    """The scope with a query string in ASCII, as WSGI expects it."""
    query = scope["query_string"]
    return scope if query.isascii() else {**scope, "query_string": quote(query, safe="%&=+,:;/?@!$'()*~").encode()}


def with_own_body(app: Callable[..., Any]) -> Callable[..., Any]:
    """The application, with a body that ends where its stream does, whether or not its length is known."""

    def call(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        body = environ["wsgi.input"]
        environ["wsgi.input"] = BodyStream(body.loop, body.receive)
        environ["wsgi.input_terminated"] = True
        return app(environ, start_response)

    return call
