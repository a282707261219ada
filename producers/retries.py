"""Publishing again what failed: how often, and for how long."""

import random
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from models.streams import Lane
from producers.faults import IntakeFull, IntakeUnreachable
from producers.publisher import Publisher
from producers.signed import SignedEvent

RETRY_FOR = 30.0
"""Seconds; a restart of Redis or of RabbitMQ takes less."""

_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 5.0


def pause_after(failures: int) -> float:
    """How many seconds to wait after so many failures in a row: growing, and never in step."""
    ceiling = min(_LONGEST_PAUSE, _FIRST_PAUSE * 2 ** min(failures - 1, 16))
    return random.uniform(ceiling / 2, ceiling)  # noqa: S311  # jitter


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a publication goes on trying.

    Both times begin anew whenever some of it was accepted. A try that has begun is not cut short,
    so that a server which keeps silent takes its own time in addition.

    Attributes:
        retry_for: seconds, while the intake cannot be reached; 0 for one try.
        wait_when_full: seconds, while it is full; 0 for one try.
    """

    retry_for: float = RETRY_FOR
    wait_when_full: float = 0.0

    def publish(
        self, publisher: Publisher, events: Sequence[SignedEvent], *, lane: Lane
    ) -> list[str]:
        """Publish *events* in their order, and again what was not confirmed.

        What was not confirmed may have arrived; its second copy is a duplicate then.

        Returns:
            The intake entry of each.

        Raises:
            IntakeFull: there was no room in time.
            IntakeUnreachable: the intake did not answer in time.
        """
        entries: list[str] = []
        tries = _Tries()
        while True:
            try:
                return entries + publisher.publish(events[len(entries) :], lane=lane)
            except (IntakeFull, IntakeUnreachable) as error:
                failure = error.after(entries)
                if error.entries:
                    entries, tries = failure.entries, _Tries()
                limit = self.wait_when_full if isinstance(error, IntakeFull) else self.retry_for
                pause = tries.pause(limit)
                if pause is None:
                    raise failure from error
            time.sleep(pause)


@dataclass(slots=True)
class _Tries:
    """Failures in a row."""

    _began: float = field(default_factory=time.monotonic)
    _failures: int = 0

    def pause(self, limit: float) -> float | None:
        """Seconds until the next try; none where *limit* seconds have passed."""
        left = self._began + limit - time.monotonic()
        if left <= 0:
            return None
        self._failures += 1
        return min(left, pause_after(self._failures))
