"""`andon restored`: after a restore of PostgreSQL, let no number be given out twice.

What was told since the backup was taken is in other people's hands: incident 2 of a ticket is not
the incident 2 that the older database would open next. So every sequence goes on behind what the
stream of outcomes tells, and behind a margin for what it does not tell any more.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated

import typer
from sqlalchemy import Connection, text

from console.database import database
from console.failures import out_of_reach, wrong_usage
from console.output import AsJson, print_document, screen, table
from models.audit import AuditEntry, write_audit
from models.numbers import move_beyond, read_highest, told_numbers
from models.operator import who_acts
from policy.vocabulary import AuditAction
from producers.faults import PublishFailed
from worker.settings import Settings, load_settings
from worker.told import all_outcomes

MARGIN = 1_000_000
_MOST = 10**15
SUBJECT = "database:restored"


def restored(
    margin: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            min=1,
            max=_MOST,
            help=f"How far behind the highest number that is known; {MARGIN:,} if not given.",
        ),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would be done, and change nothing.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Let PostgreSQL go on behind every number that was ever told, after it was put back.

    To be run once after each restore, before or while workers wait. It connects as the owner
    (ANDON_OWNER_DATABASE_URL), and reads in the stream of outcomes which numbers were told. The
    margin must be more than was given out since the backup and is not in that stream any more. The
    audit records it, with the heads of its chains.
    """
    settings = load_settings()
    try:
        told = told_numbers(all_outcomes(settings))
    except PublishFailed as failure:
        raise out_of_reach(f"{failure} Nothing was changed: it tells what was told.") from None
    if not told and margin is None:
        raise wrong_usage(
            "The stream of outcomes tells no number, so nothing was changed. Say with --margin how"
            " many numbers may have been given out since the backup; rather too many than too few."
        )
    with database(settings.owner_url) as engine, engine.begin() as connection:
        before = read_highest(connection)
        beyond = {
            name: max(last, told.get(name, 0)) + (margin or MARGIN) for name, last in before.items()
        }
        if not dry_run:
            move_beyond(connection, beyond)
            _record(connection, settings, told, beyond)
    _show(before, told, beyond, as_json=as_json, dry_run=dry_run)


# Witnesses of heads that were noted after the backup find no records: these heads say why.
_HEADS = text("SELECT chain, sequence FROM audit_chains ORDER BY chain")


def _record(
    connection: Connection, settings: Settings, told: Mapping[str, int], beyond: Mapping[str, int]
) -> None:
    heads = {str(chain): sequence for chain, sequence in connection.execute(_HEADS)}
    entry = AuditEntry(
        at=datetime.now(UTC),
        action=AuditAction.UPDATE,
        outcome="restored",
        subject=SUBJECT,
        context={"told": dict(told), "beyond": dict(beyond), "heads": heads, **who_acts()},
    )
    write_audit(connection, settings.current_audit_key(), [entry])


def _show(
    before: Mapping[str, int],
    told: Mapping[str, int],
    beyond: Mapping[str, int],
    *,
    as_json: bool,
    dry_run: bool,
) -> None:
    if as_json:
        numbers = {
            name: {"known": known, "told": told.get(name), "beyond": beyond[name]}
            for name, known in before.items()
        }
        print_document({"changed": not dry_run, "numbers": numbers})
        return
    rows = [
        (name.removesuffix("_seq"), f"{known:,}", f"{told.get(name, 0):,}", f"{beyond[name]:,}")
        for name, known in sorted(before.items())
    ]
    columns = ("numbers", "#known here", "#told", "#go on behind")
    screen().print(table("Nothing was changed" if dry_run else "Restored", columns, rows))
