"""Loopback ports: a server keeps its own while that is free, else it gets another one."""

import socket
from collections.abc import Callable
from typing import TypeVar

from console.embedded.errors import StartFailed

LOOPBACK = "127.0.0.1"
_ATTEMPTS = 5
_T = TypeVar("_T")


def run_on_free_port(preferred: str | None, run: Callable[[int], _T]) -> _T:
    """Run a server on the preferred port, or on random ones until none was taken meanwhile.

    Args:
        preferred: the port of the last start, if there was one.
        run: starts the server on a port.

    Returns:
        What `run` returned.

    Raises:
        StartFailed: `run` raised it although its port is free, or no port was found.
    """
    port = int(preferred) if preferred is not None and _is_free(int(preferred)) else _random_port()
    for _ in range(_ATTEMPTS):
        try:
            return run(port)
        except StartFailed:
            if _is_free(port):
                raise  # then the port was not the reason
            port = _random_port()
    raise StartFailed(f"{_ATTEMPTS} loopback ports were each taken while a server was started")


def _random_port() -> int:
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        return int(probe.getsockname()[1])


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True
