"""Every table of Andon (DESIGN 7); ``migrations`` creates them.

The directory's tables refer to each other by foreign keys. The tables that requests write do
not: a foreign key costs 16 to 20 µs a request, directory rows are never deleted, and every
reference is proven in the transaction that writes it.
"""

from enum import StrEnum
from typing import Final

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Date,
    DateTime,
    ForeignKey,
    Identity,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from policy.vocabulary import (
    AuditAction,
    DeliveryMethod,
    DeliveryStatus,
    Environment,
    EscalationLevel,
    EscalationStatus,
    IncidentStatus,
    Level,
    PartyStatus,
    RecipientType,
    Role,
    Severity,
    SeverityOrigin,
    SlaTier,
    SubscriptionStatus,
    UserStatus,
)

AUDIT_CHAINS: Final = 64

metadata = MetaData(
    naming_convention={
        "pk": "%(table_name)s_pkey",
        "uq": "%(table_name)s_%(column_0_N_name)s_key",
        "ix": "%(table_name)s_%(column_0_N_name)s_idx",
        "fk": "%(table_name)s_%(column_0_name)s_fkey",
        "ck": "%(table_name)s_%(constraint_name)s_check",
    }
)


class HaltState(StrEnum):
    """Where a halt stands: open, published again and not yet decided, or settled."""

    OPEN = "open"
    REPLAYING = "replaying"
    REPLAYED = "replayed"
    DISCARDED = "discarded"


class Door(StrEnum):
    """How a request came in: by the intake, or as a plain Celery task."""

    INTAKE = "intake"
    TASK = "task"


class Forgotten(StrEnum):
    """What is forgotten in time, and must not be taken for what has never been."""

    IDENTITIES = "identities"


def _moment(name: str, *, nullable: bool = False) -> Column[object]:
    return Column(name, DateTime(timezone=True), nullable=nullable)


def _text(name: str, *, nullable: bool = False) -> Column[object]:
    return Column(name, Text, nullable=nullable)


def _word(column: str, vocabulary: type[StrEnum]) -> CheckConstraint:
    """Only words of the vocabulary may stand in *column*."""
    words = ", ".join(f"'{word}'" for word in vocabulary)
    return CheckConstraint(f"{column} IN ({words})", name=column)


clients = Table(
    "clients",
    metadata,
    Column("client_id", Text, primary_key=True),
    _text("name"),
    Column("registration_number", Text, unique=True),
    Column("contact_email", Text, unique=True),
    _text("client_type", nullable=True),
    _text("industry", nullable=True),
    _text("country", nullable=True),
    _text("status"),
    _word("status", PartyStatus),
)

vendors = Table(
    "vendors",
    metadata,
    Column("vendor_id", Text, primary_key=True),
    _text("name"),
    _text("vendor_type", nullable=True),
    Column("contact_email", Text, unique=True),
    _text("status"),
    _word("status", PartyStatus),
)

users = Table(
    "users",
    metadata,
    Column("user_id", Text, primary_key=True),
    _text("first_name"),
    _text("last_name"),
    Column("email", Text, unique=True),
    _text("role"),
    Column("client_id", Text, ForeignKey("clients.client_id")),
    Column("vendor_id", Text, ForeignKey("vendors.vendor_id")),
    _text("timezone", nullable=True),
    _text("status"),
    _word("role", Role),
    _word("status", UserStatus),
)

products = Table(
    "products",
    metadata,
    Column("product_id", Text, primary_key=True),
    _text("name"),
    _text("product_type", nullable=True),
    _text("version", nullable=True),
    Column("vendor_id", Text, ForeignKey("vendors.vendor_id")),
    _text("status", nullable=True),
)

components = Table(
    "components",
    metadata,
    Column("component_id", Text, primary_key=True),
    _text("name"),
    _text("component_type", nullable=True),
    Column("product_id", Text, ForeignKey("products.product_id")),
    _text("environment", nullable=True),
    _text("location", nullable=True),
    _text("status", nullable=True),
    _word("environment", Environment),
)

