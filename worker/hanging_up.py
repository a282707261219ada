"""Hanging up on a PostgreSQL that has fallen silent, for the schedules.

A server that is stopped, or whose machine hangs, keeps its connections and answers none: neither
its own statement timeout nor the network ends the wait. A thread beside the jobs ends it by closing
the line, which the job takes for what it is, an outage. Pool processes have time limits instead.
"""

import os
import socket
import threading
from collections.abc import Callable
from contextlib import suppress

import psycopg
import structlog

logger = structlog.get_logger(__name__)

SILENCE = 25.0
"""Seconds beyond its time limit after which a statement should have been ended by the server."""
_LOOK_EVERY = 1.0


class Line:
    """The connection to PostgreSQL of a process that has one.

    Args:
        silent_for: for how many seconds the job under way has got nothing done; 0 if none is.
        stepped: called after each statement.
        limit: seconds after which PostgreSQL is taken to be silent.
    """

    def __init__(
        self, silent_for: Callable[[], float], stepped: Callable[[], None], *, limit: float
    ) -> None:
        self._silent_for = silent_for
        self._stepped = stepped
        self._limit = limit
        self._connection: psycopg.Connection | None = None

    def watch(self) -> None:
        """Look after the line for as long as the process lives."""
        threading.Thread(target=self._watch, daemon=True).start()

    def opened(self, connection: psycopg.Connection) -> None:
        """This is the connection from now on."""
        wait: Callable[..., object] = connection.wait

        def wait_and_tell(*args: object, **kwargs: object) -> object:
            try:
                return wait(*args, **kwargs)
            finally:
                self._stepped()

        # All that is asked of the server goes through here, whoever asks: SQLAlchemy, or we.
        connection.wait = wait_and_tell  # type: ignore[method-assign,assignment]  # of this one
        self._connection = connection

    def _watch(self) -> None:
        pause = threading.Event()
        while not pause.wait(_LOOK_EVERY):
            connection = self._connection
            if connection is not None and self._silent_for() > self._limit:
                logger.warning("postgresql_is_silent", seconds=round(self._silent_for()))
                self._connection = None
                _hang_up(connection)


def _hang_up(connection: psycopg.Connection) -> None:
    """End both directions of the line, so that whoever waits for it hears of it at once."""
    with suppress(OSError, psycopg.Error), socket.socket(fileno=_copy(connection)) as line:
        line.shutdown(socket.SHUT_RDWR)


def _copy(connection: psycopg.Connection) -> int:
    return os.dup(connection.pgconn.socket)
