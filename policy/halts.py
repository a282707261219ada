"""What a halt is, and which one a request with several faults gets.

What each reason means and what to do about it stands in `policy.explanations`.
"""

from dataclasses import dataclass
from enum import StrEnum


class Reason(StrEnum):
    """Why a request was halted. Design, section 5, "Reason codes"."""

    MALFORMED = "malformed"
    UNAUTHENTICATED = "unauthenticated"
    UNKNOWN_PROCEDURE = "unknown_procedure"
    MISSING_INPUT = "missing_input"
    INVALID_INPUT = "invalid_input"
    IDEMPOTENCY_CONFLICT = "idempotency_conflict"
    USER_NOT_FOUND = "user_not_found"
    USER_INACTIVE = "user_inactive"
    NOT_AUTHORIZED = "not_authorized"
    CLIENT_ASSOCIATION = "client_association"
    VENDOR_ASSOCIATION = "vendor_association"
    CLIENT_NOT_FOUND = "client_not_found"
    COMPONENT_NOT_FOUND = "component_not_found"
    SEVERITY_NOT_DETERMINED = "severity_not_determined"
    INCIDENT_NOT_FOUND = "incident_not_found"
    INCIDENT_CLOSED = "incident_closed"
    INVALID_STATUS = "invalid_status"
    VERSION_CONFLICT = "version_conflict"
    ASSIGNEE_INVALID = "assignee_invalid"
    TARGET_USER_INVALID = "target_user_invalid"
    SENDER_INVALID = "sender_invalid"
    RECIPIENT_INVALID = "recipient_invalid"
    CREATION_FAILED = "creation_failed"
    UPDATE_FAILED = "update_failed"
    ESCALATION_FAILED = "escalation_failed"
    SOURCE_NOT_ALLOWED = "source_not_allowed"
    EXPIRED = "expired"
    WORKER_LOST = "worker_lost"
    INTERNAL_ERROR = "internal_error"


@dataclass(frozen=True, slots=True)
class InputError:
    """One input at fault: its JSON path (`$.data.title`) and what is wrong with it."""

    path: str
    message: str


@dataclass(frozen=True, slots=True)
class Halt:
    """The decision not to go on: a value that is returned, never raised.

    `message` is a sentence for a person. It names fields and words of the vocabulary, never a
    title, a name, an address or other free text (design, section 6, "PII"). `errors` lists the
    inputs at fault, all of them, where inputs are at fault.
    """

    reason: Reason
    message: str
    errors: tuple[InputError, ...] = ()


PRECEDENCE: tuple[tuple[Reason, ...], ...] = (
    (
        Reason.MALFORMED,
        Reason.UNAUTHENTICATED,
        Reason.UNKNOWN_PROCEDURE,
        Reason.MISSING_INPUT,
        Reason.INVALID_INPUT,
        Reason.SOURCE_NOT_ALLOWED,
        Reason.EXPIRED,
        Reason.IDEMPOTENCY_CONFLICT,
    ),
    (
        Reason.USER_NOT_FOUND,
        Reason.USER_INACTIVE,
        Reason.SENDER_INVALID,
        Reason.NOT_AUTHORIZED,
    ),
    (
        Reason.INCIDENT_NOT_FOUND,
        Reason.CLIENT_NOT_FOUND,
        Reason.COMPONENT_NOT_FOUND,
    ),
    (
        Reason.CLIENT_ASSOCIATION,
        Reason.VENDOR_ASSOCIATION,
    ),
    (
        Reason.SEVERITY_NOT_DETERMINED,
        Reason.INCIDENT_CLOSED,
        Reason.VERSION_CONFLICT,
        Reason.INVALID_STATUS,
        Reason.ASSIGNEE_INVALID,
        Reason.TARGET_USER_INVALID,
        Reason.RECIPIENT_INVALID,
    ),
)
"""The order in which a request's faults are looked for; it halts with the first one found.

The phases of the design, section 6, "Which halt": the message, the actor, what the request refers
to, the actor's association with it, the procedure's own rules. A procedure's own rule may also find
an input invalid, then in this last phase. Reasons that no decision gives (a refused write, a lost
worker, a bug) have no place in it.
"""
