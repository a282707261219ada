"""The intake on Redis streams, as one pool process sees it (DESIGN 2).

An entry stays in its stream until it is decided: it is read through the consumer group, and
acknowledged and deleted by the same script that publishes its outcome. Redis 6.2 and later.
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
from itertools import chain
from typing import Any

import redis
from redis.commands.core import Script

from models.deliveries import Delivery
from models.entries import entry_name, place_of
from models.outcomes import Outcome
from models.streams import EVENT, KEY, SIGNATURE, Lane, StreamNames
from models.tables import Door
from tasks.drain import ALONE_FROM_DELIVERY
from tasks.intake import bulk_share

_EVENT, _KEY, _SIGNATURE = EVENT.encode(), KEY.encode(), SIGNATURE.encode()
LANES = (Lane.URGENT, Lane.BULK)
_GONE_AFTER_MS = 3_600_000
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
"""


def connect_redis(url: str) -> redis.Redis:
    """A client that notices a dead connection instead of waiting for it."""
    return redis.Redis.from_url(
        url,
        socket_timeout=10,
        socket_connect_timeout=5,
        socket_keepalive=True,
        health_check_interval=25,
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
        try:
            client.xgroup_create(names.intake(lane), names.group, id="0", mkstream=True)
        except redis.ResponseError as error:
            if not str(error).startswith("BUSYGROUP"):
                raise


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
    _calls_seen: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        self._finish = self.client.register_script(_FINISH)

    def receive(self, limit: int) -> list[Delivery]:
        """Take up to *limit* entries: abandoned ones first, then urgent, then bulk."""
        try:
            return self._abandoned(limit) or self._new(limit)
        except redis.ResponseError as error:
            if not str(error).startswith("NOGROUP"):
                raise
            make_groups(self.client, self.names)
            return []

    def rest(self, limit: int) -> list[Delivery]:  # noqa: ARG002  # as the other engine has it
        """Nothing: Redis gives out only what is asked for."""
        return []

    def _new(self, limit: int) -> list[Delivery]:
        urgent = self._read(Lane.URGENT, limit - bulk_share(limit))
        return urgent + self._read(Lane.BULK, limit - len(urgent))

    def _read(self, lane: Lane, limit: int) -> list[Delivery]:
        if not limit:
            return []
        stream, now = self.names.intake(lane), datetime.now(UTC)
        reply: Any = self.client.xreadgroup(
            self.names.group, self.consumer, {stream: ">"}, count=limit
        )
        return [
            _delivery(stream, number, fields, now)
            for _, entries in reply
            for number, fields in entries
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
            claimed = self._claim(self.names.intake(lane), limit)
            if claimed:
                return claimed
        self._claim_at = now + self.claim_idle.total_seconds() / 3
        return []

    def _claim(self, stream: str, limit: int) -> list[Delivery]:
        """Take over up to *limit* entries, or one that has been delivered too often, alone."""
        idle = milliseconds(self.claim_idle)
        pending: Any = self.client.xpending_range(
            stream, self.names.group, "-", "+", limit, idle=idle
        )
        times = {entry["message_id"]: entry["times_delivered"] + 1 for entry in pending}
        suspects = [number for number, count in times.items() if count >= ALONE_FROM_DELIVERY]
        # At random, so that two processes rarely want the same one.
        wanted = [random.choice(suspects)] if suspects else list(times)  # noqa: S311
        if not wanted:
            return []
        reply: Any = self.client.xclaim(stream, self.names.group, self.consumer, idle, wanted)
        claimed = {number: fields for number, fields in reply if number is not None}
        self._forget_deleted(stream, set(wanted) - claimed.keys())
        now = datetime.now(UTC)
        return [
            _delivery(stream, number, fields, now, times[number])
            for number, fields in claimed.items()
        ]

    def _forget_deleted(self, stream: str, missing: Iterable[bytes]) -> None:
        """Redis before 7 keeps an entry pending that somebody has deleted from the stream."""
        for number in missing:
            if not self.client.xrange(stream, number, number):
                self.client.xack(stream, self.names.group, number)

    def finish(self, deliveries: Sequence[Delivery], outcomes: Sequence[Outcome]) -> None:
        """Publish *outcomes*, acknowledge and delete the entries, all or nothing."""
        events = [outcome.event() for outcome in outcomes]
        halts = [event for event, o in zip(events, outcomes, strict=True) if o.halted]
        self._exchange(events, halts, _by_stream(deliveries))

    def publish(self, events: Sequence[tuple[bytes, bool]]) -> None:
        """Publish outcome events that no entry carries."""
        outcomes = [event for event, _ in events]
        halts = [event for event, halted in events if halted]
        self._exchange(outcomes, halts, {})

    def _exchange(
        self, outcomes: Sequence[bytes], halts: Sequence[bytes], taken: Mapping[str, Sequence[str]]
    ) -> None:
        """Publish outcomes, and take the entries *taken* out of their streams."""
        lists: list[Sequence[bytes | str]] = [outcomes, halts, *taken.values()]
        self._finish(
            keys=[self.names.outcomes, self.names.halts, *taken],
            args=[self.names.group, self.outcomes_kept, *map(len, lists), *chain(*lists)],
        )

    def renew(self, deliveries: Sequence[Delivery]) -> None:
        """Reset the idle time of these entries without counting a delivery."""
        with self.client.pipeline(transaction=False) as pipeline:
            for stream, numbers in _by_stream(deliveries).items():
                pipeline.xclaim(
                    stream, self.names.group, self.consumer, 0, list(numbers), justid=True
                )
            pipeline.execute()

    def hand_back(self, deliveries: Sequence[Delivery]) -> None:
        """Make these entries claimable at once, as if they had not been delivered this time."""
        idle = milliseconds(self.claim_idle) * 2
        with self.client.pipeline(transaction=False) as pipeline:
            for delivery in deliveries:
                stream, number = _place(delivery)
                pipeline.xclaim(
                    stream,
                    self.names.group,
                    self.consumer,
                    0,
                    [number],
                    idle=idle,
                    retrycount=delivery.deliveries - 1,
                    justid=True,
                )
            pipeline.execute()
        self._claim_at = 0.0

    def forget_consumers(self) -> None:
        """Remove consumers that are gone, but never one on which something is pending."""
        for lane in LANES:
            self.client.eval(
                _FORGET_CONSUMERS, 1, self.names.intake(lane), self.names.group, _GONE_AFTER_MS
            )

    def oldest_undecided(self) -> datetime | None:
        """When the oldest entry still in a lane was accepted, by the clock of Redis."""
        oldest = []
        for lane in LANES:
            entries: Any = self.client.xrange(self.names.intake(lane), count=1)
            oldest += [_accepted_at(number, datetime.now(UTC)) for number, _ in entries]
        return min(oldest, default=None)


def milliseconds(duration: timedelta) -> int:
    """A time span as Redis takes it."""
    return int(duration.total_seconds() * 1000)


def _delivery(
    stream: str,
    number: bytes,
    fields: Mapping[bytes, bytes],
    now: datetime,
    deliveries: int = 1,
) -> Delivery:
    event, key_id, signature = (fields.get(name, b"") for name in (_EVENT, _KEY, _SIGNATURE))
    place = f"{stream}/{number.decode()}"
    return Delivery(
        entry=entry_name(place, event=event, key_id=key_id, signature=signature),
        door=Door.INTAKE,
        event=event,
        key_id=key_id.decode("utf-8", "replace"),
        signature=signature.decode("utf-8", "replace"),
        received_at=_accepted_at(number, now),
        deliveries=deliveries,
    )


def _accepted_at(number: bytes, now: datetime) -> datetime:
    """An entry's number begins with the milliseconds since 1970, unless its producer chose it.

    Whatever it says, nothing was accepted later than now.
    """
    try:
        return min(now, datetime.fromtimestamp(int(number.partition(b"-")[0]) / 1000, UTC))
    except (OverflowError, ValueError, OSError):
        return now


def _place(delivery: Delivery) -> tuple[str, str]:
    stream, _, number = place_of(delivery.entry).rpartition("/")
    return stream, number


def _by_stream(deliveries: Sequence[Delivery]) -> dict[str, list[str]]:
    numbers: dict[str, list[str]] = defaultdict(list)
    for delivery in deliveries:
        stream, number = _place(delivery)
        numbers[stream].append(number)
    return numbers
