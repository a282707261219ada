"""SOP 3, Managing Incident Escalations: every sentence of DESIGN 6, and every halt."""

from typing import Any

import pytest

from tests.support.asking import at, done, halted, open_incident
from tests.support.installation import Installation
from tests.support.requests import escalation, update

ESCALATE = "submit_escalation"
CHANGE = {"escalation_id": "1", "escalated_by_user": "support"}


def _row(installation: Installation, *columns: str) -> tuple[Any, ...]:
    (row,) = installation.rows("SELECT * FROM escalations")
    return tuple(getattr(row, column) for column in columns)


def test_an_escalation_is_linked_to_its_incident(installation: Installation) -> None:
    """Create an escalation record and return escalation_id; escalated_at is now by default."""
    open_incident(installation)
    data = escalation(reason="nobody answers")
    assert done(installation, ESCALATE, data, id="e1", time=at(3)) == {
        "escalation_id": "1",
        "incident_id": "1",
        "status": "active",
    }
    (row,) = installation.rows("SELECT * FROM escalations")
    assert row._asdict() == {
        "escalation_id": 1,
        "incident_id": 1,
        "escalated_by_user": "support",
        "escalated_to_user": "manager",
        "escalation_level": "management",
        "escalated_at": at(3),
        "reason": "nobody answers",
        "status": "active",
        "resolved_at": None,
        "source": "monitor",
        "request_id": "e1",
        "stamps": {},
    }
    assert installation.rows(
        "SELECT action, outcome, actor, subject FROM audit_records WHERE request_id = 'e1'"
    ) == [("create", "done", "support", "escalation:1")]


@pytest.mark.parametrize("user", ["manager", "support", "account", "boss", "acme-manager"])
def test_the_sops_own_roles_may_escalate(installation: Installation, user: str) -> None:
    """Incident managers, technical support, account managers, executives."""
    open_incident(installation)
    assert done(installation, ESCALATE, escalation(escalated_by_user=user))


_TARGETS = {
    "technical": {"support"},
    "management": {"manager", "account", "acme-manager"},
    "executive": {"boss"},
    "vendor": {"netco-contact"},  # whose product the incident is about
}


@pytest.mark.parametrize("level", _TARGETS)
def test_the_target_has_a_role_of_the_level(installation: Installation, level: str) -> None:
    """Confirm the target user exists with a valid escalation role: active, and of the level's."""
    open_incident(installation)
    for user in (
        "manager",
        "support",
        "admin",
        "account",
        "boss",
        "netco-contact",
        "acme-contact",
        "dataco-contact",
        "acme-manager",
        "leaver",
        "holiday",
        "nobody",
    ):
        data = escalation(escalation_level=level, escalated_to_user=user)
        if user in _TARGETS[level]:
            assert done(installation, ESCALATE, data)
        else:
            assert halted(installation, ESCALATE, data) == "target_user_invalid"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"escalated_by_user": "nobody", "incident_id": "9"}, "user_not_found"),
        ({"escalated_by_user": "leaver", "incident_id": "9"}, "user_inactive"),
        ({"escalated_by_user": "admin", "incident_id": "9"}, "not_authorized"),
        ({"escalated_by_user": "netco-contact"}, "not_authorized"),
        ({"escalated_by_user": "acme-contact"}, "not_authorized"),
        ({"incident_id": "9", "escalated_to_user": "nobody"}, "incident_not_found"),
        (
            {"escalated_by_user": "acme-manager", "escalated_to_user": "nobody"},
            "client_association",
        ),
        ({"escalated_to_user": "nobody"}, "target_user_invalid"),
        ({"status": "active", "resolved_at": "2025-09-25T12:00:00Z"}, "invalid_input"),
        ({"status": "resolved", "resolved_at": "2025-09-25T12:00:00Z"}, "invalid_input"),
    ],
)
def test_an_escalation_halts(
    installation: Installation, changes: dict[str, Any], reason: str
) -> None:
    """Each halt of the SOP, in the order of the phases; nothing is escalated."""
    open_incident(installation, client_id="globex")
    assert halted(installation, ESCALATE, escalation(**changes), time=at(1)) == reason
    assert installation.rows("SELECT FROM escalations") == []


def test_a_user_of_another_vendor_does_not_escalate(installation: Installation) -> None:
    """Any user with a vendor is bound like a vendor contact."""
    installation.execute("UPDATE users SET vendor_id = 'dataco' WHERE user_id = 'support'")
    open_incident(installation)
    assert halted(installation, ESCALATE, escalation()) == "vendor_association"


def test_an_escalation_asks_for_no_approval(installation: Installation) -> None:
    """Nobody signs off what an authorised user does, not even when they escalate to themselves."""
    open_incident(installation)
    data = escalation(escalated_by_user="manager", escalated_to_user="manager")
    assert done(installation, ESCALATE, data)["status"] == "active"
    assert installation.rows("SELECT DISTINCT action FROM audit_records") == [("create",)]


def test_escalations_of_closed_incidents_are_still_taken(installation: Installation) -> None:
    """Closed is final for updates only."""
    open_incident(installation)
    done(installation, "update_incident", update(change_set={"status": "closed"}))
    assert done(installation, ESCALATE, escalation())


