"""Recording Communications: every sentence of DESIGN 6, and every halt."""

from typing import Any

import pytest

from tests.support.asking import at, done, halted, open_incident
from tests.support.installation import Installation
from tests.support.requests import communication, update

TELL = "record_communication"
CHANGE = {"communication_id": "1", "sender_id": "support"}


def _row(installation: Installation, *columns: str) -> tuple[Any, ...]:
    (row,) = installation.rows("SELECT * FROM communications")
    return tuple(getattr(row, column) for column in columns)


def test_a_communication_is_linked_to_its_incident(installation: Installation) -> None:
    """Create a communication record and return communication_id; pending by default."""
    open_incident(installation)
    data = communication(recipient_type="client_contacts")
    assert done(installation, TELL, data, id="c1", time=at(3)) == {
        "communication_id": "1",
        "incident_id": "1",
        "delivery_status": "pending",
    }
    (row,) = installation.rows("SELECT * FROM communications")
    assert row._asdict() == {
        "communication_id": 1,
        "incident_id": 1,
        "sender_id": "support",
        "recipient_id": "acme-contact",
        "recipient_type": "client_contacts",
        "communication_type": "status_update",
        "delivery_method": "email",
        "delivery_status": "pending",
        "sent_at": None,
        "source": "monitor",
        "request_id": "c1",
        "stamps": {},
        "recorded_at": at(3),
    }
    assert installation.rows(
        "SELECT action, outcome, actor, subject FROM audit_records WHERE request_id = 'c1'"
    ) == [("create", "done", "support", "communication:1")]


@pytest.mark.parametrize("user", ["manager", "support", "acme-manager"])
def test_the_sops_own_roles_may_record(installation: Installation, user: str) -> None:
    """Incident managers and technical support."""
    open_incident(installation)
    assert done(installation, TELL, communication(sender_id=user))


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"sender_id": "nobody", "incident_id": "9"}, "sender_invalid"),
        ({"sender_id": "leaver", "incident_id": "9"}, "sender_invalid"),
        ({"sender_id": "holiday"}, "sender_invalid"),
        ({"sender_id": "boss", "incident_id": "9"}, "not_authorized"),
        ({"sender_id": "account"}, "not_authorized"),
        ({"sender_id": "admin"}, "not_authorized"),
        ({"sender_id": "netco-contact"}, "not_authorized"),
        ({"sender_id": "acme-contact"}, "not_authorized"),
        ({"incident_id": "9", "recipient_id": "nobody"}, "incident_not_found"),
        ({"sender_id": "acme-manager", "recipient_id": "nobody"}, "client_association"),
        ({"recipient_id": "nobody"}, "recipient_invalid"),
        ({"recipient_id": "acme-contact"}, "recipient_invalid"),
        (
            {"recipient_id": "acme-contact", "recipient_type": "all_stakeholders"},
            "recipient_invalid",
        ),
        ({"recipient_id": None, "recipient_type": "everybody"}, "invalid_input"),
        ({"recipient_id": None}, "missing_input"),
    ],
)
def test_a_communication_halts(
    installation: Installation, changes: dict[str, Any], reason: str
) -> None:
    """Each halt of the SOP, in the order of the phases; nothing is recorded."""
    open_incident(installation, client_id="globex")
    assert halted(installation, TELL, communication(**changes)) == reason
    assert installation.rows("SELECT FROM communications") == []


def test_a_sender_of_another_vendor_records_nothing(installation: Installation) -> None:
    """Any user with a vendor is bound like a vendor contact."""
    installation.execute("UPDATE users SET vendor_id = 'dataco' WHERE user_id = 'support'")
    open_incident(installation)
    assert halted(installation, TELL, communication()) == "vendor_association"


@pytest.mark.parametrize("user", ["acme-contact", "netco-contact", "boss", "leaver", "holiday"])
def test_a_recipient_exists_and_is_no_contact_of_another_client(
    installation: Installation, user: str
) -> None:
    """Active or not: a communication may have gone to somebody who has left since."""
    open_incident(installation)
    assert done(installation, TELL, communication(recipient_id=user))


@pytest.mark.parametrize(
    "group", ["client_contacts", "executive_team", "technical_team", "all_stakeholders"]
)
def test_a_group_may_be_the_recipient(installation: Installation, group: str) -> None:
    """Confirm recipient exists or recipient_type is valid."""
    open_incident(installation)
    done(installation, TELL, communication(recipient_id=None, recipient_type=group))
    assert _row(installation, "recipient_id", "recipient_type") == (None, group)


