"""Latency: from the call that publishes one urgent request to its outcome in the reader's hands."""

import math
import multiprocessing
import random
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from multiprocessing.connection import Connection
from typing import Any

import redis

from benchmarks.figures import Figure
from benchmarks.load import Feed
from benchmarks.mix import DECK, mix, whole_decks
from benchmarks.stage import KEY_ID, SECRET, SOURCE
from benchmarks.throughput import Course
from models.streams import EVENT, Lane, StreamNames
from producers.client import Client
from producers.signed import SignedEvent

PERCENTILES = (50, 95, 99)
_PAUSE = (0.005, 0.025)
"""Seconds, at random between these, from an outcome to the next request."""
_PATIENCE = 30.0
_BULK_SEED = 1_000_000


def measured_latencies(running: Course, events: Sequence[SignedEvent]) -> list[float]:
    """Milliseconds that each of *events* took, published one after the other."""
    settings = running.measured.settings
    url = settings.broker_url.get_secret_value()
    reader = redis.Redis.from_url(url)
    stream = settings.streams.outcomes
    latencies = []
    with Client(url, source=SOURCE, key_id=KEY_ID, secret=SECRET) as client:
        position = client.position()
        for event in events:
            time.sleep(random.uniform(*_PAUSE))  # noqa: S311  # so that nothing keeps step
            began = time.perf_counter()
            (entry,) = client.publish([event])
            position = _read_until(reader, stream, position, event, entry)
            latencies.append((time.perf_counter() - began) * 1000)
    reader.close()
    running.rounds.append(len(events))
    return latencies


def _read_until(
    reader: redis.Redis, stream: str, position: str, event: SignedEvent, entry: str
) -> str:
    """Read outcomes until that of *event* is there; the position after it.

    It is told by the request's id, or by its entry where it could not prove whose it is.
    """
    assert event.identity is not None
    wanted = (f'"id":"{event.identity.id}"'.encode(), f'"entry":"{entry}"'.encode())
    deadline = time.monotonic() + _PATIENCE
    while time.monotonic() < deadline:
        reply: Any = reader.xread({stream: position}, count=1_000, block=1_000)
        for _, entries in reply:
            for number, fields in entries:
                position = number.decode()
                if any(mark in fields[EVENT.encode()] for mark in wanted):
                    return position
    raise TimeoutError("an outcome did not come")


def percentiles(part: str, name: str, rounds: Sequence[Sequence[float]]) -> list[Figure]:
    """Each percentile, of each round."""
    return [
        Figure(part, f"{name}, p{p}", tuple(percentile(one, p) for one in rounds), "ms")
        for p in PERCENTILES
    ]


def percentile(values: Sequence[float], percent: int) -> float:
    """The smallest value that so many of 100 do not exceed."""
    return sorted(values)[math.ceil(len(values) * percent / 100) - 1]


@contextmanager
def bulk_load(running: Course, *, rate: float, seconds: float) -> Iterator[None]:
    """Bulk requests of the mix from a process of its own, *rate* a second, whatever comes of them.

    They are what is left of the load when the block ends; it waits for their outcomes.
    """
    settings = running.measured.settings
    before = running.outcomes()
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    arguments = (settings.broker_url.get_secret_value(), settings.streams, rate, seconds, theirs)
    feeder = context.Process(target=_feed, args=arguments, daemon=True)
    feeder.start()
    theirs.close()
    ours.recv()  # it is ready
    ours.send(None)
    own = len(running.rounds)
    yield
    ours.send(None)
    sent = ours.recv()
    feeder.join()
    running.wait_for(before + sent + sum(running.rounds[own:]))
    running.rounds.append(sent)


def _feed(
    url: str, names: StreamNames, rate: float, seconds: float, ours: "Connection[Any, Any]"
) -> None:
    """The feeding process: a deck of the mix at a time, until it is told to stop."""
    requests = whole_decks(math.ceil(rate * seconds))
    seed = _BULK_SEED + random.getrandbits(32)
    events = mix(requests, source=SOURCE, key_id=KEY_ID, secret=SECRET, seed=seed)
    with Feed(redis.Redis.from_url(url), names) as feed:
        chunks = list(feed.pack(events, lane=Lane.BULK, at_once=DECK))
        ours.send(None)
        ours.recv()
        began = time.monotonic()
        sent = 0
        for number, chunk in enumerate(chunks):
            if ours.poll():
                break
            time.sleep(max(0.0, began + number * DECK / rate - time.monotonic()))
            feed.send(chunk)
            sent += chunk.requests
        ours.send(sent)
