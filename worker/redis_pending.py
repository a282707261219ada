"""The pending list of the consumer group: what was read and is not acknowledged yet.

A process that is gone leaves its entries here, and others take them over. What had better run later
is set aside here too, in the name of a consumer that no process has.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import Any, NamedTuple, cast

import redis

from models.chunks import chunks
from models.streams import StreamNames

AT_ONCE = 1_000
"""Entries that one command or script names: Redis answers nobody else meanwhile."""
SET_ASIDE = "set-aside"
"""The consumer that holds what is set aside."""


class Pending(NamedTuple):
    """One entry that was read before, and how often."""

    number: bytes
    deliveries: int


def milliseconds(duration: timedelta) -> int:
    """A time span as Redis takes it."""
    return int(duration.total_seconds() * 1000)


def left_by_others(
    client: redis.Redis, names: StreamNames, stream: str, *, idle: timedelta, limit: int
) -> list[Pending]:
    """Up to *limit* entries that any process has given no sign of life for in a while, in order.

    What is set aside is passed over, however much it is: each consumer is asked by itself.
    """
    consumers: Any = client.xinfo_consumers(stream, names.group)
    with client.pipeline(transaction=False) as pipeline:
        for consumer in consumers:
            if consumer["pending"] and consumer["name"].decode() != SET_ASIDE:
                _ask(pipeline, names, stream, consumer["name"], idle=idle, limit=limit)
        found = [entry for entries in pipeline.execute() for entry in entries]
    found.sort(key=lambda entry: _sortable(entry["message_id"]))
    return [_pending(entry) for entry in found[:limit]]


def set_aside_before(
    client: redis.Redis, names: StreamNames, stream: str, *, idle: timedelta, limit: int
) -> list[Pending]:
    """Up to *limit* entries that were set aside until now."""
    return [_pending(e) for e in _ask(client, names, stream, SET_ASIDE, idle=idle, limit=limit)]


def _ask(
    client: redis.Redis,
    names: StreamNames,
    stream: str,
    consumer: bytes | str,
    *,
    idle: timedelta,
    limit: int,
) -> list[dict[str, Any]]:
    """What one consumer has left alone for so long; a pipeline answers later."""
    reply: Any = client.xpending_range(
        stream, names.group, "-", "+", limit, consumer, idle=milliseconds(idle)
    )
    return cast(list[dict[str, Any]], reply)


def _pending(entry: Mapping[str, Any]) -> Pending:
    return Pending(entry["message_id"], entry["times_delivered"])


def _sortable(number: bytes) -> tuple[int, int]:
    first, _, second = number.partition(b"-")
    return int(first), int(second)


def give(
    client: redis.Redis,
    names: StreamNames,
    consumer: str,
    entries: Iterable[tuple[str, str, int]],
    *,
    idle: int,
) -> None:
    """Put entries into the name of a consumer.

    Args:
        client: of the intake's Redis.
        names: its streams.
        consumer: who has them from now on.
        entries: the stream and the number of each, and how often it counts as delivered.
        idle: for how many milliseconds they count as left alone.
    """
    alike: dict[tuple[str, int], list[str | bytes | int | memoryview]] = defaultdict(list)
    for stream, number, deliveries in entries:
        alike[stream, deliveries].append(number)
    with client.pipeline(transaction=False) as pipeline:
        for (stream, deliveries), numbers in alike.items():
            for some in chunks(numbers, AT_ONCE):
                pipeline.xclaim(
                    stream, names.group, consumer, 0, some,
                    idle=idle, retrycount=deliveries, justid=True,
                )  # fmt: skip
        pipeline.execute()
