"""Celery's way to Redis, so that a worker also starts where Redis has no memory left.

A worker that starts binds its queue, asks for its length, and looks for plain tasks of workers that
are gone; what it drains then makes room.
"""

from contextlib import suppress
from typing import Any

import redis
from kombu.transport import TRANSPORT_ALIASES
from kombu.transport import redis as kombu_redis
from typing_extensions import override

# A script that has written may go on writing (worker.redis_intake).
_BIND = """
    redis.call('SREM', KEYS[1], '')
    for _, table in ipairs(KEYS) do redis.call('SADD', table, ARGV[1]) end
"""


class QoS(kombu_redis.QoS):
    """Kombu's account of plain tasks that are under way, which waits for memory."""

    @override
    def restore_visible(self, *arguments: Any, **options: Any) -> None:
        with suppress(redis.OutOfMemoryError):  # it is tried again every few seconds
            super().restore_visible(*arguments, **options)  # type: ignore[no-untyped-call]


class Channel(kombu_redis.Channel):
    """Kombu's channel, which also binds a queue, and tells its length, without memory."""

    QoS = QoS

    @override
    def _queue_bind(self, exchange: str, routing_key: Any, pattern: Any, queue: Any) -> None:
        try:
            super()._queue_bind(exchange, routing_key, pattern, queue)  # type: ignore[no-untyped-call]
        except redis.OutOfMemoryError:
            tables = [
                prefix % (exchange,)
                for prefix in (self.keyprefix_queue, self.keyprefix_binding_permanent)
            ]
            member = self.sep.join([routing_key or "", pattern or "", queue or ""])
            with self.conn_or_acquire() as client:
                client.eval(_BIND, len(tables), *tables, member)

    @override
    def _size(self, queue: str) -> int:
        # Not in a MULTI, as kombu has it: that is refused, whatever is in it.
        with self.conn_or_acquire() as client:
            lists = [self._q_for_pri(queue, each) for each in self.priority_steps]  # type: ignore[no-untyped-call]
            return sum(client.llen(each) for each in lists)


class Transport(kombu_redis.Transport):
    """Kombu's transport, with channels of this kind."""

    Channel = Channel


def use() -> None:
    """Have Celery take it for ``redis://`` and ``rediss://``."""
    for scheme in ("redis", "rediss"):
        TRANSPORT_ALIASES[scheme] = f"{__name__}:Transport"
