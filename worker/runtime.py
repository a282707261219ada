"""What one process works with: its connections, its pipeline, its brake, its signs of life.

Everything is opened on first use in the process that uses it, never before a fork.
"""

import os
import socket
import time
from collections.abc import Callable
from datetime import timedelta
from functools import cached_property

import psycopg
import structlog
from sqlalchemy import event
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from models.audit_partitions import make_partitions
from models.database import connect
from models.deliveries import Delivery
from models.events import MAX_EVENT_BYTES
from models.outcomes import Outcome
from models.registry import KEPT_IN_FORCE, RegistryFile
from models.signs import tell_sign
from models.streams import Lane
from producers.faults import PublishFailed
from producers.publisher import Publisher
from producers.signed import SignedEvent
from tasks.drain import Drain
from tasks.faults import Fault, Outage, OutOfMemory, as_outage, fault_of, frames_of, place_of
from tasks.intake import Intake
from tasks.pipeline import Means, Pipeline
from tasks.prune import compact, prune
from tasks.sweep import Sweep
from tasks.unknown_keys import without_key
from worker.brake import Brake
from worker.clocks import ClockWatch
from worker.engines import open_intake, open_publisher
from worker.hanging_up import SILENCE, Line
from worker.overrun import ending_on_overrun
from worker.settings import Settings
from worker.signs_of_life import Kind, SignsOfLife
from worker.stopping import Calls, StopFlag
from worker.told import refuse_put_back

logger = structlog.get_logger(__name__)

TELL_EVERY = 5.0
"""Seconds between two signs of life in PostgreSQL."""
_DATABASE_FAULTS = (DBAPIError, PoolTimeout, psycopg.Error)
KILLED_WITHIN = 15
"""Seconds in which a pool process that passes the hard limit is killed by its main process."""


_LONGEST_SIGNATURE = 128


def _say_of_registry(fault: str | None) -> None:
    if fault is None:
        logger.info("registry_sound_again")
    else:
        logger.error("registry_at_fault", fault=fault, meanwhile=KEPT_IN_FORCE)


