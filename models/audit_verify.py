"""Verifying the audit: every record of every chain, up to the head that is noted first.

The heads are noted together with the first record beyond each, in one statement: a head and its
records move in one transaction, so there is none unless somebody forged it or put an old head back.
Reading then goes on in short transactions while the worker writes: what is appended after a head
was noted is left to the next verification. It takes nothing but the right to read.

When all chains have been read, they are read again for what they say of each other
(``models.audit_witness``): a chain that fits itself, but has lost records that another one saw, was
put back to an older state. Of each record eight bytes are kept in memory for that.

A chain that has lost its beginning starts at its anchor (``models.audit_anchors``), which is noted
in the same statement. While old months are dropped, what was just noted may be gone: verify again.
Whether the audit fits what else is stored is asked in ``models.audit_crosswise``.
"""

import hmac
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from typing import Any, NamedTuple

import orjson
from sqlalchemy import Engine, Row, text

from models.audit import GENESIS, AuditKeys, head_mac, record_mac, record_said, written_moment
from models.audit_anchors import Anchor, Dropped, is_genuine
from models.audit_witness import TAG_BYTES, Witness, tags_digest, unpack_witness
from models.sql import fetch
from models.tables import AUDIT_CHAINS
from policy.vocabulary import AuditAction

_RECORDS_AT_ONCE = 10_000
_STRAYS_NAMED = 5
"""Of the records of one chain that do not belong to it, so many are named."""


