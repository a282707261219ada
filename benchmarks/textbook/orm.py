"""Andon's tables as SQLAlchemy's ORM maps them."""

from datetime import datetime
from typing import Any

from sqlalchemy.orm import DeclarativeBase, Mapped

from models import tables
from models.rows import Communication, EarlyUpdate, Escalation, Incident, IncidentUpdate, Row


class Base(DeclarativeBase):
    """Of all mapped classes; their attributes are the tables' columns."""


class UserRecord(Base):
    """A user of the directory."""

    __table__ = tables.users

    user_id: Mapped[str]
    role: Mapped[str]
    status: Mapped[str]
    client_id: Mapped[str | None]
    vendor_id: Mapped[str | None]


class ClientRecord(Base):
    """A client."""

    __table__ = tables.clients


class IncidentRecord(Base):
    """An incident."""

    __table__ = tables.incidents

    incident_id: Mapped[int]
    component_id: Mapped[str]
    status: Mapped[str]
    severity: Mapped[str]


class UpdateRecord(Base):
    """A line of an incident's history."""

    __table__ = tables.incident_updates


class EscalationRecord(Base):
    """An escalation."""

    __table__ = tables.escalations


class CommunicationRecord(Base):
    """A communication."""

    __table__ = tables.communications


class DedupKeyRecord(Base):
    """A dedup key."""

    __table__ = tables.dedup_keys


class LedgerRecord(Base):
    """A request that has been decided."""

    __table__ = tables.requests

    body_hash: Mapped[bytes]
    entry: Mapped[str]
    procedure: Mapped[str | None]
    halted: Mapped[bool]
    body: Mapped[dict[str, Any]]
    decided_at: Mapped[datetime]


class HaltRecord(Base):
    """A halt."""

    __table__ = tables.halts


class ChainRecord(Base):
    """The head of a chain of the audit."""

    __table__ = tables.audit_chains

    chain: Mapped[int]
    sequence: Mapped[int]
    mac: Mapped[bytes]
    head_mac: Mapped[bytes]


class AuditRecord(Base):
    """A record of the audit."""

    __table__ = tables.audit_records


def record_of(row: Row) -> Base:
    """The mapped object of an effect."""
    values = row._asdict()
    match row:
        case Incident():
            flags = values["severity_flags"]
            values["severity_flags"] = None if flags is None else list(flags)
            return IncidentRecord(**values)
        case IncidentUpdate():
            return UpdateRecord(**values)
        case Escalation():
            return EscalationRecord(**values)
        case Communication():
            return CommunicationRecord(**values)
        case EarlyUpdate():
            raise NotImplementedError("in the mix no update overtakes its report")
