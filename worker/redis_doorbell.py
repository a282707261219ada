"""The doorbell on Redis: tells the worker's main process that entries wait, and reads none.

It asks with ``XREAD BLOCK`` for entries after the group's last-delivered ids, on a connection of
its own whose socket the event loop watches. The reply is thrown away; only its coming counts.
"""

import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import redis
import structlog
from kombu.asynchronous.hub import Hub

from models.streams import Lane, StreamNames
from worker.broker_warnings import BrokerTooOld, read_warnings
from worker.redis_burial import release_entries_of_dead
from worker.redis_intake import connect_redis, make_groups

logger = structlog.get_logger(__name__)

BLOCK_MS = 5_000
SILENCE = BLOCK_MS / 1000 + 5
"""Seconds without a reply after which the connection is taken for dead."""


class RedisDoorbell:
    """Implements ``worker.doorbell.Doorbell``.

    Args:
        url: the intake's Redis.
        names: its streams.
        hub: the event loop of the main process.
        claim_idle: after this time without a sign of life an entry is taken over.
        ca: a file of the authorities that sign its certificate, beside the system's.
        ring: called when entries wait.
        lost: called when the connection is lost; the doorbell is closed then.
    """

    def __init__(
        self,
        url: str,
        names: StreamNames,
        hub: Hub,
        *,
        claim_idle: timedelta,
        ca: Path | None,
        ring: Callable[[], None],
        lost: Callable[[Exception], None],
    ) -> None:
        self._client = connect_redis(url, ca)
        self._names = names
        self._hub = hub
        self._claim_idle = claim_idle
        self._ring = ring
        self._lost = lost
        self._connection: Any = None  # redis-py's, of whose insides the socket is needed
        self._listening_since: float | None = None

    def open(self) -> None:
        """Connect, and create the consumer group where it is missing.

        Raises:
            redis.RedisError: Redis does not answer, or is too old.
        """
        self._tell_settings()
        make_groups(self._client, self._names)
        connection: Any = self._client.connection_pool.get_connection()
        self._connection = connection
        self._hub.add_reader(connection._sock.fileno(), self._on_readable)

    def close(self) -> None:
        """Stop listening."""
        connection, self._connection = self._connection, None
        self._listening_since = None
        if connection is not None:
            if connection._sock is not None:
                self._hub.remove(connection._sock.fileno())
            connection.disconnect()
        self._client.close()

    def listen(self) -> None:
        """Ring as soon as entries wait; while listening already, this changes nothing."""
        if self._connection is None or self._listening_since is not None:
            return
        try:
            self._ask()
        except redis.RedisError as error:
            self._fail(error)

    def release_entries_of_dead(self) -> bool:
        """Let others have at once what a dead pool process of this worker holds, if it does."""
        try:
            return release_entries_of_dead(self._client, self._names, self._claim_idle)
        except redis.RedisError as error:
            self._fail(error)
            return False

    def check(self) -> None:
        """Notice that Redis has fallen silent."""
        since = self._listening_since
        if since is not None and time.monotonic() - since > SILENCE:
            self._fail(redis.TimeoutError("Redis has fallen silent"))

    def _tell_settings(self) -> None:
        """Log what of the settings of Redis may cost requests."""
        try:
            for warning in read_warnings(self._client, self._names):
                logger.warning(f"redis_{warning.code}", advice=warning.text)
        except BrokerTooOld as error:
            logger.error("redis_too_old", advice=str(error))
            raise
        except redis.exceptions.NoPermissionError:
            logger.warning("redis_settings_unknown", advice="let the worker's Redis user ask INFO")

    def _ask(self) -> None:
        streams = [self._names.intake(lane) for lane in Lane]
        after = [self._last_delivered(stream) for stream in streams]
        self._connection.send_command(
            "XREAD", "COUNT", 1, "BLOCK", BLOCK_MS, "STREAMS", *streams, *after
        )
        self._listening_since = time.monotonic()

    def _last_delivered(self, stream: str) -> str:
        groups: Any = self._client.xinfo_groups(stream)
        for group in groups:
            if group["name"] == self._names.group.encode():
                return str(group["last-delivered-id"].decode())
        make_groups(self._client, self._names)
        return "0"

    def _on_readable(self) -> None:
        connection = self._connection
        if connection is None:
            return
        try:
            if not connection.can_read():  # what TLS itself has sent
                return
            reply = connection.read_response()
            self._listening_since = None
            if reply:
                self._ring()
            else:
                self.listen()
        except redis.RedisError as error:
            self._fail(error)

    def _fail(self, error: Exception) -> None:
        self.close()
        self._lost(error)
