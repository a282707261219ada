"""Whether every accepted request is accounted for: accepted = done + halted + duplicates + pending.

Counted in intake entries (DESIGN 7), and exact when nothing is in flight; so everything is read
until two readings agree.
"""

import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass

import redis
from sqlalchemy import Engine

from console.database import database, reached
from console.failures import Failure, first_line
from console.troubles import POSTGRESQL, Observed
from migrations.runner import current_revision
from models.figures import Activity, Figures, read_activity, read_figures
from models.numbers import told_numbers
from models.rabbitmq import BROKER_FAULTS
from models.tables import Door
from producers.faults import PublishFailed
from worker.broker_warnings import BrokerTooOld, BrokerWarning
from worker.engines import engine_name, open_gauge
from worker.intake_status import BrokerStatus, ConsumerStatus, Gauge, IntakeStatus
from worker.settings import Settings
from worker.shown_urls import without_password
from worker.told import newest_outcomes

_READINGS = 10
_BETWEEN_READINGS = 0.2


@dataclass(frozen=True, slots=True)
class Reading:
    """What both services said, one right after the other.

    Attributes:
        intake: None if its engine did not answer.
        figures: None if PostgreSQL did not answer.
        revision: of the database's schema.
        faults: why a service did not answer, by its name.
        warnings: what of the intake engine's settings may cost requests.
    """

    intake: IntakeStatus | None
    figures: Figures | None
    revision: str | None
    faults: dict[str, str]
    warnings: list[BrokerWarning]


@dataclass(frozen=True, slots=True)
class Account:
    """What was accepted by the intake, and what has become of it.

    Attributes:
        accepted: None where nobody counts it, as on RabbitMQ.
        counted_by: who counted what was accepted: ``stream``, or ``nobody``.
        settled: those that were given up after a loss: `andon status --settle`.
        in_motion: entries came or went while this was read, or are in a worker's hands.
    """

    accepted: int | None
    counted_by: str
    done: int
    halted: int
    duplicates: int
    pending: int
    settled: int
    in_motion: bool

    @property
    def missing(self) -> int | None:
        """Accepted requests that are accounted for nowhere; negative if there are too many.

        None where nobody counted how many were accepted.
        """
        if self.accepted is None:
            return None
        decided = self.done + self.halted + self.duplicates
        return self.accepted - decided - self.pending - self.settled

    @property
    def holds(self) -> bool | None:
        """Whether the sum comes out; None where that cannot be proven."""
        return None if self.missing is None else self.missing == 0

    @property
    def is_broken(self) -> bool:
        """Whether it is known not to come out."""
        return self.holds is False and not self.in_motion

    def __str__(self) -> str:
        accepted = "" if self.accepted is None else f"{self.accepted:,} accepted = "
        return (
            f"{accepted}{self.done:,} done + {self.halted:,} halted"
            f" + {self.duplicates:,} duplicates + {self.pending:,} pending"
            + self._settled_in_words()
        )

    def _settled_in_words(self) -> str:
        sign = "+" if self.settled > 0 else "-"
        return f" {sign} {abs(self.settled):,} settled" if self.settled else ""


@dataclass(frozen=True, slots=True)
class Observer:
    """Asks both services, on connections of its own."""

    settings: Settings
    engine: Engine
    gauge: Gauge

    def settled(self) -> tuple[Reading, bool]:
        """A reading, and whether the one before it said the same."""
        reading = self.read()
        for _ in range(_READINGS):
            if reading.faults:
                break
            time.sleep(_BETWEEN_READINGS)
            before, reading = reading, self.read()
            if before == reading:
                return reading, True
        return reading, False

    def read(self) -> Reading:
        """Ask both services once."""
        faults: dict[str, str] = {}
        warnings: list[BrokerWarning] = []
        intake, figures, revision = None, None, None
        url = self.settings.database_url.get_secret_value()
        try:
            warnings = self.gauge.read_warnings()
            intake = self.gauge.read_intake()
        except BrokerTooOld as error:
            faults[engine_name(self.settings).lower()] = str(error)
        except (redis.RedisError, *BROKER_FAULTS) as error:
            where = self.settings.broker_url.get_secret_value()
            name = engine_name(self.settings)
            faults[name.lower()] = (
                f"{name} does not answer at {without_password(where)}: {first_line(error)}."
            )
        try:
            with reached(url), self.engine.connect() as connection:
                snapshot = connection.execution_options(isolation_level="REPEATABLE READ")
                revision = current_revision(snapshot)
                figures = read_figures(snapshot)
        except Failure as failure:
            faults["postgresql"] = str(failure)
        return Reading(intake, figures, revision, faults, warnings)

    def look_around(self, reading: Reading) -> Observed:
        """What changes from moment to moment, of those services that answered *reading*."""
        broker: BrokerStatus | None = None
        consumers: list[ConsumerStatus] = []
        told: Mapping[str, int] = {}
        activity: Activity | None = None
        ahead: dict[str, float] = {}
        with suppress(redis.RedisError, PublishFailed, *BROKER_FAULTS):
            if reading.intake is not None:
                broker = self.gauge.read_broker()
                if broker.clock is not None:
                    ahead[engine_name(self.settings)] = broker.clock - time.time()
                consumers = self.gauge.read_consumers()
                told = told_numbers(newest_outcomes(self.settings))
        with suppress(Failure):
            if reading.figures is not None:
                url = self.settings.database_url.get_secret_value()
                with reached(url), self.engine.connect() as connection:
                    activity = read_activity(connection)
                    ahead[POSTGRESQL] = activity.clock - time.time()
        return Observed(
            intake=reading.intake,
            broker=broker,
            consumers=consumers,
            figures=reading.figures,
            activity=activity,
            told=told,
            ahead=ahead,
            looks_every=self.settings.claim_idle.total_seconds() / 3,
            patience=self.settings.patience,
            key_patience=self.settings.key_patience,
        )


@contextmanager
def observer(settings: Settings) -> Iterator[Observer]:
    """An observer for one command."""
    url = settings.database_url.get_secret_value()
    with closing(open_gauge(settings)) as gauge, database(url) as engine:
        yield Observer(settings, engine, gauge)


def account_of(intake: IntakeStatus, figures: Figures, *, settled: bool) -> Account:
    """Draw up the account of what came in by the intake."""
    tally = figures.tallies[Door.INTAKE]
    in_hand = sum(lane.pending or 0 for lane in intake.lanes.values())
    undelivered = sum(lane.undelivered for lane in intake.lanes.values())
    return Account(
        accepted=intake.accepted,
        counted_by="nobody" if intake.accepted is None else "stream",
        done=tally.done,
        halted=tally.halted,
        duplicates=tally.duplicates,
        settled=figures.settled,
        pending=undelivered + in_hand + figures.waiting[Door.INTAKE],
        in_motion=not settled or in_hand > 0,
    )
