"""SOP 2, Updating Incident Status: every sentence of DESIGN 6 about an update, and every halt."""

from datetime import UTC, datetime
from typing import Any

import pytest

from tests.support.asking import at, done, halted, open_incident
from tests.support.installation import Installation
from tests.support.requests import delivery, event, report, update

UPDATE = "update_incident"
DETECTED = datetime(2025, 9, 25, 11, 58, tzinfo=UTC)
HISTORY = """
    SELECT field, old_value, new_value, note, superseded FROM incident_updates ORDER BY update_id
"""


def _change(installation: Installation, _time: float | None = None, /, **fields: Any) -> Any:
    """The result of a change of incident 1."""
    time = None if _time is None else at(_time)
    return done(installation, UPDATE, update(change_set=fields), time=time)


def _state(installation: Installation, *columns: str) -> tuple[Any, ...]:
    (row,) = installation.rows("SELECT * FROM incidents WHERE incident_id = 1")
    return tuple(getattr(row, column) for column in columns)


def test_each_field_that_changes_writes_one_line_of_history(installation: Installation) -> None:
    """One incident_updates row a field: field, old, new, by, at; the version goes up by one."""
    open_incident(installation)
    result = done(
        installation,
        UPDATE,
        update(
            change_set={
                "title": "Checkout is down",
                "category": "outage",
                "severity": "P1",
                "impact_level": "critical",
                "urgency_level": "high",
                "status": "in_progress",
                "assigned_to_user_id": "boss",
                "component_id": "database",
            }
        ),
        id="u1",
        time=at(5),
    )
    changed = {
        "title": ("Checkout answers slowly", "Checkout is down"),
        "category": ("performance", "outage"),
        "severity": ("P2", "P1"),
        "impact_level": ("high", "critical"),
        "status": ("open", "in_progress"),
        "assigned_to_user_id": (None, "boss"),
        "component_id": ("gateway", "database"),
    }
    assert result == {"incident_id": "1", "version": 2, "changed": list(changed)}
    assert _state(installation, *changed, "version", "updated_at") == (
        *(new for _, new in changed.values()),
        2,
        at(5),
    )
    assert installation.rows("""
        SELECT incident_id, field, old_value, new_value, updated_by_user, updated_at, request_id
        FROM incident_updates ORDER BY update_id
    """) == [(1, field, old, new, "support", at(5), "u1") for field, (old, new) in changed.items()]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("title", "Checkout is down"),
        ("category", "outage"),
        ("severity", "P4"),
        ("impact_level", "low"),
        ("urgency_level", "critical"),
        ("status", "in_progress"),
        ("assigned_to_user_id", "boss"),
        ("component_id", "inhouse"),
        ("resolution_timestamp", "2025-09-25T12:01:00Z"),
    ],
)
def test_each_field_may_be_changed_alone(
    installation: Installation, field: str, value: str
) -> None:
    """What a change set may hold is stored, with one line, and nothing else moves."""
    over = {"status": "resolved", "resolution_timestamp": "2025-09-25T12:00:00Z"}
    open_incident(installation, **(over if field == "resolution_timestamp" else {}))
    (before,) = installation.rows("SELECT * FROM incidents")
    assert _change(installation, **{field: value})["changed"] == [field]
    (after,) = installation.rows("SELECT * FROM incidents")
    moved = {name for name, new in after._asdict().items() if new != getattr(before, name)}
    follows = {"severity_origin", "stated_severity"} if field == "severity" else set()
    assert moved == {field, "version", "updated_at", "stamps", *follows}
    assert [line.field for line in installation.rows(HISTORY)] == [field]


@pytest.mark.parametrize("status", ["inactive", "suspended"])
def test_a_clients_status_is_not_asked(installation: Installation, status: str) -> None:
    """What is reported is dealt with, whatever became of the client since."""
    open_incident(installation)
    installation.rows("UPDATE clients SET status = :status RETURNING client_id", status=status)
    assert _change(installation, status="investigating")["changed"] == ["status"]


def test_a_change_set_that_changes_nothing_is_done_with_no_line(installation: Installation) -> None:
    """To the same values is no change: no history, no new version."""
    open_incident(installation)
    before = _state(installation, "version", "updated_at")
    result = _change(installation, status="open", severity="P2", title="Checkout answers slowly")
    assert result == {"incident_id": "1", "version": 1, "changed": []}
    assert installation.rows(HISTORY) == []
    assert _state(installation, "version", "updated_at") == before


