"""Entries of a Redis stream whose numbers their producer chose."""

from datetime import UTC, datetime, timedelta

import pytest
import redis

from models.streams import EVENT, KEY, SIGNATURE, StreamNames
from tests.support.servers import Servers
from worker.redis_intake import RedisIntake, connect_redis, make_groups

NAMES = StreamNames()


@pytest.fixture
def intake(servers: Servers, broker: redis.Redis) -> RedisIntake:  # noqa: ARG001  # emptied
    """An empty intake."""
    client = connect_redis(servers.redis_url)
    make_groups(client, NAMES)
    return RedisIntake(client, NAMES, timedelta(seconds=1), outcomes_kept=100)


@pytest.mark.parametrize(
    "milliseconds", [9_999_999_999_999, 999_999_999_999_999, 2**63 - 1, 2**64 - 2]
)
def test_an_entry_from_the_future_was_accepted_now(
    intake: RedisIntake, broker: redis.Redis, milliseconds: int
) -> None:
    """No number that a stream takes stops the intake; what comes after it is received, too."""
    before = datetime.now(UTC)
    fields: dict[str | bytes, str | bytes] = {EVENT: "x", KEY: "x", SIGNATURE: "x"}
    broker.xadd(NAMES.intake(), fields, id=f"{milliseconds}-0")
    broker.xadd(NAMES.intake(), fields)
    oldest = intake.oldest_undecided()
    found = intake.receive(10)
    assert len(found) == 2
    for moment in (oldest, *(each.received_at for each in found)):
        assert moment is not None
        assert before <= moment <= datetime.now(UTC)
    intake.finish([(each, None) for each in found])
    assert intake.oldest_undecided() is None


def test_an_entry_without_a_time_was_accepted_long_ago(
    intake: RedisIntake, broker: redis.Redis
) -> None:
    """0-1 is the first number that a stream takes."""
    broker.xadd(NAMES.intake(), {EVENT: "x"}, id="0-1")
    (found,) = intake.receive(10)
    assert found.received_at == datetime(1970, 1, 1, tzinfo=UTC)
