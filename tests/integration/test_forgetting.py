"""What has been forgotten is in PostgreSQL, so that no process takes it for what never was."""

from collections.abc import Collection
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import redis
from sqlalchemy import Connection

import tasks.claim
from models.database import connect
from models.ledger import read_ledger
from models.outcomes import Identity, Outcome
from tests.support.forgetting import forget
from tests.support.installation import Installation
from tests.support.requests import delivery, event, report
from tests.support.traffic import Traffic
from tests.support.waiting import wait_for
from tests.support.workers import running

MONTH = timedelta(days=30)
AHEAD = 31 * 86_400.0


def old_report(*, days: float) -> bytes:
    """A report that was signed so long ago."""
    time = datetime.now(UTC) - timedelta(days=days)
    return event("report_incident", report(), id="once", time=time)


def outcome(installation: Installation, message: bytes) -> Outcome:
    """What becomes of a message."""
    (verdict,) = installation.process(delivery(message))
    assert verdict.outcome is not None
    return verdict.outcome


def age(installation: Installation, *, days: float) -> None:
    """Let everything in the ledger have been decided so long ago."""
    installation.execute(
        f"UPDATE requests SET decided_at = decided_at - interval '{days} days'"  # noqa: S608  # ours
    )


def test_what_was_forgotten_halts_as_expired_whatever_a_worker_is_told(
    installation: Installation,
) -> None:
    """This worker knows of no retention; the schedules that forgot had one."""
    message = old_report(days=40)
    outcome(installation, message)
    age(installation, days=40)
    forget(installation, identities_after=MONTH)
    assert installation.rows("SELECT FROM requests") == []
    again = outcome(installation, message)
    assert (again.halted, again.body.get("reason")) == (True, "expired")
    assert len(installation.rows("SELECT FROM incidents")) == 1


def test_what_was_not_forgotten_has_not_expired(installation: Installation) -> None:
    """However old an event is: what is not in the ledger has never been there."""
    assert not outcome(installation, old_report(days=400)).halted
    age(installation, days=1)
    forget(installation, identities_after=MONTH)
    assert not outcome(installation, old_report(days=400)).halted
    assert len(installation.rows("SELECT FROM incidents")) == 1


def test_a_longer_retention_brings_nothing_back(installation: Installation) -> None:
    """What has been forgotten once stays so, whoever prunes with which setting."""
    message = old_report(days=40)
    forget(installation, identities_after=MONTH)
    forget(installation, identities_after=10 * MONTH)
    forget(installation)
    assert outcome(installation, message).body.get("reason") == "expired"


def test_an_event_without_a_time_may_be_a_forgotten_one(installation: Installation) -> None:
    """Until something is forgotten, none has to say when it was made."""
    timeless = old_report(days=0).replace(b'"time"', b'"x"')
    assert not outcome(installation, timeless.replace(b"once", b"before")).halted
    forget(installation, identities_after=MONTH)
    assert outcome(installation, timeless).body.get("reason") == "expired"


def test_schedules_whose_clock_is_a_month_ahead_double_nothing(
    installation: Installation, broker: redis.Redis, tmp_path: Path
) -> None:
    """They forget by PostgreSQL's clock, nothing that is younger than the retention."""
    message = event("report_incident", report(), id="once")
    traffic = Traffic(broker)
    environment = installation.environment() | {"ANDON_LEDGER_RETENTION_DAYS": "30"}
    installation.execute("INSERT INTO duplicates VALUES ('old', now() - interval '3 days')")
    with running(installation.environment(), tmp_path) as worker:
        traffic.put(message)
        traffic.wait_until_empty()
        with running(environment, tmp_path, what="run_schedules", clock_ahead=AHEAD) as ahead:
            wait_for(
                lambda: installation.rows("SELECT FROM duplicates") == [],  # the last to go
                what="everything old forgotten",
            )
            assert ahead.terminate() == 0
        traffic.put(message)
        traffic.wait_until_empty()
        assert worker.terminate() == 0
    assert len(installation.rows("SELECT FROM incidents")) == 1
    assert installation.rows("SELECT sum(done), sum(duplicates) FROM tallies") == [(1, 1)]


@pytest.mark.parametrize("moment", ["before", "after"])
def test_what_is_forgotten_while_a_batch_looks_for_it_is_not_done_twice(
    installation: Installation, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    """Whether the ledger is read just before or just after, the batch knows either way."""
    message = old_report(days=40)
    outcome(installation, message)
    age(installation, days=40)

    other = connect(installation.urls.worker, statement_timeout_ms=10_000, application="other")

    def forgetting(connection: Connection, identities: Collection[Identity]) -> object:
        monkeypatch.setattr(tasks.claim, "read_ledger", read_ledger)
        found = read_ledger(connection, identities)
        forget(installation, identities_after=MONTH, engine=other)
        return found if moment == "after" else read_ledger(connection, identities)

    monkeypatch.setattr(tasks.claim, "read_ledger", forgetting)
    told = outcome(installation, message)
    other.dispose()
    assert told.body.get("reason") == ("expired" if moment == "before" else None)
    assert len(installation.rows("SELECT FROM incidents")) == 1
