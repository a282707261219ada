"""`andon up`: everything that Andon needs, kept running in one directory."""

import errno
import os
import shlex
import shutil
import signal
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Annotated

import typer
from rich.console import Console, Group
from rich.panel import Panel
from rich.table import Table
from rich.text import Text
from sqlalchemy.exc import DBAPIError

from console.children import Child, stop_all
from console.embedded import AlreadyRunning, EmbeddedError
from console.failures import out_of_reach, wrong_usage
from console.home import Home, opened_home
from console.output import screen, visible
from console.sample import load_sample_once
from worker.settings import INSTALLATION, SETTINGS_FILE
from worker.shown_urls import without_password

_TICK = 0.2
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_TOO_LITTLE = 1024 * 1024
"""Bytes with which no server starts."""
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
        with _full_disk_told(directory), opened_home(directory) as home:
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


@contextmanager
def _full_disk_told(directory: Path) -> Iterator[None]:
    """Say that the disk is full where that is why something failed, and that nothing is lost.

    Raises:
        Failure: in place of an error of the system, or of a server that could not write.
    """
    try:
        yield
    except AlreadyRunning:
        raise
    except (OSError, EmbeddedError, DBAPIError) as error:
        place = directory.absolute() / INSTALLATION
        if is_of_full_disk(error, place):
            raise out_of_reach(
                f"The disk that holds {place} is full, so `andon up` stops. What was accepted and"
                " decided is kept there: make room, and start it again."
            ) from None
        if isinstance(error, OSError):
            what = f"{error.filename}: {error.strerror}" if error.filename else str(error)
            raise out_of_reach(
                f"`andon up` stops ({what}). What was accepted and decided is kept in {place}."
            ) from None
        raise


def is_of_full_disk(error: Exception, place: Path) -> bool:
    """Whether *error* comes of a disk, or a quota, that has no room left.

    A server says so in its log, which may have no room either.
    """
    if isinstance(error, OSError) and error.errno in _FULL:
        return True
    if any(os.strerror(number) in str(error) for number in _FULL):
        return True
    with suppress(OSError):
        return shutil.disk_usage(place).free < _TOO_LITTLE
    return False


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

    def tell(text: Text | str) -> None:
        with suppress(OSError):  # where it is written may be a full disk, which stops nothing
            console.print(text, soft_wrap=True)

    def say(command: str, line: str) -> None:
        label = Text(f"{command:>9} │ ", _STYLES[command])
        tell(label.append(visible(line), "default"))

    children = [Child(name, home.directory, _variables(home, name), say) for name in _COMMANDS]
    with _stop_requests() as asked:
        try:
            while not asked.first.wait(_TICK):
                for name in home.servers.restart_ended():
                    tell(f"{name} had ended; it was started again, with all that it held.")
                for child in children:
                    child.keep_running()
            tell("Stopping: the worker finishes what it has in hand (Ctrl-C: hurry) …")
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
