"""The SOPs as data: who may run each, whose authority it runs on, and how it may halt.

The inputs of a procedure are in `models`, its steps in `tasks`. A fifth SOP begins here.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from policy.halts import Reason
from policy.vocabulary import Role


@dataclass(frozen=True, slots=True)
class Procedure:
    """One SOP of the policy.

    `title`, `purpose` (its first sentence) and `section` are the policy's own. `roles` are those of
    the SOP's own list, which is what counts (design, section 6, "Roles"). `actor` is the input that
    names the user on whose authority the procedure runs; `actor_unknown` and `actor_inactive` are
    how a bad one is halted. `refused` is how a write that the database refuses is halted. `halts`
    is every reason for which the decision itself may halt, once the message is a valid request, in
    the order of precedence.
    """

    name: str
    title: str
    purpose: str
    section: str
    roles: frozenset[Role]
    actor: str
    actor_unknown: Reason
    actor_inactive: Reason
    refused: Reason
    halts: tuple[Reason, ...]

    @property
    def grounds(self) -> str:
        """What a request rests on that is done: the policy's sentence, with its place."""
        return f'Policy, {self.section}, {self.title}: "{self.purpose}"'


REPORT_INCIDENT = Procedure(
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
)

UPDATE_INCIDENT = Procedure(
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
)

SUBMIT_ESCALATION = Procedure(
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
)

RECORD_COMMUNICATION = Procedure(
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
)

PROCEDURES: Mapping[str, Procedure] = {
    procedure.name: procedure
    for procedure in (REPORT_INCIDENT, UPDATE_INCIDENT, SUBMIT_ESCALATION, RECORD_COMMUNICATION)
}
"""Every procedure by its name."""
