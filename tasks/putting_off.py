"""Putting off: what another process has in hand too is run once that one is done with it."""

import time
from collections.abc import Container, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from sqlalchemy import Engine

from models.deliveries import Delivery
from models.in_hand import mark_of, tell_in_hand

WORTH_TELLING = 50
"""In a batch of fewer entries none is likely to be in another process's hands too."""
LONGEST = 1.0
"""Seconds for which an entry is put off at most, whoever has it in hand: all is run in the end."""


class _Marked(NamedTuple):
    """A delivery, the mark of its event, and until when it may be put off."""

    delivery: Delivery
    mark: int
    until: float

    def is_for_later(self, others: Container[int], now: float) -> bool:
        """Whether it is put off, where *others* are the marks of what other processes have.

        One that was delivered before is not: whoever had it is most likely gone.
        """
        return self.mark in others and self.delivery.deliveries == 1 and now < self.until


@dataclass(slots=True)
class Sieve:
    """Keeps back, from batch to batch, what one process had better not run now.

    Attributes:
        runner: the name by which the other processes know this one.
    """

    engine: Engine
    runner: str
    _kept: list[_Marked] = field(default_factory=list, init=False)

    def __len__(self) -> int:
        """How much is kept back."""
        return len(self._kept)

    def sift(self, deliveries: Sequence[Delivery]) -> list[Delivery]:
        """What to run now, of what was just read and of what was kept back before."""
        kept, self._kept = self._kept, []
        if len(deliveries) < WORTH_TELLING:
            return [*(each.delivery for each in kept), *deliveries]
        now = time.monotonic()
        marked = [_Marked(each, mark_of(each.event), now + LONGEST) for each in deliveries]
        with self.engine.begin() as connection:
            others = tell_in_hand(connection, self.runner, (each.mark for each in marked))
        to_run: list[_Marked] = []
        for each in (*kept, *marked):
            (self._kept if each.is_for_later(others, now) else to_run).append(each)
        return [each.delivery for each in to_run]

    def forget(self) -> None:
        """Keep nothing back any more: it has been handed back."""
        self._kept.clear()
