"""Dedup keys: repeated reports of one source about one thing (DESIGN 6, "dedup_key")."""

from typing import Any

import pytest

from tests.support.asking import ask, at, done, halted, open_incident
from tests.support.installation import Installation
from tests.support.requests import SOURCE, delivery, event, report, update

REPORT, UPDATE = "report_incident", "update_incident"
P1 = {"severity_flags": {"p1_outage_no_workaround": True}}
P3 = {"severity_flags": {"p3_localized_or_non_critical": True}}
INCIDENTS = (
    "SELECT incident_id, severity, status, recurrence_of FROM incidents ORDER BY incident_id"
)
KEYS = "SELECT source, dedup_key, incident_id FROM dedup_keys ORDER BY source, dedup_key"


def _close(installation: Installation, number: str, status: str = "closed") -> None:
    done(installation, UPDATE, update(incident_id=number, change_set={"status": status}))


def _key(**changes: Any) -> dict[str, Any]:
    return update(incident_id=None, incident_dedup_key="k", **changes)


@pytest.mark.parametrize("status", ["open", "investigating", "in_progress"])
def test_a_report_under_the_key_of_an_open_incident_opens_none(
    installation: Installation, status: str
) -> None:
    """It adds an update row, and its outcome names that incident."""
    open_incident(installation, dedup_key="k", status=status)
    result = done(installation, REPORT, report(dedup_key="k", note="again"), id="r2", time=at(2))
    assert result == {
        "incident_id": "1",
        "severity": "P2",
        "status": status,
        "deduplicated": True,
    }
    assert installation.rows(INCIDENTS) == [(1, "P2", status, None)]
    assert installation.rows(
        "SELECT field, old_value, new_value, note, request_id, updated_at FROM incident_updates"
    ) == [("report", None, None, "again", "r2", at(2))]
    assert installation.rows("SELECT version FROM incidents") == [(1,)]


def test_a_higher_severity_raises_the_incidents(installation: Installation) -> None:
    """With a line of history and its flags; a lower severity or the same changes nothing."""
    open_incident(installation, dedup_key="k", **P3, time=at(1))
    assert done(installation, REPORT, report(dedup_key="k", **P1), time=at(2))["severity"] == "P1"
    assert done(installation, REPORT, report(dedup_key="k", **P3), time=at(3))["severity"] == "P1"
    stated = report(dedup_key="k", severity_flags=None, severity="P2")
    assert done(installation, REPORT, stated, time=at(4))["severity"] == "P1"
    assert installation.rows(
        "SELECT severity, severity_origin, severity_flags, version, updated_at FROM incidents"
    ) == [("P1", "computed", ["p1_outage_no_workaround"], 2, at(2))]
    assert installation.rows(
        "SELECT field, old_value, new_value FROM incident_updates ORDER BY update_id"
    ) == [
        ("report", None, None),
        ("severity", "P3", "P1"),
        ("report", None, None),
        ("report", None, None),
    ]


def test_the_audit_tells_the_severity_of_a_repeated_report(installation: Installation) -> None:
    """What the report stated and what was computed, and whether it raised the incident's."""
    open_incident(installation, dedup_key="k", **P3)
    for flags, severity, raised in ((P1, "P1", True), (P3, "P3", False)):
        done(installation, REPORT, report(dedup_key="k", severity="P2", **flags), id=severity)
        ((context,),) = installation.rows(
            "SELECT context FROM audit_records WHERE request_id = :id", id=severity
        )
        assert context == {
            "severity": severity,
            "severity_origin": "computed",
            "stated_severity": "P2",
            "severity_flags": list(flags["severity_flags"]),
            "deduplicated": True,
            "raised": raised,
        }


