"""Decode: from bytes to a request, or to the reason why there is none.

The order is that of DESIGN 6, "Which halt": malformed, unauthenticated, unknown procedure,
inputs, what the source may do. Whether it has expired is for the claim to say (``tasks.claim``).
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from pydantic import TypeAdapter, ValidationError

from models.canonical import body_hash
from models.deliveries import Delivery
from models.errors import (
    MOST_NAMES,
    Faults,
    input_faults,
    is_missing,
    looks_like_name,
    nul_faults,
)
from models.events import UNMAPPED, Envelope, Event, read_event
from models.inputs import DirectoryId, Inputs, read_inputs
from models.outcomes import Identity
from models.registry import Registry, Source
from models.signatures import verify
from policy.halts import Halt, InputError, Reason
from policy.procedures import PROCEDURES, Procedure
from tasks.requests import Message, Refused, Request

_DIRECTORY_ID: TypeAdapter[str] = TypeAdapter(DirectoryId)
_SKEW = timedelta(seconds=1)
"""How far a source's clock may be ahead, and still order what it signs."""
_EARLIEST = datetime(2020, 1, 1, tzinfo=UTC)
"""Nothing was received before there was any Andon."""


@dataclass(frozen=True, slots=True)
class Gate:
    """What decides whether a message may come in: the registry, and the time by PostgreSQL."""

    registry: Registry
    now: datetime


def decode(delivery: Delivery, gate: Gate) -> Message:
    """Read one delivery."""
    event = _authentic(delivery, gate)
    if isinstance(event, Refused):
        return event
    procedure = PROCEDURES.get(event.procedure or "")
    inputs = _inputs(event, procedure, delivery, gate.now)
    if isinstance(inputs, Halt):
        return _refuse(inputs, event, procedure, delivery, gate)
    assert procedure is not None
    source = gate.registry.sources[event.envelope.source]
    if halt := _not_allowed(source, procedure, inputs):
        return _refuse(halt, event, procedure, delivery, gate)
    signed = event.envelope.time
    received_at = _receipt(delivery, signed, gate.now)
    time = signed or received_at
    if time > received_at and time > received_at + _SKEW:  # the sum is rarely needed
        time = received_at
    return Request(
        identity=_identity(event),
        procedure=procedure,
        inputs=inputs,
        time=time,
        now=min(time, received_at),  # DESIGN 6, "Now"
        received_at=received_at,
        event_time=signed,
        body_hash=body_hash(event.envelope.type, event.data),
        delivery=delivery,
        flags_required=source.require_severity_flags,
    )


def _receipt(delivery: Delivery, signed: datetime | None, now: datetime) -> datetime:
    """When a request was received (DESIGN 6, "Receipt").

    The broker's clock tells, which may be wrong: but nothing was received later than *now*, nor
    before it was signed, unless its source's clock is ahead; and what a producer has made up is no
    time. What waited keeps its first receipt.
    """
    accepted = delivery.received_at
    if delivery.waiting or (signed is not None and signed <= accepted <= now):
        return accepted
    if accepted < _EARLIEST:
        accepted = now
    if signed is not None and accepted < signed <= now:
        return signed
    return min(accepted, now)


def refuse_unread(delivery: Delivery, halt: Halt, gate: Gate) -> Refused:
    """Refuse a delivery without looking at its inputs, which may be what does the harm.

    Its identity is still proven, so that whoever published it is told.
    """
    event = _authentic(delivery, gate)
    if isinstance(event, Refused):
        return event
    return _refuse(halt, event, PROCEDURES.get(event.procedure or ""), delivery, gate)


def refuse_barely(delivery: Delivery, halt: Halt, gate: Gate) -> Refused:
    """Refuse a delivery whose own halt cannot be stored: with *halt*, whatever else is wrong.

    It claims its identity if it can prove it.
    """
    try:
        return refuse_unread(delivery, halt, gate)._replace(halt=halt)
    except Exception:  # nothing is too broken to be halted
        return refuse_nameless(delivery, halt, gate)


def refuse_nameless(delivery: Delivery, halt: Halt, gate: Gate) -> Refused:  # noqa: ARG001  # see Refusing
    """Refuse a delivery for which not even its identity can be entered in the ledger.

    It is told by its entry, like a message that is no request, and as little of it is kept.
    """
    return Refused(halt, delivery)


Refusing = Callable[[Delivery, Halt, Gate], Refused]
"""How a delivery is refused that is not to be run."""


def _identity(event: Event) -> Identity:
    return Identity(event.envelope.source, event.envelope.id)


