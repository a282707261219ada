"""Which engine the intake has: the one that the broker URL names."""

from models.rabbitmq import is_rabbitmq
from models.streams import StreamNames
from producers.publisher import INTAKE_LIMIT, Publisher
from producers.rabbitmq_publisher import RabbitPublisher
from producers.redis_publisher import RedisPublisher


def connect_publisher(
    broker_url: str, *, names: StreamNames | None = None, intake_limit: int = INTAKE_LIMIT
) -> Publisher:
    """A way to publish; it connects when it is first used.

    Args:
        broker_url: ``redis://…`` or ``amqp://…``.
        names: the streams and queues.
        intake_limit: entries in the intake above which nothing is published.
    """
    kind = RabbitPublisher if is_rabbitmq(broker_url) else RedisPublisher
    return kind(broker_url, names=names or StreamNames(), intake_limit=intake_limit)