def test_a_stated_severity_that_raises_is_kept_as_stated(installation: Installation) -> None:
    """The incident tells how its severity came about: not by the flags of the first report."""
    open_incident(installation, dedup_key="k", **P3)
    done(installation, REPORT, report(dedup_key="k", severity_flags=None, severity="P1"))
    assert installation.rows(
        "SELECT severity, severity_origin, stated_severity, severity_flags FROM incidents"
    ) == [("P1", "stated", "P1", None)]


@pytest.mark.parametrize("status", ["resolved", "closed"])
def test_a_report_after_the_end_opens_a_new_incident(
    installation: Installation, status: str
) -> None:
    """Where the last one is resolved or closed, a new one opens and refers to it."""
    open_incident(installation, dedup_key="k")
    _close(installation, "1", status)
    assert done(installation, REPORT, report(dedup_key="k")) == {
        "incident_id": "2",
        "severity": "P2",
        "status": "open",
    }
    assert installation.rows(INCIDENTS) == [(1, "P2", status, None), (2, "P2", "open", 1)]
    assert installation.rows(KEYS) == [(SOURCE, "k", 2)]


def test_the_key_of_another_clients_incident_is_invalid(installation: Installation) -> None:
    """invalid_input at dedup_key, also when that incident is over."""
    open_incident(installation, dedup_key="k")
    other = report(dedup_key="k", client_id="globex")
    outcome = ask(installation, REPORT, other)
    assert outcome["halt"]["reason"] == "invalid_input"
    assert [error["path"] for error in outcome["halt"]["errors"]] == ["$.data.dedup_key"]
    _close(installation, "1")
    assert halted(installation, REPORT, other) == "invalid_input"
    assert len(installation.rows(INCIDENTS)) == 1


def test_each_source_has_keys_of_its_own(installation: Installation) -> None:
    """The same key of another source is another key."""
    open_incident(installation, dedup_key="k")
    assert open_incident(installation, dedup_key="k", source="narrow") == "2"
    assert installation.rows(KEYS) == [(SOURCE, "k", 1), ("narrow", "k", 2)]


def test_reports_without_a_key_are_never_joined(installation: Installation) -> None:
    """Two incidents may look alike."""
    assert [open_incident(installation) for _ in range(2)] == ["1", "2"]


def test_a_repeated_report_needs_the_right_to_its_incident(installation: Installation) -> None:
    """An incident that has moved to another vendor's component is not theirs any more."""
    data = report(dedup_key="k", reporter_user_id="netco-contact")
    assert done(installation, REPORT, data)
    move = update(change_set={"component_id": "database"})
    done(installation, UPDATE, move)
    assert halted(installation, REPORT, data) == "vendor_association"


def test_a_repeated_report_that_halts_uses_up_no_key(installation: Installation) -> None:
    """A key is remembered with an incident or an update that names a status, or not at all."""
    assert halted(installation, REPORT, report(dedup_key="k", client_id="x")) == "client_not_found"
    assert installation.rows(KEYS) == []
    title = _key(change_set={"title": "x"})
    assert done(installation, UPDATE, title)["incident_id"] is None
    assert installation.rows(KEYS) == []
    assert done(installation, UPDATE, _key())["incident_id"] is None
    assert installation.rows(KEYS) == [(SOURCE, "k", None)]


def test_within_one_batch_reports_join_and_recur(installation: Installation) -> None:
    """Open, join, raise, close, open anew: one batch sees what it does."""
    verdicts = installation.process(
        delivery(event(REPORT, report(dedup_key="k", **P3), time=at(1))),
        delivery(event(REPORT, report(dedup_key="k", **P1), time=at(2))),
        delivery(event(UPDATE, _key(change_set={"status": "closed"}), time=at(3))),
        delivery(event(REPORT, report(dedup_key="k", **P3), time=at(4))),
        delivery(event(REPORT, report(dedup_key="k", client_id="globex"), time=at(5))),
        delivery(event(UPDATE, _key(), time=at(6))),
    )
    outcomes = [v.outcome.data for v in verdicts if v.outcome]
    results = [o.get("result", {}).get("incident_id") for o in outcomes]
    assert results == ["1", "1", "1", "2", None, "2"]
    assert outcomes[4]["halt"]["reason"] == "invalid_input"
    assert installation.rows(INCIDENTS) == [
        (1, "P1", "closed", None),
        (2, "P3", "investigating", 1),
    ]
    assert installation.rows(KEYS) == [(SOURCE, "k", 2)]


