"""Whether a client still waits, as far as a server knows it."""

import socket
from contextlib import closing

from flask import Flask

from service.api.hang_up import client_is_gone


def test_a_client_that_hangs_up_is_gone() -> None:
    """And not before, not even while it sends its next request."""
    ours, theirs = socket.socketpair()
    with closing(ours), Flask(__name__).test_request_context(environ_overrides={"gunicorn.socket": ours}):
        is_gone = client_is_gone()
        assert not is_gone()
        theirs.send(b"GET")
        assert not is_gone()
        assert ours.recv(3) == b"GET"
        theirs.close()
        assert is_gone()


def test_a_server_that_does_not_know_says_no() -> None:
    """The work then goes on to its end."""
    with Flask(__name__).test_request_context():
        assert not client_is_gone()()
