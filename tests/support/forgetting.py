"""Forgetting, as the schedules do it once an hour."""

from datetime import timedelta

from sqlalchemy import Engine

from tasks.prune import prune
from tests.support.installation import Installation


def forget(
    installation: Installation,
    *,
    identities_after: timedelta | None = None,
    engine: Engine | None = None,
) -> None:
    """Forget what its retention has passed; identities only where theirs is given."""
    prune(
        engine or installation.pipeline.engine,
        oldest_undecided=lambda: None,
        ledger_retention=identities_after,
        halt_retention=timedelta(days=30),
    )
