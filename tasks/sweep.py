"""Sweep: decide requests that waited for a report, and publish outcomes that no entry carries.

Any number of sweepers may run at once; what one holds, the others leave alone.
"""

from dataclasses import dataclass

from models.outbox import delete_outbox, take_outbox
from models.waiting import any_unmarked, mark_alone, read_ripe
from tasks.faults import as_outage
from tasks.intake import Intake
from tasks.pipeline import Pipeline

_PUBLISHED_AT_ONCE = 500


@dataclass(frozen=True, slots=True)
class Sweep:
    """Looks after what waits."""

    intake: Intake
    pipeline: Pipeline
    batch_size: int

    def run(self) -> None:
        """Decide what can be decided by now, and publish what is in the outbox.

        Raises:
            Outage: the infrastructure is at fault; the rest is left to the next sweep.
        """
        try:
            self._mark()
            while self._decide_some():
                pass
            while self._publish_some():
                pass
        except Exception as error:
            raise as_outage(error) from error

    def _mark(self) -> None:
        """From when on there is nothing left to wait for but what was accepted later."""
        with self.pipeline.engine.begin() as connection:
            if not any_unmarked(connection):
                return
        oldest = self.intake.oldest_undecided()
        with self.pipeline.engine.begin() as connection:
            mark_alone(connection, oldest_undecided=oldest, now=self.pipeline.means.clock())

    def _decide_some(self) -> bool:
        """Decide one batch; whether it was full and got anywhere, so that there may be more."""
        means = self.pipeline.means
        with self.pipeline.engine.begin() as connection:
            ripe = read_ripe(
                connection,
                alone_before=means.clock() - means.rules.patience,
                limit=self.batch_size,
            )
        verdicts = [verdict for part in self.pipeline.process(ripe) for verdict in part]
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
