"""HTTP by hand, over a real socket, for tests that send what no client library would."""

import contextlib
import socket
from dataclasses import dataclass
from types import TracebackType
from typing import Self

#: No answer takes longer in these tests unless it never comes.
PATIENCE = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """An answer as it came; the names of its headers are in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes


class Client:
    """One connection to a server on this machine."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), PATIENCE)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._came = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.socket.close()

    def send(self, *parts: bytes) -> None:
        self.socket.sendall(b"".join(parts))

    def ask(self, *parts: bytes) -> Answered:
        """Send, and give the next answer."""
        self.send(*parts)
        return self.answer()

    def answer(self, head_only: bool = False) -> Answered:
        """The next answer, none of whose successors is lost."""
        head = self._until(b"\r\n\r\n").decode("latin-1")
        first, *lines = head.split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines if line)}
        status = int(first.split(" ")[1])
        if head_only or status in (100, 204, 304):
            body = b""
        elif headers.get("transfer-encoding") == "chunked":
            body = self._chunks()
        else:
            body = self._exactly(int(headers["content-length"]))
        return Answered(status=status, headers=headers, body=body)

    def is_closed(self, seconds: float = PATIENCE) -> bool:
        """Whether the server hangs up within so many seconds without saying anything more."""
        self.socket.settimeout(seconds)
        try:
            return self._came == b"" and self.socket.recv(1) == b""
        except ConnectionError:
            return True
        except TimeoutError:
            return False
        finally:
            # The server may have reset the connection meanwhile.
            with contextlib.suppress(OSError):
                self.socket.settimeout(PATIENCE)

    def _chunks(self) -> bytes:
        parts = []
        while size := int(self._until(b"\r\n"), 16):
            parts.append(self._exactly(size))
            self._exactly(2)
        self._exactly(2)
        return b"".join(parts)

    def _until(self, mark: bytes) -> bytes:
        while mark not in self._came:
            self._more()
        found, _, self._came = self._came.partition(mark)
        return found

    def _exactly(self, size: int) -> bytes:
        while len(self._came) < size:
            self._more()
        found, self._came = self._came[:size], self._came[size:]
        return found

    def _more(self) -> None:
        came = self.socket.recv(2**16)
        if not came:
            raise ConnectionError("The server has hung up.")
        self._came += came


def post(path: str, body: bytes, *headers: str) -> bytes:
    """A POST with its length."""
    return head("POST", path, f"Content-Length: {len(body)}", *headers) + body


def chunked(path: str, *parts: bytes, headers: tuple[str, ...] = ()) -> bytes:
    """A POST in chunks."""
    chunks = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in (*parts, b""))
    return head("POST", path, "Transfer-Encoding: chunked", *headers) + chunks


def head(method: str, path: str, *headers: str, version: str = "1.1") -> bytes:
    """What comes before a body."""
    return "\r\n".join([f"{method} {path} HTTP/{version}", "Host: here", *headers, "", ""]).encode("latin-1")