def test_communications_about_closed_incidents_are_still_taken(installation: Installation) -> None:
    """Closed is final for updates only."""
    open_incident(installation)
    done(installation, "update_incident", update(change_set={"status": "closed"}))
    assert done(installation, TELL, communication())


@pytest.mark.parametrize(
    ("status", "given", "kept"),
    [
        ("sent", None, at(4)),
        ("sent", at(1), at(1)),
        ("pending", None, None),
        ("delivered", None, None),
        ("failed", None, None),
        ("delivered", at(1), at(1)),
        ("failed", at(1), at(1)),
    ],
)
def test_sent_at_is_now_when_it_is_sent_and_else_as_given(
    installation: Installation, status: str, given: Any, kept: Any
) -> None:
    """sent_at defaults to now when delivery_status is sent; otherwise as given or empty."""
    open_incident(installation)
    sent_at = given and given.isoformat()
    data = communication(delivery_status=status, sent_at=sent_at)
    assert done(installation, TELL, data, time=at(4))["delivery_status"] == status
    assert _row(installation, "delivery_status", "sent_at") == (status, kept)


_MOVES = {
    "pending": {"sent", "delivered", "failed"},
    "sent": {"delivered", "failed"},
    "delivered": set[str](),
    "failed": {"pending", "sent", "delivered"},
}


@pytest.mark.parametrize("old", _MOVES)
def test_the_moves_between_delivery_statuses(installation: Installation, old: str) -> None:
    """Onward, and again after a failure; the same is no change."""
    open_incident(installation)
    for number, new in enumerate(_MOVES, 1):
        done(installation, TELL, communication(delivery_status=old))
        data = CHANGE | {"communication_id": str(number), "delivery_status": new}
        if new == old or new in _MOVES[old]:
            assert done(installation, TELL, data) == {
                "communication_id": str(number),
                "incident_id": "1",
                "delivery_status": new,
            }
        else:
            assert halted(installation, TELL, data) == "invalid_status"


def test_a_change_to_sent_sets_sent_at(installation: Installation) -> None:
    """Now, or as given; what follows keeps it."""
    open_incident(installation)
    done(installation, TELL, communication())
    done(installation, TELL, CHANGE | {"delivery_status": "sent"}, time=at(5))
    assert _row(installation, "sent_at") == (at(5),)
    done(installation, TELL, CHANGE | {"delivery_status": "delivered"}, time=at(6))
    assert _row(installation, "delivery_status", "sent_at") == ("delivered", at(5))


def test_what_is_sent_again_after_a_failure_is_sent_now(installation: Installation) -> None:
    """The time of the try that failed does not stay."""
    open_incident(installation)
    done(installation, TELL, communication(delivery_status="sent"), time=at(4))
    done(installation, TELL, CHANGE | {"delivery_status": "failed"}, time=at(5))
    done(installation, TELL, CHANGE | {"delivery_status": "sent"}, time=at(6))
    assert _row(installation, "delivery_status", "sent_at") == ("sent", at(6))


def test_a_change_may_say_when_it_was_sent(installation: Installation) -> None:
    """A receipt often knows better."""
    open_incident(installation)
    done(installation, TELL, communication())
    data = CHANGE | {"delivery_status": "delivered", "sent_at": at(2).isoformat()}
    done(installation, TELL, data, time=at(5))
    assert _row(installation, "delivery_status", "sent_at") == ("delivered", at(2))


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"sender_id": "nobody", "communication_id": "9"}, "sender_invalid"),
        ({"sender_id": "leaver", "communication_id": "9"}, "sender_invalid"),
        ({"sender_id": "boss", "communication_id": "9"}, "not_authorized"),
        ({"communication_id": "9"}, "incident_not_found"),
        ({"sender_id": "acme-manager"}, "client_association"),
        ({}, "invalid_status"),
    ],
)
def test_a_change_of_a_communication_halts(
    installation: Installation, changes: dict[str, Any], reason: str
) -> None:
    """The change runs on the authority of who asks for it, and is checked like the first."""
    open_incident(installation, client_id="globex")
    done(installation, TELL, communication(recipient_id="boss", delivery_status="delivered"))
    before = installation.rows("SELECT * FROM communications")
    assert halted(installation, TELL, {**CHANGE, "delivery_status": "sent", **changes}) == reason
    assert installation.rows("SELECT * FROM communications") == before
