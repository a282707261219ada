"""Dry runs: each decision with the sentence of the policy behind it, and no effect at all."""

from typing import Any

import redis

from models.streams import Lane, StreamNames
from models.tables import metadata
from policy.explanations import EXPLANATIONS
from policy.halts import Reason
from policy.procedures import PROCEDURES
from tests.support.asking import done, open_incident
from tests.support.installation import Installation
from tests.support.requests import communication, delivery, escalation, event, report, update
from tests.support.shell import Finished, andon, json_lines


def line(procedure: str, data: Any, id: str) -> dict[str, Any]:
    """A line in the short form."""
    return {"procedure": procedure, "data": data, "id": id}


def send(installation: Installation, *values: Any) -> Finished:
    """Rehearse lines."""
    return andon(
        "send", "-", "--dry-run",
        settings=installation.environment(),
        directory=installation.directory,
        stdin=json_lines(values),
    )  # fmt: skip


def everything(installation: Installation) -> dict[str, Any]:
    """All rows of all tables, and where every sequence stands."""
    tables = {
        table.name: installation.rows(f"SELECT * FROM {table.name} AS t ORDER BY t::text")  # noqa: S608
        for table in metadata.sorted_tables
    }
    sequences = "SELECT sequencename, last_value FROM pg_sequences ORDER BY 1"
    return {**tables, "sequences": installation.rows(sequences)}


def test_every_decision_comes_with_its_sentence_and_without_effects(
    installation: Installation, broker: redis.Redis
) -> None:
    """All four procedures, halts, a repetition: nothing is written, published or numbered."""
    open_incident(installation, id="first", dedup_key="k")
    before = everything(installation)
    sent = send(
        installation,
        line("report_incident", report(), "a"),
        line("update_incident", update(), "b"),
        line("submit_escalation", escalation(), "c"),
        line("record_communication", communication(), "d"),
        line("report_incident", report(reporter_user_id="leaver"), "e"),
        line("report_incident", report(client_id="nobody", title=None), "f"),
        line("report_incident", report(dedup_key="k"), "first"),
        line("report_incident", report(), "a"),
        line("report_incident", report(title="Other"), "a"),
    )
    assert sent.code == 1, sent.stderr
    assert [each["decision"] for each in sent.lines] == [
        "done", "done", "done", "done", "halted", "halted", "duplicate", "duplicate", "halted",
    ]  # fmt: skip
    assert [each["policy"] for each in sent.lines[:4]] == [
        PROCEDURES[name].grounds for name in PROCEDURES
    ]
    reasons = [Reason.USER_INACTIVE, Reason.MISSING_INPUT, Reason.IDEMPOTENCY_CONFLICT]
    halts = [each for each in sent.lines if each["decision"] == "halted"]
    assert [each["halt"]["reason"] for each in halts] == reasons
    assert [each["policy"] for each in halts] == [EXPLANATIONS[one].policy for one in reasons]
    assert sent.lines[0]["result"] == {"incident_id": "new-1", "severity": "P2", "status": "open"}
    assert everything(installation) == before
    assert not any(broker.xlen(StreamNames().intake(lane)) for lane in Lane)


def test_a_later_request_sees_what_an_earlier_one_would_have_done(
    installation: Installation,
) -> None:
    """Within a batch and beyond it, by the report and by its dedup key, and the other way round."""
    filler = [line("report_incident", report(), f"filler-{n}") for n in range(700)]
    by_request = {"incident_id": None, "incident_request": {"id": "r"}}
    by_key = {"incident_id": None, "incident_dedup_key": "k"}
    sent = send(
        installation,
        line("update_incident", update(incident_id=None, incident_request={"id": "late"}), "early"),
        line("update_incident", update(incident_id=None, incident_request={"id": "no"}), "lost"),
        line("report_incident", report(dedup_key="k"), "r"),
        line("update_incident", update(**by_request, change_set={"status": "closed"}), "c1"),
        *filler,
        line("update_incident", update(**by_request), "c2"),
        line("report_incident", report(dedup_key="k"), "again"),
        line("update_incident", update(**by_key), "c3"),
        line("report_incident", report(), "late"),
    )
    told = {each["request"]["id"]: each for each in sent.lines}
    assert len(told) == 708
    assert "status" in told["c1"]["result"]["changed"]
    assert told["c2"]["halt"]["reason"] == "incident_closed"
    assert told["again"]["result"]["incident_id"] not in (
        told["r"]["result"]["incident_id"],
        None,
    )
    assert told["c3"]["result"]["incident_id"] == told["again"]["result"]["incident_id"]
    assert [each["request"]["id"] for each in sent.lines[-2:]] == ["early", "lost"]
    assert told["early"]["decision"] == "done"
    assert told["early"]["waited"]
    assert told["lost"]["halt"]["reason"] == "incident_not_found"


def test_what_is_stored_counts(installation: Installation) -> None:
    """A rehearsed update of a stored incident is decided by its state, which stays as it is."""
    number = open_incident(installation)
    changes = {"status": "resolved"}
    done(installation, "update_incident", update(incident_id=number, change_set=changes))
    sent = send(
        installation,
        line("update_incident", update(incident_id=number, change_set={"status": "open"}), "a"),
        line("update_incident", update(incident_id=number, change_set={"status": "closed"}), "b"),
        line("update_incident", update(incident_id=number, note="x", change_set=None), "c"),
    )
    assert [each["decision"] for each in sent.lines] == ["halted", "done", "halted"]
    assert sent.lines[0]["halt"]["reason"] == "invalid_status"
    assert sent.lines[2]["halt"]["reason"] == "incident_closed"
    assert installation.rows("SELECT status FROM incidents") == [("resolved",)]


def test_a_rehearsal_agrees_with_what_then_happens(installation: Installation) -> None:
    """The same requests, rehearsed and then run, are decided alike."""
    lines = [
        line("report_incident", report(dedup_key=f"k{n % 3}", severity_flags=flags), f"r{n}")
        for n, flags in enumerate([{}, {"p1_outage_no_workaround": True}] * 4)
    ] + [
        line("update_incident", update(incident_id=None, incident_dedup_key="k1"), "u"),
        line("report_incident", report(component_id="database", reporter_user_id="netco-contact"),
             "v"),
    ]  # fmt: skip
    rehearsed = send(installation, *lines).lines
    for each, told in zip(lines, rehearsed, strict=True):
        (verdict,) = installation.process(
            delivery(event(each["procedure"], each["data"], id=each["id"]))
        )
        assert verdict.outcome is not None
        outcome = verdict.outcome.data
        assert outcome["outcome"] == told["decision"]
        for name in ("severity", "status", "changed", "deduplicated"):
            assert outcome.get("result", {}).get(name) == told.get("result", {}).get(name)
