"""What is kept of free text and of people, and where (DESIGN 6, "PII").

Everything that anybody can write freely, in a request or in the directory, carries one word here.
"""

import json
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from models.deliveries import Delivery
from tasks.prune import prune
from tests.support.asking import ask, done, halted, open_incident
from tests.support.installation import Installation
from tests.support.requests import (
    communication,
    delivery,
    escalation,
    event,
    report,
    update,
)

WORD = "Geheimnis"

_DIRECTORY = {
    "clients": "name registration_number contact_email client_type industry country",
    "vendors": "name vendor_type contact_email",
    "users": "first_name last_name email timezone",
    "products": "name product_type version",
    "components": "name component_type location",
}
"""By table of the directory, the columns of free text, names and addresses."""

_BROKEN = """
    CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        IF NEW.urgency_level = 'low' THEN
            RAISE EXCEPTION 'refused: %', NEW.title USING ERRCODE = '23514';
        END IF;
        RETURN NEW;
    END $$;
    CREATE TRIGGER refuse BEFORE INSERT ON incidents FOR EACH ROW EXECUTE FUNCTION refuse();
    ALTER TABLE users DROP CONSTRAINT users_role_check;
    UPDATE users SET role = 'wizard' WHERE user_id = 'globex-contact';
"""

_REPORT = report(title=WORD, category=WORD, note=WORD)
_UPDATE = update(change_set={"title": f"{WORD} again", "category": f"{WORD} too"}, note=WORD)
_ESCALATION = escalation(reason=WORD)
_COMMUNICATION = communication(communication_type=WORD)

_HALTS: dict[str, tuple[str, dict[str, Any]]] = {
    "unknown_procedure": (WORD, {WORD: WORD}),
    "missing_input": ("report_incident", {**_REPORT, "category": None, "client_id": None}),
    "invalid_input": (
        "report_incident",
        {**_REPORT, "severity": WORD, WORD: WORD, "reporter_user_id": f"{WORD} <a@b.org>"},
    ),
    "user_not_found": ("report_incident", {**_REPORT, "reporter_user_id": "nobody"}),
    "user_inactive": ("report_incident", {**_REPORT, "reporter_user_id": "leaver"}),
    "not_authorized": ("report_incident", {**_REPORT, "reporter_user_id": "account"}),
    "client_not_found": ("report_incident", {**_REPORT, "client_id": "initech"}),
    "component_not_found": ("report_incident", {**_REPORT, "component_id": "mainframe"}),
    "client_association": (
        "report_incident",
        {**_REPORT, "client_id": "globex", "reporter_user_id": "acme-manager"},
    ),
    "vendor_association": ("report_incident", {**_REPORT, "reporter_user_id": "dataco-contact"}),
    "severity_not_determined": ("report_incident", {**_REPORT, "severity_flags": {}}),
    "creation_failed": ("report_incident", {**_REPORT, "urgency_level": "low"}),
    "internal_error": ("report_incident", {**_REPORT, "reporter_user_id": "globex-contact"}),
    "idempotency_conflict": ("report_incident", {**_REPORT, "note": f"{WORD}, but another"}),
    "incident_not_found": ("update_incident", {**_UPDATE, "incident_id": "99"}),
    "incident_closed": ("update_incident", {**_UPDATE, "incident_id": "2"}),
    "version_conflict": ("update_incident", {**_UPDATE, "expected_version": 99}),
    "assignee_invalid": ("report_incident", {**_REPORT, "assigned_to_user_id": "leaver"}),
    "invalid_status": (
        "update_incident",
        {**_UPDATE, "incident_id": "3", "change_set": {"status": "open", "title": WORD}},
    ),
    "target_user_invalid": ("submit_escalation", {**_ESCALATION, "escalated_to_user": "leaver"}),
    "sender_invalid": ("record_communication", {**_COMMUNICATION, "sender_id": "leaver"}),
    "recipient_invalid": ("record_communication", {**_COMMUNICATION, "recipient_id": "nobody"}),
}
"""By the reason: a request with free text wherever it takes some, which halts for it."""


@pytest.fixture
def eventful(installation: Installation) -> Installation:
    """An installation in which everything has happened that can, with the word in all of it."""
    installation.execute(*_named_directory(), _BROKEN)
    over = {"status": "closed", "resolution_timestamp": "2025-09-25T12:00:00Z"}
    done(installation, "report_incident", {**_REPORT, "dedup_key": "k"}, id="idempotency_conflict")
    done(installation, "report_incident", {**_REPORT, **over})
    done(installation, "report_incident", {**_REPORT, **over, "status": "resolved"})
    done(installation, "report_incident", {**_REPORT, "dedup_key": "k"})  # joins the first
    done(installation, "update_incident", _UPDATE)
    done(installation, "submit_escalation", _ESCALATION)
    done(
        installation,
        "submit_escalation",
        {"escalation_id": "1", "escalated_by_user": "support", "status": "resolved"}
        | {"reason": f"{WORD} at last"},
    )
    done(installation, "record_communication", _COMMUNICATION)
    for reason, (procedure, data) in _HALTS.items():
        assert halted(installation, procedure, data, id=reason) == reason
    for message in _others():
        installation.process(message)
    return installation


