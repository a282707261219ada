"""`andon status`: whether everything runs, what is under way, and whether nothing was lost."""

from dataclasses import asdict
from typing import Any

import typer
from rich.console import Console
from rich.text import Text

from console.accounts import Account, Reading, account_of, observer
from console.failures import ExitCode
from console.output import AsJson, notices, print_document, screen, table
from migrations.runner import head_revision
from models.audit_partitions import COUNTED, PartitionsAhead
from models.figures import Figures
from models.registry import KEPT_IN_FORCE, registry_fault
from worker.engines import engine_name
from worker.intake_status import ConsumerStatus, IntakeStatus
from worker.settings import load_settings


def status(as_json: AsJson = False) -> None:
    """Show what is in the intake, what became of it, and whether the sum comes out.

    Every accepted request is done, halted, a duplicate or pending: exit 1 when that does not add
    up, 3 when a service is out of reach. On RabbitMQ nobody counts what was accepted, and it says
    so.
    """
    settings = load_settings()
    with observer(settings) as asking:
        reading, settled = asking.settled()
        consumers = [] if reading.intake is None else asking.gauge.read_consumers()
    account = None
    if reading.intake is not None and reading.figures is not None:
        account = account_of(reading.intake, reading.figures, settled=settled)
    registry = registry_fault(settings.producers_file)
    if as_json:
        document = _document(reading, account, consumers, engine_name(settings).lower())
        print_document({**document, "registry": {"fault": registry}})
    else:
        _show(screen(), reading, account, consumers)
    for warning in reading.warnings:
        notices().print(warning.text, style="yellow", markup=False, highlight=False)
    for fault in reading.faults.values():
        notices().print(fault, style="red", markup=False, highlight=False)
    if registry is not None:
        notices().print(
            f"The producer registry is at fault: {registry}\n{KEPT_IN_FORCE}",
            style="red",
            markup=False,
            highlight=False,
            soft_wrap=True,
        )
    if account is None:
        raise typer.Exit(ExitCode.OUT_OF_REACH)
    if account.is_broken:
        raise typer.Exit(ExitCode.HALTED)


def _document(
    reading: Reading, account: Account | None, consumers: list[ConsumerStatus], engine: str
) -> dict[str, Any]:
    intake, figures = reading.intake, reading.figures
    return {
        "services": {
            name: {"reachable": name not in reading.faults, "fault": reading.faults.get(name)}
            for name in ("postgresql", engine)
        },
        "schema": {"revision": reading.revision, "needed": head_revision()},
        "intake": intake and {str(lane): asdict(each) for lane, each in intake.lanes.items()},
        "streams": intake and {"outcomes": intake.outcomes, "halts": intake.halts},
        "warnings": [asdict(warning) for warning in reading.warnings],
        "workers": [asdict(consumer) for consumer in consumers],
        "waiting": figures and sum(figures.waiting.values()),
        "unpublished": figures and figures.unpublished,
        "halts": figures and {"open": figures.open_halts, "replaying": figures.replaying},
        "tallies": figures
        and {str(door): asdict(tally) for door, tally in figures.tallies.items()},
        "audit": figures and asdict(figures.audit),
        "account": account
        and {**asdict(account), "missing": account.missing, "holds": account.holds},
    }


def _show(
    console: Console, reading: Reading, account: Account | None, consumers: list[ConsumerStatus]
) -> None:
    if reading.intake is not None:
        _show_intake(console, reading.intake, consumers)
    if reading.figures is not None:
        _show_figures(console, reading.figures, reading.revision)
    if account is not None:
        console.print(verdict(account))


def _show_intake(console: Console, intake: IntakeStatus, consumers: list[ConsumerStatus]) -> None:
    columns = ("lane", "#undelivered", "#pending", "#orphans")
    rows = [
        (name, lane.undelivered, "?" if lane.pending is None else lane.pending, lane.orphans)
        for name, lane in intake.lanes.items()
    ]
    console.print(table("Intake", columns, rows))
    if consumers:
        processes = [(each.name, each.pending, f"{each.idle_seconds:.0f} s") for each in consumers]
        console.print(table("Pool processes", ("process", "#in hand", "#idle for"), processes))
    console.print(f"Streams: {intake.outcomes:,} outcomes, {intake.halts:,} halts")


def _show_figures(console: Console, figures: Figures, revision: str | None) -> None:
    needed = head_revision()
    if revision != needed:
        console.print(
            f"The schema is at {revision}, and this version needs {needed}: `andon migrate`.",
            style="yellow",
        )
    tallies = [
        (door, tally.done, tally.halted, tally.duplicates, figures.waiting[door])
        for door, tally in figures.tallies.items()
    ]
    console.print(
        table("Requests", ("came in by", "#done", "#halted", "#duplicates", "#waiting"), tallies)
    )
    if figures.open_halts:
        console.print(table("Open halts", ("reason", "#halts"), list(figures.open_halts.items())))
    if figures.replaying:
        console.print(f"Halts being replayed: {figures.replaying:,}")
    if figures.unpublished:
        console.print(f"Outcomes still to be published: {figures.unpublished:,}")
    _show_audit(console, figures.audit)


def _show_audit(console: Console, audit: PartitionsAhead) -> None:
    if audit.made_until is None:
        console.print(
            "The audit has no partition for this month: `andon migrate` makes those ahead, and so"
            " do the schedules.",
            style="yellow",
        )
    else:
        console.print(f"The audit's partitions are made until {audit.made_until}.")
    if audit.in_default:
        many = "10,000 or more" if audit.in_default == COUNTED else f"{audit.in_default:,}"
        console.print(
            f"Audit records in the default partition: {many}. A clock was off, or nobody made the"
            " partition of their month.",
            style="yellow",
        )


def verdict(account: Account) -> Text:
    """Whether the sum comes out, in one line."""
    if account.missing is None:
        return Text(
            f"~ {account}. RabbitMQ does not count what it accepts, nor what is in hand:"
            " no sum can be proven.",
            "yellow",
        )
    if account.holds:
        return Text(f"✓ All accounted for: {account}", "green")
    if account.in_motion:
        return Text(f"~ Requests are in motion; no exact sum can be drawn: {account}", "yellow")
    many = abs(account.missing)
    what = "missing" if account.missing > 0 else "too many"
    return Text(f"✗ {many:,} {what}: {account}", "bold red")
