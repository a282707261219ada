"""`andon audit`: what was done, by whom and with what outcome, and whether that still stands."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from enum import StrEnum
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import Progress

from console.database import database, reading
from console.failures import ExitCode, wrong_usage
from console.output import (
    AsJson,
    AsJsonLines,
    Limit,
    examples,
    listing,
    notices,
    print_document,
    print_lines,
    screen,
    tell_rest,
    visible,
)
from console.progress import progress_shown
from models.audit_crosswise import Unmatched, compare_stores
from models.audit_prune import old_months, prune_audit
from models.audit_repair import Repair, repair_heads
from models.audit_verify import Misfit, Verification, inspect_audit
from models.listings import list_audit
from models.sheets import SHEETS
from models.tables import HaltState
from worker.settings import load_settings

app = typer.Typer(no_args_is_help=True, help="Read the audit, and verify it.")


class AuditOutcome(StrEnum):
    """What a record says became of a request, or of a halt by an operator's action."""

    DONE = "done"
    HALTED = "halted"
    DUPLICATE = "duplicate"
    WAITING = "waiting"
    REPLAYING = HaltState.REPLAYING.value
    DISCARDED = HaltState.DISCARDED.value


_KINDS = (
    "incident",
    "escalation",
    "communication",
    "halt",
    "audit",
    "registry",
    "source",
    *(sheet.key.removesuffix("_id") for sheet in SHEETS.values()),
)
"""What a record can be about."""
_SHOWN = 5
"""Chains that are named where many have the same fault."""
_COMPARED_AT_ONCE = 2
"""Connections that `andon audit verify` compares with: each one keeps a core of PostgreSQL busy."""
_COLUMNS = ("at", "action", "outcome", "procedure", "request", "actor", "subject", "reason")


@app.command(
    "list",
    epilog=examples(
        "andon audit list --subject incident:17     what was done to one incident",
        "andon audit list --outcome halted --json   for programs: one record a line",
    ),
)
def list_records(
    source: Annotated[
        str | None, typer.Option(metavar="NAME", help="Only what this source asked for.")
    ] = None,
    subject: Annotated[
        str | None,
        typer.Option(
            metavar="KIND:ID", help="Only what was done to this, such as incident:17 or user:maren."
        ),
    ] = None,
    outcome: Annotated[AuditOutcome | None, typer.Option(help="Only with this outcome.")] = None,
    limit: Limit = 50,
    as_json: AsJsonLines = False,
) -> None:
    """List audit records, the newest first."""
    if subject is not None:
        _check_subject(subject)
    with reading() as connection:
        records, more = list_audit(
            connection, source=source, subject=subject, outcome=outcome, limit=limit
        )
    if as_json:
        print_lines(records)
    else:
        for each in records:
            each["request"] = "/".join(filter(None, (each["source"], each["request_id"])))
            each["actor"] = each["actor"] or _operator(each["context"])
        screen().print(listing("Audit records", {column: column for column in _COLUMNS}, records))
    tell_rest(len(records), more=more)


def _operator(context: Mapping[str, Any]) -> str | None:
    """The account and host that a command ran with; a request has an actor instead."""
    return f"{context['account']}@{context['host']}" if "account" in context else None


def _check_subject(subject: str) -> None:
    """See that there can be records about it.

    Raises:
        Failure: there cannot.
    """
    kind, _, id_ = subject.partition(":")
    if kind not in _KINDS or not id_:
        raise wrong_usage(
            f"--subject is written KIND:ID, such as incident:17. Kinds are {', '.join(_KINDS)}."
        )


@app.command(
    epilog=examples("andon audit verify     exit 0: nothing was changed; 1: something does not fit")
)
def verify(as_json: AsJson = False) -> None:
    """Recompute the audit's hash chains, and compare the audit with all that is stored.

    Records are read up to the chains' heads as they were when this began, with the keys
    ANDON_AUDIT_KEY and ANDON_RETIRED_AUDIT_KEYS. Every request in the ledger, every halt, incident,
    escalation and communication has its record, and the other way round, and the tallies come to
    as many. What does not fit is named. What an old copy of the whole database would hide shows
    only against a copy of the heads kept elsewhere.
    """
    settings = load_settings()
    url = settings.database_url.get_secret_value()
    with (
        progress_shown() as shown,
        database(url, statement_timeout_ms=0, connections=_COMPARED_AT_ONCE) as engine,
    ):
        inspected = inspect_audit(engine, settings.audit_keys(), _bar(shown, "Verifying"))
        unmatched = compare_stores(
            engine, inspected, _bar(shown, "Comparing"), connections=_COMPARED_AT_ONCE
        )
    found = inspected.verification
    if as_json:
        print_document(
            {
                "verified": not found.misfits and not unmatched,
                **asdict(found),
                "unmatched": [asdict(each) for each in unmatched],
            }
        )
    else:
        show_verification(found, screen(), unmatched)
    if found.misfits or unmatched:
        raise typer.Exit(ExitCode.HALTED)


