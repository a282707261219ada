"""Statements that hang in PostgreSQL, and commits that do: who waits for them, and for how long."""

import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
import redis
from sqlalchemy.engine import make_url

from policy.halts import Reason
from tests.support.installation import Installation
from tests.support.requests import event, report
from tests.support.servers import Servers
from tests.support.traffic import Traffic, read_books
from tests.support.waiting import wait_for
from tests.support.workers import running

SOFT_LIMIT, HARD_LIMIT = 3, 60
"""Only the soft limit is ever reached."""
INNOCENT = 30
POOL = 2
LIMITS = {
    "ANDON_BATCH_SOFT_TIME_LIMIT": str(SOFT_LIMIT),
    "ANDON_BATCH_TIME_LIMIT": str(HARD_LIMIT),
    "ANDON_CONCURRENCY": str(POOL),
    "ANDON_CLAIM_IDLE": "60",
}


def sleep_on(installation: Installation, *tables: str, seconds: float, title: str = "") -> None:
    """Let each row of these tables take its time, or only that with a title.

    COPY fires it, inside of which the driver waits.
    """
    condition = f"NEW.title = '{title}'" if title else "true"
    installation.execute(
        "CREATE FUNCTION sleep_on() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS"
        f" $$ BEGIN IF {condition} THEN PERFORM pg_sleep({seconds}); END IF; RETURN NEW; END $$",
        *(
            f"CREATE TRIGGER sleeping BEFORE INSERT ON {table} FOR EACH ROW"
            " EXECUTE FUNCTION sleep_on()"
            for table in tables
        ),
    )


def test_a_request_whose_statement_hangs_is_halted_alone(
    installation: Installation, broker: redis.Redis, tmp_path: Path
) -> None:
    """Each process ends at its soft limit, and counts; the third run alone is the last."""
    sleep_on(installation, "incidents", seconds=600, title="sleep")
    traffic = Traffic(broker)
    traffic.put(*(event("report_incident", report(), id=f"a{n}") for n in range(INNOCENT)))
    traffic.put(event("report_incident", report(title="sleep"), id="deadly"))
    traffic.put(*(event("report_incident", report(), id=f"b{n}") for n in range(INNOCENT)))
    with running(installation.environment() | LIMITS, tmp_path) as worker:
        traffic.wait_until_empty(seconds=120)
        log = worker.output()
    (halted,) = [each for each in traffic.outcomes() if each["type"] == "andon.request.halted"]
    assert halted["data"]["request"]["id"] == "deadly"
    assert halted["data"]["halt"]["reason"] == Reason.WORKER_LOST
    books = read_books(installation, traffic)
    assert (books.done, books.halted, books.duplicates) == (2 * INNOCENT, 1, 0)
    assert log.count("batch_took_too_long") >= 3
    assert "Hard time limit" not in log
    assert "outage_began" not in log
    assert installation.rows("SELECT FROM attempts") == []


def test_a_batch_that_takes_long_is_not_taken_over(
    installation: Installation, broker: redis.Redis, tmp_path: Path
) -> None:
    """While its statements run, it stays in the hands of the process that has it."""
    tables = ("incidents", "requests", "audit_records", "tallies")
    sleep_on(installation, *tables, seconds=1.2)
    traffic = Traffic(broker)
    # Each statement takes half of its limit, all of them longer than the claim idle time.
    environment = installation.environment() | {"ANDON_CLAIM_IDLE": "3", "ANDON_CONCURRENCY": "2"}
    with running(environment, tmp_path) as worker:
        traffic.put(event("report_incident", report(), id="slow"))
        delivered = [0]

        def finished() -> bool:
            pending = broker.xpending_range("andon:intake", "andon", "-", "+", 10)
            delivered.extend(entry["times_delivered"] for entry in pending)
            return traffic.left() == 0

        wait_for(finished, what="the slow one is decided")
        assert "outage_began" not in worker.output()
    assert max(delivered) == 1
    assert len(traffic.outcomes()) == 1


@pytest.fixture
def standby_away(servers: Servers, installation: Installation) -> Iterator[psycopg.Connection]:
    """A connection that may demand a synchronous standby; afterwards none is demanded."""
    database = make_url(installation.urls.worker).database
    url = servers.postgres_urls.superuser.replace("postgresql+psycopg", "postgresql")
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f"ALTER DATABASE {database} SET synchronous_commit = 'on'")
        yield connection
        _set_standby(connection, "RESET synchronous_standby_names")


def _set_standby(connection: psycopg.Connection, change: str) -> None:
    connection.execute(f"ALTER SYSTEM {change}")  # type: ignore[arg-type]  # a literal
    connection.execute("SELECT pg_reload_conf()")


def test_connections_do_not_pile_up_while_commits_hang(
    installation: Installation,
    standby_away: psycopg.Connection,
    broker: redis.Redis,
    tmp_path: Path,
) -> None:
    """A process leaves one behind at most, says why it waits, and goes on when it can."""
    traffic = Traffic(broker)
    most = 0

    def left_behind() -> int:
        nonlocal most
        ((found,),) = installation.rows(
            "SELECT count(*) FROM pg_stat_activity"
            " WHERE application_name = 'andon worker' AND wait_event = 'SyncRep'"
        )
        most = max(most, found)
        return int(found)

    with running(installation.environment() | LIMITS, tmp_path) as worker:
        traffic.put(*(event("report_incident", report(), id=f"a{n}") for n in range(INNOCENT)))
        traffic.wait_until_empty()
        _set_standby(standby_away, "SET synchronous_standby_names = 'nobody'")
        traffic.put(*(event("report_incident", report(), id=f"b{n}") for n in range(INNOCENT)))
        wait_for(
            lambda: left_behind() and "commits wait for the synchronous standby" in worker.output(),
            seconds=60,
            what="the outage is told",
        )
        until = time.monotonic() + 4 * SOFT_LIMIT
        wait_for(
            lambda: left_behind() > 2 * POOL or time.monotonic() > until,
            seconds=8 * SOFT_LIMIT,
            what="several soft limits have passed",
        )
        assert most <= 2 * POOL
        _set_standby(standby_away, "RESET synchronous_standby_names")
        traffic.wait_until_empty(seconds=90)
    books = read_books(installation, traffic)
    assert (books.done, books.halted, books.duplicates) == (2 * INNOCENT, 0, 0)
