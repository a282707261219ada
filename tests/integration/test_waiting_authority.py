"""A request that waited has to prove itself again: who may act is decided when it is executed."""

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import create_engine, text

from tests.support.installation import REGISTRY, Installation
from tests.support.requests import KEY_ID, SECRET, delivery, event, report, update
from tests.support.sweeping import ripe

_FORGED = text("""
    INSERT INTO waiting (source, request_id, body_hash, entry, door, event, key_id, signature,
                         received_at, accepted_at, waits_since, report_source, report_id,
                         alone_since)
    VALUES (:source, 'forged', '', 'forged-1', 'intake', :event, :key, :signature,
            now(), now(), now(), 'monitor', 'r1', now())
""")


def follow_up(report_id: str) -> bytes:
    """An update of the incident that a report opens."""
    reference: dict[str, Any] = {"incident_id": None, "incident_request": {"id": report_id}}
    return event("update_incident", update(**reference), id="follow-up")


def test_a_revoked_key_acts_no_longer(installation: Installation) -> None:
    """What waits under it halts as unauthenticated, and leaves its identity to the next one."""
    waits = delivery(follow_up("r1"))
    installation.process(waits)
    assert installation.rows("SELECT count(*) FROM waiting") == [(1,)]
    registry = installation.settings.producers_file
    registry.write_text(REGISTRY.replace(f'"{KEY_ID}"', '"monitor-new"'))
    opens = delivery(event("report_incident", report(), id="r1"))._replace(key_id="monitor-new")
    installation.process(opens)
    installation.process(*ripe(installation, alone_before=datetime.now(UTC)))
    assert installation.rows("SELECT reason, source, entry FROM halts") == [
        ("unauthenticated", None, waits.entry)
    ]
    assert installation.rows("SELECT FROM waiting") == []
    assert installation.rows("SELECT FROM incident_updates") == []
    again = waits._replace(entry="again-1", key_id="monitor-new")
    installation.process(again)
    assert installation.rows("SELECT count(*) FROM incident_updates") != [(0,)]


def test_a_row_that_nobody_signed_is_no_request(installation: Installation) -> None:
    """Whoever has the worker's role in the database cannot act as a producer by it."""
    installation.process(delivery(event("report_incident", report(), id="r1")))
    engine = create_engine(installation.urls.worker)
    for number, forged in enumerate((follow_up("r1"), b"no event")):
        with engine.begin() as connection:
            connection.execute(
                _FORGED,
                {
                    "source": f"monitor-{number}",
                    "event": forged,
                    "key": KEY_ID,
                    "signature": SECRET.hex(),
                },
            )
        installation.process(*ripe(installation, alone_before=datetime.now(UTC)))
        assert installation.rows("SELECT FROM waiting") == []
        installation.execute("UPDATE halts SET entry = entry || 'x'")
    engine.dispose()
    assert installation.rows("SELECT reason FROM halts ORDER BY halt_id") == [
        ("unauthenticated",),
        ("malformed",),
    ]
    assert installation.rows("SELECT FROM incident_updates") == []
