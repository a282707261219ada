"""Drain: read what waits in the intake, run it, publish and acknowledge, until nothing is left.

An entry is acknowledged after the commit, together with its outcome. Whatever happens before leaves
it pending; another process takes it over and finds in the ledger what was already committed.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from models.attempts import begin_alone, withdraw
from models.deliveries import Delivery
from policy.halts import Halt, Reason
from tasks.faults import Fault, as_outage, fault_of
from tasks.intake import Intake
from tasks.pipeline import Pipeline
from tasks.putting_off import Sieve
from tasks.verdicts import Verdict

ALONE_FROM_DELIVERY = 3
"""From this delivery on an entry is run alone, since it may be what kills its worker."""
LOST_WORKERS = 3
"""So many runs alone that did not end, and the entry is halted unrun."""
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

    What it has in hand it hands back when anything fails, but for what ends the process
    (``worker.overrun``): then others take it over.
    """

    intake: Intake
    pipeline: Pipeline
    batch_size: int
    renew_after: float
    stopping: Callable[[], bool]
    decided: int = field(default=0, init=False)
    halted: int = field(default=0, init=False)
    _sieve: Sieve = field(init=False)
    _in_hand: dict[str, Delivery] = field(default_factory=dict, init=False)
    _to_withdraw: set[str] = field(default_factory=set, init=False)

    def __post_init__(self) -> None:
        self._sieve = Sieve(self.pipeline.engine, self.intake.consumer)

    def run(self) -> bool:
        """Read and run batches until nothing is left, or a second has passed.

        Returns:
            Whether something may be left.

        Raises:
            Outage: the infrastructure is at fault; what was in hand has been handed back.
        """
        until = time.monotonic() + LONGEST_DRAIN
        try:
            while True:
                pausing = self.stopping() or time.monotonic() >= until
                self._withdraw_runs()
                read = self.intake.rest if pausing else self.intake.receive
                # What is put off for long may be given out again, to this very process.
                deliveries = [
                    delivery
                    for delivery in read(self.batch_size)
                    if delivery.entry not in self._in_hand
                ]
                if not deliveries and not self._sieve:
                    return pausing
                self._run_batch(deliveries)
        except Exception as error:
            self._give_up()
            raise as_outage(error) from error

    def _run_batch(self, deliveries: Sequence[Delivery]) -> None:
        """Run what was read, and what was put off; acknowledge each part that is committed."""
        self._in_hand.update((delivery.entry, delivery) for delivery in deliveries)
        if deliveries and deliveries[0].deliveries >= ALONE_FROM_DELIVERY:
            parts: Iterable[list[Verdict]] = self._alone(deliveries[0])
        else:
            parts = self.pipeline.process(self._sieve.sift(deliveries))
        renewed = time.monotonic()
        for verdicts in parts:
            self._finish(verdicts)
            if self._in_hand and time.monotonic() - renewed > self.renew_after:
                self.intake.renew(list(self._in_hand.values()))
                renewed = time.monotonic()

    def _finish(self, verdicts: Sequence[Verdict]) -> None:
        done = [(verdict.claim.message.delivery, verdict.outcome) for verdict in verdicts]
        self.intake.finish(done)
        for delivery, _ in done:
            del self._in_hand[delivery.entry]
        self.decided += len(verdicts)
        self.halted += sum(verdict.halt_id is not None for verdict in verdicts)

    def _alone(self, delivery: Delivery) -> Iterator[list[Verdict]]:
        """Run an entry that may kill this process; when it has killed three, halt it unrun."""
        self._to_withdraw.add(delivery.entry)
        with self.pipeline.engine.begin() as connection:
            lost = begin_alone(connection, delivery.entry, runner=self.intake.consumer)
        if lost >= LOST_WORKERS:
            yield self.pipeline.refuse(delivery, _WORKER_LOST)
        else:
            yield from self.pipeline.process([delivery])
        self._to_withdraw.discard(delivery.entry)

    def _give_up(self) -> None:
        """Hand back what is not decided. If even that fails, it is taken over when it is idle."""
        deliveries = list(self._in_hand.values())
        self._in_hand.clear()
        self._sieve.forget()
        try:
            self.intake.hand_back(deliveries)
        except Exception as error:
            if fault_of(error) is not Fault.OUTAGE:
                raise

    def _withdraw_runs(self) -> None:
        """Take back the runs alone that an outage ended, not the entry."""
        if self._to_withdraw:
            with self.pipeline.engine.begin() as connection:
                withdraw(connection, self._to_withdraw, runner=self.intake.consumer)
            self._to_withdraw.clear()