class Runtime:
    """One process of the worker."""

    def __init__(
        self, settings: Settings, stop: StopFlag, calls: Calls, kind: Kind = Kind.POOL
    ) -> None:
        self._settings = settings
        self._kind = kind
        self._stop = stop
        self._calls = calls
        self._brake = Brake()
        self._cause: str | None = None
        self._tell_at = 0.0
        self._clocks = ClockWatch()

    @cached_property
    def signs(self) -> SignsOfLife:
        """The signs of life of this process."""
        limit = self._settings.batch_time_limit + KILLED_WITHIN
        of = os.getppid() if self._kind is Kind.POOL else os.getpid()
        directory = self._settings.health_directory
        return SignsOfLife(
            directory, self._kind, hangs_after=limit, turns_within=2 * self._silence, of=of
        )

    @property
    def _silence(self) -> float:
        """Seconds after which a PostgreSQL that does not answer is hung up on."""
        return self._settings.statement_timeout_ms / 1000 + SILENCE

    @cached_property
    def pipeline(self) -> Pipeline:
        """The pipeline on this process's own connection."""
        settings = self._settings
        engine = connect(
            settings.database_url.get_secret_value(),
            statement_timeout_ms=settings.statement_timeout_ms,
            application="andon worker",
            by_index=True,
        )
        if self._kind is Kind.SCHEDULES:  # whose jobs may be long; each statement is a step
            line = Line(self.signs.silent_for, self.signs.turned, limit=self._silence)
            # First of all, since others ask something of a new connection too.
            event.listen(engine, "connect", lambda made, _record: line.opened(made), insert=True)
            line.watch()
        event.listen(engine, "connect", lambda made, _record: refuse_put_back(settings, made))
        registry = RegistryFile(settings.producers_file, _say_of_registry)
        means = Means(registry, settings.rules, settings.current_audit_key(), records_registry=True)
        return Pipeline(engine, means)

    @cached_property
    def intake(self) -> Intake:
        """The intake on this process's own connection."""
        return open_intake(self._settings, self._calls.count)

    @cached_property
    def _drain(self) -> Drain:
        settings = self._settings
        return Drain(
            self.intake,
            self.pipeline,
            settings.batch_size,
            renew_after=settings.claim_idle.total_seconds() / 3,
            stopping=self._stop.is_set,
            renew_for=settings.batch_time_limit,
        )

    def drain(self) -> None:
        """Empty the intake; in an outage, wait instead. A batch that takes too long ends it."""
        self.signs.began("drain")
        with ending_on_overrun():
            self._braked(self._run_drain, tells=True)
        self.signs.ended()

    def _run_drain(self) -> bool:
        self._clocks.look(self.pipeline.engine, self.intake)
        decided, halted = self._drain.decided, self._drain.halted
        try:
            if self._drain.run():
                self._calls.add()
        finally:
            decided, halted = self._drain.decided - decided, self._drain.halted - halted
            if decided:
                logger.info("decided", messages=decided, halted=halted)
        return decided > 0

    def sweep(self) -> None:
        """Look after what waits; in an outage, wait instead."""
        self._braked(self._sweep, tells=True)

    @cached_property
    def _sweeper(self) -> Sweep:
        return Sweep(self.intake, self.pipeline, self._settings.batch_size)

    def _sweep(self) -> bool:
        self._clocks.look(self.pipeline.engine, self.intake)
        self._sweeper.run()
        return True

    def tidy(self) -> None:
        """Remove what nobody needs any more; in an outage, wait instead."""
        self._braked(self._tidy)

    def _tidy(self) -> bool:
        self.intake.forget_consumers()
        settings = self._settings
        prune(
            self.pipeline.engine,
            oldest_undecided=self.intake.oldest_undecided,
            ledger_retention=settings.rules.ledger_retention,
            halt_retention=timedelta(days=settings.halt_retention_days),
        )
        return True

    def compact(self) -> None:
        """Keep the account of what was decided short; in an outage, wait instead."""
        self._braked(self._compact)

    def _compact(self) -> bool:
        compact(self.pipeline.engine)
        return True

    def partition(self) -> None:
        """Make the audit's partitions ahead of time; in an outage, wait instead."""
        self._braked(self._partition)

    def _partition(self) -> bool:
        with self.pipeline.engine.begin() as connection:
            partitions = make_partitions(connection)
        if partitions.made:
            logger.info("audit_partitions_made", partitions=partitions.made)
        if partitions.kept_by_default:
            logger.warning("audit_month_in_default", partitions=partitions.kept_by_default)
        return True

    def _braked(self, work: Callable[[], bool], *, tells: bool = False) -> None:
        """Do *work*, unless it is too early after an outage to try again.

        Args:
            work: is done.
            tells: whether PostgreSQL is told, from time to time, that it was done.

        It says whether it got something done. To find nothing to do proves nothing: another process
        may have in hand what cannot be done.
        """
        if self._brake.holds():
            self._calls.add()
            return
        try:
            if work():
                self._brake.release()
                self.signs.released()
                self._cause = None
            if tells:
                self._tell()
        except MemoryError as error:
            raise OutOfMemory from error
        except Exception as error:
            outage = as_outage(error)
            if not isinstance(outage, Outage):
                logger.error(
                    "work_failed",
                    error=type(error).__name__,
                    place=place_of(error),
                    frames=frames_of(error),
                )
                outage = Outage(f"{type(error).__name__} at {place_of(error)}")
            self._brake.engage(outage)
            self.signs.braked(str(outage))
            self._cause = str(outage)
            if tells and not isinstance(error.__cause__ or error, _DATABASE_FAULTS):
                self._tell()
            self._calls.add()

    def _tell(self) -> None:
        """Say in PostgreSQL that this process lives, and why it does not work if it does not.

        At most every few seconds. It is a hint for `andon status`: what fails is left out.
        """
        now = time.monotonic()
        if now < self._tell_at:
            return
        self._tell_at = now + TELL_EVERY
        runner, host = self.intake.consumer, socket.gethostname()
        try:
            with self.pipeline.engine.begin() as connection:
                tell_sign(connection, runner=runner, host=host, kind=self._kind, cause=self._cause)
        except Exception as error:
            if fault_of(error) is not Fault.OUTAGE:
                raise

    def run_one(self, delivery: Delivery) -> Outcome | None:
        """Run a request that came as a plain Celery task, and publish its outcome.

        Returns:
            The outcome; None if the request waits for a report, or for its key.

        Raises:
            Outage: nothing is decided, or nothing published; it may be run again.
        """
        try:
            if self._waits_for_key(delivery):
                return None
            (verdict,) = (v for part in self.pipeline.process([delivery]) for v in part)
            if verdict.outcome is not None:
                self.intake.publish([(verdict.outcome.event(), verdict.outcome.halted)])
        except Exception as error:
            raise as_outage(error) from error
        return verdict.outcome

    def _waits_for_key(self, delivery: Delivery) -> bool:
        """Give a task whose key is not in the registry to the intake, which can let it wait.

        Celery has no room for that: a task either is in a process, or comes again at once. What the
        intake does not take is run now.
        """
        pipeline = self.pipeline
        file = pipeline.look_at_registry()
        if not without_key([delivery], file, pipeline.means.rules, clock=pipeline.now):
            return False
        if len(delivery.event) > MAX_EVENT_BYTES or len(delivery.signature) > _LONGEST_SIGNATURE:
            return False
        event = SignedEvent(None, delivery.event, delivery.key_id, delivery.signature)
        try:
            self._publisher.publish([event], lane=Lane.BULK)
        except PublishFailed as fault:
            logger.warning("task_does_not_wait_for_its_key", fault=type(fault).__name__)
            return False
        return True

    @cached_property
    def _publisher(self) -> Publisher:
        return open_publisher(self._settings)