subscriptions = Table(
    "subscriptions",
    metadata,
    Column("subscription_id", Text, primary_key=True),
    Column("client_id", Text, ForeignKey("clients.client_id"), nullable=False),
    Column("product_id", Text, ForeignKey("products.product_id"), nullable=False),
    _text("subscription_type", nullable=True),
    _text("sla_tier"),
    Column("start_date", Date),
    Column("end_date", Date),
    _text("status"),
    _word("sla_tier", SlaTier),
    _word("status", SubscriptionStatus),
)

incidents = Table(
    "incidents",
    metadata,
    Column("incident_id", BigInteger, Identity(), primary_key=True),
    _text("title"),
    _text("category"),
    _text("severity"),
    _text("severity_origin"),
    _text("stated_severity", nullable=True),
    Column("severity_flags", ARRAY(Text)),
    _text("impact_level"),
    _text("urgency_level"),
    _text("status"),
    _text("client_id"),
    _text("component_id"),
    _text("reporter_user_id"),
    _text("assigned_to_user_id", nullable=True),
    _moment("detection_timestamp"),
    _moment("resolution_timestamp", nullable=True),
    _text("source"),
    _text("request_id"),
    _text("dedup_key", nullable=True),
    Column("recurrence_of", BigInteger),
    _text("closed_by_source", nullable=True),
    Column("stamps", JSONB, nullable=False),
    Column("version", Integer, nullable=False),
    _moment("reported_at"),
    _moment("updated_at"),
    _word("severity", Severity),
    _word("severity_origin", SeverityOrigin),
    _word("stated_severity", Severity),
    _word("impact_level", Level),
    _word("urgency_level", Level),
    _word("status", IncidentStatus),
    CheckConstraint("resolution_timestamp >= detection_timestamp", name="resolution"),
    Index(None, "client_id", "incident_id"),
    Index(
        "incidents_unclosed_idx",  # what is not history yet
        "status",
        "incident_id",
        postgresql_where=text(f"status <> '{IncidentStatus.CLOSED}'"),
    ),
    Index(None, "severity", "incident_id"),
)

incident_updates = Table(
    "incident_updates",
    metadata,
    Column("update_id", BigInteger, Identity(), primary_key=True),
    Column("incident_id", BigInteger, nullable=False),
    _text("field"),
    _text("old_value", nullable=True),
    _text("new_value", nullable=True),
    _text("note", nullable=True),
    Column("superseded", Boolean, nullable=False),
    _text("updated_by_user"),
    _moment("updated_at"),
    _text("source"),
    _text("request_id"),
    Index(None, "incident_id", "update_id"),
)

escalations = Table(
    "escalations",
    metadata,
    Column("escalation_id", BigInteger, Identity(), primary_key=True),
    Column("incident_id", BigInteger, nullable=False, index=True),
    _text("escalated_by_user"),
    _text("escalated_to_user"),
    _text("escalation_level"),
    _moment("escalated_at"),
    _text("reason", nullable=True),
    _text("status"),
    _moment("resolved_at", nullable=True),
    _text("source"),
    _text("request_id"),
    Column("stamps", JSONB, nullable=False),
    _word("escalation_level", EscalationLevel),
    _word("status", EscalationStatus),
)

communications = Table(
    "communications",
    metadata,
    Column("communication_id", BigInteger, Identity(), primary_key=True),
    Column("incident_id", BigInteger, nullable=False, index=True),
    _text("sender_id"),
    _text("recipient_id", nullable=True),
    _text("recipient_type", nullable=True),
    _text("communication_type"),
    _text("delivery_method"),
    _text("delivery_status"),
    _moment("sent_at", nullable=True),
    _text("source"),
    _text("request_id"),
    Column("stamps", JSONB, nullable=False),
    _moment("recorded_at"),
    _word("recipient_type", RecipientType),
    _word("delivery_method", DeliveryMethod),
    _word("delivery_status", DeliveryStatus),
    CheckConstraint("recipient_id IS NOT NULL OR recipient_type IS NOT NULL", name="recipient"),
)

