"""Dedup keys under concurrency: two connections that deal with one key at the same time.

The first transaction is held open while the second runs into it, so that what is tried is the
collision itself and not the chance of one.
"""

from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from threading import Barrier
from typing import Any

import pytest
from sqlalchemy import Connection

from models.database import connect
from models.dedup import DedupKey, lock_dedup_keys
from models.deliveries import Delivery
from tasks.pipeline import Pipeline, run
from tasks.verdicts import Verdict
from tests.support.asking import at, done, open_incident
from tests.support.installation import Installation
from tests.support.requests import delivery, event, report, update
from tests.support.waiting import wait_for

REPORT, UPDATE = "report_incident", "update_incident"
P1 = {"severity_flags": {"p1_outage_no_workaround": True}}
INCIDENTS = (
    "SELECT incident_id, severity, status, recurrence_of FROM incidents ORDER BY incident_id"
)
BLOCKED = """
    SELECT FROM pg_stat_activity
    WHERE datname = current_database() AND application_name = 'andon test'
      AND wait_event_type = 'Lock'
"""


@contextmanager
def _pipeline(installation: Installation) -> Iterator[Pipeline]:
    """A pipeline with a connection of its own, as in another pool process."""
    engine = connect(
        installation.urls.worker, statement_timeout_ms=10_000, application="andon test"
    )
    try:
        yield Pipeline(engine, installation.pipeline.means)
    finally:
        engine.dispose()


@pytest.fixture
def other() -> Iterator[ThreadPoolExecutor]:
    """Another thread, on the connection of the installation."""
    with ThreadPoolExecutor(1) as executor:
        yield executor


@pytest.fixture
def held(installation: Installation) -> Iterator[Connection]:
    """A transaction on a connection of its own; it ends when the test says so."""
    with _pipeline(installation) as pipeline, pipeline.engine.connect() as connection:
        yield connection


def _report(**changes: Any) -> Delivery:
    return delivery(event(REPORT, report(dedup_key="k", **changes)))


def _outcome(verdicts: Sequence[Verdict]) -> dict[str, Any]:
    (outcome,) = (verdict.outcome for verdict in verdicts if verdict.outcome)
    return dict(outcome.data)


def _run_into(
    installation: Installation, other: ThreadPoolExecutor, message: Delivery
) -> Future[list[Verdict]]:
    """Process *message* on the other connection, until it waits for the one that is held."""
    running = other.submit(installation.process, message)
    wait_for(lambda: bool(installation.rows(BLOCKED)), what="the other one waits for the key")
    return running


def test_a_report_waits_for_the_one_that_opens_its_incident(
    installation: Installation, held: Connection, other: ThreadPoolExecutor
) -> None:
    """Two reports under one new key at the same time: one incident, and the second joins it."""
    run(held, [_report()], installation.pipeline.means)
    running = _run_into(installation, other, _report(**P1))
    held.commit()
    assert _outcome(running.result(120))["result"] == {
        "incident_id": "1",
        "severity": "P1",
        "status": "open",
        "deduplicated": True,
    }
    assert installation.rows(INCIDENTS) == [(1, "P1", "open", None)]


def test_a_report_opens_the_incident_itself_when_the_first_comes_to_nothing(
    installation: Installation, held: Connection, other: ThreadPoolExecutor
) -> None:
    """What was rolled back is not joined."""
    run(held, [_report()], installation.pipeline.means)
    running = _run_into(installation, other, _report())
    held.rollback()
    assert "deduplicated" not in _outcome(running.result(120))["result"]
    assert len(installation.rows(INCIDENTS)) == 1


def test_a_report_waits_for_the_close_of_its_incident(
    installation: Installation, held: Connection, other: ThreadPoolExecutor
) -> None:
    """It does not join an incident that is being closed, but opens the next one."""
    open_incident(installation, dedup_key="k")
    close = update(change_set={"status": "closed"})
    run(held, [delivery(event(UPDATE, close))], installation.pipeline.means)
    running = _run_into(installation, other, _report())
    held.commit()
    assert _outcome(running.result(120))["result"]["incident_id"] == "2"
    assert installation.rows(INCIDENTS) == [(1, "P2", "closed", None), (2, "P2", "open", 1)]


