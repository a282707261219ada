"""`andon status`: whether somebody works, what is under way, and whether nothing was lost."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.text import Text

from console.accounts import Account, Reading, account_of, observer
from console.failures import ExitCode, wrong_usage
from console.output import AsJson, notices, print_document, screen, table, visible
from console.registry import fault_of_registry
from console.settle import settle_account
from console.troubles import (
    Observed,
    Trouble,
    in_words,
    last_asked,
    last_swept,
    oldest_of,
    troubles,
)
from migrations.runner import head_revision
from models.audit_partitions import COUNTED, PartitionsAhead
from models.figures import Figures
from models.registry import KEPT_IN_FORCE
from worker.engines import engine_name
from worker.intake_status import IntakeStatus
from worker.settings import load_settings

Settle = Annotated[
    bool,
    typer.Option(
        "--settle", help="Begin the sum anew: give up what is missing, or too many, after a loss."
    ),
]
SettleReason = Annotated[
    str | None, typer.Option("--reason", metavar="TEXT", help="Why; with --settle.")
]
EvenInMotion = Annotated[
    bool,
    typer.Option(
        "--even-in-motion", help="With --settle: even while requests are in motion, so inexactly."
    ),
]


def status(
    as_json: AsJson = False,
    settle: Settle = False,
    reason: SettleReason = None,
    even_in_motion: EvenInMotion = False,
) -> None:
    """Show what is in the intake, what became of it, who works, and whether the sum comes out.

    Every accepted request is done, halted, a duplicate or pending. Exit 1 when that does not add
    up, when requests wait and nobody works, when the broker takes no writes, or when PostgreSQL was
    put back; 3 when a service is out of reach. On RabbitMQ nobody counts what was accepted, and it
    says so. `andon health` is for health checks.
    """
    settings = load_settings()
    if (reason is not None or even_in_motion) and not settle:
        raise wrong_usage("--reason and --even-in-motion belong to --settle.")
    with observer(settings) as asking:
        reading, settled = asking.settled()
        account = None
        if reading.intake is not None and reading.figures is not None:
            account = account_of(reading.intake, reading.figures, settled=settled)
        if settle:
            settle_account(asking, account, reason=reason, even_in_motion=even_in_motion)
            return
        seen = asking.look_around(reading)
    found = troubles(seen)
    is_troubled = any(trouble.is_grave for trouble in found)
    registry = fault_of_registry(settings)
    if as_json:
        document = _document(reading, account, seen, engine_name(settings).lower())
        print_document(
            {
                **document,
                "troubles": [asdict(trouble) for trouble in found],
                "registry": {"fault": registry},
            }
        )
    else:
        _show(screen(), reading, account, seen, is_troubled=is_troubled)
    _tell(reading, found, registry)
    if account is None:
        raise typer.Exit(ExitCode.OUT_OF_REACH)
    if account.is_broken or is_troubled:
        raise typer.Exit(ExitCode.HALTED)


def _tell(reading: Reading, found: Sequence[Trouble], registry: str | None) -> None:
    """Say on stderr what is wrong."""
    lines = [(fault, "red") for fault in reading.faults.values()]
    lines += [(warning.text, "yellow") for warning in reading.warnings]
    lines += [(trouble.text, "red" if trouble.is_grave else "yellow") for trouble in found]
    if registry is not None:
        lines.append((f"The producer registry is at fault: {registry}\n{KEPT_IN_FORCE}", "red"))
    for text, style in lines:
        notices().print(text, style=style, markup=False, highlight=False, soft_wrap=True)


def _document(
    reading: Reading, account: Account | None, seen: Observed, engine: str
) -> dict[str, Any]:
    intake, figures, broker = reading.intake, reading.figures, seen.broker
    return {
        "services": {
            name: {"reachable": name not in reading.faults, "fault": reading.faults.get(name)}
            for name in ("postgresql", engine)
        },
        "schema": {"revision": reading.revision, "needed": head_revision()},
        "intake": intake and {str(lane): asdict(each) for lane, each in intake.lanes.items()},
        "oldest_seconds": broker
        and {str(lane): age for lane, age in broker.oldest_seconds.items()},
        "broker": broker
        and {
            "refuses": broker.refuses,
            "memory_used": broker.memory_used,
            "memory_limit": broker.memory_limit,
        },
        "activity": {
            "last_asked_seconds": last_asked(seen),
            "last_swept_seconds": last_swept(seen),
            "last_decided_seconds": seen.activity and seen.activity.decided_seconds,
            "processes": seen.activity and [asdict(sign) for sign in seen.activity.signs],
        },
        "clocks_ahead_seconds": dict(seen.ahead),
        "streams": intake and {"outcomes": intake.outcomes, "halts": intake.halts},
        "warnings": [asdict(warning) for warning in reading.warnings],
        "workers": [asdict(consumer) for consumer in seen.consumers],
        "waiting": figures and sum(figures.waiting.values()),
        "unpublished": figures and figures.unpublished,
        "halts": figures and {"open": figures.open_halts, "replaying": figures.replaying},
        "tallies": figures
        and {str(door): asdict(tally) for door, tally in figures.tallies.items()},
        "audit": figures and asdict(figures.audit),
        "settlement": figures
        and figures.last_settlement
        and {**asdict(figures.last_settlement), "in_all": figures.settled},
        "account": account
        and {**asdict(account), "missing": account.missing, "holds": account.holds},
    }


def _show(
    console: Console,
    reading: Reading,
    account: Account | None,
    seen: Observed,
    *,
    is_troubled: bool,
) -> None:
    if reading.intake is not None:
        _show_intake(console, reading.intake, seen)
        console.print(_activity(seen))
    if reading.figures is not None:
        _show_figures(console, reading.figures, reading.revision)
    if account is not None:
        console.print(verdict(account, is_troubled=is_troubled))
    if reading.figures is not None and (last := reading.figures.last_settlement) is not None:
        console.print(
            Text(
                f"The sum was last begun anew on {visible(last.at)}, by {visible(last.account)} on"
                f" {visible(last.host)}: {visible(last.reason)}"
            )
        )


def _activity(seen: Observed) -> str:
    """When somebody last asked, decided and swept."""
    decided = None if seen.activity is None else seen.activity.decided_seconds
    spans = {"asked": last_asked(seen), "decided": decided, "swept": last_swept(seen)}
    said = ", ".join(
        f"{what} {'never' if span is None else f'{in_words(span)} ago'}"
        for what, span in spans.items()
    )
    return f"Last {said}."


def _show_intake(console: Console, intake: IntakeStatus, seen: Observed) -> None:
    consumers = seen.consumers
    columns = ("lane", "#undelivered", "#pending", "#orphans", "#oldest waits")
    rows = [
        (
            name,
            lane.undelivered,
            "?" if lane.pending is None else lane.pending,
            lane.orphans,
            "" if seen.broker is None else oldest_of(seen.broker, name),
        )
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


def verdict(account: Account, *, is_troubled: bool = False) -> Text:
    """Whether the sum comes out, in one line; green only if nothing else is grave."""
    if account.missing is None:
        return Text(
            f"~ {account}. RabbitMQ does not count what it accepts, nor what is in hand:"
            " no sum can be proven.",
            "yellow",
        )
    if account.holds and is_troubled:
        return Text(f"! All accounted for, and yet not all is well: {account}", "yellow")
    if account.holds:
        return Text(f"✓ All accounted for: {account}", "green")
    if account.in_motion:
        return Text(f"~ Requests are in motion; no exact sum can be drawn: {account}", "yellow")
    many = abs(account.missing)
    what = "missing" if account.missing > 0 else "too many"
    return Text(f"✗ {many:,} {what}: {account}", "bold red")
