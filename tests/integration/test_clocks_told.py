"""Clocks that differ are told, once."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import redis

from tests.support.draining import intake_of
from tests.support.installation import Installation
from tests.support.requests import event, report
from tests.support.traffic import Traffic
from tests.support.workers import running
from worker.clocks import compare_clocks

TOLD = "clocks_differ"


def test_a_worker_says_once_that_its_clock_is_wrong(
    installation: Installation, broker: redis.Redis, tmp_path: Path
) -> None:
    """By how much, and not for each batch again."""
    environment = installation.environment() | {"ANDON_CONCURRENCY": "1"}
    traffic = Traffic(broker)
    with running(environment, tmp_path, clock_ahead=-300) as worker:
        for number in range(3):
            traffic.put(event("report_incident", report(), id=f"r{number}"))
            traffic.wait_until_empty()
        assert worker.terminate() == 0
    (line,) = [line for line in worker.output().splitlines() if TOLD in line]
    assert "-300" in line


def test_clocks_that_agree_are_not_worth_a_word(installation: Installation) -> None:
    """PostgreSQL, Redis and this process are on one machine here."""
    with (
        intake_of(installation) as intake,
        installation.pipeline.engine.begin() as connection,
    ):
        ahead = compare_clocks(connection, intake)
        told = intake.clock()
    assert told is not None
    assert abs(datetime.now(UTC) - told) < timedelta(minutes=1)
    assert not ahead.is_worth_telling


def test_a_worker_whose_user_may_not_ask_redis_goes_on(
    installation: Installation, broker: redis.Redis
) -> None:
    """Then the broker's clock is not told, and that is all."""
    broker.execute_command("ACL", "SETUSER", "default", "-time")
    try:
        with (
            intake_of(installation) as intake,
            installation.pipeline.engine.begin() as connection,
        ):
            ahead = compare_clocks(connection, intake)
    finally:
        broker.execute_command("ACL", "SETUSER", "default", "+time")
    assert ahead.machine is not None
    assert ahead.broker is None
