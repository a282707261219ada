"""SOP 1, Reporting Incidents: every sentence of DESIGN 6 about a report, and every halt."""

from dataclasses import replace
from datetime import UTC, datetime
from itertools import pairwise, product
from typing import Any

import pytest

from tests.support.asking import ask, at, done, halted, open_incident
from tests.support.installation import Installation
from tests.support.requests import SOURCE, delivery, event, report

REPORT = "report_incident"


def _let_clients_report(installation: Installation) -> None:
    means = installation.pipeline.means
    rules = replace(means.rules, clients_may_report=True)
    installation.pipeline.means = replace(means, rules=rules)


def test_a_report_opens_an_incident_linked_to_its_client_and_component(
    installation: Installation,
) -> None:
    """Create an incident record linked to the client/component, with everything that was given."""
    data = report(
        status="investigating",
        assigned_to_user_id="support",
        detection_timestamp="2025-09-25T13:58:00+02:00",
        severity_flags={
            "p1_regulatory_safety_financial": True,
            "p3_localized_or_non_critical": True,
        },
        dedup_key="checkout",
        note="seen by two customers",
    )
    result = done(installation, REPORT, data, id="r1", time=at(1))
    assert result == {"incident_id": "1", "severity": "P1", "status": "investigating"}
    (row,) = installation.rows("SELECT * FROM incidents")
    assert row._asdict() == {
        "incident_id": 1,
        "title": "Checkout answers slowly",
        "category": "performance",
        "severity": "P1",
        "severity_origin": "computed",
        "stated_severity": None,
        "severity_flags": ["p1_regulatory_safety_financial", "p3_localized_or_non_critical"],
        "impact_level": "high",
        "urgency_level": "high",
        "status": "investigating",
        "client_id": "acme",
        "component_id": "gateway",
        "reporter_user_id": "manager",
        "assigned_to_user_id": "support",
        "detection_timestamp": datetime(2025, 9, 25, 11, 58, tzinfo=UTC),
        "resolution_timestamp": None,
        "source": "monitor",
        "request_id": "r1",
        "dedup_key": "checkout",
        "recurrence_of": None,
        "closed_by_source": None,
        "stamps": {SOURCE: {"report": at(1).isoformat(timespec="microseconds")}},
        "version": 1,
        "reported_at": at(1),
        "updated_at": at(1),
    }
    assert installation.rows("SELECT incident_id, field, note FROM incident_updates") == [
        (1, "note", "seen by two customers")
    ]


@pytest.mark.parametrize(
    "user", ["manager", "support", "admin", "boss", "netco-contact", "acme-manager"]
)
def test_the_sops_own_roles_may_report(installation: Installation, user: str) -> None:
    """Incident managers, technical support, system administrators, vendor contacts, executives."""
    assert done(installation, REPORT, report(reporter_user_id=user))


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"reporter_user_id": "nobody"}, "user_not_found"),
        ({"reporter_user_id": "leaver"}, "user_inactive"),
        ({"reporter_user_id": "holiday"}, "user_inactive"),
        ({"reporter_user_id": "account"}, "not_authorized"),
        ({"reporter_user_id": "acme-contact"}, "not_authorized"),
        ({"client_id": "initech"}, "client_not_found"),
        ({"component_id": "mainframe"}, "component_not_found"),
        ({"reporter_user_id": "acme-manager", "client_id": "globex"}, "client_association"),
        ({"reporter_user_id": "dataco-contact"}, "vendor_association"),
        ({"reporter_user_id": "netco-contact", "component_id": "inhouse"}, "vendor_association"),
        ({"severity_flags": None}, "severity_not_determined"),
        ({"severity_flags": {}}, "severity_not_determined"),
        ({"assigned_to_user_id": "nobody"}, "assignee_invalid"),
        ({"assigned_to_user_id": "leaver"}, "assignee_invalid"),
        ({"assigned_to_user_id": "holiday"}, "assignee_invalid"),
        ({"assigned_to_user_id": "globex-contact"}, "assignee_invalid"),
        ({"status": "resolved"}, "missing_input"),
        ({"status": "resolved", "resolution_timestamp": "2025-09-25T11:57:00Z"}, "invalid_input"),
    ],
)
def test_a_report_halts(installation: Installation, changes: dict[str, Any], reason: str) -> None:
    """Each halt of the SOP has its reason, opens nothing and is kept with its request."""
    message = delivery(event(REPORT, report(**changes), id="r1"))
    (verdict,) = installation.process(message)
    assert verdict.outcome is not None
    assert verdict.outcome.data["halt"]["reason"] == reason
    assert installation.rows("SELECT FROM incidents") == []
    assert installation.rows("SELECT reason, event, state, source, request_id FROM halts") == [
        (reason, message.event, "open", "monitor", "r1")
    ]
    assert installation.rows("SELECT halted, halt_id FROM requests") == [(True, 1)]


