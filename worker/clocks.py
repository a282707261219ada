"""The clocks of PostgreSQL, the broker and this machine, and how far they are apart.

Nothing goes by the other two but what a log says, and what a broker says of when it accepted; but a
clock that is wrong is better known.
"""

import time
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import structlog
from sqlalchemy import Connection, Engine

from models.clock import database_now
from tasks.intake import Intake

logger = structlog.get_logger(__name__)

_EVERY = 60.0
_LONGEST_TRIP = 0.5
"""Seconds; an answer that took longer tells too little."""
_WORTH_TELLING = timedelta(seconds=1)


@dataclass(frozen=True, slots=True)
class Ahead:
    """How far clocks are ahead of PostgreSQL's; None: not told, or too slowly.

    Attributes:
        machine: this machine's.
        broker: the broker's; RabbitMQ does not tell it.
    """

    machine: timedelta | None
    broker: timedelta | None

    @property
    def is_worth_telling(self) -> bool:
        """Whether one of them differs by more than the way to it takes."""
        found = (each for each in (self.machine, self.broker) if each is not None)
        return any(abs(each) > _WORTH_TELLING for each in found)


def compare_clocks(connection: Connection, intake: Intake) -> Ahead:
    """Ask PostgreSQL and the broker for the time, and compare."""
    began = time.monotonic()
    database = database_now(connection)
    machine, between = datetime.now(UTC), time.monotonic()
    broker, ended = _asked(intake), time.monotonic()
    if between - began > _LONGEST_TRIP:
        return Ahead(None, None)
    if broker is None or ended - between > _LONGEST_TRIP:
        return Ahead(machine - database, None)
    return Ahead(machine - database, broker - database)


def _asked(intake: Intake) -> datetime | None:
    try:
        return intake.clock()
    except Exception:  # it is away, which others notice, or this user may not ask
        return None


@dataclass(slots=True)
class ClockWatch:
    """Compares the clocks once a minute at most, and says once when they come to differ."""

    _next: float = field(default=0.0, init=False)
    _differ: bool = field(default=False, init=False)

    def look(self, engine: Engine, intake: Intake) -> None:
        """Compare, if it is time to."""
        if time.monotonic() < self._next:
            return
        self._next = time.monotonic() + _EVERY
        with engine.begin() as connection:
            ahead = compare_clocks(connection, intake)
        differ = ahead.is_worth_telling
        if differ and not self._differ:
            logger.warning(
                "clocks_differ",
                machine_ahead_seconds=_seconds(ahead.machine),
                broker_ahead_seconds=_seconds(ahead.broker),
                of="PostgreSQL, whose clock counts",
            )
        elif self._differ and not differ:
            logger.info("clocks_agree")
        self._differ = differ


def _seconds(span: timedelta | None) -> float | None:
    return None if span is None else round(span.total_seconds(), 1)
