"""The policy's own words: every closed set of values that an input or a record may take.

Design, section 5, "Values". Free text (category, communication_type, the types of products and
components) has no vocabulary and so is not here.
"""

from enum import StrEnum


class Role(StrEnum):
    """What a user may be. Policy, Authority and Access Controls."""

    INCIDENT_MANAGER = "incident_manager"
    TECHNICAL_SUPPORT = "technical_support"
    ACCOUNT_MANAGER = "account_manager"
    EXECUTIVE = "executive"
    VENDOR_CONTACT = "vendor_contact"
    SYSTEM_ADMINISTRATOR = "system_administrator"
    CLIENT_CONTACT = "client_contact"


class UserStatus(StrEnum):
    """Whether a user may act: only an active one may; on leave is not active."""

    ACTIVE = "active"
    INACTIVE = "inactive"
    ON_LEAVE = "on_leave"


class PartyStatus(StrEnum):
    """The standing of a client or a vendor."""

    ACTIVE = "active"
    INACTIVE = "inactive"
    SUSPENDED = "suspended"


class Severity(StrEnum):
    """How severe an incident is: P1 critical, P2 high, P3 medium, P4 low."""

    P1 = "P1"
    P2 = "P2"
    P3 = "P3"
    P4 = "P4"


class SeverityOrigin(StrEnum):
    """How a severity came about: computed from the nine conditions, or stated by the source."""

    COMPUTED = "computed"
    STATED = "stated"


class Level(StrEnum):
    """An incident's impact_level or urgency_level."""

    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"
    CRITICAL = "critical"


class IncidentStatus(StrEnum):
    """Where an incident is in its life, in the order in which it moves forward."""

    OPEN = "open"
    INVESTIGATING = "investigating"
    IN_PROGRESS = "in_progress"
    RESOLVED = "resolved"
    CLOSED = "closed"


class EscalationLevel(StrEnum):
    """To whom an incident is escalated."""

    TECHNICAL = "technical"
    MANAGEMENT = "management"
    EXECUTIVE = "executive"
    VENDOR = "vendor"


class EscalationStatus(StrEnum):
    """Where an escalation is in its life."""

    ACTIVE = "active"
    RESOLVED = "resolved"
    CANCELLED = "cancelled"


class DeliveryMethod(StrEnum):
    """How a communication travels."""

    EMAIL = "email"
    SMS = "sms"
    PHONE = "phone"
    CHAT = "chat"
    DASHBOARD_NOTIFICATION = "dashboard_notification"


class DeliveryStatus(StrEnum):
    """How far a communication has travelled."""

    PENDING = "pending"
    SENT = "sent"
    DELIVERED = "delivered"
    FAILED = "failed"


class RecipientType(StrEnum):
    """The group a communication is for, where it is not for one user."""

    CLIENT_CONTACTS = "client_contacts"
    EXECUTIVE_TEAM = "executive_team"
    TECHNICAL_TEAM = "technical_team"
    ALL_STAKEHOLDERS = "all_stakeholders"


class SlaTier(StrEnum):
    """The tier of a subscription. Policy, Subscription Tier Values and Metrics."""

    PREMIUM = "premium"
    STANDARD = "standard"
    BASIC = "basic"


class SubscriptionStatus(StrEnum):
    """The standing of a client's subscription to a product."""

    ACTIVE = "active"
    INACTIVE = "inactive"
    SUSPENDED = "suspended"
    CANCELLED = "cancelled"
    EXPIRED = "expired"


class Environment(StrEnum):
    """Where a component runs."""

    PRODUCTION = "production"
    STAGING = "staging"
    DEVELOPMENT = "development"
    TESTING = "testing"


class AuditAction(StrEnum):
    """What an audit record says was done. Policy, Common Standards, Logging & Audit."""

    CREATE = "create"
    UPDATE = "update"
    APPROVE = "approve"
    REJECT = "reject"
    DELETE = "delete"
    EXECUTE = "execute"