_FAULTS = (
    ({"reporter_user_id": "nobody"}, "user_not_found"),
    ({"reporter_user_id": "leaver"}, "user_inactive"),
    ({"reporter_user_id": "account"}, "not_authorized"),
    ({"client_id": "initech"}, "client_not_found"),
    ({"component_id": "mainframe"}, "component_not_found"),
    ({"severity_flags": None}, "severity_not_determined"),
    ({"assigned_to_user_id": "nobody"}, "assignee_invalid"),
)


@pytest.mark.parametrize(("first", "second"), list(pairwise(_FAULTS[2:])))
def test_of_two_faults_the_first_halts(installation: Installation, first: Any, second: Any) -> None:
    """The actor, what it refers to, the association, then the procedure's own rules."""
    assert halted(installation, REPORT, report(**second[0], **first[0])) == first[1]


@pytest.mark.parametrize("user", ["leaver", "nobody"])
def test_the_actor_comes_before_everything_the_report_refers_to(
    installation: Installation, user: str
) -> None:
    """Who may not act is not told which clients exist."""
    data = report(reporter_user_id=user, client_id="initech", component_id="x", severity_flags=None)
    assert halted(installation, REPORT, data) in ("user_not_found", "user_inactive")


def test_the_association_comes_after_existence_and_before_the_severity(
    installation: Installation,
) -> None:
    """A component that does not exist is not found; one of another vendor is not theirs."""
    foreign = report(reporter_user_id="dataco-contact", severity_flags=None)
    assert halted(installation, REPORT, foreign) == "vendor_association"
    unknown = report(reporter_user_id="acme-manager", client_id="globex", component_id="x")
    assert halted(installation, REPORT, unknown) == "component_not_found"


def test_staff_without_a_link_report_for_every_client_and_component(
    installation: Installation,
) -> None:
    """Staff without a link act for all."""
    for client in ("acme", "globex"):
        for component in ("gateway", "database", "inhouse"):
            assert open_incident(installation, client_id=client, component_id=component)


def test_any_user_with_a_vendor_is_bound_like_a_vendor_contact(installation: Installation) -> None:
    """A member of staff who is linked to a vendor acts where that vendor supports the product."""
    installation.execute("UPDATE users SET vendor_id = 'dataco' WHERE user_id = 'manager'")
    assert halted(installation, REPORT, report()) == "vendor_association"
    assert done(installation, REPORT, report(component_id="database"))


def test_a_vendor_contact_without_a_vendor_acts_nowhere(installation: Installation) -> None:
    """Not even for components that no vendor supports."""
    installation.execute("UPDATE users SET vendor_id = NULL WHERE user_id = 'netco-contact'")
    for component in ("gateway", "inhouse"):
        data = report(reporter_user_id="netco-contact", component_id=component)
        assert halted(installation, REPORT, data) == "vendor_association"


def test_the_vendor_is_that_of_the_components_product(installation: Installation) -> None:
    """When the product changes hands, so does the right to report about its components."""
    data = report(reporter_user_id="netco-contact")
    assert done(installation, REPORT, data)
    installation.execute(
        "UPDATE products SET vendor_id = 'dataco' WHERE product_id = 'gateway-product'"
    )
    assert halted(installation, REPORT, data) == "vendor_association"


