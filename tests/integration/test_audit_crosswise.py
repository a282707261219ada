"""`andon audit verify` compares the audit with all that is stored, both ways."""
# ruff: noqa: S608  # the statements are the test's own

from datetime import timedelta

import pytest
import redis
from sqlalchemy import create_engine

from models.audit import AuditKeys
from models.audit_crosswise import Unmatched, compare_stores
from models.audit_verify import inspect_audit
from tests.support.audits import UNLOCK
from tests.support.command import andon, document
from tests.support.draining import drain
from tests.support.forgetting import forget
from tests.support.installation import AUDIT_KEY, Installation
from tests.support.requests import communication, delivery, escalation, event, report, update

INACTIVE = report(reporter_user_id="leaver")


@pytest.fixture
def eventful(installation: Installation, broker: redis.Redis) -> Installation:
    """Everything that can become of a request and of a halt."""
    opened = event("report_incident", report(), id="r1")
    later = update(incident_id=None, incident_request={"id": "never"})
    installation.process(
        delivery(opened),
        delivery(event("submit_escalation", escalation(), id="r2")),
        delivery(event("record_communication", communication(), id="r3")),
        delivery(event("update_incident", update(note="Looking"), id="r4")),
        delivery(event("report_incident", INACTIVE, id="halted")),
        delivery(event("report_incident", INACTIVE, id="discarded")),
        delivery(event("report_incident", INACTIVE, id="replayed")),
        delivery(event("report_incident", report(title="Another"), id="r1")),  # a conflict
        delivery(b"\xff no event"),
        delivery(event("update_incident", later, id="waiting")),
    )
    installation.process(delivery(opened))  # a duplicate
    environment = installation.environment()
    assert (
        andon("halts", "discard", halt(installation, "discarded"), env=environment).exit_code == 0
    )
    installation.execute("UPDATE users SET status = 'active' WHERE user_id = 'leaver'")
    assert andon("halts", "replay", halt(installation, "replayed"), env=environment).exit_code == 0
    drain(installation)
    assert broker.xlen("andon:intake") == 0
    assert unmatched(installation) == []
    return installation


def halt(installation: Installation, request: str) -> str:
    """The number of a request's halt."""
    ((number,),) = installation.rows(
        "SELECT halt_id FROM halts WHERE request_id = :request", request=request
    )
    return str(number)


def unmatched(installation: Installation) -> list[Unmatched]:
    """What does not fit, though all chains do."""
    engine = installation.pipeline.engine
    inspected = inspect_audit(engine, AuditKeys(AUDIT_KEY))
    assert inspected.verification.misfits == ()
    return list(compare_stores(engine, inspected))


