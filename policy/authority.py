"""Who may act, on whose incidents, and whom they may name in them.

Policy, Authority and Access Controls: "All operations enforce user authority based on" role, client
association, vendor association and active status. Each check returns a halt or None, and takes a
user that may not exist, so that a decision reads `authorize(…) or associate(…) or …`.
"""

from policy.halts import Halt, InputError, Reason
from policy.people import Scope, User
from policy.procedures import REPORT_INCIDENT, Procedure
from policy.vocabulary import Role, UserStatus

_OF_ANOTHER_CLIENT = "is a client_contact who is not linked to the incident's client"
_OF_ANOTHER_VENDOR = "belongs to a vendor that does not support the component's product"


def authorize(
    procedure: Procedure, user: User | None, *, clients_may_report: bool = False
) -> Halt | None:
    """Check that the actor exists, is active and has a role that may run the procedure.

    `clients_may_report` is the setting that lets client contacts run report_incident, and nothing
    else (design, section 6, "Roles"); for whom they may is a matter of `associate`.
    """
    if user is None:
        return _halt(procedure.actor_unknown, procedure.actor, "does not exist")
    if user.status != UserStatus.ACTIVE:
        return _halt(procedure.actor_inactive, procedure.actor, f"is {user.status}, not active")
    if user.role in procedure.roles:
        return None
    if clients_may_report and procedure is REPORT_INCIDENT and user.role == Role.CLIENT_CONTACT:
        return None
    return _halt(
        Reason.NOT_AUTHORIZED,
        procedure.actor,
        f"has the role {user.role}, which may not run {procedure.name}",
    )


def associate(user: User | None, scope: Scope) -> Halt | None:
    """Check that an incident of this scope is the actor's business.

    A user with a client or a vendor acts only for that one; a client contact without a client and a
    vendor contact without a vendor act for none; staff without a link act for all (design,
    section 6, "Association").
    """
    if user is None:
        return Halt(Reason.USER_NOT_FOUND, "The user does not exist.")
    client_bound = user.client_id is not None or user.role == Role.CLIENT_CONTACT
    if client_bound and user.client_id != scope.client_id:
        return Halt(
            Reason.CLIENT_ASSOCIATION, "The user is not linked to the client that this concerns."
        )
    if _is_of_another_vendor(user, scope):
        return Halt(
            Reason.VENDOR_ASSOCIATION,
            "The user is not linked to the vendor that supports the component's product.",
        )
    return None


def check_assignee(
    user: User | None, scope: Scope, *, field: str = "assigned_to_user_id"
) -> Halt | None:
    """Check that the user named as assignee exists, is active and may see the incident.

    `field` is where the request names them, below `$.data`.
    """
    if user is None:
        return _halt(Reason.ASSIGNEE_INVALID, field, "does not exist")
    if user.status != UserStatus.ACTIVE:
        return _halt(Reason.ASSIGNEE_INVALID, field, f"is {user.status}, not active")
    if fault := foreign_to(user, scope):
        return _halt(Reason.ASSIGNEE_INVALID, field, fault)
    return None


def check_recipient(user: User | None, scope: Scope) -> Halt | None:
    """Check that the user named as recipient exists and may see the incident, active or not."""
    if user is None:
        return _halt(Reason.RECIPIENT_INVALID, "recipient_id", "does not exist")
    if fault := foreign_to(user, scope):
        return _halt(Reason.RECIPIENT_INVALID, "recipient_id", fault)
    return None


def foreign_to(user: User, scope: Scope) -> str | None:
    """Why nobody may name this user in an incident of this scope; None if they may be named.

    So that nothing leaks to another client or vendor (design, section 6, "Association").
    """
    if user.role == Role.CLIENT_CONTACT and user.client_id != scope.client_id:
        return _OF_ANOTHER_CLIENT
    return _OF_ANOTHER_VENDOR if _is_of_another_vendor(user, scope) else None


def _is_of_another_vendor(user: User, scope: Scope) -> bool:
    """A vendor contact without a vendor belongs to none that supports anything."""
    bound = user.vendor_id is not None or user.role == Role.VENDOR_CONTACT
    return bound and (user.vendor_id is None or user.vendor_id != scope.vendor_id)


def _halt(reason: Reason, field: str, fault: str) -> Halt:
    message = f"The user named as {field} {fault}."
    return Halt(reason, message, (InputError(f"$.data.{field}", message),))
