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
        time: the event's signed time, which orders the requests of one source.
        now: the same, but never later than the receipt (DESIGN 6, "Now").
        flags_required: the registry says that of this source a stated severity is not enough.
    """

    identity: Identity
    procedure: Procedure
    inputs: I_co
    time: datetime
    now: datetime
    body_hash: bytes
    delivery: Delivery
    flags_required: bool = False

    @property
    def source(self) -> str:
        """Who published it."""
        return self.identity.source


class Refused(NamedTuple):
    """A message that cannot be run as it is.

    Attributes:
        identity: whose it is, if it proved that; only then does it claim its ``(source, id)``.
        body_hash: given with the identity.
        procedure: the one it asked for, if it exists.
        time: the event's signed time, if it has one.
        if_replayed: the request itself, if it is refused only because its identity may have been
            forgotten; while the ledger has it, as it has that of a halt being replayed, it is run.
        claimed: whose it says it is, where it could not prove that.
    """

    halt: Halt
    delivery: Delivery
    identity: Identity | None = None
    body_hash: bytes | None = None
    procedure: Procedure | None = None
    time: datetime | None = None
    if_replayed: Request[Inputs] | None = None
    claimed: Identity | None = None


Message = Request[Inputs] | Refused
