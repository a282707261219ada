"""What policy makes of one request and the facts."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from models.outcomes import Identity
from models.rows import Row
from policy.halts import Halt
from policy.vocabulary import AuditAction


class Done(NamedTuple):
    """The request may be run; these are its effects.

    Attributes:
        result: what the producer is told.
        rows: every row to insert, and the new state of every row to change.
        action: how the audit calls it.
        subject: what it acts on, as ``kind:id``; None where nothing is changed.
        context: for the audit: ids, field names, flags and codes only.
    """

    result: Mapping[str, Any]
    rows: tuple[Row, ...]
    action: AuditAction
    subject: str | None
    context: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Wait:
    """The request refers to a report that has not been decided yet."""

    report: Identity


Decision = Done | Wait | Halt
