"""The names of Andon's streams and queues, and what an intake entry looks like (DESIGN 5)."""

from dataclasses import dataclass
from enum import StrEnum


class Lane(StrEnum):
    """The intake has two lanes; what is urgent is read before what came in bulk."""

    URGENT = "urgent"
    BULK = "bulk"


EVENT, KEY, SIGNATURE = "event", "key", "signature"
"""The fields of an intake entry: the JSON bytes, the producer's key id, and the signature.

On RabbitMQ the event is the body, and the others are headers.
"""


@dataclass(frozen=True, slots=True)
class StreamNames:
    """The streams of one installation, all below one namespace."""

    namespace: str = "andon"

    def intake(self, lane: Lane = Lane.URGENT) -> str:
        """The stream that requests arrive on."""
        return f"{self.namespace}:intake" + (":bulk" if lane is Lane.BULK else "")

    @property
    def dead_letters(self) -> str:
        """The queue of what RabbitMQ has delivered too often; Redis has none."""
        return f"{self.namespace}:intake:dead"

    @property
    def set_aside(self) -> str:
        """The queue of what had better be decided later; Redis keeps it in the stream."""
        return f"{self.namespace}:intake:aside"

    @property
    def intake_exchange(self) -> str:
        """The exchange of RabbitMQ by which requests are published; it leads to the lanes alone."""
        return f"{self.namespace}.intake"

    @property
    def outcomes(self) -> str:
        """The stream of every outcome, in the field ``event``."""
        return f"{self.namespace}:outcomes"

    @property
    def halts(self) -> str:
        """The stream of those outcomes that are halts."""
        return f"{self.namespace}:halts"

    @property
    def group(self) -> str:
        """The consumer group of all workers."""
        return self.namespace
