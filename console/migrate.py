"""`andon migrate`: bring the database to the schema of this version."""

from collections.abc import Sequence
from typing import Annotated

import typer
from sqlalchemy import create_engine

from console.database import reached
from console.failures import ExitCode
from console.output import AsJson, notices, print_document, screen
from migrations.runner import current_revision, differences, head_revision, migrate
from models.audit_heads import wrong_heads
from models.tables import AUDIT_CHAINS
from worker.settings import Settings, load_settings


def migrate_database(
    check: Annotated[
        bool, typer.Option("--check", help="Change nothing; exit 1 if something is to be done.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Bring the database to this version's schema, and give the worker its rights.

    Running it again does no harm. It connects as the owner (ANDON_OWNER_DATABASE_URL). After a
    change of the audit key it signs the heads of the audit's chains again.
    """
    settings = load_settings()
    with reached(settings.owner_url):
        if check:
            _check(settings, as_json)
        else:
            _migrate(settings, as_json)


def _migrate(settings: Settings, as_json: bool) -> None:
    done = migrate(
        settings.owner_url,
        worker_role=settings.worker_role,
        gateway_role=settings.gateway_role,
        audit_key=settings.audit_keys().current,
        retired_keys=settings.audit_keys().retired,
    )
    if as_json:
        print_document(done)
    elif done.before == done.after:
        screen().print(f"The schema is at {done.after}, as it was.")
    else:
        screen().print(f"The schema is at {done.after} (before: {done.before or 'none'}).")
    if done.former_keys:
        screen().print(
            f"The heads of the audit carry the key {settings.audit_keys().current.key_id!r} now"
            f" (before: {', '.join(map(repr, done.former_keys))}).",
            markup=False,
        )
    if done.role is None:
        notices().print(
            f"There is no role {settings.worker_role} (ANDON_WORKER_ROLE): only the owner has"
            " rights. Make the role and run `andon migrate` again.",
            style="yellow",
        )
    if done.wrong_heads:
        _tell_wrong_heads(done.wrong_heads)
        raise typer.Exit(ExitCode.HALTED)


def _tell_wrong_heads(chains: Sequence[int]) -> None:
    which = "all chains" if len(chains) == AUDIT_CHAINS else ", ".join(map(str, chains))
    notices().print(
        f"Heads of the audit are not genuine, so these chains are not continued: {which}."
        " See `andon audit verify`, then `andon audit repair`.",
        style="red",
    )


def _check(settings: Settings, as_json: bool) -> None:
    engine = create_engine(settings.owner_url)
    try:
        with engine.connect() as connection:
            current = current_revision(connection)
            found = [str(difference) for difference in differences(connection)]
            wrong = wrong_heads(connection, settings.audit_keys()) if current else ()
    finally:
        engine.dispose()
    head = head_revision()
    if as_json:
        print_document(
            {"current": current, "head": head, "differences": found, "wrong_heads": list(wrong)}
        )
    else:
        screen().print(f"The schema is at {current or 'none'}; this version needs {head}.")
        for difference in found:
            screen().print(f"differs: {difference}", markup=False)
        if wrong:
            _tell_wrong_heads(wrong)
    if found or wrong or current != head:
        raise typer.Exit(ExitCode.HALTED)
