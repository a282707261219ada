"""The three lives: which status may follow which, and when an incident was resolved."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import pairwise, product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policy.halts import Halt, InputError, Reason
from policy.lifecycle import (
    DELIVERY_MOVES,
    DETECTION_TOLERANCE,
    ESCALATION_MOVES,
    INCIDENT_MOVES,
    check_delivery_move,
    check_escalation_move,
    check_move,
    is_open,
    is_resolved,
    resolution,
)
from policy.vocabulary import DeliveryStatus, EscalationStatus, IncidentStatus

INCIDENT = ("open", "investigating", "in_progress", "resolved", "closed")
ESCALATION = ("active", "resolved", "cancelled")
DELIVERY = ("pending", "sent", "delivered", "failed")

# A row is the old status, a column the new one: "same" is no change, "final" is incident_closed.
INCIDENT_TABLE = {
    "open": "same yes yes yes yes",
    "investigating": "no same yes yes yes",
    "in_progress": "no yes same yes yes",
    "resolved": "no yes yes same yes",
    "closed": "final final final final final",
}
ESCALATION_TABLE = {
    "active": "same yes yes",
    "resolved": "no same no",
    "cancelled": "no no same",
}
DELIVERY_TABLE = {
    "pending": "same yes yes yes",
    "sent": "no same yes yes",
    "delivered": "no no same no",
    "failed": "yes yes yes same",
}


def cases(table: dict[str, str], columns: tuple[str, ...]) -> list[tuple[str, str, str]]:
    """Read a table as (old, new, answer)."""
    return [
        (old, new, answer)
        for old, answers in table.items()
        for new, answer in zip(columns, answers.split(), strict=True)
    ]


def permitted(table: dict[str, str], columns: tuple[str, ...]) -> dict[str, set[str]]:
    """Read a table as the moves it permits."""
    return {
        old: {new for row, new, answer in cases(table, columns) if row == old and answer == "yes"}
        for old in table
    }


@pytest.mark.parametrize(("old", "new", "answer"), cases(INCIDENT_TABLE, INCIDENT))
def test_an_incident_moves_as_the_table_says(old: str, new: str, answer: str) -> None:
    """Any forward move, reopening, and back from in_progress to investigating; closed is final."""
    halt = check_move(IncidentStatus(old), IncidentStatus(new))
    reason = {
        "same": None,
        "yes": None,
        "no": Reason.INVALID_STATUS,
        "final": Reason.INCIDENT_CLOSED,
    }
    assert (halt.reason if halt else None) == reason[answer]


@pytest.mark.parametrize(("old", "new", "answer"), cases(ESCALATION_TABLE, ESCALATION))
def test_an_escalation_moves_as_the_table_says(old: str, new: str, answer: str) -> None:
    """An active escalation is resolved or cancelled, and then stays what it is."""
    halt = check_escalation_move(EscalationStatus(old), EscalationStatus(new))
    assert (halt.reason if halt else None) == (Reason.INVALID_STATUS if answer == "no" else None)


@pytest.mark.parametrize(("old", "new", "answer"), cases(DELIVERY_TABLE, DELIVERY))
def test_a_communication_moves_as_the_table_says(old: str, new: str, answer: str) -> None:
    """A delivered communication stays so, and a failed one may be tried again."""
    halt = check_delivery_move(DeliveryStatus(old), DeliveryStatus(new))
    assert (halt.reason if halt else None) == (Reason.INVALID_STATUS if answer == "no" else None)


def test_the_moves_as_data_are_the_tables() -> None:
    """Who draws the state machines from the data draws what is enforced."""
    assert permitted(INCIDENT_TABLE, INCIDENT) == INCIDENT_MOVES
    assert permitted(ESCALATION_TABLE, ESCALATION) == ESCALATION_MOVES
    assert permitted(DELIVERY_TABLE, DELIVERY) == DELIVERY_MOVES


@given(route=st.lists(st.sampled_from(IncidentStatus), min_size=2))
def test_no_route_leads_back_to_open_or_out_of_closed(route: list[IncidentStatus]) -> None:
    """However an incident is updated, it is never open again, and closed ends it."""
    for old, new in pairwise(route):
        if check_move(old, new) is None and old != new:
            assert new != "open"
            assert old != "closed"


@pytest.mark.parametrize(
    ("check", "message", "path"),
    [
        (
            lambda: check_move(IncidentStatus.RESOLVED, IncidentStatus.OPEN),
            (
                "An incident that is resolved cannot become open; "
                "it can become investigating or in_progress or closed."
            ),
            "$.data.change_set.status",
        ),
        (
            lambda: check_escalation_move(EscalationStatus.CANCELLED, EscalationStatus.ACTIVE),
            "An escalation that is cancelled cannot become active; cancelled is final.",
            "$.data.status",
        ),
        (
            lambda: check_delivery_move(DeliveryStatus.SENT, DeliveryStatus.PENDING),
            "A communication that is sent cannot become pending; "
            "it can become delivered or failed.",
            "$.data.delivery_status",
        ),
    ],
)
def test_a_forbidden_move_says_what_is_allowed(
    check: Callable[[], Halt | None], message: str, path: str
) -> None:
    """The message names both statuses and what would be allowed, and the path blames the input."""
    assert check() == Halt(Reason.INVALID_STATUS, message, (InputError(path, message),))


def test_a_closed_incident_says_that_it_is_final() -> None:
    """No input is blamed: nothing that the request could say would update a closed incident."""
    assert check_move(IncidentStatus.CLOSED, IncidentStatus.CLOSED) == Halt(
        Reason.INCIDENT_CLOSED, "The incident is closed, and closed is final."
    )


@pytest.mark.parametrize(
    ("status", "unresolved"),
    [
        ("open", True),
        ("investigating", True),
        ("in_progress", True),
        ("resolved", False),
        ("closed", False),
    ],
)
def test_an_incident_is_either_open_or_resolved(status: str, unresolved: bool) -> None:
    """Open means open, investigating or in_progress; resolved means resolved or closed."""
    assert is_open(IncidentStatus(status)) is unresolved
    assert is_resolved(IncidentStatus(status)) is not unresolved


def test_a_detection_may_lie_five_minutes_in_the_future() -> None:
    """A detection more than five minutes in the future is invalid."""
    assert timedelta(seconds=300) == DETECTION_TOLERANCE


DETECTED = datetime(2025, 9, 25, 9, 0, tzinfo=UTC)
HELD = datetime(2025, 9, 25, 10, 0, tzinfo=UTC)
STATED = datetime(2025, 9, 25, 11, 0, tzinfo=UTC)
NOW = datetime(2025, 9, 25, 12, 0, tzinfo=UTC)
TOO_EARLY = DETECTED - timedelta(microseconds=1)

UNRESOLVED = ["open", "investigating", "in_progress"]
RESOLVED = ["resolved", "closed"]


def resolve(
    old: str,
    new: str,
    *,
    held: datetime | None = None,
    names: bool = False,
    stated: datetime | None = None,
    detected: datetime = DETECTED,
) -> datetime | Halt | None:
    """Find the resolution_timestamp after an update at NOW that does not name it, by default."""
    return resolution(
        old=IncidentStatus(old),
        new=IncidentStatus(new),
        held=held,
        names=names,
        stated=stated,
        detected=detected,
        now=NOW,
    )


def refused(message: str) -> Halt:
    """Make the halt that blames the timestamp."""
    path = "$.data.change_set.resolution_timestamp"
    return Halt(Reason.INVALID_INPUT, message, (InputError(path, message),))


@pytest.mark.parametrize(("old", "new"), list(product(UNRESOLVED, RESOLVED)))
def test_resolving_sets_the_timestamp(old: str, new: str) -> None:
    """Where the change set does not say when, an incident is resolved now."""
    assert resolve(old, new) == NOW


def test_a_timestamp_that_is_set_never_lies_before_detection() -> None:
    """An incident whose detection lies a little in the future is resolved no sooner."""
    soon = NOW + DETECTION_TOLERANCE
    assert resolve("open", "resolved", detected=soon) == soon


@pytest.mark.parametrize(("old", "new"), list(product(INCIDENT, RESOLVED)))
def test_a_stated_timestamp_stands(old: str, new: str) -> None:
    """The change set's own timestamp wins over now and over the one held, down to detection."""
    assert resolve(old, new, held=HELD, names=True, stated=STATED) == STATED
    assert resolve(old, new, names=True, stated=DETECTED) == DETECTED