def test_a_note_always_writes_a_line(installation: Installation) -> None:
    """With a change, without one, and beside one that changes nothing."""
    open_incident(installation)
    done(installation, UPDATE, update(change_set=None, note="only a note"))
    done(installation, UPDATE, update(change_set={"status": "open"}, note="no change"))
    done(installation, UPDATE, update(change_set={"severity": "P1"}, note="a change"))
    assert installation.rows(HISTORY) == [
        ("note", None, None, "only a note", False),
        ("note", None, None, "no change", False),
        ("severity", "P2", "P1", None, False),
        ("note", None, None, "a change", False),
    ]
    assert _state(installation, "version") == (2,)


def test_an_updated_severity_is_stated_and_the_flags_are_kept(installation: Installation) -> None:
    """The incident keeps its flags and how its severity came about."""
    open_incident(installation)
    _change(installation, severity="P1")
    assert _state(
        installation, "severity", "severity_origin", "stated_severity", "severity_flags"
    ) == ("P1", "stated", "P1", ["p2_major_degradation_with_workaround"])


def test_an_assignee_is_taken_away_by_null(installation: Installation) -> None:
    """Null is nobody."""
    open_incident(installation, assigned_to_user_id="boss")
    assert _change(installation, assigned_to_user_id=None)["changed"] == ["assigned_to_user_id"]
    assert _state(installation, "assigned_to_user_id") == (None,)


@pytest.mark.parametrize("user", ["manager", "support", "boss"])
def test_the_sops_own_roles_may_update(installation: Installation, user: str) -> None:
    """Incident managers, technical support, executives."""
    open_incident(installation)
    assert done(installation, UPDATE, update(updated_by_user=user))


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"updated_by_user": "nobody"}, "user_not_found"),
        ({"updated_by_user": "leaver"}, "user_inactive"),
        ({"updated_by_user": "holiday"}, "user_inactive"),
        ({"updated_by_user": "admin"}, "not_authorized"),
        ({"updated_by_user": "account"}, "not_authorized"),
        ({"updated_by_user": "netco-contact"}, "not_authorized"),
        ({"updated_by_user": "acme-contact"}, "not_authorized"),
        ({"incident_id": "2"}, "incident_not_found"),
        ({"change_set": {"component_id": "mainframe"}}, "component_not_found"),
        ({"expected_version": 2}, "version_conflict"),
        ({"change_set": {"assigned_to_user_id": "nobody"}}, "assignee_invalid"),
        ({"change_set": {"assigned_to_user_id": "holiday"}}, "assignee_invalid"),
        ({"change_set": {"assigned_to_user_id": "globex-contact"}}, "assignee_invalid"),
        (
            {"change_set": {"status": "resolved", "resolution_timestamp": "2025-09-25T11:57Z"}},
            "invalid_input",
        ),
        (
            {"change_set": {"status": "resolved", "resolution_timestamp": "2025-09-25T11:57:59Z"}},
            "invalid_input",
        ),
        ({"change_set": {"status": "resolved", "resolution_timestamp": None}}, "invalid_input"),
        ({"change_set": {"resolution_timestamp": "2025-09-25T12:00:00Z"}}, "invalid_input"),
        ({"change_set": {"status": "solved"}}, "invalid_input"),
    ],
)
def test_an_update_halts(installation: Installation, changes: dict[str, Any], reason: str) -> None:
    """Each halt of the SOP has its reason, and changes nothing."""
    open_incident(installation)
    before = installation.rows("SELECT * FROM incidents")
    assert halted(installation, UPDATE, update(**changes)) == reason
    assert installation.rows("SELECT * FROM incidents") == before
    assert installation.rows(HISTORY) == []


def test_a_user_updates_only_the_incidents_of_their_client(installation: Installation) -> None:
    """Verify that the incident exists and the user has access."""
    open_incident(installation, client_id="globex")
    assert halted(installation, UPDATE, update(updated_by_user="acme-manager")) == (
        "client_association"
    )
    open_incident(installation, client_id="acme")
    data = update(updated_by_user="acme-manager", incident_id="2")
    assert done(installation, UPDATE, data)


