"""The broker of a run behind one small class for each engine, with the proxies before it."""

import os
import secrets
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit, urlunsplit

import redis
from amqp import Connection

from console.embedded import Redis
from models.rabbitmq import (
    connect_rabbitmq,
    declare_queues,
    intake_queues,
    open_channel,
    undelivered,
)
from models.streams import Lane, StreamNames
from tests.acceptance.faults.proxy import LOOPBACK, Address, Proxy
from tests.support.rabbitmq import VARIABLE
from tests.support.traffic import Traffic

OUTCOMES_KEPT = 10_000_000
"""More than a run has, so that all of them can be read in the end."""


class Broker(Protocol):
    """The broker of a run, and the proxies before it.

    Attributes:
        to_workers: the proxy that workers connect through.
        to_producers: the one that producers connect through.
        server: the server itself, where the run may kill it.
    """

    to_workers: Proxy
    to_producers: Proxy
    names: StreamNames
    server: Redis | None

    def start(self) -> None:
        """Start it, and its proxies."""

    def stop(self) -> None:
        """Stop everything."""

    @property
    def url(self) -> str:
        """Where it is reached directly."""

    @property
    def worker_url(self) -> str:
        """Where workers reach it."""

    @property
    def producer_url(self) -> str:
        """Where producers reach it."""

    def restart(self) -> None:
        """Start it again after it was killed."""

    def fill(self) -> None:
        """Have no room for anything more, until it is emptied."""

    def empty(self) -> None:
        """Have room again."""

    def close_clients(self) -> None:
        """Have the broker itself close the connections of its clients."""

    def is_busy(self) -> bool:
        """Whether workers have something in hand, or could have; False if it does not answer."""

    def left(self) -> int:
        """How many entries are there; those in hand may be left out."""

    def undecided(self) -> frozenset[str]:
        """The entries that are there, in hand or not, as publishers are told them."""


class RedisStage:
    """Redis, of this run only, which may be killed."""

    def __init__(self, directory: Path) -> None:
        self.server: Redis | None = Redis(directory / "redis", appendfsync="always")
        self.names = StreamNames()
        self.to_workers, self.to_producers = Proxy(self._address), Proxy(self._address)
        self._ports: Sequence[int] = ()
        self.url = ""

    def start(self) -> None:
        """Start it, and its proxies."""
        self.restart()
        self._ports = (self.to_workers.start(), self.to_producers.start())

    def stop(self) -> None:
        """Stop everything."""
        for proxy in (self.to_workers, self.to_producers):
            proxy.stop()
        self._server.stop()

    @property
    def _server(self) -> Redis:
        assert self.server is not None
        return self.server

    @property
    def worker_url(self) -> str:
        """Where workers reach it."""
        return at_port(self.url, self._ports[0])

    @property
    def producer_url(self) -> str:
        """Where producers reach it."""
        return at_port(self.url, self._ports[1])

    def restart(self) -> None:
        """Start it, or start it again after it was killed."""
        self.url = self._server.start()

    def fill(self) -> None:
        """Have its `maxmemory` be less than it has already."""
        with suppress(redis.RedisError), redis.Redis.from_url(self.url) as client:
            client.config_set("maxmemory", "1mb")

    def empty(self) -> None:
        """Have more than enough."""
        with suppress(redis.RedisError), redis.Redis.from_url(self.url) as client:
            client.config_set("maxmemory", "8gb")

    def close_clients(self) -> None:
        """Have Redis itself close the connections of its clients."""
        with suppress(redis.RedisError), redis.Redis.from_url(self.url) as client:
            client.client_kill_filter(_type="normal", skipme=True)

    def is_busy(self) -> bool:
        """Whether workers have something in hand; False if it does not answer."""
        with suppress(redis.RedisError), redis.Redis.from_url(self.url) as client:
            return Traffic(client, self.names).unacknowledged() > 0
        return False

    def left(self) -> int:
        """How many entries are there, in hand or not."""
        with redis.Redis.from_url(self.url) as client:
            return Traffic(client, self.names).left()

    def undecided(self) -> frozenset[str]:
        """The entries that are there, in hand or not, as publishers are told them."""
        with redis.Redis.from_url(self.url) as client:
            return frozenset(
                f"{stream}/{number.decode()}"
                for stream in map(self.names.intake, Lane)
                for number, _ in client.xrange(stream)
            )

    def _address(self) -> Address:
        parts = urlsplit(self.url)
        return Address(port=parts.port or 0)


