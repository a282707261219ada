"""A flood: fresh urgent requests beside 60,000 copies of one event, then 60,000 pieces of garbage.

    python -m benchmarks.flood [--messages 60000] [--every 2] [--amqp-url URL]

On a Redis of its own, or on the RabbitMQ that is named, whose queues are removed afterwards. It
prints how long the fresh requests took, what the pool processes held before and after, how many
outcomes were added, and the sum.
"""

import argparse
import contextlib
import itertools
import multiprocessing
import secrets
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any

import redis
from pydantic import SecretStr
from sqlalchemy import Engine

from benchmarks.latency import percentile
from benchmarks.memory import pool_megabytes
from benchmarks.mix import mix, whole_decks
from benchmarks.stage import (
    KEY_ID,
    SECRET,
    SOURCE,
    WORKER,
    Stage,
    environment,
    process,
    stage,
    wait_until,
)
from models.chunks import chunks
from models.outcomes import Identity
from models.rabbitmq import (
    Outgoing,
    Publishing,
    connect_rabbitmq,
    connect_to_intake,
    intake_message,
    intake_queues,
    is_rabbitmq,
    open_channel,
)
from models.streams import EVENT, KEY, SIGNATURE, StreamNames
from producers.client import Client
from producers.rabbitmq_publisher import RabbitOutcomeReader
from producers.signed import SignedEvent, sign_event

_AT_ONCE = 1_000
_WARM_UP = 3_000


def pour(url: str, names: StreamNames, copied: SignedEvent | None, messages: int) -> None:
    """Add messages as fast as the engine takes them; run in a process of its own.

    Args:
        url: the intake's.
        names: its streams.
        copied: what they all are; None for pieces of garbage, of 15 bytes each.
        messages: how many.
    """
    events = (copied or SignedEvent(None, secrets.token_bytes(15), "", "") for _ in range(messages))
    if is_rabbitmq(url):
        connection = connect_rabbitmq(url)
        publishing = Publishing(connection)
        for some in chunks(events, _AT_ONCE):
            publishing.publish(_outgoing(names, event) for event in some)
        connection.close()
        return
    with redis.Redis.from_url(url) as client:
        for some in chunks(events, _AT_ONCE):
            with client.pipeline(transaction=False) as pipeline:
                for event in some:
                    fields: dict[Any, Any] = {
                        EVENT: event.event, KEY: event.key_id, SIGNATURE: event.signature
                    }  # fmt: skip
                    pipeline.xadd(names.intake(), fields)
                pipeline.execute()


def _outgoing(names: StreamNames, event: SignedEvent) -> Outgoing:
    message = intake_message(
        event.event, event.key_id, event.signature,
        message_id=secrets.token_hex(8), now=datetime.now(UTC),
    )  # fmt: skip
    return Outgoing(names.intake(), message)


@dataclass(slots=True)
class Basin:
    """One installation that is flooded, seen from outside."""

    staged: Stage
    engine: Engine
    client: Client
    fresh: Iterator[SignedEvent]
    published: int = 0

    @property
    def url(self) -> str:
        """The intake's."""
        return self.staged.settings.broker_url.get_secret_value()

    def publish(self, events: Sequence[SignedEvent]) -> None:
        """Publish *events*."""
        self.client.publish(events)
        self.published += len(events)

    def flood(self, copied: SignedEvent | None, messages: int, *, every: float) -> list[float]:
        """Pour, and publish a fresh request *every* so many seconds until all is decided.

        Returns:
            The seconds that each fresh request took until it was in the ledger.
        """
        arguments = (self.url, self.staged.settings.streams, copied, messages)
        pouring = multiprocessing.get_context("spawn").Process(target=pour, args=arguments)
        pouring.start()
        self.published += messages
        took: list[float] = []
        while pouring.is_alive() or self.decided() < self.published:
            began = time.monotonic()
            event = next(self.fresh)
            self.publish([event])
            wait_until(partial(self._is_decided, event))
            took.append(time.monotonic() - began)
            time.sleep(max(0.0, began + every - time.monotonic()))
        pouring.join()
        return took

    def _is_decided(self, event: SignedEvent) -> bool:
        assert event.identity is not None
        return self._ask(
            "SELECT count(*) FROM requests WHERE source = %s AND request_id = %s", event.identity
        ) > 0  # fmt: skip

    def decided(self) -> int:
        """How many messages are done, halted or duplicates."""
        return self._ask("SELECT coalesce(sum(done + halted + duplicates), 0) FROM tallies")

    def _ask(self, query: str, values: tuple[str, ...] = ()) -> int:
        with self.engine.connect() as connection:
            return int(connection.exec_driver_sql(query, tuple(values)).scalar_one())

    def outcomes(self) -> int:
        """How many outcomes were ever added to their stream.

        On RabbitMQ they are read: its count lags behind, and its offsets have gaps.
        """
        streams = self.staged.settings.streams
        if is_rabbitmq(self.url):
            reader = RabbitOutcomeReader(self.url, streams.outcomes, 0)
            count = sum(map(len, iter(lambda: reader.read(block=2.0), [])))
            reader.close()
            return count
        with redis.Redis.from_url(self.url) as client:
            return int(client.xinfo_stream(streams.outcomes)["entries-added"])


