"""Forwarding what is spooled to the intake, once, or from a thread for as long as a block runs."""

import logging
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Self

from producers.faults import PublishFailed
from producers.publisher import Publisher
from producers.retries import pause_after
from producers.signed import SignedEvent
from producers.spool import Spool

_log = logging.getLogger(__name__)


Sign = Callable[[SignedEvent], SignedEvent]
"""An event as its source signs it now; its key may have been changed since it was spooled."""


def forward_head(spool: Spool, publisher: Publisher, sign: Sign, *, count: int) -> int:
    """Publish the oldest events of *spool*, and remove those that were confirmed.

    Args:
        spool: where they are.
        publisher: the way to the intake.
        sign: gives each event the signature that it is published with.
        count: how many at most.

    Returns:
        How many there were; 0 means that the spool is empty.

    Raises:
        IntakeFull: the intake has no room for them.
        IntakeUnreachable: the intake does not answer.
        SpoolUnusable: the spool cannot be read or written.
    """
    if spool.is_empty():
        return 0
    with spool.turn():
        head = spool.head(count)
        if not head:
            return 0
        try:
            publisher.publish([sign(each.event) for each in head], lane=head[0].lane)
        except PublishFailed as error:
            spool.remove(head[: len(error.entries)])
            raise
        spool.remove(head)
        return len(head)


class Forwarder:
    """A thread that forwards while a ``with`` block runs, and goes on trying when that fails.

    What is still spooled at the end of the block stays spooled.

    Attributes:
        failure: why nothing can be forwarded at the moment; None while all is well.
    """

    def __init__(self, forward: Callable[[], int], *, every: float) -> None:
        self.failure: PublishFailed | None = None
        self._forward = forward
        self._every = every
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="andon-forwarder", daemon=True)

    def _run(self) -> None:
        failures = 0
        while not self._stop.is_set():
            try:
                count = self._forward()
            except PublishFailed as error:
                failures += 1
                if self.failure is None:
                    _log.warning("Nothing can be forwarded: %s", error)
                self.failure = error
                self._stop.wait(pause_after(failures))
            else:
                failures, self.failure = 0, None
                if count == 0:
                    self._stop.wait(self._every)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop after the round trip that is under way."""
        self._stop.set()
        self._thread.join()
