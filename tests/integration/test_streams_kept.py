"""The streams of outcomes and halts keep about as much as the settings say, on both engines."""

from contextlib import suppress
from datetime import timedelta

import redis

from models.rabbitmq import connect_to_intake, open_channel
from models.streams import StreamNames
from tests.support.rabbitmq import rabbitmq_queues
from tests.support.waiting import wait_for
from worker.rabbitmq_intake import RabbitIntake
from worker.redis_intake import RedisIntake, make_groups

KEPT = 1_000
NODE = 100
"""Entries that Redis drops at once: it trims whole nodes of a stream."""
IDLE = timedelta(seconds=15)


def test_redis_keeps_about_as_many_outcomes_as_the_settings_say(broker: redis.Redis) -> None:
    """The newest stay; what is older makes room, and so it is with halts."""
    names = StreamNames()
    make_groups(broker, names)
    intake = RedisIntake(broker, names, IDLE, outcomes_kept=KEPT)
    intake.publish([(b"%d" % number, True) for number in range(3 * KEPT)])
    for stream in (names.outcomes, names.halts):
        assert KEPT <= broker.xlen(stream) <= KEPT + NODE
        ((_, newest),) = broker.xrevrange(stream, count=1)
        assert newest[b"event"] == b"%d" % (3 * KEPT - 1)


def test_rabbitmq_drops_old_segments_of_outcomes() -> None:
    """Whole segments go, so that more is kept than asked for, but not for ever."""
    with rabbitmq_queues() as (url, names):
        intake = RabbitIntake(url, names, IDLE, outcomes_kept=KEPT)
        for _ in range(4):  # of ten megabytes each, which is a segment
            intake.publish([(bytes(100_000), False)] * 105)
        intake.publish([(b"newest", False)])  # the fourth segment may have ended with the last one
        try:
            wait_for(lambda: _oldest(url, names), what="the first segment to be dropped")
        finally:
            intake.drop()


def _oldest(url: str, names: StreamNames) -> int | None:
    """The offset of the oldest outcome: 0 while none has been dropped, None if none comes."""
    connection = connect_to_intake(url, names, outcomes_kept=KEPT)
    offsets: list[int] = []
    try:
        channel = open_channel(connection)
        channel.basic_qos(0, 10, False)
        channel.basic_consume(
            names.outcomes,
            callback=lambda message: offsets.append(message.headers["x-stream-offset"]),
            arguments={"x-stream-offset": "first"},
        )
        with suppress(TimeoutError):
            while not offsets:
                connection.drain_events(timeout=2)
    finally:
        connection.collect()
    return offsets[0] if offsets else None
