"""Order among one source's requests about one incident (DESIGN 6, "Order")."""

from typing import Any

import pytest

from tests.support.asking import ask, at, done, halted, open_incident
from tests.support.installation import Installation
from tests.support.requests import communication, delivery, escalation, event, report, update

UPDATE = "update_incident"
OTHER = "narrow"


@pytest.fixture(autouse=True)
def _two_sources(installation: Installation) -> None:
    """Let the second source ask for everything too."""
    path = installation.settings.producers_file
    text = path.read_text().replace('procedures = ["report_incident"]', 'procedures = "any"')
    path.write_text(text.replace('users = ["manager"]', 'users = "any"'))
    open_incident(installation, time=at(0))


def _update(
    installation: Installation, minute: float, source: str = "monitor", **fields: Any
) -> Any:
    return done(installation, UPDATE, update(change_set=fields), time=at(minute), source=source)


def _incident(installation: Installation, *columns: str) -> tuple[Any, ...]:
    (row,) = installation.rows("SELECT * FROM incidents WHERE incident_id = 1")
    return tuple(getattr(row, column) for column in columns)


def test_a_field_set_later_is_left_alone_and_listed_as_superseded(
    installation: Installation,
) -> None:
    """The result lists it, and a line of history says what was not done."""
    _update(installation, 5, title="later")
    result = _update(installation, 4, title="earlier", category="new")
    assert result == {
        "incident_id": "1",
        "version": 3,
        "changed": ["category"],
        "superseded": ["title"],
    }
    assert _incident(installation, "title", "category") == ("later", "new")
    assert installation.rows(
        "SELECT field, old_value, new_value, superseded FROM incident_updates ORDER BY update_id"
    ) == [
        ("title", "Checkout answers slowly", "later", False),
        ("category", "performance", "new", False),
        ("title", "later", "earlier", True),
    ]


def test_a_field_named_without_change_is_stamped_too(installation: Installation) -> None:
    """An update stamps every field it names, changed or not."""
    assert _update(installation, 5, severity="P2")["changed"] == []
    assert _update(installation, 4, severity="P1")["superseded"] == ["severity"]
    assert _incident(installation, "severity", "version") == ("P2", 1)


def test_status_and_resolution_timestamp_share_one_stamp(installation: Installation) -> None:
    """Neither is set apart from the other."""
    _update(installation, 5, status="in_progress")
    result = _update(
        installation, 4, status="resolved", resolution_timestamp="2025-09-25T12:00:00Z"
    )
    assert result["superseded"] == ["status", "resolution_timestamp"]
    assert _incident(installation, "status", "resolution_timestamp") == ("in_progress", None)


def test_a_forbidden_move_that_is_superseded_does_not_halt(installation: Installation) -> None:
    """What is left alone is not checked: back to open would else be invalid_status."""
    _update(installation, 5, status="in_progress")
    assert _update(installation, 4, status="open")["superseded"] == ["status"]


def test_a_superseded_assignee_is_not_checked(installation: Installation) -> None:
    """Nobody is assigned, so nobody need exist."""
    _update(installation, 5, assigned_to_user_id="boss")
    result = _update(installation, 4, assigned_to_user_id="nobody")
    assert result["superseded"] == ["assigned_to_user_id"]


def test_microseconds_count(installation: Installation) -> None:
    """The client writes microseconds, and they order."""
    _update(installation, 5 + 1e-6 / 60, title="later")
    assert _update(installation, 5, title="earlier")["superseded"] == ["title"]


def test_on_ties_commit_order_counts(installation: Installation) -> None:
    """Two events of the same microsecond are done as they come."""
    _update(installation, 5, title="first")
    assert _update(installation, 5, title="second")["changed"] == ["title"]


def test_between_sources_commit_order_counts(installation: Installation) -> None:
    """Another source's stamps bar nothing."""
    _update(installation, 5, title="mine")
    assert _update(installation, 4, OTHER, title="theirs")["changed"] == ["title"]
    assert _update(installation, 3, title="mine again")["superseded"] == ["title"]
    assert _incident(installation, "title") == ("theirs",)


def test_an_expected_version_exempts_from_superseding(installation: Installation) -> None:
    """Who knows the version has seen what came later."""
    _update(installation, 5, title="later")
    result = done(
        installation,
        UPDATE,
        update(expected_version=2, change_set={"title": "knowingly"}),
        time=at(4),
    )
    assert result == {"incident_id": "1", "version": 3, "changed": ["title"]}
    assert _update(installation, 4.5, title="between")["superseded"] == ["title"]


def test_an_expected_version_exempts_from_what_a_later_close_allows(
    installation: Installation,
) -> None:
    """It is checked against the stored incident, and that one is closed."""
    _update(installation, 5, status="closed")
    data = update(expected_version=2, change_set={"title": "x"})
    assert halted(installation, UPDATE, data, time=at(4)) == "incident_closed"


def test_a_note_is_written_also_where_everything_else_is_superseded(
    installation: Installation,
) -> None:
    """A note always writes an update row: what was seen was seen, however late it is told."""
    _update(installation, 5, title="later")
    data = update(change_set={"title": "earlier"}, note="as seen before")
    assert done(installation, UPDATE, data, time=at(4))["changed"] == []
    assert installation.rows(
        "SELECT field, note, superseded FROM incident_updates ORDER BY update_id"
    ) == [("title", None, False), ("title", None, True), ("note", "as seen before", False)]


