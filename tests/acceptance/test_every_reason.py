"""Every reason code that a request can have, out of one real worker."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import redis

from policy.explanations import EXPLANATIONS
from policy.halts import Reason
from tests.support.forgetting import forget
from tests.support.installation import Installation
from tests.support.requests import (
    communication,
    escalation,
    event,
    report,
    update,
)
from tests.support.traffic import Traffic, read_books
from tests.support.waiting import wait_for
from tests.support.workers import running

# A worker that two titles kill: one by a hard exit, one by a segmentation fault.
POISONED_WORKER = """
import os, signal
from tasks.procedures import DECIDE
from worker.run import run_worker
from worker.settings import load_settings

decide = DECIDE["report_incident"]

def deadly(request, facts):
    if request.inputs.title == "hard exit":
        os._exit(1)
    if request.inputs.title == "segmentation fault":
        os.kill(os.getpid(), signal.SIGSEGV)
    return decide(request, facts)

DECIDE["report_incident"] = deadly
run_worker(load_settings())
"""

REFUSING_DATABASE = """
    CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        IF to_jsonb(NEW) ->> TG_ARGV[0] = 'refuse me' THEN
            RAISE EXCEPTION 'refused' USING ERRCODE = '23514';
        END IF;
        RETURN NEW;
    END $$;
    CREATE TRIGGER refuse BEFORE INSERT ON incidents
        FOR EACH ROW EXECUTE FUNCTION refuse('title');
    CREATE TRIGGER refuse BEFORE INSERT ON incident_updates
        FOR EACH ROW EXECUTE FUNCTION refuse('note');
    CREATE TRIGGER refuse BEFORE INSERT ON escalations
        FOR EACH ROW EXECUTE FUNCTION refuse('reason');
    CREATE TRIGGER refuse BEFORE INSERT ON communications
        FOR EACH ROW EXECUTE FUNCTION refuse('communication_type');
"""

BROKEN_USER = """
    ALTER TABLE users DROP CONSTRAINT users_role_check;
    INSERT INTO users (user_id, first_name, last_name, email, role, status)
        VALUES ('wizard', 'A', 'B', 'wizard@example.org', 'wizard', 'active');