@dataclass(frozen=True, slots=True)
class Misfit:
    """Something in a chain that does not fit, or what is wrong with its head.

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
class Head:
    """The head of a chain as it was noted.

    Attributes:
        beyond: the first record that the head does not reach to.
        anchor: where the chain begins, if not with its first record.
    """

    chain: int
    sequence: int
    mac: bytes
    key_id: str
    head_mac: bytes
    beyond: int | None
    anchor: Anchor | None

    @property
    def before(self) -> int:
        """How many records the chain has lost at its beginning."""
        return 0 if self.anchor is None else self.anchor.sequence


class Record(NamedTuple):
    """A record as it is stored; the moment as PostgreSQL writes it."""

    sequence: int
    at: str
    action: str
    outcome: str
    procedure: str | None
    source: str | None
    request_id: str | None
    entry: str | None
    actor: str | None
    subject: str | None
    reason: str | None
    context: str
    key_id: str
    mac: bytes
    witness: bytes | None

    def said(self, chain: int) -> bytes:
        """What its MAC covers.

        Raises:
            ValueError: it says what Andon never writes.
        """
        if self.action not in _ACTIONS:
            raise ValueError("no action of ours")
        context = orjson.loads(self.context)
        return record_said(
            chain, self.sequence, _moment(self.at), self[2:11], context, self.witness
        )


_ACTIONS = frozenset(map(str, AuditAction))


@lru_cache(maxsize=256)
def _moment(at: str) -> str:
    return written_moment(datetime.fromisoformat(at))


Progress = Callable[[int, int], None]
"""Called with how many records have been read, and how many there are."""


def verify_audit(
    engine: Engine, keys: AuditKeys, progress: Progress = lambda _done, _total: None
) -> Verification:
    """Recompute every MAC of the audit, and see that the chains vouch for each other."""
    return inspect_audit(engine, keys, progress).verification


@dataclass(slots=True)
class Inspection:
    """What the records of all chains came to.

    Attributes:
        heads: as they were noted, by chain.
        walks: along each chain, by chain.
        outlived: the chains of which others have seen more than there is, and what is said of it.
        strays: chains that should not be there at all, but have records.
    """

    heads: Mapping[int, Head]
    walks: Mapping[int, "Walk"]
    strays: set[int]
    outlived: dict[int, Misfit] = field(default_factory=dict)

    @property
    def verification(self) -> Verification:
        """What did not fit, chain by chain."""
        misfits: list[Misfit] = []
        for chain in sorted({*range(AUDIT_CHAINS), *self.heads, *self.strays}):
            if chain in self.walks:
                found = list(self.walks[chain].found())
                if not found and chain in self.outlived:
                    found.append(self.outlived[chain])
            else:
                found = [Misfit(chain, None, "is missing")]
            misfits += found
        seen = sum(walk.seen for walk in self.walks.values())
        return Verification(len(self.heads), seen, tuple(misfits))


def inspect_audit(
    engine: Engine, keys: AuditKeys, progress: Progress = lambda _done, _total: None
) -> Inspection:
    """Walk along every chain, and then see what the chains say of each other."""
    heads = _read_heads(engine)
    walks = {chain: Walk(head, keys) for chain, head in heads.items()}
    total = sum(head.sequence - head.before for head in heads.values() if is_signed(head, keys))
    seen = 0
    for walk in walks.values():
        for records in _batches(engine, walk.head):
            walk.over(records)
            seen += len(records)
            progress(min(seen, total), total)
            if walk.misfit is not None:
                break
        walk.end()
    inspection = Inspection(heads, walks, _stray_chains(engine))
    _hear_witnesses(engine, inspection)
    return inspection


class Walk:
    """Along one chain, record by record, up to the first that does not fit.

    Attributes:
        misfit: what ends the walk.
        names_unknown_key: whether that is a record whose key is not given.
        seen: how many records were looked at.
    """

    def __init__(self, head: Head, keys: AuditKeys) -> None:
        self.head = head
        self.misfit: Misfit | None = None
        self.names_unknown_key = False
        self.seen = 0
        self._strays: list[Misfit] = []
        self._pending: Misfit | None = None
        self._is_current = False
        self._keys = keys
        self._mac = GENESIS if head.anchor is None else head.anchor.mac
        self._next = head.before + 1
        self._tags = bytearray(self._mac[:TAG_BYTES])

    @property
    def last(self) -> int:
        """The number of the last record that fits."""
        return self._next - 1

    @property
    def last_mac(self) -> bytes:
        """The MAC of the last record that fits."""
        return self._mac

    def tag(self, sequence: int) -> bytes:
        """What stands for a record of this chain, where it fits; nothing where it does not."""
        place = (sequence - self.head.before) * TAG_BYTES
        return bytes(self._tags[place : place + TAG_BYTES]) if place >= 0 else b""

    def is_stray(self, sequence: int) -> bool:
        """Whether there is a record of this number that does not belong to the chain."""
        return any(stray.sequence == sequence for stray in self._strays)

    def over(self, records: Sequence[Record]) -> None:
        """Look at the next records, which come by number and moment."""
        self.seen += len(records)
        for record in records:
            if record.sequence > self._next:
                self.misfit = self._pending or self._misfit(self._next, "is missing")
                return
            if record.sequence < self._next:
                self._strays.append(self._misfit(record.sequence, "does not belong to the chain"))
            elif (wrong := self._wrong_with(record)) is not None:
                self._pending = self._misfit(self._next, wrong)
            else:
                self._go_on(record)

    def _go_on(self, record: Record) -> None:
        if self._pending is not None:  # another record has the number, too
            self._strays.append(self._pending)
            self._pending = None
        self._mac = record.mac
        self._tags += record.mac[:TAG_BYTES]
        self._next += 1

    def end(self) -> None:
        """All records up to the head have been looked at."""
        if self.misfit is None:
            self.misfit = self._pending
        if self.misfit is None and self._next <= self.head.sequence:
            self.misfit = self._misfit(self._next, "is missing, with all that followed it")

    def found(self) -> Iterator[Misfit]:
        """What did not fit."""
        complete = self._next > self.head.sequence
        if (wrong := _wrong_with_anchor(self.head.anchor, self._keys)) is not None:
            yield self._misfit(None, wrong)
        if (wrong := wrong_with_head(self.head, self._keys)) is not None:
            yield self._misfit(None, wrong)
        elif complete and not hmac.compare_digest(self._mac, self.head.mac):
            yield self._misfit(None, "does not follow the last record")
        yield from self._strays[:_STRAYS_NAMED]
        if self.misfit is not None:
            yield self.misfit
        if self.head.beyond is not None:
            yield self._misfit(self.head.beyond, _BEYOND)

    def _misfit(self, sequence: int | None, message: str) -> Misfit:
        return Misfit(self.head.chain, sequence, message)

    def _wrong_with(self, record: Record) -> str | None:
        key = self._keys.get(record.key_id)
        if key is None:
            self.names_unknown_key = True
            return _unknown(record.key_id)
        try:
            said = record.said(self.head.chain)
        except (TypeError, ValueError):
            return _CHANGED
        if not hmac.compare_digest(record_mac(key, self._mac, said), record.mac):
            return _CHANGED
        if self._is_current and key is not self._keys.current:
            return f"carries the retired key {key.key_id!r}, after a record with the current one"
        self._is_current = key is self._keys.current
        return None


def _hear_witnesses(engine: Engine, inspection: Inspection) -> None:
    """See that everything that a genuine record saw of the other chains is still there."""
    walks = [inspection.walks.get(chain) for chain in range(AUDIT_CHAINS)]
    for walk in inspection.walks.values():
        for sequence, packed in _witnesses(engine, walk):
            if walk.is_stray(sequence):
                continue
            witness = unpack_witness(packed)
            tags = [
                b"" if seen is None else seen.tag(number)
                for seen, number in zip(walks, witness.sequences, strict=True)
            ]
            if tags_digest(tags) != witness.digest:
                where = (walk.head.chain, sequence)
                for misfit in _outlived(walks, tags, witness, where):
                    inspection.outlived.setdefault(misfit.chain, misfit)


def _outlived(
    walks: Sequence[Walk | None], tags: Sequence[bytes], witness: Witness, where: tuple[int, int]
) -> Iterator[Misfit]:
    """Of which chains the record at *where* saw something else than there is.

    What was dropped with its month cannot be compared any more, nor what follows a record that does
    not fit, which is named anyway.
    """
    by = f"chain {where[0]}'s record {where[1]}"
    unknown = named = False
    for walk, tag, number, mark in zip(walks, tags, witness.sequences, witness.marks, strict=True):
        if walk is None:
            unknown = True
        elif number > max(walk.last, walk.head.before):
            named = True
            yield Misfit(walk.head.chain, walk.last + 1, f"is missing: {by} was written after it")
        elif not tag:
            unknown = True
        elif tag[0] != mark:
            named = True
            yield Misfit(
                walk.head.chain,
                number,
                f"is not the one that {by} was written after: the chain was put back to an older"
                " state, and has gone on since",
            )
    if not unknown and not named:
        yield Misfit(
            *where, "saw other records of the other chains: one was put back to an older state"
        )


_BEYOND = "lies beyond the head, which moves with every record: one of the two is not genuine"
_CHANGED = "was changed, or is not the one that was written here"


def _unknown(key_id: str) -> str:
    return f"names the key {key_id!r}, which is none of those given"


def is_signed(head: Head, keys: AuditKeys) -> bool:
    """Whether the head is genuine, under whichever of the keys."""
    key = keys.get(head.key_id)
    return key is not None and hmac.compare_digest(
        head_mac(key, head.chain, head.sequence, head.mac), head.head_mac
    )


def wrong_with_head(head: Head, keys: AuditKeys) -> str | None:
    """What is wrong with a head; None if it is genuine and carries the current key."""
    if keys.get(head.key_id) is None:
        return _unknown(head.key_id)
    if not is_signed(head, keys):
        return "was changed"
    if head.key_id != keys.current.key_id:
        return f"carries the retired key {head.key_id!r}: `andon migrate` after changing the key"
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


# Look-ups by the primary keys of the partitions; a statement has one snapshot.
_HEADS = text("""
    SELECT c.chain, c.sequence, c.mac, c.key_id, c.head_mac,
           a.sequence AS anchor_sequence, a.mac AS anchor_of, a.key_id AS anchor_key_id,
           a.anchor_mac, a.done, a.halted, a.duplicates,
           (SELECT r.sequence FROM audit_records AS r
            WHERE r.chain = c.chain AND r.sequence > c.sequence
            ORDER BY r.sequence LIMIT 1) AS beyond
    FROM audit_chains AS c LEFT JOIN audit_anchors AS a USING (chain)
