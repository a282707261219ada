"""What a measurement must have left behind, for its figures to be those of what it says it did."""

from collections.abc import Iterable

from sqlalchemy import text

from benchmarks.mix import Expected
from benchmarks.stage import Stage
from models.audit_verify import verify_audit
from models.tables import AUDIT_CHAINS, Door
from models.tallies import Tally, read_tally


class Miscounted(Exception):
    """Something was lost, doubled or decided otherwise; the figures are of no use."""


# The older incidents are in the ledger too, under a source of their own.
_LEDGER = text("SELECT count(*) FROM requests WHERE source <> 'older'")
# Of messages; and all, as the registry and operators have records that are about no message.
_RECORDS = text("""
    SELECT count(*) FILTER (WHERE entry IS NOT NULL), count(*) FROM audit_records
    WHERE source IS DISTINCT FROM 'older'
""")
_EFFECTS = text("""
    SELECT (SELECT count(*) FROM requests WHERE source <> 'older' AND NOT halted)
         - (SELECT count(*) FROM incidents WHERE source <> 'older')
         - (SELECT count(*) FROM escalations) - (SELECT count(*) FROM communications)
         - (SELECT count(*) FROM requests
            WHERE procedure = 'update_incident' AND source <> 'older' AND NOT halted)
""")


def check(measured: Stage, requests: Iterable[int], *, tallied: bool = True) -> None:
    """That every request was decided as the mix expects, once, with one effect and one record.

    Args:
        measured: where.
        requests: how many each round had, in whole decks of the mix.
        tallied: whether what was measured keeps tallies.

    Raises:
        Miscounted: they were not.
    """
    rounds = list(requests)
    expected = [Expected.of(count) for count in rounds]
    wanted = Tally(
        done=sum(one.done for one in expected),
        halted=sum(one.halted for one in expected),
        duplicates=sum(one.duplicates for one in expected),
    )
    engine = measured.owner
    try:
        with engine.begin() as connection:
            found = read_tally(connection, Door.INTAKE) if tallied else wanted
            ledger = connection.execute(_LEDGER).scalar_one()
            of_messages, records = connection.execute(_RECORDS).one()
            without_effect = connection.execute(_EFFECTS).scalar_one()
        audit = verify_audit(engine, measured.settings.audit_keys())
    finally:
        engine.dispose()
    faults = [
        f"{name}: {there:,} instead of {due:,}"
        for name, there, due in (
            ("done", found.done, wanted.done),
            ("halted", found.halted, wanted.halted),
            ("duplicates", found.duplicates, wanted.duplicates),
            ("rows of the ledger", ledger, sum(one.ledger for one in expected)),
            ("requests without their effect", without_effect, 0),
            ("audit records", of_messages, sum(rounds)),
            ("audit records verified", audit.records, records),
            ("misfits in the audit", sum(fit.chain < AUDIT_CHAINS for fit in audit.misfits), 0),
        )
        if there != due
    ]
    if faults:
        raise Miscounted("; ".join(faults))
