"""The audit: keyed hash chains of records (DESIGN 7).

Each record carries the HMAC-SHA256 of itself and its predecessor's. There are 64 chains, so that
writers do not queue: a transaction extends one whose head is free. A head carries an HMAC of its
own, under a separate domain, so that a tail cut off shows; and the first record of each transaction
says how far all chains had come (``models.audit_witness``), so that one chain put back shows in the
others. Putting back an old copy of everything shows only against a checkpoint kept elsewhere.
"""

import hmac
import random
import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, NamedTuple

import structlog
from sqlalchemy import Connection

from models.audit_witness import NOTHING, TAG_BYTES, pack_witness
from models.canonical import canonical_json
from models.signatures import mac_of
from models.sql import copy_rows, execute, fetch
from models.tables import AUDIT_CHAINS
from policy.vocabulary import AuditAction

logger = structlog.get_logger(__name__)

MAC_BYTES = 32
GENESIS = bytes(MAC_BYTES)
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
        if key_id == self.current.key_id:  # as nearly all do
            return self.current
        return next((key for key in self.retired if key.key_id == key_id), None)


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

    def said(self, chain: int, sequence: int, witness: bytes | None = None) -> bytes:
        """The bytes that the record's MAC covers, besides its predecessor's MAC.

        *witness* is that of a transaction's first record (``models.audit_witness``).
        """
        return record_said(
            chain, sequence, written_moment(self.at), self[1:10], self.context, witness
        )


@lru_cache(maxsize=64)
def written_moment(at: datetime) -> str:
    """How a record says when it was written, which all records of a batch say alike."""
    return at.astimezone(UTC).isoformat(timespec="microseconds")


def record_said(
    chain: int,
    sequence: int,
    at: str,
    fields: Sequence[str | None],
    context: object,
    witness: bytes | None,
) -> bytes:
    """The bytes that a record's MAC covers, besides its predecessor's MAC.

    Args:
        chain: where the record stands.
        sequence: its number there.
        at: as :func:`written_moment` writes it.
        fields: of an :class:`AuditEntry`, from its action to its reason.
        context: what else it says, in JSON types.
        witness: of a transaction's first record.
    """
    seen = None if witness is None else witness.hex()
    return canonical_json([chain, sequence, at, *fields, context, seen])


def record_mac(key: AuditKey, previous: bytes, said: bytes) -> bytes:
    """The MAC of a record that says *said* and follows the record with the MAC *previous*."""
    return mac_of(key.secret, previous + said, domain=_RECORD_DOMAIN).digest()


def head_mac(key: AuditKey, chain: int, sequence: int, mac: bytes) -> bytes:
    """The MAC of a chain's head: that the record numbered *sequence* is its last."""
    said = canonical_json([chain, sequence, mac.hex(), key.key_id])
    return mac_of(key.secret, said, domain=_HEAD_DOMAIN).digest()


class _Head(NamedTuple):
    """The head of a chain, locked by this transaction."""

    chain: int
    sequence: int
    mac: bytes
    key_id: str
    head_mac: bytes


# One item of the list of all heads that carry the key: chain, number, MAC, the head's own MAC.
_ITEM = struct.Struct(f">hq{MAC_BYTES}s{MAC_BYTES}s")
_ALL_HEADS = """
    (SELECT string_agg(int2send(chain) || int8send(sequence) || mac || head_mac, '')
     FROM audit_chains WHERE key_id = %(key_id)s)
"""
# All 64 heads lie on a page or two; the offset spreads writers so that they rarely meet.
_FREE_HEAD = f"""
    SELECT {_ALL_HEADS}, chain, sequence, mac, key_id, head_mac FROM audit_chains {{among}}
    ORDER BY mod(chain + %(chain)s, {AUDIT_CHAINS})
    LIMIT 1 FOR UPDATE SKIP LOCKED
"""
_ANY_FREE_HEAD = _FREE_HEAD.format(among="")
_OTHER_FREE_HEAD = _FREE_HEAD.format(among="WHERE chain <> ALL(%(faulty)s::smallint[])")
_THIS_HEAD = f"""
    SELECT {_ALL_HEADS}, chain, sequence, mac, key_id, head_mac FROM audit_chains
    WHERE chain = %(chain)s FOR UPDATE
"""
_ADVANCE = """
    UPDATE audit_chains
    SET sequence = %(sequence)s, mac = %(mac)s, key_id = %(key_id)s, head_mac = %(head)s
    WHERE chain = %(chain)s
"""
_COLUMNS = ("chain", "sequence", *AuditEntry._fields, "key_id", "mac", "witness")


