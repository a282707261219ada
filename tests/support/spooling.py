"""A producer with a spool, as a process of its own that a test may kill.

    python -m tests.support.spooling URL SPOOL JOURNAL NAME FIRST

It publishes the events NAME-FIRST, NAME-(FIRST + 1) … in small calls until it is killed, forwards
meanwhile, and writes into JOURNAL how many each returned call had taken, so that the test knows
what it was promised.
"""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import orjson
import redis

from models.streams import EVENT, Lane, StreamNames
from producers.client import Client
from tests.support.requests import KEY_ID, SECRET, SOURCE
from tests.support.waiting import wait_for

_SIZES = (1, 7, 2, 30)


def spooling_client(url: str, spool: Path, **more: int) -> Client:
    """A client of the tests' source that keeps in *spool* what it cannot publish."""
    return Client(url, source=SOURCE, key_id=KEY_ID, secret=SECRET, spool=spool, **more)


def arrivals(url: str, lane: Lane = Lane.URGENT) -> list[str]:
    """The ids of what is in the intake, in its order, without the second copies."""
    with redis.Redis.from_url(url) as client:
        entries = client.xrange(StreamNames().intake(lane))
    ids = (orjson.loads(fields[EVENT.encode()])["id"] for _, fields in entries)
    return list(dict.fromkeys(ids))


@dataclass(frozen=True, slots=True)
class Producer:
    """One that runs."""

    process: subprocess.Popen[bytes]
    journal: Path

    def promised(self) -> int:
        """How many events, counted over all processes of its name, publish has returned for."""
        lines = self.journal.read_text().splitlines() if self.journal.exists() else []
        return int(lines[-1]) if lines else 0

    def wait_until(self, promised: int) -> None:
        """Let it publish up to *promised* events; an early end of the process is a failure."""

        def is_there() -> bool:
            assert self.process.poll() is None, "the producer has ended"
            return self.promised() >= promised

        wait_for(is_there, seconds=60, what=f"{promised} events published")

    def kill(self) -> None:
        """End it at once."""
        self.process.kill()
        self.process.wait(60)


@contextmanager
def producing(
    url: str, spool: Path, *, name: str = "r", first: int = 0, journal: Path | None = None
) -> Iterator[Producer]:
    """A producer that runs until the test kills it, or until the end of the block."""
    journal = journal or spool.with_name(f"{name}.journal")
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.support.spooling", url, spool, journal, name, str(first)]
    )
    producer = Producer(process, journal)
    try:
        yield producer
    finally:
        producer.kill()


def _main(url: str, spool: str, journal: str, name: str, first: str) -> None:
    with (
        Path(journal).open("a") as promises,
        spooling_client(url, Path(spool)) as client,
        client.forwarding(every=0.05),
    ):
        done = int(first)
        for turn in count():
            size = _SIZES[turn % len(_SIZES)]
            client.publish(
                client.prepare("x", {"note": "x" * 500}, id=f"{name}-{number}")
                for number in range(done, done + size)
            )
            done += size
            promises.write(f"{done}\n")
            promises.flush()


if __name__ == "__main__":
    _main(*sys.argv[1:])
