"""The intake on Redis streams, as one pool process sees it (DESIGN 2).

An entry stays in its stream until it is decided: it is read through the consumer group, and
acknowledged and deleted by the same script that publishes its outcome. Redis 7.0 and later.
"""

import os
import random
import secrets
import socket
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from itertools import chain
from pathlib import Path
from typing import Any

import redis
from redis.commands.core import Script

from models.acceptance import moment_told
from models.broker_tls import redis_tls
from models.chunks import chunks
from models.deliveries import Delivery
from models.entries import entry_name
from models.streams import EVENT, KEY, SIGNATURE, Lane, StreamNames
from models.tables import Door
from tasks.drain import ALONE_FROM_DELIVERY
from tasks.intake import Finished, bulk_share
from worker.redis_pending import (
    AT_ONCE,
    SET_ASIDE,
    Pending,
    give,
    left_by_others,
    milliseconds,
    set_aside_before,
)

_EVENT, _KEY, _SIGNATURE = EVENT.encode(), KEY.encode(), SIGNATURE.encode()
LANES = (Lane.URGENT, Lane.BULK)
_GONE_AFTER_MS = 3_600_000
_ASIDE_EVERY = 0.5
"""Seconds between two looks for what is set aside, while nothing is."""
_FORGET_CONSUMERS = """
    local found = redis.pcall('XINFO', 'CONSUMERS', KEYS[1], ARGV[1])
    if found.err then return end  -- no stream, or no group, yet
    for _, consumer in ipairs(found) do
        local of = {}
        for i = 1, #consumer, 2 do of[consumer[i]] = consumer[i + 1] end
        if of['pending'] == 0 and of['idle'] > tonumber(ARGV[2]) then
            redis.call('XGROUP', 'DELCONSUMER', KEYS[1], ARGV[1], of['name'])
        end
    end
"""
"""One script, so that nothing is delivered to a consumer between the look and the removal."""

_FINISH = """
    local group, kept, next = ARGV[1], ARGV[2], #KEYS + 3
    redis.call('XACK', KEYS[1], group, '0-0')
    for number, stream in ipairs(KEYS) do
        local first, last = next, next + ARGV[number + 2] - 1
        next = last + 1
        if number <= 2 then
            for i = first, last do
                redis.call('XADD', stream, 'MAXLEN', '~', kept, '*', 'event', ARGV[i])
            end
        else
            redis.call('XACK', stream, group, unpack(ARGV, first, last))
            redis.call('XDEL', stream, unpack(ARGV, first, last))
        end
    end
"""
"""Publishes to the first two streams and takes entries out of the others, all at once.

A script, like a MULTI, is carried out whole, but it is one command with one reply: to write and
read those of a MULTI took a tenth of a request's time. Its arguments are the group, how many
outcomes are kept, how many arguments each stream has, and these.

It begins with a write that changes nothing, since a script that has written may go on writing where
Redis has no memory left: what is finished makes room, and must not be refused for want of it.
"""

_MAKE_GROUP = """
    redis.call('XACK', KEYS[1], ARGV[1], '0-0')  -- see above
    local made = redis.pcall('XGROUP', 'CREATE', KEYS[1], ARGV[1], '0', 'MKSTREAM')
    if made.err and not string.find(made.err, 'BUSYGROUP') then return made end
"""
"""Creates the consumer group where it is missing, also where Redis has no memory left."""


def connect_redis(url: str, ca: Path | None = None) -> redis.Redis:
    """A client that notices a dead connection instead of waiting for it.

    Args:
        url: ``redis://…`` or ``rediss://…``.
        ca: a file of the authorities that sign the server's certificate, beside the system's.
    """
    return redis.Redis.from_url(
        url,
        socket_timeout=10,
        socket_connect_timeout=5,
        socket_keepalive=True,
        health_check_interval=25,
        **redis_tls(url, ca),
    )


def consumer_name() -> str:
    """A name that no other process has, nor this one after a restart."""
    return f"{pool_prefix(os.getppid())}{os.getpid()}-{secrets.token_hex(4)}"


def pool_prefix(main_pid: int) -> str:
    """How the consumers of one worker's pool processes begin."""
    return f"{socket.gethostname()}-{main_pid}-"


def make_groups(client: redis.Redis, names: StreamNames) -> None:
    """Create the consumer group on both lanes, from the beginning, where it is missing."""
    for lane in LANES:
        client.eval(_MAKE_GROUP, 1, names.intake(lane), names.group)