TAMPERED = {
    "a request taken out of the ledger": (
        "DELETE FROM requests WHERE request_id = 'r4'",
        "is about a request that is not in the ledger",
    ),
    "a request put into the ledger": (
        "INSERT INTO requests SELECT source, 'forged', body_hash, procedure, halted, body, halt_id,"
        " entry, event_time, received_at, decided_at FROM requests WHERE request_id = 'r4'",
        "request monitor/forged is in the ledger without its record",
    ),
    "a request under another name": (
        "UPDATE requests SET request_id = 'other' WHERE request_id = 'r4'",
        "request monitor/other is in the ledger without its record",
    ),
    "a request of another time": (
        "UPDATE requests SET decided_at = decided_at - interval '1 day' WHERE request_id = 'r4'",
        "request monitor/r4 is in the ledger without its record",
    ),
    "a halted request made done": (
        "UPDATE requests SET halted = false WHERE request_id = 'halted'",
        "request monitor/halted is in the ledger without its record",
    ),
    "a request with another result": (
        """UPDATE requests SET body = '{"incident_id": "99"}' WHERE request_id = 'r1'""",
        "is about a request of which the ledger says something else",
    ),
    "a request with another reason": (
        """UPDATE requests SET body = '{"reason": "expired"}' WHERE request_id = 'halted'""",
        "is about a request of which the ledger says something else",
    ),
    "a request of another entry": (
        "UPDATE requests SET entry = 'e/0' WHERE request_id = 'r4'",
        "request monitor/r4 is in the ledger without its record",
    ),
    "a halt taken away": (
        "DELETE FROM halts WHERE request_id = 'halted'",
        "is about a halt that is not kept as it was",
    ),
    "a halt with another reason": (
        "UPDATE halts SET reason = 'expired' WHERE request_id = 'halted'",
        "is about a halt that is not kept as it was",
    ),
    "a halt put in": (
        "INSERT INTO halts (halted_at, reason, message, errors, door, entry, event_bytes,"
        " event_sha256, key_id, signature) SELECT halted_at, reason, message, errors, door, 'e/0',"
        " 0, '', '', '' FROM halts WHERE request_id = 'halted'",
        "is kept without its record",
    ),
    "a halt settled by nobody": (
        "UPDATE halts SET state = 'discarded', settled_at = now() WHERE request_id = 'halted'",
        "was settled or published again without a record of that",
    ),
    "a halt open again": (
        "UPDATE halts SET state = 'open', settled_at = NULL WHERE request_id = 'discarded'",
        "says what an operator did about a halt, which does not show it",
    ),
    "a replayed halt open again": (
        "UPDATE halts SET state = 'open', settled_at = NULL WHERE request_id = 'replayed'",
        "says what an operator did about a halt, which does not show it",
    ),
    "a halt settled at another time": (
        "UPDATE halts SET settled_at = settled_at + interval '1 s' WHERE request_id = 'discarded'",
        "was settled or published again without a record of that",
    ),
    "a waiting request taken away": (
        "DELETE FROM waiting",
        "is about a request that neither waits nor is in the ledger",
    ),
    "a waiting request put in": (
        "INSERT INTO waiting SELECT (jsonb_populate_record(w,"
        """ '{"request_id": "forged", "entry": "e/0"}')).* FROM waiting AS w""",
        "request monitor/forged waits without its record",
    ),
    "a duplicate put in": (
        "INSERT INTO duplicates VALUES ('e/0', now())",
        "duplicate e/0 is known without its record",
    ),
    "an incident taken away": (
        "DELETE FROM incidents WHERE request_id = 'r1'",
        "is about something that is not stored, or belongs to another request",
    ),
    "an incident put in": (
        "INSERT INTO incidents (title, category, severity, severity_origin, severity_flags,"
        " impact_level, urgency_level, status, client_id, component_id, reporter_user_id,"
        " detection_timestamp, source, request_id, stamps, version, reported_at, updated_at)"
        " SELECT title, category, severity, severity_origin, severity_flags, impact_level,"
        " urgency_level, status, client_id, component_id, reporter_user_id, detection_timestamp,"
        " source, 'forged', stamps, version, reported_at, updated_at"
        " FROM incidents WHERE request_id = 'r1'",
        "has no record of the request that opened it",
    ),
    "an escalation of another request": (
        "UPDATE escalations SET request_id = 'forged'",
        "is about something that is not stored, or belongs to another request",
    ),
    "a communication put in": (
        "INSERT INTO communications (incident_id, sender_id, recipient_id, recipient_type,"
        " communication_type, delivery_method, delivery_status, source, request_id, stamps,"
        " recorded_at) SELECT incident_id, sender_id, recipient_id, recipient_type,"
        " communication_type, delivery_method, delivery_status, source, 'forged', stamps,"
        " recorded_at FROM communications",
        "has no record of the request that opened it",
    ),
    "a tally that says more": (
        "UPDATE tallies SET done = done + 1 WHERE tally_id = (SELECT min(tally_id) FROM tallies)",
        "the tally of what is done is",
    ),
    "a tally taken away": (
        "DELETE FROM tallies WHERE duplicates > 0",
        "the tally of duplicates is",
    ),
}


