"""Renewing: what a process decides on is its own, however long the database takes over it.

A thread says so meanwhile, since the process itself waits. It speaks to the intake only while a
batch is being decided, when nobody else of this process does.
"""

import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import TracebackType
from typing import Self

import structlog

from models.deliveries import Delivery
from tasks.faults import Fault, fault_of, frames_of
from tasks.intake import Intake

logger = structlog.get_logger(__name__)


class Renewing:
    """Renews what is in hand, from entering to leaving it.

    Args:
        intake: where the entries are renewed.
        every: seconds between two renewals.
        longest: seconds after which it ends by itself: others then take over what a process that
            hangs, and that nobody ends, has in hand.
    """

    def __init__(self, intake: Intake, *, every: float, longest: float) -> None:
        self._intake = intake
        self._every = every
        self._until = time.monotonic() + longest
        self._deciding = threading.Lock()
        self._in_hand: Mapping[str, Delivery] = {}
        self._ended = threading.Event()

    def __enter__(self) -> Self:
        threading.Thread(target=self._run, name="renewing", daemon=True).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._ended.set()

    @contextmanager
    def while_deciding(self, in_hand: Mapping[str, Delivery]) -> Iterator[None]:
        """Renew these entries until the block ends, which lets no renewal under way behind it."""
        with self._deciding:
            self._in_hand = in_hand
        try:
            yield
        finally:
            with self._deciding:
                self._in_hand = {}

    def _run(self) -> None:
        while not self._ended.wait(self._every) and time.monotonic() < self._until:
            with self._deciding:
                if self._in_hand:
                    self._renew()

    def _renew(self) -> None:
        try:
            self._intake.renew(list(self._in_hand.values()))
        except Exception as error:
            # An outage of the broker shows when the process finishes what it has decided.
            if fault_of(error) is not Fault.OUTAGE:
                logger.error("renewing_failed", frames=frames_of(error))