requests = Table(
    "requests",
    metadata,
    _text("source"),
    _text("request_id"),
    Column("body_hash", LargeBinary, nullable=False),
    _text("procedure", nullable=True),
    Column("halted", Boolean, nullable=False),
    Column("body", JSON, nullable=False, comment="the result or the halt, word for word"),
    Column("halt_id", BigInteger),
    _text("entry"),
    _moment("event_time", nullable=True),
    _moment("received_at"),
    _moment("decided_at"),
    PrimaryKeyConstraint("source", "request_id"),
    # Pruning reuses space, so a BRIN index would soon tell nothing; this costs 0.6 µs a row.
    Index(None, "decided_at"),
)

waiting = Table(
    "waiting",
    metadata,
    _text("source"),
    _text("request_id"),
    Column("body_hash", LargeBinary, nullable=False),
    _text("entry"),
    _text("door"),
    Column("event", LargeBinary, nullable=False),
    _text("key_id"),
    _text("signature"),
    _moment("received_at"),
    _moment("accepted_at"),
    _moment("waits_since"),
    _text("report_source"),
    _text("report_id"),
    _moment("alone_since", nullable=True),
    PrimaryKeyConstraint("source", "request_id"),
    UniqueConstraint("entry"),
)

dedup_keys = Table(
    "dedup_keys",
    metadata,
    _text("source"),
    _text("dedup_key"),
    Column("incident_id", BigInteger),
    Column("early_update", JSONB),
    _moment("early_update_time", nullable=True),
    PrimaryKeyConstraint("source", "dedup_key"),
    Index(None, "early_update_time", postgresql_where=text("incident_id IS NULL")),
)

halts = Table(
    "halts",
    metadata,
    Column("halt_id", BigInteger, Identity(), primary_key=True),
    _moment("halted_at"),
    _text("reason"),
    _text("message"),
    Column("errors", JSONB, nullable=False),
    _text("source", nullable=True),
    _text("request_id", nullable=True),
    _text("procedure", nullable=True),
    _text("door"),
    _text("entry"),
    Column("event", LargeBinary, comment="the first 64 KiB of a message that is no request"),
    Column("event_bytes", Integer, nullable=False),
    Column("event_sha256", LargeBinary, nullable=False),
    _text("key_id"),
    _text("signature"),
    Column("state", Text, nullable=False, server_default=text(f"'{HaltState.OPEN}'")),
    _moment("settled_at", nullable=True),
    UniqueConstraint("entry"),
    _word("state", HaltState),
    Index(None, "state", "halt_id"),
    Index(None, "reason", "halt_id"),
    Index(None, "source", "halt_id"),
    Index(
        "halts_settled_at_idx",  # what is still to be forgotten
        "settled_at",
        postgresql_where=text("settled_at IS NOT NULL AND event IS NOT NULL"),
    ),
)

attempts = Table(
    "attempts",
    metadata,
    Column("entry", Text, primary_key=True),
    Column("runners", ARRAY(Text), nullable=False),
)

in_hand = Table(
    "in_hand",
    metadata,
    Column("runner", Text, primary_key=True),
    Column("marks", LargeBinary, nullable=False),
    Column("told_at", DateTime(timezone=True), nullable=False),
    prefixes=["UNLOGGED"],
)

signs_of_life = Table(
    "signs_of_life",
    metadata,
    Column("runner", Text, primary_key=True),
    _text("host"),
    _text("kind"),
    _moment("seen_at"),
    _moment("braked_since", nullable=True),
    _text("cause", nullable=True),
    prefixes=["UNLOGGED"],
)

settlements = Table(
    "settlements",
    metadata,
    Column("settlement_id", BigInteger, Identity(), primary_key=True),
    _moment("at"),
    Column("entries", BigInteger, nullable=False),
    _text("reason"),
    _text("account"),
    _text("host"),
)

