"""What was told in outcomes, compared with what PostgreSQL knows: whether it was put back."""

import time
from collections.abc import Iterator, Mapping
from contextlib import closing
from typing import Any

from sqlalchemy.engine.interfaces import DBAPIConnection

from models.numbers import GIVEN, behind, told_numbers
from models.rabbitmq import is_rabbitmq
from models.streams import EVENT
from producers.faults import IntakeUnreachable, PublishFailed
from producers.publisher import Publisher
from producers.rabbitmq_publisher import RabbitOutcomeReader
from tasks.faults import Outage
from worker.engines import open_publisher
from worker.redis_intake import connect_redis
from worker.settings import Settings

NEWEST = 200
"""Outcomes that are looked at for the highest numbers, which nearly always stand in the last."""

SILENCE = 20.0
"""Seconds in which RabbitMQ gives out at least one more outcome of those that it has."""


class PutBack(Outage):
    """PostgreSQL was put back from a backup: it would give out numbers that somebody knows."""

    def __init__(self) -> None:
        super().__init__(
            "outcomes name numbers that this PostgreSQL has not given out yet, so it was put back"
            " from a backup; `andon restored` lets it go on beyond them"
        )


def newest_outcomes(settings: Settings, count: int = NEWEST) -> list[Any]:
    """The last outcomes that were published, or a few more; events, or their data.

    Raises:
        redis.RedisError, amqp.AMQPError, OSError, PublishFailed: the broker does not answer.
    """
    url, names = settings.broker_url.get_secret_value(), settings.streams
    if not is_rabbitmq(url):
        with closing(connect_redis(url, settings.broker_ca)) as client:
            entries: Any = client.xrevrange(names.outcomes, count=count)
        return [fields.get(EVENT.encode(), b"") for _, fields in entries]
    with closing(open_publisher(settings)) as publisher:
        end = int(publisher.position())
        return list(_of_stream(publisher, first=max(0, end - count), end=end))


def all_outcomes(settings: Settings) -> Iterator[Mapping[str, Any]]:
    """The data of every outcome that the stream still holds.

    Raises:
        PublishFailed: the broker does not answer.
    """
    with closing(open_publisher(settings)) as publisher:
        if is_rabbitmq(settings.broker_url.get_secret_value()):
            yield from _of_stream(publisher, first=0, end=int(publisher.position()))
            return
        with closing(publisher.reader("0")) as reader:
            while found := reader.read():
                yield from (outcome.data for outcome in found)


def _of_stream(publisher: Publisher, *, first: int, end: int) -> Iterator[Mapping[str, Any]]:
    """The data of the outcomes from *first* up to *end*, offsets of a stream of RabbitMQ.

    They come when it likes, so that none for now is no sign of the end.

    Raises:
        IntakeUnreachable: they do not come.
    """
    with closing(publisher.reader(str(first))) as reader:
        assert isinstance(reader, RabbitOutcomeReader)
        until = time.monotonic() + SILENCE
        while reader.position < end:
            for outcome in reader.read(block=1.0):
                until = time.monotonic() + SILENCE
                yield outcome.data
            if time.monotonic() > until:
                raise IntakeUnreachable("RabbitMQ does not give out the stream of outcomes.")


def refuse_put_back(settings: Settings, connection: DBAPIConnection) -> None:
    """See that a connection to PostgreSQL does not lead to an older state than what was told.

    Called with each new one, so it costs nothing while requests run. What was told is read first:
    a number is given out before it is told.

    Args:
        settings: name the broker.
        connection: the driver's, outside a transaction; it is closed if this raises.

    Raises:
        PutBack: numbers would be given out twice.
        Outage, redis.RedisError, amqp.AMQPError, OSError: the broker does not answer.
    """
    try:
        told = told_numbers(newest_outcomes(settings))
        with closing(connection.cursor()) as cursor:
            cursor.execute(GIVEN)
            given = dict(cursor.fetchall())
        connection.rollback()
        if behind(told, given):
            raise PutBack
    except PublishFailed as error:
        connection.close()
        raise Outage(str(error)) from error
    except BaseException:
        connection.close()
        raise
