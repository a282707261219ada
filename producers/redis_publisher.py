"""Publishing to the intake on Redis streams."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import redis
from redis.backoff import ExponentialBackoff, NoBackoff
from redis.exceptions import NoPermissionError
from redis.retry import Retry
from typing_extensions import override

from models.broker_tls import redis_tls
from models.streams import EVENT, KEY, SIGNATURE, Lane, StreamNames
from producers.faults import faults_told
from producers.outcomes import READ_AT_ONCE, PublishedOutcome
from producers.publisher import INTAKE_LIMIT, MEMORY_PERCENT, Publisher
from producers.signed import SignedEvent

_EVENT = EVENT.encode()
_MEMORY_EVERY = 1.0
"""Seconds between two questions how much memory is left."""
_LONGEST_BLOCK = 1.0
"""Seconds; well below the time after which a silent connection counts as dead."""


class RedisPublisher(Publisher):
    """One ``XADD`` an event, a chunk in one MULTI.

    Args:
        broker_url: ``redis://…``.
        names: the streams.
        intake_limit: entries in the intake above which nothing is published.
        memory_percent: the same for the part of its ``maxmemory`` that Redis has used.
        ca: a file of the authorities that sign the broker's certificate, beside the system's.
    """

    def __init__(
        self,
        broker_url: str,
        *,
        names: StreamNames,
        intake_limit: int = INTAKE_LIMIT,
        memory_percent: int = MEMORY_PERCENT,
        ca: Path | None = None,
    ) -> None:
        super().__init__(intake_limit=intake_limit, memory_percent=memory_percent)
        self._used = 0.0
        self._ask_memory_at = 0.0
        self._names = names
        # Publishing again is the caller's to decide; reading on survives a restart of Redis.
        self._redis = _connect(broker_url, ca, Retry(NoBackoff(), 0))
        self._reading = _connect(broker_url, ca, Retry(ExponentialBackoff(cap=1, base=0.05), 8))

    def _held(self) -> int:
        return sum(self._redis.xlen(self._names.intake(lane)) for lane in Lane)

    @override
    def _memory_used(self) -> float:
        """It is asked once a second, and each time while there is too little left."""
        now = time.monotonic()
        if now >= self._ask_memory_at:
            try:
                memory: Any = self._redis.info("memory")
            except NoPermissionError:  # Redis itself refuses what it has no room for at all
                memory = {"maxmemory": 0}
            limit = memory["maxmemory"]
            self._used = 100 * memory["used_memory"] / limit if limit else 0.0
            if self._used < self._memory_percent:
                self._ask_memory_at = now + _MEMORY_EVERY
        return self._used

    def _add(self, chunk: Sequence[SignedEvent], lane: Lane, entries: list[str]) -> None:
        stream = self._names.intake(lane)
        with self._redis.pipeline(transaction=True) as multi:
            for event in chunk:
                multi.execute_command(
                    "XADD", stream, "*",
                    EVENT, event.event, KEY, event.key_id, SIGNATURE, event.signature,
                )  # fmt: skip
            # Each command of a MULTI is carried out, whatever becomes of the others.
            replies = multi.execute(raise_on_error=False)
        for reply in replies:
            if isinstance(reply, Exception):
                raise reply
            entries.append(f"{stream}/{reply.decode()}")

    @override
    def clock(self) -> datetime:
        """The time by Redis's clock (UTC)."""
        with faults_told():
            seconds, microseconds = self._redis.time()
        return datetime.fromtimestamp(seconds, UTC) + timedelta(microseconds=microseconds)

    def position(self) -> str:
        """The number of the newest outcome."""
        with faults_told():
            newest: Any = self._redis.xrevrange(self._names.outcomes, count=1)
        return newest[0][0].decode() if newest else "0"

    @override
    def reader(self, since: str) -> "RedisOutcomeReader":
        """A reader of all outcomes that were published after the position *since*."""
        return RedisOutcomeReader(self._reading, self._names.outcomes, since)

    @override
    def close(self) -> None:
        """Close the connections."""
        super().close()
        self._redis.close()
        self._reading.close()


def _connect(url: str, ca: Path | None, retry: Retry) -> redis.Redis:
    return redis.Redis.from_url(
        url,
        socket_timeout=10,
        socket_connect_timeout=5,
        socket_keepalive=True,
        retry=retry,
        **redis_tls(url, ca),
    )


@dataclass(slots=True)
class RedisOutcomeReader:
    """Implements ``producers.outcomes.OutcomeReader``."""

    client: redis.Redis
    stream: str
    position: str

    def read(self, *, block: float = 0.0) -> list[PublishedOutcome]:
        """The outcomes published since the last call."""
        milliseconds = max(1, int(min(block, _LONGEST_BLOCK) * 1000)) if block > 0 else None
        with faults_told():
            reply: Any = self.client.xread(
                {self.stream: self.position}, count=READ_AT_ONCE, block=milliseconds
            )
        outcomes = []
        for _, entries in reply:
            for number, fields in entries:
                self.position = number.decode()
                outcomes.append(PublishedOutcome.read(fields[_EVENT]))
        return outcomes

    def close(self) -> None:
        """Nothing to give up: the connection is the publisher's."""
