"""The way of a batch: decode → claim → gather → decide → write → audit → commit.

:func:`run` is that way, to be read top to bottom. Around it, :class:`Pipeline` does what DESIGN 2
says of failures: a batch that fails is run again or bisected until the one request at fault is
alone, and that one is halted; an outage halts nothing.
"""

import random
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime

import structlog
from sqlalchemy import Connection, Engine

from models.audit import AuditKey, write_audit
from models.clock import Clock, database_now
from models.deliveries import Delivery
from models.registry import Registry, RegistryFile
from models.registry_record import record_registry
from models.sql import new_ids
from policy.halts import Halt, Reason
from tasks.claim import claim, is_to_decide
from tasks.decode import Gate, Refusing, decode, refuse_barely, refuse_nameless, refuse_unread
from tasks.faults import (
    Fault,
    Outage,
    OutOfMemory,
    as_outage,
    describe,
    fault_of,
    frames_of,
    place_of,
)
from tasks.gather import gather
from tasks.record import audit_entry
from tasks.requests import Message, Refused, Request
from tasks.rules import Rules
from tasks.verdicts import Verdict, conclude, decide, halted
from tasks.write import write_effects, write_verdicts

logger = structlog.get_logger(__name__)

RUNS_AFTER_RACE = 3
RUNS_AFTER_COLLISION = 8
BUGS_BEFORE_PAUSE = 20
"""So many requests in a row that ran into bugs of ours: then it is not the requests."""


@dataclass(frozen=True, slots=True)
class Means:
    """What a batch is run with.

    Attributes:
        clock: PostgreSQL's; another one only where the time is to be another.
        records_registry: the audit says which registry is put into force; so it does in a worker.
    """

    registry: RegistryFile
    rules: Rules
    audit_key: AuditKey
    clock: Clock = database_now
    records_registry: bool = False


def run(
    connection: Connection,
    deliveries: Sequence[Delivery],
    means: Means,
    *,
    refusal: Halt | None = None,
    refusing: Refusing = refuse_unread,
) -> list[Verdict]:
    """Run one batch inside the transaction of *connection*.

    Args:
        connection: its transaction is committed by the caller, or rolled back whole.
        deliveries: the batch, in the order of its decisions.
        means: what it is run with.
        refusal: halt the batch, unread and undecided, with this.
        refusing: and how.

    Returns:
        A verdict for each delivery, in order.
    """
    now = means.clock(connection)
    gate = Gate(means.registry.in_force(), now)
    messages: list[Message] = [
        decode(delivery, gate) if refusal is None else refusing(delivery, refusal, gate)
        for delivery in deliveries
    ]
    claims, reports = claim(connection, messages)
    requests = [c.message for c in claims if is_to_decide(c) and isinstance(c.message, Request)]
    facts = gather(connection, requests, reports, means.rules)
    verdicts = decide(claims, facts)
    halt_ids = new_ids(connection, {"halts": halted(verdicts)}).get("halts", [])
    verdicts = conclude(verdicts, halt_ids, now=now)
    write_effects(connection, facts)
    write_verdicts(connection, verdicts, now=now)
    write_audit(
        connection, means.audit_key, [audit_entry(v, now=now) for v in verdicts if v.is_new]
    )
    return verdicts


