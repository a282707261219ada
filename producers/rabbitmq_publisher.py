"""Publishing to the intake on RabbitMQ: confirmed, a chunk at a time."""

import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from amqp import Connection
from amqp.basic_message import Message
from typing_extensions import override

from models.broker_tls import rabbitmq_tls
from models.rabbitmq import (
    BROKER_FAULTS,
    Outgoing,
    Publishing,
    connect_rabbitmq,
    connect_to_publish,
    entry_of,
    intake_message,
    intake_queues,
    open_channel,
    undelivered,
)
from models.streams import Lane, StreamNames
from producers.faults import faults_told
from producers.outcomes import READ_AT_ONCE, PublishedOutcome
from producers.publisher import INTAKE_LIMIT, Publisher
from producers.signed import SignedEvent, fresh_id

_OUTCOMES_KEPT = 100_000
"""For the streams, where a client is the first to come."""
_LAST_CHUNK = 60_000
"""More messages than a stream ever keeps in one chunk."""
_READ_WITHIN = 0.002
_PAUSE = 0.2
_RECONNECTS = 8


@dataclass(frozen=True, slots=True)
class _Link:
    """One connection, and the channel on it that publishes."""

    connection: Connection
    publishing: Publishing


class RabbitPublisher(Publisher):
    """One confirmed publish an event, the confirms of a chunk awaited together.

    The connection is opened anew when it is lost. Threads take turns.

    Args:
        broker_url: ``amqp://…``.
        names: the queues.
        intake_limit: entries in the intake above which nothing is published.
        ca: a file of the authorities that sign the broker's certificate; the system's by default.
    """

    def __init__(
        self,
        broker_url: str,
        *,
        names: StreamNames,
        intake_limit: int = INTAKE_LIMIT,
        ca: Path | None = None,
    ) -> None:
        super().__init__(intake_limit=intake_limit)
        rabbitmq_tls(broker_url, ca)  # to hear of a fault now
        self._url = broker_url
        self._ca = ca
        self._names = names
        self._link: _Link | None = None
        self._turn = threading.RLock()

    @contextmanager
    def _using(self) -> Iterator[_Link]:
        """The link for a block of work; a block that fails gives it up."""
        with self._turn:
            try:
                if self._link is None:
                    connection = connect_to_publish(
                        self._url, self._names, outcomes_kept=_OUTCOMES_KEPT, ca=self._ca
                    )
                    self._link = _Link(connection, Publishing(connection))
                yield self._link
            except BROKER_FAULTS:
                self._drop()
                raise

    def _drop(self) -> None:
        link, self._link = self._link, None
        if link is not None:
            _collect(link.connection)

    def _held(self) -> int:
        """How many messages nobody has in hand; of an idle connection that died, a new one tells.

        Nothing has been published yet, so asking twice is harmless.
        """
        try:
            return self._depth()
        except BROKER_FAULTS:
            return self._depth()

    def _depth(self) -> int:
        with self._using() as link:
            channel = open_channel(link.connection)
            held = sum(undelivered(channel, queue) for queue in intake_queues(self._names))
            channel.close()
            return held

    def _add(self, chunk: Sequence[SignedEvent], lane: Lane, entries: list[str]) -> None:
        now = datetime.now(UTC)
        ids = [fresh_id(now) for _ in chunk]
        queue = self._names.intake(lane)
        with self._using() as link:
            link.publishing.publish(
                Outgoing(
                    queue,
                    intake_message(
                        each.event, each.key_id, each.signature, message_id=id_, now=now
                    ),
                    self._names.intake_exchange,
                )
                for each, id_ in zip(chunk, ids, strict=True)
            )
        entries += [
            entry_of(
                self._names,
                event=each.event,
                key_id=each.key_id,
                signature=each.signature,
                id=id_,
            )
            for each, id_ in zip(chunk, ids, strict=True)
        ]

    def position(self) -> str:
        """The offset of the outcome that comes next."""
        with faults_told(), self._using() as link:
            offsets: list[int] = []

            def note(message: Message) -> None:
                offsets.append(message.headers["x-stream-offset"])

            channel = open_channel(link.connection)
            channel.basic_qos(0, _LAST_CHUNK, False)
            channel.basic_consume(
                self._names.outcomes, callback=note, arguments={"x-stream-offset": "last"}
            )
            channel.basic_qos(0, _LAST_CHUNK, False)  # answered after the last chunk has come
            channel.close()
        return str(max(offsets, default=-1) + 1)

    @override
    def reader(self, since: str) -> "RabbitOutcomeReader":
        """A reader of all outcomes from the position *since* on."""
        return RabbitOutcomeReader(self._url, self._names.outcomes, int(since), self._ca)

    @override
    def close(self) -> None:
        """Close the connections."""
        super().close()
        with self._turn:
            self._drop()


@dataclass(slots=True)
class RabbitOutcomeReader:
    """Implements ``producers.outcomes.OutcomeReader``, on a connection of its own.

    Attributes:
        position: the offset of the outcome that is read next.
    """

    url: str
    stream: str
    position: int
    ca: Path | None = None
    _connection: Connection | None = field(default=None, init=False)
    _arrived: deque[Message] = field(default_factory=deque, init=False)

    def read(self, *, block: float = 0.0) -> list[PublishedOutcome]:
        """The outcomes published since the last call; a lost connection is opened anew."""
        with faults_told():
            for attempt in range(1, _RECONNECTS + 1):
                try:
                    self._collect(block)
                    return self._take()
                except BROKER_FAULTS:
                    self.close()
                    if attempt == _RECONNECTS:
                        raise
                    time.sleep(_PAUSE)
        raise AssertionError("unreachable")

    def _collect(self, block: float) -> None:
        if self._connection is None:
            self._consume()
        assert self._connection is not None
        wait = max(block, _READ_WITHIN)
        while len(self._arrived) < READ_AT_ONCE:
            try:
                self._connection.drain_events(timeout=min(wait, 1.0))
            except TimeoutError:
                return
            wait = _READ_WITHIN

    def _consume(self) -> None:
        self._connection = connect_rabbitmq(self.url, ca=self.ca)
        channel = open_channel(self._connection)
        channel.basic_qos(0, READ_AT_ONCE, False)
        channel.basic_consume(
            self.stream,
            callback=self._arrived.append,
            arguments={"x-stream-offset": self.position},
        )

    def _take(self) -> list[PublishedOutcome]:
        outcomes = []
        while self._arrived:
            message = self._arrived.popleft()
            message.channel.basic_ack(message.delivery_tag)
            offset = message.headers["x-stream-offset"]
            if offset >= self.position:  # a chunk is given out from its beginning
                self.position = offset + 1
                outcomes.append(PublishedOutcome.read(message.body))
        return outcomes

    def close(self) -> None:
        """Close the connection; the next read opens another and goes on from here."""
        connection, self._connection = self._connection, None
        self._arrived.clear()
        if connection is not None:
            _collect(connection)


def _collect(connection: Connection) -> None:
    with suppress(*BROKER_FAULTS):
        connection.collect()