@dataclass(slots=True)
class RedisIntake:
    """Implements ``tasks.intake.Intake``.

    Attributes:
        claim_idle: after this time without a sign of life an entry is taken over.
        outcomes_kept: about how many entries the streams of outcomes and halts keep.
        calls: a number that changes when there is something to be taken over at once.
    """

    client: redis.Redis
    names: StreamNames
    claim_idle: timedelta
    outcomes_kept: int
    calls: Callable[[], int] = lambda: 0
    consumer: str = field(default_factory=consumer_name)
    _finish: Script = field(init=False)
    _claim_at: float = field(default=0.0, init=False)
    _aside_at: float = field(default=0.0, init=False)
    _calls_seen: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        self._finish = self.client.register_script(_FINISH)

    def receive(self, limit: int) -> list[Delivery]:
        """Take up to *limit* entries: abandoned, then urgent, then bulk, then set aside."""
        try:
            return self._abandoned(limit) or self._new(limit)
        except redis.ResponseError as error:
            if not str(error).startswith(("NOGROUP", "no such key")):
                raise
            make_groups(self.client, self.names)
            return []

    def rest(self, limit: int) -> list[Delivery]:  # noqa: ARG002  # as the other engine has it
        """Nothing: Redis gives out only what is asked for."""
        return []

    def _new(self, limit: int) -> list[Delivery]:
        urgent = self._read(Lane.URGENT, limit - bulk_share(limit))
        room = limit - len(urgent)
        aside = self._aside(bulk_share(room))
        bulk = self._read(Lane.BULK, room - len(aside))
        room -= len(aside) + len(bulk)
        return urgent + bulk + aside + self._aside(room)

    def _aside(self, limit: int) -> list[Delivery]:
        """Take up to *limit* of what was set aside until now, looked for once in a while."""
        now = time.monotonic()
        if not limit or now < self._aside_at:
            return []
        for lane in LANES:
            stream = self.names.intake(lane)
            pending = set_aside_before(
                self.client, self.names, stream, idle=self.claim_idle, limit=limit
            )
            if found := self._claim(stream, pending):
                return [each._replace(set_aside=True) for each in found]
        self._aside_at = now + _ASIDE_EVERY
        return []

    def _read(self, lane: Lane, limit: int) -> list[Delivery]:
        if not limit:
            return []
        stream = self.names.intake(lane)
        reply: Any = self.client.xreadgroup(
            self.names.group, self.consumer, {stream: ">"}, count=limit
        )
        return [
            _delivery(stream, number, fields) for _, entries in reply for number, fields in entries
        ]

    def _abandoned(self, limit: int) -> list[Delivery]:
        """Take over what others left.

        Looked for three times in each claim idle time, and whenever called upon.
        """
        now = time.monotonic()
        if self._calls_seen != (calls := self.calls()):
            self._calls_seen = calls
            self._claim_at = now
        if now < self._claim_at:
            return []
        for lane in LANES:
            stream = self.names.intake(lane)
            left = left_by_others(
                self.client, self.names, stream, idle=self.claim_idle, limit=limit
            )
            # One that has been delivered too often comes alone; at random, so that two processes
            # rarely want the same one.
            suspects = [each for each in left if each.deliveries + 1 >= ALONE_FROM_DELIVERY]
            claimed = self._claim(stream, [random.choice(suspects)] if suspects else left)  # noqa: S311
            if claimed:
                return claimed
        self._claim_at = now + self.claim_idle.total_seconds() / 3
        return []

    def _claim(self, stream: str, pending: Sequence[Pending]) -> list[Delivery]:
        """Take over those entries that nobody else has taken over meanwhile."""
        if not pending:
            return []
        times = {each.number: each.deliveries + 1 for each in pending}
        reply: Any = self.client.xclaim(
            stream, self.names.group, self.consumer, milliseconds(self.claim_idle), list(times)
        )
        return [_delivery(stream, number, fields, times[number]) for number, fields in reply]

    def finish(self, done: Sequence[Finished]) -> None:
        """Publish outcomes, acknowledge and delete the entries, in parts that are each whole."""
        for some in chunks(done, AT_ONCE):
            events = [(o.event(), o.halted) for _, o in some if o is not None]
            self._exchange(events, _by_stream(delivery for delivery, _ in some))

    def publish(self, events: Sequence[tuple[bytes, bool]]) -> None:
        """Publish outcome events that no entry carries."""
        for some in chunks(events, AT_ONCE):
            self._exchange(some, {})

    def _exchange(
        self, events: Sequence[tuple[bytes, bool]], taken: Mapping[str, Sequence[str]]
    ) -> None:
        """Publish outcomes, and take the entries *taken* out of their streams."""
        outcomes = [event for event, _ in events]
        halts = [event for event, halted in events if halted]
        lists: list[Sequence[bytes | str]] = [outcomes, halts, *taken.values()]
        self._finish(
            keys=[self.names.outcomes, self.names.halts, *taken],
            args=[self.names.group, self.outcomes_kept, *map(len, lists), *chain(*lists)],
        )

    def renew(self, deliveries: Sequence[Delivery]) -> None:
        """Reset the idle time of these entries without counting a delivery."""
        self._give(self.consumer, deliveries, idle=0)

    def hand_back(self, deliveries: Sequence[Delivery]) -> None:
        """Make these entries claimable at once, as if they had not been delivered this time."""
        idle = milliseconds(self.claim_idle) * 2
        self._give(self.consumer, map(_undelivered, deliveries), idle=idle)
        self._claim_at = 0.0

    def set_aside(self, deliveries: Sequence[Delivery], *, seconds: float) -> None:
        """Leave these entries in the pending list, claimable when their time has come."""
        idle = max(0, milliseconds(self.claim_idle - timedelta(seconds=seconds)))
        self._give(SET_ASIDE, map(_undelivered, deliveries), idle=idle)
        self._aside_at = 0.0

    def _give(self, consumer: str, deliveries: Iterable[Delivery], *, idle: int) -> None:
        entries = ((*_place(each), each.deliveries) for each in deliveries)
        give(self.client, self.names, consumer, entries, idle=idle)

    def forget_consumers(self) -> None:
        """Remove consumers that are gone, but never one on which something is pending."""
        for lane in LANES:
            self.client.eval(
                _FORGET_CONSUMERS, 1, self.names.intake(lane), self.names.group, _GONE_AFTER_MS
            )

    def clock(self) -> datetime | None:
        """The time by the clock of Redis (UTC)."""
        seconds, microseconds = self.client.time()
        return datetime.fromtimestamp(seconds, UTC) + timedelta(microseconds=microseconds)

    def oldest_undecided(self) -> datetime | None:
        """When the oldest entry still in a lane was accepted, by the clock of Redis."""
        oldest = []
        for lane in LANES:
            entries: Any = self.client.xrange(self.names.intake(lane), count=1)
            oldest += [_accepted_at(number) for number, _ in entries]
        return min(oldest, default=None)


