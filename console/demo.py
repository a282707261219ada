"""`andon demo`: all of Andon at work once, with everything that it needs, in under a minute."""

import os
import signal
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console, Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from console.accounts import Account, account_of, observer
from console.database import database
from console.demo_requests import Chapter, Story
from console.demo_run import Played, differences, play, working
from console.failures import ExitCode, wrong_usage
from console.home import Home, opened_home
from console.incidents import incident_picture
from console.intake import local_client
from console.output import check_writable, visible
from console.sample import load_sample
from console.status import verdict
from models.audit_verify import Verification, verify_audit
from models.registry import load_registry
from models.timeline import read_incident_record
from worker.settings import INSTALLATION

_WIDTH = 100


def demo(
    keep: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Keep everything in this new directory.")
    ] = None,
    svg: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Save what is shown as a picture.")
    ] = None,
) -> None:
    """Run all four SOPs, and many kinds of halt, on a made-up organisation; then end.

    A PostgreSQL, a Redis and a worker of its own are started in a temporary directory. Exit 0 only
    if every request came to what it should, the audit verifies and nothing was lost.
    """
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that all is cleaned up
    if svg is not None:
        check_writable(svg)
    for name in [name for name in os.environ if name.startswith("ANDON_")]:
        del os.environ[name]  # the demo has settings of its own
    console = Console(width=_width(svg), record=svg is not None, highlight=False)
    with _directory(keep) as directory, opened_home(directory, durable=keep is not None) as home:
        faults = _demonstrate(home, console)
    if keep is not None:
        console.print(f"Kept in {keep}: cd there, `andon up`, and look around.", markup=False)
    if svg is not None:
        console.save_svg(str(svg), title="andon demo")
    if faults:
        raise typer.Exit(ExitCode.HALTED)


def _width(svg: Path | None) -> int:
    """Fixed where no terminal says how wide it is."""
    screen = Console()
    return min(_WIDTH, screen.width) if svg is None and screen.is_terminal else _WIDTH


@contextmanager
def _directory(keep: Path | None) -> Iterator[Path]:
    if keep is None:
        with tempfile.TemporaryDirectory(prefix="andon-demo-") as name:
            yield Path(name)
        return
    if (keep / INSTALLATION).exists():
        raise wrong_usage(f"{keep} has an installation already; name a new directory.")
    yield keep


def _demonstrate(home: Home, console: Console) -> list[str]:
    """Show everything; what was not as it should be."""
    _tick(console, "PostgreSQL and Redis run, in a directory of their own")
    loaded = load_sample(home.settings)
    rows = ", ".join(f"{file.rows} {file.table}" for file in loaded.files)
    _tick(console, f"A made-up organisation: {rows}")
    client = local_client(home.settings, load_registry(home.settings.producers_file))
    with client, working(home) as children:
        chapters = Story(client, _an_hour_ago()).chapters()
        steps = [step for chapter in chapters for step in chapter.steps]
        _tick(console, f"A worker runs; {len(steps)} signed requests are published to the intake")
        played = play(home, steps, children)
        console.print(_outcomes(chapters, played))
        _show_incident(home, console, played)
        audit, account = _verify(home), _account(home)
    return _conclude(console, played, audit, account)


def _an_hour_ago() -> datetime:
    return datetime.now(UTC).replace(second=0, microsecond=0) - timedelta(hours=1)


def _tick(console: Console, text: str) -> None:
    console.print(Text.assemble(("✓ ", "green"), text))


def _outcomes(chapters: Sequence[Chapter], played: Sequence[Played]) -> Panel:
    """Every request with what came of it, chapter by chapter."""
    rest = iter(played)
    parts: list[RenderableType] = []
    for chapter in chapters:
        table = Table.grid(padding=(0, 2, 0, 0))
        table.add_column(width=23, no_wrap=True)
        table.add_column(width=20, no_wrap=True, style="dim")
        table.add_column()
        for _ in chapter.steps:
            table.add_row(*_row(next(rest)))
        parts += [Text(chapter.title, "bold"), table, Text()]
    return Panel(
        Group(*parts[:-1]), title="Requests and outcomes", title_align="left", padding=(1, 2)
    )


def _row(played: Played) -> tuple[Text, ...]:
    step, outcome = played.step, played.outcome
    if played.fault is not None:
        came_to = Text(f"✗ {played.came_to}", "bold red")
    elif outcome is not None and "result" in outcome:
        came_to = Text.assemble(("✓ ", "green"), _in_words(outcome["result"]))
    else:
        came_to = Text(f"■ {played.came_to}", "yellow")
    told = Text.assemble(came_to, (f" · {step.told}", "dim"))
    return Text(step.name), Text(step.procedure), told


def _in_words(result: dict[str, Any]) -> str:
    """The result of a request: the numbers it was given, and the state it came to."""
    match result:
        case {"escalation_id": number, "status": status}:
            return f"escalation {number}, {status}"
        case {"communication_id": number, "delivery_status": status}:
            return f"communication {number}, {status}"
        case {"incident_id": number, "severity": severity, "status": status}:
            return f"incident {number}, {severity}, {status}"
        case {"incident_id": number, "version": version}:
            return f"incident {number}, version {version}"
        case _:
            return visible(result)


def _show_incident(home: Home, console: Console, played: Sequence[Played]) -> None:
    """The incident of the first request, with everything that happened to it."""
    number = ((played[0].outcome or {}).get("result") or {}).get("incident_id")
    if number is None:
        return
    with database(home.settings.database_url.get_secret_value()) as engine, engine.connect() as c:
        record = read_incident_record(c, int(number))
    if record is not None:
        console.print(incident_picture(record))


def _verify(home: Home) -> Verification:
    with database(home.settings.database_url.get_secret_value()) as engine:
        return verify_audit(engine, home.settings.audit_keys())


def _account(home: Home) -> Account | None:
    """The account of all requests; None if a service does not answer."""
    with observer(home.settings) as asking:
        reading, settled = asking.settled()
    if reading.intake is None or reading.figures is None:
        return None
    return account_of(reading.intake, reading.figures, settled=settled)


def _conclude(
    console: Console, played: Sequence[Played], audit: Verification, account: Account | None
) -> list[str]:
    """Say whether everything was as it should be, and what was not."""
    faults = differences(played)
    if audit.misfits:
        faults.append("The audit does not verify.")
    else:
        _tick(console, f"The audit verifies: {audit.records} records in {audit.chains} chains")
    if account is None:
        faults.append("The services do not say what became of all requests.")
    else:
        console.print(verdict(account))
        if not account.holds:
            faults.append("Not every request is accounted for.")
    if not faults:
        _tick(console, f"All {len(played)} requests came to what they should")
    for fault in faults:
        console.print(Text(f"✗ {fault}", "bold red"))
    return faults
