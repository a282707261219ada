"""Sweep: decide requests that waited for a report, and publish outcomes that no entry carries.

Any number of sweepers may run at once; what one holds, the others leave alone.
"""

import time
from dataclasses import dataclass, field

from models.outbox import delete_outbox, take_outbox
from models.outcomes import Identity
from models.waiting import BEGINNING, Part, any_unmarked, mark_alone, next_part, read_ripe
from tasks.faults import as_outage
from tasks.intake import Intake
from tasks.pipeline import Pipeline
from tasks.unknown_keys import with_key

_PUBLISHED_AT_ONCE = 500
_LOOKED_AT_ONCE = 20_000
_STEADY = 3600.0
"""Seconds without an outage before anything is overdue: what the outage held up comes first."""


@dataclass(slots=True)
class Sweep:
    """Looks after what waits: at all of it each time, and where that is much, at the next part."""

    intake: Intake
    pipeline: Pipeline
    batch_size: int
    looked_at_once: int = _LOOKED_AT_ONCE
    _after: Identity = field(default=BEGINNING, init=False)
    _steady_since: float | None = field(default=None, init=False)

    def run(self) -> None:
        """Decide what can be decided by now, and publish what is in the outbox.

        Raises:
            Outage: the infrastructure is at fault; the rest is left to the next sweep.
        """
        if self._steady_since is None:
            self._steady_since = time.monotonic()
        try:
            part = self._next_part()
            if part is not None:
                self._mark(part)
                while self._decide_some(part):
                    pass
            while self._publish_some():
                pass
        except Exception as error:
            self._steady_since = None
            raise as_outage(error) from error

    def _next_part(self) -> Part | None:
        """What to look at now, after what was looked at last; after the end from the beginning."""
        with self.pipeline.engine.begin() as connection:
            part = next_part(connection, self._after, at_most=self.looked_at_once)
        self._after = BEGINNING
        if part is not None and part.size == self.looked_at_once:
            self._after = part.last
        return part

    def _mark(self, part: Part) -> None:
        """From when on there is nothing left to wait for but what was accepted later."""
        with self.pipeline.engine.begin() as connection:
            if not any_unmarked(connection, part):
                return
        oldest = self.intake.oldest_undecided()
        with self.pipeline.engine.begin() as connection:
            now = self.pipeline.means.clock(connection)
            overdue = now - self.pipeline.means.rules.longest_wait if self._is_steady() else None
            mark_alone(connection, part, oldest_undecided=oldest, overdue=overdue, now=now)

    def _is_steady(self) -> bool:
        """Whether it has gone on for so long that what is not decided yet may never be."""
        assert self._steady_since is not None
        longest = self.pipeline.means.rules.longest_wait.total_seconds()
        return time.monotonic() - self._steady_since >= min(_STEADY, longest)

    def _decide_some(self, part: Part) -> bool:
        """Decide one batch; whether it was full and got anywhere, so that there may be more."""
        means = self.pipeline.means
        with self.pipeline.engine.begin() as connection:
            ripe = read_ripe(
                connection,
                part,
                alone_before=means.clock(connection) - means.rules.patience,
                limit=self.batch_size,
            )
        known = with_key(ripe, self.pipeline.look_at_registry())
        verdicts = [verdict for some in self.pipeline.process(known) for verdict in some]
        decided = any(verdict.is_new for verdict in verdicts)
        return decided and len(ripe) == self.batch_size

    def _publish_some(self) -> bool:
        """Publish before the commit: an outcome may come twice, but never not at all."""
        with self.pipeline.engine.begin() as connection:
            rows = take_outbox(connection, limit=_PUBLISHED_AT_ONCE)
            if rows:
                self.intake.publish([(row.event, row.halted) for row in rows])
                delete_outbox(connection, rows)
        return len(rows) == _PUBLISHED_AT_ONCE
