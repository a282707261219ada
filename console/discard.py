"""`andon halts discard`: settle halts that nobody will replay."""

from collections.abc import Sequence
from typing import Annotated

import typer
from sqlalchemy import Connection

from console.database import database
from console.failures import wrong_usage
from console.output import LAST_NUMBER, AsJson, print_document, screen
from models.audit import write_audit
from models.clock import database_now
from models.replays import KeptRequest, discard_halts, lock_halted, operators_record
from models.tables import HaltState
from policy.vocabulary import AuditAction
from worker.settings import load_settings


def discard(
    halt_ids: Annotated[
        list[int], typer.Argument(min=1, max=LAST_NUMBER, help="The halts' numbers.")
    ],
    as_json: AsJson = False,
) -> None:
    """Settle halts whose requests are not to be carried out any more: all of them, or none.

    The requests keep their outcome, and are forgotten once ANDON_HALT_RETENTION_DAYS have passed.
    The audit records a reject of each. A replay that is not decided yet is called off.
    """
    settings = load_settings()
    numbers = sorted(set(halt_ids))
    with database(settings.database_url.get_secret_value()) as engine, engine.begin() as connection:
        halts = lock_unsettled(connection, numbers)
        now = database_now(connection)
        discard_halts(connection, numbers, now=now)
        write_audit(
            connection,
            settings.current_audit_key(),
            [
                operators_record(halt, AuditAction.REJECT, HaltState.DISCARDED, now=now)
                for halt in halts
            ],
        )
    if as_json:
        print_document({"discarded": [str(number) for number in numbers]})
    else:
        screen().print(f"Discarded: {', '.join(f'halt {number}' for number in numbers)}.")


def lock_unsettled(connection: Connection, halt_ids: Sequence[int]) -> list[KeptRequest]:
    """The halts of these numbers, locked until the commit.

    Raises:
        Failure: naming every one that does not exist, or is settled already.
    """
    found = lock_halted(connection, halt_ids)
    faults = [
        f"Halt {number} is {found[number].state} already."
        if number in found
        else f"There is no halt {number}: `andon halts list` shows them."
        for number in halt_ids
        if number not in found or found[number].is_settled
    ]
    if faults and len(halt_ids) > 1:
        faults.insert(0, "Nothing was changed, because of:")
    if faults:
        raise wrong_usage("\n  ".join(faults))
    return list(found.values())
