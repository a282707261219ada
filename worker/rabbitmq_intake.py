"""The intake on RabbitMQ quorum queues, as one pool process sees it (DESIGN 2).

A message stays unacknowledged until it is decided. Closing a connection makes the broker give
everything unacknowledged to others, counted as delivered, so a process consumes only while it
drains, and never pauses with messages that it has not run.
"""

import math
import os
import secrets
import socket
import time
from bisect import bisect_left
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

from amqp import Channel, Connection
from amqp.basic_message import Message

from models.chunks import chunks
from models.deliveries import Delivery
from models.rabbitmq import (
    BROKER_FAULTS,
    Outgoing,
    Publishing,
    accepted_at,
    connect_to_intake,
    deliveries_before,
    entry_of,
    in_few_writes,
    intake_queues,
    open_channel,
    outcome_message,
    text_header,
    waiting_message,
)
from models.streams import KEY, SIGNATURE, Lane, StreamNames
from models.tables import Door
from tasks.drain import ALONE_FROM_DELIVERY
from tasks.intake import Finished, bulk_share

_FIRST_WITHIN = 0.02
"""Seconds to wait for the first message; an acknowledgement lets the broker send more."""
_NEXT_WITHIN = 0.002
_SHORTEST_HEARTBEAT = 10.0
_LONGEST_HOLD = 240.0
"""Seconds; RabbitMQ takes a consumer that acknowledges nothing for half an hour for dead."""
_DEAD_LETTERS_OF = 4
"""Of a batch a quarter at most, so that what is fresh need not wait for a whole one of them."""
_AT_ONCE = 1_000
"""Messages published before the broker has to confirm them."""
_PEEK_PAUSE, _LONGEST_PAUSE = 5.0, 600.0


class _Tag(NamedTuple):
    """What acknowledges one message, and the id that its client gave it."""

    number: int
    message_id: str


@dataclass(slots=True)
class _Link:
    """One connection, and everything that is valid only on it."""

    connection: Connection
    channel: Channel
    publishing: Publishing
    tags: dict[str, _Tag] = field(default_factory=dict)
    arrived: dict[str, deque[Delivery]] = field(default_factory=dict)
    consumers: list[str] = field(default_factory=list)


