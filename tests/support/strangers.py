"""Thousands of connections that mean nothing, and come back whenever they are closed."""

import errno
import resource
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from tests.support.gateways import GatewayProcess
from tests.support.waiting import wait_for

_GONE = frozenset({errno.EPIPE, errno.ECONNRESET, errno.ENOTCONN, errno.ECONNREFUSED})
_ROUND_SECONDS = 0.5


@dataclass(slots=True)
class Strangers:
    """Holds *count* connections open, which say *first* and then *more* now and then."""

    gateway: GatewayProcess
    count: int
    first: bytes
    more: bytes
    opened: int = 0
    failure: Exception | None = None
    _stop: threading.Event = field(default_factory=threading.Event)
    _open: list[socket.socket] = field(default_factory=list)

    def run(self) -> None:
        """Until it is told to stop."""
        try:
            while not self._stop.wait(_ROUND_SECONDS):
                self._open = [each for each in self._open if self._goes_on(each)]
                while len(self._open) < self.count and not self._stop.is_set():
                    self._open.append(self._connect())
        except Exception as error:
            self.failure = error
        finally:
            for each in self._open:
                each.close()

    def _connect(self) -> socket.socket:
        place = urlsplit(self.gateway.url)
        assert place.hostname is not None
        assert place.port is not None
        connection = socket.create_connection((place.hostname, place.port), timeout=30)
        connection.setblocking(False)
        with suppress(ConnectionError):
            connection.send(self.first)
        self.opened += 1
        return connection

    def _goes_on(self, connection: socket.socket) -> bool:
        try:
            if self.more:
                connection.send(self.more)
            said = connection.recv(1_000)
        except BlockingIOError:
            return True
        except ConnectionError:
            said = b""
        if not said:
            connection.close()
        return bool(said)

    def stop(self) -> None:
        """Close all of them."""
        self._stop.set()


@contextmanager
def strangers(gateway: GatewayProcess, first: bytes, more: bytes, *, count: int) -> Iterator[None]:
    """So many of them, for the time of a block."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, count + 2_000)), hard))
    crowd = Strangers(gateway, count, first, more)
    thread = threading.Thread(target=crowd.run, daemon=True)
    thread.start()
    try:
        wait_for(lambda: crowd.opened >= count, seconds=60, what="all have come once")
        yield
    finally:
        crowd.stop()
        thread.join(60)
    assert crowd.failure is None, crowd.failure