def test_a_close_stamped_earlier_halts(installation: Installation) -> None:
    """Who updates after its own close is told that the incident is closed."""
    _update(installation, 5, status="closed")
    assert halted(installation, UPDATE, update(), time=at(6)) == "incident_closed"
    assert halted(installation, UPDATE, update(), time=at(5)) == "incident_closed"


def test_a_close_stamped_later_does_not_halt(installation: Installation) -> None:
    """What was signed before the own close is done, field by field, and stays closed."""
    _update(installation, 5, status="closed")
    result = done(
        installation,
        UPDATE,
        update(change_set={"status": "in_progress", "severity": "P1"}, note="before the end"),
        time=at(4),
    )
    assert (result["changed"], result["superseded"]) == (["severity"], ["status"])
    assert _incident(installation, "status", "severity") == ("closed", "P1")


def test_a_close_made_by_another_source_halts(installation: Installation) -> None:
    """Whenever it was stamped, and whatever the own source has stamped besides."""
    _update(installation, 9, status="investigating")
    _update(installation, 5, OTHER, status="closed")
    for minute in (4, 6, 10):
        assert halted(installation, UPDATE, update(), time=at(minute)) == "incident_closed"


def test_a_report_that_opens_closed_counts_as_a_close(installation: Installation) -> None:
    """The source's own report that says closed is stamped like an update that does."""
    over = {"status": "closed", "resolution_timestamp": "2025-09-25T12:00:00Z"}
    open_incident(installation, time=at(5), **over)
    data = update(incident_id="2", change_set={"title": "x"})
    assert done(installation, UPDATE, data, time=at(4))["changed"] == ["title"]
    assert halted(installation, UPDATE, data, time=at(6)) == "incident_closed"


def test_within_a_batch_the_signed_time_counts_too(installation: Installation) -> None:
    """The order of arrival decides nothing within one source."""
    installation.process(
        *(
            delivery(event(UPDATE, update(change_set={"title": str(minute)}), time=at(minute)))
            for minute in (3, 5, 4)
        )
    )
    assert _incident(installation, "title") == ("5",)


def test_a_dedup_report_signed_before_a_lowering_does_not_raise(
    installation: Installation,
) -> None:
    """Order is kept among a source's requests: also between its reports and its updates."""
    open_incident(installation, dedup_key="k", time=at(1))
    lower = update(incident_id="2", change_set={"severity": "P4"})
    done(installation, UPDATE, lower, time=at(5))
    urgent = report(dedup_key="k", severity_flags={"p1_outage_no_workaround": True})
    late = done(installation, "report_incident", urgent, time=at(4))
    assert (late["severity"], late["superseded"]) == ("P4", ["severity"])
    assert done(installation, "report_incident", urgent, time=at(6))["severity"] == "P1"
    assert done(installation, UPDATE, lower, time=at(5.5))["superseded"] == ["severity"]
    assert installation.rows(
        "SELECT field, new_value, superseded FROM incident_updates ORDER BY update_id"
    ) == [
        ("severity", "P4", False),
        ("report", None, False),
        ("severity", "P1", True),
        ("report", None, False),
        ("severity", "P1", False),
        ("severity", "P4", True),
    ]


ESCALATE, TELL = "submit_escalation", "record_communication"


def test_a_later_change_of_an_escalation_supersedes_an_earlier(installation: Installation) -> None:
    """Status and reason each have a stamp; what is superseded is listed and not checked."""
    done(installation, ESCALATE, escalation(), time=at(1))
    change = {"escalation_id": "1", "escalated_by_user": "support"}
    resolve = change | {"status": "resolved"}
    assert done(installation, ESCALATE, resolve, time=at(5))["status"] == "resolved"
    cancel = change | {"status": "cancelled", "reason": "mistaken"}
    assert done(installation, ESCALATE, cancel, time=at(4)) == {
        "escalation_id": "1",
        "incident_id": "1",
        "status": "resolved",
        "superseded": ["status"],
    }
    assert installation.rows("SELECT status, reason, resolved_at FROM escalations") == [
        ("resolved", "mistaken", at(5))
    ]
    earlier = change | {"status": "resolved", "reason": "earlier"}
    assert done(installation, ESCALATE, earlier, time=at(3))["superseded"] == ["status", "reason"]


def test_a_later_change_of_a_communication_supersedes_an_earlier(
    installation: Installation,
) -> None:
    """A receipt that overtakes another is the one that stands."""
    done(installation, TELL, communication(), time=at(1))
    change = {"communication_id": "1", "sender_id": "support"}
    done(installation, TELL, change | {"delivery_status": "delivered"}, time=at(5))
    late = change | {"delivery_status": "sent", "sent_at": at(2).isoformat()}
    assert done(installation, TELL, late, time=at(4)) == {
        "communication_id": "1",
        "incident_id": "1",
        "delivery_status": "delivered",
        "superseded": ["delivery_status"],
    }
    assert installation.rows("SELECT delivery_status, sent_at FROM communications") == [
        ("delivered", None)
    ]


def test_what_another_source_changed_is_superseded_by_nothing(installation: Installation) -> None:
    """Between sources the moves decide."""
    done(installation, ESCALATE, escalation(), time=at(1))
    change = {"escalation_id": "1", "escalated_by_user": "support"}
    done(installation, ESCALATE, change | {"status": "resolved"}, time=at(5))
    outcome = ask(
        installation, ESCALATE, change | {"status": "cancelled"}, time=at(4), source=OTHER
    )
    assert outcome["halt"]["reason"] == "invalid_status"
