"""Celery's consumer, which no message can end and no outage of the broker.

Celery's own one takes what it does not expect in a message for a fault of its own, and stops the
worker, or for a lost connection, and reconnects for ever; with it goes the intake. Such a message
is logged by its kind and rejected: it is none that Andon could have run.

It also takes a broker that refuses (a replica, no memory, no right) for a fault of its own. Here
such a broker is waited for as one that is away, and each outage is told once, in words.
"""

import time
import warnings
from collections.abc import Callable
from typing import Any

import structlog
from amqp.exceptions import AMQPError
from celery.exceptions import CPendingDeprecationWarning
from celery.worker.consumer import Consumer as CeleryConsumer
from celery.worker.state import maybe_shutdown
from kombu.message import Message
from redis.exceptions import RedisError

from tasks.faults import describe
from worker.signs_of_life import SignsOfLife

logger = structlog.get_logger(__name__)

FIRST_WAIT = 1.0
LONGEST_WAIT = 10.0
"""Seconds between two tries to work with a broker that can be reached and refuses."""
STEADY_AFTER = 30.0
"""Seconds of work after which the next refusal is a new one."""
_TICK = 0.5


def consumer_of(signs: Callable[[], SignsOfLife]) -> type[CeleryConsumer]:
    """The consumer for the setting ``worker_consumer`` (Celery takes classes, not instances).

    Args:
        signs: the main process's signs of life.
    """

    class Consumer(CeleryConsumer):  # type: ignore[misc]  # celery is not typed
        """Goes on, whatever a message or the broker says."""

        _wait = FIRST_WAIT
        _connected_at = 0.0
        _said: frozenset[str] = frozenset()  # of the outage that lasts

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

        def ensure_connected(self, conn: Any) -> Any:
            """Connect, however long that takes, with a sign of life each second."""
            connected = conn.ensure_connection(self._on_away, None, callback=_live)
            self.first_connection_attempt = False
            self._connected_at = time.monotonic()
            return connected

        def _on_away(self, error: Exception, _interval: float) -> None:
            cause = describe(error)
            signs().braked(cause)
            if cause not in self._said:
                self._said |= {cause}
                logger.warning("broker_out_of_reach", cause=cause)

        def on_ready(self) -> None:
            """The broker lets us consume."""
            super().on_ready()
            if self._said:
                self._said = frozenset()
                logger.info("broker_reached_again")
            signs().released()

        def on_connection_error_before_connected(self, exc: Exception) -> None:
            """The broker does not let us in."""
            self._on_away(exc, 0)
            self._pause()

        def on_connection_error_after_connected(self, exc: Exception) -> None:
            """The broker is gone, or does not let us work."""
            self._on_away(exc, 0)
            with warnings.catch_warnings():  # of a setting that worker.app has made
                warnings.simplefilter("ignore", CPendingDeprecationWarning)
                super().on_connection_error_after_connected(exc)
            self._pause()

        def _pause(self) -> None:
            """Wait longer and longer, while it does not last."""
            if time.monotonic() - self._connected_at > STEADY_AFTER:
                self._wait = FIRST_WAIT
            until = time.monotonic() + self._wait
            self._wait = min(LONGEST_WAIT, 2 * self._wait)
            while (left := until - time.monotonic()) > 0:
                _live()
                time.sleep(min(left, _TICK))

    def _live() -> None:
        signs().turned()
        maybe_shutdown()

    return Consumer
