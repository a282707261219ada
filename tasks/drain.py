"""Drain: read what waits in the intake, run it, publish and acknowledge, until nothing is left.

An entry is acknowledged after the commit, together with its outcome. Whatever happens before leaves
it pending; another process takes it over and finds in the ledger what was already committed.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from models.attempts import begin_alone, withdraw
from models.deliveries import Delivery
from policy.halts import Halt, Reason
from tasks.faults import Fault, Outage, as_outage, fault_of
from tasks.intake import Intake, bulk_share
from tasks.pipeline import Pipeline
from tasks.putting_off import Sieve
from tasks.renewing import Renewing
from tasks.surplus import Skimming
from tasks.unknown_keys import seconds_to_wait, without_key
from tasks.verdicts import Verdict

ALONE_FROM_DELIVERY = 3
"""From this delivery on an entry is run alone, since it may be what kills its worker."""
LOST_WORKERS = 3
"""So many runs alone that did not end, and the entry is halted unrun."""
SLOW_DATABASE = 5.0
"""Seconds; where merely noting a run takes longer, whatever takes too long is not its request."""
LONGEST_DRAIN = 1.0
"""Seconds after which a drain ends, so that a worker can be stopped."""
LONGEST_SKIM = 0.25
"""Seconds for which a drain reads through a flood before it runs what it has kept.

It ends earlier where it comes upon what is fresh.
"""

_WORKER_LOST = Halt(
    Reason.WORKER_LOST,
    f"{LOST_WORKERS} processes that ran this request alone were lost; it was not run again.",
)


@dataclass(slots=True)
class Drain:
    """Empties an intake into a pipeline, as one pool process.

    Attributes:
        renew_after: seconds after which entries in hand are renewed.
        renew_for: seconds after which they no longer are: it hangs then, and nobody ends it.
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
    renew_for: float = 60.0
    decided: int = field(default=0, init=False)
    halted: int = field(default=0, init=False)
    _sieve: Sieve = field(init=False)
    _flooded: bool = field(default=False, init=False)
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
            with Renewing(self.intake, every=self.renew_after, longest=self.renew_for) as renewing:
                return self._run(until, renewing)
        except Exception as error:
            self._give_up()
            raise as_outage(error) from error

    def _run(self, until: float, renewing: Renewing) -> bool:
        while True:
            pausing = self.stopping() or time.monotonic() >= until
            self._withdraw_runs()
            deliveries = self._read(self.intake.rest if pausing else self.intake.receive)
            if not deliveries and not self._sieve:
                return pausing
            self._run_batch(deliveries, renewing)

    def _read(self, read: Callable[[int], list[Delivery]]) -> list[Delivery]:
        """Read what there is room for; in a flood set aside what is surplus, and read on."""
        registry = self.pipeline.means.registry.current() if self._flooded else None
        skimming = Skimming(self.batch_size, registry)
        until = time.monotonic() + LONGEST_SKIM
        batch: list[Delivery] = []
        while (room := self.batch_size - len(self._sieve) - len(batch)) > 0:
            # What is put off for long may be given out again, to this very process.
            found = [each for each in read(room) if each.entry not in self._in_hand]
            self._in_hand.update((each.entry, each) for each in found)
            surplus = skimming.surplus(found, room=room)
            self._set_aside(surplus)
            kept = found if not surplus else [each for each in found if self._has(each)]
            # What a flood is made of is kept of the first read only: what comes later is fresh.
            is_fresh = bool(batch) and not all(each.set_aside for each in kept)
            batch += kept
            if not surplus or is_fresh or time.monotonic() >= until:
                break
        self._flooded = skimming.unproven > bulk_share(self.batch_size)
        return batch

    def _has(self, delivery: Delivery) -> bool:
        return delivery.entry in self._in_hand

    def _set_aside(self, deliveries: Sequence[Delivery], *, seconds: float = 0) -> None:
        if deliveries:
            self.intake.set_aside(deliveries, seconds=seconds)
            for delivery in deliveries:
                del self._in_hand[delivery.entry]

    def _run_batch(self, deliveries: Sequence[Delivery], renewing: Renewing) -> None:
        """Run what was read, and what was put off; acknowledge each part that is committed.

        What may kill this process is run alone, when the rest is done.
        """
        suspects = [each for each in deliveries if each.deliveries >= ALONE_FROM_DELIVERY]
        others = [each for each in deliveries if each.deliveries < ALONE_FROM_DELIVERY]
        if others or not suspects:
            with renewing.while_deciding(self._in_hand):
                batch = self._sieve.sift(others)
                early = self._without_key(batch)
            if early:
                wait = seconds_to_wait(len(early), self.pipeline.means.rules)
                self._set_aside(early, seconds=wait)
                batch = list(filter(self._has, batch))
            self.pipeline.registry_is_read = True
            self._run_parts(self.pipeline.process(batch), renewing)
        for suspect in suspects:
            self._run_parts(self._alone(suspect), renewing)

    def _run_parts(self, parts: Iterator[list[Verdict]], renewing: Renewing) -> None:
        """Acknowledge each part as soon as it is decided."""
        while True:
            with renewing.while_deciding(self._in_hand):
                verdicts = next(parts, None)
            if verdicts is None:
                return
            self._finish(verdicts)
            unproven = sum(verdict.claim.message.identity is None for verdict in verdicts)
            self._flooded |= unproven > bulk_share(self.batch_size)

    def _without_key(self, batch: Sequence[Delivery]) -> list[Delivery]:
        """What of a batch is to wait in the broker for its key."""
        pipeline = self.pipeline
        file = pipeline.look_at_registry()
        return without_key(batch, file, pipeline.means.rules, clock=pipeline.now)

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
        begun = time.monotonic()
        with self.pipeline.engine.begin() as connection:
            lost = begin_alone(connection, delivery.entry, runner=self.intake.consumer)
        if time.monotonic() - begun > SLOW_DATABASE:
            raise Outage("PostgreSQL is too slow to tell what a request is at fault for")
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