def test_an_update_by_key_changes_the_newest_incident(installation: Installation) -> None:
    """incident_dedup_key is the newest incident that this source opened under that key."""
    open_incident(installation, dedup_key="k")
    _close(installation, "1", "resolved")
    open_incident(installation, dedup_key="k")
    assert done(installation, UPDATE, _key())["incident_id"] == "2"
    assert [row.status for row in installation.rows(INCIDENTS)] == ["resolved", "investigating"]


def test_an_update_by_key_of_what_is_resolved_is_a_move_like_another(
    installation: Installation,
) -> None:
    """Only closed and absent incidents are nothing to update."""
    open_incident(installation, dedup_key="k")
    _close(installation, "1", "resolved")
    assert done(installation, UPDATE, _key(change_set={"status": "closed"}))["changed"] == [
        "status"
    ]


@pytest.mark.parametrize("opened", [True, False])
def test_an_update_by_key_of_what_is_closed_or_absent_is_done_with_nothing_changed(
    installation: Installation, opened: bool
) -> None:
    """No halt, no history, no note; the result names the incident if there is one."""
    if opened:
        open_incident(installation, dedup_key="k")
        _close(installation, "1")
    before = installation.rows("SELECT * FROM incidents")
    lines = installation.rows("SELECT * FROM incident_updates")
    result = done(installation, UPDATE, _key(note="too late"))
    assert result == {
        "incident_id": "1" if opened else None,
        "version": 2 if opened else None,
        "changed": [],
    }
    assert installation.rows("SELECT * FROM incidents") == before
    assert installation.rows("SELECT * FROM incident_updates") == lines


def test_an_update_by_key_still_needs_an_actor(installation: Installation) -> None:
    """Nothing to update is no way around the actor's check."""
    assert halted(installation, UPDATE, _key(updated_by_user="account")) == "not_authorized"


@pytest.mark.parametrize(
    ("procedure", "data"),
    [
        (
            "submit_escalation",
            {
                "escalated_by_user": "support",
                "escalated_to_user": "boss",
                "escalation_level": "executive",
            },
        ),
        (
            "record_communication",
            {
                "sender_id": "support",
                "recipient_type": "all_stakeholders",
                "communication_type": "update",
                "delivery_method": "email",
            },
        ),
    ],
)
def test_other_procedures_by_key_need_the_incident(
    installation: Installation, procedure: str, data: dict[str, Any]
) -> None:
    """Without one they halt; with a closed one they are still taken."""
    data = data | {"incident_dedup_key": "k"}
    assert halted(installation, procedure, data) == "incident_not_found"
    open_incident(installation, dedup_key="k")
    _close(installation, "1")
    assert done(installation, procedure, data)["incident_id"] == "1"


def test_reopening_while_a_newer_one_is_open_under_the_key_is_forbidden(
    installation: Installation,
) -> None:
    """invalid_status; allowed again once the newer one is over too."""
    open_incident(installation, dedup_key="k")
    _close(installation, "1", "resolved")
    open_incident(installation, dedup_key="k")
    reopen = update(change_set={"status": "investigating"})
    outcome = ask(installation, UPDATE, reopen)
    assert outcome["halt"]["reason"] == "invalid_status"
    assert "incident 2 is open" in outcome["halt"]["message"]
    _close(installation, "2", "resolved")
    assert done(installation, UPDATE, reopen)["changed"] == ["status", "resolution_timestamp"]


