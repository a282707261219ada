"""Andon: the mix through one worker, from the first publish to the last outcome."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count

from benchmarks.load import Feed
from benchmarks.memory import pool_megabytes
from benchmarks.mix import mix, whole_decks
from benchmarks.stage import KEY_ID, SECRET, SOURCE, WORKER, Stage, environment, process, wait_until
from models.streams import Lane
from producers.client import Client
from producers.signed import SignedEvent

SLICE = 10_000
"""Requests of a large backlog that are timed together."""
WARM_UP = 1_000
"""Requests before the first round: the worker is up, its connections open, its plans made."""


class Course:
    """One worker's rounds on one stage, and how many requests each of them had.

    Args:
        measured: the stage.
        main: the worker's main process.
    """

    def __init__(self, measured: Stage, main: int) -> None:
        self.measured = measured
        self._main = main
        self._redis = measured.redis
        self._seeds = count(1)
        self.rounds: list[int] = []

    def events(self, requests: int) -> list[SignedEvent]:
        """The mix for a round that no other one has had."""
        return list(self.stream_of(requests))

    def stream_of(self, requests: int) -> Iterator[SignedEvent]:
        """The same, made as they are needed."""
        return mix(
            whole_decks(requests),
            source=SOURCE,
            key_id=KEY_ID,
            secret=SECRET,
            seed=next(self._seeds),
        )

    def outcomes(self) -> int:
        """How many outcomes have been published."""
        return int(self._redis.xlen(self.measured.settings.streams.outcomes))

    def wait_for(self, outcomes: int) -> None:
        """Wait until so many have been published in all."""
        wait_until(lambda: self.outcomes() >= outcomes)

    def timed(self, requests: int, publish: Callable[[], None]) -> float:
        """Requests a second, from the first that *publish* publishes to the last outcome."""
        before = self.outcomes()
        began = time.perf_counter()
        publish()
        self.wait_for(before + requests)
        seconds = time.perf_counter() - began
        self.rounds.append(requests)
        return requests / seconds

    def pipelined(self, requests: int, *, lane: Lane = Lane.URGENT) -> float:
        """A round of events that were made, signed and packed before, 500 in one MULTI."""
        events = self.events(requests)
        with Feed(self._redis, self.measured.settings.streams) as feed:
            chunks = list(feed.pack(events, lane=lane))

            def publish() -> None:
                for chunk in chunks:
                    feed.send(chunk)

            return self.timed(len(events), publish)

    def backlog(self, requests: int, *, slices: int) -> tuple[list[float], float]:
        """Let *requests* pile up while the worker is stopped, then let it go on.

        Returns:
            Requests a second in each of so many first *slices* of 10,000, and the most memory
            that the pool processes held, in MiB.
        """
        before = self.outcomes()
        os.killpg(self._main, signal.SIGSTOP)
        try:
            with Feed(self._redis, self.measured.settings.streams) as feed:
                for chunk in feed.pack(self.stream_of(requests)):
                    feed.send(chunk)
        finally:
            os.killpg(self._main, signal.SIGCONT)
        rates, megabytes = [], 0.0
        for number in range(slices):
            began = time.perf_counter()
            self.wait_for(before + (number + 1) * SLICE)
            rates.append(SLICE / (time.perf_counter() - began))
            megabytes = max(megabytes, self.megabytes())
        while self.outcomes() < before + requests:
            time.sleep(0.1)
            megabytes = max(megabytes, self.megabytes())
        self.rounds.append(requests)
        return rates, megabytes

    def steady(self, requests: int) -> None:
        """Publish *requests* as fast as they are decided, with never more than a few waiting."""
        before, sent = self.outcomes(), 0
        with Feed(self._redis, self.measured.settings.streams) as feed:
            for chunk in feed.pack(self.stream_of(requests)):
                self.wait_for(before + sent - SLICE)
                feed.send(chunk)
                sent += chunk.requests
        self.wait_for(before + sent)
        self.rounds.append(sent)

    def megabytes(self) -> float:
        """What the pool processes hold in memory now, together."""
        return pool_megabytes(self._main)

    def singles(self, requests: int) -> float:
        """A round of events that one client publishes one by one, each confirmed before the next.

        They were made and signed before.
        """
        events = self.events(requests)
        url = self.measured.settings.broker_url.get_secret_value()
        with Client(url, source=SOURCE, key_id=KEY_ID, secret=SECRET) as client:

            def publish() -> None:
                for event in events:
                    client.publish([event])

            return self.timed(len(events), publish)


@contextmanager
def course(measured: Stage, *, concurrency: int = 2) -> Iterator[Course]:
    """A worker that is warm."""
    measured.redis.flushall()
    with process(["-c", WORKER], environment(measured.settings, concurrency=concurrency)) as main:
        rounds = Course(measured, main)
        rounds.pipelined(WARM_UP)
        yield rounds