def test_a_user_of_a_vendor_moves_no_incident_away_from_it(installation: Installation) -> None:
    """Both the component before and the one after must be the vendor's."""
    installation.execute("UPDATE users SET vendor_id = 'netco' WHERE user_id = 'support'")
    open_incident(installation)
    away = update(change_set={"component_id": "database"})
    assert halted(installation, UPDATE, away) == "vendor_association"
    _change(installation, status="investigating")
    done(installation, UPDATE, away | {"updated_by_user": "boss"})
    back = update(change_set={"component_id": "gateway"})
    assert halted(installation, UPDATE, back) == "vendor_association"


_FIRST_HALTS = [
    ({"updated_by_user": "nobody", "incident_id": "9"}, "user_not_found"),
    ({"updated_by_user": "account", "incident_id": "9"}, "not_authorized"),
    ({"incident_id": "9", "change_set": {"component_id": "x"}}, "incident_not_found"),
    (
        {"updated_by_user": "acme-manager", "change_set": {"component_id": "x"}},
        "component_not_found",
    ),
    ({"updated_by_user": "acme-manager", "expected_version": 9}, "client_association"),
    ({"expected_version": 9, "change_set": {"status": "investigating"}}, "version_conflict"),
    ({"change_set": {"status": "open", "assigned_to_user_id": "nobody"}}, "invalid_status"),
    (
        {
            "change_set": {
                "assigned_to_user_id": "nobody",
                "resolution_timestamp": "2025-09-25T12:00:00Z",
            }
        },
        "assignee_invalid",
    ),
]


@pytest.mark.parametrize(("changes", "reason"), _FIRST_HALTS)
def test_of_two_faults_the_first_halts(
    installation: Installation, changes: dict[str, Any], reason: str
) -> None:
    """The actor, the incident and component, the association, then the procedure's own rules."""
    open_incident(installation, client_id="globex", status="in_progress")
    assert halted(installation, UPDATE, update(**changes)) == reason


def test_a_closed_incident_comes_before_a_wrong_version(installation: Installation) -> None:
    """incident_closed before version_conflict; the association before both."""
    open_incident(installation, client_id="globex")
    _change(installation, status="closed")
    assert halted(installation, UPDATE, update(expected_version=9)) == "incident_closed"
    foreign = update(updated_by_user="acme-manager")
    assert halted(installation, UPDATE, foreign) == "client_association"


_STATUSES = ("open", "investigating", "in_progress", "resolved", "closed")
_MOVES = {
    "open": {"investigating", "in_progress", "resolved", "closed"},
    "investigating": {"in_progress", "resolved", "closed"},
    "in_progress": {"investigating", "resolved", "closed"},
    "resolved": {"investigating", "in_progress", "closed"},
}


@pytest.mark.parametrize("old", _MOVES)
def test_the_moves_between_statuses(installation: Installation, old: str) -> None:
    """Forward, back into work, never back to open; to the same status is no change."""
    over = {"resolution_timestamp": "2025-09-25T12:00:00Z"} if old == "resolved" else {}
    for number, new in enumerate(_STATUSES, 1):
        assert open_incident(installation, status=old, **over) == str(number)
        data = update(incident_id=str(number), change_set={"status": new})
        if new in _MOVES[old]:
            assert "status" in done(installation, UPDATE, data)["changed"]
        elif new == old:
            assert done(installation, UPDATE, data)["changed"] == []
        else:
            assert halted(installation, UPDATE, data) == "invalid_status"


@pytest.mark.parametrize(
    "changes",
    [
        {"change_set": {"status": "investigating"}},
        {"change_set": {"status": "closed"}},
        {"change_set": {"title": "x"}},
        {"change_set": None, "note": "x"},
    ],
)
def test_closed_is_final(installation: Installation, changes: dict[str, Any]) -> None:
    """Any update of a closed incident is incident_closed, also to the same status."""
    open_incident(installation)
    _change(installation, status="closed")
    assert halted(installation, UPDATE, update(**changes)) == "incident_closed"


@pytest.mark.parametrize("status", ["resolved", "closed"])
def test_resolving_sets_the_resolution_timestamp(installation: Installation, status: str) -> None:
    """When the change set does not name one it is now, with a line of history."""
    open_incident(installation)
    result = _change(installation, 7, status=status)
    assert result["changed"] == ["status", "resolution_timestamp"]
    assert _state(installation, "resolution_timestamp") == (at(7),)
    assert installation.rows(HISTORY)[1] == (
        "resolution_timestamp",
        None,
        at(7).isoformat(timespec="microseconds"),
        None,
        False,
    )


