"""What publishing gives back: whose request it is, and where it is now."""

from dataclasses import dataclass
from typing import Final, TypeAlias

from models.outcomes import Identity
from producers.signed import NotPublishable, SignedEvent

SPOOLED: Final = "spool"
"""Where an event is that the client keeps on this machine's disk, to be forwarded."""


@dataclass(frozen=True, slots=True)
class Receipt:
    """One request that was accepted.

    Attributes:
        identity: tells it from all others; its outcome names it.
        entry: its intake entry, or :data:`SPOOLED`.
    """

    identity: Identity
    entry: str

    @property
    def is_spooled(self) -> bool:
        """Whether it is on this machine's disk still."""
        return self.entry == SPOOLED


Named: TypeAlias = Identity | Receipt | SignedEvent
"""Whatever tells which request is meant."""


def identity_of(request: Named) -> Identity:
    """The identity of the request that is meant.

    Raises:
        NotPublishable: it is a signed message that is no CloudEvent, and so has none.
    """
    identity = request if isinstance(request, Identity) else request.identity
    if identity is None:
        raise NotPublishable("the message is no CloudEvent, so that no request can be told by it")
    return identity
