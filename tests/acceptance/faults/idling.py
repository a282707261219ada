"""Connections that prove nothing and are kept open, each sending a byte now and then."""

import resource
import socket
import time
from collections.abc import Iterator
from contextlib import suppress

from tests.acceptance.faults.proxy import LOOPBACK

_HEAD = (
    b"POST /v1/alertmanager HTTP/1.1\r\nHost: andon\r\nContent-Type: application/json\r\n"
    b"Content-Length: 100000\r\n\r\n["
)
_EVERY = 0.2
_OTHERS = 200
"""Files that the run itself may have open."""


def hold_idle(port: int, *, connections: int, seconds: float) -> None:
    """Keep so many connections to a port busy with nothing; those that are shut are opened anew."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    if most != resource.RLIM_INFINITY:
        connections = min(connections, most - _OTHERS)
    held: list[socket.socket] = []
    until = time.monotonic() + seconds
    try:
        while time.monotonic() < until:
            held += _opened(port, connections - len(held))
            time.sleep(_EVERY)
            shut = [each for each in held if not _sends(each)]
            for each in shut:
                each.close()
            held = [each for each in held if each not in set(shut)]
    finally:
        for each in held:
            each.close()


def _opened(port: int, count: int) -> Iterator[socket.socket]:
    """As many connections as are accepted at once; none while the gateway is away."""
    for _ in range(count):
        with suppress(OSError):
            opened = socket.create_connection((LOOPBACK, port), timeout=1)
            opened.setblocking(False)
            with suppress(OSError):
                opened.send(_HEAD)
            yield opened
            continue
        return


def _sends(connection: socket.socket) -> bool:
    """Whether it still takes a byte."""
    try:
        connection.send(b" ")
    except BlockingIOError:
        return True
    except OSError:
        return False
    return True
