"""Which halt a request with two faults gets: every pair of faults that can meet, pair by pair.

For each shape of request the faults stand in the order of DESIGN 6, "Which halt": the message, the
actor, what it refers to, the actor's association with it, the procedure's own rules. Each fault
says what it changes about a sound request; two faults that change the same thing cannot meet.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import combinations, product
from typing import Any

import pytest
from sqlalchemy import insert

from models import tables
from models.deliveries import Delivery
from policy.procedures import PROCEDURES
from tests.support.asking import at, done, open_incident
from tests.support.forgetting import forget
from tests.support.installation import Installation
from tests.support.requests import (
    SECRET,
    communication,
    delivery,
    escalation,
    event,
    report,
    update,
)

LONG_AGO = datetime(2001, 1, 1, tzinfo=UTC)
TAKEN = "taken"
"""The id of a request that came before, with another body."""

_ACTIVE, _ACME, _NETCO = "active", "acme", "netco"
_ANY_ACTOR = ("actor.role", "actor.status", "actor.client", "actor.vendor")


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing wrong with a request.

    Attributes:
        changes: what it changes about the sound request, by a dotted name: `actor.…` is a property
            of the actor, `event.…` of the message, everything else an input, None leaves it out.
    """

    reason: str
    changes: dict[str, Any]

    def touches(self) -> set[str]:
        """What no other fault may change if both are to be there."""
        return set(self.changes) | (set(_ANY_ACTOR) if "actor.name" in self.changes else set())

    def meets(self, other: "Fault") -> bool:
        """Whether one request can have both faults."""
        return not self.touches() & other.touches()


@dataclass(frozen=True, slots=True)
class Shape:
    """One shape of request.

    Attributes:
        sound: its inputs, without a fault; the actor is put in.
        actor: the input that names the actor.
        role: one that may run the procedure, and one that may not.
        missing: what to change so that an input is missing.
        invalid: what to change so that an input is invalid.
        refers_to: the faults of what the request refers to.
        own: the faults against the procedure's own rules.
        unknown: how an actor who does not exist is halted.
        inactive: how an actor who is not active is halted.
        faults: all of them, in the order in which they count.
    """

    procedure: str
    sound: dict[str, Any]
    actor: str
    role: tuple[str, str]
    missing: dict[str, Any]
    invalid: dict[str, Any]
    refers_to: tuple[Fault, ...]
    own: tuple[Fault, ...]
    unknown: str = "user_not_found"
    inactive: str = "user_inactive"
    faults: tuple[Fault, ...] = field(init=False)

    def __post_init__(self) -> None:
        """List all faults, in the order in which they count."""
        object.__setattr__(
            self,
            "faults",
            (
                Fault("malformed", {"event.version": "0.3"}),
                Fault("unauthenticated", {"event.secret": b"another" * 8}),
                Fault("unknown_procedure", {"event.procedure": "reboot"}),
                Fault("missing_input", self.missing),
                Fault("invalid_input", self.invalid),
                Fault("source_not_allowed", {"event.source": "narrow"}),
                Fault("expired", {"event.time": LONG_AGO}),
                Fault("idempotency_conflict", {"event.id": TAKEN}),
                Fault(self.unknown, {"actor.name": "nobody"}),
                Fault(self.inactive, {"actor.status": "on_leave"}),
                Fault("not_authorized", {"actor.role": self.role[1]}),
                *self.refers_to,
                Fault("client_association", {"actor.client": "globex"}),
                Fault("vendor_association", {"actor.vendor": "dataco"}),
                *self.own,
            ),
        )

    def pairs(self) -> Iterator[tuple[Fault, Fault]]:
        """Every two faults that can meet, the one that counts first."""
        return (pair for pair in combinations(self.faults, 2) if pair[0].meets(pair[1]))

    def message(self, *faults: Fault) -> Delivery:
        """A request with exactly these faults."""
        changes = {name: value for fault in faults for name, value in fault.changes.items()}
        actor = {"role": self.role[0], "status": _ACTIVE, "client": _ACME, "vendor": _NETCO}
        of_event: dict[str, Any] = {"source": "monitor", "procedure": self.procedure}
        inputs = dict(self.sound)
        for name, value in changes.items():
            kind, _, rest = name.partition(".")
            match kind:
                case "actor":
                    actor[rest] = value
                case "event":
                    of_event[rest] = value
                case "change_set":
                    inputs[kind] = {**inputs[kind], rest: value}
                case _:
                    inputs[name] = value
        inputs[self.actor] = actor.get("name") or _name_of(**actor)
        return _message(inputs, **of_event)


