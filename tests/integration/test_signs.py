"""What processes say of themselves in PostgreSQL: a row each, forgotten with the process."""

from datetime import timedelta

from models.signs import read_signs_told, tell_sign
from tasks.prune import prune
from tests.support.installation import Installation


def test_signs_of_processes_that_are_gone_are_forgotten(installation: Installation) -> None:
    """Each process has one row, however often it tells; after an hour of silence it has none."""
    engine = installation.pipeline.engine
    for runner in ("one", "two", "two"):
        with engine.begin() as connection:
            tell_sign(connection, runner=runner, host="here", kind="pool", cause=None)
    installation.execute(
        "UPDATE signs_of_life SET seen_at = now() - interval '61 minutes' WHERE runner = 'one'"
    )
    prune(
        engine,
        oldest_undecided=lambda: None,
        ledger_retention=None,
        halt_retention=timedelta(days=1),
    )
    assert [row.runner for row in installation.rows("SELECT runner FROM signs_of_life")] == ["two"]


def test_an_outage_is_told_from_its_beginning(installation: Installation) -> None:
    """However often a process tells of it; the cause goes with the outage."""
    engine = installation.pipeline.engine

    def tell(cause: str | None) -> None:
        with engine.begin() as connection:
            tell_sign(connection, runner="one", host="here", kind="pool", cause=cause)

    tell("away")
    installation.execute("UPDATE signs_of_life SET braked_since = now() - interval '5 minutes'")
    tell("still away")
    with engine.begin() as connection:
        (sign,) = read_signs_told(connection)
    assert sign.cause == "still away"
    assert sign.braked_seconds is not None
    assert sign.braked_seconds >= 300
    tell(None)
    with engine.begin() as connection:
        (sign,) = read_signs_told(connection)
    assert (sign.cause, sign.braked_seconds) == (None, None)
