"""The audit: keyed hash chains of records (DESIGN 7).

Each record carries the HMAC-SHA256 of itself and its predecessor's. There are 64 chains, so that
writers do not queue: a transaction extends one whose head is free. A head carries an HMAC of its
own, under a separate domain, so that a tail cut off shows. Putting back an old copy of everything
shows only against a checkpoint kept elsewhere.
"""

import hmac
import random
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, NamedTuple

from sqlalchemy import Connection

from models.canonical import canonical_json
from models.signatures import mac_of
from models.sql import copy_rows, execute, fetch
from models.tables import AUDIT_CHAINS
from policy.vocabulary import AuditAction

GENESIS = bytes(32)
"""What the first record of a chain follows."""

_RECORD_DOMAIN = b"andon audit record 1\0"
_HEAD_DOMAIN = b"andon audit head 1\0"


@dataclass(frozen=True, slots=True)
class AuditKey:
    """A key of the audit, and the name under which records refer to it."""

    key_id: str
    secret: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class AuditKeys:
    """The key that new records and all heads carry, and those that older records carry."""

    current: AuditKey
    retired: tuple[AuditKey, ...] = ()

    def get(self, key_id: str) -> AuditKey | None:
        """The key of this name; None if there is none."""
        return next((key for key in (self.current, *self.retired) if key.key_id == key_id), None)


class AuditError(Exception):
    """The audit cannot be continued: a head is missing, or is not what Andon wrote."""


_NOTHING: Mapping[str, Any] = {}


class AuditEntry(NamedTuple):
    """What one record says: ids, field names, flags, codes and hashes; never free text (DESIGN 6).

    Attributes:
        subject: what was acted on, as ``kind:id``.
        outcome: ``done``, ``halted``, ``duplicate``, ``waiting``, or what an operator's action
            came to.
    """

    at: datetime
    action: AuditAction
    outcome: str
    procedure: str | None = None
    source: str | None = None
    request_id: str | None = None
    entry: str | None = None
    actor: str | None = None
    subject: str | None = None
    reason: str | None = None
    context: Mapping[str, Any] = _NOTHING

    def said(self, chain: int, sequence: int) -> bytes:
        """The bytes that the record's MAC covers, besides its predecessor's MAC."""
        return canonical_json(
            [
                chain,
                sequence,
                _said_of(self.at),
                self.action,
                self.outcome,
                self.procedure,
                self.source,
                self.request_id,
                self.entry,
                self.actor,
                self.subject,
                self.reason,
                self.context,
            ]
        )


@lru_cache(maxsize=64)
def _said_of(at: datetime) -> str:
    """How a record says when it was written, which all records of a batch say alike."""
    return at.astimezone(UTC).isoformat(timespec="microseconds")


def record_mac(key: AuditKey, previous: bytes, said: bytes) -> bytes:
    """The MAC of a record that says *said* and follows the record with the MAC *previous*."""
    return mac_of(key.secret, previous + said, domain=_RECORD_DOMAIN).digest()


def head_mac(key: AuditKey, chain: int, sequence: int, mac: bytes) -> bytes:
    """The MAC of a chain's head: that the record numbered *sequence* is its last."""
    said = canonical_json([chain, sequence, mac.hex(), key.key_id])
    return mac_of(key.secret, said, domain=_HEAD_DOMAIN).digest()


# All 64 heads lie on a page or two; the offset spreads writers so that they rarely meet.
_FREE_HEAD = f"""
    SELECT chain, sequence, mac, key_id, head_mac FROM audit_chains
    ORDER BY mod(chain + %(offset)s, {AUDIT_CHAINS})
    LIMIT 1 FOR UPDATE SKIP LOCKED
"""
_ANY_HEAD = """
    SELECT chain, sequence, mac, key_id, head_mac FROM audit_chains
    WHERE chain = %(offset)s FOR UPDATE
"""
_ADVANCE = """
    UPDATE audit_chains
    SET sequence = %(sequence)s, mac = %(mac)s, key_id = %(key_id)s, head_mac = %(head)s
    WHERE chain = %(chain)s
"""
_COLUMNS = ("chain", "sequence", *AuditEntry._fields, "key_id", "mac")


def write_audit(connection: Connection, key: AuditKey, entries: Iterable[AuditEntry]) -> None:
    """Append *entries* to a chain whose head is free, or to a random one when none is.

    The head stays locked until the commit, so this comes last in a transaction.

    Raises:
        AuditError: the head is missing or was not signed with *key*; it is not continued.
    """
    chain, sequence, mac = _take_head(connection, key)
    rows = []
    for entry in entries:
        sequence += 1
        mac = record_mac(key, mac, entry.said(chain, sequence))
        *said, context = entry
        rows.append((chain, sequence, *said, canonical_json(context).decode(), key.key_id, mac))
    if rows:
        copy_rows(connection, "audit_records", _COLUMNS, rows)
        execute(
            connection,
            _ADVANCE,
            {
                "chain": chain,
                "sequence": sequence,
                "mac": mac,
                "key_id": key.key_id,
                "head": head_mac(key, chain, sequence, mac),
            },
        )


def _take_head(connection: Connection, key: AuditKey) -> tuple[int, int, bytes]:
    """Lock a head: its chain, and the number and MAC of the chain's last record."""
    offset = random.randrange(AUDIT_CHAINS)  # noqa: S311  # spreads load, keeps no secret
    heads = fetch(connection, _FREE_HEAD, {"offset": offset}) or fetch(
        connection, _ANY_HEAD, {"offset": offset}
    )
    if not heads:
        raise AuditError(f"Chain {offset} of the audit has no head: see `andon audit verify`.")
    ((chain, sequence, mac, key_id, signed),) = heads
    if key_id != key.key_id:
        raise AuditError(
            f"The head of the audit's chain {chain} carries the key {key_id!r}, and"
            f" ANDON_AUDIT_KEY is {key.key_id!r}: `andon migrate` after changing the key."
        )
    if not hmac.compare_digest(head_mac(key, chain, sequence, mac), signed):
        raise AuditError(
            f"The head of the audit's chain {chain} was changed, so the chain is not"
            " continued: see `andon audit verify`."
        )
    return chain, sequence, mac
