"""What the textbook worker does with one request, inside one ORM session."""

import hmac
import itertools
import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime

from sqlalchemy import Engine, select, text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from benchmarks.textbook.orm import (
    AuditRecord,
    ChainRecord,
    ClientRecord,
    DedupKeyRecord,
    HaltRecord,
    IncidentRecord,
    LedgerRecord,
    UserRecord,
    record_of,
)
from models.audit import AuditEntry, AuditKey, head_mac, record_mac
from models.dedup import DedupKey
from models.deliveries import Delivery
from models.halts import NewHalt
from models.inputs import IncidentReference, Inputs, ReportIncident
from models.outcomes import Identity, Outcome
from models.people import Component
from models.registry import Registry
from models.rows import Incident
from models.sql import key_of
from models.tables import AUDIT_CHAINS, components, products
from policy.halts import Halt
from policy.people import User
from policy.vocabulary import IncidentStatus, Role, Severity, UserStatus
from tasks.claim import Claim, Standing
from tasks.decisions import Done
from tasks.decode import Gate, decode
from tasks.facts import Facts
from tasks.procedures import DECIDE
from tasks.record import audit_entry
from tasks.requests import Message, Refused, Request
from tasks.rules import Rules
from tasks.verdicts import Verdict, conclude

_IDS_AT_ONCE = 50


@dataclass(slots=True)
class Service:
    """Runs requests, one at a time.

    Attributes:
        registry: of the producers.
        key: of the audit.
    """

    engine: Engine
    registry: Registry
    key: AuditKey
    _ids: dict[str, Iterator[int]] = field(default_factory=dict)

    def run(self, delivery: Delivery) -> Outcome:
        """Decide one request and store everything about it in one transaction."""
        gate = Gate(self.registry, datetime.now(UTC))
        message = decode(delivery, gate)
        while True:
            try:
                with Session(self.engine) as session, session.begin():
                    return self._decide(session, message, gate.now)
            except IntegrityError:  # another worker was faster: the ledger knows it by now
                continue

    def _decide(self, session: Session, message: Message, now: datetime) -> Outcome:
        if message.identity is not None:
            known = session.get(LedgerRecord, tuple(message.identity))
            if known is not None:
                return self._repeat(session, message, known, now)
        facts = Facts(Rules())
        if isinstance(message, Refused):
            decision: object = message.halt
        else:
            facts = self._gather(session, message)
            decision = DECIDE[message.procedure.name](message, facts)
        assert isinstance(decision, (Done, Halt)), "the mix has nothing to wait for"
        halt_ids = [self._id(session, "halts")] if isinstance(decision, Halt) else []
        verdict = Verdict(Claim(message, Standing.FRESH), decision)
        (verdict,) = conclude([verdict], halt_ids, now=now)
        assert verdict.outcome is not None
        if isinstance(decision, Done):
            _write(session, facts, decision)
        else:
            session.add(_halt(verdict, decision, now))
        if message.identity is not None:
            session.add(_ledger_record(message, message.identity, verdict))
        self._audit(session, audit_entry(verdict, now=now))
        return verdict.outcome

    def _repeat(
        self, session: Session, message: Message, known: LedgerRecord, now: datetime
    ) -> Outcome:
        """A duplicate gets the first one's outcome."""
        assert known.body_hash == message.body_hash, "the mix has no conflicts"
        verdict = Verdict(Claim(message, Standing.DUPLICATE), None)
        self._audit(session, audit_entry(verdict, now=now))
        return Outcome(
            message.identity, known.entry, known.procedure, known.halted, known.body,
            known.decided_at,
        )  # fmt: skip

    def _gather(self, session: Session, request: Request[Inputs]) -> Facts:
        """Load what the decision may ask; the incident that an update names is locked."""
        inputs = request.inputs
        facts = Facts(Rules())
        wanted = [user for user in inputs.users() if user is not None]
        facts.users = {
            user.user_id: User(
                user.user_id, Role(user.role), UserStatus(user.status), user.client_id,
                user.vendor_id,
            )
            for user in session.scalars(select(UserRecord).where(UserRecord.user_id.in_(wanted)))
        }  # fmt: skip
        facts.clients = frozenset(
            client for client in inputs.clients() if session.get(ClientRecord, client)
        )
        places = set(inputs.components())
        if isinstance(inputs, IncidentReference) and inputs.incident_id is not None:
            lock = {"key_share": True} if inputs.CHANGES_INCIDENT else None
            found = session.get(IncidentRecord, inputs.incident_id, with_for_update=lock)
            if found is not None:
                facts.incidents[found.incident_id] = _incident(found)
                places.add(found.component_id)
        if isinstance(inputs, ReportIncident) and inputs.dedup_key is not None:
            key = DedupKey(request.source, inputs.dedup_key)
            pointer = session.get(DedupKeyRecord, tuple(key), with_for_update=True)
            assert pointer is None, "the mix uses no key twice"
        facts.components = _components(session, places)
        if inputs.OPENS is not None:
            facts.ids = {inputs.OPENS: itertools.repeat(self._id(session, inputs.OPENS))}
        return facts

    def _id(self, session: Session, table: str) -> int:
        """The id for a new row; fifty are drawn at once."""
        number = next(self._ids.get(table, iter(())), None)
        if number is None:
            draw = text("SELECT nextval(:sequence) FROM generate_series(1, :count)")
            name = f"{table}_{key_of(table)}_seq"
            drawn = session.scalars(draw, {"sequence": name, "count": _IDS_AT_ONCE}).all()
            self._ids[table] = iter(drawn)
            number = next(self._ids[table])
        return number

    def _audit(self, session: Session, entry: AuditEntry) -> None:
        """Append a record to a chain whose head is free."""
        session.flush()  # the head is locked for as short as it can be
        offset = random.randrange(AUDIT_CHAINS)  # noqa: S311  # spreads load
        head = session.scalars(
            select(ChainRecord)
            .order_by((ChainRecord.chain + offset) % AUDIT_CHAINS)
            .limit(1)
            .with_for_update(skip_locked=True)
        ).one()
        genuine = head_mac(self.key, head.chain, head.sequence, head.mac)
        assert hmac.compare_digest(genuine, head.head_mac), "the audit's head was changed"
        sequence = head.sequence + 1
        mac = record_mac(self.key, head.mac, entry.said(head.chain, sequence))
        session.add(
            AuditRecord(
                chain=head.chain, sequence=sequence, at=entry.at, action=entry.action,
                outcome=entry.outcome, procedure=entry.procedure, source=entry.source,
                request_id=entry.request_id, entry=entry.entry, actor=entry.actor,
                subject=entry.subject, reason=entry.reason, context=entry.context,
                key_id=self.key.key_id, mac=mac,
            )
        )  # fmt: skip
        head.sequence, head.mac = sequence, mac
        head.head_mac = head_mac(self.key, head.chain, sequence, mac)


