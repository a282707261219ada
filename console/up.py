"""`andon up`: everything that Andon needs, kept running in one directory."""

import shlex
import signal
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Annotated

import typer
from rich.console import Console, Group
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from console.children import Child, stop_all
from console.embedded import AlreadyRunning
from console.failures import wrong_usage
from console.home import Home, opened_home
from console.output import screen, visible
from console.sample import load_sample_once
from worker.settings import INSTALLATION, SETTINGS_FILE
from worker.shown_urls import without_password

_TICK = 0.2
_STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_COMMANDS = ("worker", "schedules", "gateway")
_STYLES = {"worker": "cyan", "schedules": "magenta", "gateway": "green"}
_NOT_FOR_THE_GATEWAY = ("ANDON_DATABASE_URL", "ANDON_AUDIT_KEY")
"""What senders over the network reach has no rights of the worker's."""


def up(
    directory: Annotated[
        Path,
        typer.Option("--dir", metavar="DIR", help="Where everything is kept, below .andon."),
    ] = Path(),
    sample: Annotated[
        bool,
        typer.Option(
            "--sample", help="Load a made-up organisation, if there is no reference data."
        ),
    ] = False,
) -> None:
    """Run PostgreSQL, Redis, a worker, the schedules and the gateway here until stopped.

    Other commands find it by themselves there. Ctrl-C stops everything in good order: the worker
    finishes what it has in hand first; a second Ctrl-C hurries. What was accepted is kept.
    """
    console = screen()
    for number in _STOP_SIGNALS:
        signal.signal(number, signal.default_int_handler)
    try:
        console.print("Starting PostgreSQL and Redis …")
        with opened_home(directory) as home:
            if sample and not load_sample_once(home.settings):
                console.print("There is reference data already: the sample is not loaded.")
            console.print(_picture(home, sample=sample))
            _run(home, console)
            console.print("Stopping PostgreSQL and Redis …")
    except AlreadyRunning as error:
        holder = "" if error.pid is None else f", as process {error.pid}"
        raise wrong_usage(f"`andon up` runs in {directory.absolute()} already{holder}.") from None
    except KeyboardInterrupt:  # while it was starting
        pass
    console.print("Stopped.")


@dataclass(slots=True)
class _StopRequests:
    """How often somebody asked to stop."""

    times: int = 0
    first: threading.Event = field(default_factory=threading.Event)

    def __call__(self, _signal: int, _frame: FrameType | None) -> None:
        self.times += 1
        self.first.set()


@contextmanager
def _stop_requests() -> Iterator[_StopRequests]:
    """Count requests to stop; later ones, while the servers are stopped, are left unheard."""
    requests = _StopRequests()
    for number in _STOP_SIGNALS:
        signal.signal(number, requests)
    try:
        yield requests
    finally:
        for number in _STOP_SIGNALS:
            signal.signal(number, signal.SIG_IGN)


def _run(home: Home, console: Console) -> None:
    """Keep the servers and the commands running until somebody asks to stop."""

    def say(command: str, line: str) -> None:
        label = Text(f"{command:>9} │ ", _STYLES[command])
        console.print(label.append(visible(line), "default"), soft_wrap=True)

    children = [Child(name, home.directory, _variables(home, name), say) for name in _COMMANDS]
    with _stop_requests() as asked:
        try:
            while not asked.first.wait(_TICK):
                for name in home.servers.restart_ended():
                    console.print(f"{name} had ended; it was started again, with all that it held.")
                for child in children:
                    child.keep_running()
            console.print("Stopping: the worker finishes what it has in hand (Ctrl-C: hurry) …")
        finally:
            stop_all(children, hurry=lambda: asked.times > 1)


def _variables(home: Home, command: str) -> Mapping[str, str]:
    taken = dict.fromkeys(_NOT_FOR_THE_GATEWAY, "") if command == "gateway" else {}
    return {**home.variables, **taken}


def _picture(home: Home, *, sample: bool) -> Panel:
    """What runs, where it is, and what to try next."""
    settings = home.settings
    gateway = f"http://{settings.gateway_host}:{home.variables['ANDON_GATEWAY_PORT']}"
    places = _grid(
        ("PostgreSQL", without_password(settings.database_url.get_secret_value())),
        ("Redis", without_password(settings.broker_url.get_secret_value())),
        ("Gateway", gateway),
        ("Settings", str(home.directory / INSTALLATION / SETTINGS_FILE)),
        ("Producers", str(settings.producers_file)),
    )
    here = Path.cwd() == home.directory
    steps = [] if here else [(f"cd {shlex.quote(str(home.directory))}", "there:")]
    if sample:
        steps += [
            ("andon send --example report_incident > request.jsonl", "a request to start from"),
            ("andon send request.jsonl --wait", "what becomes of it"),
            ("andon incidents list", "and what it led to"),
        ]
    else:
        steps.append(("andon directory load PATH", "clients, users, components … from files"))
    steps += [
        (f"curl -H @{INSTALLATION}/gateway.header -d @{INSTALLATION}/alert.json \\", "an alert"),
        (f"     {gateway}/v1/alertmanager", ""),
        ("andon status", "what is under way"),
        ("andon halts list", "what was refused, and why"),
    ]
    return Panel(
        Group(places, Text(), Text("In another terminal", "bold"), _grid(*steps)),
        title="Andon is up",
        subtitle="Ctrl-C stops it",
        title_align="left",
        subtitle_align="left",
        padding=(1, 2),
        expand=False,
    )


def _grid(*rows: tuple[str, str]) -> Table:
    grid = Table.grid(padding=(0, 3, 0, 0))
    grid.add_column(no_wrap=True, style="cyan")
    grid.add_column(overflow="fold")
    for left, right in rows:
        grid.add_row(Text(left), Text(right))
    return grid
