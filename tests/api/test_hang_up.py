"""Whether a client still waits, as far as the front door knows it."""

from concurrent.futures import Future

from flask import Flask

from service.api.hang_up import HANG_UP, client_is_gone


def test_a_client_that_hangs_up_is_gone() -> None:
    """And not before."""
    hung_up: Future[None] = Future()
    scope = {HANG_UP: lambda: hung_up}
    with Flask(__name__).test_request_context(environ_overrides={"asgi.scope": scope}):
        is_gone = client_is_gone()
        assert not is_gone()
        hung_up.set_result(None)
        assert is_gone()


def test_where_nobody_knows_the_client_is_there() -> None:
    """The work then goes on to its end."""
    with Flask(__name__).test_request_context():
        assert not client_is_gone()()
