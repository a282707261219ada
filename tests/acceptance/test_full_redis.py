"""A Redis without memory: it is drained all the same, and whoever publishes is told in time."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from models.outcomes import Identity
from producers.client import Client
from producers.faults import IntakeFull
from tests.support.installation import Installation
from tests.support.requests import KEY_ID, SECRET, SOURCE, event, report
from tests.support.servers import Servers
from tests.support.traffic import Traffic, check_reports
from tests.support.waiting import wait_for
from tests.support.workers import running

ROOM = 4_000_000


@pytest.fixture
def small(broker: redis.Redis) -> Iterator[redis.Redis]:
    """A Redis with a few megabytes left."""
    used = broker.info("memory")["used_memory"]
    broker.config_set("maxmemory", used + ROOM)
    yield broker
    broker.config_set("maxmemory", 0)


def fill(traffic: Traffic) -> list[str]:
    """Publish reports until Redis takes no more; their ids."""
    ids: list[str] = []
    while True:
        fresh = f"r{len(ids)}"
        try:
            traffic.put(event("report_incident", report(title="x" * 1_000), id=fresh))
        except redis.OutOfMemoryError:
            return ids
        ids.append(fresh)


def test_a_full_redis_is_drained_by_itself(
    installation: Installation, small: redis.Redis, tmp_path: Path
) -> None:
    """A worker that starts decides all of it, and every outcome is published."""
    traffic = Traffic(small)
    ids = fill(traffic)
    assert len(ids) > 500
    with running(installation.environment(), tmp_path) as worker:
        traffic.wait_until_empty(seconds=90)
        assert "outage_began" not in worker.output()
        check_reports(installation, traffic, ids)


def test_a_redis_that_gets_full_beside_a_worker_is_drained(
    installation: Installation, small: redis.Redis, tmp_path: Path
) -> None:
    """It goes on as soon as there is room, and loses nothing."""
    traffic = Traffic(small)
    with running(installation.environment(), tmp_path) as worker:
        worker.pause()
        ids = fill(traffic)
        worker.go_on()
        traffic.wait_until_empty(seconds=90)
        ids.append("after")
        traffic.put(event("report_incident", report(), id="after"))
        traffic.wait_until_empty(seconds=30)
        check_reports(installation, traffic, ids)


def test_who_publishes_is_told_before_redis_is_full(
    servers: Servers, small: redis.Redis, tmp_path: Path, installation: Installation
) -> None:
    """Nothing is accepted that would leave the workers no room; later it is, without a restart."""
    url = servers.redis_url
    with Client(url, source=SOURCE, key_id=KEY_ID, secret=SECRET) as client:
        identity = Identity(SOURCE, "later")
        small.rpush("ballast", *["x" * 100_000] * (ROOM // 200_000))
        limit = small.info("memory")["used_memory"] / 0.9
        small.config_set("maxmemory", int(limit))
        later = client.prepare("report_incident", report(), id="later")
        with pytest.raises(IntakeFull, match=r"9\d % of its memory"):
            client.publish([later])
        assert small.xlen("andon:intake") == 0
        small.delete("ballast")
        small.config_set("maxmemory", int(limit * 2))
        since = client.position()
        wait_for(lambda: client.publish([later]), what="room again")
        with running(installation.environment(), tmp_path):
            (told,) = client.wait([identity], since=since, timeout=30)
        assert told["outcome"] == "done"
