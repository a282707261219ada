"""The client for asyncio, on a real Redis with the worker's own drain behind it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import orjson
import pytest
import redis

from console.embedded import Redis
from models.results import Done, Halted, IncidentReported, IncidentUpdated
from models.streams import EVENT, Lane, StreamNames
from producers.async_client import AsyncClient
from producers.client import Client, IntakeFull, IntakeUnreachable, NoOutcome
from tests.support.draining import draining
from tests.support.installation import Installation
from tests.support.requests import KEY_ID, SECRET, SOURCE, report
from tests.support.servers import Servers
from tests.support.spooling import arrivals

NAMES = StreamNames()


@asynccontextmanager
async def connected(url: str, **options: Any) -> AsyncIterator[AsyncClient]:
    """A client of the tests' source."""
    sync = Client(url, source=SOURCE, key_id=KEY_ID, secret=SECRET, **options)
    async with AsyncClient(sync) as made:
        yield made


def test_concurrent_calls_are_published_together_in_their_order(
    broker: redis.Redis, servers: Servers
) -> None:
    """A thousand awaited calls arrive once each, in order, in far fewer round trips."""

    async def publish() -> list[str]:
        async with connected(servers.redis_url) as client:
            receipts = await asyncio.gather(
                *(client.report_incident(**report(), id=str(number)) for number in range(1_000))
            )
        return [each.entry for each in receipts]

    before = broker.info("commandstats").get("cmdstat_exec", {"calls": 0})["calls"]
    entries = asyncio.run(publish())
    trips = broker.info("commandstats")["cmdstat_exec"]["calls"] - before
    stored = broker.xrange(NAMES.intake())
    assert [f"{NAMES.intake()}/{number.decode()}" for number, _ in stored] == entries
    events = [orjson.loads(fields[EVENT.encode()]) for _, fields in stored]
    assert [event["id"] for event in events] == [str(number) for number in range(1_000)]
    assert all(a["time"] < b["time"] for a, b in pairwise(events))
    assert trips <= 10


def test_outcomes_come_to_whoever_waits_for_them(
    installation: Installation, servers: Servers
) -> None:
    """Many tasks wait at once, each gets its own typed outcome; a follow-up names the report."""

    async def ask() -> list[Done | Halted]:
        async with connected(servers.redis_url) as client:
            asking = client.waiting(timeout=120)
            reported = await asyncio.gather(
                *(asking.report_incident(**report(), id=f"r{number}") for number in range(20))
            )
            assert reported[3].identity is not None
            updated = await asking.update_incident(
                incident_request=reported[3].identity,
                updated_by_user="support",
                change_set={"status": "investigating"},
            )
            refused = await asking.update_incident(incident_id="1", updated_by_user="nobody")
            return [*reported, updated, refused]

    with draining(installation):
        *reported, updated, refused = asyncio.run(ask())
    ids = set()
    for number, outcome in enumerate(reported):
        assert isinstance(outcome, Done)
        assert outcome.identity == (SOURCE, f"r{number}")
        assert isinstance(outcome.result, IncidentReported)
        ids.add(outcome.result.incident_id)
    assert len(ids) == 20
    assert isinstance(updated, Done)
    assert isinstance(updated.result, IncidentUpdated)
    assert updated.result.changed == ("status",)
    assert isinstance(refused, Halted)
    assert refused.halt.reason == "missing_input"


def test_a_call_that_nobody_decides_ends_in_time_with_its_receipt(
    broker: redis.Redis, servers: Servers
) -> None:
    """The exception says that the request is not lost, and which one it is."""

    async def ask() -> None:
        async with connected(servers.redis_url) as client:
            await client.waiting(timeout=0.2).report_incident(**report(), id="r1")

    with pytest.raises(NoOutcome, match="not lost") as caught:
        asyncio.run(ask())
    assert caught.value.receipt.identity == (SOURCE, "r1")
    assert broker.xlen(NAMES.intake()) == 1


def test_a_silent_intake_does_not_block_the_loop(tmp_path: Path) -> None:
    """While a publication waits for a stopped server, other tasks go on running."""
    server = Redis(tmp_path / "redis", appendfsync="always")
    url = server.start()
    server.stop()

    async def publish() -> int:
        turns = 0
        async with connected(url, retry_for=0.5) as client:
            task = asyncio.create_task(client.report_incident(**report()))
            while not task.done():
                await asyncio.sleep(0.005)
                turns += 1
            with pytest.raises(IntakeUnreachable, match="Nothing was accepted"):
                await task
        return turns

    assert asyncio.run(publish()) > 3


def test_of_calls_that_went_together_those_without_room_fail_alone(
    broker: redis.Redis, servers: Servers
) -> None:
    """Each call hears of its own request; what was accepted has its receipt."""

    async def publish() -> list[Any]:
        async with connected(servers.redis_url, intake_limit=500) as client:
            return await asyncio.gather(
                *(client.report_incident(**report(), id=str(number)) for number in range(700)),
                return_exceptions=True,
            )

    results = asyncio.run(publish())
    refused = [each for each in results if isinstance(each, Exception)]
    assert len(results) - len(refused) == broker.xlen(NAMES.intake()) == 500
    assert all(isinstance(each, IntakeFull) for each in refused)
    assert len({id(each) for each in refused}) == 200
    assert "Nothing was accepted." in str(refused[0])


def test_a_call_cancelled_before_its_round_trip_is_not_published(
    broker: redis.Redis,  # noqa: ARG001  # emptied for the test
    servers: Servers,
) -> None:
    """The others of the same moment are, and leaving the block waits for them."""

    async def publish() -> None:
        async with connected(servers.redis_url) as client:
            calls = [
                asyncio.ensure_future(client.report_incident(**report(), id=str(number)))
                for number in range(3)
            ]
            asyncio.get_running_loop().call_soon(calls[1].cancel)
            await asyncio.wait([calls[1]])

    asyncio.run(publish())
    assert arrivals(servers.redis_url) == ["0", "2"]


def test_waiting_that_is_cancelled_leaves_others_waiting(
    installation: Installation, servers: Servers
) -> None:
    """One who gives up takes nothing from another, also not from one who asks for the same."""

    async def ask() -> Done | Halted:
        async with connected(servers.redis_url) as client:
            asking = client.waiting(timeout=120)
            first, second = (
                asyncio.ensure_future(asking.report_incident(**report(), id="r1")) for _ in range(2)
            )
            await asyncio.sleep(0)
            first.cancel()
            with draining(installation):
                return await second

    assert isinstance(asyncio.run(ask()), Done)


def test_a_spool_and_a_lane_are_those_of_the_client(tmp_path: Path) -> None:
    """What cannot be published is spooled, and says so; later it arrives in its lane."""
    server = Redis(tmp_path / "redis", appendfsync="always")
    url = server.start()
    server.stop()

    async def publish() -> list[bool]:
        options: dict[str, Any] = {"spool": tmp_path / "spool.sqlite", "lane": Lane.BULK}
        async with connected(url, **options) as client:
            receipt = await client.report_incident(**report(), id="1")
            (place,) = await client.publish([client.requests.report_incident(**report(), id="2")])
            return [receipt.is_spooled, place == "spool"]

    try:
        assert asyncio.run(publish()) == [True, True]
        server.start()
        with Client(
            url, source=SOURCE, key_id=KEY_ID, secret=SECRET, spool=tmp_path / "spool.sqlite"
        ) as later:
            assert later.forward() == 2
        assert arrivals(url, Lane.BULK) == ["1", "2"]
    finally:
        server.kill()