@pytest.mark.parametrize("status", ["inactive", "suspended"])
def test_a_clients_status_is_not_asked(installation: Installation, status: str) -> None:
    """A client must exist; its status and subscriptions are not asked."""
    installation.rows("UPDATE clients SET status = :status RETURNING client_id", status=status)
    assert done(installation, REPORT, report())


@pytest.mark.parametrize("status", [None, "inactive", "suspended", "cancelled", "expired"])
def test_a_clients_subscriptions_are_not_asked(
    installation: Installation, status: str | None
) -> None:
    """With none, or with one that is over, a report is a report."""
    if status is not None:
        installation.rows(
            """
            INSERT INTO subscriptions (subscription_id, client_id, product_id, subscription_type,
                                       sla_tier, start_date, end_date, status)
            VALUES ('s', 'acme', 'gateway-product', 'x', 'basic', '2001-01-01', '2001-12-31', :is)
            RETURNING subscription_id
            """,
            **{"is": status},
        )
    assert open_incident(installation)


def test_a_client_contact_reports_for_their_own_client_when_the_rule_is_on(
    installation: Installation,
) -> None:
    """Off by default; on, for their own client only; one without a client, for none."""
    own, other = report(reporter_user_id="acme-contact"), report(reporter_user_id="globex-contact")
    assert halted(installation, REPORT, own) == "not_authorized"
    _let_clients_report(installation)
    assert done(installation, REPORT, own)
    assert halted(installation, REPORT, other) == "client_association"
    installation.execute("UPDATE users SET client_id = NULL WHERE user_id = 'acme-contact'")
    assert halted(installation, REPORT, own) == "client_association"


def test_the_rule_lets_client_contacts_do_nothing_else(installation: Installation) -> None:
    """Reporting is not updating."""
    _let_clients_report(installation)
    number = open_incident(installation)
    data = {"incident_id": number, "updated_by_user": "acme-contact", "note": "x"}
    assert halted(installation, "update_incident", data) == "not_authorized"


def test_facts_are_read_anew(installation: Installation) -> None:
    """A user deactivated between publishing and running is refused."""
    published = delivery(event(REPORT, report()))
    installation.execute("UPDATE users SET status = 'inactive' WHERE user_id = 'manager'")
    (verdict,) = installation.process(published)
    assert verdict.outcome is not None
    assert verdict.outcome.data["halt"]["reason"] == "user_inactive"


def test_a_contact_of_the_own_client_may_be_the_assignee(installation: Installation) -> None:
    """Only another client's contact may not."""
    assert open_incident(installation, assigned_to_user_id="acme-contact")


@pytest.mark.parametrize("status", ["resolved", "closed"])
def test_a_report_of_what_is_over_keeps_when_it_was_resolved(
    installation: Installation, status: str
) -> None:
    """A report may carry any status."""
    resolved = "2025-09-25T11:59:00+00:00"
    open_incident(installation, status=status, resolution_timestamp=resolved)
    assert installation.rows("SELECT status, resolution_timestamp FROM incidents") == [
        (status, datetime.fromisoformat(resolved))
    ]