"""

ACME = {"incident_id": None, "incident_request": {"id": "acme"}}
CLOSED = {"incident_id": None, "incident_request": {"id": "closed"}}
RESOLVED = {"incident_id": None, "incident_request": {"id": "resolved"}}
OVER = {"resolution_timestamp": "2025-09-25T12:58:00Z"}


def first_reports() -> list[bytes]:
    """What the faulty requests refer to."""
    return [
        event("report_incident", report(), id="acme"),
        event("report_incident", report(status="closed", **OVER), id="closed"),
        event("report_incident", report(status="resolved", **OVER), id="resolved"),
    ]


def faulty_requests() -> dict[str, tuple[str, dict[str, Any]]]:
    """By id (the reason, and what tells several apart): procedure and inputs."""
    return {
        "unknown_procedure": ("close_incident", {}),
        "missing_input": ("report_incident", report(title=None)),
        "invalid_input": ("report_incident", report(impact_level="huge")),
        "idempotency_conflict": ("report_incident", report(title="another one")),
        "user_not_found": ("report_incident", report(reporter_user_id="nobody")),
        "user_inactive": ("report_incident", report(reporter_user_id="leaver")),
        "not_authorized": ("report_incident", report(reporter_user_id="account")),
        "client_association": (
            "report_incident",
            report(reporter_user_id="acme-manager", client_id="globex"),
        ),
        "vendor_association": (
            "report_incident",
            report(reporter_user_id="netco-contact", component_id="database"),
        ),
        "client_not_found": ("report_incident", report(client_id="nobody")),
        "component_not_found": ("report_incident", report(component_id="nothing")),
        "severity_not_determined": ("report_incident", report(severity_flags=None)),
        "incident_not_found": ("update_incident", update(incident_id="999999")),
        "incident_closed": ("update_incident", update(**CLOSED)),
        "invalid_status": ("update_incident", update(**RESOLVED, change_set={"status": "open"})),
        "version_conflict": ("update_incident", update(**ACME, expected_version=99)),
        "assignee_invalid": ("report_incident", report(assigned_to_user_id="leaver")),
        "target_user_invalid": ("submit_escalation", escalation(**ACME, escalated_to_user="boss")),
        "sender_invalid": ("record_communication", communication(**ACME, sender_id="leaver")),
        "recipient_invalid": (
            "record_communication",
            communication(**ACME, recipient_id="globex-contact"),
        ),
        "creation_failed": ("report_incident", report(title="refuse me")),
        "creation_failed/communication": (
            "record_communication",
            communication(**ACME, communication_type="refuse me"),
        ),
        "update_failed": ("update_incident", update(**ACME, note="refuse me")),
        "escalation_failed": ("submit_escalation", escalation(**ACME, reason="refuse me")),
        "worker_lost/exit": ("report_incident", report(title="hard exit")),
        "worker_lost/segfault": ("report_incident", report(title="segmentation fault")),
        "internal_error": ("report_incident", report(reporter_user_id="wizard")),
    }


def test_one_worker_gives_every_reason_and_spares_the_innocent(
    installation: Installation, broker: redis.Redis, tmp_path: Path
) -> None:
    """Each reason code comes out of a real worker, for the request that deserves it alone."""
    installation.execute(REFUSING_DATABASE, BROKEN_USER)
    environment = installation.environment() | {
        "ANDON_CLAIM_IDLE": "1",
    }
    forget(installation, identities_after=timedelta(days=1))
    traffic = Traffic(broker)
    with running(environment, tmp_path, code=POISONED_WORKER) as worker:
        traffic.put(*first_reports(), event("report_incident", report(), id="idempotency_conflict"))
        traffic.wait_until_empty()

        innocent = []
        for name, (procedure, data) in faulty_requests().items():
            innocent.append(f"beside {name}")
            traffic.put(
                event("report_incident", report(), id=innocent[-1]), event(procedure, data, id=name)
            )
        (malformed,) = traffic.put(b'{"specversion": "1.0"')
        (forged,) = traffic.put(event("report_incident", report(), id="f"), secret=b"wrong" * 8)
        long_ago = datetime.now(UTC) - timedelta(days=2)
        traffic.put(event("report_incident", report(), id="expired", time=long_ago))
        traffic.put(
            event("update_incident", update(**ACME), source="narrow", id="source_not_allowed"),
            key_id="narrow-1",
        )
        traffic.wait_until_empty(seconds=120)
        wait_for(lambda: traffic.unacknowledged() == 0, what="everything acknowledged")
        assert worker.terminate() == 0

    told = traffic.outcomes_by_entry()
    assert told[malformed][0]["halt"]["reason"] == "malformed"
    assert told[forged][0]["halt"]["reason"] == "unauthenticated"
    by_id = traffic.outcomes_by_id()
    for name in [*faulty_requests(), "expired", "source_not_allowed"]:
        last = by_id[name][-1]
        assert last["outcome"] == "halted", (name, last)
        assert last["halt"]["reason"] == name.partition("/")[0], last
    for name in innocent:
        assert [outcome["outcome"] for outcome in by_id[name]] == ["done"], name

    produced = {reason for (reason,) in installation.rows("SELECT DISTINCT reason FROM halts")}
    assert produced == {str(reason) for reason in Reason}
    assert produced == {halt["data"]["halt"]["reason"] for halt in traffic.halts()}
    for reason in Reason:
        assert EXPLANATIONS[reason].meaning
    books = read_books(installation, traffic)
    assert books.balanced, books
    assert books.halted == len(faulty_requests()) + 4