registry_in_force = Table(
    "registry_in_force",
    metadata,
    Column("is_one", Boolean, primary_key=True, server_default=text("true")),
    _text("key_id"),
    Column("sources", JSONB, nullable=False),
    _moment("recorded_at"),
    CheckConstraint("is_one", name="is_one"),
)

audit_chains = Table(
    "audit_chains",
    metadata,
    Column("chain", SmallInteger, primary_key=True, autoincrement=False),
    Column("sequence", BigInteger, nullable=False),
    Column("mac", LargeBinary, nullable=False),
    _text("key_id"),
    Column("head_mac", LargeBinary, nullable=False),
    CheckConstraint(f"chain >= 0 AND chain < {AUDIT_CHAINS}", name="chain"),
    CheckConstraint("sequence >= 0", name="sequence"),
    CheckConstraint("octet_length(mac) = 32 AND octet_length(head_mac) = 32", name="mac"),
)

audit_anchors = Table(
    "audit_anchors",
    metadata,
    Column("chain", SmallInteger, primary_key=True, autoincrement=False),
    Column("sequence", BigInteger, nullable=False),
    Column("mac", LargeBinary, nullable=False),
    _text("key_id"),
    Column("anchor_mac", LargeBinary, nullable=False),
    # How many of the chain's records were dropped that say so of a message.
    Column("done", BigInteger, nullable=False),
    Column("halted", BigInteger, nullable=False),
    Column("duplicates", BigInteger, nullable=False),
)

audit_records = Table(
    "audit_records",
    metadata,
    Column("chain", SmallInteger, nullable=False),
    Column("sequence", BigInteger, nullable=False),
    _moment("at"),
    _text("action"),
    _text("procedure", nullable=True),
    _text("source", nullable=True),
    _text("request_id", nullable=True),
    _text("entry", nullable=True),
    _text("actor", nullable=True),
    _text("subject", nullable=True),
    _text("outcome"),
    _text("reason", nullable=True),
    Column("context", JSONB, nullable=False),
    _text("key_id"),
    Column("mac", LargeBinary, nullable=False),
    Column("witness", LargeBinary),
    PrimaryKeyConstraint("chain", "sequence", "at"),  # `at` only since partitions ask for it
    CheckConstraint(f"chain >= 0 AND chain < {AUDIT_CHAINS}", name="chain"),
    CheckConstraint("sequence > 0", name="sequence"),
    _word("action", AuditAction),
    # For listings; decision 9 says what they cost. What is done is found by `at` at once.
    Index(None, "at"),
    Index(None, "source", "at"),
    Index(None, "subject", "at"),
    Index(None, "outcome", "at", postgresql_where=text("outcome <> 'done'")),
    postgresql_partition_by="RANGE (at)",
)

turns = Table(
    "turns",
    metadata,
    # A row for each piece of work that one process does at a time; it is locked meanwhile.
    Column("work", Text, primary_key=True),
)

duplicates = Table(
    "duplicates",
    metadata,
    # Two processes may have one entry in hand: the later one runs again.
    Column("entry", Text, primary_key=True),
    Column("at", DateTime(timezone=True), nullable=False, index=True),
)

retentions = Table(
    "retentions",
    metadata,
    Column("kind", Text, primary_key=True),
    _moment("forgotten_before"),
    _word("kind", Forgotten),
)

outbox = Table(
    "outbox",
    metadata,
    Column("outbox_id", BigInteger, Identity(), primary_key=True),
    Column("event", LargeBinary, nullable=False),
    Column("halted", Boolean, nullable=False),
)

tallies = Table(
    "tallies",
    metadata,
    Column("tally_id", BigInteger, Identity(), primary_key=True),
    Column("at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    _text("door"),
    Column("done", BigInteger, nullable=False),
    Column("halted", BigInteger, nullable=False),
    Column("duplicates", BigInteger, nullable=False),
    _word("door", Door),
)