@contextlib.contextmanager
def on_engine(staged: Stage, amqp_url: str | None) -> Iterator[Stage]:
    """The stage as it is, or on RabbitMQ with queues of its own."""
    if amqp_url is None:
        yield staged
        return
    names = StreamNames(f"andon-flood-{secrets.token_hex(4)}")
    changed = {"broker_url": SecretStr(amqp_url), "namespace": names.namespace}
    connect_to_intake(amqp_url, names, outcomes_kept=10_000_000).close()
    try:
        yield Stage(staged.settings.model_copy(update=changed), staged.superuser_url)
    finally:
        connection = connect_rabbitmq(amqp_url)
        queues = (*intake_queues(names), names.set_aside, names.outcomes, names.halts)
        for queue in (*queues, f"{names.namespace}:tasks"):
            open_channel(connection).queue_delete(queue)
        connection.close()


def measure(staged: Stage, *, messages: int, every: float) -> None:
    """Both floods, one after the other, against one worker."""
    settings = staged.settings
    events = mix(whole_decks(2 * _WARM_UP), source=SOURCE, key_id=KEY_ID, secret=SECRET, seed=1)
    # Each of them once, and genuine.
    different = {each.identity: each.event for each in events if each.identity is not None}
    fresh = (
        sign_event(event, key_id=KEY_ID, secret=SECRET, identity=identity)
        for identity, event in different.items()
    )
    url = settings.broker_url.get_secret_value()
    extra = environment(settings) | {"ANDON_NAMESPACE": settings.namespace}
    with (
        Client(url, source=SOURCE, key_id=KEY_ID, secret=SECRET, names=settings.streams) as client,
        process(["-c", WORKER], extra) as worker,
    ):
        basin = Basin(staged, staged.owner, client, fresh)
        basin.publish(list(itertools.islice(fresh, _WARM_UP)))
        wait_until(lambda: basin.decided() == basin.published)
        before, outcomes = pool_megabytes(worker), basin.outcomes()
        print(f"warmed up: pool {before:.0f} MiB")
        copied = sign_event(
            next(fresh).event, key_id=KEY_ID, secret=SECRET, identity=Identity(SOURCE, "copied")
        )
        began, published = time.monotonic(), basin.published
        for name, poured in (("copies", copied), ("garbage", None)):
            took = basin.flood(poured, messages, every=every)
            print(
                f"{messages:,} of {name}: {len(took)} fresh requests took p50"
                f" {percentile(took, 50):.2f} s, p99 {percentile(took, 99):.2f} s;"
                f" pool {pool_megabytes(worker):.0f} MiB"
            )
        wait_until(lambda: basin.decided() == basin.published)
        added, of = basin.outcomes() - outcomes, basin.published - published
        print(f"{time.monotonic() - began:.0f} s; {added:,} outcomes of {of:,} messages")
        print(f"the sum: published {basin.published:,} = decided {basin.decided():,}")


def main() -> None:
    """Measure on one engine."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--messages", type=int, default=60_000)
    parser.add_argument("--every", type=float, default=2.0, help="seconds between fresh requests")
    parser.add_argument("--amqp-url", help="measure on this RabbitMQ instead of a Redis")
    given = parser.parse_args()
    with stage("always") as staged, on_engine(staged, given.amqp_url) as chosen:
        measure(chosen, messages=given.messages, every=given.every)


if __name__ == "__main__":
    main()
