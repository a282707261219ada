"""The outlet: concurrent calls share round trips, and each gets the answer that is its own."""

import asyncio
from collections.abc import Coroutine, Sequence
from pathlib import Path
from typing import Any

import pytest
import redis

from models.streams import StreamNames
from producers.client import Client
from producers.engines import connect_publisher
from producers.faults import IntakeFull, PublishFailed
from producers.gateway.publishing import Outlet, TooManyWaiting
from producers.publisher import CHUNK, INTAKE_LIMIT
from producers.signed import SignedEvent
from producers.spool import Spool
from tests.support.installation import Installation
from tests.support.requests import KEY_ID, SECRET, SOURCE, report
from tests.support.spooling import arrivals

CALLS = 400


@pytest.fixture
def url(installation: Installation) -> str:
    """The intake."""
    return installation.settings.broker_url.get_secret_value()


def events(url: str, count: int, name: str = "r") -> list[SignedEvent]:
    """Distinct events."""
    with Client(url, source=SOURCE, key_id=KEY_ID, secret=SECRET) as client:
        return [client.prepare("report_incident", report(), id=f"{name}{n}") for n in range(count)]


def outlet(url: str, *, limit: int = INTAKE_LIMIT, **how: Any) -> Outlet:
    """One that publishes to the intake at *url*."""
    return Outlet(connect_publisher(url, names=StreamNames(), intake_limit=limit), **how)


def together(calls: Sequence[Coroutine[Any, Any, bool]]) -> list[bool | BaseException]:
    """What comes of calls that are made at the same time."""

    async def run() -> list[bool | BaseException]:
        return await asyncio.gather(*calls, return_exceptions=True)

    return asyncio.run(run())


def round_trips(broker: redis.Redis) -> int:
    """How many transactions Redis has carried out since its statistics were reset."""
    stats: Any = broker.info("commandstats")
    return int(stats.get("cmdstat_exec", {"calls": 0})["calls"])


def test_concurrent_calls_go_in_few_round_trips(url: str, broker: redis.Redis) -> None:
    """All but the first few share one; every event of each call arrives once, in its order."""
    made = events(url, 2 * CALLS)
    broker.config_resetstat()
    with outlet(url) as way:
        answers = together(
            [way.publish(made[2 * n : 2 * n + 2], may_spool=False) for n in range(CALLS)]
        )
    assert answers == [False] * CALLS
    assert round_trips(broker) <= 2 + 2 * CALLS // CHUNK
    arrived = arrivals(url)
    assert sorted(arrived) == sorted(f"r{n}" for n in range(2 * CALLS))
    places = {name: place for place, name in enumerate(arrived)}
    assert all(places[f"r{2 * n}"] + 1 == places[f"r{2 * n + 1}"] for n in range(CALLS))


def test_a_call_larger_than_a_round_trip_is_taken_whole(url: str) -> None:
    """However many events it has."""
    made = events(url, 2 * CHUNK + 1)
    with outlet(url) as way:
        assert together([way.publish(made, may_spool=False)]) == [False]
    assert len(arrivals(url)) == len(made)


def test_of_a_shared_round_trip_each_call_hears_what_became_of_its_own(
    url: str, tmp_path: Path
) -> None:
    """Where the intake is full, who may spool is spooled, and who may not is refused."""
    made = events(url, 4)
    with outlet(url, limit=0, spool=Spool(tmp_path / "spool")) as way:
        first, second, third = together(
            [
                way.publish(made[:1], may_spool=True),
                way.publish(made[1:2], may_spool=False),
                way.publish(made[2:], may_spool=True),
            ]
        )
    assert (first, third) == (True, True)
    assert isinstance(second, IntakeFull)
    assert "accepted" not in str(second), "what became of others is nobody's business"
    kept = Spool(tmp_path / "spool")
    assert [each.event for each in kept.head(9)] == [made[0], made[2], made[3]]
    kept.close()
    assert arrivals(url) == []


def test_a_spool_that_is_full_refuses(url: str, tmp_path: Path) -> None:
    """Nothing is promised that is kept nowhere; the next call is tried again."""
    made = events(url, 200)
    with outlet(url, limit=0, spool=Spool(tmp_path / "spool", limit=65_536)) as way:
        answers = together([way.publish([event], may_spool=True) for event in made[:1]])
        assert answers == [True]
        (refused,) = together([way.publish(made[1:], may_spool=True)])
    assert isinstance(refused, PublishFailed)
    assert "full" in str(refused)


def test_more_than_may_wait_is_refused_at_once(url: str) -> None:
    """What is refused was not published; what waited is."""
    made = events(url, 10)
    with outlet(url, most_waiting=5) as way:
        first, second = together(
            [way.publish(made[:5], may_spool=False), way.publish(made[5:], may_spool=False)]
        )
        assert first is False
        assert isinstance(second, TooManyWaiting)
        assert together([way.publish(made[5:], may_spool=False)]) == [False]
    assert len(arrivals(url)) == 10


def test_more_bytes_than_may_wait_are_refused_at_once(url: str) -> None:
    """A stalled intake does not fill the memory with a few large events."""
    made = events(url, 2)
    with outlet(url, most_waiting_bytes=len(made[0].event)) as way:
        first, second = together([way.publish([each], may_spool=False) for each in made])
        assert first is False
        assert isinstance(second, TooManyWaiting)


def test_many_who_ask_whether_it_is_ready_ask_once(url: str) -> None:
    """All of them hear the one answer."""
    with outlet(url) as way:
        together([way.check(within=30) for _ in range(100)])
        assert way._jobs.empty()


def test_what_was_given_is_published_before_the_outlet_closes(url: str) -> None:
    """Closing waits for what is under way."""
    made = events(url, 50)
    way = outlet(url)

    async def run() -> list[bool]:
        with way:
            calls = [asyncio.ensure_future(way.publish([e], may_spool=False)) for e in made]
            await asyncio.sleep(0)
        return await asyncio.gather(*calls)

    assert asyncio.run(run()) == [False] * len(made)
    assert len(arrivals(url)) == len(made)
