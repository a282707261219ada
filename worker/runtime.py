"""What one process works with: its connections, its pipeline, its brake, its signs of life.

Everything is opened on first use in the process that uses it, never before a fork.
"""

import os
from collections.abc import Callable
from datetime import timedelta
from functools import cached_property

import structlog
from sqlalchemy import event

from models.audit_partitions import make_partitions
from models.database import connect
from models.deliveries import Delivery
from models.outcomes import Outcome
from models.registry import KEPT_IN_FORCE, RegistryFile
from tasks.drain import Drain
from tasks.faults import Outage, OutOfMemory, as_outage, frames_of, place_of
from tasks.intake import Intake
from tasks.pipeline import Means, Pipeline
from tasks.prune import compact, prune
from tasks.sweep import Sweep
from worker.brake import Brake
from worker.engines import open_intake
from worker.overrun import ending_on_overrun
from worker.settings import Settings
from worker.signs_of_life import Kind, SignsOfLife
from worker.stopping import Calls, StopFlag

logger = structlog.get_logger(__name__)

DRAIN = "drain"
KILLED_WITHIN = 15
"""Seconds in which a pool process that passes the hard limit is killed by its main process."""


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

    @cached_property
    def signs(self) -> SignsOfLife:
        """The signs of life of this process."""
        limit = self._settings.batch_time_limit + KILLED_WITHIN
        of = os.getppid() if self._kind is Kind.POOL else os.getpid()
        directory = self._settings.health_directory
        return SignsOfLife(directory, self._kind, hangs_after=limit, of=of)

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
        if self._kind is Kind.SCHEDULES:  # whose jobs may be long; each transaction is a step
            event.listen(engine, "commit", lambda _connection: self.signs.turned())
        registry = RegistryFile(settings.producers_file, _say_of_registry)
        return Pipeline(engine, Means(registry, settings.rules, settings.current_audit_key()))

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
        self.signs.began(DRAIN)
        with ending_on_overrun():
            self._braked(self._run_drain)
        self.signs.ended()

    def _run_drain(self) -> bool:
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
        self._braked(self._sweep)

    @cached_property
    def _sweeper(self) -> Sweep:
        return Sweep(self.intake, self.pipeline, self._settings.batch_size)

    def _sweep(self) -> bool:
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

    def _braked(self, work: Callable[[], bool]) -> None:
        """Do *work*, unless it is too early after an outage to try again.

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
            self._calls.add()

    def run_one(self, delivery: Delivery) -> Outcome | None:
        """Run a request that came as a plain Celery task, and publish its outcome.

        Returns:
            The outcome; None if the request waits for a report.

        Raises:
            Outage: nothing is decided, or nothing published; it may be run again.
        """
        try:
            (verdict,) = (v for part in self.pipeline.process([delivery]) for v in part)
            if verdict.outcome is not None:
                self.intake.publish([(verdict.outcome.event(), verdict.outcome.halted)])
        except Exception as error:
            raise as_outage(error) from error
        return verdict.outcome
