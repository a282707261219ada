"""Bare connections to a gateway, for senders that behave as no HTTP client does."""

import socket
from http.client import HTTPResponse
from urllib.parse import urlsplit

from tests.support.gateways import GatewayProcess, bearer


def raw(gateway: GatewayProcess) -> socket.socket:
    """A bare connection."""
    place = urlsplit(gateway.url)
    assert place.hostname is not None
    assert place.port is not None
    return socket.create_connection((place.hostname, place.port), timeout=120)


def posted(path: bytes, length: int, *headers: bytes) -> bytes:
    """The head of a request with a body of so many bytes."""
    lines = (b"POST " + path + b" HTTP/1.1", b"Host: x", b"Content-Length: %d" % length, *headers)
    return b"\r\n".join(lines) + b"\r\n\r\n"


def asked(path: bytes, *headers: bytes) -> bytes:
    """A whole request without a body."""
    return b"\r\n".join((b"GET " + path + b" HTTP/1.1", b"Host: x", *headers)) + b"\r\n\r\n"


def proof() -> bytes:
    """The header that proves the tests' source."""
    return b"Authorization: " + bearer()["Authorization"].encode()


def answer_of(connection: socket.socket) -> HTTPResponse:
    """The next answer, once all of it has come; nothing of it is left for the one after."""
    answer = HTTPResponse(connection)
    answer.begin()
    answer.read()
    return answer


def is_closed(connection: socket.socket) -> bool:
    """Whether the other end has closed it; what it said before is left out."""
    connection.setblocking(False)
    try:
        while connection.recv(10_000):
            pass
    except BlockingIOError:
        return False
    except ConnectionError:
        pass
    return True