@dataclass(slots=True)
class RabbitIntake:
    """Implements ``tasks.intake.Intake``.

    Attributes:
        claim_idle: a process that gives no sign of life for about twice as long, ten seconds at
            least, loses what it has in hand to others.
        outcomes_kept: about how many entries the streams of outcomes and halts keep.
        prefetch: how many messages of each lane the broker gives out ahead: a batch.
        ca: a file of the authorities that sign the broker's certificate; the system's by default.
    """

    url: str
    names: StreamNames
    claim_idle: timedelta
    outcomes_kept: int
    prefetch: int = 300
    ca: Path | None = None
    consumer: str = field(
        default_factory=lambda: f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}"
    )
    _link: _Link | None = field(default=None, init=False)
    _touched: float = field(default=0.0, init=False)
    _held: deque[Delivery] = field(default_factory=deque, init=False)
    _holding_since: float | None = field(default=None, init=False)
    _oldest: datetime | None = field(default=None, init=False)
    _peek_at: float = field(default=0.0, init=False)
    _peek_pause: float = field(default=_PEEK_PAUSE, init=False)

    def receive(self, limit: int) -> list[Delivery]:
        """Take up to *limit* entries: handed back, then urgent, then bulk, then dead letters."""
        if self._held or self._is_left():
            self.renew(self._held)
            return self._take(limit)
        with self._using() as link:
            if not link.consumers:
                self._consume(link)
            self._collect(link, limit)
            if not any(link.arrived.values()):
                self._cease(link)
        return self._take(limit)

    def rest(self, limit: int) -> list[Delivery]:
        """Take what the broker has given out already, and have it give out no more.

        What is held in an outage, and what runs alone, is left to this process's next drain: it may
        be hundreds of entries, one after the other.
        """
        if self._link is not None and self._link.consumers:
            with self._using() as link:
                self._cease(link)
        if self._holding_since is not None or any(map(_is_suspect, self._in_hand())):
            return []
        return self._take(limit)

    def _is_left(self) -> bool:
        """Whether a drain has left something that the broker had given out."""
        return (
            self._link is not None and not self._link.consumers and any(self._link.arrived.values())
        )

    def _in_hand(self) -> Iterator[Delivery]:
        """What this process has received from the broker and given out to nobody."""
        yield from self._held
        if self._link is not None:
            for arrived in self._link.arrived.values():
                yield from arrived

    @contextmanager
    def _using(self) -> Iterator[_Link]:
        """The link for a block of work; a block that fails gives it up."""
        try:
            yield self._connected()
        except BaseException:
            self.drop()
            raise

    def _connected(self) -> _Link:
        """The link; a new one if there is none, or if the broker may have given it up."""
        idle = time.monotonic() - self._touched
        if self._link is not None and not self._link.tags and idle > self._heartbeat:
            self.drop()
        if self._link is None:
            connection = connect_to_intake(
                self.url,
                self.names,
                outcomes_kept=self.outcomes_kept,
                ca=self.ca,
                heartbeat=self._heartbeat,
            )
            try:
                channel = open_channel(connection)
                channel.basic_qos(0, self.prefetch, False)
                self._link = _Link(connection, channel, Publishing(connection))
            except BaseException:
                connection.collect()
                raise
        self._touched = time.monotonic()
        return self._link

    @property
    def _heartbeat(self) -> float:
        return max(_SHORTEST_HEARTBEAT, self.claim_idle.total_seconds())

    def drop(self) -> None:
        """Give up the connection, and with it everything in hand; the broker hands it to others."""
        link, self._link = self._link, None
        self._held.clear()
        self._holding_since = None
        if link is not None:
            with suppress(*BROKER_FAULTS):
                link.connection.collect()

    def _consume(self, link: _Link) -> None:
        for queue in intake_queues(self.names):
            link.arrived.setdefault(queue, deque())

            def on_message(message: Message, queue: str = queue) -> None:
                self._note(link, message, queue)

            if queue == self.names.dead_letters:  # for the consumers that come next
                link.channel.basic_qos(0, max(1, self.prefetch // _DEAD_LETTERS_OF), False)
            link.consumers.append(link.channel.basic_consume(queue, callback=on_message))
        self._synchronise(link)

    def _note(self, link: _Link, message: Message, queue: str) -> None:
        delivery = self._delivery(message, set_aside=queue == self.names.dead_letters)
        if delivery.entry in link.tags:
            # The very same message a second time; the first one is still to be acknowledged.
            link.channel.basic_ack(message.delivery_tag)
            return
        link.tags[delivery.entry] = _Tag(message.delivery_tag, _id_of(message))
        link.arrived[queue].append(delivery)

    def _delivery(self, message: Message, *, set_aside: bool) -> Delivery:
        event = message.body if isinstance(message.body, bytes) else message.body.encode()
        key_id, signature = text_header(message, KEY), text_header(message, SIGNATURE)
        return Delivery(
            entry=entry_of(
                self.names, event=event, key_id=key_id, signature=signature, id=_id_of(message)
            ),
            door=Door.INTAKE,
            event=event,
            key_id=key_id,
            signature=signature,
            received_at=accepted_at(message),
            deliveries=1 + deliveries_before(message),
            set_aside=set_aside,
        )

    def _collect(self, link: _Link, limit: int) -> None:
        """Wait a moment for messages that are on their way; dead letters come after them."""
        lanes = [link.arrived[self.names.intake(lane)] for lane in Lane]
        wait = _FIRST_WITHIN
        while sum(map(len, lanes)) < limit:
            try:
                link.connection.drain_events(timeout=wait)
            except TimeoutError:
                return
            wait = _NEXT_WITHIN

    def _cease(self, link: _Link) -> None:
        """Have nothing more given out; what is on its way still arrives."""
        callbacks = dict(link.channel.callbacks)
        for consumer in link.consumers:
            link.channel.basic_cancel(consumer)
        link.channel.callbacks.update(callbacks)
        link.consumers.clear()
        self._synchronise(link)

    def _synchronise(self, link: _Link) -> None:
        """Wait for an answer; everything that was sent before it has arrived by then.

        It asks for what the first consumers of the next drain are to have.
        """
        link.channel.basic_qos(0, self.prefetch, False)

    def _take(self, limit: int) -> list[Delivery]:
        """Up to *limit* of what is in hand, or one that has been delivered too often, alone."""
        arrived = {} if self._link is None else self._link.arrived
        lanes = [self._held, *arrived.values()]
        for lane in lanes:
            for delivery in lane:
                if _is_suspect(delivery):
                    lane.remove(delivery)
                    return [delivery]
        left = limit
        shares = {}
        for queue in intake_queues(self.names)[1:]:  # what is urgent goes first, and has the rest
            shares[queue] = min(bulk_share(left), len(arrived.get(queue, ())))
            left -= shares[queue]
        taken: list[Delivery] = []
        for lane, queue in zip(lanes, ("", *arrived), strict=True):
            left += shares.get(queue, 0)
            while lane and len(taken) < left:
                taken.append(lane.popleft())
        return taken

    def finish(self, done: Sequence[Finished]) -> None:
        """Publish outcomes, and once the broker has them safely, acknowledge their entries."""
        for some in chunks(done, _AT_ONCE):
            self.publish([(o.event(), o.halted) for _, o in some if o is not None])
            self._acknowledge(delivery for delivery, _ in some)
        self._holding_since = None

    def _acknowledge(self, deliveries: Iterable[Delivery]) -> None:
        """Acknowledge all with one word up to the oldest that stays in hand, then one by one."""
        with self._using() as link, in_few_writes(link.connection):
            # Without a tag the connection it came by is gone: it is delivered again.
            tags = (link.tags.pop(each.entry, None) for each in deliveries)
            numbers = sorted(tag.number for tag in tags if tag is not None)
            stays = min((tag.number for tag in link.tags.values()), default=math.inf)
            together = bisect_left(numbers, stays)
            if together:
                link.channel.basic_ack(numbers[together - 1], multiple=True)
            for number in numbers[together:]:
                link.channel.basic_ack(number)

    def set_aside(self, deliveries: Sequence[Delivery], *, seconds: float) -> None:
        """Have the broker move the messages to where they wait, as they are.

        To the dead letters, which come last, if they need not wait for any time. That takes two
        thirds of the work of publishing them there, and it is the broker that loses none. A dead
        letter goes nowhere by itself, and is published again like those that wait.
        """
        at_once = [each for each in deliveries if not seconds and not each.set_aside]
        with self._using() as link, in_few_writes(link.connection):
            for delivery in at_once:
                tag = link.tags.pop(delivery.entry, None)
                if tag is not None:
                    link.channel.basic_reject(tag.number, requeue=False)
        if len(at_once) < len(deliveries):
            moved = {each.entry for each in at_once}
            self._publish_again([d for d in deliveries if d.entry not in moved], seconds=seconds)

    def _publish_again(self, deliveries: Sequence[Delivery], *, seconds: float) -> None:
        """Publish the messages where the broker keeps them for that long, as they were.

        Each is acknowledged once its copy is there. Between the two there may be both: they bear
        the same name, so the second one is a redelivery. A time of acceptance that is none, or is
        still to come, becomes now: or what waits until it is old enough would never be.
        """
        now = datetime.now(UTC)
        for some in chunks(deliveries, _AT_ONCE):
            with self._using() as link:
                kept = [each for each in some if each.entry in link.tags]
                link.publishing.publish(
                    Outgoing(
                        self.names.set_aside,
                        waiting_message(
                            each.event, each.key_id, each.signature,
                            message_id=link.tags[each.entry].message_id,
                            accepted_at=min(each.received_at, now),
                            seconds=seconds,
                        ),
                    )
                    for each in kept
                )  # fmt: skip
            self._acknowledge(kept)

    def publish(self, events: Sequence[tuple[bytes, bool]]) -> None:
        """Publish outcome events."""
        for some in chunks(events, _AT_ONCE):
            with self._using() as link:
                link.publishing.publish(self._outgoing(some))

    def _outgoing(self, events: Iterable[tuple[bytes, bool]]) -> Iterable[Outgoing]:
        for event, halted in events:
            for stream in (self.names.outcomes, self.names.halts)[: 2 if halted else 1]:
                yield Outgoing(stream, outcome_message(event))

    def renew(self, deliveries: Iterable[Delivery]) -> None:  # noqa: ARG002  # all of them
        """Tell the broker that this process is alive."""
        with self._using() as link:
            link.connection.send_heartbeat()

    def hand_back(self, deliveries: Sequence[Delivery]) -> None:
        """Hold the entries and receive them again here, since giving them back would count.

        For minutes only: then the broker may have them back.
        """
        tags = self._link.tags if self._link is not None else {}
        kept = [each for each in deliveries if each.entry in tags]
        if not kept:  # the broker has them back with their connection
            return
        now = time.monotonic()
        self._holding_since = self._holding_since or now
        if now - self._holding_since > _LONGEST_HOLD:
            self.drop()
            return
        self._held.extendleft(reversed(kept))

    def forget_consumers(self) -> None:
        """Nothing to do: RabbitMQ forgets a consumer with its connection."""

    def clock(self) -> datetime | None:
        """None: RabbitMQ does not tell the time."""
        return None

    def oldest_undecided(self) -> datetime | None:
        """When the oldest message that nobody has in hand was published, by its client's clock.

        The heads of the queues are looked at and put back, which counts as a delivery. So while
        nothing moves it is asked more and more rarely; an old answer is a cautious one.
        """
        now = time.monotonic()
        if now >= self._peek_at:
            with self._using() as link:
                found = self._peek(link.connection)
            moved = found is None or found != self._oldest
            self._peek_pause = _PEEK_PAUSE if moved else min(2 * self._peek_pause, _LONGEST_PAUSE)
            self._peek_at = now if found is None else now + self._peek_pause
            self._oldest = found
        return self._oldest

    def _peek(self, connection: Connection) -> datetime | None:
        channel = open_channel(connection)
        queues = (*intake_queues(self.names), self.names.set_aside)
        heads = (channel.basic_get(queue) for queue in queues)
        times = [accepted_at(message) for message in heads if message is not None]
        channel.close()  # which puts them back
        return min(times, default=None)


def _id_of(message: Message) -> str:
    return str(message.properties.get("message_id") or "")


def _is_suspect(delivery: Delivery) -> bool:
    return delivery.deliveries >= ALONE_FROM_DELIVERY
