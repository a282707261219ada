"""What stands in the intake, for `andon status`."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from models.streams import Lane
from worker.broker_warnings import BrokerWarning


@dataclass(frozen=True, slots=True)
class LaneStatus:
    """One lane of the intake.

    Attributes:
        accepted: entries ever added; None where the engine does not count them.
        undelivered: entries that no worker has read yet.
        pending: entries that a worker has read and not acknowledged; None where nobody says.
        orphans: entries that were read, and are on nobody's list: they are never delivered again.
    """

    accepted: int | None
    undelivered: int
    pending: int | None
    orphans: int


@dataclass(frozen=True, slots=True)
class ConsumerStatus:
    """One pool process that has read from the intake.

    Attributes:
        pending: entries in its hands.
        idle_seconds: since it last read or claimed something.
    """

    name: str
    pending: int
    idle_seconds: float


@dataclass(frozen=True, slots=True)
class IntakeStatus:
    """Everything that the engine knows.

    Attributes:
        outcomes: how many entries the stream of outcomes holds.
        halts: and that of halts.
    """

    lanes: Mapping[Lane, LaneStatus]
    outcomes: int
    halts: int

    @property
    def accepted(self) -> int | None:
        """Entries ever added to both lanes, as the engine counts them; None where it does not."""
        counts = [lane.accepted for lane in self.lanes.values()]
        return None if None in counts else sum(count for count in counts if count is not None)


@dataclass(frozen=True, slots=True)
class BrokerStatus:
    """What changes from moment to moment, and how the engine itself is.

    Attributes:
        oldest_seconds: for how long the oldest entry of each lane has been there, by the engine's
            clock; None where the lane is empty, or the engine does not tell.
        clock: the engine's, in seconds since 1970; None where it does not tell.
        refuses: why it takes no writes; None if it takes them.
        memory_used: bytes; None where it does not tell.
        memory_limit: the same; None where there is none.
    """

    oldest_seconds: Mapping[Lane, float | None]
    clock: float | None = None
    refuses: str | None = None
    memory_used: int | None = None
    memory_limit: int | None = None


class Gauge(Protocol):
    """Asks one intake engine, on a connection of its own.

    Every method but ``close`` may raise what the engine's client raises when it is out of reach.
    """

    def read_intake(self) -> IntakeStatus:
        """Everything that the engine knows, at one moment if it can."""

    def read_consumers(self) -> list[ConsumerStatus]:
        """The pool processes of all workers; none where the engine does not tell."""

    def read_warnings(self) -> list[BrokerWarning]:
        """What of the engine's settings may cost requests.

        Raises:
            BrokerTooOld: it is of a version that cannot serve.
        """

    def read_broker(self) -> BrokerStatus:
        """How the engine is at this moment."""

    def close(self) -> None:
        """Close the connection."""
