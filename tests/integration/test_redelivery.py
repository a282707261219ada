"""Messages that are delivered again after something else has changed: still decided once."""

from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import Connection

import tasks.pipeline
from models.database import connect
from models.deliveries import Delivery
from models.replays import discard_halts, lock_halted
from tasks.pipeline import Pipeline
from tests.support.installation import REGISTRY, Installation
from tests.support.requests import KEY_ID, delivery, event, report, update
from tests.support.sweeping import ripe

HALTS = "SELECT state, reason, entry FROM halts ORDER BY halt_id"
LEDGER = "SELECT request_id, halted, entry FROM requests ORDER BY request_id"
TALLIES = "SELECT sum(done), sum(halted), sum(duplicates) FROM tallies"
INCIDENTS = "SELECT incident_id FROM incidents"


def revoke_key(installation: Installation) -> None:
    """The tests' key is another one from now on."""
    text = REGISTRY.replace(f'"{KEY_ID}"', '"monitor-new"')
    installation.settings.producers_file.write_text(text)


def register_key(installation: Installation) -> None:
    """The tests' key is registered (again)."""
    installation.settings.producers_file.write_text(REGISTRY + "# again\n")


def again(first: Delivery) -> Delivery:
    """The same entry, delivered a second time."""
    return first._replace(deliveries=2)


def follow_up(id: str, entry: str) -> Delivery:
    """An update that waits for the report r1."""
    inputs = update(incident_id=None, incident_request={"id": "r1"})
    return delivery(event("update_incident", inputs, id=id), entry=entry)


def sweep(installation: Installation) -> None:
    """Decide what can be decided by now."""
    installation.process(*ripe(installation, alone_before=datetime(2000, 1, 1, tzinfo=UTC)))


def test_what_was_done_stays_done_when_its_key_is_revoked(installation: Installation) -> None:
    """The redelivery gets the outcome that was committed, and is not counted again."""
    first = delivery(event("report_incident", report(), id="r1"), entry="e/1")
    installation.process(first)
    revoke_key(installation)
    (verdict,) = installation.process(again(first))
    assert verdict.outcome is not None
    assert not verdict.outcome.halted
    assert installation.rows(HALTS) == []
    assert installation.rows(TALLIES) == [(1, 0, 0)]


def test_what_was_halted_stays_halted_when_its_key_is_registered(
    installation: Installation,
) -> None:
    """It has no effect; whoever published it may send it again."""
    revoke_key(installation)
    first = delivery(event("report_incident", report(), id="r1"), entry="e/1")
    installation.process(first)
    register_key(installation)
    (verdict,) = installation.process(again(first))
    assert verdict.outcome is not None
    assert verdict.outcome.halted
    assert installation.rows(INCIDENTS) == []
    assert installation.rows(LEDGER) == []
    assert installation.rows(TALLIES) == [(0, 1, 0)]
    installation.process(first._replace(entry="e/2"))
    assert installation.rows(TALLIES) == [(1, 1, 0)]


def test_what_waits_is_decided_once_whatever_becomes_of_its_key(
    installation: Installation,
) -> None:
    """A redelivery after the key was revoked neither halts it nor stands in the sweep's way."""
    first = follow_up("u1", "e/1")
    installation.process(first)
    revoke_key(installation)
    installation.process(again(first))
    assert installation.rows(HALTS) == []
    register_key(installation)
    installation.process(delivery(event("report_incident", report(), id="r1"), entry="e/2"))
    sweep(installation)
    assert installation.rows("SELECT FROM waiting") == []
    assert installation.rows(LEDGER) == [("r1", False, "e/2"), ("u1", False, "e/1")]


def test_a_row_left_waiting_by_a_redelivery_is_removed(installation: Installation) -> None:
    """Another delivery of the entry was decided at the very time when this one began to wait."""
    first = follow_up("u1", "e/1")
    installation.process(first)
    installation.execute("CREATE TABLE kept AS SELECT * FROM waiting")
    installation.process(delivery(event("report_incident", report(), id="r1"), entry="e/2"))
    sweep(installation)
    installation.execute("INSERT INTO waiting SELECT * FROM kept")
    sweep(installation)
    assert installation.rows("SELECT FROM waiting") == []
    assert installation.rows(TALLIES) == [(2, 0, 0)]


def test_a_discarded_halt_is_not_carried_out_by_a_replay_under_way(
    installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Discarding wins until the replay is committed; the replay gets the halt's outcome."""
    message = event("report_incident", report(reporter_user_id="leaver"), id="r1")
    installation.process(delivery(message, entry="e/1"))
    installation.execute(
        "UPDATE users SET status = 'active' WHERE user_id = 'leaver'",
        "UPDATE halts SET state = 'replaying'",
    )
    gather = tasks.pipeline.gather

    def discarding(connection: Connection, *arguments: Any) -> Any:
        monkeypatch.setattr(tasks.pipeline, "gather", gather)
        with installation.superuser.begin() as other:
            assert lock_halted(other, [1])
            discard_halts(other, [1], now=datetime.now(UTC))
        return gather(connection, *arguments)

    monkeypatch.setattr(tasks.pipeline, "gather", discarding)
    (verdict,) = installation.process(delivery(message, entry="e/2"))
    assert verdict.outcome is not None
    assert verdict.outcome.halted
    assert installation.rows(HALTS) == [("discarded", "user_inactive", "e/1")]
    assert installation.rows(INCIDENTS) == []


def test_a_duplicate_that_two_processes_have_in_hand_is_counted_once(
    installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The later one runs again, and finds it recorded."""
    message = event("report_incident", report(), id="r1")
    installation.process(delivery(message, entry="e/1"))
    duplicate = delivery(message, entry="e/2")
    other = connect(installation.urls.worker, statement_timeout_ms=10_000, application="other")
    write_verdicts = tasks.pipeline.write_verdicts

    def overtaken(*arguments: Any, now: datetime) -> None:
        monkeypatch.setattr(tasks.pipeline, "write_verdicts", write_verdicts)
        list(Pipeline(other, installation.pipeline.means).process([again(duplicate)]))
        write_verdicts(*arguments, now=now)

    monkeypatch.setattr(tasks.pipeline, "write_verdicts", overtaken)
    (verdict,) = installation.process(duplicate)
    other.dispose()
    assert verdict.outcome is not None
    assert not verdict.outcome.halted
    assert installation.rows(TALLIES) == [(1, 0, 1)]
    assert installation.rows("SELECT FROM audit_records WHERE entry = 'e/2'") == [()]
