"""Surplus: what a flood is made of, told apart without running it.

Somebody who publishes one event thousands of times, or thousands of messages that prove nothing,
must not keep everybody else waiting. A process that meets a flood keeps a few of its messages for
this batch and sets the others aside, so what lies behind them is reached at once. They run when
there is room, like all the rest.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from models.deliveries import Delivery
from models.registry import Registry, may_be_key_id
from models.signatures import verify
from tasks.intake import bulk_share

COPIES_KEPT = 3
"""Copies of one event that a batch takes; a second one is usual where a producer was not sure."""
FLOOD_FROM = 50
"""A read of fewer is run as it comes: it takes less than telling a flood."""


@dataclass(slots=True)
class Skimming:
    """Looks through what is read for one batch.

    Attributes:
        limit: the size of a batch.
        registry: who may sign; None where it is not asked, since what came last was signed. Then
            only what names nothing that could be a key proves nothing.
        unproven: messages so far that prove nothing.
    """

    limit: int
    registry: Registry | None
    unproven: int = field(default=0, init=False)
    # By hash: what is set aside must not stay in memory. One that another has too only waits.
    _copies: Counter[int] = field(default_factory=Counter, init=False)

    def surplus(self, deliveries: Sequence[Delivery], *, room: int) -> list[Delivery]:
        """What had better be set aside, of what a read has brought.

        Only of a read that was full, so that more may wait behind it. What was set aside before is
        run now, and so is what others may have died with.

        Args:
            deliveries: what was read.
            room: how many were asked for, of which a lane gets all but the other's share.
        """
        if room < FLOOD_FROM or len(deliveries) < room - bulk_share(room):
            return []
        return [each for each in self._repeated(deliveries) if self._is_surplus(each)]

    def _repeated(self, deliveries: Sequence[Delivery]) -> Sequence[Delivery]:
        """All of them, or none if neither a copy nor a lack of proof can be among them.

        To compare signatures is a hundredth of the work of comparing events.
        """
        different = len({each.signature for each in deliveries})
        few = len(deliveries) - different < COPIES_KEPT
        keyed = self.registry is None and all(map(may_be_key_id, {e.key_id for e in deliveries}))
        return () if few and keyed and not self._copies else deliveries

    def _is_surplus(self, delivery: Delivery) -> bool:
        if delivery.set_aside or delivery.deliveries > 1:
            return False
        event = hash(delivery.event)
        self._copies[event] += 1
        if self._copies[event] > COPIES_KEPT:
            return True
        if self._may_be_signed(delivery):
            return False
        self.unproven += 1
        return self.unproven > bulk_share(self.limit)

    def _may_be_signed(self, delivery: Delivery) -> bool:
        if self.registry is None:
            return may_be_key_id(delivery.key_id)
        owner = self.registry.owner_of(delivery.key_id)
        return owner is not None and verify(delivery.event, delivery.signature, owner[1])
