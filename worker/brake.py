"""The brake: in an outage a pool process waits longer and longer between its tries.

One log line says that the outage began and one that it is over, however many tries lie between.
"""

import os
import random
import time
from dataclasses import dataclass, field

import structlog

from tasks.faults import Outage

logger = structlog.get_logger(__name__)

FIRST_PAUSE = 0.2
LONGEST_PAUSE = 10.0
LONGEST_WAIT = 1.0
"""Seconds that one task waits at most; the pause goes on in the next one."""


@dataclass(slots=True)
class Brake:
    """Exponential backoff with full jitter."""

    _outages: int = field(default=0, init=False)
    _try_at: float = field(default=0.0, init=False)

    def holds(self) -> bool:
        """Wait a while if there is an outage; whether it is still too early to try again."""
        left = self._try_at - time.monotonic()
        if left <= 0:
            return False
        time.sleep(min(left, LONGEST_WAIT))
        return left > LONGEST_WAIT

    def engage(self, outage: Outage) -> None:
        """Something is away: pause before the next try."""
        if self._outages == 0:
            logger.warning("outage_began", cause=str(outage), process=os.getpid())
        ceiling = min(LONGEST_PAUSE, FIRST_PAUSE * 2**self._outages)
        self._try_at = time.monotonic() + random.uniform(ceiling / 2, ceiling)  # noqa: S311  # jitter
        self._outages = min(self._outages + 1, 30)

    def release(self) -> None:
        """Everything is there (again)."""
        if self._outages:
            logger.info("outage_over", process=os.getpid())
        self._outages = 0
        self._try_at = 0.0
