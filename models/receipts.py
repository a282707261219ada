"""What has become of one request: read from the ledger by who may read nothing else of it."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, text

from models.outcomes import Identity

RECEIPT_COLUMNS = ("source", "request_id", "procedure", "halted", "body", "decided_at")
"""What of ``requests`` the gateway's role may read; the migration grants it these columns alone."""

# By the primary key (source, request_id).
_DECIDED = text("""
    SELECT procedure, halted, body, decided_at
    FROM requests
    WHERE source = :source AND request_id = :id
""")


@dataclass(frozen=True, slots=True)
class Decided:
    """The end of a request: ``body`` is its result, or its halt."""

    procedure: str | None
    halted: bool
    body: Mapping[str, Any]
    decided_at: datetime


def read_decided(connection: Connection, identity: Identity) -> Decided | None:
    """How the request of *identity* ended; None if it has not been decided, or never came."""
    row = connection.execute(_DECIDED, {"source": identity.source, "id": identity.id}).first()
    return None if row is None else Decided(row.procedure, row.halted, row.body, row.decided_at)