def _bar(shown: Progress, description: str) -> Callable[[int, int], None]:
    """A bar of its own for a part of the command."""
    task = shown.add_task(description, total=None)
    return lambda done, total: shown.update(task, completed=done, total=total)


@app.command(
    epilog=examples(
        "andon audit repair --reason 'moved by hand' --dry-run     what would be put back",
        "andon audit repair --reason 'moved by hand'               with the owner's rights",
    )
)
def repair(
    reason: Annotated[str, typer.Option(metavar="TEXT", help="Why; it is recorded as it stands.")],
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Change nothing; say what would be put back.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Put heads of the audit that are not genuine back to the last record that fits.

    Such a head is one that somebody moved or changed; the worker does not continue its chain. It
    stays as it is where another chain has seen more than is left: then records are gone. The audit
    records what was found and put back, the account, the host and the reason. What does not belong
    to a chain stays where it is, and `andon audit verify` goes on naming it.
    """
    settings = load_settings()
    with progress_shown() as shown, database(settings.owner_url, statement_timeout_ms=0) as engine:
        done = repair_heads(
            engine,
            settings.audit_keys(),
            reason=reason,
            dry_run=dry_run,
            progress=_bar(shown, "Verifying"),
        )
    if as_json:
        print_document(done)
    else:
        _show_repair(done, "would be put back" if dry_run else "was put back")
    if done.refused:
        raise typer.Exit(ExitCode.HALTED)


def _show_repair(done: Repair, what: str) -> None:
    for each in done.put_back:
        screen().print(
            f"Chain {each.chain}: its head {what} to record {each.sequence}; it said {each.found}."
        )
    for refused in done.refused:
        notices().print(
            f"Chain {refused.chain}: its head stays as it is, since {refused.message}.", style="red"
        )
    if not done.put_back and not done.refused:
        screen().print("Every head is genuine.")


@app.command(
    epilog=examples(
        "andon audit prune --dry-run     which months would go",
        "andon audit prune               with ANDON_AUDIT_RETENTION_MONTHS and the owner's rights",
    )
)
def prune(
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Drop nothing; say what would be dropped.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Drop the audit's oldest months, so that ANDON_AUDIT_RETENTION_MONTHS and this one are left.

    First the whole audit is verified; if anything does not fit, nothing is dropped. What is left
    verifies from then on, from the signed anchors that the chains get. It cannot be undone. Months
    are counted by PostgreSQL's clock.
    """
    settings = load_settings()
    months = settings.audit_retention_months
    if months is None:
        raise wrong_usage(
            "The audit is kept for ever: set ANDON_AUDIT_RETENTION_MONTHS to drop what is older."
        )
    with database(settings.owner_url, statement_timeout_ms=0) as engine:
        if dry_run:
            with engine.connect() as connection:
                names = old_months(connection, months=months)
        else:
            keys = settings.audit_keys()
            names = [each.name for each in prune_audit(engine, keys, months=months)]
    if as_json:
        print_document({"dropped": [] if dry_run else names, "old": names})
        return
    what = "would be dropped" if dry_run else "dropped"
    screen().print(f"{', '.join(names)}: {what}." if names else "No month is old enough.")


def show_verification(
    found: Verification, console: Console, unmatched: Sequence[Unmatched] = ()
) -> None:
    """Say on *console* what a verification found."""
    if found.misfits or unmatched:
        for sentence in (*_sentences(found.misfits), *_of_unmatched(unmatched)):
            console.print(sentence, style="red", markup=False, soft_wrap=True)
        console.print("The audit does not verify.", style="bold red")
    else:
        console.print(
            f"The audit verifies: {found.records:,} records in {found.chains} chains.",
            style="green",
        )


def _sentences(misfits: Sequence[Misfit]) -> Iterator[str]:
    """A sentence for each misfit; what is the same with the heads of many chains, once."""
    heads: dict[str, list[int]] = {}
    for misfit in misfits:
        if misfit.sequence is None:
            heads.setdefault(misfit.message, []).append(misfit.chain)
        else:
            yield f"Chain {misfit.chain}: record {misfit.sequence} {misfit.message}."
    for message, chains in heads.items():
        which = f"Chain {chains[0]}: its head" if len(chains) == 1 else _many(chains)
        yield f"{which} {message}."


def _of_unmatched(unmatched: Sequence[Unmatched]) -> Iterator[str]:
    for each in unmatched:
        yield visible(f"{each.what[0].upper()}{each.what[1:]} {each.message}.")


def _many(chains: Sequence[int]) -> str:
    shown = ", ".join(map(str, chains[:_SHOWN]))
    more = f" and {len(chains) - _SHOWN} more" if len(chains) > _SHOWN else ""
    return f"Of {len(chains)} chains ({shown}{more}) each head"