def _message(
    inputs: dict[str, Any],
    *,
    procedure: str,
    source: str,
    version: str = "1.0",
    secret: bytes = SECRET,
    **envelope: Any,
) -> Delivery:
    data = {name: value for name, value in inputs.items() if value is not None}
    text = event(procedure, data, source=source, **envelope).replace(
        b'"specversion":"1.0"', f'"specversion":"{version}"'.encode()
    )
    return delivery(text, key_id=f"{source}-1", secret=secret)


def _name_of(role: str, status: str, client: str, vendor: str) -> str:
    return f"{role}.{status}.{client}.{vendor}"


def _insert_actors(installation: Installation, roles: tuple[str, str]) -> None:
    """A user of every combination of properties that a request of the test may ask for."""
    with installation.superuser.begin() as connection:
        connection.execute(
            insert(tables.users),
            [
                {
                    "user_id": _name_of(role, status, client, vendor),
                    "first_name": "First",
                    "last_name": "Last",
                    "email": f"{number}@example.org",
                    "role": role,
                    "status": status,
                    "client_id": client,
                    "vendor_id": vendor,
                }
                for number, (role, status, client, vendor) in enumerate(
                    product(roles, (_ACTIVE, "on_leave"), (_ACME, "globex"), (_NETCO, "dataco"))
                )
            ],
        )


def _prepare(installation: Installation) -> None:
    """What the faulty requests refer to, and the identity that is taken."""
    forget(installation, identities_after=timedelta(days=30))
    open_incident(installation, status="in_progress", time=at(0), id=TAKEN)
    open_incident(installation, status="closed", resolution_timestamp=at(0).isoformat(), time=at(0))
    for source in ("monitor", "narrow"):
        open_incident(
            installation,
            client_id="globex",
            dedup_key="of-globex",
            source=source,
            id=TAKEN if source == "narrow" else None,
        )
    done(installation, "submit_escalation", escalation(), time=at(0))
    done(installation, "submit_escalation", escalation(status="cancelled"), time=at(0))
    done(installation, "record_communication", communication(), time=at(0))
    done(installation, "record_communication", communication(delivery_status="delivered"))


_NO_INCIDENT = Fault("incident_not_found", {"incident_id": "999"})