def _delivery(
    stream: str,
    number: bytes,
    fields: Mapping[bytes, bytes],
    deliveries: int = 1,
) -> Delivery:
    event, key_id = fields.get(_EVENT, b""), fields.get(_KEY, b"")
    signature = fields.get(_SIGNATURE, b"")
    place = f"{stream}/{number.decode()}"
    return Delivery(
        entry=entry_name(place, event=event, key_id=key_id, signature=signature),
        door=Door.INTAKE,
        event=event,
        key_id=key_id.decode("utf-8", "replace"),
        signature=signature.decode("utf-8", "replace"),
        received_at=_accepted_at(number),
        deliveries=deliveries,
    )


def _accepted_at(number: bytes) -> datetime:
    """An entry's number begins with the milliseconds since 1970, unless its producer chose it."""
    return _moment_told(number.partition(b"-")[0])


@lru_cache(maxsize=1024)
def _moment_told(milliseconds: bytes) -> datetime:
    """Read once for all the entries that are accepted in one millisecond."""
    return moment_told(int(milliseconds))


def _undelivered(delivery: Delivery) -> Delivery:
    """As if it had not been delivered this time."""
    return delivery._replace(deliveries=delivery.deliveries - 1)


def _place(delivery: Delivery) -> tuple[str, str]:
    stream, _, numbered = delivery.entry.rpartition("/")
    return stream, numbered.partition("#")[0]


def _by_stream(deliveries: Iterable[Delivery]) -> dict[str, list[str]]:
    numbers: dict[str, list[str]] = defaultdict(list)
    for delivery in deliveries:
        stream, number = _place(delivery)
        numbers[stream].append(number)
    return numbers