@pytest.mark.parametrize("tampering", TAMPERED)
def test_what_does_not_fit_the_audit_is_named(tampering: str, eventful: Installation) -> None:
    """Whatever is put in, taken out or changed where the audit has a record of it."""
    statement, said = TAMPERED[tampering]
    eventful.execute(statement)
    found = [f"{each.what} {each.message}" for each in unmatched(eventful)]
    assert [line for line in found if said in line], found


def test_records_cut_off_with_the_last_head_put_back_are_missed(eventful: Installation) -> None:
    """No other chain has seen them yet; the ledger has their requests."""
    heads = eventful.rows("SELECT * FROM audit_chains")
    eventful.process(delivery(event("update_incident", update(note="Last"), id="last")))
    eventful.execute(
        UNLOCK,
        "DELETE FROM audit_records WHERE request_id = 'last'",
        *(
            f"UPDATE audit_chains SET sequence = {head.sequence}, mac = '\\x{head.mac.hex()}',"
            f" head_mac = '\\x{head.head_mac.hex()}' WHERE chain = {head.chain}"
            for head in heads
        ),
    )
    assert unmatched(eventful)[-1] == Unmatched(
        "request monitor/last", "is in the ledger without its record"
    )


def test_what_was_forgotten_is_not_missed(eventful: Installation) -> None:
    """Identities go after their retention; what they opened and what was recorded stays."""
    eventful.execute("DELETE FROM waiting WHERE false")
    forget(eventful, identities_after=timedelta(0))
    assert eventful.rows("SELECT count(*) FROM requests WHERE NOT halted") == [(0,)]
    assert unmatched(eventful) == []
    eventful.process(delivery(event("report_incident", report(), id="new")))
    assert unmatched(eventful) == []


def test_what_is_named_hangs_on_no_number_of_connections(eventful: Installation) -> None:
    """Several compare side by side; what they find comes in the same order, and all is counted."""
    eventful.execute(
        "DELETE FROM requests WHERE request_id IN ('r1', 'r4')",
        "DELETE FROM escalations",
        "UPDATE duplicates SET entry = 'other'",
        "UPDATE tallies SET halted = halted + 1 WHERE duplicates > 0",
    )
    alone = unmatched(eventful)
    assert len(alone) >= 5
    counted: list[tuple[int, int]] = []
    engine = create_engine(eventful.urls.worker)
    inspected = inspect_audit(engine, AuditKeys(AUDIT_KEY))
    found = compare_stores(engine, inspected, lambda *at: counted.append(at), connections=3)
    assert list(found) == alone
    assert counted == sorted(counted)
    assert counted[-1][0] == counted[-1][1]
    with pytest.raises(KeyboardInterrupt):
        compare_stores(engine, inspected, interrupt, connections=3)
    engine.dispose()


def interrupt(_done: int, _total: int) -> None:
    """End what reports its progress."""
    raise KeyboardInterrupt


def test_the_command_names_what_does_not_fit(eventful: Installation) -> None:
    """Exit code 1, a sentence each; and for programs a document."""
    environment = eventful.environment()
    assert andon("audit", "verify", env=environment).exit_code == 0
    eventful.execute("DELETE FROM requests WHERE request_id IN ('r1', 'r2')")
    told = andon("audit", "verify", env=environment)
    assert told.exit_code == 1
    assert told.stdout.count("is about a request that is not in the ledger.") == 2
    assert told.stdout.endswith("The audit does not verify.\n")
    assert told.stderr == ""
    asked = andon("audit", "verify", "--json", env=environment)
    assert (asked.exit_code, document(asked)["verified"], document(asked)["misfits"]) == (
        1,
        False,
        [],
    )
    assert {each["message"] for each in document(asked)["unmatched"]} == {
        "is about a request that is not in the ledger"
    }
