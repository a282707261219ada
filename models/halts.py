"""The halt store: every refused or failed request, with the request itself, until it is settled."""

import hashlib
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from models.deliveries import Delivery
from models.outcomes import Identity, Outcome, halt_body
from models.sql import as_json, copy_rows, execute, fetch, in_json
from models.tables import HaltState
from policy.halts import Halt, InputError, Reason

MAX_FOREIGN_BYTES = 64 * 1024
"""How much is kept of a message that is no request; one that is, is kept whole."""


_LONGEST_CLAIM = 255
"""How much is kept of a key id and of a signature, which may be anything until they are checked."""


@dataclass(frozen=True, slots=True)
class NewHalt:
    """A halt decided in this transaction.

    Attributes:
        identity: None for a message that could not prove who sent it.
        halted_at: when it was decided, which is also part of its outcome.
    """

    halt_id: int
    halt: Halt
    identity: Identity | None
    procedure: str | None
    delivery: Delivery
    halted_at: datetime

    def values(self) -> tuple[Any, ...]:
        """In the order of the columns of the halt store."""
        event = self.delivery.event
        return (
            self.halt_id,
            self.halted_at,
            self.halt.reason,
            self.halt.message,
            as_json(halt_body(self.halt_id, self.halt)["errors"]),
            self.identity.source if self.identity else None,
            self.identity.id if self.identity else None,
            self.procedure,
            self.delivery.door,
            self.delivery.entry,
            event if self.identity else event[:MAX_FOREIGN_BYTES],
            len(event),
            hashlib.sha256(event).digest(),
            _legible(self.delivery.key_id),
            _legible(self.delivery.signature),
        )


def _legible(claimed: str) -> str:
    """What a message claims of itself, as PostgreSQL can store it and a terminal can show it."""
    return "".join(
        character if character.isprintable() else "\N{REPLACEMENT CHARACTER}"
        for character in claimed[:_LONGEST_CLAIM]
    )


_COLUMNS = (
    "halt_id",
    "halted_at",
    "reason",
    "message",
    "errors",
    "source",
    "request_id",
    "procedure",
    "door",
    "entry",
    "event",
    "event_bytes",
    "event_sha256",
    "key_id",
    "signature",
)


def write_halts(connection: Connection, halts: Iterable[NewHalt]) -> None:
    """Keep *halts*, each with its request."""
    copy_rows(connection, "halts", _COLUMNS, (halt.values() for halt in halts))


_OF_ENTRIES = f"""
    SELECT entry, halt_id, halted_at, reason, message, errors, source, request_id, procedure
    FROM {in_json("entry")} JOIN halts USING (entry)
"""


def outcomes_of_halted(connection: Connection, entries: Collection[str]) -> dict[str, Outcome]:
    """The outcomes of those *entries* that halted before, in the ledger or not.

    Uses the unique index on ``halts.entry``.
    """
    if not entries:
        return {}
    outcomes = {}
    for (
        entry,
        halt_id,
        at,
        reason,
        message,
        errors,
        source,
        request_id,
        procedure,
    ) in fetch(connection, _OF_ENTRIES, {"entry": as_json(list(entries))}):
        halt = Halt(Reason(reason), message, tuple(InputError(**error) for error in errors))
        identity = Identity(source, request_id) if source is not None else None
        outcomes[entry] = Outcome(
            identity, entry, procedure, halted=True, body=halt_body(halt_id, halt), decided_at=at
        )
    return outcomes


class CalledOff(Exception):
    """A halt was discarded while its replay was being decided."""


_SETTLE = f"""
    UPDATE halts SET state = '{HaltState.REPLAYED}', settled_at = %(now)s
    WHERE halt_id = ANY(%(halts)s) AND state = '{HaltState.REPLAYING}'
"""


def settle_replayed(connection: Connection, halt_ids: Collection[int], *, now: datetime) -> None:
    """The halts whose requests have been decided anew are settled.

    Raises:
        CalledOff: one of them is not being replayed any more.
    """
    if halt_ids:
        settled = execute(connection, _SETTLE, {"halts": sorted(halt_ids), "now": now})
        if settled != len(halt_ids):
            raise CalledOff
