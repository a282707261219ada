"""To whom an incident may be escalated.

Policy, SOP 3: "Confirm the target user exists with a valid escalation role." Which role is valid
for which level is design, section 6, "Escalation target". The life of an escalation is in
`policy.lifecycle`.
"""

from collections.abc import Mapping

from policy.authority import foreign_to
from policy.halts import Halt, InputError, Reason
from policy.people import Scope, User
from policy.vocabulary import EscalationLevel, Role, UserStatus

TARGET_ROLES: Mapping[EscalationLevel, frozenset[Role]] = {
    EscalationLevel.TECHNICAL: frozenset({Role.TECHNICAL_SUPPORT}),
    EscalationLevel.MANAGEMENT: frozenset({Role.INCIDENT_MANAGER, Role.ACCOUNT_MANAGER}),
    EscalationLevel.EXECUTIVE: frozenset({Role.EXECUTIVE}),
    EscalationLevel.VENDOR: frozenset({Role.VENDOR_CONTACT}),
}
"""The roles that may be the target of an escalation to each level."""


def check_target(user: User | None, level: EscalationLevel, scope: Scope) -> Halt | None:
    """Check that the target exists, is active, has a role of the level and may see the incident."""
    if user is None:
        fault = "does not exist"
    elif user.status != UserStatus.ACTIVE:
        fault = f"is {user.status}, not active"
    elif user.role not in TARGET_ROLES[level]:
        fault = f"has the role {user.role}, which is no target at level {level}"
    elif foreign := foreign_to(user, scope):
        fault = foreign
    else:
        return None
    message = f"The user named as escalated_to_user {fault}."
    return Halt(
        Reason.TARGET_USER_INVALID, message, (InputError("$.data.escalated_to_user", message),)
    )