def _components(session: Session, wanted: set[str]) -> dict[str, Component]:
    found = session.execute(
        select(components.c.component_id, products.c.vendor_id)
        .outerjoin(products, products.c.product_id == components.c.product_id)
        .where(components.c.component_id.in_(wanted))
    )
    return {component_id: Component(component_id, vendor) for component_id, vendor in found}


def _incident(record: IncidentRecord) -> Incident:
    values = {column: getattr(record, column) for column in Incident._fields}
    values["status"] = IncidentStatus(record.status)
    values["severity"] = Severity(record.severity)
    return Incident(**values)


def _write(session: Session, facts: Facts, done: Done) -> None:
    """Store the effects; what was loaded is changed, the rest is new."""
    for row in done.rows:
        if isinstance(row, Incident) and row.incident_id in facts.incidents:
            session.merge(record_of(row))  # no query: it is in the session
            continue
        session.add(record_of(row))
        if isinstance(row, Incident) and row.dedup_key is not None:
            session.add(
                DedupKeyRecord(
                    source=row.source, dedup_key=row.dedup_key, incident_id=row.incident_id
                )
            )


def _halt(verdict: Verdict, halt: Halt, now: datetime) -> HaltRecord:
    message = verdict.claim.message
    assert verdict.halt_id is not None
    assert verdict.outcome is not None
    new = NewHalt(
        halt_id=verdict.halt_id,
        halt=halt,
        identity=message.identity,
        procedure=message.procedure.name if message.procedure else None,
        delivery=message.delivery,
        halted_at=now,
    )
    columns = [column.name for column in HaltRecord.__table__.columns]
    values = dict(zip(columns, new.values(), strict=False))  # its state is the table's default
    return HaltRecord(**values | {"errors": verdict.outcome.body["errors"]})


def _ledger_record(message: Message, identity: Identity, verdict: Verdict) -> LedgerRecord:
    outcome = verdict.outcome
    assert outcome is not None
    return LedgerRecord(
        source=identity.source,
        request_id=identity.id,
        body_hash=message.body_hash,
        procedure=outcome.procedure,
        halted=outcome.halted,
        body=outcome.body,
        halt_id=verdict.halt_id,
        entry=outcome.entry,
        event_time=message.event_time,
        received_at=message.received_at,
        decided_at=outcome.decided_at,
    )