@pytest.mark.parametrize(
    ("given", "severity", "origin", "stated", "flags"),
    [
        ({"severity": "P2", "severity_flags": None}, "P2", "stated", "P2", None),
        ({"severity": "P2", "severity_flags": {}}, "P2", "stated", "P2", None),
        (
            {"severity": "P1", "severity_flags": {"p3_localized_or_non_critical": True}},
            "P3",
            "computed",
            "P1",
            ["p3_localized_or_non_critical"],
        ),
        (
            {"severity": "P1", "severity_flags": {"p1_outage_no_workaround": False}},
            "P4",
            "computed",
            "P1",
            [],
        ),
        (
            {
                "severity_flags": {
                    "p3_localized_or_non_critical": True,
                    "p2_risk_high_priority_sla_breach": True,
                }
            },
            "P2",
            "computed",
            None,
            ["p2_risk_high_priority_sla_breach", "p3_localized_or_non_critical"],
        ),
    ],
)
def test_the_computed_severity_wins_over_a_stated_one(
    installation: Installation,
    given: dict[str, Any],
    severity: str,
    origin: str,
    stated: str | None,
    flags: list[str] | None,
) -> None:
    """Flags decide where there are any; the incident and the audit keep how it came about."""
    result = done(
        installation,
        REPORT,
        report(**{"severity_flags": None, **given})
        | {name: value for name, value in given.items() if value == {}},
    )
    assert result["severity"] == severity
    assert installation.rows(
        "SELECT severity, severity_origin, stated_severity, severity_flags FROM incidents"
    ) == [(severity, origin, stated, flags)]
    assert installation.rows("SELECT context FROM audit_records") == [
        (
            {
                "severity": severity,
                "severity_origin": origin,
                "stated_severity": stated,
                "severity_flags": flags,
            },
        )
    ]


_CONDITIONS = {
    "p1_outage_no_workaround": "P1",
    "p1_wide_enterprise_or_5plus_customers": "P1",
    "p1_regulatory_safety_financial": "P1",
    "p1_high_priority_customer_or_recurrent": "P1",
    "p2_major_degradation_with_workaround": "P2",
    "p2_multi_dept_sites_or_critical_functions": "P2",
    "p2_risk_high_priority_sla_breach": "P2",
    "p3_localized_or_non_critical": "P3",
    "p3_moderate_deg_minimal_workaround": "P3",
}


def test_every_combination_of_flags_comes_out_as_its_severity(installation: Installation) -> None:
    """All 512, from the message to the row: P1 if any is true, otherwise P2, then P3, else P4."""
    combinations = [
        dict(zip(_CONDITIONS, values, strict=True)) for values in product((False, True), repeat=9)
    ]
    installation.process(
        *(delivery(event(REPORT, report(severity_flags=flags))) for flags in combinations)
    )
    raised = [[flag for flag in flags if flags[flag]] for flags in combinations]
    assert installation.rows(
        "SELECT severity, severity_flags FROM incidents ORDER BY incident_id"
    ) == [(min((_CONDITIONS[flag] for flag in flags), default="P4"), flags) for flags in raised]


def test_the_registry_may_require_flags(installation: Installation) -> None:
    """A stated severity is not enough for a source that must give flags."""
    stated = report(severity_flags=None, severity="P2")
    assert done(installation, REPORT, stated)
    assert halted(installation, REPORT, stated, source="narrow") == "severity_not_determined"
    assert done(installation, REPORT, report(severity="P2"), source="narrow")


def test_a_source_asks_only_for_what_the_registry_names(installation: Installation) -> None:
    """source_not_allowed, for another procedure and for another user."""
    assert halted(installation, REPORT, report(reporter_user_id="boss"), source="narrow") == (
        "source_not_allowed"
    )
    note = {"incident_id": "1", "updated_by_user": "manager", "note": "x"}
    assert halted(installation, "update_incident", note, source="narrow") == "source_not_allowed"


def test_now_is_the_events_time_at_most_the_time_of_receipt(installation: Installation) -> None:
    """An event dated ahead is dated back to its receipt; one that comes late keeps its time."""
    open_incident(installation, time=at(3))
    before = datetime.now(UTC)
    open_incident(installation, time=at(600))
    rows = installation.rows("SELECT reported_at FROM incidents ORDER BY incident_id")
    assert rows[0] == (at(3),)
    assert before <= rows[1][0] <= datetime.now(UTC)


def test_a_halt_tells_every_fault_with_its_path(installation: Installation) -> None:
    """The outcome and the halt store list the same errors."""
    outcome = ask(installation, REPORT, report(title=None, severity="P9", client_id=None))
    errors = outcome["halt"]["errors"]
    assert [error["path"] for error in errors] == [
        "$.data.title",
        "$.data.client_id",
        "$.data.severity",
    ]
    assert installation.rows("SELECT errors, reason FROM halts") == [(errors, "missing_input")]