def test_a_reopened_incident_is_what_its_key_names(installation: Installation) -> None:
    """Reports join it and updates by key find it, so that never two are open under one key."""
    for _ in range(2):
        number = done(installation, REPORT, report(dedup_key="k"))["incident_id"]
        _close(installation, number, "resolved")
    done(installation, UPDATE, update(change_set={"status": "investigating"}))
    assert installation.rows(KEYS) == [(SOURCE, "k", 1)]
    assert done(installation, REPORT, report(dedup_key="k"))["incident_id"] == "1"
    assert done(installation, UPDATE, _key(note="here"))["incident_id"] == "1"
    assert done(installation, UPDATE, _key(change_set={"status": "resolved"}))["version"] == 4
    assert done(installation, REPORT, report(dedup_key="k"))["incident_id"] == "4"
    assert installation.rows(INCIDENTS)[-1] == (4, "P2", "open", 1)


def test_an_update_by_key_of_a_closed_incident_needs_the_association_too(
    installation: Installation,
) -> None:
    """Its number and version are nobody else's business."""
    open_incident(installation, dedup_key="k", client_id="globex")
    _close(installation, "1")
    by_other = _key(updated_by_user="acme-manager", note="here")
    assert halted(installation, UPDATE, by_other) == "client_association"
    assert done(installation, UPDATE, _key(note="here"))["incident_id"] == "1"


def test_another_source_may_not_reopen_it_either(installation: Installation) -> None:
    """The key is the incident's own, of the source that opened it, whoever reopens it."""
    path = installation.settings.producers_file
    text = path.read_text().replace('procedures = ["report_incident"]', 'procedures = "any"')
    path.write_text(text.replace('users = ["manager"]', 'users = "any"'))
    open_incident(installation, dedup_key="k")
    _close(installation, "1", "resolved")
    reopen = update(change_set={"status": "investigating"})
    open_incident(installation, dedup_key="k", source="narrow")
    open_incident(installation, dedup_key="k")
    assert halted(installation, UPDATE, reopen, source="narrow") == "invalid_status"
    _close(installation, "3", "resolved")
    assert done(installation, UPDATE, reopen, source="narrow")["incident_id"] == "1"


def test_reopening_is_forbidden_in_the_batch_that_opens_the_newer_one(
    installation: Installation,
) -> None:
    """Also where the newer one is not stored yet."""
    open_incident(installation, dedup_key="k")
    _close(installation, "1", "resolved")
    verdicts = installation.process(
        delivery(event(REPORT, report(dedup_key="k"))),
        delivery(event(UPDATE, update(change_set={"status": "in_progress"}))),
    )
    assert [v.outcome.data["outcome"] for v in verdicts if v.outcome] == ["done", "halted"]


def test_closing_the_older_one_is_no_reopening(installation: Installation) -> None:
    """Only its way back into work is barred; the key goes on naming the newest incident."""
    open_incident(installation, dedup_key="k")
    _close(installation, "1", "resolved")
    open_incident(installation, dedup_key="k")
    close = delivery(event(UPDATE, update(change_set={"status": "closed"})))
    again = delivery(event(REPORT, report(dedup_key="k")))
    results = [v.outcome.data["result"] for v in installation.process(close, again) if v.outcome]
    assert results[0]["changed"] == ["status"]
    assert results[1]["incident_id"] == "2"
    assert installation.rows(KEYS) == [(SOURCE, "k", 2)]


def test_reopening_what_is_the_newest_under_its_key_is_allowed(installation: Installation) -> None:
    """A key is in no way when nothing newer is open."""
    open_incident(installation, dedup_key="k")
    _close(installation, "1", "resolved")
    reopen = update(change_set={"status": "in_progress"})
    assert done(installation, UPDATE, reopen)["changed"] == ["status", "resolution_timestamp"]
    assert done(installation, REPORT, report(dedup_key="k"))["deduplicated"] is True