def at_port(url: str, port: int) -> str:
    """The same URL, to a port of this machine."""
    parts = urlsplit(url)
    login = parts.netloc.rpartition("@")[0]
    return urlunsplit(parts._replace(netloc=f"{login}@{LOOPBACK}:{port}"))


class RabbitStage:
    """A RabbitMQ that others use too: it is not killed, only the ways to it are.

    Args:
        url: where it is.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self.server: Redis | None = None
        self.names = StreamNames(f"andon-faults-{secrets.token_hex(6)}")
        self.to_workers, self.to_producers = Proxy(self._address), Proxy(self._address)
        self._ports: Sequence[int] = ()
        self._connection: Connection | None = None

    def start(self) -> None:
        """Make its queues, and start the proxies."""
        declare_queues(self._connected(), self.names, outcomes_kept=OUTCOMES_KEPT)
        self._ports = (self.to_workers.start(), self.to_producers.start())

    def stop(self) -> None:
        """Remove the queues, and stop the proxies."""
        for proxy in (self.to_workers, self.to_producers):
            proxy.stop()
        names = self.names
        with closing(self._connected()) as connection:
            channel = open_channel(connection)
            for queue in (
                *intake_queues(names),
                names.set_aside,
                names.outcomes,
                names.halts,
                _tasks(names),
            ):
                channel.queue_delete(queue)
            channel.exchange_delete(names.intake_exchange)

    @property
    def worker_url(self) -> str:
        """Where workers reach it."""
        return at_port(self.url, self._ports[0])

    @property
    def producer_url(self) -> str:
        """Where producers reach it."""
        return at_port(self.url, self._ports[1])

    def restart(self) -> None:
        """It is never killed."""

    def fill(self) -> None:
        """It has others' messages too, and is not filled."""

    def empty(self) -> None:
        """It was not filled."""

    def close_clients(self) -> None:
        """AMQP lets nobody close another's connection."""

    def is_busy(self) -> bool:
        """Whether there is something for workers to read; what is in hand AMQP does not tell."""
        return self.left() > 0

    def left(self) -> int:
        """How many messages nobody has in hand."""
        channel = open_channel(self._connected())
        queues = (*intake_queues(self.names), self.names.set_aside)
        count = sum(undelivered(channel, queue) for queue in queues)
        channel.close()
        return count

    def undecided(self) -> frozenset[str]:
        """Nobody is told what is on a queue without taking it."""
        return frozenset()

    def _connected(self) -> Connection:
        if self._connection is None or not self._connection.connected:
            self._connection = connect_rabbitmq(self.url)
        return self._connection

    def _address(self) -> Address:
        parts = urlsplit(self.url)
        return Address(parts.hostname or LOOPBACK, parts.port or 5672)


def _tasks(names: StreamNames) -> str:
    """The queue of the plain Celery tasks."""
    return f"{names.namespace}:tasks"


def redis_in(directory: Path) -> Broker:
    """A Redis of its own, in *directory*."""
    return RedisStage(directory)


def rabbitmq_outside(_directory: Path) -> Broker:
    """The RabbitMQ that the tests use, which has to be named."""
    return RabbitStage(os.environ[VARIABLE])


ENGINES: Mapping[str, Callable[[Path], Broker]] = {
    "redis": redis_in,
    "rabbitmq": rabbitmq_outside,
}
"""How to make the broker of each engine, in a directory of its own."""
