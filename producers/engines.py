"""Which engine the intake has: the one that the broker URL names."""

from pathlib import Path

from models.rabbitmq import is_rabbitmq
from models.streams import StreamNames
from producers.publisher import INTAKE_LIMIT, MEMORY_PERCENT, Publisher
from producers.rabbitmq_publisher import RabbitPublisher
from producers.redis_publisher import RedisPublisher


def connect_publisher(
    broker_url: str,
    *,
    names: StreamNames | None = None,
    intake_limit: int = INTAKE_LIMIT,
    memory_percent: int = MEMORY_PERCENT,
    ca: Path | None = None,
) -> Publisher:
    """A way to publish; it connects when it is first used.

    Args:
        broker_url: ``redis://…`` or ``amqp://…``.
        names: the streams and queues.
        intake_limit: entries in the intake above which nothing is published.
        memory_percent: the same for the part of its memory that Redis has used; RabbitMQ stops
            publishers by itself.
        ca: a file of the authorities that sign the broker's certificate.

    Raises:
        ValueError: the URL says itself how certificates are checked.
    """
    names = names or StreamNames()
    if is_rabbitmq(broker_url):
        return RabbitPublisher(broker_url, names=names, intake_limit=intake_limit, ca=ca)
    return RedisPublisher(
        broker_url,
        names=names,
        intake_limit=intake_limit,
        memory_percent=memory_percent,
        ca=ca,
    )
