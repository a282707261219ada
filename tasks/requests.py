"""A request, as the pipeline sees it, and what a message is that is none."""

from datetime import datetime
from typing import Generic, NamedTuple, TypeVar

from models.deliveries import Delivery
from models.inputs import Inputs
from models.outcomes import Identity
from policy.halts import Halt
from policy.procedures import Procedure

I_co = TypeVar("I_co", bound=Inputs, covariant=True)


class Request(NamedTuple, Generic[I_co]):
    """An authentic request with valid inputs.

    Attributes:
        time: orders the requests of one source: the event's signed time, unless that lies
            after the receipt (DESIGN 6, "Receipt").
        now: the same, but never later than the receipt (DESIGN 6, "Now").
        received_at: the receipt.
        event_time: the event's signed time, if it has one, whatever it says.
        flags_required: the registry says that of this source a stated severity is not enough.
    """

    identity: Identity
    procedure: Procedure
    inputs: I_co
    time: datetime
    now: datetime
    received_at: datetime
    event_time: datetime | None
    body_hash: bytes
    delivery: Delivery
    flags_required: bool = False

    @property
    def source(self) -> str:
        """Who published it."""
        return self.identity.source

    @property
    def actor(self) -> str:
        """The user on whose authority it runs."""
        actor: str = getattr(self.inputs, self.procedure.actor)
        return actor

    def refused(self, halt: Halt) -> "Refused":
        """The same, not to be run but halted."""
        return Refused(
            halt,
            self.delivery,
            identity=self.identity,
            body_hash=self.body_hash,
            procedure=self.procedure,
            received_at=self.received_at,
            event_time=self.event_time,
            actor=self.actor,
        )


class Refused(NamedTuple):
    """A message that cannot be run as it is.

    Attributes:
        identity: whose it is, if it proved that; only then does it claim its ``(source, id)``.
        body_hash: given with the identity.
        procedure: the one it asked for, if it exists.
        received_at: the receipt, given with the identity.
        event_time: the event's signed time, if it has one, whatever it says.
        claimed: whose it says it is, where it could not prove that.
        actor: on whose authority it was to run, if it names a user as an id is written.
    """

    halt: Halt
    delivery: Delivery
    identity: Identity | None = None
    body_hash: bytes | None = None
    procedure: Procedure | None = None
    received_at: datetime | None = None
    event_time: datetime | None = None
    claimed: Identity | None = None
    actor: str | None = None


Message = Request[Inputs] | Refused
