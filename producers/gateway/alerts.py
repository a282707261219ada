"""An alert, in whichever format it came, and what is said of a payload that holds none."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from models.errors import MOST_ERRORS
from policy.halts import InputError

MAX_PAYLOAD_BYTES = 512 * 1024
"""How large a payload may be; PagerDuty's own limit."""


class AlertFormat(StrEnum):
    """The formats that are mapped."""

    ALERTMANAGER = "alertmanager"
    GRAFANA = "grafana"
    PAGERDUTY = "pagerduty"


class AlertState(StrEnum):
    """What an alert says."""

    FIRING = "firing"
    ACKNOWLEDGED = "acknowledged"
    RESOLVED = "resolved"


@dataclass(frozen=True, slots=True)
class Link:
    """Where to read on."""

    name: str
    url: str


@dataclass(frozen=True, slots=True)
class Alert:
    """One alert as its sender means it.

    Attributes:
        key: the sender's own name for what is wrong, the same when it fires and when it is
            resolved: Alertmanager's and Grafana's fingerprint, PagerDuty's dedup_key.
        occurrence: what tells this message of the alert from others of the same key and state;
            a repetition has the same one. Never the time of receipt, where the sender gives a time.
        labels: what rules match on and templates quote, flat; none in a PagerDuty event that only
            acknowledges or resolves.
        title: one line for people.
        started_at: when what is wrong began.
        ended_at: of a resolved alert: when it ended, if the sender says.
        received_at: when the gateway took it.
        receiver: the sender's name of the contact point that it came by, if it has one.
    """

    format: AlertFormat
    state: AlertState
    key: str
    occurrence: tuple[str, ...]
    labels: Mapping[str, str]
    title: str
    started_at: datetime
    received_at: datetime
    ended_at: datetime | None = None
    description: str = ""
    annotations: Mapping[str, str] = field(default_factory=dict)
    links: tuple[Link, ...] = ()
    receiver: str = ""


class PayloadFaults(ValueError):
    """A payload is none of its format.

    Attributes:
        errors: every fault, each with its JSON path; beyond a number of them, how many more.
    """

    def __init__(self, errors: tuple[InputError, ...]) -> None:
        self.errors = errors
        super().__init__("; ".join(f"{error.path} {error.message}" for error in errors))

    @classmethod
    def of(cls, *errors: InputError) -> "PayloadFaults":
        """Of faults that were counted by nobody else."""
        named, left = errors[:MOST_ERRORS], len(errors) - MOST_ERRORS
        return cls((*named, InputError("$", f"and {left:,} more")) if left > 0 else named)