@pytest.mark.parametrize(("old", "new"), list(product(INCIDENT, RESOLVED)))
def test_a_held_timestamp_stays(old: str, new: str) -> None:
    """Closing what was resolved, or changing another field, does not move the resolution."""
    assert resolve(old, new, held=HELD) == HELD


@pytest.mark.parametrize(("old", "new"), list(product(INCIDENT, RESOLVED)))
def test_what_is_resolved_needs_a_timestamp(old: str, new: str) -> None:
    """A named null is invalid for a resolved incident, whatever it held."""
    assert resolve(old, new, held=HELD, names=True) == refused(
        f"An incident that is {new} needs a resolution_timestamp."
    )


@pytest.mark.parametrize(("old", "new"), list(product(INCIDENT, RESOLVED)))
def test_nothing_is_resolved_before_it_was_detected(old: str, new: str) -> None:
    """A stated timestamp may not lie before detection, not by a microsecond."""
    assert resolve(old, new, names=True, stated=TOO_EARLY) == refused(
        "The resolution_timestamp lies before the detection."
    )


@pytest.mark.parametrize("held", [None, HELD])
@pytest.mark.parametrize("names", [False, True])
@pytest.mark.parametrize(("old", "new"), list(product(INCIDENT, UNRESOLVED)))
def test_reopening_clears_the_timestamp(
    old: str, new: str, names: bool, held: datetime | None
) -> None:
    """An unresolved incident has no timestamp, and naming it as null says the same."""
    assert resolve(old, new, held=held, names=names) is None


@pytest.mark.parametrize("new", UNRESOLVED)
@pytest.mark.parametrize("old", INCIDENT)
def test_an_unresolved_incident_takes_no_timestamp(old: str, new: str) -> None:
    """Stating when an incident was resolved that is not resolved is invalid."""
    message = (
        "Reopening an incident clears its resolution_timestamp."
        if old in RESOLVED
        else f"An incident that is {new} has no resolution_timestamp."
    )
    assert resolve(old, new, names=True, stated=STATED) == refused(message)


instants = st.timedeltas(timedelta(days=-9), timedelta(days=9)).map(DETECTED.__add__)


@given(
    old=st.sampled_from(IncidentStatus),
    new=st.sampled_from(IncidentStatus),
    stated=st.none() | instants,
    detected=instants,
    now=instants,
    names=st.booleans(),
)
def test_a_resolution_belongs_to_what_is_resolved(
    old: IncidentStatus,
    new: IncidentStatus,
    stated: datetime | None,
    detected: datetime,
    now: datetime,
    names: bool,
) -> None:
    """After any update an incident has a timestamp exactly if resolved, not before detection."""
    result = resolution(
        old=old,
        new=new,
        held=None,
        names=names,
        stated=stated if names else None,
        detected=detected,
        now=now,
    )
    if isinstance(result, Halt):
        assert names
    elif result is None:
        assert new in UNRESOLVED
    else:
        assert new in RESOLVED
        assert result >= detected