SHAPES = {
    "a report": Shape(
        procedure="report_incident",
        sound=report(detection_timestamp="2000-01-01T00:00:00Z"),
        actor="reporter_user_id",
        role=("technical_support", "account_manager"),
        missing={"title": None},
        invalid={"impact_level": "huge"},
        refers_to=(
            Fault("client_not_found", {"client_id": "initech"}),
            Fault("component_not_found", {"component_id": "mainframe"}),
        ),
        own=(
            Fault("severity_not_determined", {"severity_flags": None}),
            Fault("assignee_invalid", {"assigned_to_user_id": "nobody"}),
            Fault("invalid_input", {"dedup_key": "of-globex"}),
        ),
    ),
    "an update": Shape(
        procedure="update_incident",
        sound=update(change_set={"title": "x"}),
        actor="updated_by_user",
        role=("technical_support", "account_manager"),
        missing={"incident_request": {}},
        invalid={"note": ""},
        refers_to=(
            _NO_INCIDENT,
            Fault("component_not_found", {"change_set.component_id": "mainframe"}),
        ),
        own=(
            Fault("incident_closed", {"incident_id": "2"}),
            Fault("version_conflict", {"expected_version": 99}),
            Fault("invalid_status", {"change_set.status": "open"}),
            Fault("assignee_invalid", {"change_set.assigned_to_user_id": "nobody"}),
            Fault("invalid_input", {"change_set.resolution_timestamp": "2025-09-25"}),
        ),
    ),
    "an escalation": Shape(
        procedure="submit_escalation",
        sound=escalation(status="resolved"),
        actor="escalated_by_user",
        role=("technical_support", "system_administrator"),
        missing={"escalation_level": None},
        invalid={"reason": ""},
        refers_to=(_NO_INCIDENT,),
        own=(
            Fault("target_user_invalid", {"escalated_to_user": "holiday"}),
            Fault("invalid_input", {"resolved_at": "2000-01-01"}),
        ),
    ),
    "a change of an escalation": Shape(
        procedure="submit_escalation",
        sound={"escalation_id": "1", "status": "resolved"},
        actor="escalated_by_user",
        role=("technical_support", "system_administrator"),
        missing={"status": None},
        invalid={"reason": ""},
        refers_to=(Fault("incident_not_found", {"escalation_id": "999"}),),
        own=(
            Fault("invalid_status", {"escalation_id": "2"}),
            Fault("invalid_input", {"resolved_at": "2000-01-01"}),
        ),
    ),
    "a communication": Shape(
        procedure="record_communication",
        sound=communication(),
        actor="sender_id",
        role=("technical_support", "executive"),
        missing={"communication_type": None},
        invalid={"delivery_method": "pigeon"},
        refers_to=(_NO_INCIDENT,),
        own=(Fault("recipient_invalid", {"recipient_id": "globex-contact"}),),
        unknown="sender_invalid",
        inactive="sender_invalid",
    ),
    "a change of a communication": Shape(
        procedure="record_communication",
        sound={"communication_id": "1", "delivery_status": "sent"},
        actor="sender_id",
        role=("technical_support", "executive"),
        missing={"delivery_status": None},
        invalid={"sent_at": "yesterday"},
        refers_to=(Fault("incident_not_found", {"communication_id": "999"}),),
        own=(Fault("invalid_status", {"communication_id": "2"}),),
        unknown="sender_invalid",
        inactive="sender_invalid",
    ),
}


def _reasons(installation: Installation, messages: list[Delivery]) -> list[str]:
    outcomes = [v.outcome.data for v in installation.process(*messages) if v.outcome]
    return [
        outcome["halt"]["reason"] if outcome["outcome"] == "halted" else "done"
        for outcome in outcomes
    ]


@pytest.mark.parametrize("name", SHAPES)
def test_of_two_faults_the_one_that_counts_first_halts(
    installation: Installation, name: str
) -> None:
    """Each fault alone has its own reason, and each pair that of the earlier; sound, it is done."""
    shape = SHAPES[name]
    _prepare(installation)
    _insert_actors(installation, shape.role)
    alone = _reasons(installation, [shape.message(fault) for fault in shape.faults])
    assert alone == [fault.reason for fault in shape.faults]
    pairs = list(shape.pairs())
    found = _reasons(installation, [shape.message(*pair) for pair in pairs])
    assert {(a.reason, b.reason, reason) for (a, b), reason in zip(pairs, found, strict=True)} == {
        (a.reason, b.reason, a.reason) for a, b in pairs
    }
    assert _reasons(installation, [shape.message()]) == ["done"]


@pytest.mark.parametrize("name", SHAPES)
def test_the_procedures_own_halts_are_all_among_the_faults(name: str) -> None:
    """A halt that is declared for a procedure and not in its table would be tried with nothing."""
    procedure = SHAPES[name].procedure
    tried = {
        fault.reason
        for shape in SHAPES.values()
        if shape.procedure == procedure
        for fault in shape.faults
    }
    assert {str(reason) for reason in PROCEDURES[procedure].halts} <= tried
