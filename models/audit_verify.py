"""Verifying the audit: every record of every chain, up to the head that is noted first.

The heads are noted together with the first record beyond each, in one statement: a head and its
records move in one transaction, so there is none unless somebody forged it or put an old head back.
Reading then goes on in short transactions while the worker writes: what is appended after a head
was noted is left to the next verification. It takes nothing but the right to read.

A chain that has lost its beginning starts at its anchor (``models.audit_anchors``), which is noted
in the same statement. While old months are dropped, what was just noted may be gone: verify again.
"""

import hmac
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import orjson
from sqlalchemy import Engine, Row, text

from models.audit import GENESIS, AuditEntry, AuditKeys, head_mac, record_mac
from models.audit_anchors import Anchor, is_genuine
from models.tables import AUDIT_CHAINS
from policy.vocabulary import AuditAction

_RECORDS_AT_ONCE = 10_000


@dataclass(frozen=True, slots=True)
class Misfit:
    """The first thing in a chain that does not fit, or what is wrong with its head.

    Attributes:
        sequence: the number of the record; None when the chain's head is meant.
    """

    chain: int
    sequence: int | None
    message: str


@dataclass(frozen=True, slots=True)
class Verification:
    """What was looked at, and what did not fit."""

    chains: int
    records: int
    misfits: tuple[Misfit, ...]


@dataclass(frozen=True, slots=True)
class _Head:
    chain: int
    sequence: int
    mac: bytes
    key_id: str
    head_mac: bytes
    beyond: int | None
    """The first record that the head does not reach to."""
    anchor: Anchor | None
    """Where the chain begins, if not with its first record."""

    @property
    def before(self) -> int:
        """How many records the chain has lost at its beginning."""
        return 0 if self.anchor is None else self.anchor.sequence


Progress = Callable[[int, int], None]
"""Called with how many records have been read, and how many there are."""


def verify_audit(
    engine: Engine, keys: AuditKeys, progress: Progress = lambda _done, _total: None
) -> Verification:
    """Recompute every MAC of the audit."""
    heads = _read_heads(engine)
    total = sum(head.sequence - head.before for head in heads.values())
    misfits: list[Misfit] = []
    seen = 0
    for chain in sorted({*range(AUDIT_CHAINS), *heads, *_stray_chains(engine)}):
        if (head := heads.get(chain)) is None:
            misfits.append(Misfit(chain, None, "is missing"))
            continue
        walk = _Walk(head, keys)
        for records in _batches(engine, head):
            walk.over(records)
            seen += len(records)
            progress(seen, total)
            if walk.misfit is not None:
                break
        misfits += walk.end()
    return Verification(len(heads), seen, tuple(misfits))


class _Walk:
    """Along one chain, record by record, up to the first that does not fit."""

    def __init__(self, head: _Head, keys: AuditKeys) -> None:
        self.misfit: Misfit | None = None
        self._is_current = False
        self._head = head
        self._keys = keys
        self._mac = GENESIS if head.anchor is None else head.anchor.mac
        self._next = head.before + 1

    def over(self, records: Sequence[Row[Any]]) -> None:
        """Look at the next records."""
        for record in records:
            if record.sequence < self._next:
                self._does_not_fit(record.sequence, "does not belong to the chain")
            elif record.sequence > self._next:
                self._does_not_fit(self._next, "is missing")
            elif (wrong := self._wrong_with(record)) is not None:
                self._does_not_fit(self._next, wrong)
            else:
                self._mac = record.mac
                self._next += 1
                continue
            return

    def end(self) -> Iterator[Misfit]:
        """What did not fit, now that all records up to the head have been looked at."""
        complete = self._next > self._head.sequence
        if (wrong := _wrong_with_anchor(self._head.anchor, self._keys)) is not None:
            yield Misfit(self._head.chain, None, wrong)
        if (wrong := _wrong_with_head(self._head, self._keys)) is not None:
            yield Misfit(self._head.chain, None, wrong)
        elif complete and not hmac.compare_digest(self._mac, self._head.mac):
            yield Misfit(self._head.chain, None, "does not follow the last record")
        if self.misfit is None and not complete:
            self._does_not_fit(self._next, "is missing, with all that followed it")
        if self.misfit is not None:
            yield self.misfit
        if self._head.beyond is not None:
            yield Misfit(self._head.chain, self._head.beyond, _BEYOND)

    def _does_not_fit(self, sequence: int, message: str) -> None:
        self.misfit = Misfit(self._head.chain, sequence, message)

    def _wrong_with(self, record: Row[Any]) -> str | None:
        key = self._keys.get(record.key_id)
        if key is None:
            return _unknown(record.key_id)
        if record.at is None:
            return _CHANGED
        try:
            said = _entry(record).said(self._head.chain, record.sequence)
        except (TypeError, ValueError):  # says what Andon never writes
            return _CHANGED
        if not hmac.compare_digest(record_mac(key, self._mac, said), record.mac):
            return _CHANGED
        if self._is_current and key is not self._keys.current:
            return f"carries the retired key {key.key_id!r}, after a record with the current one"
        self._is_current = key is self._keys.current
        return None


