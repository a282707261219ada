"""Celery's consumer of the plain tasks, which no message can end.

Celery's own one takes what it does not expect in a message for a fault of its own, and stops the
worker, or for a lost connection, and reconnects for ever; with it goes the intake. Such a message
is logged by its kind and rejected: it is none that Andon could have run.
"""

from collections.abc import Callable
from typing import Any

import structlog
from amqp.exceptions import AMQPError
from celery.worker.consumer import Consumer as CeleryConsumer
from kombu.message import Message
from redis.exceptions import RedisError

logger = structlog.get_logger(__name__)


class Consumer(CeleryConsumer):  # type: ignore[misc]  # celery is not typed
    """Named in the setting ``worker_consumer``."""

    def create_task_handler(self, *args: Any, **kwargs: Any) -> Callable[[Message], None]:
        """What is called with each message of the queue of plain tasks."""
        handle = super().create_task_handler(*args, **kwargs)

        def on_task_received(message: Message) -> None:
            try:
                handle(message)
            except (OSError, RedisError, AMQPError):  # the connection, not the message
                raise
            except Exception as error:
                logger.error("task_message_rejected", error=type(error).__name__)
                message.reject_log_error(logger, self.connection_errors)

        return on_task_received