def _refuse(
    halt: Halt, event: Event, procedure: Procedure | None, delivery: Delivery, gate: Gate
) -> Refused:
    return Refused(
        halt,
        delivery,
        identity=_identity(event),
        body_hash=body_hash(event.envelope.type, event.data),
        procedure=procedure,
        received_at=_receipt(delivery, event.envelope.time, gate.now),
        event_time=event.envelope.time,
        actor=_named_actor(event, procedure),
    )


def _named_actor(event: Event, procedure: Procedure | None) -> str | None:
    """Whom a request that is refused names as its actor, valid as its other inputs may not be."""
    if procedure is None or not isinstance(event.data, dict):
        return None
    try:
        return _DIRECTORY_ID.validate_python(event.data.get(procedure.actor))
    except ValidationError:
        return None


def _authentic(delivery: Delivery, gate: Gate) -> Event | Refused:
    """The event, if it is one and its source signed it."""
    event = read_event(delivery.event)
    if isinstance(event, Halt):
        return Refused(event, delivery)
    owner = gate.registry.owner_of(delivery.key_id)
    if owner is None:
        return _unauthenticated("The key id is not in the producer registry.", event, delivery)
    name, secret = owner
    if not verify(delivery.event, delivery.signature, secret):
        return _unauthenticated("The signature does not fit the event.", event, delivery)
    if event.envelope.source != name:
        fault = "The key belongs to another source than the event's."
        return _unauthenticated(fault, event, delivery)
    return event


def _unauthenticated(message: str, event: Event, delivery: Delivery) -> Refused:
    return Refused(Halt(Reason.UNAUTHENTICATED, message), delivery, claimed=_identity(event))


def _inputs(
    event: Event, procedure: Procedure | None, delivery: Delivery, now: datetime
) -> Inputs | Halt:
    if procedure is None:
        names = ", ".join(f"andon.{name}" for name in PROCEDURES)
        return Halt(Reason.UNKNOWN_PROCEDURE, f"The type is none of {names}.")
    if event.envelope.andonunmapped is not None:
        return _unmapped(event.envelope)
    data: Any = {} if event.data is None else event.data
    if not isinstance(data, dict):
        fault = InputError("$.data", "must be a JSON object")
        return _faulty(Reason.INVALID_INPUT, Faults((fault,), 1))
    nul = nul_faults(delivery.event, data, "$.data")
    try:
        inputs = read_inputs(procedure.name, data, now=now)
    except ValidationError as error:
        missing = any(map(is_missing, error.errors(include_url=False, include_context=False)))
        reason = Reason.MISSING_INPUT if missing else Reason.INVALID_INPUT
        return _faulty(reason, nul + input_faults(error, "$.data"))
    return _faulty(Reason.INVALID_INPUT, nul) if nul else inputs


def _unmapped(envelope: Envelope) -> Halt:
    """An alert lacks inputs that the gateway's rules were to give it.

    Why is in the event, with what the alert says, and goes with it. Its labels are told by name.
    """
    return Halt(
        Reason.MISSING_INPUT,
        "The alert gateway's mapping could not make a request of the alert"
        f"{_labels(envelope.andonlabels or '')}; {UNMAPPED} in the event says why.",
        (InputError(f"$.{UNMAPPED}", "the mapping is what has to be corrected, not this event"),),
    )


def _labels(text: str) -> str:
    """The labels that an event names; what does not look like a name is counted."""
    parts = text.split()
    unnamed = parts.pop()[1:] if parts and re.fullmatch(r"\+[0-9]{1,6}", parts[-1]) else "0"
    told = [part for part in parts if looks_like_name(part)][:MOST_NAMES]
    left = len(parts) - len(told) + int(unnamed)
    if not told:
        return f" with {left:,} labels" if left else ""
    return f" with the labels {', '.join(told)}" + (f" and {left:,} more" if left else "")


def _faulty(reason: Reason, faults: Faults) -> Halt:
    number = f"{faults.count:,}" if faults.all_found else f"At least {faults.count:,}"
    inputs = "input is" if faults.count == 1 else "inputs are"
    kind = "missing" if reason is Reason.MISSING_INPUT else "invalid"
    also = " or invalid" if kind == "missing" and faults.count > 1 else ""
    return Halt(reason, f"{number} {inputs} {kind}{also}.", faults.errors)


def _not_allowed(source: Source, procedure: Procedure, inputs: Inputs) -> Halt | None:
    if not source.may_ask_for(procedure.name):
        return Halt(
            Reason.SOURCE_NOT_ALLOWED,
            f"The registry does not let the source ask for {procedure.name}.",
        )
    if not source.may_act_for(getattr(inputs, procedure.actor)):
        return Halt(
            Reason.SOURCE_NOT_ALLOWED,
            f"The registry does not let the source act for the {procedure.actor} named.",
            (InputError(f"$.data.{procedure.actor}", "is not a user this source may act for"),),
        )
    return None