def test_an_escalation_may_be_submitted_resolved(installation: Installation) -> None:
    """resolved_at is set once resolved: as given, or now."""
    open_incident(installation)
    done(installation, ESCALATE, escalation(status="resolved"), time=at(2))
    assert _row(installation, "status", "escalated_at", "resolved_at") == (
        "resolved",
        at(2),
        at(2),
    )


def test_the_moves_between_statuses(installation: Installation) -> None:
    """Active becomes resolved or cancelled, and nothing comes after; the same is no change."""
    open_incident(installation)
    number = 0
    for old in ("active", "resolved", "cancelled"):
        for new in ("active", "resolved", "cancelled"):
            number += 1
            done(installation, ESCALATE, escalation(status=old))
            data = CHANGE | {"escalation_id": str(number), "status": new}
            if new == old or old == "active":
                assert done(installation, ESCALATE, data) == {
                    "escalation_id": str(number),
                    "incident_id": "1",
                    "status": new,
                }
            else:
                assert halted(installation, ESCALATE, data) == "invalid_status"


def test_resolving_sets_resolved_at(installation: Installation) -> None:
    """Now, where the change does not say when; a reason given with it replaces the old one."""
    open_incident(installation)
    done(installation, ESCALATE, escalation(reason="old"), time=at(1))
    done(installation, ESCALATE, CHANGE | {"status": "resolved", "reason": "new"}, time=at(9))
    assert _row(installation, "status", "resolved_at", "reason") == ("resolved", at(9), "new")


def test_a_stated_resolved_at_stands_and_lies_not_before_the_escalation(
    installation: Installation,
) -> None:
    """invalid_input before it."""
    open_incident(installation)
    done(installation, ESCALATE, escalation(escalated_at=at(5).isoformat()), time=at(5))
    resolve = CHANGE | {"status": "resolved"}
    early = resolve | {"resolved_at": at(4.9).isoformat()}
    assert halted(installation, ESCALATE, early, time=at(9)) == "invalid_input"
    done(installation, ESCALATE, resolve | {"resolved_at": at(5).isoformat()}, time=at(9))
    assert _row(installation, "resolved_at") == (at(5),)


def test_resolving_again_keeps_when_it_was_resolved(installation: Installation) -> None:
    """To the same status is no change."""
    open_incident(installation)
    done(installation, ESCALATE, escalation(), time=at(1))
    for minute in (5, 9):
        done(installation, ESCALATE, CHANGE | {"status": "resolved"}, time=at(minute))
    assert _row(installation, "resolved_at") == (at(5),)


@pytest.mark.parametrize("at_once", [True, False], ids=["submitted resolved", "resolved later"])
def test_nothing_is_resolved_before_it_was_escalated(
    installation: Installation, at_once: bool
) -> None:
    """Where an escalation is dated ahead, its resolution is dated like it."""
    open_incident(installation)
    data = escalation(escalated_at=at(5).isoformat(), status="resolved" if at_once else None)
    done(installation, ESCALATE, data, time=at(2))
    if not at_once:
        done(installation, ESCALATE, CHANGE | {"status": "resolved"}, time=at(3))
    assert _row(installation, "escalated_at", "resolved_at") == (at(5), at(5))


def test_an_escalation_may_be_resolved_at_the_time_it_is_submitted(
    installation: Installation,
) -> None:
    """A resolved_at of now is not before the escalation."""
    open_incident(installation)
    data = escalation(status="resolved", resolved_at=at(2).isoformat())
    assert done(installation, ESCALATE, data, time=at(2))["status"] == "resolved"


def test_cancelling_sets_no_resolved_at(installation: Installation) -> None:
    """What is cancelled is not resolved."""
    open_incident(installation)
    done(installation, ESCALATE, escalation())
    done(installation, ESCALATE, CHANGE | {"status": "cancelled"})
    assert _row(installation, "status", "resolved_at") == ("cancelled", None)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"escalated_by_user": "nobody", "escalation_id": "9"}, "user_not_found"),
        ({"escalated_by_user": "leaver", "escalation_id": "9"}, "user_inactive"),
        ({"escalated_by_user": "admin", "escalation_id": "9"}, "not_authorized"),
        ({"escalation_id": "9"}, "incident_not_found"),
        ({"escalated_by_user": "acme-manager", "status": "active"}, "client_association"),
        ({"status": "active"}, "invalid_status"),
    ],
)
def test_a_change_of_an_escalation_halts(
    installation: Installation, changes: dict[str, Any], reason: str
) -> None:
    """The change runs on the authority of who asks for it, and is checked like the first."""
    open_incident(installation, client_id="globex")
    done(installation, ESCALATE, escalation())
    done(installation, ESCALATE, CHANGE | {"status": "resolved"})
    before = installation.rows("SELECT * FROM escalations")
    data = {**CHANGE, "status": "cancelled", **changes}
    assert halted(installation, ESCALATE, data) == reason
    assert installation.rows("SELECT * FROM escalations") == before