def test_a_stated_resolution_timestamp_stands(installation: Installation) -> None:
    """The change set may say when, at detection or later, and correct it afterwards."""
    open_incident(installation)
    _change(installation, status="resolved", resolution_timestamp="2025-09-25T11:58:00Z")
    assert _state(installation, "resolution_timestamp") == (DETECTED,)
    _change(installation, resolution_timestamp="2025-09-25T12:58:00Z")
    assert _state(installation, "status", "resolution_timestamp") == (
        "resolved",
        DETECTED.replace(hour=12),
    )


def test_closing_what_is_resolved_keeps_when_it_was(installation: Installation) -> None:
    """Closing is no second resolution."""
    open_incident(installation)
    _change(installation, 7, status="resolved")
    assert _change(installation, 8, status="closed")["changed"] == ["status"]
    assert _state(installation, "resolution_timestamp") == (at(7),)


@pytest.mark.parametrize("status", ["investigating", "in_progress"])
def test_reopening_clears_the_resolution_timestamp(installation: Installation, status: str) -> None:
    """And may not set one."""
    open_incident(installation)
    _change(installation, status="resolved")
    wrong = {"status": status, "resolution_timestamp": "2025-09-25T12:00:00Z"}
    assert halted(installation, UPDATE, update(change_set=wrong)) == "invalid_input"
    assert _change(installation, status=status)["changed"] == ["status", "resolution_timestamp"]
    assert _state(installation, "resolution_timestamp") == (None,)


def test_an_update_dated_before_the_detection_resolves_at_the_detection(
    installation: Installation,
) -> None:
    """The resolution may not lie before detection, whatever the clocks say."""
    detected = at(4)
    open_incident(installation, detection_timestamp=detected.isoformat(), time=at(3))
    _change(installation, 3.5, status="resolved")
    assert _state(installation, "resolution_timestamp") == (detected,)


def test_an_expected_version_is_checked_against_the_stored_one(installation: Installation) -> None:
    """Of two updates that expect one version, one is done; the other says which version it is."""
    open_incident(installation)
    change = update(expected_version=1)
    assert done(installation, UPDATE, change)["version"] == 2
    assert halted(installation, UPDATE, change) == "version_conflict"
    (row,) = installation.rows("SELECT errors FROM halts")
    assert row.errors == [
        {"path": "$.data.expected_version", "message": "the incident is at version 2"}
    ]


def test_later_updates_of_one_batch_see_the_version_of_the_earlier(
    installation: Installation,
) -> None:
    """The facts of a batch are also its memory."""
    open_incident(installation)
    batch = [
        delivery(
            event(UPDATE, update(expected_version=version, change_set={"title": str(version)}))
        )
        for version in (1, 2, 2, 3)
    ]
    outcomes = [v.outcome.data["outcome"] for v in installation.process(*batch) if v.outcome]
    assert outcomes == ["done", "done", "halted", "done"]
    assert _state(installation, "version", "title") == (4, "3")


def test_a_conflicting_report_in_the_batch_hides_no_incident(installation: Installation) -> None:
    """The identity belongs to the report that came first, and follow-ups find its incident."""
    open_incident(installation, id="r1")
    follow_up = update(incident_id=None, incident_request={"id": "r1"})
    verdicts = installation.process(
        delivery(event("report_incident", report(title="another one"), id="r1")),
        delivery(event(UPDATE, follow_up)),
    )
    conflict, found = (v.outcome.data for v in verdicts if v.outcome)
    assert conflict["halt"]["reason"] == "idempotency_conflict"
    assert found["result"]["incident_id"] == "1"


def test_two_hundred_updates_of_one_batch_write_one_row_and_every_line(
    installation: Installation,
) -> None:
    """The last state is stored once, and each change has its line."""
    open_incident(installation)
    installation.process(
        *(delivery(event(UPDATE, update(change_set={"title": str(n)}))) for n in range(200))
    )
    assert _state(installation, "version", "title") == (201, "199")
    lines = installation.rows(HISTORY)
    assert [line.new_value for line in lines] == [str(n) for n in range(200)]
    assert [line.old_value for line in lines[1:]] == [str(n) for n in range(199)]