@dataclass(slots=True)
class Pipeline:
    """Runs batches against one database, whatever becomes of them.

    Attributes:
        bugs_in_a_row: requests halted as ``internal_error`` since one went through.
        registry_is_read: the next batch was made up by the registry in force; another one, which a
            second look might find, would not fit it.
    """

    engine: Engine
    means: Means
    bugs_in_a_row: int = field(default=0, init=False)
    registry_is_read: bool = field(default=False, init=False)
    _recorded: Registry | None = field(default=None, init=False)

    def look_at_registry(self) -> RegistryFile:
        """Put the registry into force that its file has now; what has changed goes to the audit.

        Raises:
            Outage: the infrastructure is at fault; nothing can be decided.
        """
        file = self.means.registry
        try:
            registry = file.current()
            if self.means.records_registry and registry is not self._recorded:
                with self.engine.begin() as connection:
                    gone = record_registry(connection, self.means.audit_key, registry)
                if gone:
                    file.doubt(gone)
                self._recorded = registry
        except Exception as error:
            raise as_outage(error) from error
        return file

    def process(self, deliveries: Sequence[Delivery]) -> Iterator[list[Verdict]]:
        """Run a batch; each committed part of it is yielded, to be published and acknowledged.

        Raises:
            Outage: the infrastructure is at fault. What was not yielded is not decided.
            OutOfMemory: nor is it then; this process is to be given up.
        """
        if not deliveries:
            return
        if not self.registry_is_read:
            self.look_at_registry()
        self.registry_is_read = False
        yield from self._process(deliveries)

    def _process(self, deliveries: Sequence[Delivery]) -> Iterator[list[Verdict]]:
        try:
            verdicts = self._commit(deliveries)
        except Exception as error:
            fault = fault_of(error)
            if fault is Fault.OUTAGE:
                raise Outage(describe(error)) from error
            if len(deliveries) > 1:
                middle = len(deliveries) // 2
                yield from self._process(deliveries[:middle])
                yield from self._process(deliveries[middle:])
                return
            verdicts = self._halt(deliveries[0], error, fault)
        else:
            self.bugs_in_a_row = 0
        yield verdicts

    def refuse(self, delivery: Delivery, halt: Halt) -> list[Verdict]:
        """Halt a request without running it, in the plainest way that it takes.

        Raises:
            Outage: the infrastructure is at fault.
        """
        obstacle: Exception | None = None
        for refusing in (refuse_unread, refuse_barely, refuse_nameless):
            try:
                return self._commit([delivery], refusal=halt, refusing=refusing)
            except Exception as error:
                if fault_of(error) is Fault.OUTAGE:
                    raise Outage(describe(error)) from error
                obstacle = error
                halt = Halt(
                    Reason.INTERNAL_ERROR, f"The halt could not be stored ({describe(error)})."
                )
        assert obstacle is not None
        raise Outage(f"a halt cannot be stored: {describe(obstacle)}") from obstacle

    def _commit(
        self,
        deliveries: Sequence[Delivery],
        *,
        refusal: Halt | None = None,
        refusing: Refusing = refuse_unread,
    ) -> list[Verdict]:
        """One transaction, run again after a lost race or a collision with another."""
        attempt = 0
        while True:
            attempt += 1
            try:
                with self.engine.begin() as connection:
                    return run(
                        connection, deliveries, self.means, refusal=refusal, refusing=refusing
                    )
            except MemoryError as error:
                raise OutOfMemory from error
            except Exception as error:
                fault = fault_of(error)
                again = (fault is Fault.RACE and attempt < RUNS_AFTER_RACE) or (
                    fault is Fault.COLLISION and attempt < RUNS_AFTER_COLLISION
                )
                if fault is Fault.COLLISION and not again:
                    raise Outage(describe(error)) from error
                if not again:
                    raise
                time.sleep(random.uniform(0, 0.01 * 2**attempt))  # noqa: S311  # jitter

    def _halt(self, delivery: Delivery, error: Exception, fault: Fault) -> list[Verdict]:
        """The one request left is at fault, or what we make of it is."""
        if fault is Fault.BUG:
            self._count_bug(error)
            halt = Halt(
                Reason.INTERNAL_ERROR,
                f"Andon failed with {type(error).__name__} at {place_of(error)}.",
            )
        else:
            halt = Halt(
                self._refused_as(delivery),
                f"The database refused the write ({describe(error)}).",
            )
        return self.refuse(delivery, halt)

    def _count_bug(self, error: Exception) -> None:
        if self.bugs_in_a_row >= BUGS_BEFORE_PAUSE:
            raise Outage(
                f"{BUGS_BEFORE_PAUSE} requests in a row ran into {type(error).__name__}"
                f" at {place_of(error)}"
            ) from error
        self.bugs_in_a_row += 1
        logger.error(
            "request_failed",
            error=type(error).__name__,
            place=place_of(error),
            frames=frames_of(error),
        )

    def _refused_as(self, delivery: Delivery) -> Reason:
        """How the policy calls it when this procedure's write fails."""
        message = decode(delivery, Gate(self.means.registry.in_force(), self.now()))
        if isinstance(message, Refused) or message.procedure is None:
            return Reason.INTERNAL_ERROR
        return message.procedure.refused

    def now(self) -> datetime:
        """The time by the clock that counts, asked for outside of a batch.

        Raises:
            Outage: the infrastructure is at fault.
        """
        try:
            with self.engine.begin() as connection:
                return self.means.clock(connection)
        except Exception as error:
            raise as_outage(error) from error