""")
_STRAY_CHAINS = text(f"""
    SELECT DISTINCT chain FROM audit_records WHERE chain < 0 OR chain >= {AUDIT_CHAINS}
""")
# By the primary keys of all partitions, merged in the order of the chain. A page ends at a whole
# key: whoever may insert can give a number to a second record.
_RECORDS = f"""
    SELECT sequence, at::text, action, outcome, procedure, source, request_id, entry, actor,
           subject, reason, context::text, key_id, mac, witness
    FROM audit_records
    WHERE chain = %(chain)s AND sequence <= %(last)s AND {{after}}
    ORDER BY sequence, audit_records.at LIMIT {_RECORDS_AT_ONCE}
"""
_FIRST_RECORDS = _RECORDS.format(after="true")
_NEXT_RECORDS = _RECORDS.format(after="(sequence, at) > (%(sequence)s, %(at)s::timestamptz)")
_WITNESSES = f"""
    SELECT sequence, witness FROM audit_records
    WHERE chain = %(chain)s AND sequence > %(after)s AND sequence <= %(last)s
      AND witness IS NOT NULL
    ORDER BY sequence LIMIT {_RECORDS_AT_ONCE}
"""


def _read_heads(engine: Engine) -> dict[int, Head]:
    with engine.connect() as connection:
        return {row.chain: _head(row) for row in connection.execute(_HEADS)}


def _head(row: Row[Any]) -> Head:
    anchor = None
    if row.anchor_sequence is not None:
        anchor = Anchor(
            row.chain,
            row.anchor_sequence,
            bytes(row.anchor_of),
            row.anchor_key_id,
            bytes(row.anchor_mac),
            Dropped(row.done, row.halted, row.duplicates),
        )
    return Head(row.chain, row.sequence, row.mac, row.key_id, row.head_mac, row.beyond, anchor)


def _stray_chains(engine: Engine) -> set[int]:
    """Chains that should not be there at all, but have records."""
    with engine.connect() as connection:
        return set(connection.execute(_STRAY_CHAINS).scalars())


def _batches(engine: Engine, head: Head) -> Iterator[Sequence[Record]]:
    """The records up to the head, in transactions of their own."""
    statement = _FIRST_RECORDS
    values: dict[str, object] = {"chain": head.chain, "last": head.sequence}
    while True:
        with engine.connect() as connection:
            records = [Record._make(row) for row in fetch(connection, statement, values)]
        if not records:
            return
        yield records
        statement = _NEXT_RECORDS
        values |= {"sequence": records[-1].sequence, "at": records[-1].at}


def _witnesses(engine: Engine, walk: Walk) -> Iterator[tuple[int, bytes]]:
    """What the records of a chain that fit saw of the others: the records' numbers, and that."""
    after = walk.head.before
    while True:
        with engine.connect() as connection:
            values = {"chain": walk.head.chain, "after": after, "last": walk.last}
            found = fetch(connection, _WITNESSES, values)
        if not found:
            return
        yield from found
        after = found[-1][0]