_BEYOND = "lies beyond the head, which moves with every record: one of the two is not genuine"
_CHANGED = "was changed, or is not the one that was written here"


def _unknown(key_id: str) -> str:
    return f"names the key {key_id!r}, which is none of those given"


def _wrong_with_head(head: _Head, keys: AuditKeys) -> str | None:
    key = keys.get(head.key_id)
    if key is None:
        return _unknown(head.key_id)
    mac = head_mac(key, head.chain, head.sequence, head.mac)
    if not hmac.compare_digest(mac, head.head_mac):
        return "was changed"
    if key is not keys.current:
        return f"carries the retired key {key.key_id!r}: `andon migrate` after changing the key"
    return None


def _wrong_with_anchor(anchor: Anchor | None, keys: AuditKeys) -> str | None:
    """A sentence about the chain's head, since there an anchor's faults are told, too."""
    if anchor is None:
        return None
    key = keys.get(anchor.key_id)
    if key is None:
        return f"has an anchor that {_unknown(anchor.key_id)}"
    if not is_genuine(anchor, key):
        return "has an anchor that was changed"
    if key is not keys.current:
        return f"has an anchor with the retired key {key.key_id!r}: `andon migrate`"
    return None


def _entry(record: Row[Any]) -> AuditEntry:
    """A record as it was written, if nobody changed it since."""
    return AuditEntry(
        at=record.at,
        action=AuditAction(record.action),
        outcome=record.outcome,
        procedure=record.procedure,
        source=record.source,
        request_id=record.request_id,
        entry=record.entry,
        actor=record.actor,
        subject=record.subject,
        reason=record.reason,
        context=orjson.loads(record.context),
    )


# Look-ups by the primary keys of the partitions; a statement has one snapshot.
_HEADS = text("""
    SELECT c.chain, c.sequence, c.mac, c.key_id, c.head_mac,
           a.sequence AS anchor_sequence, a.mac AS anchor_of, a.key_id AS anchor_key_id,
           a.anchor_mac,
           (SELECT r.sequence FROM audit_records AS r
            WHERE r.chain = c.chain AND r.sequence > c.sequence
            ORDER BY r.sequence LIMIT 1) AS beyond
    FROM audit_chains AS c LEFT JOIN audit_anchors AS a USING (chain)
""")
_STRAY_CHAINS = text(f"""
    SELECT DISTINCT chain FROM audit_records WHERE chain < 0 OR chain >= {AUDIT_CHAINS}
""")
# By the primary keys of all partitions, merged in the order of the chain. A moment that Python has
# no datetime for comes as NULL: nobody wrote it.
_RECORDS = text(f"""
    SELECT sequence, action, outcome, procedure, source, request_id, entry, actor, subject,
           reason, context::text AS context, key_id, mac,
           CASE WHEN at > '0001-01-02' AND at < '9999-12-30' THEN at END AS at
    FROM audit_records
    WHERE chain = :chain AND sequence > :after AND sequence <= :last
    ORDER BY sequence LIMIT {_RECORDS_AT_ONCE}
""")


def _read_heads(engine: Engine) -> dict[int, _Head]:
    with engine.connect() as connection:
        return {row.chain: _head(row) for row in connection.execute(_HEADS)}


def _head(row: Row[Any]) -> _Head:
    anchor = None
    if row.anchor_sequence is not None:
        anchor = Anchor(
            row.chain,
            row.anchor_sequence,
            bytes(row.anchor_of),
            row.anchor_key_id,
            bytes(row.anchor_mac),
        )
    return _Head(row.chain, row.sequence, row.mac, row.key_id, row.head_mac, row.beyond, anchor)


def _stray_chains(engine: Engine) -> set[int]:
    """Chains that should not be there at all, but have records."""
    with engine.connect() as connection:
        return set(connection.execute(_STRAY_CHAINS).scalars())


def _batches(engine: Engine, head: _Head) -> Iterator[Sequence[Row[Any]]]:
    """The records up to the head, in transactions of their own."""
    after = -(2**63)
    while True:
        with engine.connect() as connection:
            values = {"chain": head.chain, "after": after, "last": head.sequence}
            records = connection.execute(_RECORDS, values).all()
        if not records:
            return
        yield records
        after = records[-1].sequence