def _named_directory() -> Iterator[str]:
    for table, columns in _DIRECTORY.items():
        values = ", ".join(f"{name} = '{WORD}.' || {table[:-1]}_id" for name in columns.split())
        yield f"UPDATE {table} SET {values}"  # noqa: S608  # names of ours


def _others() -> Iterator[Delivery]:
    """Messages that are no requests, and requests that come twice, wait, or come at last."""
    yield delivery(f'{{"title": "{WORD}"'.encode())
    yield delivery(event("report_incident", _REPORT), secret=b"another" * 8)
    yield delivery(event("report_incident", _REPORT))._replace(key_id=WORD, signature=WORD)
    twice = delivery(event("report_incident", _REPORT, id="twice"), entry="e/1")
    yield from (twice, twice, twice._replace(entry="e/2"))
    reference = {**_UPDATE, "incident_id": None, "incident_request": {"id": "never"}}
    waits = delivery(event("update_incident", reference, id="waits"))
    yield from (waits, waits._replace(waiting=True, last_look=True))


def _stored(installation: Installation, table: str) -> list[str]:
    """The rows of a table as text; bytes as the text that they are."""
    rows = [row._asdict() for row in installation.rows(f"SELECT * FROM {table}")]  # noqa: S608  # ours
    return [
        json.dumps(
            row,
            ensure_ascii=False,
            default=lambda value: (
                value.decode(errors="replace") if isinstance(value, bytes) else str(value)
            ),
        )
        for row in rows
    ]


def _holding(installation: Installation) -> set[str]:
    """The tables in which the word is found."""
    tables = installation.rows("""
        SELECT table_name FROM information_schema.tables
        WHERE table_schema = 'public' AND table_type = 'BASE TABLE'
    """)
    return {
        row.table_name
        for row in tables
        for text in _stored(installation, row.table_name)
        if WORD.lower() in text.replace(f"$.data.{WORD}", "").lower()
    }


def test_nothing_that_is_free_text_is_in_the_audit(eventful: Installation) -> None:
    """No title, name, address or free text of the directory or of a request, in any column."""
    records = _stored(eventful, "audit_records")
    outcomes = eventful.rows("SELECT outcome, count(*) AS n FROM audit_records GROUP BY outcome")
    assert {row.outcome: row.n for row in outcomes} == {
        "done": 9,
        "halted": len(_HALTS) + 4,
        "duplicate": 1,
        "waiting": 1,
    }
    assert [record for record in records if WORD.lower() in record.lower()] == []


def test_a_halt_says_nothing_of_what_was_written(eventful: Installation) -> None:
    """Message and errors name inputs and words of the vocabulary, never what was given."""
    said = eventful.rows("""
        SELECT message FROM halts
        UNION ALL SELECT error ->> 'message' FROM halts, jsonb_array_elements(errors) AS error
    """)
    assert len(said) > len(_HALTS)
    assert [row.message for row in said if WORD.lower() in row.message.lower()] == []


def test_a_request_is_kept_with_its_halt_and_nowhere_else(eventful: Installation) -> None:
    """Besides its effects; its outcome repeats the name of an unknown field and nothing else."""
    assert _holding(eventful) == {
        *_DIRECTORY,
        "incidents",
        "incident_updates",
        "escalations",
        "communications",
        "halts",
    }


def test_a_request_is_kept_as_long_as_its_halt_is_open(eventful: Installation) -> None:
    """And goes when the halt is settled and its retention has passed."""
    assert eventful.rows("SELECT FROM halts WHERE event IS NULL") == []
    eventful.execute(
        "UPDATE halts SET halted_at = now() - interval '9 years'",
        "UPDATE halts SET state = 'discarded', settled_at = now() - interval '31 days'"
        " WHERE halt_id = 1",
        "UPDATE halts SET state = 'replayed', settled_at = now() - interval '31 days'"
        " WHERE halt_id = 2",
        "UPDATE halts SET state = 'replayed', settled_at = now() - interval '29 days'"
        " WHERE halt_id = 3",
        "UPDATE halts SET state = 'replaying' WHERE halt_id = 4",
    )
    prune(
        eventful.pipeline.engine,
        oldest_undecided=lambda: None,
        ledger_retention=None,
        halt_retention=timedelta(days=30),
    )
    gone = eventful.rows("""
        SELECT halt_id, key_id, signature FROM halts WHERE event IS NULL ORDER BY halt_id
    """)
    assert gone == [(1, "", ""), (2, "", "")]
    assert eventful.rows("SELECT count(*) FROM halts") == [(len(_HALTS) + 4,)]


def test_with_a_request_that_is_done_none_of_it_stays_but_its_effects(
    installation: Installation,
) -> None:
    """The incident has the title; the event itself is not kept anywhere."""
    open_incident(installation, title=WORD, id="r1")
    assert ask(installation, "report_incident", report(title=WORD), id="r1")  # a duplicate
    assert _holding(installation) == {"incidents"}
