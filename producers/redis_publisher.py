"""Publishing to the intake on Redis streams."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import redis
from redis.backoff import ExponentialBackoff, NoBackoff
from redis.retry import Retry
from typing_extensions import override

from models.streams import EVENT, KEY, SIGNATURE, Lane, StreamNames
from producers.faults import faults_told
from producers.outcomes import READ_AT_ONCE, PublishedOutcome
from producers.publisher import INTAKE_LIMIT, Publisher
from producers.signed import SignedEvent

_EVENT = EVENT.encode()
_LONGEST_BLOCK = 1.0
"""Seconds; well below the time after which a silent connection counts as dead."""


class RedisPublisher(Publisher):
    """One ``XADD`` an event, a chunk in one MULTI.

    Args:
        broker_url: ``redis://…``.
        names: the streams.
        intake_limit: entries in the intake above which nothing is published.
    """

    def __init__(
        self, broker_url: str, *, names: StreamNames, intake_limit: int = INTAKE_LIMIT
    ) -> None:
        super().__init__(intake_limit=intake_limit)
        self._names = names
        # Publishing again is the caller's to decide; reading on survives a restart of Redis.
        self._redis = _connect(broker_url, Retry(NoBackoff(), 0))
        self._reading = _connect(broker_url, Retry(ExponentialBackoff(cap=1, base=0.05), 8))

    def _held(self) -> int:
        return sum(self._redis.xlen(self._names.intake(lane)) for lane in Lane)

    def _add(self, chunk: Sequence[SignedEvent], lane: Lane) -> list[str]:
        stream = self._names.intake(lane)
        with self._redis.pipeline(transaction=True) as multi:
            for event in chunk:
                multi.execute_command(
                    "XADD", stream, "*",
                    EVENT, event.event, KEY, event.key_id, SIGNATURE, event.signature,
                )  # fmt: skip
            numbers = multi.execute()
        return [f"{stream}/{number.decode()}" for number in numbers]

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


def _connect(url: str, retry: Retry) -> redis.Redis:
    return redis.Redis.from_url(
        url, socket_timeout=10, socket_connect_timeout=5, socket_keepalive=True, retry=retry
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
