"""How incidents, escalations and communications may move from one status to another.

Design, section 6, "Status". When an incident was resolved follows from its moves and is here too.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from enum import StrEnum
from typing import TypeVar

from policy.halts import Halt, InputError, Reason
from policy.vocabulary import DeliveryStatus, EscalationStatus, IncidentStatus

DETECTION_TOLERANCE = timedelta(minutes=5)
"""How far in the future a detection may lie, for clocks that disagree."""

INCIDENT_MOVES: Mapping[IncidentStatus, frozenset[IncidentStatus]] = {
    IncidentStatus.OPEN: frozenset(
        {
            IncidentStatus.INVESTIGATING,
            IncidentStatus.IN_PROGRESS,
            IncidentStatus.RESOLVED,
            IncidentStatus.CLOSED,
        }
    ),
    IncidentStatus.INVESTIGATING: frozenset(
        {IncidentStatus.IN_PROGRESS, IncidentStatus.RESOLVED, IncidentStatus.CLOSED}
    ),
    IncidentStatus.IN_PROGRESS: frozenset(
        {IncidentStatus.INVESTIGATING, IncidentStatus.RESOLVED, IncidentStatus.CLOSED}
    ),
    IncidentStatus.RESOLVED: frozenset(
        {IncidentStatus.INVESTIGATING, IncidentStatus.IN_PROGRESS, IncidentStatus.CLOSED}
    ),
    IncidentStatus.CLOSED: frozenset(),
}
"""Where an incident may go from each status: forward, back into work, never out of closed."""

ESCALATION_MOVES: Mapping[EscalationStatus, frozenset[EscalationStatus]] = {
    EscalationStatus.ACTIVE: frozenset({EscalationStatus.RESOLVED, EscalationStatus.CANCELLED}),
    EscalationStatus.RESOLVED: frozenset(),
    EscalationStatus.CANCELLED: frozenset(),
}
"""Where an escalation may go from each status."""

DELIVERY_MOVES: Mapping[DeliveryStatus, frozenset[DeliveryStatus]] = {
    DeliveryStatus.PENDING: frozenset(
        {DeliveryStatus.SENT, DeliveryStatus.DELIVERED, DeliveryStatus.FAILED}
    ),
    DeliveryStatus.SENT: frozenset({DeliveryStatus.DELIVERED, DeliveryStatus.FAILED}),
    DeliveryStatus.DELIVERED: frozenset(),
    DeliveryStatus.FAILED: frozenset(
        {DeliveryStatus.PENDING, DeliveryStatus.SENT, DeliveryStatus.DELIVERED}
    ),
}
"""Where a communication may go from each status; a failed one may be tried again."""

_OPEN = frozenset({IncidentStatus.OPEN, IncidentStatus.INVESTIGATING, IncidentStatus.IN_PROGRESS})

_Status = TypeVar("_Status", bound=StrEnum)


def is_open(status: IncidentStatus) -> bool:
    """Whether there is still work to do: open, investigating or in_progress."""
    return status in _OPEN


def is_resolved(status: IncidentStatus) -> bool:
    """Whether the work is done: resolved or closed."""
    return status not in _OPEN


def check_move(old: IncidentStatus, new: IncidentStatus) -> Halt | None:
    """Check an update of an incident that is `old` and shall be `new`, the same or another.

    Closed is final, so nothing may update a closed incident, not even to the same status.
    """
    if old == IncidentStatus.CLOSED:
        return Halt(Reason.INCIDENT_CLOSED, "The incident is closed, and closed is final.")
    return _check(INCIDENT_MOVES, old, new, subject="An incident", path="$.data.change_set.status")


def check_escalation_move(old: EscalationStatus, new: EscalationStatus) -> Halt | None:
    """Check a change of an escalation's status; the same status is no change."""
    return _check(ESCALATION_MOVES, old, new, subject="An escalation", path="$.data.status")


def check_delivery_move(old: DeliveryStatus, new: DeliveryStatus) -> Halt | None:
    """Check a change of a communication's delivery_status; the same status is no change."""
    return _check(
        DELIVERY_MOVES, old, new, subject="A communication", path="$.data.delivery_status"
    )


def resolution(
    *,
    old: IncidentStatus,
    new: IncidentStatus,
    held: datetime | None,
    names: bool,
    stated: datetime | None,
    detected: datetime,
    now: datetime,
) -> datetime | Halt | None:
    """Find the resolution_timestamp of an incident after an update that is a permitted move.

    `held` is the one stored so far, `names` says whether the change set names the field, and
    `stated` is what it says there. Resolving sets the timestamp where the change set does not,
    reopening clears it, and it never lies before detection.
    """
    if is_open(new):
        if stated is None:
            return None
        message = (
            "Reopening an incident clears its resolution_timestamp."
            if is_resolved(old)
            else f"An incident that is {new} has no resolution_timestamp."
        )
    elif not names:
        return held or max(now, detected)
    elif stated is None:
        message = f"An incident that is {new} needs a resolution_timestamp."
    elif stated < detected:
        message = "The resolution_timestamp lies before the detection."
    else:
        return stated
    path = "$.data.change_set.resolution_timestamp"
    return Halt(Reason.INVALID_INPUT, message, (InputError(path, message),))


def _check(
    moves: Mapping[_Status, frozenset[_Status]],
    old: _Status,
    new: _Status,
    *,
    subject: str,
    path: str,
) -> Halt | None:
    if new == old or new in moves[old]:
        return None
    allowed = " or ".join(status for status in type(old) if status in moves[old])
    message = f"{subject} that is {old} cannot become {new}; " + (
        f"it can become {allowed}." if allowed else f"{old} is final."
    )
    return Halt(Reason.INVALID_STATUS, message, (InputError(path, message),))
