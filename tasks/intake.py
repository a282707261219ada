"""What the tasks ask of an intake engine; the engines themselves are in ``worker``."""

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from models.deliveries import Delivery
from models.outcomes import Outcome

Finished = tuple[Delivery, Outcome | None]
"""An entry whose decision is committed, and the outcome to publish; None while it waits."""

_BULK_SHARE = 10


def bulk_share(limit: int) -> int:
    """How many of a batch of *limit* are left to bulk, however much is urgent.

    A tenth, one at least: so what is urgent waits for one batch at most, and what came in bulk is
    never starved. A batch of one has no room for both.
    """
    return max(1, limit // _BULK_SHARE) if limit > 1 else 0


class Intake(Protocol):
    """The durable queue that requests arrive on, as one pool process sees it.

    Every method may raise what ``tasks.faults`` calls an outage.
    """

    @property
    def consumer(self) -> str:
        """The name of this process in the intake; no two processes ever have the same."""

    def receive(self, limit: int) -> list[Delivery]:
        """Take up to *limit* entries without waiting.

        Abandoned ones come first, then urgent, then bulk, then what was set aside until now.
        Something of what came in bulk, and of what was set aside, is always among them
        (:func:`bulk_share`). An abandoned entry that has been delivered too often comes alone.
        """

    def rest(self, limit: int) -> list[Delivery]:
        """Take up to *limit* of what the broker has given to this process; ask for no more.

        Called until it gives nothing before a process pauses, so that nothing stays behind in it
        but what has to be run alone.
        """

    def finish(self, done: Sequence[Finished]) -> None:
        """Acknowledge entries and publish their outcomes, where they have one.

        What fails in the middle leaves the first of them finished, and only those.
        """

    def renew(self, deliveries: Sequence[Delivery]) -> None:
        """Say that these entries are still being worked on."""

    def hand_back(self, deliveries: Sequence[Delivery]) -> None:
        """These entries are not decided: this process, or others, may receive them at once again.

        This delivery does not count.
        """

    def set_aside(self, deliveries: Sequence[Delivery], *, seconds: float) -> None:
        """Have these entries delivered again in *seconds*, by whoever has room then.

        The broker keeps them meanwhile, this process does not, and this delivery does not count.
        They come after what is new (:meth:`receive`), marked as set aside.

        Args:
            deliveries: none that runs alone.
            seconds: at most the claim idle time; who wants to wait longer sets them aside again.
        """

    def publish(self, events: Sequence[tuple[bytes, bool]]) -> None:
        """Publish outcome events that no entry carries, each with whether it is a halt."""

    def forget_consumers(self) -> None:
        """Tidy up after processes that are gone, leaving what they had in hand to others."""

    def oldest_undecided(self) -> datetime | None:
        """When the oldest entry still here was accepted; None if there is none."""

    def clock(self) -> datetime | None:
        """The time by the broker's clock (UTC); None where it does not tell."""
