"""The four SOPs as the policy lists them."""

from itertools import chain
from pathlib import Path

import pytest

from policy.halts import PRECEDENCE, Reason
from policy.procedures import (
    PROCEDURES,
    RECORD_COMMUNICATION,
    REPORT_INCIDENT,
    SUBMIT_ESCALATION,
    UPDATE_INCIDENT,
    Procedure,
)
from policy.vocabulary import Role

_POLICY = Path(__file__).parents[3] / "docs/policy.md"

AS_THE_POLICY_LISTS_THEM = {
    "report_incident": Procedure(
        name="report_incident",
        title="Reporting Incidents",
        purpose="Log incidents requiring formal management response.",
        section="Incident Operations, 1",
        roles=frozenset(
            {
                Role.INCIDENT_MANAGER,
                Role.TECHNICAL_SUPPORT,
                Role.SYSTEM_ADMINISTRATOR,
                Role.VENDOR_CONTACT,
                Role.EXECUTIVE,
            }
        ),
        actor="reporter_user_id",
        actor_unknown=Reason.USER_NOT_FOUND,
        actor_inactive=Reason.USER_INACTIVE,
        refused=Reason.CREATION_FAILED,
        halts=(
            Reason.USER_NOT_FOUND,
            Reason.USER_INACTIVE,
            Reason.NOT_AUTHORIZED,
            Reason.CLIENT_NOT_FOUND,
            Reason.COMPONENT_NOT_FOUND,
            Reason.CLIENT_ASSOCIATION,
            Reason.VENDOR_ASSOCIATION,
            Reason.SEVERITY_NOT_DETERMINED,
            Reason.ASSIGNEE_INVALID,
            Reason.INVALID_INPUT,
        ),
    ),
    "update_incident": Procedure(
        name="update_incident",
        title="Updating Incident Status",
        purpose="Modify status or progress details of active incidents.",
        section="Incident Operations, 2",
        roles=frozenset({Role.INCIDENT_MANAGER, Role.TECHNICAL_SUPPORT, Role.EXECUTIVE}),
        actor="updated_by_user",
        actor_unknown=Reason.USER_NOT_FOUND,
        actor_inactive=Reason.USER_INACTIVE,
        refused=Reason.UPDATE_FAILED,
        halts=(
            Reason.USER_NOT_FOUND,
            Reason.USER_INACTIVE,
            Reason.NOT_AUTHORIZED,
            Reason.INCIDENT_NOT_FOUND,
            Reason.COMPONENT_NOT_FOUND,
            Reason.CLIENT_ASSOCIATION,
            Reason.VENDOR_ASSOCIATION,
            Reason.INCIDENT_CLOSED,
            Reason.VERSION_CONFLICT,
            Reason.INVALID_STATUS,
            Reason.ASSIGNEE_INVALID,
            Reason.INVALID_INPUT,
        ),
    ),
    "submit_escalation": Procedure(
        name="submit_escalation",
        title="Managing Incident Escalations",
        purpose="Elevate response when severity, SLA breach, or resource issues occur.",
        section="Incident Operations, 3",
        roles=frozenset(
            {
                Role.INCIDENT_MANAGER,
                Role.TECHNICAL_SUPPORT,
                Role.ACCOUNT_MANAGER,
                Role.EXECUTIVE,
            }
        ),
        actor="escalated_by_user",
        actor_unknown=Reason.USER_NOT_FOUND,
        actor_inactive=Reason.USER_INACTIVE,
        refused=Reason.ESCALATION_FAILED,
        halts=(
            Reason.USER_NOT_FOUND,
            Reason.USER_INACTIVE,
            Reason.NOT_AUTHORIZED,
            Reason.INCIDENT_NOT_FOUND,
            Reason.CLIENT_ASSOCIATION,
            Reason.VENDOR_ASSOCIATION,
            Reason.INVALID_STATUS,
            Reason.TARGET_USER_INVALID,
            Reason.INVALID_INPUT,
        ),
    ),
    "record_communication": Procedure(
        name="record_communication",
        title="Recording Communications",
        purpose="Document stakeholder communications during incident response.",
        section="Communication Management",
        roles=frozenset({Role.INCIDENT_MANAGER, Role.TECHNICAL_SUPPORT}),
        actor="sender_id",
        actor_unknown=Reason.SENDER_INVALID,
        actor_inactive=Reason.SENDER_INVALID,
        refused=Reason.CREATION_FAILED,
        halts=(
            Reason.SENDER_INVALID,
            Reason.NOT_AUTHORIZED,
            Reason.INCIDENT_NOT_FOUND,
            Reason.CLIENT_ASSOCIATION,
            Reason.VENDOR_ASSOCIATION,
            Reason.INVALID_STATUS,
            Reason.RECIPIENT_INVALID,
        ),
    ),
}


def test_the_procedures_are_as_the_policy_lists_them() -> None:
    """Each SOP has the policy's title, roles, actor and halts, and there are these four."""
    assert PROCEDURES == AS_THE_POLICY_LISTS_THEM


def test_each_constant_is_the_procedure_of_its_name() -> None:
    """Code that names a procedure means the one that is looked up by name."""
    assert PROCEDURES["report_incident"] is REPORT_INCIDENT
    assert PROCEDURES["update_incident"] is UPDATE_INCIDENT
    assert PROCEDURES["submit_escalation"] is SUBMIT_ESCALATION
    assert PROCEDURES["record_communication"] is RECORD_COMMUNICATION


@pytest.mark.parametrize("procedure", PROCEDURES.values(), ids=PROCEDURES)
def test_halts_are_listed_in_the_order_of_precedence(procedure: Procedure) -> None:
    """A reader of `halts` sees the order in which faults count.

    invalid_input comes last: after the message phase it can only be a procedure's own rule.
    """
    order = [*chain.from_iterable(PRECEDENCE[1:]), Reason.INVALID_INPUT]
    assert list(procedure.halts) == sorted(procedure.halts, key=order.index)


@pytest.mark.parametrize("procedure", PROCEDURES.values(), ids=PROCEDURES)
def test_every_procedure_can_halt_for_want_of_authority(procedure: Procedure) -> None:
    """Nothing happens without authority: existence, status, role and both associations count."""
    assert {
        procedure.actor_unknown,
        procedure.actor_inactive,
        Reason.NOT_AUTHORIZED,
        Reason.CLIENT_ASSOCIATION,
        Reason.VENDOR_ASSOCIATION,
    } <= set(procedure.halts)


@pytest.mark.parametrize("procedure", PROCEDURES.values(), ids=lambda each: each.name)
def test_what_a_procedure_is_for_stands_in_the_policy(procedure: Procedure) -> None:
    """Word for word, below its title; it is what a done request rests on."""
    text = _POLICY.read_text()
    assert f"{procedure.title}**" in text
    assert procedure.purpose in text
    assert procedure.grounds.endswith(f'{procedure.title}: "{procedure.purpose}"')
