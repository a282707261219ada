"""Claim: which messages of a batch are new, and which are known already.

Nothing is written here. A request is claimed for good by its row in the ledger, at the end of the
transaction; until then another transaction may have it too, and the later one runs again.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum, auto
from typing import NamedTuple

from sqlalchemy import Connection

from models.duplicates import recorded_duplicates
from models.halts import outcomes_of_halted
from models.inputs import IncidentReference
from models.ledger import LedgerRow, read_ledger
from models.outcomes import Identity, Outcome
from models.retentions import forgotten_before
from models.tables import Forgotten
from models.waiting import WaitingRow, lock_waiting, read_waiting
from policy.halts import Halt, InputError, Reason
from tasks.facts import report_identity
from tasks.requests import Message, Refused, Request


class Standing(Enum):
    """How a message stands to what is known."""

    FRESH = auto()
    """Not known: it is decided now."""
    REPLAY = auto()
    """Halted before, and replayed by an operator: it is decided anew."""
    DUPLICATE = auto()
    """Another message with the same identity and body came before."""
    CONFLICT = auto()
    """Another message with the same identity, but another body, came before."""
    REDELIVERED = auto()
    """This very message has been decided; only its acknowledgement got lost."""
    ELSEWHERE = auto()
    """It waited, and another worker is deciding it, or has."""


class Claim(NamedTuple):
    """One message and how it stands.

    Attributes:
        known: the ledger's row of its identity.
        outcome: the outcome to publish again, if there is one already.
        first: for a duplicate within the batch, where in the batch the first one is.
    """

    message: Message
    standing: Standing
    known: LedgerRow | None = None
    outcome: Outcome | None = None
    first: int | None = None


@dataclass(frozen=True, slots=True)
class Known:
    """What the database knows about a batch's messages.

    Attributes:
        forgotten_before: what was signed earlier may have been in the ledger once; None: nothing
            was ever forgotten.
    """

    ledger: dict[Identity, LedgerRow]
    forgotten_before: datetime | None
    waiting: Mapping[Identity, WaitingRow]
    halted_entries: dict[str, Outcome]
    duplicate_entries: set[str]
    locked_entries: set[str]


def claim(
    connection: Connection, messages: Sequence[Message]
) -> tuple[list[Claim], dict[Identity, LedgerRow]]:
    """How each of *messages* stands, and what the ledger knows of them and of their reports."""
    known = _look_up(connection, messages)
    claims: list[Claim] = []
    first_of: dict[Identity, int] = {}
    for position, message in enumerate(messages):
        found = _unless_forgotten(_among_known(message, known), known)
        identity = message.identity
        if identity is not None and found.standing in (Standing.FRESH, Standing.REPLAY):
            earlier = first_of.setdefault(identity, position)
            if earlier != position:
                found = _within_batch(message, messages[earlier], earlier)
        claims.append(found)
    return claims, known.ledger


def _look_up(connection: Connection, messages: Sequence[Message]) -> Known:
    identities = {message.identity for message in messages if message.identity}
    reports = {
        report_identity(message.source, message.inputs)
        for message in messages
        if isinstance(message, Request)
        and isinstance(message.inputs, IncidentReference)
        and message.inputs.incident_request is not None
    }
    waited = {m.delivery.entry for m in messages if m.delivery.waiting}
    identities |= {m.claimed for m in messages if isinstance(m, Refused) and m.claimed}
    ledger = read_ledger(connection, identities | reports)
    settled = {identity for identity, row in ledger.items() if not row.replaying}
    waiting = read_waiting(connection, identities - settled)
    suspects = {
        message.delivery.entry
        for message in messages
        if message.identity is None or message.identity in ledger or message.identity in waiting
    }
    return Known(
        ledger=ledger,
        # After the ledger: what was forgotten before that was read is told by now.
        forgotten_before=forgotten_before(connection, Forgotten.IDENTITIES),
        waiting=waiting,
        # Of all: a key that came or went since makes a redelivered message another's, or nobody's.
        halted_entries=outcomes_of_halted(connection, {m.delivery.entry for m in messages}),
        duplicate_entries=recorded_duplicates(connection, suspects),
        locked_entries=lock_waiting(connection, waited),
    )


def _unless_forgotten(claim: Claim, known: Known) -> Claim:
    """Refuse what would be decided now, if it may have been decided and forgotten before.

    What is in the ledger still is run when it is replayed, however old it is: unless age is what it
    halted for. Then the ledger has it only since, and what became of it before cannot be told.
    """
    message, row = claim.message, claim.known
    if not isinstance(message, Request) or message.delivery.waiting:
        return claim
    decided = claim.standing in (Standing.FRESH, Standing.CONFLICT) or (
        claim.standing is Standing.REPLAY
        and row is not None
        and row.body["reason"] == Reason.EXPIRED
    )
    before, signed = known.forgotten_before, message.event_time
    if not decided or before is None or (signed is not None and signed >= before):
        return claim
    halt = Halt(
        Reason.EXPIRED,
        "The event may be older than identities are kept, so a repetition could not be told.",
        (InputError("$.time", "is too long ago" if signed else "is missing"),),
    )
    return claim._replace(message=message.refused(halt))


def _among_known(message: Message, known: Known) -> Claim:
    entry = message.delivery.entry
    if message.delivery.waiting:
        return _waited(message, known)
    if entry in known.halted_entries:
        return _halted_before(message, known.halted_entries[entry], known)
    if message.identity is None:
        return _unproven(message, known)
    row, waits = known.ledger.get(message.identity), known.waiting.get(message.identity)
    if row is not None and (waits is None or not row.replaying):
        return _decided_before(message, row, known)
    if waits is None:
        return Claim(message, Standing.FRESH)
    if waits.entry == entry:
        return Claim(message, Standing.REDELIVERED)
    if waits.body_hash != message.body_hash:
        return Claim(message, Standing.CONFLICT)
    known_duplicate = entry in known.duplicate_entries
    return Claim(message, Standing.REDELIVERED if known_duplicate else Standing.DUPLICATE)


def _unproven(message: Message, known: Known) -> Claim:
    """A message that cannot prove its source; it may have done so before its key was taken away.

    Nobody else's entry can have its name, so what was decided of that one was decided of this.
    """
    claimed = message.claimed if isinstance(message, Refused) else None
    if claimed is not None:
        row, waits = known.ledger.get(claimed), known.waiting.get(claimed)
        if row is not None and row.entry == message.delivery.entry:
            return Claim(message, Standing.REDELIVERED, outcome=row.outcome)
        if waits is not None and waits.entry == message.delivery.entry:
            return Claim(message, Standing.REDELIVERED)
    return Claim(message, Standing.FRESH)


def _waited(message: Message, known: Known) -> Claim:
    """A request that waited is decided by whoever holds its row.

    The ledger has it if it is being replayed, or if another delivery of it was decided at the
    very time when this one began to wait.
    """
    if message.delivery.entry not in known.locked_entries:
        return Claim(message, Standing.ELSEWHERE)
    if message.delivery.entry in known.halted_entries:
        return _halted_before(message, known.halted_entries[message.delivery.entry], known)
    row = known.ledger.get(message.identity) if message.identity else None
    return Claim(message, Standing.FRESH) if row is None else _decided_before(message, row, known)


def _halted_before(message: Message, outcome: Outcome, known: Known) -> Claim:
    """The entry halted; what the producer is told is what the ledger says by now."""
    row = known.ledger.get(message.identity) if message.identity else None
    if row is not None and row.entry == message.delivery.entry:
        outcome = row.outcome
    return Claim(message, Standing.REDELIVERED, outcome=outcome)


def _decided_before(message: Message, row: LedgerRow, known: Known) -> Claim:
    entry = message.delivery.entry
    if row.body_hash != message.body_hash:
        return Claim(message, Standing.CONFLICT)
    if row.entry == entry or entry in known.duplicate_entries:
        return Claim(message, Standing.REDELIVERED, outcome=row.outcome)
    if row.replaying:
        return Claim(message, Standing.REPLAY, known=row)
    return Claim(message, Standing.DUPLICATE, known=row, outcome=row.outcome)


def _within_batch(message: Message, first: Message, position: int) -> Claim:
    if message.body_hash == first.body_hash:
        return Claim(message, Standing.DUPLICATE, first=position)
    return Claim(message, Standing.CONFLICT)


def is_to_decide(claim: Claim) -> bool:
    """Whether the request is run now."""
    return claim.standing in (Standing.FRESH, Standing.REPLAY) and not isinstance(
        claim.message, Refused
    )
