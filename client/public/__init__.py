"""Publishes requests to Andon, and waits for what becomes of them.

Everything that a program needs has its name here; the rest of the package may change.
"""

from models.outcomes import Identity
from models.results import (
    CommunicationRecorded,
    Done,
    EscalationSubmitted,
    Fault,
    Halted,
    HaltTold,
    IncidentReported,
    IncidentUpdated,
)
from models.streams import Lane, StreamNames
from policy.halts import Reason
from producers.async_client import AsyncClient
from producers.client import (
    SPOOLED,
    Client,
    IntakeFull,
    IntakeUnreachable,
    NoOutcome,
    NotPublishable,
    PublishFailed,
    Receipt,
    SignedEvent,
    SpoolFull,
    SpoolUnusable,
)
from producers.procedures import Changes

__all__ = [
    "SPOOLED",
    "AsyncClient",
    "Changes",
    "Client",
    "CommunicationRecorded",
    "Done",
    "EscalationSubmitted",
    "Fault",
    "HaltTold",
    "Halted",
    "Identity",
    "IncidentReported",
    "IncidentUpdated",
    "IntakeFull",
    "IntakeUnreachable",
    "Lane",
    "NoOutcome",
    "NotPublishable",
    "PublishFailed",
    "Reason",
    "Receipt",
    "SignedEvent",
    "SpoolFull",
    "SpoolUnusable",
    "StreamNames",
]