def write_audit(connection: Connection, key: AuditKey, entries: Iterable[AuditEntry]) -> None:
    """Append *entries* to a chain whose head is free, or to a random one when none is.

    The head stays locked until the commit, so this comes last in a transaction. A head that is not
    genuine is passed over; the other chains go on.

    Raises:
        AuditError: no head is genuine under *key*: none is continued.
    """
    (chain, sequence, mac, _, _), seen = _take_head(connection, key)
    witness: bytes | None = _witness(seen)
    rows = []
    for entry in entries:
        sequence += 1
        mac = record_mac(key, mac, entry.said(chain, sequence, witness))
        *said, context = entry
        context_json = canonical_json(context).decode()
        rows.append((chain, sequence, *said, context_json, key.key_id, mac, witness))
        witness = None
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


_Seen = Mapping[int, tuple[int, bytes]]
"""Of each chain whose head is genuine: the number of its last record, and that record's MAC."""


def _take_head(connection: Connection, key: AuditKey) -> tuple[_Head, _Seen]:
    """Lock a head that is genuine; and how far all chains have come."""
    faulty: set[int] = set()
    while True:
        chain = random.choice([n for n in range(AUDIT_CHAINS) if n not in faulty])  # noqa: S311  # spreads load, keeps no secret
        values = {"chain": chain, "key_id": key.key_id, "faulty": sorted(faulty)}
        free = _OTHER_FREE_HEAD if faulty else _ANY_FREE_HEAD
        found = fetch(connection, free, values) or fetch(connection, _THIS_HEAD, values)
        wrong: str | None = f"Chain {chain} of the audit has no head"
        if found:
            ((listed, *locked),) = found
            head, seen = _Head(*locked), _genuine(key, listed)
            wrong = _wrong_with(head, key)
            if wrong is None:
                return head, seen
            chain = head.chain
            faulty |= set(range(AUDIT_CHAINS)) - seen.keys()
        assert wrong is not None
        faulty.add(chain)
        _tell(chain, wrong)
        if len(faulty) == AUDIT_CHAINS:
            raise AuditError(f"{wrong}: see `andon audit verify`, then `andon audit repair`.")


def _genuine(key: AuditKey, listed: bytes | None) -> _Seen:
    """Of the heads that are *listed*, those that were signed with *key*, as they are."""
    try:
        items = list(_ITEM.iter_unpack(listed or b""))
    except struct.error:
        return {}
    return {
        chain: (sequence, mac)
        for chain, sequence, mac, signed in items
        if _is_signed(key, chain, sequence, mac, signed)
    }


@lru_cache(maxsize=8 * AUDIT_CHAINS)
def _is_signed(key: AuditKey, chain: int, sequence: int, mac: bytes, signed: bytes) -> bool:
    """Whether a head is genuine. Most of them are as they were a moment ago."""
    return hmac.compare_digest(head_mac(key, chain, sequence, mac), signed)


def _witness(seen: _Seen) -> bytes:
    """How far all chains have come; of a chain whose head is not genuine, nothing."""
    found = [seen.get(chain, (0, NOTHING)) for chain in range(AUDIT_CHAINS)]
    return pack_witness([sequence for sequence, _ in found], [mac[:TAG_BYTES] for _, mac in found])


def _wrong_with(head: _Head, key: AuditKey) -> str | None:
    """Why a head is not continued; None if it is genuine."""
    if head.key_id != key.key_id:
        return (
            f"The head of the audit's chain {head.chain} carries the key {head.key_id!r}, and"
            f" ANDON_AUDIT_KEY is {key.key_id!r}: `andon migrate` after changing the key"
        )
    if not hmac.compare_digest(head_mac(key, head.chain, head.sequence, head.mac), head.head_mac):
        return (
            f"The head of the audit's chain {head.chain} was changed, so the chain is not continued"
        )
    return None


@lru_cache(maxsize=AUDIT_CHAINS)
def _tell(chain: int, wrong: str) -> None:
    """Log once in each process that a chain is passed over."""
    logger.error("audit_head_not_genuine", chain=chain, reason=wrong)