def test_a_report_that_raises_undoes_no_update_of_the_moment(
    installation: Installation, held: Connection, other: ThreadPoolExecutor
) -> None:
    """It waits for whoever changes the incident, and adds to what they make of it."""
    open_incident(installation, dedup_key="k")
    rename = update(change_set={"title": "renamed"})
    run(held, [delivery(event(UPDATE, rename))], installation.pipeline.means)
    running = _run_into(installation, other, _report(**P1))
    held.commit()
    assert _outcome(running.result(120))["result"]["severity"] == "P1"
    assert installation.rows("SELECT title, severity, version FROM incidents") == [
        ("renamed", "P1", 3)
    ]


def test_an_incident_is_not_reopened_while_the_next_one_is_being_opened(
    installation: Installation, held: Connection, other: ThreadPoolExecutor
) -> None:
    """The reopening waits for what comes of the report, and then it is invalid_status."""
    open_incident(installation, dedup_key="k")
    done(installation, UPDATE, update(change_set={"status": "resolved"}))
    run(held, [_report()], installation.pipeline.means)
    reopen = update(change_set={"status": "investigating"})
    running = _run_into(installation, other, delivery(event(UPDATE, reopen)))
    held.commit()
    assert _outcome(running.result(120))["halt"]["reason"] == "invalid_status"
    assert installation.rows(INCIDENTS) == [(1, "P2", "resolved", None), (2, "P2", "open", 1)]


def test_a_report_joins_the_incident_that_is_being_reopened(
    installation: Installation, held: Connection, other: ThreadPoolExecutor
) -> None:
    """The other way round: the report waits, and opens no second one."""
    open_incident(installation, dedup_key="k")
    done(installation, UPDATE, update(change_set={"status": "resolved"}))
    reopen = update(change_set={"status": "investigating"})
    run(held, [delivery(event(UPDATE, reopen))], installation.pipeline.means)
    running = _run_into(installation, other, _report())
    held.commit()
    assert _outcome(running.result(120))["result"]["deduplicated"] is True
    assert installation.rows(INCIDENTS) == [(1, "P2", "investigating", None)]


def test_keys_are_locked_in_their_order(
    installation: Installation, held: Connection, other: ThreadPoolExecutor
) -> None:
    """Who waits for a key holds the ones before it and none behind it, so nobody deadlocks."""
    keys = [DedupKey("monitor", letter) for letter in "abcdefghijklmnopqrstuvwxyz"]
    engine = installation.pipeline.engine
    with engine.begin() as connection:
        lock_dedup_keys(connection, keys)
    lock_dedup_keys(held, keys[12:13])

    def lock_all() -> list[DedupKey]:
        with engine.begin() as connection:
            return list(lock_dedup_keys(connection, keys[::-1]))

    running = other.submit(lock_all)
    wait_for(lambda: bool(installation.rows(BLOCKED)), what="the other one waits for a key")
    free = installation.rows("SELECT source, dedup_key FROM dedup_keys FOR UPDATE SKIP LOCKED")
    held.rollback()
    assert len(running.result(120)) == len(keys)
    assert sorted(free) == keys[13:]


def test_batches_that_hold_the_same_keys_end_with_one_incident_a_key(
    installation: Installation,
) -> None:
    """Whatever the order of the keys in each batch: nothing is doubled, and nothing deadlocks."""
    keys = [f"key-{number:03}" for number in range(100)]
    start = Barrier(4)

    def process(names: list[str]) -> list[dict[str, Any]]:
        batch = [
            delivery(event(REPORT, report(dedup_key=name), time=at(n)))
            for n, name in enumerate(names)
        ]
        with _pipeline(installation) as pipeline:
            start.wait(120)
            verdicts = [verdict for part in pipeline.process(batch) for verdict in part]
        return [v.outcome.data["result"] for v in verdicts if v.outcome]

    with ThreadPoolExecutor(4) as executor:
        results = [
            result
            for batch in executor.map(process, [keys, keys[::-1], keys, keys[::-1]])
            for result in batch
        ]
    assert len(results) == 400
    assert sum(not result.get("deduplicated") for result in results) == len(keys)
    assert installation.rows("SELECT dedup_key, count(*) FROM incidents GROUP BY 1 ORDER BY 1") == [
        (key, 1) for key in keys
    ]
    assert installation.rows(
        "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"
    ) == [(0,)]
