"""What is forgotten when its retention has passed, and what is not."""
# ruff: noqa: S608  # the statements are the test's own

from datetime import UTC, datetime, timedelta

import pytest

import tasks.prune
from models.tables import Door
from models.tallies import Tally, read_tally
from tasks.prune import DUPLICATES_KEPT, compact, prune
from tests.support.installation import Installation
from tests.support.requests import delivery, event, report

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
LEDGER = "SELECT request_id FROM requests ORDER BY request_id"
DUPLICATES = "SELECT entry FROM duplicates ORDER BY entry"


@pytest.fixture(autouse=True)
def _small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything takes several transactions."""
    monkeypatch.setattr(tasks.prune, "_AT_ONCE", 3)


def prune_now(
    installation: Installation,
    *,
    ledger_retention: timedelta | None = None,
    oldest_undecided: datetime | None = None,
) -> None:
    """Prune, at noon."""
    prune(
        installation.pipeline.engine,
        oldest_undecided=lambda: oldest_undecided,
        ledger_retention=ledger_retention,
        halt_retention=timedelta(days=30),
        clock=lambda _: NOW,
    )


def decided(installation: Installation, count: int, at: datetime, name: str = "r") -> None:
    """Requests that were decided at the same time."""
    installation.execute(f"""
        INSERT INTO requests (source, request_id, body_hash, halted, body, entry, event_time,
                              received_at, decided_at)
        SELECT 's', '{name}' || n, '', false, '{{}}', 'e/{name}' || n, '{at}', '{at}', '{at}'
        FROM generate_series(1, {count}) AS n
    """)


def test_identities_are_kept_for_ever_unless_a_retention_is_set(
    installation: Installation,
) -> None:
    """However old they are."""
    decided(installation, 4, datetime(1999, 1, 1, tzinfo=UTC))
    prune_now(installation)
    assert len(installation.rows(LEDGER)) == 4


def test_identities_older_than_their_retention_are_forgotten_in_chunks(
    installation: Installation,
) -> None:
    """All of them, though a chunk takes three; what is younger stays."""
    retention = timedelta(days=10)
    for age in range(1, 5):
        decided(installation, 5, NOW - retention - timedelta(days=age), name=f"old{age}-")
    decided(installation, 2, NOW - retention, name="young")
    prune_now(installation, ledger_retention=retention)
    assert installation.rows(LEDGER) == [("young1",), ("young2",)]


def test_an_identity_stays_until_its_event_is_expired_and_its_halt_settled(
    installation: Installation,
) -> None:
    """Whatever lies between them in the order of time is forgotten all the same."""
    retention = timedelta(days=10)
    old = NOW - retention - timedelta(days=1)
    decided(installation, 9, old)
    halted = delivery(event("report_incident", report(client_id="nobody"), id="halted"))
    installation.process(halted)
    installation.execute(
        f"UPDATE requests SET decided_at = '{old}', event_time = '{old}'"
        " WHERE request_id = 'halted'",
        f"UPDATE requests SET event_time = '{NOW - retention}' WHERE request_id = 'r1'",
        "UPDATE requests SET event_time = NULL WHERE request_id = 'r2'",
    )
    prune_now(installation, ledger_retention=retention)
    assert installation.rows(LEDGER) == [("halted",), ("r1",)]
    installation.execute("UPDATE halts SET state = 'discarded', settled_at = now()")
    prune_now(installation, ledger_retention=retention)
    assert installation.rows(LEDGER) == [("r1",)]


def duplicates(installation: Installation, count: int, at: datetime, name: str) -> None:
    """Entries that were recorded as duplicates at the same time."""
    installation.execute(
        f"INSERT INTO duplicates SELECT '{name}' || n, '{at}' FROM generate_series(1, {count}) n"
    )


def test_an_entry_is_known_as_a_duplicate_as_long_as_it_can_be_delivered_again(
    installation: Installation,
) -> None:
    """Everything older than the oldest entry in the intake goes, with a day to spare."""
    oldest = NOW - timedelta(days=3)
    duplicates(installation, 7, oldest - DUPLICATES_KEPT - timedelta(seconds=1), "gone")
    duplicates(installation, 1, oldest - DUPLICATES_KEPT, "kept")
    prune_now(installation, oldest_undecided=oldest)
    assert installation.rows(DUPLICATES) == [("kept1",)]


def test_with_nothing_in_the_intake_duplicates_are_known_for_a_day(
    installation: Installation,
) -> None:
    """Clocks may differ, and plain tasks are in no intake."""
    duplicates(installation, 4, NOW - DUPLICATES_KEPT - timedelta(seconds=1), "gone")
    duplicates(installation, 1, NOW - DUPLICATES_KEPT, "kept")
    prune_now(installation)
    assert installation.rows(DUPLICATES) == [("kept1",)]


def test_the_intake_is_asked_only_where_something_may_be_forgotten(
    installation: Installation,
) -> None:
    """On RabbitMQ to be looked at counts as a delivery."""
    duplicates(installation, 1, NOW, "kept")

    def never() -> datetime:
        raise AssertionError("the intake was asked")

    prune(
        installation.pipeline.engine,
        oldest_undecided=never,
        ledger_retention=None,
        halt_retention=timedelta(days=30),
        clock=lambda _: NOW,
    )


def test_compacting_leaves_every_sum_as_it_was(installation: Installation) -> None:
    """A row for each door is left, also of numbers beyond 32 bits."""
    installation.execute(
        """
        INSERT INTO tallies (door, done, halted, duplicates)
        SELECT CASE n % 2 WHEN 0 THEN 'intake' ELSE 'task' END, n, 2147483647, n % 5
        FROM generate_series(1, 20) AS n
        """
    )
    sums = read_sums(installation)
    assert sums[Door.INTAKE] == Tally(110, 10 * 2147483647, 20)
    compact(installation.pipeline.engine)
    assert read_sums(installation) == sums
    assert installation.rows("SELECT count(*) FROM tallies") == [(2,)]


def test_what_is_counted_while_compacting_is_not_lost(installation: Installation) -> None:
    """A row that is not committed yet is left for the next time."""
    installation.execute(
        "INSERT INTO tallies (door, done, halted, duplicates)"
        " SELECT 'intake', 1, 0, 0 FROM generate_series(1, 5)"
    )
    with installation.superuser.begin() as connection:
        connection.exec_driver_sql(
            "INSERT INTO tallies (door, done, halted, duplicates) VALUES ('intake', 1, 0, 0)"
        )
        compact(installation.pipeline.engine)
        compact(installation.pipeline.engine)
    assert read_sums(installation)[Door.INTAKE] == Tally(6, 0, 0)
    compact(installation.pipeline.engine)
    assert read_sums(installation)[Door.INTAKE] == Tally(6, 0, 0)


def read_sums(installation: Installation) -> dict[Door, Tally]:
    """Everything resolved so far, by door."""
    with installation.superuser.connect() as connection:
        return {door: read_tally(connection, door) for door in Door}
