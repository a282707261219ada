"""The typed client on RabbitMQ, before a real worker, from threads and from asyncio."""

import asyncio
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from models.rabbitmq import connect_rabbitmq, open_channel, undelivered
from models.results import Done
from models.streams import StreamNames
from producers.async_client import AsyncClient
from producers.client import Client, NoOutcome
from tests.support.installation import Installation
from tests.support.rabbitmq import rabbitmq_queues
from tests.support.requests import KEY_ID, SECRET, SOURCE, report
from tests.support.workers import running

Place = tuple[str, StreamNames]


@pytest.fixture
def place() -> Iterator[Place]:
    """A RabbitMQ, and names of this test's own."""
    with rabbitmq_queues() as found:
        yield found


def make_client(place: Place) -> Client:
    """A client of the tests' source."""
    url, names = place
    return Client(url, source=SOURCE, key_id=KEY_ID, secret=SECRET, names=names)


def held(place: Place) -> int:
    """How many requests are in the urgent lane."""
    url, names = place
    with closing(connect_rabbitmq(url)) as connection:
        return undelivered(open_channel(connection), names.intake())


def open_files() -> int:
    """How many files and connections this process has open."""
    return len(list(Path("/proc/self/fd").iterdir()))


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="counts what is open as on Linux")
def test_waiting_leaves_no_connection_behind(place: Place) -> None:
    """However often a program waits, it holds no more connections than after the first time."""
    counts = []
    with make_client(place) as client:
        for _ in range(4):
            with pytest.raises(NoOutcome):
                client.waiting(timeout=0.1).report_incident(**report())
            counts.append(open_files())
    assert len(set(counts)) == 1
    assert held(place) == 4


def test_tasks_publish_and_wait_together(
    installation: Installation, place: Place, tmp_path: Path
) -> None:
    """A hundred tasks each get the outcome of their own request from a real worker."""

    async def ask() -> list[Done]:
        async with AsyncClient(make_client(place)) as client:
            asking = client.waiting(timeout=60)
            outcomes = await asyncio.gather(
                *(asking.report_incident(**report(), id=f"r{number}") for number in range(100))
            )
        return [each for each in outcomes if isinstance(each, Done)]

    url, names = place
    settings = installation.environment() | {
        "ANDON_BROKER_URL": url,
        "ANDON_NAMESPACE": names.namespace,
    }
    with running(settings, tmp_path):
        done = asyncio.run(ask())
    assert [each.identity.id for each in done] == [f"r{number}" for number in range(100)]
    rows = installation.rows("SELECT count(*) AS count FROM incidents")
    assert rows[0].count == 100
