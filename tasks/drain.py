"""Drain: read what waits in the intake, run it, publish and acknowledge, until nothing is left.

An entry is acknowledged after the commit, together with its outcome. Whatever happens before leaves
it pending; another process takes it over and finds in the ledger what was already committed.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from models.attempts import begin_alone, withdraw
from models.deliveries import Delivery
from models.in_hand import mark_of, tell_in_hand
from policy.halts import Halt, Reason
from tasks.faults import Fault, as_outage, fault_of
from tasks.intake import Intake
from tasks.pipeline import Pipeline
from tasks.verdicts import Verdict

ALONE_FROM_DELIVERY = 3
"""From this delivery on an entry is run alone, since it may be what kills its worker."""
LOST_WORKERS = 3
"""So many runs alone that did not end, and the entry is halted unrun."""
WORTH_TELLING = 50
"""In a batch of fewer entries none is likely to be in another process's hands too."""
LONGEST_DRAIN = 1.0
"""Seconds after which a drain ends, so that a worker can be stopped."""

_WORKER_LOST = Halt(
    Reason.WORKER_LOST,
    f"{LOST_WORKERS} processes that ran this request alone were lost; it was not run again.",
)


@dataclass(slots=True)
class Drain:
    """Empties an intake into a pipeline, as one pool process.

    Attributes:
        renew_after: seconds after which entries in hand are renewed.
        stopping: whether the worker is being stopped; then nothing new is read.
        decided: how many messages it has acknowledged, their decisions committed.
        halted: how many of them this process has halted.
    """

    intake: Intake
    pipeline: Pipeline
    batch_size: int
    renew_after: float
    stopping: Callable[[], bool]
    decided: int = field(default=0, init=False)
    halted: int = field(default=0, init=False)
    _to_withdraw: set[str] = field(default_factory=set, init=False)
    _put_off: list[Delivery] = field(default_factory=list, init=False)

    def run(self) -> bool:
        """Read and run batches until nothing is left, or a second has passed.

        Returns:
            Whether something may be left.

        Raises:
            Outage: the infrastructure is at fault; what was in hand has been handed back.
        """
        until = time.monotonic() + LONGEST_DRAIN
        while True:
            pausing = self.stopping() or time.monotonic() >= until
            try:
                self._withdraw_runs()
                read = self.intake.rest if pausing else self.intake.receive
                deliveries = read(self.batch_size)
            except Exception as error:
                self._give_up(self._put_off, alone=False)
                self._put_off = []
                raise as_outage(error) from error
            if not deliveries and not self._put_off:
                return pausing
            self._run_batch(deliveries)

    def _run_batch(self, deliveries: Sequence[Delivery]) -> None:
        """Run what was read, and what was put off; acknowledge each part that is committed."""
        in_hand = {delivery.entry: delivery for delivery in (*self._put_off, *deliveries)}
        alone = bool(deliveries) and deliveries[0].deliveries >= ALONE_FROM_DELIVERY
        renewed = time.monotonic()
        try:
            parts = (
                self._alone(deliveries[0])
                if alone
                else self.pipeline.process(self._sift(deliveries))
            )
            for verdicts in parts:
                self._finish(verdicts)
                for verdict in verdicts:
                    del in_hand[verdict.claim.message.delivery.entry]
                if in_hand and time.monotonic() - renewed > self.renew_after:
                    self.intake.renew(list(in_hand.values()))
                    renewed = time.monotonic()
        except Exception as error:
            self._put_off.clear()
            self._give_up(list(in_hand.values()), alone=alone)
            raise as_outage(error) from error

    def _sift(self, deliveries: Sequence[Delivery]) -> list[Delivery]:
        """What to run now: all but what another process has in hand too, and what was put off.

        Nothing is put off twice, so that everything is run in the end, whoever has it in hand.
        """
        now, self._put_off = self._put_off, []
        if len(deliveries) < WORTH_TELLING:
            return [*now, *deliveries]
        marks = [mark_of(delivery.event) for delivery in deliveries]
        with self.pipeline.engine.begin() as connection:
            others = tell_in_hand(connection, self.intake.consumer, marks)
        for delivery, mark in zip(deliveries, marks, strict=True):
            (self._put_off if mark in others else now).append(delivery)
        return now

    def _finish(self, verdicts: Sequence[Verdict]) -> None:
        self.intake.finish(
            [verdict.claim.message.delivery for verdict in verdicts],
            [verdict.outcome for verdict in verdicts if verdict.outcome is not None],
        )
        self.decided += len(verdicts)
        self.halted += sum(verdict.halt_id is not None for verdict in verdicts)

    def _alone(self, delivery: Delivery) -> list[list[Verdict]]:
        """Run an entry that may kill this process; when it has killed three, halt it unrun."""
        with self.pipeline.engine.begin() as connection:
            lost = begin_alone(connection, delivery.entry, runner=self.intake.consumer)
        if lost >= LOST_WORKERS:
            return [self.pipeline.refuse(delivery, _WORKER_LOST)]
        return list(self.pipeline.process([delivery]))

    def _give_up(self, deliveries: Sequence[Delivery], *, alone: bool) -> None:
        """Hand back what is not decided. If even that fails, it is taken over when it is idle."""
        if alone:
            self._to_withdraw.update(delivery.entry for delivery in deliveries)
        try:
            self.intake.hand_back(deliveries)
        except Exception as error:
            if fault_of(error) is not Fault.OUTAGE:
                raise

    def _withdraw_runs(self) -> None:
        if self._to_withdraw:
            with self.pipeline.engine.begin() as connection:
                withdraw(connection, self._to_withdraw, runner=self.intake.consumer)
            self._to_withdraw.clear()
